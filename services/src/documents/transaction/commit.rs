//! The commit: everything that was read is still as it was, and everything that was written is written, in one write
//! batch.

use bson::Document;
use yunzhan_base::{Error, Kind, Result};

use super::state::{Entry, Transaction, conflict, unknown};
use crate::documents::logic::index::{DocumentKeys, keys_before, keys_of};
use crate::documents::logic::shape::{Prepared, decode};
use crate::documents::store::{Batch, Table};
use crate::documents::{Caller, Documents};

/// Tries of a commit whose collections get or lose an index at the same time.
const ATTEMPTS_MAX: usize = 4;

impl Documents {
    /// Commits a transaction, which is over then, whatever comes of it.
    ///
    /// # Errors
    /// `Conflict` when somebody else changed what it read; the caller begins anew. `TransactionEnded` when there is no
    /// such transaction; `TooLarge` for more rows and index keys than one write batch may have; `AlreadyExists` for a
    /// value of a unique index that is taken.
    pub async fn commit_transaction(&self, caller: Caller<'_>, id: &str) -> Result<()> {
        let shared = self.transactions.take(caller, id, self.now_ms())?;
        let mut transaction = shared.lock().await;
        if std::mem::replace(&mut transaction.is_over, true) {
            return Err(unknown());
        }
        let wrote = transaction.documents.values().any(|entry| entry.written.is_some());
        let done = if wrote { self.commit(caller, &transaction).await } else { Ok(()) };
        if done.is_ok() && wrote {
            transaction.claims.forget();
        }
        transaction.end().await;
        done
    }

    async fn commit(&self, caller: Caller<'_>, transaction: &Transaction) -> Result<()> {
        for _ in 0..ATTEMPTS_MAX {
            let tables = self.tables_of(caller, transaction).await?;
            let (mut batch, keys) = batch_of(transaction, &tables, self.now_ms())?;
            if let Some(release) = transaction.claims.release_step() {
                batch.push(release);
            }
            let written = tables[0].write(None, batch, None).await;
            match written {
                Ok(_) => {
                    for (table, keys) in tables.iter().zip(&keys) {
                        self.note_kinds(table, keys);
                    }
                    return Ok(());
                }
                // It may be the indexes that changed, and not the documents.
                Err(error) if error.kind() == Kind::Conflict => {
                    self.forget_collections(caller.env);
                    let again = self.tables_of(caller, transaction).await?;
                    let schema_epochs = |tables: &[Table<'_>]| -> Vec<i64> {
                        tables.iter().map(|table| table.collection.schema_epoch).collect()
                    };
                    if schema_epochs(&again) == schema_epochs(&tables) {
                        return Err(conflict().because(error));
                    }
                }
                Err(error) if error.kind() == Kind::AlreadyExists => {
                    return Err(already_there(&tables, error));
                }
                Err(error) => return Err(error),
            }
        }
        Err(conflict())
    }

    /// The collections that the transaction touched, by their numbers, so that two commits never wait for each other.
    async fn tables_of<'a>(
        &'a self,
        caller: Caller<'a>,
        transaction: &Transaction,
    ) -> Result<Vec<Table<'a>>> {
        let mut tables = Vec::with_capacity(transaction.collections.len());
        for (number, name) in &transaction.collections {
            let collection = self.collection(caller.env, name).await?;
            if collection.id != *number {
                let message = format!("collection {name} of this transaction is gone");
                return Err(Error::new(Kind::CollectionNotFound, message));
            }
            tables.push(self.table(caller.env, collection));
        }
        Ok(tables)
    }
}

/// The whole write batch, and the keys of what it writes in each collection.
fn batch_of(
    transaction: &Transaction,
    tables: &[Table<'_>],
    now_ms: i64,
) -> Result<(Batch, Vec<Vec<DocumentKeys>>)> {
    let mut batch = Batch::at(now_ms);
    let mut all_keys = vec![Vec::new(); tables.len()];
    for ((number, key), entry) in &transaction.documents {
        let place = tables.iter().position(|table| table.collection.id == *number);
        let place = place.expect("every collection of the transaction has its table");
        if let Some(keys) = add_entry(&mut batch, &tables[place], key, entry)? {
            all_keys[place].push(keys);
        }
        batch.size().check()?;
    }
    Ok((batch, all_keys))
}

fn add_entry(
    batch: &mut Batch,
    table: &Table<'_>,
    key: &[u8],
    entry: &Entry,
) -> Result<Option<DocumentKeys>> {
    let indexes = &table.collection.indexes;
    let keys = |body: &[u8]| keys_of(indexes, &decode(body)?);
    match (&entry.before, &entry.written) {
        (Some(before), None) => batch.unchanged(table, key, before.version),
        (Some(before), Some(Some(body))) if *body == before.body => {
            batch.unchanged(table, key, before.version);
        }
        (Some(before), Some(Some(body))) => {
            let (old, new) = (keys_before(indexes, &decode(&before.body)?)?, keys(body)?);
            batch.update(table, before, body.clone(), (&old, &new));
            return Ok(Some(new));
        }
        (Some(before), Some(None)) => {
            batch.remove(table, before, &keys_before(indexes, &decode(&before.body)?)?);
        }
        (None, Some(Some(body))) => {
            let document: Document = decode(body)?;
            let id = document.get("_id").cloned().unwrap_or_default();
            let keys = keys_of(indexes, &document)?;
            let (key, slot, body) = (key.to_vec(), entry.slot, body.clone());
            let prepared = Prepared { id, key, slot, body, keys };
            batch.insert(table, &prepared);
            return Ok(Some(prepared.keys));
        }
        (None, None | Some(None)) => batch.absent(table, key),
    }
    Ok(None)
}

/// An id that was free when the transaction looked was taken meanwhile: that is a conflict. A unique value may have
/// been taken long before.
fn already_there(tables: &[Table<'_>], error: Error) -> Error {
    let mut all = tables.iter().flat_map(|table| &table.collection.indexes);
    match all.any(|index| index.unique) {
        true => crate::documents::insert::taken_somewhere(tables, error),
        false => conflict().because(error),
    }
}
