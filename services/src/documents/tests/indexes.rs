//! Indexes: built while others write, used for filter, order and count, and gone when dropped.

use std::fmt::Write;
use std::sync::Arc;

use bson::{Document, doc};
use expect_test::{Expect, expect};
use yunzhan_base::{Kind, Result};
use yunzhan_query::Order;
use yunzhan_query::key::{FORMAT, KeyRange};

use super::{change, described, find};
use crate::documents::indexes::build_page;
use crate::documents::store::Side;
use crate::documents::testing::{World, on_every_engine, server, user};
use crate::documents::{Config, Documents, Index, Keys, NewIndex, Preset, State, Which};

fn index(definition: &Document, unique: bool) -> NewIndex {
    NewIndex { name: None, keys: Keys::parse(definition).unwrap(), unique }
}

impl World {
    pub(super) async fn index(&self, definition: Document, unique: bool) -> Result<()> {
        let (server, new) = (server(), index(&definition, unique));
        self.documents.create_index(self.caller(&server), "goods", new).await.map(drop)
    }

    /// Works until nothing is left to do, and gives the collection's own indexes.
    pub(super) async fn finish(&self) -> String {
        self.finish_by(&self.documents).await
    }

    async fn finish_by(&self, documents: &Documents) -> String {
        for _ in 0..1000 {
            documents.work_on_indexes().await.unwrap();
            let indexes = documents.indexes(&self.env, "goods").await.unwrap();
            let is_done = |state| matches!(state, State::Ready | State::Failed);
            if indexes.iter().all(|index| is_done(index.state)) {
                let own = indexes.iter().filter(|index| index.is_own());
                return own.map(|index| line(index)).collect();
            }
        }
        panic!("the indexes are never finished");
    }

    async fn is_finished(&self, documents: &Documents) -> bool {
        let indexes = documents.indexes(&self.env, "goods").await.unwrap();
        indexes.iter().all(|index| matches!(index.state, State::Ready | State::Failed))
    }

    async fn explain(&self, query: Document, order: Document) -> String {
        let (server, order) = (server(), Order::parse(&order).unwrap());
        let which = Which::parse(&query).unwrap();
        let described =
            self.documents.explain(self.caller(&server), "goods", which, &order, 3).await;
        let described = described.unwrap();
        let wanted = match described.wanted_index.as_slice() {
            [] => String::new(),
            fields => format!(" wants {}", fields.join(" ")),
        };
        format!(
            "{} {} ranges {} ordered {} exact {} examined {} matched {}{wanted}",
            described.access,
            described.index.unwrap_or_default(),
            described.ranges,
            described.ordered,
            described.exact,
            described.documents_examined,
            described.documents_matched
        )
    }

    pub(super) async fn total(&self, query: Document) -> u64 {
        let server = server();
        let which = Which::parse(&query).unwrap();
        self.documents.count(self.caller(&server), "goods", which).await.unwrap()
    }
}

fn line(index: &Index) -> String {
    let Index { name, unique, state, progress, failure, .. } = index;
    let failure = failure.as_deref().unwrap_or("-");
    format!("{name} unique {unique} {state:?} {}/{} {failure}\n", progress.done, progress.total)
}

async fn shop(world: World, documents: i32) -> World {
    let world = world.with_collections(&[("goods", Preset::ReadOnly)]).await;
    let made = (0..documents).map(|n| doc! { "_id": format!("g{n:04}"), "n": n % 10, "m": n });
    let server = server();
    let caller = world.caller(&server);
    world.documents.insert(caller, "goods", made.collect(), None).await.unwrap();
    world
}

