//! What one document and one call may write has an end that is found before it is written.

use bson::{Document, doc};
use expect_test::expect;
use yunzhan_base::Principal;

use super::change;
use crate::documents::testing::{World, on_every_engine, on_sqlite, server};
use crate::documents::{Config, Preset, Which};

/// A document with so many keys in the index on `tags`, all its own.
fn tagged(n: i32, keys: i32) -> Document {
    let tags: Vec<i32> = (0..keys).map(|tag| n * 1000 + tag).collect();
    doc! { "_id": n, "n": n, "tags": tags }
}

impl World {
    async fn goods(self, index: Document) -> Self {
        let world = self.with_collections(&[("goods", Preset::ReadOnly)]).await;
        world.index(index, false).await.unwrap();
        world.finish().await;
        world
    }

    async fn insert(&self, who: &Principal, documents: Vec<Document>) -> String {
        let added = self.documents.insert(self.caller(who), "goods", documents, None).await;
        added.map_or_else(
            |error| format!("{:?}: {error}", error.kind()),
            |ids| format!("{} added", ids.len()),
        )
    }

    async fn remove_all(&self, who: &Principal) -> u64 {
        let removed = self.documents.remove(self.caller(who), "goods", Which::every(), true, None);
        removed.await.unwrap()
    }
}

#[test]
fn arrays_in_two_fields_of_one_index_are_refused_wherever_they_come_from() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.goods(doc! { "tags": 1, "sizes": 1 }).await;
        let server = server();
        let parallel = doc! { "tags": [1, 2], "sizes": [3, 4] };
        let refusal = expect![
            "InvalidParameter: index tags_1_sizes_1: cannot index parallel arrays [tags] [sizes]"
        ];
        refusal.assert_eq(&world.insert(&server, vec![parallel.clone()]).await);
        expect!["1 added"].assert_eq(
            &world.insert(&server, vec![doc! { "_id": 1, "tags": [1, 2], "sizes": 3 }]).await,
        );
        let set = doc! { "$set": { "sizes": [3, 4] } };
        refusal.assert_eq(&world.update(&server, "goods", change(doc! { "_id": 1 }, set)).await);
        // A field that becomes an array afterwards.
        let push = doc! { "$set": { "sizes": [] } };
        refusal.assert_eq(&world.update(&server, "goods", change(doc! { "_id": 1 }, push)).await);
        // In a transaction it is the commit that knows the indexes.
        let caller = world.caller(&server);
        let transaction = world.documents.start_transaction(caller).unwrap();
        let added =
            world.documents.insert_in(caller, &transaction, "goods", vec![parallel.clone()]);
        added.await.unwrap();
        let refused = world.documents.commit_transaction(caller, &transaction).await.unwrap_err();
        refusal.assert_eq(&format!("{:?}: {refused}", refused.kind()));
    });
}

#[test]
fn an_index_is_not_built_over_parallel_arrays() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("goods", Preset::ReadOnly)]).await;
        world.add(&server(), "goods", doc! { "tags": [1], "sizes": [2] }).await.unwrap();
        world.index(doc! { "tags": 1, "sizes": 1 }, false).await.unwrap();
        expect![[r#"
            tags_1_sizes_1 unique false Failed 0/1 index tags_1_sizes_1: cannot index parallel arrays [tags] [sizes]
        "#]]
        .assert_eq(&world.finish().await);
    });
}

#[test]
fn a_document_has_a_thousand_keys_over_all_indexes() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.goods(doc! { "tags": 1 }).await;
        let server = server();
        // One more stands in the owner's index.
        expect!["1 added"].assert_eq(&world.insert(&server, vec![tagged(1, 999)]).await);
        let refusal = expect![
            "TooLarge: index tags_1: a document has at most 1000 keys in all indexes of its collection; shorten its arrays or drop an index"
        ];
        refusal.assert_eq(&world.insert(&server, vec![tagged(2, 1000)]).await);
        let push = change(doc! { "_id": 1 }, doc! { "$push": { "tags": 5 } });
        refusal.assert_eq(&world.update(&server, "goods", push).await);
        // What leads to the bound by another index is refused when that is built.
        world.index(doc! { "n": 1 }, false).await.unwrap();
        expect![[r#"
            tags_1 unique false Ready 0/0 -
            n_1 unique false Failed 0/1 a document would have more than 1000 keys in all indexes
        "#]]
        .assert_eq(&world.finish().await);
    });
}

#[test]
fn a_call_with_too_many_index_keys_is_refused_before_it_is_written() {
    on_sqlite(&Config::default(), async |world| {
        let world = world.goods(doc! { "tags": 1 }).await;
        let server = server();
        let many = (0..50).map(|n| tagged(n, 990)).collect();
        expect!["TooLarge: the documents of one call have at most 45000 rows with their index keys, and 24 MiB; write fewer at once"]
            .assert_eq(&world.insert(&server, many).await);
        assert_eq!(world.count("goods").await, 0);
    });
}

#[test]
fn documents_with_many_keys_are_changed_and_indexed_and_removed_some_at_a_time() {
    on_sqlite(&Config::default(), async |world| {
        let world = world.goods(doc! { "tags": 1 }).await;
        let server = server();
        for first in [0, 30, 60] {
            let some = (first..first + 30).map(|n| tagged(n, 900)).collect();
            assert_eq!(world.insert(&server, some).await, "30 added");
        }
        // Each of these is more than one write batch holds.
        world.index(doc! { "n": 1 }, false).await.unwrap();
        world.finish().await;
        let clear = change(doc! {}, doc! { "$set": { "tags": [1, 2] } });
        expect!["matched 90 updated 90 upserted None"]
            .assert_eq(&world.update(&server, "goods", clear).await);
        assert_eq!(world.total(doc! { "tags": 2 }).await, 90);
        assert_eq!(world.remove_all(&server).await, 90);
        assert_eq!(world.count("goods").await, 0);
    });
}
