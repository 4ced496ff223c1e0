//! Every statement of the service, and the tables they stand on.
//!
//! A collection's row carries a counter. Each unit that writes documents raises it first, and what it writes gets the new
//! value as `version`: the optimistic lock of a document, and its place in the order of the collection's commits. Because
//! the raised row stays locked until the commit, that order is the order in which units became visible; a table of changes
//! will be sorted by it. Embedded, units are serial anyway; on MySQL the writers of one collection queue at this row.

use yunzhan_base::{EnvId, Error, Result};
use yunzhan_engine::sql::migrate::{Migration, Scope};
use yunzhan_engine::sql::{
    Consistency, Database, Expect, Key, Logical, Merge, Place, Row, SharedSql, Statement, Step,
    Unit, Value, Written,
};

use yunzhan_query::key::KeyRange;

use super::logic::permission::Preset;
use super::logic::shape::Prepared;
use crate::columns::Columns;

const COLLECTIONS: Logical = Logical("collections");
const DOCUMENTS: Logical = Logical("documents");
const ENTRIES: Logical = Logical("index_entries");
/// The engine's own.
const IDEMPOTENCY: Logical = Logical("idempotency");

/// The tables of this service, in every environment's database.
pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "documents",
    database: Scope::Env,
    statements: &[
        // `id_mode` is `mixed` while documents may have ids that this server did not make, and so any slot.
        "CREATE TABLE IF NOT EXISTS {collections} (
            env {env} NOT NULL,
            name {name:64} NOT NULL,
            id BIGINT NOT NULL,
            permission {name:16} NOT NULL,
            id_mode {name:16} NOT NULL,
            version BIGINT NOT NULL,
            created_ms BIGINT NOT NULL,
            PRIMARY KEY (env, name),
            UNIQUE (env, id)) {clustered}",
        "CREATE TABLE IF NOT EXISTS {documents} (
            env {env} NOT NULL,
            collection BIGINT NOT NULL,
            id {key:768} NOT NULL,
            slot BIGINT NOT NULL,
            version BIGINT NOT NULL,
            body {blob} NOT NULL,
            PRIMARY KEY (env, collection, id))",
        "CREATE TABLE IF NOT EXISTS {index_entries} (
            env {env} NOT NULL,
            collection BIGINT NOT NULL,
            index_id BIGINT NOT NULL,
            entry {key:1024} NOT NULL,
            document {key:768} NOT NULL,
            PRIMARY KEY (env, collection, index_id, entry, document)) {clustered}",
    ],
}];

const COLLECTION: &str =
    "SELECT name, id, permission, created_ms FROM {collections} WHERE env = ? AND name = ?";
const ALL_COLLECTIONS: &str = "SELECT name, id, permission, created_ms FROM {collections} WHERE env = ? ORDER BY name LIMIT ?";
const CREATE_COLLECTION: &str =
    "INSERT INTO {collections} (env, name, id, permission, id_mode, version, created_ms)
     SELECT ?, ?, COALESCE(MAX(id), 0) + 1, ?, 'mixed', 0, ? FROM {collections} WHERE env = ?";
const SET_PERMISSION: &str =
    "UPDATE {collections} SET permission = ?, version = version + 1 WHERE env = ? AND name = ?";
const RAISE: &str = "UPDATE {collections} SET version = version + 1 WHERE env = ? AND id = ?";

const DOCUMENT: &str =
    "SELECT version, body FROM {documents} WHERE env = ? AND collection = ? AND id = ?";
// A page leaves large bodies out, so that its memory is bounded by its rows; they are read one by one.
const DOCUMENTS_RANGE: &str =
    "SELECT id, version, CASE WHEN LENGTH(body) <= ? THEN body END FROM {documents}
     WHERE env = ? AND collection = ? AND id >= ? AND id < ? ORDER BY id LIMIT ?";
