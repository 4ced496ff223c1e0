//! A write batch while it is put together: everything that documents, their index entries, the change log and the counters of
//! its order need to change together.
//!
//! Rows of one table and one index join in one step, whatever the order in which documents come, so that a batch of many
//! documents has few steps: what its rows share is held once, and a server takes many of them at a time.
//!
//! Every writer of documents passes here, so that what is written is logged.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use yunzhan_base::EnvId;
use yunzhan_engine::sql::{Expect, Logical, Statement, StepRows, Value, WriteStep};
use yunzhan_query::key::Entries;

use super::table::{DOCUMENTS, ENTRIES, UNIQUE};
use super::{PageRow, Stored, Table, blob, changes, collections, step};
use crate::documents::changes::ChangeKind;
use crate::documents::logic::batch::BatchSize;
use crate::documents::logic::index::{DocumentKeys, Index, State};
use crate::documents::logic::position::{group_of, group_of_slot};
use crate::documents::logic::shape::Prepared;

const INSERT_DOCUMENT: &str =
    "INSERT INTO {documents} (env, collection, version, id, slot, body) VALUES {rows:6}";
const UPDATE_DOCUMENT: &str = "UPDATE {documents} SET version = ?, body = ?
     WHERE env = ? AND collection = ? AND id = ? AND version = ?";
const REMOVE_DOCUMENT: &str =
    "DELETE FROM {documents} WHERE env = ? AND collection = ? AND id = ? AND version = ?";
// Both change nothing: a row is found at this version, or none is found, else the write batch fails.
const UNCHANGED: &str = "UPDATE {documents} SET version = version
     WHERE env = ? AND collection = ? AND id = ? AND version = ?";
const ABSENT: &str = "DELETE FROM {documents} WHERE env = ? AND collection = ? AND id = ?";

const INSERT_ENTRY: &str =
    "INSERT INTO {index_entries} (env, collection, index_id, entry, document) VALUES {rows:5}";
const ADD_ENTRY: &str =
    "INSERT INTO {index_entries} (env, collection, index_id, entry, document) VALUES {rows:5}
     {or_keep:env,collection,index_id,entry,document}";
const REMOVE_ENTRY: &str = "DELETE FROM {index_entries}
     WHERE env = ? AND collection = ? AND index_id = ? AND entry = ? AND document = ?";
const INSERT_UNIQUE: &str =
    "INSERT INTO {unique_entries} (env, collection, index_id, entry, document) VALUES {rows:5}";
const REMOVE_UNIQUE: &str = "DELETE FROM {unique_entries}
     WHERE env = ? AND collection = ? AND index_id = ? AND entry = ? AND document = ?";
// What the building of an index adds, unless somebody changed the document since it was read: then they added it.
const BUILD_ENTRY: &str = "INSERT INTO {index_entries} (env, collection, index_id, entry, document)
     SELECT d.env, d.collection, ?, r.entry, d.id
     FROM ({rows_as:entry key, id key, version number}) r
     JOIN {documents} d ON d.env = ? AND d.collection = ? AND d.id = r.id AND d.version = r.version
     WHERE 1 = 1 {or_keep:env,collection,index_id,entry,document}";
const BUILD_UNIQUE: &str =
    "INSERT INTO {unique_entries} (env, collection, index_id, entry, document)
     SELECT d.env, d.collection, ?, r.entry, d.id
     FROM ({rows_as:entry key, id key, version number}) r
     JOIN {documents} d ON d.env = ? AND d.collection = ? AND d.id = r.id AND d.version = r.version
     WHERE NOT EXISTS (
        SELECT 1 FROM {unique_entries} u WHERE u.env = d.env AND u.collection = d.collection
        AND u.index_id = ? AND u.entry = r.entry AND u.document = d.id)";
// The same for a document that the write batch itself has just written.
const KEEP_UNIQUE: &str =
    "INSERT INTO {unique_entries} (env, collection, index_id, entry, document)
     SELECT d.env, d.collection, ?, r.entry, d.id
     FROM ({rows_as:entry key, id key}) r
     JOIN {documents} d ON d.env = ? AND d.collection = ? AND d.id = r.id
     WHERE NOT EXISTS (
        SELECT 1 FROM {unique_entries} u WHERE u.env = d.env AND u.collection = d.collection
        AND u.index_id = ? AND u.entry = r.entry AND u.document = d.id)";

