//! What a transaction may hold, how many a person may have open, and what it does not offer.

use bson::{Bson, Document, doc};
use expect_test::expect;
use yunzhan_base::{Kind, Principal};
use yunzhan_query::Order;

use super::super::{change, described, find};
use super::goods;
use crate::documents::testing::{World, on_every_engine, server, user};
use crate::documents::{Config, Find, Preset, TRANSACTION_DOCUMENTS_MAX};

const FULL: &str = "TooLarge: a transaction has at most 5000 documents";

impl World {
    async fn fill(&self, principal: &Principal, documents: usize) {
        let numbered = |n: usize| doc! { "_id": format!("f{n:05}"), "f": 1 };
        for from in (0..documents).step_by(1000) {
            let page = (from..documents.min(from + 1000)).map(numbered).collect();
            self.documents.insert(self.caller(principal), "goods", page, None).await.unwrap();
        }
    }

    async fn refused_in(&self, transaction: &str, find: Find) -> String {
        let server = server();
        let found = self.documents.find_in(self.caller(&server), transaction, "goods", find).await;
        found.map_or_else(|error| format!("{:?}: {error}", error.kind()), |_| "found".to_owned())
    }
}

#[test]
fn a_transaction_holds_so_many_documents_and_no_more() {
    on_every_engine(&Config::default(), async |world| {
        let world = goods(world).await;
        world.fill(&server(), TRANSACTION_DOCUMENTS_MAX).await;
        // What it reads: a page after another one, up to its bound, and not one more.
        let id = world.begin();
        let page = |skip: usize| Find { skip, limit: 1000, ..find(doc! { "f": 1 }) };
        for skip in (0..TRANSACTION_DOCUMENTS_MAX).step_by(1000) {
            assert_eq!(world.refused_in(&id, page(skip)).await, "found");
        }
        assert_eq!(world.refused_in(&id, find(doc! { "_id": "a" })).await, FULL);
        assert_eq!(world.add_in(&id, vec![doc! { "m": 1 }]).await, Err(Kind::TooLarge));
        // What it holds it may still change; a refusal of this kind is no end.
        assert_eq!(world.set_in(&id, "f00000", 1).await, Ok(1));
        world.commit(&id).await.unwrap();
        // What it writes, in one call: those that are there, and one that is not one of the five thousand.
        let id = world.begin();
        assert_eq!(world.remove_in(&id, doc! {}).await, Err(Kind::TooLarge));
        let changed = world.change_in(&id, change(doc! {}, doc! { "$set": { "m": 1 } })).await;
        assert_eq!(changed.unwrap_err(), Kind::TooLarge);
        world.abort(&id).await;
        // What it adds.
        let id = world.begin();
        for _ in 0..5 {
            let page = (0..1000).map(|n| doc! { "n": n }).collect();
            assert_eq!(world.add_in(&id, page).await, Ok(1000));
        }
        assert_eq!(world.add_in(&id, vec![doc! {}]).await, Err(Kind::TooLarge));
        world.abort(&id).await;
        assert_eq!(world.count("goods").await, 5003);
    });
}

#[test]
fn the_nearest_are_not_offered_in_a_transaction() {
    on_every_engine(&Config::default(), async |world| {
        let world = goods(world).await;
        for (id, lng) in [("p", 113.0), ("q", 114.0)] {
            let point = doc! { "type": "Point", "coordinates": [lng, 23.0] };
            world.add(&server(), "goods", doc! { "_id": id, "loc": point }).await.unwrap();
        }
        let point = doc! { "type": "Point", "coordinates": [113.5, 23.0] };
        let id = world.begin();
        let near = |near: &str| find(doc! { "loc": { near: { "$geometry": point.clone() } } });
        for operator in ["$near", "$nearSphere"] {
            expect![
                "InvalidParameter: the nearest are not offered in a transaction; name an order"
            ]
            .assert_eq(&world.refused_in(&id, near(operator)).await);
        }
        let by_id = Order::parse(&doc! { "_id": -1 }).unwrap();
        let ordered = Find { order: by_id, ..near("$near") };
        assert_eq!(world.refused_in(&id, ordered).await, "found");
        // Nor may it choose what is written: which one would be left to the scan.
        let nearest = doc! { "loc": { "$near": { "$geometry": point.clone() } } };
        let to = change(nearest.clone(), doc! { "$set": { "n": 1 } });
        assert_eq!(world.change_in(&id, to).await.unwrap_err(), Kind::InvalidParameter);
        assert_eq!(world.remove_in(&id, nearest).await, Err(Kind::InvalidParameter));
        world.commit(&id).await.unwrap();
    });
}

