//! The documents nearest to a point, by a geo index.
//!
//! An entry tells where its document is, to a centimetre. So rings of entries are read from the point outwards, without
//! their documents; those are fetched in the order of their entries, some at a time, and held against the whole filter.
//! How far the first ring reaches, the entries beside the point in the index tell. A document is given out once nothing
//! that was not measured exactly can be nearer: neither an entry that waits, nor one that no ring reached yet. What is
//! more than a point stands under one key that says nothing of its place, so it is read first, all of it.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use yunzhan_base::Result;
use yunzhan_query::geo::{
    self, CellRange, ELSEWHERE_KEY, FIRST_M, HALF_WAY_M, Near, Ring, Rings, cell, key_range,
    point_of,
};
use yunzhan_query::key::KeyRange;
use yunzhan_query::{Access, Document, Filter, Order, Plan};

use super::logic::permission::OWNER_FIELD;
use super::read::{SORT_BYTES_MAX, check_bytes};
use super::scan::{Scan, after, elsewhere};
use super::store::{BareEntry, DOCUMENTS_OF_KEYS_MAX, Side, Stored, Table};

/// How far the distance of a cell may be from that of the point in it, in metres; it is a centimetre at most.
const PRECISION_M: f64 = 0.1;

/// Entries of one page.
const PAGE_ENTRIES: usize = 512;

/// Entries that cost as much as reading a small document. It bounds those that wait, too.
const ENTRIES_PER_WORK: usize = 4;

/// Entries on either side of the point in the index by which the first ring is judged.
const PROBE_ENTRIES: usize = 32;

/// Entries of the probe that stand within the first ring: what is fetched at once.
const PROBE_WITHIN: usize = DOCUMENTS_OF_KEYS_MAX;

/// Entries of the first ring at the most. It has some hundred, unless the point lies off the places in the index, or at
/// an edge where what is beside it there is far away.
const FIRST_ENTRIES_MAX: u64 = 1024;

/// By how much nearer the next first ring reaches when one had too many entries. Two steps of the rings: should it have
/// too few, the third ring has those again.
const SHRINKING: f64 = 9.0;

/// The bytes before the cell in a key.
const KEY_HEAD_BYTES: usize = ELSEWHERE_KEY.len();

/// A scan from a point outwards. Every document comes at most once, the nearest first, those at one distance by their
/// ids.
pub(super) struct NearestNeighbours<'a> {
    table: Table<'a>,
    /// Leads through what has no cell, fetches all others, and counts the work of everything.
    scan: Scan<'a>,
    is_elsewhere_read: bool,
    near: Near,
    /// The number of the index in rows.
    index: i64,
    /// None before the first ring is asked for.
    rings: Option<Rings>,
    /// Every point nearer than this stood in an entry that was read.
    certain_m: f64,
    ranges: u64,
    entries: u64,
    waiting: BinaryHeap<Reverse<Ranked>>,
    measured: BinaryHeap<Reverse<Ranked>>,
    /// Bytes of the documents that are measured and wait.
    bytes: usize,
}

/// What a scan has read.
pub(super) struct SearchStats {
    /// The place of the index among those of the collection.
    pub(super) index: Option<usize>,
    /// Ranges of its keys.
    pub(super) ranges: u64,
    /// Its entries, without their documents.
    pub(super) entries: u64,
    /// Documents.
    pub(super) documents: u64,
}

/// A document at a distance; its body is there once it was measured.
struct Ranked {
    distance_m: f64,
    key: Vec<u8>,
    body: Vec<u8>,
}

impl Ranked {
    /// The memory that it takes.
    fn bytes(&self) -> u64 {
        (size_of::<Self>() + self.key.len() + self.body.len()) as u64
    }
}

impl<'a> NearestNeighbours<'a> {
    /// A scan for a filter that orders by distance, if no other order is asked for and a ready geo index knows the
    /// places.
    ///
    /// Ids are looked up instead, and what one person owns is few enough to be sorted.
    pub(super) fn new(
        table: &Table<'a>,
        filter: &'a Filter,
        order: &'a Order,
        work_max: usize,
    ) -> Option<Self> {
        let near = filter.near().filter(|_| order.is_empty())?;
        let collection = &table.collection;
        let (place, _) = collection.geo_indexes().find(|(_, path)| **path == near.path)?;
        let is_owned = filter.equalities().any(|(path, _)| path.is(OWNER_FIELD));
        let plan = Plan::choose(filter, order, &[]);
        if is_owned || matches!(plan.access, Access::Ids(_)) {
            return None;
        }
        let index = collection.indexes[place].id;
        let along = (place, vec![elsewhere()]);
        Some(Self {
            table: table.clone(),
            scan: Scan::along(table.clone(), filter, order, work_max, along, true),
            is_elsewhere_read: false,
            rings: None,
            near,
            index,
            certain_m: 0.0,
            ranges: 1,
            entries: 0,
            waiting: BinaryHeap::new(),
            measured: BinaryHeap::new(),
            bytes: 0,
        })
    }