#[test]
fn an_index_is_built_and_serves_filter_order_and_count() {
    on_every_engine(&Config::default(), async |world| {
        let world = shop(world, 500).await;
        let asked = [
            (doc! { "n": 3 }, doc! {}),
            (doc! { "n": 3 }, doc! { "m": -1 }),
            (doc! { "n": 3 }, doc! { "m": 1, "_id": 1 }),
            (doc! { "n": 3, "m": { "$gte": 400 } }, doc! {}),
            (doc! { "n": { "$in": [3, 4] } }, doc! { "m": 1 }),
            (doc! { "m": 7 }, doc! {}),
        ];
        let explained = async || {
            let mut text = String::new();
            for (query, order) in &asked {
                let described = world.explain(query.clone(), order.clone()).await;
                writeln!(text, "{query} {order}: {described}").unwrap();
            }
            text
        };
        let answers = async || {
            let mut text = String::new();
            for (query, order) in &asked {
                let mut wanted = find(query.clone());
                wanted.order = Order::parse(order).unwrap();
                text += &world.list(&server(), "goods", wanted).await.replace(" of ?", " of 50");
                writeln!(text, "{}", world.total(query.clone()).await).unwrap();
            }
            text
        };
        let without = answers().await;
        expect![[r#"
            { "n": 3 } {}: scan  ranges 1 ordered true exact false examined 24 matched 3 wants n
            { "n": 3 } { "m": -1 }: scan  ranges 1 ordered false exact false examined 500 matched 50 wants n m
            { "n": 3 } { "m": 1, "_id": 1 }: scan  ranges 1 ordered false exact false examined 500 matched 50 wants n m
            { "n": 3, "m": { "$gte": 400 } } {}: scan  ranges 1 ordered true exact false examined 424 matched 3 wants n m
            { "n": { "$in": [3, 4] } } { "m": 1 }: scan  ranges 1 ordered false exact false examined 500 matched 100 wants m n
            { "m": 7 } {}: scan  ranges 1 ordered true exact false examined 500 matched 1 wants m
        "#]].assert_eq(&explained().await);
        world.index(doc! { "n": 1, "m": 1 }, false).await.unwrap();
        expect![[r#"
            n_1_m_1 unique false Ready 500/500 -
        "#]]
        .assert_eq(&world.finish().await);
        expect![[r#"
            { "n": 3 } {}: index n_1_m_1 ranges 1 ordered true exact true examined 3 matched 3
            { "n": 3 } { "m": -1 }: index n_1_m_1 ranges 1 ordered true exact true examined 3 matched 3
            { "n": 3 } { "m": 1, "_id": 1 }: index n_1_m_1 ranges 1 ordered true exact true examined 3 matched 3
            { "n": 3, "m": { "$gte": 400 } } {}: index n_1_m_1 ranges 1 ordered true exact true examined 3 matched 3
            { "n": { "$in": [3, 4] } } { "m": 1 }: index n_1_m_1 ranges 2 ordered false exact true examined 100 matched 100
            { "m": 7 } {}: scan  ranges 1 ordered true exact false examined 500 matched 1 wants m
        "#]].assert_eq(&explained().await);
        assert_eq!(answers().await.replace(" of ?", " of 50"), without);
    });
}

#[test]
fn what_is_written_during_the_building_is_in_the_index() {
    on_every_engine(&Config::default(), async |world| {
        let world = shop(world, 450).await;
        let server = server();
        world.index(doc! { "n": 1 }, false).await.unwrap();
        // Before the building has come anywhere: one comes, one changes, one goes.
        world.add(&server, "goods", doc! { "_id": "new", "n": 77 }).await.unwrap();
        let to = |id: &str, n: i32| change(doc! { "_id": id }, doc! { "$set": { "n": n } });
        world.update(&server, "goods", to("g0003", 77)).await;
        let gone = Which::parse(&doc! { "_id": "g0013" }).unwrap();
        world.documents.remove(world.caller(&server), "goods", gone, false, None).await.unwrap();
        world.finish().await;
        world.update(&server, "goods", to("g0023", 77)).await;
        let check = async |query: Document, expected: Expect| {
            let described = world.explain(query.clone(), doc! {}).await;
            expected.assert_eq(&format!("{} {}", world.total(query).await, &described[..11]));
        };
        check(doc! { "n": 77 }, expect!["3 index n_1 r"]).await;
        check(doc! { "n": 3 }, expect!["42 index n_1 r"]).await;
    });
}

/// Whoever changes a document that the building has read and not added yet has to add all of its keys.
#[test]
fn a_change_between_reading_and_adding_loses_no_key() {
    on_every_engine(&Config::default(), async |world| {
        let world = shop(world, 3).await;
        let server = server();
        world.index(doc! { "n": 1 }, false).await.unwrap();
        world.index(doc! { "m": 1 }, true).await.unwrap();
        let collection = world.documents.collection(&world.env, "goods").await.unwrap();
        let table = world.documents.table(&world.env, Arc::clone(&collection));
        let all = KeyRange { from: vec![FORMAT], to: vec![FORMAT + 1] };
        let read = async || table.documents(&all, Side::First, 100).await.unwrap();
        let (first, second) = (read().await, read().await);
        let touched = change(doc! { "_id": "g0001" }, doc! { "$set": { "other": 1 } });
        world.update(&server, "goods", touched).await;
        for (index, page) in collection.indexes[1..].iter().zip([first, second]) {
            build_page(&table, index, page).await.unwrap();
        }
        world.finish().await;
        assert_eq!(
            (world.total(doc! { "n": 1 }).await, world.total(doc! { "m": 1 }).await),
            (1, 1)
        );
        expect!["AlreadyExists"]
            .assert_eq(&described(world.add(&server, "goods", doc! { "m": 1 }).await));
        let gone = Which::parse(&doc! { "_id": "g0001" }).unwrap();
        let removed =
            world.documents.remove(world.caller(&server), "goods", gone, false, None).await;
        assert_eq!(removed.unwrap(), 1);
        expect![[r#""z""#]]
            .assert_eq(&described(world.add(&server, "goods", doc! { "_id": "z", "m": 1 }).await));
    });
}

/// What the building has added follows the document, wherever the building is.
#[test]
fn a_change_behind_the_building_takes_its_old_entry_along() {
    on_every_engine(&Config::default(), async |world| {
        let world = shop(world, 6).await;
        let server = server();
        world.index(doc! { "n": 1 }, false).await.unwrap();
        world.index(doc! { "m": 1 }, true).await.unwrap();
        let collection = world.documents.collection(&world.env, "goods").await.unwrap();
        let table = world.documents.table(&world.env, Arc::clone(&collection));
        let all = KeyRange { from: vec![FORMAT], to: vec![FORMAT + 1] };
        for index in &collection.indexes[1..] {
            let page = table.documents(&all, Side::First, 3).await.unwrap();
            build_page(&table, index, page).await.unwrap();
        }
        // Three documents are in the indexes, and three are not yet. Of each, one changes and one goes.
        for (moved, gone, to) in [("g0000", "g0001", 70), ("g0003", "g0004", 71)] {
            let moved = change(doc! { "_id": moved }, doc! { "$set": { "n": to, "m": to } });
            expect!["matched 1 updated 1 upserted None"]
                .assert_eq(&world.update(&server, "goods", moved).await);
            let gone = Which::parse(&doc! { "_id": gone }).unwrap();
            let removed =
                world.documents.remove(world.caller(&server), "goods", gone, false, None).await;
            assert_eq!(removed.unwrap(), 1);
        }
        expect![[r#"
            n_1 unique false Ready 5/6 -
            m_1 unique true Ready 5/6 -
        "#]]
        .assert_eq(&world.finish().await);
        for field in ["n", "m"] {
            let mut left = String::new();
            for value in [0, 1, 2, 3, 4, 5, 70, 71] {
                write!(left, "{value}:{} ", world.total(doc! { field: value }).await).unwrap();
            }
            expect!["0:0 1:0 2:1 3:0 4:0 5:1 70:1 71:1 "].assert_eq(&left);
        }
        // The values that were left are free.
        for m in [0, 1, 3, 4] {
            world.add(&server, "goods", doc! { "m": m }).await.unwrap();
        }
    });
}

/// A document that was accepted before may be changed and removed, although the index that is being built refuses it.
#[test]
fn what_an_index_refuses_can_be_put_right_while_it_is_built() {
    on_every_engine(&Config::default(), async |world| {
        let world = shop(world, 3).await;
        let server = server();
        let many: Vec<i32> = (0..1001).collect();
        for id in ["bad0", "bad1", "bad2", "bad3"] {
            world.add(&server, "goods", doc! { "_id": id, "n": &many }).await.unwrap();
        }
        world.index(doc! { "n": 1 }, false).await.unwrap();
        let set = |id: &str, set: Document| change(doc! { "_id": id }, doc! { "$set": set });
        expect!["matched 1 updated 1 upserted None"]
            .assert_eq(&world.update(&server, "goods", set("bad0", doc! { "n": 77 })).await);
        let stays = world.update(&server, "goods", set("bad1", doc! { "other": 1 })).await;
        assert!(stays.starts_with("TooLarge: index n_1: "), "{stays}");
        let which = |id: &str| Which::parse(&doc! { "_id": id }).unwrap();
        let caller = world.caller(&server);
        let removed = world.documents.remove(caller, "goods", which("bad1"), false, None).await;
        assert_eq!(removed.unwrap(), 1);
        let transaction = world.documents.start_transaction(caller).unwrap();
        let change = set("bad2", doc! { "n": 78 });
        world.documents.update_in(caller, &transaction, "goods", change).await.unwrap();
        let gone = which("bad3");
        world.documents.remove_in(caller, &transaction, "goods", gone, false).await.unwrap();
        world.documents.commit_transaction(caller, &transaction).await.unwrap();
        let finished = world.finish().await;
        assert!(finished.starts_with("n_1 unique false Ready"), "{finished}");
        let mut left = String::new();
        for n in [0, 1, 2, 3, 77, 78, 1000] {
            write!(left, "{n}:{} ", world.total(doc! { "n": n }).await).unwrap();
        }
        expect!["0:1 1:1 2:1 3:0 77:1 78:1 1000:0 "].assert_eq(&left);
    });
}

/// Another server that read the collection before the index was made must not write past it.
#[test]
fn nobody_writes_past_an_index() {
    on_every_engine(&Config::default(), async |world| {
        let world = shop(world, 20).await;
        let (other, server) = (world.other_server(), server());
        let caller = world.caller(&server);
        other.insert(caller, "goods", vec![doc! { "_id": "x", "n": 1 }], None).await.unwrap();
        world.index(doc! { "n": 1 }, false).await.unwrap();
        world.finish().await;
        other.insert(caller, "goods", vec![doc! { "_id": "y", "n": 99 }], None).await.unwrap();
        let moved = change(doc! { "_id": "x" }, doc! { "$set": { "n": 99 } });
        other.update(caller, "goods", moved, None).await.unwrap();
        assert_eq!(world.total(doc! { "n": 99 }).await, 2);
    });
}

/// Each server ends before another page of its index is in the database, and the next goes on from there, although
/// documents behind and before that place have changed or gone meanwhile.
#[test]
fn a_building_goes_on_where_another_server_ended() {
    on_every_engine(&Config::default(), async |world| {
        let world = shop(world, 450).await;
        let server = server();
        let make = async |name: String| {
            let new = NewIndex { name: Some(name), ..index(&doc! { "m": 1 }, true) };
            world.documents.create_index(world.caller(&server), "goods", new).await.unwrap();
        };
        let mut described = String::new();
        for pages in 0..4 {
            make(format!("ended_{pages}")).await;
            let (ending, _) = world.over_watched_database(pages);
            ending.indexes(&world.env, "goods").await.unwrap();
            // On a busy machine the time of one round may be over before the last page.
            let ended = loop {
                match ending.work_on_indexes().await {
                    Err(ended) => break ended,
                    Ok(()) => assert!(!world.is_finished(&ending).await, "nobody ended"),
                }
            };
            assert_eq!(ended.kind(), Kind::Unavailable);
            drop(ending);
            let next = world.other_server();
            let left = next.indexes(&world.env, "goods").await.unwrap();
            writeln!(described, "{}", line(left.last().unwrap()).trim()).unwrap();
            for (n, from) in [(pages, 0), (pages + 10, 200)] {
                let id = |n: usize| format!("g{:04}", from + n);
                let set = doc! { "$set": { "m": i32::try_from(1000 + from + n).unwrap() } };
                world.update(&server, "goods", change(doc! { "_id": id(n) }, set)).await;
                let gone = Which::One(id(n + 20).into());
                let caller = world.caller(&server);
                world.documents.remove(caller, "goods", gone, false, None).await.unwrap();
            }
            let finished = world.finish_by(&next).await;
            writeln!(described, "  {}", finished.lines().last().unwrap()).unwrap();
        }
        expect![[r#"
            ended_0 unique true Building 0/450 -
              ended_0 unique true Ready 448/450 -
            ended_1 unique true Building 200/448 -
              ended_1 unique true Ready 447/448 -
            ended_2 unique true Building 400/446 -
              ended_2 unique true Ready 446/446 -
            ended_3 unique true Building 444/444 -
              ended_3 unique true Ready 444/444 -
        "#]]
        .assert_eq(&described);
        make("whole".to_owned()).await;
        world.finish().await;
        let indexes = world.documents.indexes(&world.env, "goods").await.unwrap();
        let own: Vec<_> = indexes.iter().filter(|index| index.is_own()).collect();
        let whole = world.entries(own.iter().find(|index| index.name == "whole").unwrap()).await;
        assert_eq!(whole.each_ref().map(|rows| rows.0.len()), [442, 442]);
        for index in &own {
            assert_eq!(world.entries(index).await, whole, "{}", index.name);
        }
    });
}

#[test]
fn a_unique_value_stands_once() {
    on_every_engine(&Config::default(), async |world| {
        let world = shop(world, 20).await;
        let server = server();
        world.index(doc! { "m": 1 }, true).await.unwrap();
        // Of twenty documents two have n = 3.
        world.index(doc! { "n": 1 }, true).await.unwrap();
        expect![[r#"
            m_1 unique true Ready 20/20 -
            n_1 unique true Failed 0/20 two documents have the same value
        "#]]
        .assert_eq(&world.finish().await);
        let mut text = String::new();
        let add = async |document| described(world.add(&server, "goods", document).await);
        writeln!(text, "{}", add(doc! { "_id": "a", "m": 5 }).await).unwrap();
        writeln!(text, "{}", add(doc! { "_id": "b" }).await).unwrap();
        writeln!(text, "{}", add(doc! { "_id": "c" }).await).unwrap();
        let to = |m: i32| change(doc! { "_id": "b" }, doc! { "$set": { "m": m } });
        writeln!(text, "{}", world.update(&server, "goods", to(7)).await).unwrap();
        writeln!(text, "{}", world.update(&server, "goods", to(70)).await).unwrap();
        writeln!(text, "{}", add(doc! { "_id": "c" }).await).unwrap();
        expect![[r#"
            AlreadyExists
            "b"
            AlreadyExists
            AlreadyExists: duplicate value for unique index m_1
            matched 1 updated 1 upserted None
            "c"
        "#]]
        .assert_eq(&text);
    });
}

#[test]
fn a_dropped_index_is_gone_with_its_entries() {
    on_every_engine(&Config::default(), async |world| {
        let world = shop(world, 300).await;
        let (server, somebody) = (server(), user("anna"));
        world.index(doc! { "m": 1 }, true).await.unwrap();
        world.finish().await;
        let again = world.index(doc! { "m": 1 }, true).await.unwrap_err();
        assert_eq!(again.kind(), Kind::AlreadyExists);
        world.documents.drop_index(world.caller(&server), "goods", "m_1").await.unwrap();
        assert_eq!(world.finish().await, "");
        world.add(&somebody, "goods", doc! { "m": 7 }).await.unwrap();
        expect!["scan  ranges 1 ordered true exact false examined 301 matched 2 wants m"]
            .assert_eq(&world.explain(doc! { "m": 7 }, doc! {}).await);
        // The values stand twice now, which an index of the same name finds out.
        world.index(doc! { "m": 1 }, true).await.unwrap();
        assert!(world.finish().await.contains("Failed"));
        let owner = world.documents.drop_index(world.caller(&server), "goods", "_openid_").await;
        expect!["not_found: the index _openid_ belongs to every collection and stays"]
            .assert_eq(&format!("{:?}", owner.unwrap_err()));
        // The whole collection is nothing that an index would lead to.
        expect!["scan  ranges 1 ordered true exact true examined 3 matched 3"]
            .assert_eq(&world.explain(doc! {}, doc! {}).await);
    });
}

#[test]
fn a_list_of_values_is_found_by_each_and_counted_once() {
    on_every_engine(&Config::default(), async |world| {
        let world = shop(world, 5).await;
        let server = server();
        world.index(doc! { "tags": 1 }, false).await.unwrap();
        world.finish().await;
        let found = async |query: Document| world.list(&server, "goods", find(query)).await;
        world.add(&server, "goods", doc! { "_id": "t", "tags": ["a", "b", "c"] }).await.unwrap();
        expect![[r#"
            {"_id":"t","tags":["a","b","c"]}
            1 of 1
        "#]]
        .assert_eq(&found(doc! { "tags": { "$in": ["a", "b"] } }).await);
        assert_eq!(world.total(doc! { "tags": { "$gte": "a", "$lte": "c" } }).await, 1);
    });
}
