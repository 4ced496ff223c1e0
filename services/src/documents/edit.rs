//! One write batch of edits: documents that were read become others or go, if nobody else changed them meanwhile.

use std::time::Duration;

use bson::Document;
use yunzhan_base::{Error, Kind, Result};
use yunzhan_query::{Budget, Filter, Update};

use super::change::apply;
use super::idempotency::IdempotentCall;
use super::insert::taken;
use super::logic::id::slot_of;
use super::logic::index::{DocumentKeys, keys_before, keys_of};
use super::logic::permission::Reach;
use super::logic::shape::{decode, encode};
use super::rules::Authorizer;
use super::store::{Batch, Stored, Table};
use super::{Changed, Documents};
use crate::offload::{self, LONG_BYTES};

/// Tries of one write batch. Those of this process who change a single document queue, so a try is lost to another
/// process or to a write batch of many, and the pauses between tries grow: all of them together take about as long as a
/// client waits.
pub(super) const ATTEMPTS_MAX: u32 = 100;

/// The longest pause after the first lost try: about the time of one commit.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_millis(64);

/// What happens to which documents.
pub(super) struct Edit<'a> {
    /// How they change; none when they go.
    pub(super) update: Option<&'a Update>,
    /// Which ones.
    pub(super) filter: &'a Filter,
    /// Whose call it is.
    pub(super) reach: Reach<'a>,
    /// What decides about each of them, where the filter does not say all.
    pub(super) each: Option<&'a Authorizer<'a>>,
    /// The call that is done once, if it is.
    pub(super) idempotent: Option<&'a IdempotentCall>,
    /// What holding documents against the filter may still take.
    pub(super) budget: Budget,
}

impl Edit<'_> {
    /// The item that `$` in a path of the update stands for.
    pub(super) fn position(&self, document: &Document) -> Result<Option<usize>> {
        match self.update.is_some_and(Update::needs_position) {
            true => Ok(self.filter.position(document, &self.budget)?),
            false => Ok(None),
        }
    }

    /// Whether this is one of them.
    pub(super) async fn reaches(&self, document: &Document) -> Result<bool> {
        match self.each {
            _ if !self.filter.matches(document, &self.budget)? => Ok(false),
            Some(authorizer) => {
                authorizer.allows(document, self.update, self.position(document)?).await
            }
            None => Ok(true),
        }
    }
}

impl Documents {
    /// Edits these documents, in one write batch unless it would be too large.
    pub(super) async fn edit_batches(
        &self,
        table: &Table<'_>,
        documents: Vec<Stored>,
        edit: &Edit<'_>,
    ) -> Result<Changed> {
        let (mut all, mut left) = (Changed::default(), documents);
        loop {
            let (changed, rest) = self.edit_batch(table, left, edit).await?;
            all.matched += changed.matched;
            all.updated += changed.updated;
            all.document = changed.document.or(all.document);
            if rest.is_empty() {
                return Ok(all);
            }
            left = rest;
        }
    }

    /// Edits the first of these documents in one write batch, and again with what they have become when somebody else
    /// was faster. Gives those for which the write batch had no room.
    async fn edit_batch(
        &self,
        table: &Table<'_>,
        mut documents: Vec<Stored>,
        edit: &Edit<'_>,
    ) -> Result<(Changed, Vec<Stored>)> {
        let mut table = table.clone();
        let turn = self.queues.turn(&table, &documents).await;
        if turn.as_ref().is_some_and(|turn| turn.has_waited) {
            documents = read_again(&table, documents).await?;
        }
        for attempt in 0..ATTEMPTS_MAX {
            let mut batch = EditBatch::new(table.clone(), self.now_ms());
            let mut touched = Vec::new();
            let mut seen = 0;
            for stored in &documents {
                if batch.batch.size().is_full() {
                    break;
                }
                seen += 1;
                let others = batch.slots.len();
                batch.edit(stored, edit).await?;
                if batch.slots.len() > others {
                    touched.push(stored);
                }
            }
            if batch.slots.is_empty() {
                return Ok((batch.changed, documents.split_off(seen)));
            }
            if let Some(idempotent) = edit.idempotent {
                batch.batch.push(idempotent.remember(&table, &batch.changed)?);
            }
            let unit_key = edit.idempotent.map(|idempotent| idempotent.unit_key.clone());
            let written = table.write(only(&batch.slots), batch.batch, unit_key).await;
            match (written, edit.idempotent) {
                (Ok(written), Some(idempotent)) if written.repeated => {
                    return Ok((idempotent.repeated(&table).await?, Vec::new()));
                }
                (Ok(_), _) => {
                    self.note_kinds(&table, &batch.keys);
                    return Ok((batch.changed, documents.split_off(seen)));
                }
                (Err(error), _) if error.kind() == Kind::Conflict => pause(attempt).await,
                (Err(error), _) if error.kind() == Kind::AlreadyExists => {
                    let changed = touched.iter().map(|stored| &*stored.key).zip(&batch.keys);
                    return Err(taken(&table, changed, error).await);
                }
                (Err(error), _) => return Err(error),
            }
            // Its indexes may be others now.
            table = self.renewed(&table).await?;
            documents = read_again(&table, documents).await?;
        }
        Err(contended())
    }
}

