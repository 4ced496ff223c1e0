//! Changes say what they did, and none is lost.

use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, doc};
use expect_test::{Expect, expect};

use super::{change, find};
use crate::documents::logic::id::id_key;
use crate::documents::testing::{on_every_engine, server, user};
use crate::documents::{Caller, Change, Config, Preset, UNIT_DOCUMENTS_MAX, Which};

#[test]
fn updates_say_what_they_matched_and_changed() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("goods", Preset::Private)]).await;
        let server = server();
        for (id, stock) in [("a", 1), ("b", 2), ("c", 3)] {
            world.add(&server, "goods", doc! { "_id": id, "stock": stock }).await.unwrap();
        }
        let check = async |change: Change, expected: Expect| {
            expected.assert_eq(&world.update(&server, "goods", change).await);
        };
        let set = |value: i32| doc! { "$set": { "stock": value } };
        check(
            change(doc! { "stock": { "$gt": 1 } }, set(3)),
            expect!["matched 2 updated 1 upserted None"],
        )
        .await;
        check(change(doc! { "_id": "none" }, set(3)), expect!["matched 0 updated 0 upserted None"])
            .await;
        check(
            Change { multi: false, ..change(doc! {}, doc! { "$inc": { "stock": 1 } }) },
            expect!["matched 1 updated 1 upserted None"],
        )
        .await;
        check(
            Change { upsert: true, multi: false, ..change(doc! { "_id": "d" }, set(9)) },
            expect![[r#"matched 0 updated 0 upserted Some(String("d"))"#]],
        )
        .await;
        check(
            Change { upsert: true, ..change(doc! { "_id": "d", "x": 1 }, set(9)) },
            expect!["AlreadyExists: a document with this _id exists already"],
        )
        .await;
        check(change(doc! {}, doc! { "stock": 1 }), expect!["InvalidParameter: an update needs operators such as $set; to replace a document, set it"]).await;
        check(change(doc! {}, doc! {}), expect!["InvalidParameter: an update needs operators such as $set; to replace a document, set it"]).await;
        check(
            change(doc! {}, doc! { "$inc": { "_id": 1 } }),
            expect![
                "InvalidParameter: field is not an integer or a double, operator $inc, at field _id"
            ],
        )
        .await;
        check(Change { replace: true, ..change(doc! {}, doc! { "a": 1 }) }, expect!["InvalidParameter: many documents cannot be replaced by one; use update operators such as $set"]).await;
        check(
            Change { replace: true, multi: false, ..change(doc! {}, set(1)) },
            expect![
                "InvalidOperator: a document that replaces another one has no update operators"
            ],
        )
        .await;
        expect![[r#"
            {"_id":"a","stock":2}
            {"_id":"b","stock":3}
            {"_id":"c","stock":3}
            {"_id":"d","stock":9}
            4 of 4
        "#]]
        .assert_eq(&world.list(&server, "goods", find(doc! {})).await);
    });
}

#[test]
fn the_owner_s_index_follows_every_change() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("notes", Preset::Private)]).await;
        let (anna, server) = (user("anna"), server());
        let id = world.add(&anna, "notes", doc! { "n": 1 }).await.unwrap();
        let owned = |owner: &str| find(doc! { "_openid": owner });
        assert!(world.list(&server, "notes", owned("anna")).await.ends_with("1 of 1\n"));
        let give = |owner: Bson| change(doc! { "_id": &id }, doc! { "$set": { "_openid": owner } });
        world.update(&server, "notes", give("bert".into())).await;
        assert_eq!(world.list(&server, "notes", owned("anna")).await, "0 of 0\n");
        assert!(world.list(&server, "notes", owned("bert")).await.ends_with("1 of 1\n"));
        // Several owners, several entries, one document.
        world.update(&server, "notes", give(vec!["anna", "bert"].into())).await;
        let both = find(doc! { "_openid": { "$in": ["anna", "bert"] } });
        assert!(world.list(&server, "notes", both).await.ends_with("1 of 1\n"));
        assert!(world.list(&anna, "notes", find(doc! { "_id": &id })).await.ends_with("1 of 1\n"));
        let removed =
            world.documents.remove(world.caller(&server), "notes", Which::every(), true, None);
        assert_eq!(removed.await.unwrap(), 1);
        assert_eq!(world.list(&server, "notes", owned("bert")).await, "0 of 0\n");
        // Nothing is left behind that would stand in the way of the same id.
        world.add(&anna, "notes", doc! { "_id": id }).await.unwrap();
    });
}

