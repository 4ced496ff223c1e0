//! Callers see and change what the preset of a collection gives them.

use std::fmt::Write;

use bson::{Document, doc};
use expect_test::expect;
use yunzhan_query::Order;

use super::{change, described, find};
use crate::documents::testing::{on_every_engine, server, user};
use crate::documents::{Change, Config, Find, Preset, Which};

#[test]
fn people_see_and_change_what_the_preset_gives_them() {
    on_every_engine(&Config::default(), async |world| {
        let names = ["readonly", "private", "adminwrite", "adminonly"];
        let collections: Vec<_> = names.into_iter().zip(Preset::EVERY).collect();
        let world = world.with_collections(&collections).await;
        let (anna, bert, server) = (user("anna"), user("bert"), server());
        let mut table = String::from(
            "collection: find count get-other update remove insert, of anna; then what the server sees\n",
        );
        for name in names {
            world.add(&server, name, doc! { "_id": "a", "_openid": "anna", "n": 1 }).await.unwrap();
            world.add(&server, name, doc! { "_id": "b", "_openid": "bert", "n": 1 }).await.unwrap();
            world.add(&server, name, doc! { "_id": "s", "n": 1 }).await.unwrap();
            let anna = world.caller(&anna);
            let documents = &world.documents;
            let found = documents.find(anna, name, find(doc! { "n": 1 })).await;
            let counted = documents.count(anna, name, Which::every()).await;
            let other = documents.get(anna, name, &"b".into(), None).await;
            let raised = documents
                .update(anna, name, change(doc! {}, doc! { "$inc": { "n": 1 } }), None)
                .await;
            let removed = documents.remove(anna, name, Which::One("b".into()), false, None).await;
            let added = documents.insert(anna, name, vec![doc! { "_id": "new" }], None).await;
            writeln!(
                table,
                "{name}: {} {} {} {} {} {}",
                described(found.map(|found| found.documents.len())),
                described(counted),
                described(other.map(|other| other.is_some())),
                described(raised.map(|changed| changed.updated)),
                described(removed),
                described(added.map(|ids| ids.len())),
            )
            .unwrap();
            table.push_str(&world.list(&server, name, find(doc! {})).await);
        }
        expect![[r#"
            collection: find count get-other update remove insert, of anna; then what the server sees
            readonly: 3 3 true 1 0 1
            {"_id":"a","_openid":"anna","n":2}
            {"_id":"b","_openid":"bert","n":1}
            {"_id":"new","_openid":"anna"}
            {"_id":"s","n":1}
            4 of 4
            private: 1 1 false 1 0 1
            {"_id":"a","_openid":"anna","n":2}
            {"_id":"b","_openid":"bert","n":1}
            {"_id":"new","_openid":"anna"}
            {"_id":"s","n":1}
            4 of 4
            adminwrite: 3 3 true PermissionDenied PermissionDenied PermissionDenied
            {"_id":"a","_openid":"anna","n":1}
            {"_id":"b","_openid":"bert","n":1}
            {"_id":"s","n":1}
            3 of 3
            adminonly: PermissionDenied PermissionDenied PermissionDenied PermissionDenied PermissionDenied PermissionDenied
            {"_id":"a","_openid":"anna","n":1}
            {"_id":"b","_openid":"bert","n":1}
            {"_id":"s","n":1}
            3 of 3
        "#]].assert_eq(&table);
        drop(bert);
    });
}

#[test]
fn nobody_reaches_beyond_their_own_by_asking_cleverly() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("notes", Preset::Private)]).await;
        let (anna, bert) = (user("anna"), user("bert"));
        world.add(&bert, "notes", doc! { "_id": "b", "secret": 7 }).await.unwrap();
        world.add(&anna, "notes", doc! { "_id": "a", "secret": 1 }).await.unwrap();
        for query in [
            doc! { "_openid": "bert" },
            doc! { "_id": "b" },
            doc! { "_id": { "$in": ["b"] } },
            doc! { "$or": [{ "_openid": "bert" }, { "secret": 7 }] },
            doc! { "_openid": { "$ne": "anna" } },
            doc! { "$nor": [{ "_openid": "anna" }] },
            doc! { "secret": { "$gt": 1 } },
        ] {
            assert_eq!(
                world.list(&anna, "notes", find(query.clone())).await,
                "0 of 0\n",
                "{query}"
            );
            let counted =
                world.documents.count(world.caller(&anna), "notes", Which::parse(&query).unwrap());
            assert_eq!(counted.await.unwrap(), 0, "{query}");
        }
        let by_secret =
            Find { order: Order::parse(&doc! { "secret": -1 }).unwrap(), ..find(doc! {}) };
        expect![[r#"
            {"_id":"a","_openid":"anna","secret":1}
            1 of 1
        "#]]
        .assert_eq(&world.list(&anna, "notes", by_secret).await);
        for update in [
            doc! { "$set": { "_openid": "anna" } },
            doc! { "$set": { "_openid.x": 1 } },
            doc! { "$unset": { "_openid": "" } },
            doc! { "$rename": { "_openid": "x" } },
            doc! { "$rename": { "secret": "_openid" } },
            doc! { "$setOnInsert": { "_openid": "bert" } },
        ] {
            let described =
                world.update(&anna, "notes", change(doc! { "_id": "a" }, update.clone())).await;
            assert_eq!(
                described, "InvalidParameter: _openid is written by the server; leave it out",
                "{update}"
            );
        }
        let set = |query: Document, update: Document| Change {
            replace: true,
            multi: false,
            upsert: true,
            ..change(query, update)
        };
        // Somebody else's document can neither be replaced nor taken over.
        let described =
            world.update(&anna, "notes", set(doc! { "_id": "b" }, doc! { "mine": true })).await;
        expect!["PermissionDenied: a document with this _id exists already, and it is not yours to change"].assert_eq(&described);
        let described = world
            .update(
                &anna,
                "notes",
                set(doc! { "_id": "c", "_openid": "bert" }, doc! { "mine": true }),
            )
            .await;
        expect![[r#"matched 0 updated 0 upserted Some(String("c"))"#]].assert_eq(&described);
        let described = world
            .update(&anna, "notes", set(doc! { "_id": "a" }, doc! { "_openid": "bert" }))
            .await;
        expect!["InvalidParameter: _openid is written by the server; leave it out"]
            .assert_eq(&described);
        // Her own she may, and it stays hers.
        let described =
            world.update(&anna, "notes", set(doc! { "_id": "a" }, doc! { "mine": true })).await;
        expect!["matched 1 updated 1 upserted None"].assert_eq(&described);
        let described =
            world.update(&anna, "notes", set(doc! { "_id": "c" }, doc! { "mine": true })).await;
        expect!["matched 1 updated 0 upserted None"].assert_eq(&described);
        expect![[r#"
            {"_id":"a","_openid":"anna","mine":true}
            {"_id":"b","_openid":"bert","secret":7}
            {"_id":"c","_openid":"anna","mine":true}
            3 of 3
        "#]]
        .assert_eq(&world.list(&server(), "notes", find(doc! {})).await);
    });
}
