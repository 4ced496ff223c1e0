//! The documents as a transaction sees them: as they were at its snapshot, with what it wrote.

use std::collections::HashSet;
use std::sync::Arc;

use bson::{Bson, Document};
use yunzhan_base::{Error, Kind, Result};
use yunzhan_query::key::sort_key;
use yunzhan_query::{Budget, Filter, Order};

use super::place_of;
use super::state::{Entry, TRANSACTION_DOCUMENTS_MAX, Transaction, conflict, unknown};
use crate::documents::Which;
use crate::documents::logic::id::slot_of;
use crate::documents::logic::shape::{Prepared, decode};
use crate::documents::scan::Scan;
use crate::documents::store::{Stored, Table};

/// Before-images that are read at once: each is a document to decode and to match.
const RECALLED_ROWS: usize = 128;

/// Most documents that were changed since the snapshot of a transaction that queries: it should begin anew.
const RECALLED_MAX: usize = 20_000;

/// Most bytes of documents that a query finds, before they are sorted and cut: as a query outside a transaction.
const GATHERED_BYTES_MAX: usize = 32 << 20;

/// What a call wants to see.
pub(super) struct Wanted<'a> {
    pub(super) filter: &'a Filter,
    pub(super) order: &'a Order,
    pub(super) skip: usize,
    pub(super) limit: usize,
    /// Work that the scan may cost.
    pub(super) work_max: usize,
}

/// A document that the transaction sees, and from now on remembers.
pub(super) struct Seen {
    pub(super) key: Vec<u8>,
    pub(super) document: Document,
    source: Source,
}

enum Source {
    /// The transaction knew it, or wrote it.
    Own(Vec<u8>),
    /// It is seen for the first time, as it was at the snapshot.
    Fresh(Arc<Stored>),
}

/// Documents while they are gathered.
struct Gathered {
    /// What matching them may still take, and what they hold.
    budget: Budget,
    seen: Vec<Seen>,
    /// The keys that came already, whether they matched or not.
    keys: HashSet<Vec<u8>>,
    bytes: usize,
}

/// The documents that match, in order; those that are given are remembered.
pub(super) async fn see(
    transaction: &mut Transaction,
    table: &Table<'_>,
    which: &Which,
    wanted: &Wanted<'_>,
) -> Result<Vec<Seen>> {
    let mut gathered = Gathered::new(table.budget());
    match which {
        Which::One(id) => {
            let Some((key, slot)) = place_of(id) else { return Ok(Vec::new()) };
            look_up(transaction, table, &key, slot).await?;
            if let Some(body) = transaction.entry(table.collection.id, &key).and_then(Entry::body) {
                gathered.own(&key, body, wanted)?;
            }
        }
        Which::Matching { .. } => {
            own(transaction, table, wanted, &mut gathered)?;
            stored(transaction, table, wanted, &mut gathered).await?;
            // After the scan: what changed while it went on has its before-images by now.
            recalled(transaction, table, wanted, &mut gathered).await?;
        }
    }
    let mut seen = gathered.seen;
    match wanted.order.is_empty() {
        true => seen.sort_by(|a, b| a.key.cmp(&b.key)),
        false => seen
            .sort_by_cached_key(|seen| (sort_key(&seen.document, wanted.order), seen.key.clone())),
    }
    let page: Vec<_> = seen.into_iter().skip(wanted.skip).take(wanted.limit).collect();
    for seen in &page {
        if let Source::Fresh(fresh) = &seen.source {
            let slot = slot_of(&seen.key);
            transaction.remember(table, &seen.key, slot, Some(Arc::clone(fresh)))?;
        }
    }
    Ok(page)
}

