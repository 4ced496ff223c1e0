//! Statements on the documents of one collection and on their index entries.

use std::sync::Arc;

use yunzhan_base::{EnvId, Error, Kind, Result};
use yunzhan_engine::sql::{Expect, Key, Logical, Row, Value, WriteStep, Written};
use yunzhan_query::Budget;
use yunzhan_query::key::KeyRange;

use super::{Batch, Collection, Store, blob, count, everywhere, step, text};
use crate::columns::Columns;

pub(super) const DOCUMENTS: Logical = Logical("documents");
pub(super) const ENTRIES: Logical = Logical("index_entries");
pub(super) const UNIQUE: Logical = Logical("unique_entries");
/// The engine's own.
const IDEMPOTENCY: Logical = Logical("idempotency");

const DOCUMENT: &str =
    "SELECT version, body FROM {documents} WHERE env = ? AND collection = ? AND id = ?";
// As many keys as `DOCUMENTS_OF_KEYS_MAX`; where there are fewer, the last one stands more than once.
const DOCUMENTS_OF_KEYS: &str =
    "SELECT id, version, CASE WHEN LENGTH(body) <= ? THEN body END FROM {documents}
     WHERE env = ? AND collection = ? AND id IN
     (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const KEYS_OF_KEYS: &str = "SELECT id FROM {documents}
     WHERE env = ? AND collection = ? AND id IN
     (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
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
const ENTRIES_RANGE_REVERSE: &str =
    "SELECT e.document, d.version, CASE WHEN LENGTH(d.body) <= ? THEN d.body END, e.entry
     FROM {index_entries} e
     JOIN {documents} d ON d.env = e.env AND d.collection = e.collection AND d.id = e.document
     WHERE e.env = ? AND e.collection = ? AND e.index_id = ? AND e.entry >= ? AND e.entry < ?
     ORDER BY e.entry DESC, e.document DESC LIMIT ?";
const ENTRIES_BEFORE: &str =
    "SELECT e.document, d.version, CASE WHEN LENGTH(d.body) <= ? THEN d.body END, e.entry
     FROM {index_entries} e
     JOIN {documents} d ON d.env = e.env AND d.collection = e.collection AND d.id = e.document
     WHERE e.env = ? AND e.collection = ? AND e.index_id = ? AND e.entry = ? AND e.document < ?
     ORDER BY e.document DESC LIMIT ?";
// Of an entry alone, where it says enough about its document: no document is looked up.
const BARE_RANGE: &str = "SELECT document, entry FROM {index_entries}
     WHERE env = ? AND collection = ? AND index_id = ? AND entry >= ? AND entry < ?
     ORDER BY entry, document LIMIT ?";
const BARE_RANGE_REVERSE: &str = "SELECT document, entry FROM {index_entries}
     WHERE env = ? AND collection = ? AND index_id = ? AND entry >= ? AND entry < ?
     ORDER BY entry DESC, document DESC LIMIT ?";
const BARE_AFTER: &str = "SELECT document, entry FROM {index_entries}
     WHERE env = ? AND collection = ? AND index_id = ? AND entry = ? AND document > ?
     ORDER BY document LIMIT ?";
const ENTRIES_COUNT: &str = "SELECT COUNT(*) FROM {index_entries}
     WHERE env = ? AND collection = ? AND index_id = ? AND entry >= ? AND entry < ?";

const UNIQUE_HOLDER: &str = "SELECT document FROM {unique_entries}
     WHERE env = ? AND collection = ? AND index_id = ? AND entry = ?";

// What a call with an idempotency key asked for and came to lies beside what the engine remembers of it, and is swept
// with it.
const REMEMBER_REQUEST: &str =
    "INSERT INTO {idempotency} (env, unit_key, changed, committed_ms) VALUES (?, ?, ?, ?)
     {on_conflict:env,unit_key} SET changed = {new:changed}, committed_ms = {new:committed_ms}";
const REMEMBERED_REQUEST: &str = "SELECT changed FROM {idempotency} WHERE env = ? AND unit_key = ?";

/// A page carries bodies up to this many bytes; 512 rows of them take 16 MiB.
const PAGE_BODY_BYTES_MAX: i64 = 32 << 10;

/// Documents that are read by their keys in one statement: a page, when a client names no other size.
pub(in crate::documents) const DOCUMENTS_OF_KEYS_MAX: usize = 20;

/// A stored document.
#[derive(Clone, Debug)]
pub(in crate::documents) struct Stored {
    /// The key of its id.
    pub(in crate::documents) key: Vec<u8>,
    /// The commit that wrote it.
    pub(in crate::documents) version: i64,
    /// Its BSON.
    pub(in crate::documents) body: Vec<u8>,
}

/// A row of a page.
#[derive(Debug)]
pub(in crate::documents) struct PageRow {
    pub(in crate::documents) key: Vec<u8>,
    pub(in crate::documents) version: i64,
    /// None when it is large: read it by its key.
    pub(in crate::documents) body: Option<Vec<u8>>,
    /// The index entry that led here; empty in a scan of documents.
    pub(in crate::documents) entry: Vec<u8>,
}

impl PageRow {
    /// The memory that it takes.
    pub(in crate::documents) fn bytes(&self) -> u64 {
        let body = self.body.as_ref().map_or(0, Vec::len);
        (size_of::<Self>() + self.key.len() + self.entry.len() + body) as u64
    }
}

/// An index entry without its document.
#[derive(Debug)]
pub(in crate::documents) struct BareEntry {
    /// The key of the document's id.
    pub(in crate::documents) document: Vec<u8>,
    /// What stands in the index.
    pub(in crate::documents) entry: Vec<u8>,
}

/// From which end of a range rows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::documents) enum Side {
    /// The least key first.
    First,
    /// The greatest key first.
    Last,
}

/// The documents of one collection in the tables.
#[derive(Clone)]
pub(in crate::documents) struct Table<'a> {
    pub(in crate::documents) store: &'a Store,
    pub(in crate::documents) env: &'a EnvId,
    pub(in crate::documents) collection: Arc<Collection>,
}

