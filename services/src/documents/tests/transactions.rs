//! Transactions see one moment and their own writes; the first writer wins, and nothing is written before the commit.

mod bounds;
mod history;

use std::sync::Arc;
use std::time::Duration;

use bson::{Document, doc};
use expect_test::expect;
use yunzhan_base::{Kind, Result as Outcome};
use yunzhan_engine::sql::Logical;

use super::{change, find};
use crate::documents::testing::{World, on_every_engine, server, user};
use crate::documents::{Body, Caller, Change, Changed, Config, Find, Preset, Which};

const CONFLICT: &str = "[ResourceUnavailable.TransactionConflict] Transaction is conflict, maybe resource operated by others. Please check your request, but if the problem persists, contact us.";
const ENDED: &str = "[ResourceUnavailable.TransactionNotExist] Transaction does not exist on the server, transaction must be commit or abort in 30 seconds. Please check your request, but if the problem persists, contact us.";

impl World {
    fn begin(&self) -> String {
        self.documents.start_transaction(self.caller(&server())).unwrap()
    }

    async fn abort(&self, transaction: &str) {
        let server = server();
        self.documents.abort_transaction(self.caller(&server), transaction).await.unwrap();
    }

    async fn try_change_in(&self, transaction: &str, change: Change) -> Outcome<Changed> {
        let server = server();
        self.documents.update_in(self.caller(&server), transaction, "goods", change).await
    }

    async fn change_in(&self, transaction: &str, change: Change) -> Result<Changed, Kind> {
        self.try_change_in(transaction, change).await.map_err(|error| error.kind())
    }

    async fn set_in(&self, transaction: &str, id: &str, n: i32) -> Result<u64, Kind> {
        let to = change(doc! { "_id": id }, doc! { "$set": { "n": n } });
        self.change_in(transaction, to).await.map(|done| done.updated)
    }

    async fn add_in(&self, transaction: &str, documents: Vec<Document>) -> Result<usize, Kind> {
        let server = server();
        let added =
            self.documents.insert_in(self.caller(&server), transaction, "goods", documents).await;
        added.map(|ids| ids.len()).map_err(|error| error.kind())
    }

    async fn remove_in(&self, transaction: &str, query: Document) -> Result<u64, Kind> {
        let (server, which) = (server(), Which::parse(&query).unwrap());
        let removed =
            self.documents.remove_in(self.caller(&server), transaction, "goods", which, true).await;
        removed.map_err(|error| error.kind())
    }

    async fn set(&self, id: &str, n: i32) {
        let to = change(doc! { "_id": id }, doc! { "$set": { "n": n } });
        self.update(&server(), "goods", to).await;
    }

    async fn remove(&self, query: Document) {
        let (server, which) = (server(), Which::parse(&query).unwrap());
        self.documents.remove(self.caller(&server), "goods", which, true, None).await.unwrap();
    }

    async fn documents_in(
        &self,
        transaction: &str,
        query: Document,
    ) -> Result<Vec<Document>, Kind> {
        let (server, find) = (server(), Find { limit: 1000, ..find(query) });
        let found = self.documents.find_in(self.caller(&server), transaction, "goods", find).await;
        let document = |body: &Body| match body {
            Body::Stored(bson) => Document::from_reader(bson.as_slice()).unwrap(),
            Body::Shaped(document) => document.clone(),
        };
        match found {
            Ok(found) => Ok(found.documents.iter().map(document).collect()),
            Err(error) => Err(error.kind()),
        }
    }