/// As [`resolved`](crate::documents::read::resolved), of the documents that the transaction sees.
pub(super) async fn resolved(
    transaction: &mut Transaction,
    table: &Table<'_>,
    which: &Which,
) -> Result<Which> {
    if let (Some(spelled), Which::One(text)) = (which.spelled(), which) {
        let spelled = Bson::ObjectId(spelled);
        if !is_seen(transaction, table, text).await?
            && is_seen(transaction, table, &spelled).await?
        {
            return Ok(Which::One(spelled));
        }
    }
    Ok(which.clone())
}

async fn is_seen(transaction: &mut Transaction, table: &Table<'_>, id: &Bson) -> Result<bool> {
    let Some((key, slot)) = place_of(id) else { return Ok(false) };
    look_up(transaction, table, &key, slot).await?;
    Ok(transaction.entry(table.collection.id, &key).and_then(Entry::body).is_some())
}

/// Makes sure that the transaction knows the document with this key, or that there is none.
pub(super) async fn look_up(
    transaction: &mut Transaction,
    table: &Table<'_>,
    key: &[u8],
    slot: u16,
) -> Result<()> {
    if transaction.entry(table.collection.id, key).is_some() {
        return Ok(());
    }
    let now = table.document(key, slot).await?;
    let before = transaction.as_of(table, key, now).await?;
    transaction.remember(table, key, slot, before)
}

/// Locks documents that were looked up before, so that the transaction may write them.
///
/// # Errors
/// `Conflict` when another transaction has locked one of them, or somebody changed one since the snapshot.
pub(super) async fn hold(
    transaction: &mut Transaction,
    table: &Table<'_>,
    keys: &[&[u8]],
) -> Result<()> {
    let mut held = Vec::with_capacity(keys.len());
    for key in keys {
        let entry = transaction.entry(table.collection.id, key).ok_or_else(unknown)?;
        if entry.written.is_none() {
            let before = entry.before.as_ref().map(|before| before.version);
            held.push((*key, entry.slot, before));
        }
    }
    let keys: Vec<&[u8]> = held.iter().map(|(key, ..)| *key).collect();
    transaction.lock(table, &keys).await?;
    // Locked first and then read: whoever had it before has either not let go, or has committed.
    for (key, slot, before) in held {
        let now = table.document(key, slot).await?.map(|now| now.version);
        if now != before {
            return Err(conflict());
        }
    }
    Ok(())
}

/// Locks the id of a document that is to be added.
///
/// # Errors
/// `AlreadyExists` when the transaction sees one with this id; `Conflict` as [`hold`].
pub(super) async fn make_room(
    transaction: &mut Transaction,
    table: &Table<'_>,
    document: &Prepared,
) -> Result<()> {
    look_up(transaction, table, &document.key, document.slot).await?;
    let entry = transaction.entry(table.collection.id, &document.key);
    if entry.is_some_and(|entry| entry.body().is_some()) {
        return Err(Error::new(Kind::AlreadyExists, "a document with this _id exists already"));
    }
    hold(transaction, table, &[&document.key]).await
}

/// What matches of the documents that the transaction knows.
fn own(
    transaction: &Transaction,
    table: &Table<'_>,
    wanted: &Wanted<'_>,
    gathered: &mut Gathered,
) -> Result<()> {
    let collection = table.collection.id;
    let of_collection = (collection, Vec::new())..(collection + 1, Vec::new());
    for ((_, key), entry) in transaction.documents.range(of_collection) {
        // Also what it removed: nobody shall find it again.
        gathered.keys.insert(key.clone());
        if let Some(body) = entry.body() {
            gathered.own(key, body, wanted)?;
        }
    }
    Ok(())
}