const DOCUMENTS_RANGE_REVERSE: &str =
    "SELECT id, version, CASE WHEN LENGTH(body) <= ? THEN body END FROM {documents}
     WHERE env = ? AND collection = ? AND id >= ? AND id < ? ORDER BY id DESC LIMIT ?";
const DOCUMENTS_COUNT: &str = "SELECT COUNT(*) FROM {documents} WHERE env = ? AND collection = ?";
const ENTRIES_RANGE: &str =
    "SELECT e.document, d.version, CASE WHEN LENGTH(d.body) <= ? THEN d.body END, e.entry
     FROM {index_entries} e
     JOIN {documents} d ON d.env = e.env AND d.collection = e.collection AND d.id = e.document
     WHERE e.env = ? AND e.collection = ? AND e.index_id = ? AND e.entry >= ? AND e.entry < ?
     ORDER BY e.entry, e.document LIMIT ?";
const ENTRIES_AFTER: &str =
    "SELECT e.document, d.version, CASE WHEN LENGTH(d.body) <= ? THEN d.body END, e.entry
     FROM {index_entries} e
     JOIN {documents} d ON d.env = e.env AND d.collection = e.collection AND d.id = e.document
     WHERE e.env = ? AND e.collection = ? AND e.index_id = ? AND e.entry = ? AND e.document > ?
     ORDER BY e.document LIMIT ?";

const INSERT_DOCUMENT: &str =
    "INSERT INTO {documents} (env, collection, id, slot, version, body) VALUES
     (?, ?, ?, ?, (SELECT version FROM {collections} WHERE env = ? AND id = ?), ?)";
const UPDATE_DOCUMENT: &str =
    "UPDATE {documents} SET version = (SELECT version FROM {collections} WHERE env = ? AND id = ?), body = ?
     WHERE env = ? AND collection = ? AND id = ? AND version = ?";
const REMOVE_DOCUMENT: &str =
    "DELETE FROM {documents} WHERE env = ? AND collection = ? AND id = ? AND version = ?";
const INSERT_ENTRY: &str = "INSERT INTO {index_entries} (env, collection, index_id, entry, document) VALUES (?, ?, ?, ?, ?)";
const REMOVE_ENTRY: &str = "DELETE FROM {index_entries}
     WHERE env = ? AND collection = ? AND index_id = ? AND entry = ? AND document = ?";

// What a call with an idempotency key asked for lies beside what the engine remembers of it, and is swept with it.
const REMEMBER_REQUEST: &str =
    "INSERT INTO {idempotency} (env, unit_key, changed, committed_ms) VALUES (?, ?, ?, ?)
     {on_conflict:env,unit_key} SET changed = {new:changed}, committed_ms = {new:committed_ms}";
const REMEMBERED_REQUEST: &str = "SELECT changed FROM {idempotency} WHERE env = ? AND unit_key = ?";

/// A page carries bodies up to this many bytes; 512 rows of them take 16 MiB.
const PAGE_BODY_BYTES_MAX: i64 = 32 << 10;

/// Most collections in one environment: they are listed in one answer, and names come from outside.
pub(super) const COLLECTIONS_MAX: usize = 1000;

/// One collection of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collection {
    /// Its name in requests.
    pub name: String,
    /// Its number in rows.
    pub id: i64,
    /// What people may do with it.
    pub permission: Preset,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
}

/// A stored document.
#[derive(Debug)]
pub(super) struct Stored {
    /// The key of its id.
    pub(super) key: Vec<u8>,
    /// The commit that wrote it.
    pub(super) version: i64,
    /// Its BSON.
    pub(super) body: Vec<u8>,
}

/// A row of a page.
#[derive(Debug)]
pub(super) struct PageRow {
    pub(super) key: Vec<u8>,
    pub(super) version: i64,
    /// None when it is large: read it by its key.
    pub(super) body: Option<Vec<u8>>,
    /// The index entry that led here; empty in a scan of documents.
    pub(super) entry: Vec<u8>,
}

