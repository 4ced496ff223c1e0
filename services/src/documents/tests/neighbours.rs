//! What happens in one environment is not felt in another, and what is not there is not free.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::{Document, doc};
use expect_test::expect;
use yunzhan_base::principal::ServerKey;
use yunzhan_base::{EnvId, Kind, Principal};
use yunzhan_query::Order;

use super::find;
use crate::documents::memory::Memory;
use crate::documents::testing::{on_every_engine, on_sqlite, server};
use crate::documents::{Caller, Config, Find, Keys, NewIndex, Preset};

const MIB: u64 = 1 << 20;

/// Another environment, and a key of its own.
fn other() -> (EnvId, Principal) {
    let env: EnvId = "other".parse().unwrap();
    let key = ServerKey { env: env.clone(), key_id: "k2".into() };
    (env, Principal::Server(Arc::new(key)))
}

#[test]
fn results_sorts_and_groups_are_held_within_the_part_of_their_environment() {
    on_sqlite(&Config::default(), async |world| {
        let (mut documents, _) = world.over_watched_database(usize::MAX);
        documents.store.memory = Arc::new(Memory::with_bounds(8 * MIB, 64 * MIB));
        let (server, (other, other_key)) = (server(), other());
        let own = world.caller(&server);
        let neighbour = Caller { env: &other, principal: &other_key };
        let text = "x".repeat(1 << 20);
        for caller in [own, neighbour] {
            documents.create_collection(caller, "goods", Preset::Private).await.unwrap();
            for n in 0..5 {
                let document = doc! { "_id": n, "n": n, "text": &text };
                documents.insert(caller, "goods", vec![document], None).await.unwrap();
            }
        }
        let sorted = || Find {
            order: Order::parse(&doc! { "n": -1 }).unwrap(),
            ..find(doc! { "n": { "$gte": 0 } })
        };
        let group = [doc! { "$group": { "_id": null, "all": { "$push": "$text" } } }];
        // As long as it is not answered, it is held.
        let held = documents.find(own, "goods", find(doc! {})).await.unwrap();
        let refused = [
            documents.find(own, "goods", find(doc! {})).await.map(drop),
            documents.find(own, "goods", sorted()).await.map(drop),
            documents.aggregate(own, "goods", &group).await.map(drop),
        ];
        for refused in refused {
            let refused = refused.unwrap_err();
            assert_eq!(refused.kind(), Kind::TooManyAtOnce);
            let message = "the calls under way hold too much memory; try again in a moment";
            assert!(refused.message().starts_with(message), "{refused}");
        }
        let theirs = documents.find(neighbour, "goods", sorted()).await.unwrap();
        assert_eq!(theirs.documents.len(), 5);
        drop(held);
        let held = documents.find(own, "goods", sorted()).await.unwrap();
        assert_eq!(held.documents.len(), 5);
        drop(held);
        assert_eq!(documents.aggregate(own, "goods", &group).await.unwrap().len(), 1);
    });
}

#[test]
fn what_is_not_there_costs_as_much_as_what_is() {
    let config =
        Config { scan_documents_max: 1000, aggregate_documents_max: 1000, ..Config::default() };
    on_every_engine(&config, async |world| {
        let world = world.with_collections(&[("goods", Preset::ReadOnly)]).await;
        let server = server();
        let absent: Vec<String> = (0..2000).map(|n| format!("absent-{n}")).collect();
        expect![[r#"
            TooLarge: this call would cost more than reading 1000 small documents; narrow it by _id
        "#]]
        .assert_eq(&world.list(&server, "goods", find(doc! { "_id": { "$in": &absent } })).await);
        let few = find(doc! { "_id": { "$in": &absent[..900] } });
        assert_eq!(world.list(&server, "goods", few).await, "0 of 0\n");
        for n in 0..4 {
            let parts = &absent[500 * n..500 * (n + 1)];
            world.add(&server, "goods", doc! { "parts": parts }).await.unwrap();
        }
        let lookup = doc! { "$lookup": { "from": "goods", "localField": "parts", "foreignField": "_id", "as": "found" } };
        let looked = world.documents.aggregate(world.caller(&server), "goods", &[lookup]).await;
        assert_eq!(looked.unwrap_err().kind(), Kind::TooLarge);
        // Values that no index entry has.
        world.index(doc! { "n": 1 }, false).await.unwrap();
        world.finish().await;
        let numbers: Vec<i32> = (0..400).collect();
        let lookup = doc! { "$lookup": {
            "from": "goods", "as": "found", "let": {}, "pipeline": [{ "$match": { "n": { "$in": numbers } } }]
        } };
        let looked = world.documents.aggregate(world.caller(&server), "goods", &[lookup]).await;
        assert_eq!(looked.unwrap_err().kind(), Kind::TooLarge);
    });
}

#[test]
fn a_change_of_indexes_forgets_the_collections_of_its_environment_alone() {
    on_sqlite(&Config::default(), async |world| {
        let (documents, database) = world.over_watched_database(usize::MAX);
        let (server, (other, other_key)) = (server(), other());
        let own = world.caller(&server);
        let neighbour = Caller { env: &other, principal: &other_key };
        for caller in [own, neighbour] {
            documents.create_collection(caller, "goods", Preset::Private).await.unwrap();
        }
        let new = |n: i32| {
            let definition = Document::from_iter([(format!("f{n}"), 1.into())]);
            NewIndex { name: None, keys: Keys::parse(&definition).unwrap(), unique: false }
        };
        // What is remembered counts for a second, which a busy machine may take for this.
        for n in 0..20 {
            let begun = Instant::now();
            documents.find(neighbour, "goods", find(doc! {})).await.unwrap();
            documents.create_index(own, "goods", new(n)).await.unwrap();
            database.collection_reads();
            documents.find(neighbour, "goods", find(doc! {})).await.unwrap();
            let reads = database.collection_reads();
            if begun.elapsed() < Duration::from_millis(900) {
                assert_eq!(reads, 0);
                return;
            }
        }
    });
}
