//! Large documents and long scans have an end.

use bson::doc;
use expect_test::expect;
use yunzhan_base::{Kind, Principal};
use yunzhan_query::{Order, Projection};

use super::{change, find};
use crate::documents::testing::{on_every_engine, server, user};
use crate::documents::{Config, Find, Preset, Which};

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
            TooLarge: this call would cost more than reading 1000 small documents; it lacks an index on n, kind
        "#]]
        .assert_eq(&world.list(&server, "goods", query()).await);
        expect![[r#"
            TooLarge: this call would cost more than reading 1000 small documents; it lacks an index on n
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
fn a_long_walk_along_an_index_asks_for_a_narrower_query() {
    let config = Config { scan_documents_max: 100, ..Config::default() };
    on_every_engine(&config, async |world| {
        let world = world.with_collections(&[("goods", Preset::ReadOnly)]).await;
        let server = server();
        let documents = (0..300).map(|n| doc! { "n": n, "kind": "tea" }).collect();
        world.documents.insert(world.caller(&server), "goods", documents, None).await.unwrap();
        world.index(doc! { "kind": 1 }, false).await.unwrap();
        world.finish().await;
        let mut described = String::new();
        for query in [doc! { "kind": "tea" }, doc! { "kind": "tea", "n": -1 }] {
            described += &world.list(&server, "goods", Find { limit: 200, ..find(query) }).await;
        }
        expect![[r#"
            TooLarge: this call would cost more than reading 100 small documents; the index kind_1 leads to too many; narrow the query
            TooLarge: this call would cost more than reading 100 small documents; it lacks an index on kind, n
        "#]].assert_eq(&described);
    });
}

#[test]
fn a_walk_costs_bytes_and_conditions() {
    let config = Config { scan_documents_max: 1000, ..Config::default() };
    on_every_engine(&config, async |world| {
        let world =
            world.with_collections(&[("large", Preset::Private), ("small", Preset::Private)]).await;
        let server = server();
        let text = "x".repeat(200 << 10);
        for _ in 0..6 {
            world.add(&server, "large", doc! { "text": &text }).await.unwrap();
        }
        let small = (0..100).map(|n| doc! { "n": n }).collect();
        world.documents.insert(world.caller(&server), "small", small, None).await.unwrap();
        expect![[r#"
            TooLarge: this call would cost more than reading 1000 small documents; it lacks an index on n
        "#]]
        .assert_eq(&world.list(&server, "large", find(doc! { "n": -1 })).await);
        let any_of = |conditions: i32| {
            let conditions: Vec<_> = (0..conditions).map(|n| doc! { "n": -1 - n }).collect();
            find(doc! { "$or": conditions })
        };
        assert_eq!(world.list(&server, "small", any_of(70)).await, "0 of 0\n");
        expect![[r#"
            TooLarge: this call would cost more than reading 1000 small documents; narrow it by _id
        "#]]
        .assert_eq(&world.list(&server, "small", any_of(80)).await);
        // Removing and changing look at documents no cheaper.
        let removed = Which::parse(&doc! { "n": -1 }).unwrap();
        let removed =
            world.documents.remove(world.caller(&server), "large", removed, true, None).await;
        assert_eq!(removed.unwrap_err().kind(), Kind::TooLarge);
    });
}

#[test]
fn a_walk_over_large_documents_lets_others_run() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("large", Preset::Private)]).await;
        let server = server();
        let text = "x".repeat(300 << 10);
        for _ in 0..10 {
            world.add(&server, "large", doc! { "text": &text }).await.unwrap();
        }
        let mut turns = 0;
        let others = async {
            loop {
                turns += 1;
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            found = world.list(&server, "large", find(doc! { "n": -1 })) => assert_eq!(found, "0 of 0\n"),
            () = others => {}
        }
        assert!(turns >= 10, "others ran {turns} times");
    });
}
