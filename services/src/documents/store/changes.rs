//! Statements on the change log, and on the counters by which it is ordered.

use yunzhan_base::{EnvId, Error, Result};
use yunzhan_engine::sql::{Expect, Logical, Row, StepRows, Value, WriteStep};

use super::{Store, Table, blob, count, everywhere, step, text};
use crate::columns::Columns;
use crate::documents::changes::ChangeKind;
use crate::documents::logic::position::{Position, SLOT_GROUPS, group_of};
use crate::documents::store::Stored;

const CHANGES: Logical = Logical("changes");
const SEQUENCES: Logical = Logical("sequences");
const COLLECTIONS: Logical = Logical("collections");

/// What [`LOG`] touches.
pub(super) const TABLES: &[Logical] = &[CHANGES];

/// Adds rows to the log. Its parameters: environment, collection, time; then of each row the rest.
pub(super) const LOG: &str = "INSERT INTO {changes}
     (env, collection, at_ms, slot_group, sequence, ordinal, kind, document, previous, before_image)
     VALUES {rows:10}";

const MAKE_SEQUENCES: &str =
    "INSERT INTO {sequences} (env, sequence, trimmed, logged_bytes, slot_group) VALUES {rows:5}
     {or_keep:env,slot_group}";
const TAKE: &str = "UPDATE {sequences} SET {take:sequence}, logged_bytes = logged_bytes + ?
     WHERE env = ? AND slot_group = ?";
// The look at the collection locks its row against those who change it, and lets other writers look too.
const TAKE_CHECKED: &str = "UPDATE {sequences} SET {take:sequence}, logged_bytes = logged_bytes + ?
     WHERE env = ? AND slot_group = ?
     AND EXISTS (SELECT 1 FROM {collections} WHERE env = ? AND id = ? AND shape = ?)";
const CHECK: &str = "UPDATE {sequences} SET sequence = sequence WHERE env = ? AND slot_group = ?
     AND EXISTS (SELECT 1 FROM {collections} WHERE env = ? AND id = ? AND shape = ?)";
const STATE: &str =
    "SELECT slot_group, sequence, trimmed, logged_bytes FROM {sequences} WHERE env = ?";

// The first change of a document after a number, beside what the log begins after: both of one moment.
const FIRST_CHANGE: &str = "SELECT s.trimmed, c.previous, c.before_image FROM {sequences} s
     LEFT JOIN {changes} c ON c.env = s.env AND c.slot_group = s.slot_group AND c.sequence > ?
     AND c.collection = ? AND c.document = ? AND c.previous <= ?
     WHERE s.env = ? AND s.slot_group = ? ORDER BY c.sequence, c.ordinal LIMIT 1";
// The first change of each document that was there at a number: what it found is what the document was then.
const FIRST_CHANGES: &str = "SELECT sequence, ordinal, document, previous,
     CASE WHEN LENGTH(before_image) <= ? THEN before_image END FROM {changes}
     WHERE env = ? AND slot_group = ? AND sequence >= ? AND (sequence > ? OR ordinal > ?)
     AND collection = ? AND previous > 0 AND previous <= ?
     ORDER BY sequence, ordinal LIMIT ?";
const PAGE: &str = "SELECT sequence, ordinal, collection, kind, document, previous,
     CASE WHEN LENGTH(before_image) <= ? THEN before_image END, at_ms FROM {changes}
     WHERE env = ? AND slot_group = ? AND sequence >= ? AND (sequence > ? OR ordinal > ?)
     AND sequence <= ? ORDER BY sequence, ordinal LIMIT ?";
const BEFORE_IMAGE: &str = "SELECT before_image FROM {changes}
     WHERE env = ? AND slot_group = ? AND sequence = ? AND ordinal = ?";

// How old the log is in each group; none where it is empty.
const HEADS: &str = "SELECT s.slot_group, (SELECT c.at_ms FROM {changes} c WHERE c.env = s.env
     AND c.slot_group = s.slot_group AND c.sequence > s.trimmed ORDER BY c.sequence LIMIT 1)
     FROM {sequences} s WHERE s.env = ?";
