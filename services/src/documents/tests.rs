//! The service on every engine: what callers see and change, what is never lost, and what has an end.

use std::fmt::Write;
use std::sync::Arc;

use bson::{Bson, Document, doc};
use expect_test::{Expect, expect};
use yunzhan_base::{Kind, Principal, Result};
use yunzhan_query::ejson::{Mode, write_document, write_raw_document};
use yunzhan_query::{Order, Projection};

use super::testing::{NOW_MS, World, on_every_engine, server, user};
use super::{Body, Change, Config, Find, Preset, UNIT_DOCUMENTS_MAX, Which};

#[expect(clippy::needless_pass_by_value, reason = "a document written in place reads better")]
fn find(query: Document) -> Find {
    Find {
        which: Which::parse(&query).unwrap(),
        order: Order::default(),
        skip: 0,
        limit: 100,
        projection: None,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "a document written in place reads better")]
fn change(query: Document, update: Document) -> Change {
    let which = Which::parse(&query).unwrap();
    Change { which, update, replace: false, multi: true, upsert: false }
}

/// The text of a result; an error by its kind, so that tables stay narrow.
fn told<T: ToString>(result: Result<T>) -> String {
    result.map_or_else(|error| format!("{:?}", error.kind()), |value| value.to_string())
}

impl World {
    async fn add(
        &self,
        principal: &Principal,
        collection: &str,
        document: Document,
    ) -> Result<Bson> {
        let ids = self.documents.insert(self.caller(principal), collection, vec![document], None);
        Ok(ids.await?.remove(0))
    }

    async fn list(&self, principal: &Principal, collection: &str, find: Find) -> String {
        match self.documents.find(self.caller(principal), collection, find).await {
            Err(error) => format!("{:?}: {error}\n", error.kind()),
            Ok(found) => {
                let mut text = String::new();
                for body in &found.documents {
                    let line = match body {
                        Body::Stored(bson) => write_raw_document(bson, Mode::Client).unwrap(),
                        Body::Shaped(document) => write_document(document, Mode::Client),
                    };
                    writeln!(text, "{line}").unwrap();
                }
                let total = found.total.map_or("?".to_owned(), |total| total.to_string());
                writeln!(text, "{} of {total}", found.documents.len()).unwrap();
                text
            }
        }
    }

    async fn update(&self, principal: &Principal, collection: &str, change: Change) -> String {
        match self.documents.update(self.caller(principal), collection, change).await {
            Err(error) => format!("{:?}: {error}", error.kind()),
            Ok(done) => format!(
                "matched {} updated {} upserted {:?}",
                done.matched, done.updated, done.upserted
            ),
        }
    }

    async fn count(&self, collection: &str) -> u64 {
        let server = server();
        self.documents.count(self.caller(&server), collection, Which::every()).await.unwrap()
    }
}