/// What matches of the documents that the transaction does not know yet and that a scan finds.
async fn stored(
    transaction: &Transaction,
    table: &Table<'_>,
    wanted: &Wanted<'_>,
    gathered: &mut Gathered,
) -> Result<()> {
    let snapshot = transaction.snapshot()?;
    let mut scan = Scan::new(table.clone(), wanted.filter, wanted.order, wanted.work_max);
    let enough = wanted.skip.saturating_add(wanted.limit);
    let mut found = 0;
    // The transaction's own may come before any of these, so as many as are wanted are needed of each.
    // Without an order the page is by key, which only a scan without an index follows.
    let is_ordered = scan.is_ordered && (!wanted.order.is_empty() || scan.index.is_none());
    while !is_ordered || found < enough {
        let Some(now) = scan.next().await? else { return Ok(()) };
        // What has changed since is told by the log, below: it may belong elsewhere in the order.
        if snapshot.includes(&now.key, now.version) && gathered.keys.insert(now.key.clone()) {
            found += usize::from(gathered.fresh(Arc::new(now), wanted)?);
        }
    }
    Ok(())
}

/// What matches of the documents that were others at the snapshot, and that the scan has not come by: the change log has
/// them, for what a scan misses was written before it came there.
async fn recalled(
    transaction: &Transaction,
    table: &Table<'_>,
    wanted: &Wanted<'_>,
    gathered: &mut Gathered,
) -> Result<()> {
    let snapshot = transaction.snapshot()?;
    let now = table.store.position(table.env).await?;
    let (mut looked_at, is_behind) = (0, snapshot.is_behind(&now));
    for group in snapshot.behind(&now) {
        let seen = snapshot.of(group);
        let mut place = Some((seen, i64::MAX));
        while let Some(from) = place {
            let page = table.changed_since(group, seen, from, RECALLED_ROWS).await?;
            place = page.next;
            looked_at += page.stored.len();
            if looked_at > RECALLED_MAX {
                return Err(conflict());
            }
            for was in page.stored {
                if gathered.keys.insert(was.key.clone()) {
                    gathered.fresh(Arc::new(was), wanted)?;
                }
            }
            tokio::task::yield_now().await;
        }
    }
    // After reading: what was taken away meanwhile was not read.
    match is_behind && snapshot.is_behind(&table.store.log_state(table.env).await?.trimmed) {
        true => Err(conflict()),
        false => Ok(()),
    }
}

// === impl Gathered ===

impl Gathered {
    fn new(budget: Budget) -> Self {
        Self { budget, seen: Vec::new(), keys: HashSet::new(), bytes: 0 }
    }

    fn own(&mut self, key: &[u8], body: &[u8], wanted: &Wanted<'_>) -> Result<()> {
        let document = decode(body)?;
        if wanted.filter.matches(&document, &self.budget)? {
            self.budget.keep(2 * body.len() as u64)?;
            let source = Source::Own(body.to_vec());
            self.seen.push(Seen { key: key.to_vec(), document, source });
        }
        Ok(())
    }

    /// Takes a document if it matches.
    fn fresh(&mut self, was: Arc<Stored>, wanted: &Wanted<'_>) -> Result<bool> {
        let document = decode(&was.body)?;
        if !wanted.filter.matches(&document, &self.budget)? {
            return Ok(false);
        }
        // As it is stored, and as it was decoded.
        self.budget.keep(2 * was.body.len() as u64)?;
        self.bytes += was.body.len();
        // Its own come beside these, so there may be twice as many.
        if self.seen.len() >= 2 * TRANSACTION_DOCUMENTS_MAX || self.bytes > GATHERED_BYTES_MAX {
            let message = format!(
                "a query in a transaction may find at most {TRANSACTION_DOCUMENTS_MAX} documents of {} MiB; narrow it",
                GATHERED_BYTES_MAX >> 20
            );
            return Err(Error::new(Kind::TooLarge, message));
        }
        self.seen.push(Seen { key: was.key.clone(), document, source: Source::Fresh(was) });
        Ok(true)
    }
}

// === impl Seen ===

impl Seen {
    pub(super) fn into_body(self) -> Vec<u8> {
        match self.source {
            Source::Own(body) => body,
            Source::Fresh(stored) => stored.body.clone(),
        }
    }
}