    /// The body of the next document that matches.
    ///
    /// # Errors
    /// `TooLarge` when more work than allowed would have to be done, or too much be held.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if !self.is_elsewhere_read {
            self.is_elsewhere_read = true;
            while let Some(stored) = self.scan.next().await? {
                self.measure(stored)?;
            }
        }
        loop {
            let waiting_m = self.waiting.peek().map_or(f64::INFINITY, |first| first.0.distance_m);
            let open_m = waiting_m.min(self.certain_m) - PRECISION_M;
            if self.measured.peek().is_some_and(|first| first.0.distance_m < open_m) {
                return Ok(self.measured.pop().map(|Reverse(first)| {
                    self.bytes -= first.body.len();
                    self.scan.budget.release(first.bytes());
                    first.body
                }));
            }
            if waiting_m < self.certain_m {
                let keys = self.first_waiting();
                for stored in self.scan.fetch(keys).await? {
                    self.measure(stored)?;
                }
            } else if self.certain_m == f64::INFINITY {
                return Ok(None);
            } else {
                self.read_ring().await?;
            }
        }
    }

    /// Work that may still be done.
    pub(super) fn work_left(&self) -> usize {
        self.scan.work_left()
    }

    /// What was read so far.
    pub(super) fn stats(&self) -> SearchStats {
        SearchStats {
            index: self.scan.index,
            ranges: self.ranges,
            entries: self.entries,
            documents: self.scan.examined,
        }
    }

    /// Puts a document that matches at its exact distance.
    fn measure(&mut self, stored: Stored) -> Result<()> {
        // Of a filter with a distance, the place is among the fields that it reads.
        let mut document = Document::new();
        if !self.scan.matching(&stored.body, &mut document)? {
            return Ok(());
        }
        let found = geo::distance_m(&document, &self.near.path, self.near.point);
        // Only what has a distance matches.
        let Some(distance_m) = found else { return Ok(()) };
        self.bytes = check_bytes(self.bytes + stored.body.len(), SORT_BYTES_MAX)?;
        let ranked = Ranked { distance_m, key: stored.key, body: stored.body };
        self.scan.budget.keep(ranked.bytes())?;
        self.measured.push(Reverse(ranked));
        Ok(())
    }

    /// The keys of the nearest documents that wait, as many as are fetched at once.
    fn first_waiting(&mut self) -> Vec<Vec<u8>> {
        let mut keys = Vec::with_capacity(DOCUMENTS_OF_KEYS_MAX);
        while keys.len() < DOCUMENTS_OF_KEYS_MAX
            && let Some(first) = self.waiting.peek_mut()
            && first.0.distance_m < self.certain_m
        {
            let first = PeekMut::pop(first).0;
            self.scan.budget.release(first.bytes());
            keys.push(first.key);
        }
        keys
    }

    async fn read_ring(&mut self) -> Result<()> {
        let Some(rings) = &mut self.rings else { return self.read_first_ring().await };
        match rings.next() {
            Some(ring) => self.read_ranges(&ring, u64::MAX).await.map(drop),
            // Beyond the last ring nothing is asked for.
            None => {
                self.certain_m = f64::INFINITY;
                Ok(())
            }
        }
    }

    /// Looks for a ring that has not too many entries, and reads it.
    async fn read_first_ring(&mut self) -> Result<()> {
        let mut first_m = self.probe().await?;
        loop {
            let Near { point, min_m, max_m, .. } = self.near;
            let mut rings = Rings::new(point, first_m, min_m, max_m);
            // What is nearer than `min_m` no smaller ring would leave out.
            let may_shrink = first_m > FIRST_M.max(min_m);
            let entries_max = if may_shrink { FIRST_ENTRIES_MAX } else { u64::MAX };
            let is_read = match rings.next() {
                Some(ring) => self.read_ranges(&ring, entries_max).await?,
                None => true,
            };
            if is_read {
                self.rings = Some(rings);
                return Ok(());
            }
            let waiting = self.waiting.drain().map(|Reverse(ranked)| ranked.bytes()).sum();
            self.scan.budget.release(waiting);
            first_m /= SHRINKING;
        }
    }

    /// Reads a ring to its end and says so, unless it has many more than so many entries.
    async fn read_ranges(&mut self, ring: &Ring, entries_max: u64) -> Result<bool> {
        let entries_end = self.entries.saturating_add(entries_max);
        for cells in &ring.ranges {
            self.ranges += 1;
            if !self.read_range(key_range(cells), entries_end).await? {
                return Ok(false);
            }
        }
        self.certain_m = ring.certain_to_m;
        Ok(true)
    }

    /// A distance within which there are some entries and mostly not many: what is beside the point in the index is
    /// mostly near it. The whole earth where there are too few to tell.
    async fn probe(&mut self) -> Result<f64> {
        let here = cell(self.near.point);
        let behind = CellRange { from: here, to: [u8::MAX; 8] };
        let before = CellRange { from: [0; 8], to: here };
        let mut distances_m = Vec::with_capacity(2 * PROBE_ENTRIES);
        for (cells, side) in [(behind, Side::First), (before, Side::Last)] {
            let range = key_range(&cells);
            let page = self.table.bare_entries(self.index, &range, side, PROBE_ENTRIES).await?;
            self.ranges += 1;
            self.entries += page.len() as u64;
            self.scan.charge(work_of_entries(page.len())).await?;
            distances_m.extend(page.iter().filter_map(|entry| self.distance_m(entry)));
        }
        distances_m.sort_by(f64::total_cmp);
        Ok(distances_m.get(PROBE_WITHIN).copied().unwrap_or(HALF_WAY_M))
    }

    /// How far away the point of an entry is.
    fn distance_m(&self, entry: &BareEntry) -> Option<f64> {
        let cell = entry.entry.get(KEY_HEAD_BYTES..)?.try_into().ok()?;
        Some(self.near.point.distance_m(point_of(cell)))
    }

    async fn read_range(&mut self, mut range: KeyRange, entries_end: u64) -> Result<bool> {
        while self.entries <= entries_end {
            let page =
                self.table.bare_entries(self.index, &range, Side::First, PAGE_ENTRIES).await?;
            let Some(last) = self.take(page).await? else { return Ok(true) };
            range.from = after(&last.entry);
            self.read_equal(last, entries_end).await?;
        }
        Ok(false)
    }

    /// Reads the rest of the documents at one place, as far as entries are wanted: a page may have ended amid them.
    async fn read_equal(&mut self, mut last: BareEntry, entries_end: u64) -> Result<()> {
        while self.entries <= entries_end {
            let (entry, document) = (&last.entry, &last.document);
            let page =
                self.table.bare_entries_after(self.index, entry, document, PAGE_ENTRIES).await?;
            match self.take(page).await? {
                Some(next) => last = next,
                None => break,
            }
        }
        Ok(())
    }

    /// Lets the entries of a page wait, and gives the last one of a full page.
    async fn take(&mut self, mut page: Vec<BareEntry>) -> Result<Option<BareEntry>> {
        self.entries += page.len() as u64;
        self.scan.charge(work_of_entries(page.len())).await?;
        let last = if page.len() == PAGE_ENTRIES { page.pop() } else { None };
        let kept = last
            .as_ref()
            .map(|last| BareEntry { document: last.document.clone(), entry: last.entry.clone() });
        let reach_m = self.near.min_m - PRECISION_M..=self.near.max_m + PRECISION_M;
        for entry in page.into_iter().chain(kept) {
            let Some(distance_m) = self.distance_m(&entry) else { continue };
            if reach_m.contains(&distance_m) {
                let ranked = Ranked { distance_m, key: entry.document, body: Vec::new() };
                self.scan.budget.keep(ranked.bytes())?;
                self.waiting.push(Reverse(ranked));
            }
        }
        Ok(last)
    }
}

/// What a page of so many entries costs; an empty one was a question to the database too.
fn work_of_entries(entries: usize) -> usize {
    entries.div_ceil(ENTRIES_PER_WORK).max(1)
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance_m.total_cmp(&other.distance_m).then_with(|| self.key.cmp(&other.key))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}