const OLDEST: &str = "SELECT sequence, at_ms FROM {changes} WHERE env = ? AND slot_group = ? ORDER BY sequence, ordinal LIMIT ?";
// What goes is summed where it is: whoever trims at the same time takes away only what is left.
const NOTE_TRIMMED: &str = "UPDATE {sequences} SET trimmed = ?, logged_bytes = logged_bytes - (
        SELECT COALESCE(SUM(? + LENGTH(c.document) + COALESCE(LENGTH(c.before_image), 0)), 0)
        FROM {changes} c WHERE c.env = ? AND c.slot_group = ? AND c.sequence <= ?)
     WHERE env = ? AND slot_group = ? AND trimmed < ?";
const TRIM: &str = "DELETE FROM {changes} WHERE env = ? AND slot_group = ? AND sequence <= ?";

/// What a row of the log takes besides its key and its before-image: nine columns, and its part of a page.
const ROW_BYTES: i64 = 64;

/// Before-images up to this many bytes come with a page; larger ones are read one by one.
const PAGE_IMAGE_BYTES_MAX: i64 = 32 << 10;

/// A page ends behind the change with which its before-images exceed this many bytes.
const PAGE_BYTES_MAX: usize = 4 << 20;

/// A change, as the log has it.
#[derive(Debug)]
pub(in crate::documents) struct Logged {
    pub(in crate::documents) sequence: i64,
    pub(in crate::documents) ordinal: i64,
    pub(in crate::documents) collection: i64,
    pub(in crate::documents) kind: ChangeKind,
    /// The key of the document's id; empty where a range was loaded.
    pub(in crate::documents) document: Vec<u8>,
    /// Its version before; 0 when it was not there.
    pub(in crate::documents) previous: i64,
    /// What it was before, if it was there.
    pub(in crate::documents) before_image: Option<Vec<u8>>,
    pub(in crate::documents) at_ms: i64,
}

/// Documents as they were at a number of their group, and where the next page begins.
#[derive(Debug)]
pub(in crate::documents) struct LoggedPage {
    pub(in crate::documents) stored: Vec<Stored>,
    /// None after the last page.
    pub(in crate::documents) next: Option<(i64, i64)>,
}

/// Where the log of an environment ends and begins, and what it takes.
#[derive(Debug)]
pub(in crate::documents) struct LogState {
    /// The newest change of each group.
    pub(in crate::documents) position: Position,
    /// Up to where nothing is there any more.
    pub(in crate::documents) trimmed: Position,
    pub(in crate::documents) bytes: i64,
}

/// What a row of the log takes, about.
pub(super) fn row_bytes(document: &[u8], before_image: Option<&[u8]>) -> i64 {
    ROW_BYTES + length(document.len()) + length(before_image.map_or(0, <[u8]>::len))
}

/// The step that makes the counters of an environment, unless they are there.
pub(super) fn make_sequences(env: &EnvId) -> WriteStep {
    let zero = || Value::Integer(0);
    let params = vec![text(env.as_str()), zero(), zero(), zero()];
    let mut step = step(MAKE_SEQUENCES, &[SEQUENCES], params, Expect::Any);
    step.rows = StepRows::new(1);
    (0..SLOT_GROUPS).for_each(|group| step.rows.push([number_of(group)]));
    step
}

/// The step that takes the next number of a group, and at the same time makes sure that a collection has this shape.
pub(super) fn take(
    env: &EnvId,
    group: usize,
    bytes: i64,
    collection: Option<(i64, i64)>,
) -> WriteStep {
    let mut params = vec![Value::Integer(bytes), text(env.as_str()), number_of(group)];
    let Some(collection) = collection else {
        return step(TAKE, &[SEQUENCES], params, Expect::Rows(1));
    };
    params.extend(shape(env, collection));
    step(TAKE_CHECKED, &[SEQUENCES, COLLECTIONS], params, Expect::Rows(1))
}

/// The step that makes sure of one collection more, while the number of this group is held.
pub(super) fn check(env: &EnvId, group: usize, collection: (i64, i64)) -> WriteStep {
    let mut params = vec![text(env.as_str()), number_of(group)];
    params.extend(shape(env, collection));
    step(CHECK, &[SEQUENCES, COLLECTIONS], params, Expect::Rows(1))
}

fn shape(env: &EnvId, (collection, epoch): (i64, i64)) -> [Value; 3] {
    [text(env.as_str()), Value::Integer(collection), Value::Integer(epoch)]
}

