//! Scans over the documents that a filter may mean, in pages, so that memory is bounded whatever the collection holds.

use std::collections::HashSet;

use bson::Bson;
use yunzhan_base::{Error, Kind, Result};
use yunzhan_query::geo::{Area, ELSEWHERE_KEY, covering, key_range};
use yunzhan_query::key::{FORMAT, KeyRange};
use yunzhan_query::{Access, Budget, Document, Filter, Needs, Order, Path, Plan};

use super::logic::id::{id_key, slot_of};
use super::logic::index::GEO_DIRECTION;
use super::logic::permission::OWNER_FIELD;
use super::logic::shape::decode_into;
use super::store::{Collection, PageRow, Side, Stored, Table};
use crate::offload;

/// Rows of the first page. Most queries end within it.
const PAGE_ROWS_FIRST: usize = 32;

/// Bytes of a document that cost as much as a small document: reading, decoding and matching take about ten
/// microseconds.
const BYTES_PER_WORK: usize = 1 << 10;

/// Conditions that cost, for each [`BYTES_PER_WORK`] of a document, as much as decoding them does.
const CONDITIONS_PER_WORK: usize = 8;

/// Work after which others run: 256 KiB of documents, two or three milliseconds.
const WORK_BETWEEN_YIELDS: usize = 256;

/// Bytes that remembering a key takes besides the key: an entry of a set, which is half empty at the worst.
const SEEN_BYTES: u64 = 48;

/// Work of asking the database for what is not there: as much as of a small document that is.
const MISS_WORK: usize = 1;

/// Steps of matching that take as long as one work.
const STEPS_PER_WORK: u64 = 400;

/// Work of one document that is matched aside, for matching has no pauses: a third of a millisecond, of which handing
/// the other tasks over is a small part.
const OFFLOAD_STEPS: usize = 32;

/// Rows of the largest page; each carries a small body at most, see `store.rs`.
const PAGE_ROWS_MAX: usize = 512;

/// Ranges of a geo index that cover an area. More of them miss the area by less, and each is a statement.
const COVER_RANGES_MAX: usize = 32;

/// Fields that a refusal of a long scan names.
const NAMED_FIELDS_MAX: usize = 4;

/// The place of the primary key in the planner's list.
const BY_ID: usize = 0;

/// A scan. Every document comes at most once, as it was when its page was read.
pub(super) struct Scan<'a> {
    table: Table<'a>,
    access_path: AccessPath,
    page: std::vec::IntoIter<PageRow>,
    page_rows: usize,
    /// Bytes of the page, as the budget holds them.
    page_bytes: u64,
    /// Work that may still be done; a small document is one.
    work_left: usize,
    /// Work of the last document.
    work: usize,
    /// Steps that were taken by then.
    steps: u64,
    /// Work since others could run.
    work_unyielded: usize,
    /// How many conditions each document is held against.
    conditions: usize,
    /// Keys that came already, where one document may stand behind several entries.
    seen: Option<HashSet<Vec<u8>>>,
    filter: &'a Filter,
    /// The fields that the filter reads.
    needs: Needs,
    /// The fields that are read of a document that matches.
    reads: Needs,
    /// The document that was last held against the filter, as far as that reads it.
    seen_last: Document,
    order: &'a Order,
    work_max: usize,
    /// What holding documents against the filter may still take, and what is held on the way.
    pub(super) budget: Budget,
    /// Whether the documents come in the wanted order.
    pub(super) is_ordered: bool,
    /// Whether every document on the way matches.
    pub(super) is_exact: bool,
    /// The place of the index that is used among those of the collection.
    pub(super) index: Option<usize>,
    /// Ranges of keys, or ids, that the way began with.
    pub(super) ranges: usize,
    /// Documents that were read.
    pub(super) examined: u64,
    /// The way leads through the whole collection.
    is_scan: bool,
}

/// What is left of the way.
enum AccessPath {
    Ids(std::vec::IntoIter<Bson>),
    Documents { ranges: Vec<KeyRange>, side: Side },
    Entries { index: i64, ranges: Vec<KeyRange>, side: Side, inside: Option<Position> },
}

/// Behind which document of which entry the next page begins.
struct Position {
    entry: Vec<u8>,
    document: Vec<u8>,
}

