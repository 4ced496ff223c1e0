//! Documents are found by id, filter and order.

use bson::doc;
use expect_test::{Expect, expect};
use yunzhan_query::{Order, Projection};

use super::find;
use crate::documents::testing::{on_every_engine, server, user};
use crate::documents::{Config, Find, Preset, Which};

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