fn number_of(group: usize) -> Value {
    count(group)
}

fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

// === impl Store ===

impl Store {
    /// Where the change log ends at this moment.
    pub(in crate::documents) async fn position(&self, env: &EnvId) -> Result<Position> {
        Ok(self.log_state(env).await?.position)
    }

    /// Where the change log ends and begins at this moment.
    pub(in crate::documents) async fn log_state(&self, env: &EnvId) -> Result<LogState> {
        let rows = self.select(env, STATE, &[SEQUENCES], vec![text(env.as_str())]).await?;
        let mut state =
            LogState { position: Position::zero(), trimmed: Position::zero(), bytes: 0 };
        for row in rows {
            let mut columns = Columns::from(row);
            let group = group_number(columns.integer()?)?;
            state.position.set(group, columns.integer()?);
            state.trimmed.set(group, columns.integer()?);
            state.bytes = state.bytes.saturating_add(columns.integer()?);
        }
        Ok(state)
    }

    /// Up to `rows` changes of a group behind the place (sequence, ordinal), up to a sequence; and whether these are the last.
    pub(in crate::documents) async fn changes(
        &self,
        env: &EnvId,
        group: usize,
        (sequence, ordinal): (i64, i64),
        up_to: i64,
        rows: usize,
    ) -> Result<(Vec<Logged>, bool)> {
        let [from, ordinal, up_to] = [sequence, ordinal, up_to].map(Value::Integer);
        let mut params = vec![Value::Integer(PAGE_IMAGE_BYTES_MAX), text(env.as_str())];
        params.extend([number_of(group), from.clone(), from, ordinal, up_to, count(rows)]);
        let key = everywhere(&[(0, false), (1, false)], Some(rows));
        let found = self.read(env, key, PAGE, &[CHANGES], params).await?;
        let mut changes = Vec::with_capacity(found.len());
        let (mut is_last, mut bytes) = (found.len() < rows, 0);
        for row in found {
            if bytes > PAGE_BYTES_MAX {
                is_last = false;
                break;
            }
            let mut change = logged(row)?;
            if change.previous > 0 && change.before_image.is_none() {
                let place = (change.sequence, change.ordinal);
                change.before_image = self.before_image(env, group, place).await?;
            }
            bytes += change.before_image.as_ref().map_or(0, Vec::len);
            changes.push(change);
        }
        Ok((changes, is_last))
    }

    async fn before_image(
        &self,
        env: &EnvId,
        group: usize,
        (sequence, ordinal): (i64, i64),
    ) -> Result<Option<Vec<u8>>> {
        let [sequence, ordinal] = [sequence, ordinal].map(Value::Integer);
        let params = vec![text(env.as_str()), number_of(group), sequence, ordinal];
        let rows = self.select(env, BEFORE_IMAGE, &[CHANGES], params).await?;
        rows.into_iter().next().map_or(Ok(None), |row| Columns::from(row).optional_bytes())
    }

    /// The time of the oldest change of each group that has some.
    pub(in crate::documents) async fn log_heads(&self, env: &EnvId) -> Result<Vec<(usize, i64)>> {
        let params = vec![text(env.as_str())];
        let rows = self.select(env, HEADS, &[SEQUENCES, CHANGES], params).await?;
        let mut heads = Vec::new();
        for row in rows {
            let mut columns = Columns::from(row);
            let group = group_number(columns.integer()?)?;
            heads.extend(columns.optional_integer()?.map(|at_ms| (group, at_ms)));
        }
        Ok(heads)
    }

    /// The oldest changes of a group, at most so many: of each its sequence and its time.
    pub(in crate::documents) async fn oldest_changes(
        &self,
        env: &EnvId,
        group: usize,
        rows: usize,
    ) -> Result<Vec<(i64, i64)>> {
        let params = vec![text(env.as_str()), number_of(group), count(rows)];
        let rows = self.select(env, OLDEST, &[CHANGES], params).await?;
        let oldest = |row| {
            let mut columns = Columns::from(row);
            Ok((columns.integer()?, columns.integer()?))
        };
        rows.into_iter().map(oldest).collect()
    }