impl<'a> Scan<'a> {
    /// Plans a scan over at least the documents of `filter`, which costs as much as `work_max` small documents at most.
    pub(super) fn new(
        table: Table<'a>,
        filter: &'a Filter,
        order: &'a Order,
        work_max: usize,
    ) -> Self {
        let plan = Plan::choose(filter, order, &table.collection.planned);
        if plan.access == Access::Scan
            && let Some((place, ranges)) = around(&table.collection, filter)
        {
            let along = (place, ranges);
            return Self::along(table, filter, order, work_max, along, plan.ordered);
        }
        let is_scan = plan.access == Access::Scan;
        let (mut seen, mut index) = (None, None);
        let (access_path, ranges) = match plan.access {
            Access::Ids(ids) => {
                let count = ids.len();
                (AccessPath::Ids(ids.into_iter()), count)
            }
            Access::Index { index: BY_ID, ranges, reverse } => {
                let (count, side) = (ranges.len(), side(reverse));
                (AccessPath::Documents { ranges: last_first(ranges, side), side }, count)
            }
            Access::Index { index: place, ranges, reverse } => {
                // The planner's list has the primary key first, then the ready indexes.
                let used = table.collection.planned_places[place - 1];
                let (count, side) = (ranges.len(), side(reverse));
                seen = Some(HashSet::new());
                index = Some(used);
                let ranges = last_first(ranges, side);
                let index = table.collection.indexes[used].id;
                (AccessPath::Entries { index, ranges, side, inside: None }, count)
            }
            Access::Scan => {
                let all = KeyRange { from: vec![FORMAT], to: vec![FORMAT + 1] };
                (AccessPath::Documents { ranges: vec![all], side: Side::First }, 1)
            }
        };
        Self {
            seen,
            is_ordered: plan.ordered,
            is_exact: plan.exact,
            index,
            is_scan,
            ..Self::on(table, (access_path, ranges), filter, order, work_max)
        }
    }

    /// A scan along ranges of the index at a place among those of the collection, whatever a planner would say.
    pub(super) fn along(
        table: Table<'a>,
        filter: &'a Filter,
        order: &'a Order,
        work_max: usize,
        (place, ranges): (usize, Vec<KeyRange>),
        is_ordered: bool,
    ) -> Self {
        let index = table.collection.indexes[place].id;
        let count = ranges.len();
        let ranges = last_first(ranges, Side::First);
        let access_path = AccessPath::Entries { index, ranges, side: Side::First, inside: None };
        Self {
            seen: Some(HashSet::new()),
            index: Some(place),
            is_ordered,
            ..Self::on(table, (access_path, count), filter, order, work_max)
        }
    }

    fn on(
        table: Table<'a>,
        (access_path, ranges): (AccessPath, usize),
        filter: &'a Filter,
        order: &'a Order,
        work_max: usize,
    ) -> Self {
        let budget = table.budget();
        Self {
            table,
            access_path,
            page: Vec::new().into_iter(),
            page_rows: PAGE_ROWS_FIRST,
            page_bytes: 0,
            work_left: work_max,
            work: 0,
            steps: 0,
            work_unyielded: 0,
            conditions: filter.conditions(),
            seen: None,
            filter,
            needs: filter.needs(),
            reads: filter.needs(),
            seen_last: Document::new(),
            order,
            work_max,
            budget,
            is_ordered: false,
            is_exact: false,
            index: None,
            ranges,
            examined: 0,
            is_scan: false,
        }
    }

    /// Those of the documents with these keys that are there and did not come yet; they count as some of the scan from
    /// then on. There may be as many keys as one statement takes.
    ///
    /// # Errors
    /// As [`Scan::next`].
    pub(super) async fn fetch(&mut self, mut keys: Vec<Vec<u8>>) -> Result<Vec<Stored>> {
        if let Some(seen) = &mut self.seen {
            keys.retain(|key| seen.insert(key.clone()));
            self.budget.keep(keys.iter().map(|key| SEEN_BYTES + key.len() as u64).sum())?;
        }
        self.examined += keys.len() as u64;
        let mut found = Vec::with_capacity(keys.len());
        let rows = self.table.documents_of(&keys).await?;
        self.charge(MISS_WORK * keys.len().saturating_sub(rows.len())).await?;
        for row in rows {
            let stored = self.whole(row).await?;
            self.charge(stored.as_ref().map_or(1, |stored| self.work_of(&stored.body))).await?;
            found.extend(stored);
        }
        Ok(found)
    }

    /// The next document.
    ///
    /// # Errors
    /// `TooLarge` when more work than allowed would have to be done; it names the fields that an index is missing on.
    pub(super) async fn next(&mut self) -> Result<Option<Stored>> {
        let next = self.find_next().await?;
        if let Some(stored) = &next {
            self.examined += 1;
            self.charge(self.work_of(&stored.body)).await?;
        }
        Ok(next)
    }