/// Steps that change documents and what stands beside them.
#[derive(Debug, Default)]
pub(in crate::documents) struct Batch {
    now_ms: i64,
    /// Whether what it adds is logged as one range and not one by one.
    is_load: bool,
    /// Until the batch is complete, `Value::Taken` in them names a slot group and not yet the place of its step.
    steps: Vec<WriteStep>,
    /// Which steps take further rows.
    joined: Vec<(Group, usize)>,
    /// The slot groups in which the batch writes, and what it logs of each.
    groups: BTreeMap<usize, Logged>,
    /// The collections whose documents it writes, and by which shape.
    collections: Vec<(i64, i64)>,
    env: Option<EnvId>,
    /// Indexes of which a document has several keys, or one that was cut: each is told once.
    flagged: Vec<(i64, i64, bool, bool)>,
    size: BatchSize,
}

/// What a batch logs of one slot group.
#[derive(Clone, Debug, Default)]
struct Logged {
    rows: i64,
    bytes: i64,
    /// The collections of which it adds a range.
    loaded: Vec<i64>,
}

/// A document that a batch writes, as it was before, for the log.
#[derive(Clone, Copy)]
struct Before<'b> {
    version: i64,
    image: Option<&'b [u8]>,
}

/// What rows of one step have in common: the text, the collection, and the index or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group {
    sql: &'static str,
    collection: i64,
    index: i64,
}

/// Rows that belong to no index.
const NO_INDEX: i64 = -1;

// === impl Batch ===

impl Batch {
    /// An empty batch at this time. What it writes gets the next numbers of its slot groups, which it raises first; one of
    /// somebody who knows outdated indexes fails there.
    pub(in crate::documents) fn at(now_ms: i64) -> Self {
        Self { now_ms, ..Self::default() }
    }

    /// The same for documents by the thousand: the log says that some were added, and not each of them.
    pub(in crate::documents) fn load_at(now_ms: i64) -> Self {
        Self { is_load: true, ..Self::at(now_ms) }
    }

    /// How large it is.
    pub(in crate::documents) fn size(&self) -> BatchSize {
        self.size
    }

    /// Adds a step of another kind.
    pub(in crate::documents) fn push(&mut self, step: WriteStep) {
        self.size.add(step.values());
        self.steps.push(step);
    }

    /// Adds a document.
    pub(in crate::documents) fn insert(&mut self, table: &Table<'_>, document: &Prepared) {
        let group = group_of_slot(document.slot);
        let own = [
            Value::Taken(group),
            blob(&document.key),
            Value::Integer(document.slot.into()),
            blob(&document.body),
        ];
        self.join(
            (table, INSERT_DOCUMENT, &[DOCUMENTS], NO_INDEX),
            Some(1),
            || table.params([]),
            own,
        );
        let before = Before { version: 0, image: None };
        self.log(table, group, ChangeKind::Insert, &document.key, before);
        self.change_keys(table, &document.key, &DocumentKeys::default(), &document.keys);
    }

    /// Replaces the body of a document that is still at its version.
    pub(in crate::documents) fn update(
        &mut self,
        table: &Table<'_>,
        stored: &Stored,
        body: Vec<u8>,
        (old, new): (&DocumentKeys, &DocumentKeys),
    ) {
        let group = group_of(&stored.key);
        let mut params = vec![Value::Taken(group), Value::Blob(body)];
        params.extend(table.params([blob(&stored.key), Value::Integer(stored.version)]));
        self.push(step(UPDATE_DOCUMENT, &[DOCUMENTS], params, Expect::Rows(1)));
        self.log(table, group, ChangeKind::Update, &stored.key, Before::of(stored));
        self.change_keys(table, &stored.key, old, new);
    }

    /// Removes a document that is still at its version.
    pub(in crate::documents) fn remove(
        &mut self,
        table: &Table<'_>,
        stored: &Stored,
        old: &DocumentKeys,
    ) {
        let own = [blob(&stored.key), Value::Integer(stored.version)];
        let what = (table, REMOVE_DOCUMENT, &[DOCUMENTS][..], NO_INDEX);
        self.join(what, Some(1), || table.params([]), own);
        let group = group_of(&stored.key);
        self.log(table, group, ChangeKind::Remove, &stored.key, Before::of(stored));
        self.change_keys(table, &stored.key, old, &DocumentKeys::default());
    }

    /// Lets the batch fail unless the document is still at `version`.
    pub(in crate::documents) fn unchanged(&mut self, table: &Table<'_>, key: &[u8], version: i64) {
        let own = [blob(key), Value::Integer(version)];
        let what = (table, UNCHANGED, &[DOCUMENTS][..], NO_INDEX);
        self.join(what, Some(1), || table.params([]), own);
    }

    /// Lets the batch fail unless there is no such document.
    pub(in crate::documents) fn absent(&mut self, table: &Table<'_>, key: &[u8]) {
        let what = (table, ABSENT, &[DOCUMENTS][..], NO_INDEX);
        self.join(what, Some(0), || table.params([]), [blob(key)]);
    }