    /// Takes away the changes of a group up to a sequence.
    pub(in crate::documents) async fn trim(
        &self,
        env: &EnvId,
        group: usize,
        up_to: i64,
    ) -> Result<()> {
        let up_to = Value::Integer(up_to);
        let place = || [text(env.as_str()), number_of(group)];
        let mut note = vec![up_to.clone(), Value::Integer(ROW_BYTES)];
        note.extend(place());
        note.push(up_to.clone());
        note.extend(place());
        note.push(up_to.clone());
        let mut trim: Vec<Value> = place().into();
        trim.push(up_to);
        let steps = vec![
            step(NOTE_TRIMMED, &[SEQUENCES, CHANGES], note, Expect::Any),
            step(TRIM, &[CHANGES], trim, Expect::Any),
        ];
        self.write(env, everywhere(&[], None), steps, None).await.map(drop)
    }
}

// === impl Table ===

impl Table<'_> {
    /// What the document with this key was at a number of its group, where the tables have another version of it now, or
    /// none: a document, or that there was none, or nothing where the log no longer tells.
    pub(in crate::documents) async fn as_of(
        &self,
        key: &[u8],
        seen: i64,
    ) -> Result<Option<Option<Stored>>> {
        let number = || Value::Integer(seen);
        let mut params = vec![number(), Value::Integer(self.collection.id), blob(key), number()];
        params.extend([text(self.env.as_str()), number_of(group_of(key))]);
        let place = everywhere(&[], Some(1));
        let tables = &[SEQUENCES, CHANGES];
        let rows = self.store.read(self.env, place, FIRST_CHANGE, tables, params).await?;
        let Some(row) = rows.into_iter().next() else { return Ok(Some(None)) };
        let mut columns = Columns::from(row);
        if columns.integer()? > seen {
            return Ok(None);
        }
        let (previous, body) = (columns.optional_integer()?, columns.optional_bytes()?);
        let stored = |(version, body)| Stored { key: key.to_vec(), version, body };
        Ok(Some(previous.zip(body).map(stored)))
    }

    /// Documents of one group that were there at the number `seen` and were changed since, as they were then: up to `rows`
    /// of them, behind a place in the log.
    pub(in crate::documents) async fn changed_since(
        &self,
        group: usize,
        seen: i64,
        (sequence, ordinal): (i64, i64),
        rows: usize,
    ) -> Result<LoggedPage> {
        let [from, ordinal, seen] = [sequence, ordinal, seen].map(Value::Integer);
        let mut params = vec![Value::Integer(PAGE_IMAGE_BYTES_MAX), text(self.env.as_str())];
        params.extend([number_of(group), from.clone(), from, ordinal]);
        params.extend([Value::Integer(self.collection.id), seen, count(rows)]);
        let key = everywhere(&[(0, false), (1, false)], Some(rows));
        let found = self.store.read(self.env, key, FIRST_CHANGES, &[CHANGES], params).await?;
        let is_full = found.len() >= rows;
        let mut page = LoggedPage { stored: Vec::with_capacity(found.len()), next: None };
        let mut bytes = 0;
        for row in found {
            if bytes > PAGE_BYTES_MAX {
                return Ok(page);
            }
            let mut columns = Columns::from(row);
            let place = (columns.integer()?, columns.integer()?);
            let (key, version) = (columns.bytes()?, columns.integer()?);
            let body = match columns.optional_bytes()? {
                Some(body) => Some(body),
                None => self.store.before_image(self.env, group, place).await?,
            };
            bytes += body.as_ref().map_or(0, Vec::len);
            // What was trimmed in this moment is missed by whoever looks then how far the log goes back.
            page.stored.extend(body.map(|body| Stored { key, version, body }));
            page.next = Some(place);
        }
        if !is_full {
            page.next = None;
        }
        Ok(page)
    }
}

fn group_number(number: i64) -> Result<usize> {
    let group = usize::try_from(number).ok().filter(|group| *group < SLOT_GROUPS);
    group.ok_or_else(|| Error::internal(format!("there is no slot group {number}")))
}

fn logged(row: Row) -> Result<Logged> {
    let mut columns = Columns::from(row);
    Ok(Logged {
        sequence: columns.integer()?,
        ordinal: columns.integer()?,
        collection: columns.integer()?,
        kind: ChangeKind::from_code(columns.integer()?)?,
        document: columns.bytes()?,
        previous: columns.integer()?,
        before_image: columns.optional_bytes()?,
        at_ms: columns.integer()?,
    })
}