/// The tables of this service.
pub(super) struct Store {
    sql: SharedSql,
}

/// The documents of one collection in the tables.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    pub(super) store: &'a Store,
    pub(super) env: &'a EnvId,
    pub(super) collection: i64,
}

// === impl Store ===

impl Store {
    pub(super) fn new(sql: SharedSql) -> Self {
        Self { sql }
    }

    pub(super) async fn collection(&self, env: &EnvId, name: &str) -> Result<Option<Collection>> {
        let rows =
            self.select(env, COLLECTION, &[COLLECTIONS], vec![text(env.as_str()), text(name)]);
        rows.await?.into_iter().next().map(collection_of).transpose()
    }

    pub(super) async fn collections(&self, env: &EnvId) -> Result<Vec<Collection>> {
        let params = vec![text(env.as_str()), count(COLLECTIONS_MAX)];
        let rows = self.select(env, ALL_COLLECTIONS, &[COLLECTIONS], params).await?;
        rows.into_iter().map(collection_of).collect()
    }

    /// Adds a collection. Fails as `AlreadyExists` when one with this name, or by a race with this number, is there.
    pub(super) async fn create_collection(
        &self,
        env: &EnvId,
        name: &str,
        permission: Preset,
        now_ms: i64,
    ) -> Result<()> {
        let params = vec![
            text(env.as_str()),
            text(name),
            text(permission.name()),
            Value::Integer(now_ms),
            text(env.as_str()),
        ];
        let step = step(CREATE_COLLECTION, &[COLLECTIONS], params, Expect::Rows(1));
        self.write(env, everywhere(&[], None), vec![step], None).await.map(drop)
    }

    /// Changes who may do what. Fails as `Conflict` when there is no such collection.
    pub(super) async fn set_permission(
        &self,
        env: &EnvId,
        name: &str,
        permission: Preset,
    ) -> Result<()> {
        let params = vec![text(permission.name()), text(env.as_str()), text(name)];
        let step = step(SET_PERMISSION, &[COLLECTIONS], params, Expect::Rows(1));
        self.write(env, everywhere(&[], None), vec![step], None).await.map(drop)
    }

    async fn select(
        &self,
        env: &EnvId,
        sql: &'static str,
        tables: &'static [Logical],
        params: Vec<Value>,
    ) -> Result<Vec<Row>> {
        self.read(env, everywhere(&[], None), sql, tables, params).await
    }

    async fn read(
        &self,
        env: &EnvId,
        key: Key,
        sql: &'static str,
        tables: &'static [Logical],
        params: Vec<Value>,
    ) -> Result<Vec<Row>> {
        let place = Place { database: Database::Env(env.clone()), key };
        let statement = Statement { sql, tables, params };
        Ok(self.sql.read(Consistency::Primary, &place, statement).await?.0)
    }

    async fn write(
        &self,
        env: &EnvId,
        key: Key,
        steps: Vec<Step>,
        idempotency: Option<String>,
    ) -> Result<Written> {
        let place = Place { database: Database::Env(env.clone()), key };
        self.sql.write(&place, Unit { steps, idempotency }).await
    }
}

// === impl Table ===

