//! Holds the change log that a killed server left against its documents, and against what writers were answered.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value;
use yunzhan_e2e::Server;
use yunzhan_e2e::change_log::{ChangeLog, Snapshot, json};
use yunzhan_services::documents::{ChangeKind, Position};

use super::{Call, ENV, State};

/// What a document became, one change after the other: its sum and whether it is shared, or none when it was removed.
type History = Vec<Option<(String, bool)>>;

/// What the log said after the kills so far.
pub(super) struct LogAudit {
    newest: Position,
    oldest: Position,
    changes: usize,
    trims: usize,
    /// How long reading and checking took.
    spent: Duration,
}

impl Default for LogAudit {
    fn default() -> Self {
        Self {
            newest: Position::zero(),
            oldest: Position::zero(),
            changes: 0,
            trims: 0,
            spent: Duration::ZERO,
        }
    }
}

impl fmt::Display for LogAudit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (changes, trims, spent_s) = (self.changes, self.trims, self.spent.as_secs_f64());
        write!(f, "{changes} changes left, trimmed in {trims} rounds, checked in {spent_s:.1} s")
    }
}

impl LogAudit {
    /// Checks the log of a dead server, and that what each writer did in a collection stands in it once and in order.
    ///
    /// # Panics
    /// When it is not so.
    pub(super) async fn agrees(
        &mut self,
        server: &Server,
        collection: &str,
        writings: &[Vec<Call>],
    ) {
        let (left, number, is_trimmed) = self.take(server, collection).await;
        let found = histories(&left, number);
        let mut known = BTreeSet::new();
        for calls in writings {
            let (sure, all) =
                (expected(calls.iter().filter(|call| call.answer.is_some())), expected(calls));
            known.extend(all.keys().cloned());
            let is_found = |expected: &BTreeMap<String, History>| {
                all.keys().all(|name| {
                    let expected = expected.get(name).map_or(&[][..], Vec::as_slice);
                    let found = found.get(name).map_or(&[][..], Vec::as_slice);
                    // The beginning may be gone.
                    expected == found || is_trimmed && expected.ends_with(found)
                })
            };
            // A writer ends with the call that heard no answer.
            assert!(
                is_found(&sure) || is_found(&all),
                "the log has other writes: {found:#?} instead of {sure:#?} or {all:#?}"
            );
        }
        assert!(found.keys().all(|name| known.contains(name)), "the log has a write of nobody");
    }

    /// Checks the log of a dead server from its first change, and that each of these documents was inserted once.
    ///
    /// # Panics
    /// When it is not so.
    pub(super) async fn has_inserted(
        &mut self,
        server: &Server,
        collection: &str,
        documents: impl Iterator<Item = Value>,
    ) {
        let (left, number, is_trimmed) = self.take(server, collection).await;
        assert!(!is_trimmed, "nothing is old yet");
        let inserted = left.changes.iter().filter(|change| change.collection == number);
        let mut ids: Vec<_> = inserted
            .map(|change| {
                assert_eq!(change.kind, ChangeKind::Insert, "records stay as they are");
                left.bodies[&change.key].document["_id"].as_str().unwrap()
            })
            .collect();
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count, "a record was inserted twice");
        for document in documents {
            let id = document["_id"].as_str().unwrap();
            assert!(ids.binary_search(&id).is_ok(), "the log lacks the record {id}");
        }
    }

    /// Reads and checks all of it; says the collection's number, and whether some of it was trimmed since the last time.
    async fn take(&mut self, server: &Server, collection: &str) -> (Snapshot, i64, bool) {
        let begun = Instant::now();
        let log = ChangeLog::left_by(server, ENV).await.unwrap();
        let left = log.snapshot(Some(collection)).await.unwrap();
        left.check().unwrap_or_else(|error| panic!("the change log is wrong: {error:#}"));
        assert_eq!(left.newest.behind(&self.newest).count(), 0, "a counter went back");
        let is_trimmed = self.oldest != left.oldest;
        self.trims += usize::from(is_trimmed);
        self.changes = left.changes.len();
        (self.newest, self.oldest) = (left.newest.clone(), left.oldest.clone());
        let number = log.collection(collection).await.unwrap();
        self.spent += begun.elapsed();
        (left, number, is_trimmed)
    }
}

/// What the log says of the documents of a collection, by their names.
fn histories(left: &Snapshot, collection: i64) -> BTreeMap<String, History> {
    let mut changes = BTreeMap::<_, Vec<_>>::new();
    for change in left.changes.iter().filter(|change| change.collection == collection) {
        changes.entry(&change.key).or_default().push(change);
    }
    let mut histories = BTreeMap::new();
    for (key, changes) in changes {
        // What a change made of a document is what the next one found.
        let found = changes[1..].iter().map(|next| next.before_image.as_deref());
        let mut images: Vec<_> = found.map(|image| image.map(|bson| json(bson).unwrap())).collect();
        images.push(left.bodies.get(key).map(|body| body.document.clone()));
        let first = changes[0].before_image.as_deref().map(|bson| json(bson).unwrap());
        let named = first.iter().chain(images.iter().flatten()).next();
        let name = named.expect("a change finds or leaves something")["name"].as_str().unwrap();
        let state = |document: &Value| {
            (document["sum"].as_str().unwrap().to_owned(), document["_openid"].is_array())
        };
        let history: History = images.iter().map(|image| image.as_ref().map(state)).collect();
        assert_eq!(histories.insert(name.to_owned(), history), None, "two documents are {name}");
    }
    histories
}

/// What the log says of the documents of a writer who did this.
fn expected<'c>(calls: impl IntoIterator<Item = &'c Call>) -> BTreeMap<String, History> {
    let (mut state, mut histories) = (State::new(), BTreeMap::<_, History>::new());
    for call in calls {
        let before = state.clone();
        call.work.apply(&mut state);
        for name in before.keys().chain(state.keys()).collect::<BTreeSet<_>>() {
            let now = state.get(name);
            if now != before.get(name) {
                histories.entry(name.clone()).or_default().push(now.cloned());
            }
        }
    }
    histories
}
