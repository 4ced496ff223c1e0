//! Walks over the documents that a filter may mean, in pages, so that memory is bounded whatever the collection holds.

use std::collections::HashSet;
use std::sync::LazyLock;

use bson::Bson;
use yunzhan_base::{Error, Kind, Result};
use yunzhan_query::key::{FORMAT, KeyRange};
use yunzhan_query::{Access, Direction, Filter, Index, Order, Plan};

use super::logic::id::{id_key, slot_of};
use super::logic::permission::OWNER_FIELD;
use super::logic::shape::{OWNER_INDEX, OWNER_ORDER};
use super::store::{PageRow, Stored, Table};

/// Rows of the first page. Most queries end within it.
const PAGE_ROWS_FIRST: usize = 32;

/// Bytes of a document that cost as much as a small document: reading, decoding and matching take about ten microseconds.
const BYTES_PER_WORK: usize = 1 << 10;

/// Conditions that cost, for each [`BYTES_PER_WORK`] of a document, as much as decoding them does.
const CONDITIONS_PER_WORK: usize = 8;

/// Work after which others run: 256 KiB of documents, two or three milliseconds.
const WORK_BETWEEN_YIELDS: usize = 256;

/// Rows of the largest page; each carries a small body at most, see `store.rs`.
const PAGE_ROWS_MAX: usize = 512;

/// Fields that a refusal of a long walk names.
const NAMED_FIELDS_MAX: usize = 4;

/// What the planner may use: the primary key and the owner's index.
static INDEXES: LazyLock<[Index; 2]> = LazyLock::new(|| {
    let id = Order::from_fields([("_id", Direction::Ascending)]).expect("_id is a path");
    [
        Index { pattern: id, multikey: false, truncated: false },
        // A server may write anything into `_openid`, also an array.
        Index { pattern: OWNER_ORDER.clone(), multikey: true, truncated: true },
    ]
});

/// The place of the primary key among [`INDEXES`].
const BY_ID: usize = 0;

/// A walk. Every document comes at most once, as it was when its page was read.
pub(super) struct Walk<'a> {
    table: Table<'a>,
    way: Way,
    page: std::vec::IntoIter<PageRow>,
    page_rows: usize,
    /// Work that may still be done; a small document is one.
    work_left: usize,
    /// Work since others could run.
    work_unyielded: usize,
    /// How many conditions each document is held against.
    conditions: usize,
    /// Keys that came already, where one document may stand behind several entries.
    seen: Option<HashSet<Vec<u8>>>,
    filter: &'a Filter,
    order: &'a Order,
    work_max: usize,
    /// Whether the documents come in the wanted order.
    pub(super) is_ordered: bool,
}

/// What is left of the way.
enum Way {
    Ids(std::vec::IntoIter<Bson>),
    Documents { ranges: Vec<KeyRange>, reverse: bool },
    Entries { ranges: Vec<KeyRange>, inside: Option<Position> },
}

/// Behind which document of which entry the next page begins.
struct Position {
    entry: Vec<u8>,
    document: Vec<u8>,
}

impl<'a> Walk<'a> {
    /// Plans a walk over at least the documents of `filter`, which costs as much as `work_max` small documents at most.
    pub(super) fn new(
        table: Table<'a>,
        filter: &'a Filter,
        order: &'a Order,
        work_max: usize,
    ) -> Self {
        let plan = Plan::choose(filter, order, INDEXES.as_slice());
        let mut seen = None;
        let way = match plan.access {
            Access::Ids(ids) => Way::Ids(ids.into_iter()),
            Access::Index { index: BY_ID, ranges, reverse } => {
                Way::Documents { ranges: last_first(ranges, reverse), reverse }
            }
            Access::Index { ranges, .. } => {
                seen = Some(HashSet::new());
                Way::Entries { ranges: last_first(ranges, false), inside: None }
            }
            Access::Scan => {
                let all = KeyRange { from: vec![FORMAT], to: vec![FORMAT + 1] };
                Way::Documents { ranges: vec![all], reverse: false }
            }
        };
        Self {
            table,
            way,
            page: Vec::new().into_iter(),
            page_rows: PAGE_ROWS_FIRST,
            work_left: work_max,
            work_unyielded: 0,
            conditions: filter.conditions(),
            seen,
            filter,
            order,
            work_max,
            is_ordered: plan.ordered,
        }
    }

    /// The next document.
    ///
    /// # Errors
    /// `TooLarge` when more work than allowed would have to be done; it names the fields that an index is missing on.
    pub(super) async fn next(&mut self) -> Result<Option<Stored>> {
        let next = self.find_next().await?;
        if let Some(stored) = &next {
            self.charge(self.work_of(&stored.body)).await?;
        }
        Ok(next)
    }