/// Waits after a lost try, longer after each, and by chance, so that two processes do not meet again and again.
async fn pause(attempt: u32) {
    let longest = PAUSE_MIN.saturating_mul(1 << attempt.min(16)).min(PAUSE_MAX);
    let mut random = [0];
    aws_lc_rs::rand::fill(&mut random).expect("the system's random numbers are there");
    tokio::time::sleep(longest.mul_f64(f64::from(random[0]) / 256.0)).await;
}

async fn read_again(table: &Table<'_>, documents: Vec<Stored>) -> Result<Vec<Stored>> {
    let mut fresh = Vec::with_capacity(documents.len());
    for stored in documents {
        fresh.extend(table.document_anywhere(&stored.key).await?);
    }
    Ok(fresh)
}

/// A write batch of edits while it is put together.
struct EditBatch<'a> {
    table: Table<'a>,
    batch: Batch,
    held: Budget,
    /// The slot of each document that becomes another one.
    slots: Vec<u16>,
    /// The keys of each document that becomes another one.
    keys: Vec<DocumentKeys>,
    changed: Changed,
}

impl<'a> EditBatch<'a> {
    fn new(table: Table<'a>, now_ms: i64) -> Self {
        let batch = Batch::at(now_ms);
        let (held, changed) = (table.budget(), Changed::default());
        Self { table, batch, held, slots: Vec::new(), keys: Vec::new(), changed }
    }

    async fn edit(&mut self, stored: &Stored, edit: &Edit<'_>) -> Result<()> {
        let before = decode(&stored.body)?;
        if !edit.reaches(&before).await? {
            return Ok(());
        }
        self.changed.matched += 1;
        let before_bytes = self.batch.size().bytes();
        offload::run_now(stored.body.len() >= LONG_BYTES, || match edit.update {
            None => self.remove(stored, &before),
            Some(update) => self.update(stored, before, update, edit),
        })?;
        self.held.keep(self.batch.size().bytes() - before_bytes)?;
        Ok(())
    }

    fn remove(&mut self, stored: &Stored, before: &Document) -> Result<()> {
        let keys = keys_before(&self.table.collection.indexes, before)?;
        self.batch.remove(&self.table, stored, &keys);
        self.note(&stored.key);
        Ok(())
    }

    fn update(
        &mut self,
        stored: &Stored,
        before: Document,
        update: &Update,
        edit: &Edit<'_>,
    ) -> Result<()> {
        let indexes = &self.table.collection.indexes;
        let old_keys = keys_before(indexes, &before)?;
        let mut after = before;
        if apply(update, edit, &mut after)? {
            let new_keys = keys_of(indexes, &after)?;
            let body = encode(&after)?;
            self.batch.update(&self.table, stored, body, (&old_keys, &new_keys));
            self.keys.push(new_keys);
            self.note(&stored.key);
        }
        self.changed.document = Some(after);
        Ok(())
    }

    fn note(&mut self, key: &[u8]) {
        self.slots.push(slot_of(key));
        self.changed.updated += 1;
    }
}

/// The slot of a write batch that touches one document; several may lie anywhere.
pub(super) fn only(slots: &[u16]) -> Option<u16> {
    match slots {
        [slot] => Some(*slot),
        _ => None,
    }
}

pub(super) fn contended() -> Error {
    Error::new(Kind::Conflict, "others keep changing the same documents; try again")
}