    /// Adds a document's entries to an index that is being built.
    pub(in crate::documents) fn build_entries(
        &mut self,
        table: &Table<'_>,
        index: &Index,
        stored: &PageRow,
        entries: &Entries,
    ) {
        let number = || Value::Integer(index.id);
        for entry in &entries.keys {
            let own = || [blob(entry), blob(&stored.key), Value::Integer(stored.version)];
            if index.unique {
                let shared = || around([number()], table, [number()]);
                self.join(
                    (table, BUILD_UNIQUE, &[UNIQUE, DOCUMENTS], index.id),
                    None,
                    shared,
                    own(),
                );
            }
            let shared = || around([number()], table, []);
            self.join((table, BUILD_ENTRY, &[ENTRIES, DOCUMENTS], index.id), None, shared, own());
        }
    }

    /// Ends a page of a building: what kinds of keys it had, and how far it came.
    pub(in crate::documents) fn advance(
        &mut self,
        table: &Table<'_>,
        index: &Index,
        (multikey, truncated): (bool, bool),
        (reached, done): (&[u8], u64),
    ) {
        self.flag(table, index, multikey, truncated);
        self.push(collections::advance(table.env, table.collection.id, index.id, reached, done));
    }

    /// The steps, in the order in which they are done.
    ///
    /// First the numbers of the slot groups are taken, in ascending order, so that no two batches wait for each other. Unique
    /// values are taken when all that the batch gives up are free, so that one may move from any of its documents to any
    /// other; entries go into their trees in the trees' order.
    pub(super) fn into_steps(mut self) -> Vec<WriteStep> {
        let mut steps = self.take_numbers();
        for step in &mut self.steps {
            for value in step.values_mut() {
                if let Value::Taken(group) = value {
                    *group = self.groups.range(..*group).count();
                }
            }
            if [INSERT_ENTRY, ADD_ENTRY, BUILD_ENTRY, INSERT_UNIQUE].contains(&step.statement.sql) {
                step.rows.sort_by(by_entry);
            }
        }
        self.steps.sort_by_key(|step| [INSERT_UNIQUE, KEEP_UNIQUE].contains(&step.statement.sql));
        steps.append(&mut self.steps);
        steps
    }

    /// The steps that take the number of each slot group, and make sure that the collections have the indexes that the batch
    /// knows. They do not keep others from writing to the same collections.
    fn take_numbers(&self) -> Vec<WriteStep> {
        let (Some(env), Some((first, _))) = (&self.env, self.groups.first_key_value()) else {
            return Vec::new();
        };
        let mut collections = self.collections.iter().copied();
        let take = |(group, logged): (&usize, &Logged)| {
            changes::take(env, *group, logged.bytes, collections.next())
        };
        let mut steps: Vec<_> = self.groups.iter().map(take).collect();
        steps.extend(collections.map(|collection| changes::check(env, *first, collection)));
        steps
    }

    /// Notes in the log what the batch does to a document.
    fn log(
        &mut self,
        table: &Table<'_>,
        group: usize,
        kind: ChangeKind,
        document: &[u8],
        before: Before<'_>,
    ) {
        self.env.get_or_insert_with(|| table.env.clone());
        let collection = (table.collection.id, table.collection.schema_epoch);
        if !self.collections.contains(&collection) {
            self.collections.push(collection);
        }
        let logged = self.groups.entry(group).or_default();
        let (kind, document) = match self.is_load && kind == ChangeKind::Insert {
            true if logged.loaded.contains(&collection.0) => return,
            true => {
                logged.loaded.push(collection.0);
                (ChangeKind::Load, &[][..])
            }
            false => (kind, document),
        };
        let ordinal = logged.rows;
        logged.rows += 1;
        logged.bytes += changes::row_bytes(document, before.image);
        let own = [
            Value::Integer(group as i64),
            Value::Taken(group),
            Value::Integer(ordinal),
            Value::Integer(kind.code()),
            blob(document),
            Value::Integer(before.version),
            before.image.map_or(Value::Null, blob),
        ];
        let now_ms = Value::Integer(self.now_ms);
        let what = (table, changes::LOG, changes::TABLES, NO_INDEX);
        self.join(what, Some(1), || table.params([now_ms]), own);
    }