    async fn find_next(&mut self) -> Result<Option<Stored>> {
        loop {
            if let Way::Ids(ids) = &mut self.way {
                let Some(id) = ids.next() else { return Ok(None) };
                // What cannot be an id is the id of no document.
                let Ok(key) = id_key(&id) else { continue };
                match self.table.document(&key, slot_of(&id, &key)).await? {
                    Some(stored) => return Ok(Some(stored)),
                    None => continue,
                }
            }
            let Some(row) = self.page.next() else {
                if !self.turn_page().await? {
                    return Ok(None);
                }
                continue;
            };
            if let Some(stored) = self.take(row).await? {
                return Ok(Some(stored));
            }
        }
    }

    async fn take(&mut self, row: PageRow) -> Result<Option<Stored>> {
        if self.seen.as_mut().is_some_and(|seen| !seen.insert(row.key.clone())) {
            self.charge(1).await?;
            return Ok(None);
        }
        match row.body {
            Some(body) => Ok(Some(Stored { key: row.key, version: row.version, body })),
            None => self.table.document_anywhere(&row.key).await,
        }
    }

    /// What it costs to decode this document and to hold it against the conditions.
    fn work_of(&self, body: &[u8]) -> usize {
        let size = 1 + body.len() / BYTES_PER_WORK;
        size + size * self.conditions / CONDITIONS_PER_WORK
    }

    /// Takes work from what is left. Before much of it, others run and the deadline may strike: an embedded database
    /// answers without a pause.
    async fn charge(&mut self, work: usize) -> Result<()> {
        self.work_left = self.work_left.checked_sub(work).ok_or_else(|| self.too_long())?;
        self.work_unyielded += work;
        if self.work_unyielded >= WORK_BETWEEN_YIELDS {
            self.work_unyielded = 0;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Reads the next page that has rows; false at the end of the way.
    async fn turn_page(&mut self) -> Result<bool> {
        loop {
            // One row too many shows that there are more.
            let wanted = self.page_rows.min(self.work_left + 1);
            let Some(rows) = self.way.page(&self.table, wanted).await? else { return Ok(false) };
            if rows.is_empty() {
                continue;
            }
            // Reading a page is work too.
            tokio::task::yield_now().await;
            self.page_rows = (self.page_rows * 4).min(PAGE_ROWS_MAX);
            self.page = rows.into_iter();
            return Ok(true);
        }
    }
}

impl Walk<'_> {
    /// The refusal of a walk that found no end, with the fields that an index is missing on.
    fn too_long(&self) -> Error {
        let asked = self.filter.equalities().map(|(path, _)| path.to_string());
        let sorted = self.order.fields().iter().map(|field| field.path.to_string());
        let mut fields: Vec<String> = Vec::new();
        for field in asked.chain(sorted).filter(|field| field != "_id" && field != OWNER_FIELD) {
            if fields.len() < NAMED_FIELDS_MAX && !fields.contains(&field) {
                fields.push(field);
            }
        }
        let advice = match fields.is_empty() {
            true => "narrow it by _id".to_owned(),
            false => format!("it lacks an index on {}", fields.join(", ")),
        };
        let work_max = self.work_max;
        let message =
            format!("this call would cost more than reading {work_max} small documents; {advice}");
        Error::new(Kind::TooLarge, message)
    }
}

impl Way {
    /// The next `wanted` rows of the way, perhaps none; nothing at its end.
    async fn page(&mut self, table: &Table<'_>, wanted: usize) -> Result<Option<Vec<PageRow>>> {
        match self {
            Self::Ids(_) => Ok(None),
            Self::Documents { ranges, reverse } => {
                let Some(range) = ranges.last_mut() else { return Ok(None) };
                let rows = table.documents(range, *reverse, wanted).await?;
                match rows.last().filter(|_| rows.len() == wanted) {
                    Some(last) if *reverse => range.to.clone_from(&last.key),
                    Some(last) => range.from = after(&last.key),
                    None => drop(ranges.pop()),
                }
                Ok(Some(rows))
            }
            Self::Entries { ranges, inside } => {
                let rows = match (&inside, ranges.last()) {
                    (Some(position), _) => {
                        table
                            .entries_after(OWNER_INDEX, &position.entry, &position.document, wanted)
                            .await?
                    }
                    (None, Some(range)) => table.entries(OWNER_INDEX, range, wanted).await?,
                    (None, None) => return Ok(None),
                };
                let was_inside = inside.is_some();
                match rows.last().filter(|_| rows.len() == wanted) {
                    // The page may have ended amid the documents of one entry: those come first.
                    Some(last) => {
                        *inside = Some(Position {
                            entry: last.entry.clone(),
                            document: last.key.clone(),
                        });
                        if let Some(range) = ranges.last_mut() {
                            range.from = after(&last.entry);
                        }
                    }
                    None if was_inside => *inside = None,
                    None => drop(ranges.pop()),
                }
                Ok(Some(rows))
            }
        }
    }
}

/// The ranges as a stack whose last one is walked first.
fn last_first(mut ranges: Vec<KeyRange>, reverse: bool) -> Vec<KeyRange> {
    if !reverse {
        ranges.reverse();
    }
    ranges
}

/// The first key after this one.
fn after(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}