impl Table<'_> {
    /// The document with this key, in this slot.
    pub(super) async fn document(&self, key: &[u8], slot: u16) -> Result<Option<Stored>> {
        self.document_in(key, Key::Slot(slot)).await
    }

    /// The document with this key, wherever it is.
    pub(super) async fn document_anywhere(&self, key: &[u8]) -> Result<Option<Stored>> {
        self.document_in(key, everywhere(&[], None)).await
    }

    async fn document_in(&self, key: &[u8], place: Key) -> Result<Option<Stored>> {
        let params = self.params([blob(key)]);
        let rows = self.store.read(self.env, place, DOCUMENT, &[DOCUMENTS], params).await?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        let mut columns = Columns::from(row);
        let (version, body) = (columns.integer()?, columns.bytes()?);
        Ok(Some(Stored { key: key.to_vec(), version, body }))
    }

    /// Up to `rows` documents with keys in the range, by key; from its end when `reverse`.
    pub(super) async fn documents(
        &self,
        range: &KeyRange,
        reverse: bool,
        rows: usize,
    ) -> Result<Vec<PageRow>> {
        let mut params = vec![Value::Integer(PAGE_BODY_BYTES_MAX)];
        params.extend(self.params([blob(&range.from), blob(&range.to), count(rows)]));
        let sql = if reverse { DOCUMENTS_RANGE_REVERSE } else { DOCUMENTS_RANGE };
        let key = everywhere(&[(0, reverse)], Some(rows));
        let rows = self.store.read(self.env, key, sql, &[DOCUMENTS], params).await?;
        rows.into_iter().map(|row| page_row(row, false)).collect()
    }

    /// Up to `rows` documents with entries in the range, by entry and key.
    pub(super) async fn entries(
        &self,
        index: i64,
        range: &KeyRange,
        rows: usize,
    ) -> Result<Vec<PageRow>> {
        let own = [Value::Integer(index), blob(&range.from), blob(&range.to), count(rows)];
        self.indexed(ENTRIES_RANGE, own, rows).await
    }

    /// Up to `rows` documents of one entry after the document `after`.
    pub(super) async fn entries_after(
        &self,
        index: i64,
        entry: &[u8],
        after: &[u8],
        rows: usize,
    ) -> Result<Vec<PageRow>> {
        let own = [Value::Integer(index), blob(entry), blob(after), count(rows)];
        self.indexed(ENTRIES_AFTER, own, rows).await
    }

    async fn indexed(
        &self,
        sql: &'static str,
        own: [Value; 4],
        rows: usize,
    ) -> Result<Vec<PageRow>> {
        let mut params = vec![Value::Integer(PAGE_BODY_BYTES_MAX)];
        params.extend(self.params(own));
        let key = everywhere(&[(3, false), (0, false)], Some(rows));
        let rows = self.store.read(self.env, key, sql, &[ENTRIES, DOCUMENTS], params).await?;
        rows.into_iter().map(|row| page_row(row, true)).collect()
    }

    /// How many documents there are.
    pub(super) async fn count(&self) -> Result<u64> {
        let params = self.params([]);
        let rows = self
            .store
            .read(self.env, everywhere(&[], None), DOCUMENTS_COUNT, &[DOCUMENTS], params)
            .await?;
        let mut total = 0;
        // One row from each set of tables.
        for row in rows {
            total += u64::try_from(Columns::from(row).integer()?).unwrap_or(0);
        }
        Ok(total)
    }

    /// Commits steps made by the functions below as one unit.
    pub(super) async fn write(
        &self,
        slot: Option<u16>,
        steps: Vec<Step>,
        idempotency: Option<String>,
    ) -> Result<Written> {
        let key = slot.map_or_else(|| everywhere(&[], None), Key::Slot);
        self.store.write(self.env, key, steps, idempotency).await
    }

    /// The first step of every unit: takes the next version, and holds the collection in place.
    pub(super) fn raise(&self) -> Step {
        step(RAISE, &[COLLECTIONS], self.params([]), Expect::Rows(1))
    }

    /// The steps that add a document.
    pub(super) fn insert(&self, document: &Prepared, index: i64, steps: &mut Vec<Step>) {
        let mut params = self.params([blob(&document.key), Value::Integer(document.slot.into())]);
        params.extend(self.params([blob(&document.body)]));
        steps.push(step(INSERT_DOCUMENT, &[DOCUMENTS, COLLECTIONS], params, Expect::Rows(1)));
        for entry in &document.owner_keys {
            steps.push(self.insert_entry(index, entry, &document.key));
        }
    }

    /// The step that replaces the body of a document that is still at `version`.
    pub(super) fn update(&self, key: &[u8], version: i64, body: Vec<u8>) -> Step {
        let mut params = self.params([Value::Blob(body)]);
        params.extend(self.params([blob(key), Value::Integer(version)]));
        step(UPDATE_DOCUMENT, &[DOCUMENTS, COLLECTIONS], params, Expect::Rows(1))
    }

    /// The step that removes a document that is still at `version`.
    pub(super) fn remove(&self, key: &[u8], version: i64) -> Step {
        let params = self.params([blob(key), Value::Integer(version)]);
        step(REMOVE_DOCUMENT, &[DOCUMENTS], params, Expect::Rows(1))
    }

    /// The step that adds an index entry.
    pub(super) fn insert_entry(&self, index: i64, entry: &[u8], document: &[u8]) -> Step {
        let params = self.params([Value::Integer(index), blob(entry), blob(document)]);
        step(INSERT_ENTRY, &[ENTRIES], params, Expect::Rows(1))
    }

    /// The step that removes an index entry.
    pub(super) fn remove_entry(&self, index: i64, entry: &[u8], document: &[u8]) -> Step {
        let params = self.params([Value::Integer(index), blob(entry), blob(document)]);
        step(REMOVE_ENTRY, &[ENTRIES], params, Expect::Rows(1))
    }

    /// The step that remembers, with the unit, what its call asked for.
    pub(super) fn remember_request(&self, key: &str, digest: &str, now_ms: i64) -> Step {
        let own = [text(key), text(digest), Value::Integer(now_ms)];
        let params = std::iter::once(text(self.env.as_str())).chain(own).collect();
        step(REMEMBER_REQUEST, &[IDEMPOTENCY], params, Expect::Any)
    }

    /// What the call that was done under this key asked for; none when nobody knows any more.
    pub(super) async fn remembered_request(
        &self,
        slot: Option<u16>,
        key: &str,
    ) -> Result<Option<String>> {
        let place = slot.map_or_else(|| everywhere(&[], None), Key::Slot);
        let params = vec![text(self.env.as_str()), text(key)];
        let rows =
            self.store.read(self.env, place, REMEMBERED_REQUEST, &[IDEMPOTENCY], params).await?;
        rows.into_iter().next().map(|row| Columns::from(row).text()).transpose()
    }

    /// Parameters that begin, as most do, with the environment and the collection.
    fn params<const N: usize>(&self, own: [Value; N]) -> Vec<Value> {
        let mut params = Vec::with_capacity(N + 6);
        params.push(text(self.env.as_str()));
        params.push(Value::Integer(self.collection));
        params.extend(own);
        params
    }
}