    /// From the index entries that a document has to those that it will have.
    fn change_keys(
        &mut self,
        table: &Table<'_>,
        document: &[u8],
        old: &DocumentKeys,
        new: &DocumentKeys,
    ) {
        static NONE: Entries = Entries { keys: Vec::new(), multikey: false, truncated: false };
        let indexes = table.collection.indexes.iter().enumerate();
        for (place, index) in indexes.filter(|(_, index)| index.is_kept()) {
            let old = old.0.get(place).unwrap_or(&NONE);
            let new = new.0.get(place).unwrap_or(&NONE);
            for gone in old.keys.iter().filter(|key| new.keys.binary_search(key).is_err()) {
                self.remove_entry(table, index, gone, document);
            }
            // The building leaves out a document that changed since it was read, so that whoever changes one adds all.
            let is_building = index.state == State::Building;
            let is_missing = |key: &&Vec<u8>| is_building || old.keys.binary_search(key).is_err();
            for come in new.keys.iter().filter(is_missing) {
                self.insert_entry(table, index, come, document);
            }
            let (multikey, truncated) =
                (new.multikey && !index.multikey, new.truncated && !index.truncated);
            self.flag(table, index, multikey, truncated);
        }
    }

    fn insert_entry(&mut self, table: &Table<'_>, index: &Index, entry: &[u8], document: &[u8]) {
        let number = || Value::Integer(index.id);
        let own = || [blob(entry), blob(document)];
        let shared = || table.params([number()]);
        // The building may have added it already, and so may an earlier change.
        if index.state == State::Building {
            if index.unique {
                let shared = || around([number()], table, [number()]);
                self.join(
                    (table, KEEP_UNIQUE, &[UNIQUE, DOCUMENTS], index.id),
                    None,
                    shared,
                    own(),
                );
            }
            self.join((table, ADD_ENTRY, &[ENTRIES], index.id), None, shared, own());
            return;
        }
        if index.unique {
            self.join((table, INSERT_UNIQUE, &[UNIQUE], index.id), Some(1), shared, own());
        }
        self.join((table, INSERT_ENTRY, &[ENTRIES], index.id), Some(1), shared, own());
    }

    fn remove_entry(&mut self, table: &Table<'_>, index: &Index, entry: &[u8], document: &[u8]) {
        // The building may not have come here yet.
        let changes = (index.state != State::Building).then_some(1);
        let shared = || table.params([Value::Integer(index.id)]);
        let own = || [blob(entry), blob(document)];
        self.join((table, REMOVE_ENTRY, &[ENTRIES], index.id), changes, shared, own());
        if index.unique {
            self.join((table, REMOVE_UNIQUE, &[UNIQUE], index.id), changes, shared, own());
        }
    }

    fn flag(&mut self, table: &Table<'_>, index: &Index, multikey: bool, truncated: bool) {
        let flag = (table.collection.id, index.id, multikey, truncated);
        if (multikey || truncated) && !self.flagged.contains(&flag) {
            self.flagged.push(flag);
            let collection = table.collection.id;
            self.push(collections::flag_index(
                table.env, collection, index.id, multikey, truncated,
            ));
        }
    }

    /// Adds a row to the step of its kind, which changes so many rows for each, if that is known.
    fn join<const N: usize>(
        &mut self,
        (table, sql, tables, index): (&Table<'_>, &'static str, &'static [Logical], i64),
        changes: Option<u64>,
        shared: impl FnOnce() -> Vec<Value>,
        row: [Value; N],
    ) {
        self.size.add(row.iter());
        let group = Group { sql, collection: table.collection.id, index };
        let known = self.joined.iter().find(|(known, _)| *known == group);
        let place = match known {
            Some((_, place)) => *place,
            None => {
                let statement = Statement { sql, tables, params: shared() };
                let expect = if changes.is_some() { Expect::Rows(0) } else { Expect::Any };
                self.steps.push(WriteStep { statement, rows: StepRows::new(N), expect });
                self.joined.push((group, self.steps.len() - 1));
                self.steps.len() - 1
            }
        };
        let step = &mut self.steps[place];
        step.rows.push(row);
        if let (Expect::Rows(rows), Some(changes)) = (&mut step.expect, changes) {
            *rows += changes;
        }
    }
}

impl<'b> Before<'b> {
    fn of(stored: &'b Stored) -> Self {
        Self { version: stored.version, image: Some(&stored.body) }
    }
}

/// What stands around rows that are a table: values before them, and after them the collection's place and the rest.
fn around<const B: usize, const A: usize>(
    before: [Value; B],
    table: &Table<'_>,
    after: [Value; A],
) -> Vec<Value> {
    before.into_iter().chain(table.params(after)).collect()
}

/// Rows of entries begin with the entry and the document.
fn by_entry(one: &[Value], other: &[Value]) -> Ordering {
    let mut compared = one.iter().zip(other).map(|(one, other)| compare(one, other));
    compared.find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
}

fn compare(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Blob(one), Value::Blob(other)) => one.cmp(other),
        _ => Ordering::Equal,
    }
}
