//! The service on every engine: what callers see and change, what is never lost, and what has an end.

mod aggregating;
mod batches;
mod bounds;
mod change_log;
mod changing;
mod collections;
mod finding;
mod formats;
mod generated_questions;
mod generated_rules;
mod geo;
mod idempotency;
mod ids;
mod importing;
mod indexes;
mod inserting;
mod neighbours;
mod permission;
mod rules;
mod transactions;

use std::fmt::Write;

use bson::{Bson, Document};
use yunzhan_base::{Principal, Result};
use yunzhan_query::Order;
use yunzhan_query::ejson::{Mode, write_document, write_raw_document};

use super::testing::{World, server};
use super::{Body, Change, Find, Which};

#[expect(clippy::needless_pass_by_value, reason = "a document written in place reads better")]
pub(super) fn find(query: Document) -> Find {
    Find {
        which: Which::parse(&query).unwrap(),
        order: Order::default(),
        skip: 0,
        limit: 100,
        projection: None,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "a document written in place reads better")]
pub(super) fn change(query: Document, update: Document) -> Change {
    let which = Which::parse(&query).unwrap();
    Change { which, update, replace: false, multi: true, upsert: false }
}

/// The text of a result; an error by its kind, so that tables stay narrow.
pub(super) fn described<T: ToString>(result: Result<T>) -> String {
    result.map_or_else(|error| format!("{:?}", error.kind()), |value| value.to_string())
}

impl World {
    pub(super) async fn add(
        &self,
        principal: &Principal,
        collection: &str,
        document: Document,
    ) -> Result<Bson> {
        let ids = self.documents.insert(self.caller(principal), collection, vec![document], None);
        Ok(ids.await?.remove(0))
    }

    pub(super) async fn list(&self, principal: &Principal, collection: &str, find: Find) -> String {
        match self.documents.find(self.caller(principal), collection, find).await {
            Err(error) => format!("{:?}: {error}\n", error.kind()),
            Ok(found) => {
                let mut text = String::new();
                for body in &found.documents {
                    let line = match body {
                        Body::Stored(bson) => write_raw_document(bson, Mode::Client).unwrap(),
                        Body::Shaped(document) => write_document(document, Mode::Client),
                    };
                    writeln!(text, "{line}").unwrap();
                }
                let total = found.total.map_or("?".to_owned(), |total| total.to_string());
                writeln!(text, "{} of {total}", found.documents.len()).unwrap();
                text
            }
        }
    }

    pub(super) async fn update(
        &self,
        principal: &Principal,
        collection: &str,
        change: Change,
    ) -> String {
        match self.documents.update(self.caller(principal), collection, change, None).await {
            Err(error) => format!("{:?}: {error}", error.kind()),
            Ok(done) => format!(
                "matched {} updated {} upserted {:?}",
                done.matched, done.updated, done.upserted
            ),
        }
    }

    pub(super) async fn count(&self, collection: &str) -> u64 {
        let server = server();
        self.documents.count(self.caller(&server), collection, Which::every()).await.unwrap()
    }
}