impl Table<'_> {
    /// What one call may cost, and hold of the memory of its environment.
    pub(in crate::documents) fn budget(&self) -> Budget {
        Budget::default().sharing(self.store.memory.of(self.env))
    }
}

// === Reading ===

impl Table<'_> {
    /// The document with this key, in this slot.
    pub(in crate::documents) async fn document(
        &self,
        key: &[u8],
        slot: u16,
    ) -> Result<Option<Stored>> {
        self.document_in(key, Key::Slot(slot)).await
    }

    /// The document with this key, wherever it is.
    pub(in crate::documents) async fn document_anywhere(
        &self,
        key: &[u8],
    ) -> Result<Option<Stored>> {
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

    /// Those of the documents with these keys that are there, in any order; [`DOCUMENTS_OF_KEYS_MAX`] keys at the most.
    pub(in crate::documents) async fn documents_of(
        &self,
        keys: &[Vec<u8>],
    ) -> Result<Vec<PageRow>> {
        let Some(last) = keys.last() else { return Ok(Vec::new()) };
        let mut params = vec![Value::Integer(PAGE_BODY_BYTES_MAX)];
        params.extend(self.params([]));
        let padded = keys.iter().chain(std::iter::repeat(last));
        params.extend(padded.take(DOCUMENTS_OF_KEYS_MAX).map(|key| blob(key)));
        let place = everywhere(&[(0, false)], None);
        let rows =
            self.store.read(self.env, place, DOCUMENTS_OF_KEYS, &[DOCUMENTS], params).await?;
        rows.into_iter().map(|row| page_row(row, false)).collect()
    }

    /// Those of these keys that documents have, in any order; [`DOCUMENTS_OF_KEYS_MAX`] keys at the most.
    pub(in crate::documents) async fn keys_of(&self, keys: &[Vec<u8>]) -> Result<Vec<Vec<u8>>> {
        let Some(last) = keys.last() else { return Ok(Vec::new()) };
        let mut params = self.params([]);
        let padded = keys.iter().chain(std::iter::repeat(last));
        params.extend(padded.take(DOCUMENTS_OF_KEYS_MAX).map(|key| blob(key)));
        let place = everywhere(&[(0, false)], None);
        let rows = self.store.read(self.env, place, KEYS_OF_KEYS, &[DOCUMENTS], params).await?;
        rows.into_iter().map(|row| Columns::from(row).bytes()).collect()
    }

    /// Up to `rows` documents with keys in the range, by key.
    pub(in crate::documents) async fn documents(
        &self,
        range: &KeyRange,
        side: Side,
        rows: usize,
    ) -> Result<Vec<PageRow>> {
        let mut params = vec![Value::Integer(PAGE_BODY_BYTES_MAX)];
        params.extend(self.params([blob(&range.from), blob(&range.to), count(rows)]));
        let (sql, descends) = match side {
            Side::First => (DOCUMENTS_RANGE, false),
            Side::Last => (DOCUMENTS_RANGE_REVERSE, true),
        };
        let key = everywhere(&[(0, descends)], Some(rows));
        let rows = self.store.read(self.env, key, sql, &[DOCUMENTS], params).await?;
        rows.into_iter().map(|row| page_row(row, false)).collect()
    }

    /// Up to `rows` documents with entries in the range, by entry and key.
    pub(in crate::documents) async fn entries(
        &self,
        index: i64,
        range: &KeyRange,
        side: Side,
        rows: usize,
    ) -> Result<Vec<PageRow>> {
        let own = [Value::Integer(index), blob(&range.from), blob(&range.to), count(rows)];
        let sql = match side {
            Side::First => ENTRIES_RANGE,
            Side::Last => ENTRIES_RANGE_REVERSE,
        };
        self.indexed(sql, own, side, rows).await
    }

    /// Up to `rows` documents of one entry beyond the document `beyond`.
    pub(in crate::documents) async fn entries_beyond(
        &self,
        index: i64,
        entry: &[u8],
        beyond: &[u8],
        side: Side,
        rows: usize,
    ) -> Result<Vec<PageRow>> {
        let own = [Value::Integer(index), blob(entry), blob(beyond), count(rows)];
        let sql = match side {
            Side::First => ENTRIES_AFTER,
            Side::Last => ENTRIES_BEFORE,
        };
        self.indexed(sql, own, side, rows).await
    }

    async fn indexed(
        &self,
        sql: &'static str,
        own: [Value; 4],
        side: Side,
        rows: usize,
    ) -> Result<Vec<PageRow>> {
        let mut params = vec![Value::Integer(PAGE_BODY_BYTES_MAX)];
        params.extend(self.params(own));
        let descends = side == Side::Last;
        let key = everywhere(&[(3, descends), (0, descends)], Some(rows));
        let rows = self.store.read(self.env, key, sql, &[ENTRIES, DOCUMENTS], params).await?;
        rows.into_iter().map(|row| page_row(row, true)).collect()
    }

    /// Up to `rows` entries in the range, by entry and key, without the documents.
    pub(in crate::documents) async fn bare_entries(
        &self,
        index: i64,
        range: &KeyRange,
        side: Side,
        rows: usize,
    ) -> Result<Vec<BareEntry>> {
        let own = [Value::Integer(index), blob(&range.from), blob(&range.to), count(rows)];
        let sql = match side {
            Side::First => BARE_RANGE,
            Side::Last => BARE_RANGE_REVERSE,
        };
        self.bare(sql, own, side, rows).await
    }

    /// Up to `rows` equal entries of documents after `after`, without the documents.
    pub(in crate::documents) async fn bare_entries_after(
        &self,
        index: i64,
        entry: &[u8],
        after: &[u8],
        rows: usize,
    ) -> Result<Vec<BareEntry>> {
        let own = [Value::Integer(index), blob(entry), blob(after), count(rows)];
        self.bare(BARE_AFTER, own, Side::First, rows).await
    }

    async fn bare(
        &self,
        sql: &'static str,
        own: [Value; 4],
        side: Side,
        rows: usize,
    ) -> Result<Vec<BareEntry>> {
        let descends = side == Side::Last;
        let key = everywhere(&[(1, descends), (0, descends)], Some(rows));
        let rows = self.store.read(self.env, key, sql, &[ENTRIES], self.params(own)).await?;
        let bare = |row| {
            let mut columns = Columns::from(row);
            Ok(BareEntry { document: columns.bytes()?, entry: columns.bytes()? })
        };
        rows.into_iter().map(bare).collect()
    }

    /// How many entries there are in the range.
    pub(in crate::documents) async fn count_entries(
        &self,
        index: i64,
        range: &KeyRange,
    ) -> Result<u64> {
        let own = [Value::Integer(index), blob(&range.from), blob(&range.to)];
        self.counted(ENTRIES_COUNT, &[ENTRIES], self.params(own)).await
    }

    /// How many documents there are.
    pub(in crate::documents) async fn count(&self) -> Result<u64> {
        self.counted(DOCUMENTS_COUNT, &[DOCUMENTS], self.params([])).await
    }

    async fn counted(
        &self,
        sql: &'static str,
        tables: &'static [Logical],
        params: Vec<Value>,
    ) -> Result<u64> {
        let rows = self.store.read(self.env, everywhere(&[], None), sql, tables, params).await?;
        let mut total = 0;
        // One row from each set of tables.
        for row in rows {
            total += u64::try_from(Columns::from(row).integer()?).unwrap_or(0);
        }
        Ok(total)
    }
}

