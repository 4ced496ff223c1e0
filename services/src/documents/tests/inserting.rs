//! Inserts are all or nothing, in order, and may be repeated.

use bson::{Bson, Document, doc};
use expect_test::expect;
use yunzhan_base::{Kind, Principal};

use super::find;
use crate::documents::testing::{on_every_engine, server, user};
use crate::documents::{Body, Config, Preset};

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