    /// The same scan for somebody who reads these fields of the documents that match.
    pub(super) fn reading(self, needs: Needs) -> Self {
        Self { reads: needs.or(self.filter.needs()), ..self }
    }

    /// Whether a document of the scan matches. Only what the filter asks about is decoded.
    ///
    /// # Errors
    /// What an `$expr` refuses; `TooLarge` when the call takes too many steps.
    pub(super) fn matches(&mut self, body: &[u8]) -> Result<bool> {
        if self.filter.is_all() {
            return Ok(true);
        }
        decode_into(body, &self.needs, &mut self.seen_last)?;
        let Self { filter, seen_last, budget, work, .. } = self;
        Ok(offload::run_now(*work >= OFFLOAD_STEPS, || filter.matches(seen_last, budget))?)
    }

    /// Whether a document of the scan matches, which then stands in `document` with the fields that are read at least.
    /// What stood there before may lend its memory.
    ///
    /// # Errors
    /// As [`Scan::matches`].
    pub(super) fn matching(&mut self, body: &[u8], document: &mut Document) -> Result<bool> {
        if self.reads == Needs::All && !self.matches(body)? {
            return Ok(false);
        }
        decode_into(body, &self.reads, document)?;
        let Self { filter, budget, .. } = &*self;
        let matches = || filter.matches(document, budget);
        Ok(self.reads == Needs::All || offload::run_now(self.work >= OFFLOAD_STEPS, matches)?)
    }

    /// Work that may still be done.
    pub(super) fn work_left(&self) -> usize {
        self.work_left
    }

    /// Leaves less work, because others of the same call did some meanwhile.
    pub(super) fn limit_work(&mut self, work_left: usize) {
        self.work_left = self.work_left.min(work_left);
    }

    /// The kind of the way, as people read it.
    pub(super) fn access(&self) -> &'static str {
        match (&self.access_path, self.index, self.is_scan) {
            (AccessPath::Ids(_), ..) => "ids",
            (_, None, true) => "scan",
            _ => "index",
        }
    }

    /// How many documents match, where an index tells it without reading one.
    ///
    /// # Errors
    /// As [`Scan::next`]: of the work, each range counts as a small document.
    pub(super) async fn count_by_keys(&mut self) -> Result<Option<u64>> {
        let AccessPath::Entries { index, ranges, .. } = &self.access_path else { return Ok(None) };
        if !self.is_exact {
            return Ok(None);
        }
        let (index, ranges) = (*index, ranges.clone());
        let mut total = 0;
        for range in ranges {
            self.charge(MISS_WORK).await?;
            total += self.table.count_entries(index, &range).await?;
        }
        Ok(Some(total))
    }

    async fn find_next(&mut self) -> Result<Option<Stored>> {
        loop {
            if let AccessPath::Ids(ids) = &mut self.access_path {
                let Some(id) = ids.next() else { return Ok(None) };
                // What cannot be an id is the id of no document.
                let Ok(key) = id_key(&id) else { continue };
                match self.table.document(&key, slot_of(&key)).await? {
                    Some(stored) => return Ok(Some(stored)),
                    None => self.charge(MISS_WORK).await?,
                }
                continue;
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
        if self.seen.is_some() {
            self.budget.keep(SEEN_BYTES + row.key.len() as u64)?;
        }
        self.whole(row).await
    }

    /// The document of a row, which a page may have left out.
    async fn whole(&self, row: PageRow) -> Result<Option<Stored>> {
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
    pub(super) async fn charge(&mut self, work: usize) -> Result<()> {
        self.work_left = self.work_left.checked_sub(work).ok_or_else(|| self.too_long())?;
        let steps = self.budget.steps() - std::mem::replace(&mut self.steps, self.budget.steps());
        self.work = work;
        self.work_unyielded += work + usize::try_from(steps / STEPS_PER_WORK).unwrap_or(0);
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
            let Some(rows) = self.access_path.page(&self.table, wanted).await? else {
                return Ok(false);
            };
            if rows.is_empty() {
                self.charge(MISS_WORK).await?;
                continue;
            }
            self.budget.release(self.page_bytes);
            self.page_bytes = 0;
            let bytes = rows.iter().map(PageRow::bytes).sum();
            self.budget.keep(bytes)?;
            self.page_bytes = bytes;
            // Reading a page is work too.
            tokio::task::yield_now().await;
            self.page_rows = (self.page_rows * 4).min(PAGE_ROWS_MAX);
            self.page = rows.into_iter();
            return Ok(true);
        }
    }
}

impl Scan<'_> {
    /// The fields of the index that would lead here, as they are written to add it; none when no index helps.
    pub(super) fn wanted_index(&self) -> Vec<String> {
        let near = self.filter.near();
        let is_place = |path: &Path| {
            let is_near = near.as_ref().is_some_and(|near| near.path == *path);
            is_near || self.filter.area(&path.to_string()).is_some()
        };
        let place = self.filter.paths().find(|path| is_place(path));
        let place = place.map(|path| format!("{path}:{GEO_DIRECTION}"));
        if near.is_some() && self.order.is_empty() {
            return place.into_iter().collect();
        }
        // An index serves best with what is equal first, then what is sorted by, then what is in a range.
        let equal = self.filter.equalities().map(|(path, _)| path.to_string());
        let sorted = self.order.fields().iter().map(|field| field.path.to_string());
        let ranged = self.filter.paths().filter(|path| !is_place(path)).map(ToString::to_string);
        let mut fields: Vec<String> = Vec::new();
        for field in equal.chain(sorted).chain(ranged) {
            let is_indexed = field == "_id" || field == OWNER_FIELD;
            if !is_indexed && fields.len() < NAMED_FIELDS_MAX && !fields.contains(&field) {
                fields.push(field);
            }
        }
        if fields.is_empty() { place.into_iter().collect() } else { fields }
    }

    /// The refusal of a scan that found no end, with the fields that an index is missing on if one is.
    fn too_long(&self) -> Error {
        let fields = self.wanted_index();
        let led_by = self.index.map(|place| &self.table.collection.indexes[place]);
        let advice = match led_by.filter(|index| index.covers(&fields)) {
            Some(index) => format!("the index {} leads to too many; narrow the query", index.name),
            None if fields.is_empty() => "narrow it by _id".to_owned(),
            None => format!("it lacks an index on {}", fields.join(", ")),
        };
        let work_max = self.work_max;
        let message =
            format!("this call would cost more than reading {work_max} small documents; {advice}");
        Error::new(Kind::TooLarge, message)
    }
}