#[test]
fn no_change_is_lost_when_many_change_one_document() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("counters", Preset::Private)]).await;
        world.add(&server(), "counters", doc! { "_id": "hits", "n": 0 }).await.unwrap();
        // Many on one server queue; two servers race.
        let servers = [Arc::clone(&world.documents), Arc::new(world.other_server())];
        let tasks: Vec<_> = (0..16)
            .map(|task| {
                let (documents, env) = (Arc::clone(&servers[task % 2]), world.env.clone());
                tokio::spawn(async move {
                    let principal = server();
                    let caller = Caller { env: &env, principal: &principal };
                    for _ in 0..10 {
                        let bump_version =
                            change(doc! { "_id": "hits" }, doc! { "$inc": { "n": 1 } });
                        let bump_version = Change { multi: false, ..bump_version };
                        documents.update(caller, "counters", bump_version, None).await.unwrap();
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        expect![[r#"
            {"_id":"hits","n":160}
            1 of 1
        "#]]
        .assert_eq(&world.list(&server(), "counters", find(doc! {})).await);
    });
}

#[test]
fn a_unit_of_many_documents_waits_in_no_queue() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("goods", Preset::Private)]).await;
        let server = server();
        for id in ["a", "b"] {
            world.add(&server, "goods", doc! { "_id": id, "n": 0 }).await.unwrap();
        }
        let collection = world.documents.collection(&world.env, "goods").await.unwrap();
        let table = world.documents.table(&world.env, collection);
        let first = id_key(&"a".into()).unwrap();
        let first = table.document_anywhere(&first).await.unwrap().unwrap();
        let _head = world.documents.queues.turn(&table, &[first]).await;
        let bump_version = |query| change(query, doc! { "$inc": { "n": 1 } });
        let both = bump_version(doc! { "n": 0 });
        expect!["Some(\"matched 2 updated 2 upserted None\")"].assert_eq(&format!(
            "{:?}",
            soon(world.update(&server, "goods", both), Duration::from_secs(10)).await
        ));
        // A single document does wait for its turn.
        let one = bump_version(doc! { "_id": "a" });
        let waiting = soon(world.update(&server, "goods", one), Duration::from_millis(50)).await;
        assert_eq!(waiting, None);
    });
}

async fn soon<T>(work: impl Future<Output = T>, within: Duration) -> Option<T> {
    tokio::time::timeout(within, work).await.ok()
}

#[test]
fn many_upserts_of_one_id_make_one_document() {
    on_every_engine(&Config::default(), async |world| {
        let world = Arc::new(world.with_collections(&[("counters", Preset::Private)]).await);
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let world = Arc::clone(&world);
                tokio::spawn(async move {
                    let anna = user("anna");
                    let bump_version = change(doc! { "_id": "mine" }, doc! { "$inc": { "n": 1 } });
                    let bump_version = Change { multi: false, upsert: true, ..bump_version };
                    world
                        .documents
                        .update(world.caller(&anna), "counters", bump_version, None)
                        .await
                        .unwrap()
                        .upserted
                })
            })
            .collect();
        let mut inserted = 0;
        for task in tasks {
            inserted += usize::from(task.await.unwrap().is_some());
        }
        assert_eq!(inserted, 1);
        expect![[r#"
            {"_id":"mine","_openid":"anna","n":8}
            1 of 1
        "#]]
        .assert_eq(&world.list(&server(), "counters", find(doc! {})).await);
    });
}

#[test]
fn changes_of_many_documents_span_units_and_pages() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("goods", Preset::Private)]).await;
        let (anna, server) = (user("anna"), server());
        let many = 3 * UNIT_DOCUMENTS_MAX + 7;
        let documents: Vec<_> = (0..many).map(|n| doc! { "_id": n as i64, "n": 0 }).collect();
        world.documents.insert(world.caller(&anna), "goods", documents, None).await.unwrap();
        world.add(&server, "goods", doc! { "_id": "other", "n": 0 }).await.unwrap();
        let bump_version = change(doc! { "n": 0 }, doc! { "$inc": { "n": 1 } });
        expect!["matched 607 updated 607 upserted None"]
            .assert_eq(&world.update(&anna, "goods", bump_version).await);
        let raised = Which::parse(&doc! { "n": 1 }).unwrap();
        assert_eq!(
            world.documents.count(world.caller(&server), "goods", raised.clone()).await.unwrap(),
            many as u64
        );
        let removed =
            world.documents.remove(world.caller(&anna), "goods", raised, true, None).await.unwrap();
        assert_eq!(removed, many as u64);
        assert_eq!(world.count("goods").await, 1);
    });
}