/// All slots, their rows merged by these columns (descending when said) and cut at the limit.
fn everywhere(by: &[(usize, bool)], limit: Option<usize>) -> Key {
    Key::All(Merge { by: by.to_vec(), limit: limit.map(|limit| limit as u64) })
}

fn step(sql: &'static str, tables: &'static [Logical], params: Vec<Value>, expect: Expect) -> Step {
    Step { statement: Statement { sql, tables, params }, expect }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn blob(bytes: &[u8]) -> Value {
    Value::Blob(bytes.to_vec())
}

fn count(count: usize) -> Value {
    Value::Integer(i64::try_from(count).expect("a bound of ours"))
}

fn page_row(row: Row, is_indexed: bool) -> Result<PageRow> {
    let mut columns = Columns::from(row);
    Ok(PageRow {
        key: columns.bytes()?,
        version: columns.integer()?,
        body: columns.optional_bytes()?,
        entry: if is_indexed { columns.bytes()? } else { Vec::new() },
    })
}

fn collection_of(row: Row) -> Result<Collection> {
    let mut columns = Columns::from(row);
    Ok(Collection {
        name: columns.text()?,
        id: columns.integer()?,
        // A preset that a newer server wrote is one that this server must not guess.
        permission: columns.text()?.parse().map_err(|_: Error| {
            Error::internal("a collection has a permission that this version does not know")
        })?,
        created_ms: columns.integer()?,
    })
}