impl AccessPath {
    /// The next `wanted` rows of the way, perhaps none; nothing at its end.
    async fn page(&mut self, table: &Table<'_>, wanted: usize) -> Result<Option<Vec<PageRow>>> {
        match self {
            Self::Ids(_) => Ok(None),
            Self::Documents { ranges, side } => {
                let Some(range) = ranges.last_mut() else { return Ok(None) };
                let rows = table.documents(range, *side, wanted).await?;
                match rows.last().filter(|_| rows.len() == wanted) {
                    Some(last) => narrow(range, &last.key, *side),
                    None => drop(ranges.pop()),
                }
                Ok(Some(rows))
            }
            Self::Entries { index, ranges, side, inside } => {
                let rows = match (&inside, ranges.last()) {
                    (Some(at), _) => {
                        table.entries_beyond(*index, &at.entry, &at.document, *side, wanted).await?
                    }
                    (None, Some(range)) => table.entries(*index, range, *side, wanted).await?,
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
                            narrow(range, &last.entry, *side);
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

/// Where a geo index has every document that the filter may mean by a place: its place among the indexes, and the
/// ranges.
fn around(collection: &Collection, filter: &Filter) -> Option<(usize, Vec<KeyRange>)> {
    let near = filter.near().filter(|near| near.max_m.is_finite());
    let ranges = |path: &Path| {
        let cells = match (filter.area(&path.to_string()), &near) {
            (Some(area), _) => covering(area, COVER_RANGES_MAX),
            (None, Some(near)) if near.path == *path => {
                let circle = Area::Cap { center: near.point, radius_m: near.max_m };
                covering(&circle, COVER_RANGES_MAX)
            }
            _ => return None,
        };
        Some(cells.iter().map(key_range).chain([elsewhere()]).collect())
    };
    collection.geo_indexes().find_map(|(place, path)| Some((place, ranges(path)?)))
}

/// The range of what a geo index has under no cell.
pub(super) fn elsewhere() -> KeyRange {
    KeyRange { from: ELSEWHERE_KEY.to_vec(), to: after(&ELSEWHERE_KEY) }
}

/// What is left of a range beyond a key.
fn narrow(range: &mut KeyRange, key: &[u8], side: Side) {
    match side {
        Side::First => range.from = after(key),
        Side::Last => range.to = key.to_vec(),
    }
}

fn side(reverse: bool) -> Side {
    if reverse { Side::Last } else { Side::First }
}

/// The ranges as a stack whose last one is scanned first.
fn last_first(mut ranges: Vec<KeyRange>, side: Side) -> Vec<KeyRange> {
    if side == Side::First {
        ranges.reverse();
    }
    ranges
}

/// The first key after this one.
pub(super) fn after(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}
