//! Transactions: own writes are seen, nothing is written before the commit, and no change of others is overwritten.

use std::sync::Arc;

use bson::{Document, doc};
use expect_test::expect;
use yunzhan_base::Kind;
use yunzhan_query::Order;

use super::{change, find};
use crate::documents::testing::{World, on_every_engine, server, user};
use crate::documents::{Body, Config, Find, Preset, Which};

impl World {
    fn begin(&self) -> String {
        self.documents.start_transaction(self.caller(&server())).unwrap()
    }

    async fn set_in(&self, transaction: &str, id: &str, n: i32) -> Result<u64, Kind> {
        let to = change(doc! { "_id": id }, doc! { "$set": { "n": n } });
        let server = server();
        let done = self.documents.update_in(self.caller(&server), transaction, "goods", to).await;
        done.map(|done| done.updated).map_err(|error| error.kind())
    }

    async fn set(&self, id: &str, n: i32) {
        let to = change(doc! { "_id": id }, doc! { "$set": { "n": n } });
        self.update(&server(), "goods", to).await;
    }

    async fn read_in(&self, transaction: &str, query: Document) -> String {
        let server = server();
        let find = Find { order: Order::default(), ..find(query) };
        match self.documents.find_in(self.caller(&server), transaction, "goods", find).await {
            Err(error) => format!("{:?}", error.kind()),
            Ok(found) => {
                let lines = found.documents.iter().map(|body| match body {
                    Body::Stored(bson) => {
                        Document::from_reader(bson.as_slice()).unwrap().to_string()
                    }
                    Body::Shaped(document) => document.to_string(),
                });
                lines.collect::<Vec<_>>().join(" ")
            }
        }
    }

    async fn commit(&self, transaction: &str) -> Result<(), Kind> {
        let server = server();
        let done = self.documents.commit_transaction(self.caller(&server), transaction).await;
        done.map_err(|error| error.kind())
    }
}

async fn goods(world: World) -> World {
    let world = world.with_collections(&[("goods", Preset::ReadOnly)]).await;
    for (id, n) in [("a", 1), ("b", 2), ("c", 3)] {
        world.add(&server(), "goods", doc! { "_id": id, "n": n }).await.unwrap();
    }
    world
}

#[test]
fn own_writes_are_seen_inside_and_by_others_after_the_commit() {
    on_every_engine(&Config::default(), async |world| {
        let world = goods(world).await;
        let (id, server) = (world.begin(), server());
        let caller = world.caller(&server);
        world.set_in(&id, "a", 10).await.unwrap();
        let added = vec![doc! { "_id": "d", "n": 4 }];
        world.documents.insert_in(caller, &id, "goods", added).await.unwrap();
        let gone = Which::parse(&doc! { "_id": "b" }).unwrap();
        assert_eq!(world.documents.remove_in(caller, &id, "goods", gone, false).await.unwrap(), 1);
        expect![[r#"{ "_id": "a", "n": 10 } { "_id": "c", "n": 3 } { "_id": "d", "n": 4 }"#]]
            .assert_eq(&world.read_in(&id, doc! {}).await);
        let before = world.list(&server, "goods", find(doc! { "_id": "a" })).await;
        expect![[r#"
            {"_id":"a","n":1}
            1 of 1
        "#]]
        .assert_eq(&before);
        world.commit(&id).await.unwrap();
        expect![[r#"
            {"_id":"a","n":10}
            {"_id":"c","n":3}
            {"_id":"d","n":4}
            3 of 3
        "#]]
        .assert_eq(&world.list(&server, "goods", find(doc! {})).await);
        assert_eq!(world.commit(&id).await, Err(Kind::TransactionEnded));
        assert_eq!(world.set_in(&id, "a", 1).await, Err(Kind::TransactionEnded));
    });
}

#[test]
fn what_is_rolled_back_never_was() {
    on_every_engine(&Config::default(), async |world| {
        let world = goods(world).await;
        let id = world.begin();
        world.set_in(&id, "a", 10).await.unwrap();
        let server = server();
        world.documents.abort_transaction(world.caller(&server), &id).unwrap();
        assert_eq!(world.read_in(&id, doc! {}).await, "TransactionEnded");
        let other = world.begin();
        expect![[r#"{ "_id": "a", "n": 1 }"#]]
            .assert_eq(&world.read_in(&other, doc! { "_id": "a" }).await);
    });
}

#[test]
fn reads_repeat_and_a_change_of_others_is_not_overwritten() {
    on_every_engine(&Config::default(), async |world| {
        let world = goods(world).await;
        let id = world.begin();
        let first = world.read_in(&id, doc! { "_id": "a" }).await;
        world.set("a", 100).await;
        assert_eq!(world.read_in(&id, doc! { "_id": "a" }).await, first);
        let _ = world.set_in(&id, "b", 20).await;
        assert_ne!(world.commit(&id).await, Ok(()));
        assert_eq!(
            world.read_in(&world.begin(), doc! { "_id": "b" }).await,
            r#"{ "_id": "b", "n": 2 }"#
        );
    });
}

#[test]
fn a_transaction_is_its_caller_s_alone() {
    on_every_engine(&Config::default(), async |world| {
        let world = goods(world).await;
        let (id, anna) = (world.begin(), user("anna"));
        let caller = world.caller(&anna);
        let found = world.documents.find_in(caller, &id, "goods", find(doc! {})).await;
        assert_eq!(found.unwrap_err().kind(), Kind::TransactionEnded);
        assert!(world.documents.abort_transaction(caller, &id).is_err());
        assert!(world.documents.commit_transaction(caller, &id).await.is_err());
        world.commit(&id).await.unwrap();
    });
}

/// Ten units of money go from account to account by many hands; none is lost, and none made.
#[test]
fn sums_hold_whoever_transfers_at_once() {
    on_every_engine(&Config::default(), async |world| {
        let world = Arc::new(goods(world).await);
        let hands = (0..8_i32).map(|hand| {
            let world = Arc::clone(&world);
            async move {
                let mut done = 0;
                for turn in 0..6 {
                    let (from, to) = (
                        ["a", "b", "c"][(hand + turn) as usize % 3],
                        ["b", "c", "a"][(hand + turn) as usize % 3],
                    );
                    done += i32::from(transfer(&world, from, to).await);
                }
                done
            }
        });
        let mut tasks = tokio::task::JoinSet::new();
        for hand in hands {
            tasks.spawn(hand);
        }
        let done: i32 = tasks.join_all().await.into_iter().sum();
        assert!(done > 0, "no transfer was ever made");
        let found = world.read_in(&world.begin(), doc! {}).await;
        let sum: i32 = found
            .split("\"n\": ")
            .skip(1)
            .map(|rest| rest.split(' ').next().unwrap().parse::<i32>().unwrap())
            .sum();
        assert_eq!(sum, 6, "{found}");
    });
}

async fn transfer(world: &World, from: &str, to: &str) -> bool {
    for _ in 0..20 {
        let id = world.begin();
        let amount = async |account: &str| {
            let text = world.read_in(&id, doc! { "_id": account }).await;
            text.split("\"n\": ")
                .nth(1)
                .and_then(|rest| rest.split(' ').next()?.parse::<i32>().ok())
        };
        let (Some(a), Some(b)) = (amount(from).await, amount(to).await) else { continue };
        if world.set_in(&id, from, a - 1).await.is_err()
            || world.set_in(&id, to, b + 1).await.is_err()
        {
            continue;
        }
        if world.commit(&id).await.is_ok() {
            return true;
        }
    }
    false
}