#[test]
fn what_is_added_is_found_by_id_filter_and_order() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("goods", Preset::AdminWrite)]).await;
        let server = server();
        for (id, price) in [("tea", 30), ("cup", 80), ("rice", 8)] {
            world.add(&server, "goods", doc! { "_id": id, "price": price }).await.unwrap();
        }
        let check = async |find: Find, expected: Expect| {
            expected.assert_eq(&world.list(&server, "goods", find).await);
        };
        check(
            find(doc! { "_id": "tea" }),
            expect![[r#"
            {"_id":"tea","price":30}
            1 of 1
        "#]],
        )
        .await;
        check(
            find(doc! { "_id": { "$in": ["tea", "rice", "none", 7] } }),
            expect![[r#"
            {"_id":"rice","price":8}
            {"_id":"tea","price":30}
            2 of 2
        "#]],
        )
        .await;
        check(
            find(doc! { "_id": { "$gt": "cup" } }),
            expect![[r#"
            {"_id":"rice","price":8}
            {"_id":"tea","price":30}
            2 of 2
        "#]],
        )
        .await;
        check(
            find(doc! { "price": { "$gte": 30 } }),
            expect![[r#"
            {"_id":"cup","price":80}
            {"_id":"tea","price":30}
            2 of 2
        "#]],
        )
        .await;
        check(
            find(doc! { "_id": true }),
            expect![[r#"
            0 of 0
        "#]],
        )
        .await;
        let by_price = Order::parse(&doc! { "price": -1 }).unwrap();
        check(
            Find { order: by_price.clone(), ..find(doc! {}) },
            expect![[r#"
            {"_id":"cup","price":80}
            {"_id":"tea","price":30}
            {"_id":"rice","price":8}
            3 of 3
        "#]],
        )
        .await;
        check(
            Find { order: by_price, skip: 1, limit: 1, ..find(doc! {}) },
            expect![[r#"
            {"_id":"tea","price":30}
            1 of 3
        "#]],
        )
        .await;
        let by_id = Order::parse(&doc! { "_id": -1 }).unwrap();
        check(
            Find { order: by_id, limit: 2, ..find(doc! {}) },
            expect![[r#"
            {"_id":"tea","price":30}
            {"_id":"rice","price":8}
            2 of ?
        "#]],
        )
        .await;
        let names = Projection::parse(&doc! { "price": 0 }).unwrap();
        check(
            Find { projection: Some(names), limit: 1, ..find(doc! {}) },
            expect![[r#"
            {"_id":"cup"}
            1 of ?
        "#]],
        )
        .await;
        check(
            Find { skip: 9, ..find(doc! {}) },
            expect![[r#"
            0 of 3
        "#]],
        )
        .await;
    });
}

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
            let raised =
                documents.update(anna, name, change(doc! {}, doc! { "$inc": { "n": 1 } })).await;
            let removed = documents.remove(anna, name, Which::One("b".into()), false).await;
            let added = documents.insert(anna, name, vec![doc! { "_id": "new" }], None).await;
            writeln!(
                table,
                "{name}: {} {} {} {} {} {}",
                told(found.map(|found| found.documents.len())),
                told(counted),
                told(other.map(|other| other.is_some())),
                told(raised.map(|changed| changed.updated)),
                told(removed),
                told(added.map(|ids| ids.len())),
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
            let told =
                world.update(&anna, "notes", change(doc! { "_id": "a" }, update.clone())).await;
            assert_eq!(
                told, "InvalidParameter: _openid is written by the server; leave it out",
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
        let told =
            world.update(&anna, "notes", set(doc! { "_id": "b" }, doc! { "mine": true })).await;
        expect!["PermissionDenied: a document with this _id exists already, and it is not yours to change"].assert_eq(&told);
        let told = world
            .update(
                &anna,
                "notes",
                set(doc! { "_id": "c", "_openid": "bert" }, doc! { "mine": true }),
            )
            .await;
        expect![[r#"matched 0 updated 0 upserted Some(String("c"))"#]].assert_eq(&told);
        let told = world
            .update(&anna, "notes", set(doc! { "_id": "a" }, doc! { "_openid": "bert" }))
            .await;
        expect!["InvalidParameter: _openid is written by the server; leave it out"]
            .assert_eq(&told);
        // Her own she may, and it stays hers.
        let told =
            world.update(&anna, "notes", set(doc! { "_id": "a" }, doc! { "mine": true })).await;
        expect!["matched 1 updated 1 upserted None"].assert_eq(&told);
        let told =
            world.update(&anna, "notes", set(doc! { "_id": "c" }, doc! { "mine": true })).await;
        expect!["matched 1 updated 0 upserted None"].assert_eq(&told);
        expect![[r#"
            {"_id":"a","_openid":"anna","mine":true}
            {"_id":"b","_openid":"bert","secret":7}
            {"_id":"c","_openid":"anna","mine":true}
            3 of 3
        "#]]
        .assert_eq(&world.list(&server(), "notes", find(doc! {})).await);
    });
}

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
        let removed = world.documents.remove(world.caller(&server), "notes", Which::every(), true);
        assert_eq!(removed.await.unwrap(), 1);
        assert_eq!(world.list(&server, "notes", owned("bert")).await, "0 of 0\n");
        // Nothing is left behind that would stand in the way of the same id.
        world.add(&anna, "notes", doc! { "_id": id }).await.unwrap();
    });
}

#[test]
fn an_insert_of_many_is_all_or_nothing() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("goods", Preset::Private)]).await;
        let server = server();
        let caller = world.caller(&server);
        world.add(&server, "goods", doc! { "_id": "taken" }).await.unwrap();
        let insert = async |documents: Vec<Document>| {
            let ids = world.documents.insert(caller, "goods", documents, None).await;
            ids.map_or_else(
                |error| format!("{:?}: {error}", error.kind()),
                |ids| ids.len().to_string(),
            )
        };
        let taken = vec![doc! { "_id": "new" }, doc! { "_id": "taken" }];
        expect!["AlreadyExists: a document with this _id exists already"]
            .assert_eq(&insert(taken).await);
        let twice = vec![doc! { "_id": "x" }, doc! { "_id": "x" }];
        expect!["AlreadyExists: a document with this _id exists already"]
            .assert_eq(&insert(twice).await);
        // Numbers of every type are one id.
        let same = vec![doc! { "_id": 1 }, doc! { "_id": 1.0 }];
        expect!["AlreadyExists: a document with this _id exists already"]
            .assert_eq(&insert(same).await);
        expect!["InvalidParameter: data names no document"].assert_eq(&insert(vec![]).await);
        expect!["TooLarge: one call adds at most 1000 documents"]
            .assert_eq(&insert(vec![doc! {}; 1001]).await);
        assert_eq!(world.count("goods").await, 1);
        assert_eq!(insert(vec![doc! {}; 1000]).await, "1000");
        assert_eq!(world.count("goods").await, 1001);
    });
}

#[test]
fn made_ids_come_back_in_the_order_of_insertion() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("log", Preset::Private)]).await;
        let anna = user("anna");
        let lines = (0..50).map(|n| doc! { "n": n }).collect();
        let ids = world.documents.insert(world.caller(&anna), "log", lines, None).await.unwrap();
        let found = world.documents.find(world.caller(&anna), "log", find(doc! {})).await.unwrap();
        let found: Vec<Bson> = found
            .documents
            .iter()
            .map(|body| match body {
                Body::Stored(bson) => {
                    super::logic::shape::decode(bson).unwrap().get("_id").unwrap().clone()
                }
                Body::Shaped(_) => unreachable!("no projection was asked for"),
            })
            .collect();
        assert_eq!(found, ids);
    });
}

#[test]
fn a_repeated_insert_answers_as_the_first_did() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("orders", Preset::Private)]).await;
        let (anna, bert) = (user("anna"), user("bert"));
        let order = async |who: &Principal, key: &str| {
            let ids = world.documents.insert(
                world.caller(who),
                "orders",
                vec![doc! { "n": 1 }],
                Some(key),
            );
            ids.await.unwrap().remove(0)
        };
        let first = order(&anna, "k1").await;
        assert_eq!(order(&anna, "k1").await, first);
        assert_ne!(order(&anna, "k2").await, first);
        assert_ne!(order(&bert, "k1").await, first);
        assert_eq!(world.count("orders").await, 3);
        for key in ["", "a b", "\u{e9}", &"k".repeat(129)] {
            let refused =
                world.documents.insert(world.caller(&anna), "orders", vec![doc! {}], Some(key));
            assert_eq!(refused.await.unwrap_err().kind(), Kind::InvalidParameter, "{key}");
        }
        let several = world.documents.insert(
            world.caller(&anna),
            "orders",
            vec![doc! {}, doc! {}],
            Some("k"),
        );
        assert_eq!(several.await.unwrap_err().kind(), Kind::InvalidParameter);
    });
}

#[test]
fn no_change_is_lost_when_many_change_one_document() {
    on_every_engine(&Config::default(), async |world| {
        let world = Arc::new(world.with_collections(&[("counters", Preset::Private)]).await);
        world.add(&server(), "counters", doc! { "_id": "hits", "n": 0 }).await.unwrap();
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let world = Arc::clone(&world);
                tokio::spawn(async move {
                    let server = server();
                    for _ in 0..10 {
                        let raise = Change {
                            multi: false,
                            ..change(doc! { "_id": "hits" }, doc! { "$inc": { "n": 1 } })
                        };
                        world
                            .documents
                            .update(world.caller(&server), "counters", raise)
                            .await
                            .unwrap();
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
fn many_upserts_of_one_id_make_one_document() {
    on_every_engine(&Config::default(), async |world| {
        let world = Arc::new(world.with_collections(&[("counters", Preset::Private)]).await);
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let world = Arc::clone(&world);
                tokio::spawn(async move {
                    let anna = user("anna");
                    let raise = change(doc! { "_id": "mine" }, doc! { "$inc": { "n": 1 } });
                    let raise = Change { multi: false, upsert: true, ..raise };
                    world
                        .documents
                        .update(world.caller(&anna), "counters", raise)
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
        let raise = change(doc! { "n": 0 }, doc! { "$inc": { "n": 1 } });
        expect!["matched 607 updated 607 upserted None"]
            .assert_eq(&world.update(&anna, "goods", raise).await);
        let raised = Which::parse(&doc! { "n": 1 }).unwrap();
        assert_eq!(
            world.documents.count(world.caller(&server), "goods", raised.clone()).await.unwrap(),
            many as u64
        );
        let removed =
            world.documents.remove(world.caller(&anna), "goods", raised, true).await.unwrap();
        assert_eq!(removed, many as u64);
        assert_eq!(world.count("goods").await, 1);
    });
}

#[test]
fn large_documents_are_read_one_by_one_and_answers_have_an_end() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("files", Preset::Private)]).await;
        let server = server();
        let text = "x".repeat(3 << 20);
        for n in 0..6 {
            world.add(&server, "files", doc! { "_id": n, "text": &text, "n": n }).await.unwrap();
        }
        let by_n = Order::parse(&doc! { "n": -1 }).unwrap();
        let names = Projection::parse(&doc! { "n": 1 }).unwrap();
        let two = Find {
            order: by_n,
            limit: 2,
            projection: Some(names),
            ..find(doc! { "n": { "$lt": 5 } })
        };
        expect![[r#"
            {"_id":4,"n":4}
            {"_id":3,"n":3}
            2 of 5
        "#]]
        .assert_eq(&world.list(&server, "files", two).await);
        expect![[r#"
            TooLarge: the documents up to the end of this page have more than 16 MiB; ask for fewer with limit and skip
        "#]].assert_eq(&world.list(&server, "files", find(doc! {})).await);
        let too_large = doc! { "text": "x".repeat(4 << 20) };
        assert_eq!(
            world.add(&server, "files", too_large).await.unwrap_err().kind(),
            Kind::TooLarge
        );
        let growing = change(doc! { "_id": 0 }, doc! { "$set": { "more": &text } });
        expect!["TooLarge: a document has at most 4 MiB; store it as a file"]
            .assert_eq(&world.update(&server, "files", growing).await);
    });
}

#[test]
fn a_long_walk_ends_and_names_the_missing_index() {
    let config = Config { scan_documents_max: 1000, ..Config::default() };
    on_every_engine(&config, async |world| {
        let world = world.with_collections(&[("goods", Preset::ReadOnly)]).await;
        let (anna, server) = (user("anna"), server());
        let fill = async |who: &Principal, count: i32| {
            let documents = (0..count).map(|n| doc! { "n": n }).collect();
            world.documents.insert(world.caller(who), "goods", documents, None).await.unwrap();
        };
        fill(&server, 1000).await;
        let query = || find(doc! { "n": -1, "kind": "tea" });
        expect![[r#"
            0 of 0
        "#]]
        .assert_eq(&world.list(&server, "goods", query()).await);
        fill(&anna, 3).await;
        expect![[r#"
            TooLarge: this call would read more than 1000 documents; it lacks an index on n, kind
        "#]]
        .assert_eq(&world.list(&server, "goods", query()).await);
        expect![[r#"
            TooLarge: this call would read more than 1000 documents; narrow it by _id
        "#]]
        .assert_eq(&world.list(&server, "goods", find(doc! { "n": { "$gt": 5000 } })).await);
        // What an index serves, and what ends early, is not long.
        assert!(
            world
                .list(&server, "goods", find(doc! { "_openid": "anna" }))
                .await
                .ends_with("3 of 3\n")
        );
        assert!(
            world
                .list(&server, "goods", Find { limit: 1, ..find(doc! { "n": 7 }) })
                .await
                .ends_with("1 of ?\n")
        );
        assert_eq!(world.count("goods").await, 1003);
    });
}

#[test]
fn an_owner_with_many_documents_is_walked_to_the_end() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("notes", Preset::Private)]).await;
        let (anna, bert) = (user("anna"), user("bert"));
        for who in [&anna, &bert] {
            let documents = (0..700).map(|n| doc! { "n": n }).collect();
            world.documents.insert(world.caller(who), "notes", documents, None).await.unwrap();
        }
        let counted = world.documents.count(world.caller(&anna), "notes", Which::every()).await;
        assert_eq!(counted.unwrap(), 700);
        let both = Which::parse(&doc! { "_openid": { "$in": ["anna", "bert"] } }).unwrap();
        let counted = world.documents.count(world.caller(&server()), "notes", both).await;
        assert_eq!(counted.unwrap(), 1400);
    });
}

#[test]
fn collections_are_known_at_once_and_only_where_they_are() {
    on_every_engine(&Config::default(), async |world| {
        let (anna, server) = (user("anna"), server());
        let add = async |who: &Principal| {
            told(world.add(who, "notes", doc! { "n": 1 }).await.map(|_| "added"))
        };
        assert_eq!(add(&server).await, "CollectionNotFound");
        let created =
            world.documents.create_collection(&world.env, "notes", Preset::Private).await.unwrap();
        assert_eq!((created.id, created.created_ms), (1, NOW_MS));
        assert_eq!(add(&anna).await, "added");
        world.documents.set_permission(&world.env, "notes", Preset::AdminOnly).await.unwrap();
        assert_eq!(add(&anna).await, "PermissionDenied");
        let again = world.documents.create_collection(&world.env, "notes", Preset::Private).await;
        assert_eq!(told(again.map(|_| "created")), "AlreadyExists");
        let missing = world.documents.set_permission(&world.env, "none", Preset::Private).await;
        assert_eq!(told(missing.map(|()| "set")), "CollectionNotFound");
        let elsewhere = "other".parse().unwrap();
        assert_eq!(world.documents.collections(&elsewhere).await.unwrap(), []);
        assert_eq!(world.documents.collections(&world.env).await.unwrap().len(), 1);
    });
}

#[test]
fn collections_made_at_the_same_moment_have_different_numbers() {
    on_every_engine(&Config::default(), async |world| {
        let world = Arc::new(world);
        let tasks: Vec<_> = (0..6)
            .map(|n| {
                let world = Arc::clone(&world);
                let name = format!("c{n}");
                tokio::spawn(async move {
                    world
                        .documents
                        .create_collection(&world.env, &name, Preset::Private)
                        .await
                        .unwrap()
                        .id
                })
            })
            .collect();
        let mut ids = Vec::new();
        for task in tasks {
            ids.push(task.await.unwrap());
        }
        ids.sort_unstable();
        assert_eq!(ids, [1, 2, 3, 4, 5, 6]);
    });
}

#[test]
fn a_seed_loads_once() {
    on_every_engine(&Config::default(), async |world| {
        let shop = include_bytes!("../../../examples/shop/seed.json");
        let first = world.documents.seed(&world.env, shop).await.unwrap();
        assert!(first.collections > 0 && first.documents > 0);
        let second = world.documents.seed(&world.env, shop).await.unwrap();
        assert_eq!((second.collections, second.documents), (0, 0));
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"collections":[1]}"#,
            r#"{"collections":[{"name":"x","documents":[{"a":1}]}]}"#,
            r#"{"collections":[{"name":"x","permission":"ALL"}]}"#,
            r#"{"collections":[{"documents":[]}]}"#,
        ] {
            assert!(world.documents.seed(&world.env, bad.as_bytes()).await.is_err(), "{bad}");
        }
    });
}