    async fn read_in(&self, transaction: &str, query: Document) -> String {
        match self.documents_in(transaction, query).await {
            Err(kind) => format!("{kind:?}"),
            Ok(documents) => {
                documents.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
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
        let (open, bytes) = world.documents.open_transactions();
        assert!(open == 1 && bytes > 0, "{open} hold {bytes}");
        let server = server();
        world.documents.abort_transaction(world.caller(&server), &id).await.unwrap();
        assert_eq!(world.documents.open_transactions(), (0, 0));
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
fn the_snapshot_is_that_of_the_first_operation() {
    on_every_engine(&Config::default(), async |world| {
        let world = goods(world).await;
        let id = world.begin();
        world.set("a", 100).await;
        assert_eq!(world.read_in(&id, doc! { "_id": "a" }).await, r#"{ "_id": "a", "n": 100 }"#);
        // From here on everything stands still, also what was not read yet, was added, or went.
        world.set("a", 101).await;
        world.set("b", 200).await;
        world.set("b", 201).await;
        world.add(&server(), "goods", doc! { "_id": "d", "n": 4 }).await.unwrap();
        world.remove(doc! { "_id": "c" }).await;
        world.add(&server(), "goods", doc! { "_id": "c", "n": 300 }).await.unwrap();
        world.set("c", 301).await;
        let all = r#"{ "_id": "a", "n": 100 } { "_id": "b", "n": 2 } { "_id": "c", "n": 3 }"#;
        assert_eq!(world.read_in(&id, doc! { "_id": "c" }).await, r#"{ "_id": "c", "n": 3 }"#);
        assert_eq!(world.read_in(&id, doc! {}).await, all);
        world.remove(doc! {}).await;
        assert_eq!(world.read_in(&id, doc! { "n": { "$lt": 50 } }).await, &all[25..]);
        assert_eq!(world.read_in(&id, doc! { "n": { "$gt": 100 } }).await, "");
        assert_eq!(world.read_in(&id, doc! { "_id": "d" }).await, "");
        assert_eq!(world.read_in(&world.begin(), doc! {}).await, "");
        // It wrote nothing, so it does not matter what others did.
        world.commit(&id).await.unwrap();
    });
}

#[test]
fn what_others_changed_is_refused_at_the_write_and_that_is_the_end() {
    on_every_engine(&Config::default(), async |world| {
        let world = goods(world).await;
        let id = world.begin();
        world.set_in(&id, "b", 20).await.unwrap();
        world.set("a", 100).await;
        let to = change(doc! { "_id": "a" }, doc! { "$set": { "n": 5 } });
        let refused = world.try_change_in(&id, to.clone()).await.unwrap_err();
        assert_eq!((refused.kind(), refused.to_string().as_str()), (Kind::Conflict, CONFLICT));
        let ended = world.try_change_in(&id, to).await.unwrap_err();
        assert_eq!((ended.kind(), ended.to_string().as_str()), (Kind::TransactionEnded, ENDED));
        assert_eq!(world.commit(&id).await, Err(Kind::TransactionEnded));
        // What it had claimed is free again.
        let next = world.begin();
        world.set_in(&next, "b", 30).await.unwrap();
        world.commit(&next).await.unwrap();
        for write in ["removed", "added"] {
            let id = world.begin();
            world.read_in(&id, doc! { "_id": "a" }).await;
            match write {
                "removed" => world.remove(doc! { "_id": "c" }).await,
                _ => drop(world.add(&server(), "goods", doc! { "_id": "c" }).await.unwrap()),
            }
            let done = match write {
                "removed" => world.set_in(&id, "c", 1).await,
                _ => world.add_in(&id, vec![doc! { "_id": "c" }]).await.map(|_| 1),
            };
            assert_eq!(done, Err(Kind::Conflict), "{write}");
        }
    });
}

#[test]
fn of_two_transactions_the_first_writer_wins() {
    on_every_engine(&Config::default(), async |world| {
        let world = goods(world).await;
        let (first, second) = (world.begin(), world.begin());
        world.read_in(&second, doc! { "_id": "a" }).await;
        world.set_in(&first, "a", 10).await.unwrap();
        assert_eq!(world.set_in(&second, "a", 11).await, Err(Kind::Conflict));
        assert_eq!(world.commit(&first).await, Ok(()));
        let (first, second) = (world.begin(), world.begin());
        let d = || vec![doc! { "_id": "d" }];
        world.add_in(&first, d()).await.unwrap();
        assert_eq!(world.add_in(&second, d()).await, Err(Kind::Conflict));
        let third = world.begin();
        assert_eq!(world.remove_in(&third, doc! { "n": 2 }).await, Ok(1));
        assert_eq!(world.set_in(&first, "b", 1).await, Err(Kind::Conflict));
        // Rolled back is as if it had never been.
        world.abort(&third).await;
        let fourth = world.begin();
        world.set_in(&fourth, "b", 4).await.unwrap();
        world.add_in(&fourth, d()).await.unwrap();
        world.commit(&fourth).await.unwrap();
    });
}

#[test]
fn a_writer_outside_asks_for_no_claim_and_wins() {
    on_every_engine(&Config::default(), async |world| {
        let world = goods(world).await;
        let id = world.begin();
        world.set_in(&id, "a", 10).await.unwrap();
        world.set("a", 100).await;
        assert_eq!(world.commit(&id).await, Err(Kind::Conflict));
        assert_eq!(
            world.read_in(&world.begin(), doc! { "_id": "a" }).await,
            r#"{ "_id": "a", "n": 100 }"#
        );
    });
}

/// Each writes what the other one read: the writes are taken, and one commit is refused.
#[test]
fn write_skew_ends_at_the_commit() {
    on_every_engine(&Config::default(), async |world| {
        let world = goods(world).await;
        let (one, two) = (world.begin(), world.begin());
        world.read_in(&one, doc! { "_id": "a" }).await;
        world.read_in(&two, doc! { "_id": "b" }).await;
        world.set_in(&one, "b", 1).await.unwrap();
        world.set_in(&two, "a", 2).await.unwrap();
        assert_eq!(world.commit(&one).await, Ok(()));
        assert_eq!(world.commit(&two).await, Err(Kind::Conflict));
    });
}

#[test]
fn many_documents_are_added_in_one_call() {
    on_every_engine(&Config::default(), async |world| {
        let world = goods(world).await;
        let id = world.begin();
        let many = (0..1001).map(|n| doc! { "many": n }).collect();
        assert_eq!(world.add_in(&id, many).await, Ok(1001));
        let found = world.documents_in(&id, doc! { "many": { "$gte": 0 } }).await.unwrap();
        assert_eq!(found.len(), 1000);
        let (server, every) = (server(), Which::every());
        let count = world.documents.count_in(world.caller(&server), &id, "goods", every);
        assert_eq!(count.await.unwrap(), 1004);
        world.commit(&id).await.unwrap();
        assert_eq!(world.count("goods").await, 1004);
    });
}

#[test]
fn an_upsert_adds_and_a_replacement_keeps_the_id() {
    on_every_engine(&Config::default(), async |world| {
        let world = goods(world).await;
        let id = world.begin();
        let set = |id: &str| Change {
            replace: true,
            multi: false,
            upsert: true,
            ..change(doc! { "_id": id }, doc! { "m": 1 })
        };
        let added = world.change_in(&id, set("114514")).await.unwrap();
        assert_eq!((added.updated, added.upserted), (0, Some("114514".into())));
        assert_eq!(world.change_in(&id, set("a")).await.unwrap().updated, 1);
        assert_eq!(world.remove_in(&id, doc! { "_id": "b" }).await, Ok(1));
        assert_eq!(world.read_in(&id, doc! { "_id": "b" }).await, "");
        expect![[r#"{ "_id": "114514", "m": 1 } { "_id": "a", "m": 1 } { "_id": "c", "n": 3 }"#]]
            .assert_eq(&world.read_in(&id, doc! {}).await);
        world.commit(&id).await.unwrap();
        expect![[r#"{ "_id": "114514", "m": 1 } { "_id": "a", "m": 1 } { "_id": "c", "n": 3 }"#]]
            .assert_eq(&world.read_in(&world.begin(), doc! {}).await);
    });
}

#[test]
fn what_is_left_open_ends_with_its_time_and_its_claims_too() {
    on_every_engine(&Config::default(), async |world| {
        let world = goods(world).await;
        let left = world.begin();
        world.set_in(&left, "a", 10).await.unwrap();
        let other = world.begin();
        assert_eq!(world.set_in(&other, "a", 11).await, Err(Kind::Conflict));
        world.documents.clock.advance(Duration::from_secs(30));
        let other = world.begin();
        world.set_in(&other, "a", 12).await.unwrap();
        assert_eq!(world.set_in(&left, "b", 10).await, Err(Kind::TransactionEnded));
        world.commit(&other).await.unwrap();
    });
}

#[test]
fn a_collection_made_after_the_snapshot_is_empty() {
    on_every_engine(&Config::default(), async |world| {
        let (id, server) = (world.begin(), server());
        let world = world.with_collections(&[("first", Preset::Private)]).await;
        let count = async |collection: &str| {
            let caller = world.caller(&server);
            world.documents.count_in(caller, &id, collection, Which::every()).await.unwrap()
        };
        assert_eq!(count("first").await, 0);
        let caller = world.caller(&server);
        world.documents.create_collection(caller, "goods", Preset::Private).await.unwrap();
        world.add(&server, "goods", doc! { "_id": "a" }).await.unwrap();
        assert_eq!(count("goods").await, 0);
        assert_eq!(world.read_in(&id, doc! { "_id": "a" }).await, "");
        world.add_in(&id, vec![doc! { "_id": "b" }]).await.unwrap();
        assert_eq!(count("goods").await, 1);
    });
}

#[test]
fn what_another_server_changed_is_seen_as_it_was() {
    on_every_engine(&Config::default(), async |world| {
        let world = goods(world).await;
        let (other, server) = (world.other_server(), server());
        let caller = Caller { env: &world.env, principal: &server };
        let set_elsewhere = async |id: &str, n: i32| {
            let to = change(doc! { "_id": id }, doc! { "$set": { "n": n } });
            other.update(caller, "goods", to, None).await.unwrap();
        };
        let id = world.begin();
        world.read_in(&id, doc! { "_id": "b" }).await;
        set_elsewhere("a", 9).await;
        world.set("a", 8).await;
        set_elsewhere("a", 7).await;
        let gone = Which::parse(&doc! { "_id": "c" }).unwrap();
        other.remove(caller, "goods", gone, false, None).await.unwrap();
        let added = vec![doc! { "_id": "c", "n": 33 }, doc! { "_id": "d", "n": 4 }];
        other.insert(caller, "goods", added, None).await.unwrap();
        let before = r#"{ "_id": "a", "n": 1 } { "_id": "b", "n": 2 } { "_id": "c", "n": 3 }"#;
        assert_eq!(world.read_in(&id, doc! { "_id": "a" }).await, r#"{ "_id": "a", "n": 1 }"#);
        assert_eq!(world.read_in(&id, doc! {}).await, before);
        assert_eq!(world.read_in(&id, doc! { "_id": "d" }).await, "");
        assert_eq!(
            world.read_in(&id, doc! { "n": { "$gt": 2 } }).await,
            r#"{ "_id": "c", "n": 3 }"#
        );
        // It sees them; to change them would undo what was done since.
        assert_eq!(world.set_in(&id, "c", 5).await, Err(Kind::Conflict));
        let id = world.begin();
        world.set_in(&id, "b", 5).await.unwrap();
        set_elsewhere("b", 6).await;
        assert_eq!(world.commit(&id).await, Err(Kind::Conflict));
    });
}

#[test]
fn a_transaction_whose_past_is_gone_is_in_conflict() {
    on_every_engine(&Config::default(), async |world| {
        let world = goods(world).await;
        let id = world.begin();
        world.read_in(&id, doc! { "_id": "b" }).await;
        world.set("a", 8).await;
        let trimmed = "UPDATE {sequences} SET trimmed = sequence";
        world.run(trimmed, &[Logical("sequences")]).await;
        world.run("DELETE FROM {changes}", &[Logical("changes")]).await;
        assert_eq!(world.read_in(&id, doc! { "_id": "a" }).await, "Conflict");
        let id = world.begin();
        world.read_in(&id, doc! { "_id": "b" }).await;
        world.set("a", 9).await;
        world.run(trimmed, &[Logical("sequences")]).await;
        assert_eq!(world.read_in(&id, doc! {}).await, "Conflict");
    });
}

/// Whoever could make a conflict of a document that is not theirs would hear when it changes.
#[test]
fn a_conflict_tells_nothing_of_documents_out_of_reach() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("goods", Preset::Private)]).await;
        let (anna, bert) = (user("anna"), user("bert"));
        world.add(&bert, "goods", doc! { "_id": "secret", "n": 1 }).await.unwrap();
        world.add(&anna, "goods", doc! { "_id": "own", "n": 1 }).await.unwrap();
        for query in [doc! { "_id": "secret" }, doc! { "n": 1 }, doc! { "_id": "none" }] {
            let caller = world.caller(&anna);
            let id = world.documents.start_transaction(caller).unwrap();
            world.documents.find_in(caller, &id, "goods", find(query.clone())).await.unwrap();
            let taken = vec![doc! { "_id": "secret" }];
            let taken = world.documents.insert_in(caller, &id, "goods", taken).await;
            assert_eq!(taken.unwrap_err().kind(), Kind::AlreadyExists);
            let to = change(doc! { "_id": "own" }, doc! { "$inc": { "n": 0, "m": 1 } });
            world.documents.update_in(caller, &id, "goods", to).await.unwrap();
            let to = change(doc! { "_id": "secret" }, doc! { "$inc": { "n": 1 } });
            world.update(&bert, "goods", to).await;
            world.documents.commit_transaction(caller, &id).await.unwrap();
        }
        // What they saw is validated as ever.
        let caller = world.caller(&anna);
        let id = world.documents.start_transaction(caller).unwrap();
        world.documents.find_in(caller, &id, "goods", find(doc! { "_id": "own" })).await.unwrap();
        let added = vec![doc! { "_id": "more" }];
        world.documents.insert_in(caller, &id, "goods", added).await.unwrap();
        let to = change(doc! { "_id": "own" }, doc! { "$inc": { "n": 1 } });
        world.update(&anna, "goods", to).await;
        let lost = world.documents.commit_transaction(caller, &id).await.unwrap_err();
        assert_eq!(lost.kind(), Kind::Conflict);
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
        assert!(world.documents.abort_transaction(caller, &id).await.is_err());
        assert!(world.documents.commit_transaction(caller, &id).await.is_err());
        world.commit(&id).await.unwrap();
    });
}

/// Ten write batches of money go from account to account by many hands; none is lost, and none made.
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
