//! Inserts are all or nothing, in order, and may be repeated.

use bson::{Bson, Document, doc};
use expect_test::expect;
use yunzhan_base::{Kind, Principal};

use super::find;
use crate::documents::testing::{on_every_engine, server, server_with, user};
use crate::documents::{Body, Config, Idempotency, Preset, Which};

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
        expect!["TooLarge: one call adds at most 5000 documents"]
            .assert_eq(&insert(vec![doc! {}; 5001]).await);
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
                Body::Stored(bson) => crate::documents::logic::shape::decode(bson)
                    .unwrap()
                    .get("_id")
                    .unwrap()
                    .clone(),
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
            let one = vec![doc! { "n": 1 }];
            let ids = world.documents.insert(world.caller(who), "orders", one, idempotent(key));
            ids.await.unwrap().remove(0)
        };
        let first = order(&anna, "k1").await;
        assert_eq!(order(&anna, "k1").await, first);
        assert_ne!(order(&anna, "k2").await, first);
        assert_ne!(order(&bert, "k1").await, first);
        assert_eq!(world.count("orders").await, 3);
        for key in ["", "a b", "\u{e9}", &"k".repeat(129)] {
            let refused = world.documents.insert(
                world.caller(&anna),
                "orders",
                vec![doc! {}],
                idempotent(key),
            );
            assert_eq!(refused.await.unwrap_err().kind(), Kind::InvalidParameter, "{key}");
        }
        let several = world.documents.insert(
            world.caller(&anna),
            "orders",
            vec![doc! {}, doc! {}],
            idempotent("k"),
        );
        assert_eq!(several.await.unwrap_err().kind(), Kind::InvalidParameter);
    });
}

fn idempotent(key: &str) -> Option<Idempotency<'_>> {
    Some(Idempotency { key, request: b"the same".into(), keeps_document: false })
}

#[test]
fn a_key_that_comes_again_with_another_request_is_refused() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("orders", Preset::Private)]).await;
        let anna = user("anna");
        let order = async |document: Document| {
            let text = document.to_string();
            let idempotency =
                Idempotency { key: "k1", request: text.as_bytes().into(), keeps_document: false };
            let caller = world.caller(&anna);
            let ids = world.documents.insert(caller, "orders", vec![document], Some(idempotency));
            match ids.await {
                Ok(ids) => format!("{ids:?}"),
                Err(error) => format!("{:?}: {error}", error.kind()),
            }
        };
        let first = order(doc! { "_id": "a", "n": 1 }).await;
        expect![[r#"[String("a")]"#]].assert_eq(&first);
        for other in [doc! { "_id": "b", "n": 1 }, doc! { "_id": "a", "n": 2 }, doc! { "n": 1 }] {
            expect!["InvalidParameter: this Idempotency-Key came before with another request; a new request needs a new key"].assert_eq(&order(other).await);
        }
        // A repetition stays one, also when the document has gone since.
        let removed =
            world.documents.remove(world.caller(&anna), "orders", Which::every(), true, None);
        assert_eq!(removed.await.unwrap(), 1);
        assert_eq!(order(doc! { "_id": "a", "n": 1 }).await, first);
        assert_eq!(world.count("orders").await, 0);
    });
}

#[test]
fn two_keys_of_a_server_have_names_of_their_own() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("orders", Preset::Private)]).await;
        for key in ["k1", "k2"] {
            let principal = server_with(key);
            let one = vec![doc! { "by": key }];
            let ids = world.documents.insert(
                world.caller(&principal),
                "orders",
                one,
                idempotent("order-1"),
            );
            assert_eq!(ids.await.unwrap().len(), 1);
        }
        assert_eq!(world.count("orders").await, 2);
    });
}