#[test]
fn a_person_has_ten_open_transactions_and_a_key_more() {
    on_every_engine(&Config::default(), async |world| {
        let (anna, ben) = (user("anna"), user("ben"));
        let begin = |who: &Principal| world.documents.start_transaction(world.caller(who));
        let open: Vec<_> = (0..10).map(|_| begin(&anna).unwrap()).collect();
        assert_eq!(described(begin(&anna)), "TooManyAtOnce");
        begin(&ben).unwrap();
        (0..20).for_each(|_| drop(world.begin()));
        world.documents.abort_transaction(world.caller(&anna), &open[3]).await.unwrap();
        begin(&anna).unwrap();
        assert_eq!(described(begin(&anna)), "TooManyAtOnce");
        let committed = world.documents.commit_transaction(world.caller(&anna), &open[4]).await;
        committed.unwrap();
        begin(&anna).unwrap();
        // Those that were left open end with their time.
        world.documents.clock.advance(std::time::Duration::from_secs(30));
        (0..10).for_each(|_| drop(begin(&anna).unwrap()));
        assert_eq!(described(begin(&anna)), "TooManyAtOnce");
    });
}

/// Not even with several transactions, each within its own bound.
#[test]
fn a_person_holds_as_many_bytes_as_one_transaction_may() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("goods", Preset::Private)]).await;
        let (anna, ben) = (user("anna"), user("ben"));
        let begin = |who: &Principal| world.documents.start_transaction(world.caller(who)).unwrap();
        let add = async |who: &Principal, transaction: &str| {
            let large = vec![doc! { "text": "x".repeat(3 << 20) }];
            let added = world.documents.insert_in(world.caller(who), transaction, "goods", large);
            described(added.await.map(|_| "added"))
        };
        let (first, second) = (begin(&anna), begin(&anna));
        for transaction in [&first, &second, &first, &second, &first] {
            assert_eq!(add(&anna, transaction).await, "added");
        }
        assert_eq!(add(&anna, &second).await, "LimitExceeded");
        // It is anna's part that is taken.
        assert_eq!(add(&ben, &begin(&ben)).await, "added");
        assert_eq!(world.add_in(&world.begin(), vec![doc! { "n": 1 }]).await, Ok(1));
        world.documents.abort_transaction(world.caller(&anna), &first).await.unwrap();
        assert_eq!(add(&anna, &second).await, "added");
        world.documents.commit_transaction(world.caller(&anna), &second).await.unwrap();
        assert_eq!(world.count("goods").await, 3);
    });
}

/// In which order they were written does not matter: what counts is what stands there in the end.
#[test]
fn a_unique_value_moves_between_documents_within_one_commit() {
    on_every_engine(&Config::default(), async |world| {
        let world = goods(world).await;
        world.index(doc! { "n": 1 }, true).await.unwrap();
        assert!(world.finish().await.contains("Ready"));
        let all = async |world: &World| world.read_in(&world.begin(), doc! {}).await;
        // What goes makes room for one that comes, and for one that was there.
        let id = world.begin();
        assert_eq!(world.remove_in(&id, doc! { "_id": "b" }).await, Ok(1));
        world.set_in(&id, "a", 2).await.unwrap();
        world.add_in(&id, vec![doc! { "_id": "0", "n": 1 }]).await.unwrap();
        world.commit(&id).await.unwrap();
        expect![[r#"{ "_id": "0", "n": 1 } { "_id": "a", "n": 2 } { "_id": "c", "n": 3 }"#]]
            .assert_eq(&all(&world).await);
        // Two change places, and three go round.
        let id = world.begin();
        world.set_in(&id, "0", 2).await.unwrap();
        world.set_in(&id, "a", 1).await.unwrap();
        world.commit(&id).await.unwrap();
        let id = world.begin();
        for (document, n) in [("c", 1), ("a", 2), ("0", 3)] {
            world.set_in(&id, document, n).await.unwrap();
        }
        world.commit(&id).await.unwrap();
        expect![[r#"{ "_id": "0", "n": 3 } { "_id": "a", "n": 2 } { "_id": "c", "n": 1 }"#]]
            .assert_eq(&all(&world).await);
        // A value that nobody leaves is refused, and nothing happens.
        let id = world.begin();
        world.set_in(&id, "0", 2).await.unwrap();
        world.set_in(&id, "c", 4).await.unwrap();
        assert_eq!(world.commit(&id).await, Err(Kind::AlreadyExists));
        let by_value = async |n: i32| {
            let ids = world.documents_in(&world.begin(), doc! { "n": n }).await.unwrap();
            let id = |document: &Document| document.get("_id").cloned().unwrap();
            ids.iter().map(id).collect::<Vec<_>>()
        };
        let one = |id: &str| vec![Bson::from(id)];
        assert_eq!((by_value(1).await, by_value(2).await), (one("c"), one("a")));
        assert_eq!((by_value(3).await, by_value(4).await), (one("0"), Vec::new()));
    });
}