// === Writing ===

impl Table<'_> {
    /// Commits a write batch.
    pub(in crate::documents) async fn write(
        &self,
        slot: Option<u16>,
        batch: Batch,
        idempotency: Option<String>,
    ) -> Result<Written> {
        let key = slot.map_or_else(|| everywhere(&[], None), Key::Slot);
        let written = self.store.write(self.env, key, batch.into_steps(), idempotency).await;
        if !written.as_ref().is_err_and(is_refused) {
            self.store.signals.note(self.env);
        }
        written
    }

    /// The document that has a value of a unique index.
    pub(in crate::documents) async fn unique_holder(
        &self,
        index: i64,
        entry: &[u8],
    ) -> Result<Option<Vec<u8>>> {
        let place = everywhere(&[], None);
        let params = self.params([Value::Integer(index), blob(entry)]);
        let rows = self.store.read(self.env, place, UNIQUE_HOLDER, &[UNIQUE], params).await?;
        rows.into_iter().next().map(|row| Columns::from(row).bytes()).transpose()
    }

    /// The step that remembers, with the write batch, what its call asked for and what it came to.
    pub(in crate::documents) fn remember_request(
        &self,
        key: &str,
        memory: &str,
        now_ms: i64,
    ) -> WriteStep {
        let own = [text(key), text(memory), Value::Integer(now_ms)];
        let params = std::iter::once(text(self.env.as_str())).chain(own).collect();
        step(REMEMBER_REQUEST, &[IDEMPOTENCY], params, Expect::Any)
    }

    /// What is remembered of the call that was done under this key; none when nobody knows any more.
    pub(in crate::documents) async fn remembered_request(
        &self,
        key: &str,
    ) -> Result<Option<String>> {
        // It lies where the document lay that was written.
        let place = everywhere(&[], None);
        let params = vec![text(self.env.as_str()), text(key)];
        let rows =
            self.store.read(self.env, place, REMEMBERED_REQUEST, &[IDEMPOTENCY], params).await?;
        rows.into_iter().next().map(|row| Columns::from(row).text()).transpose()
    }

    /// Parameters that begin, as most do, with the environment and the collection.
    pub(super) fn params<const N: usize>(&self, own: [Value; N]) -> Vec<Value> {
        let mut params = Vec::with_capacity(N + 6);
        params.push(text(self.env.as_str()));
        params.push(Value::Integer(self.collection.id));
        params.extend(own);
        params
    }
}

/// Whether nothing was written, for certain.
fn is_refused(error: &Error) -> bool {
    !matches!(error.kind(), Kind::Timeout | Kind::Unavailable)
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
