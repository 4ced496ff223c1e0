//! Transactions that span requests.
//!
//! Nothing is locked while a client thinks. A transaction remembers each document that it read, with its version, and
//! keeps what it wrote to itself; it reads the same again, and sees its own writes. The commit is one unit: every document
//! that was read must still have its version, every one that was missing must still be missing, and all writes happen, or
//! none does and the answer is the conflict on which the SDKs begin anew.
//!
//! So what is read by id, and what a query gave, is as if the transaction had happened at one moment. What a query did
//! *not* give is not remembered: a document that somebody adds meanwhile, and that the query would have found, is no
//! conflict.
//!
//! Transactions live in the process that began them: the requests of one must reach the same server (decision 0009).

mod commit;
mod state;
mod view;

use std::sync::Arc;

use bson::{Bson, Document};
use yunzhan_base::Result;
use yunzhan_query::{Budget, Update};

pub(super) use self::state::Transactions;
pub use self::state::{TRANSACTION_DOCUMENTS_MAX, TRANSACTION_LIFE_MS};
use super::change::{apply, parse_update};
use super::edit::Edit;
use super::logic::id::{id_key, slot_of};
use super::logic::permission::{Operation, Reach};
use super::logic::shape::{encode, prepare_insert, refuse_owner};
use super::read::{RESULT_BYTES_MAX, check_bytes, shape};
use super::rules::Gate;
use super::{Caller, Change, Changed, Documents, Find, Found, Which};

impl Documents {
    /// Begins a transaction, and gives its id.
    ///
    /// # Errors
    /// `LimitExceeded` when the caller, or everybody together, has too many open.
    pub fn start_transaction(&self, caller: Caller<'_>) -> Result<String> {
        self.transactions.start(caller, self.now_ms())
    }

    /// Forgets a transaction and what it wrote. Nothing happens where there is none any more.
    ///
    /// # Errors
    /// `TransactionEnded` when the transaction is somebody else's.
    pub fn abort_transaction(&self, caller: Caller<'_>, id: &str) -> Result<()> {
        self.transactions.end(caller, id)
    }

    /// A page of documents as the transaction sees them, as [`Documents::find`].
    ///
    /// # Errors
    /// As [`Documents::find`]; `TransactionEnded` when there is no such transaction.
    pub async fn find_in(
        &self,
        caller: Caller<'_>,
        transaction: &str,
        collection: &str,
        find: Find,
    ) -> Result<Found> {
        let transaction = self.transactions.find(caller, transaction, self.now_ms())?;
        let mut transaction = transaction.lock().await;
        let (table, reach, gate) = self.open_ruled(caller, collection, Operation::Read).await?;
        let which = gate.admit(find.which, None).await?;
        let filter = which.clone().filter(reach)?;
        let limit = find.limit.min(self.config().query_documents_max);
        let wanted = view::Wanted { filter: &filter, order: &find.order, skip: find.skip, limit };
        let work_max = self.config().scan_documents_max;
        let seen = view::see(&mut transaction, &table, &which, &wanted, work_max).await?;
        let seen = permitted(seen, gate.decides_each(&which), None).await?;
        let bodies: Vec<_> = seen.into_iter().map(|seen| seen.body).collect();
        check_bytes(bodies.iter().map(Vec::len).sum(), RESULT_BYTES_MAX)?;
        Ok(Found {
            documents: shape(bodies, find.projection.as_ref(), Some(&filter))?,
            total: None,
        })
    }

    /// How many documents match, as the transaction sees them.
    ///
    /// # Errors
    /// As [`Documents::find_in`].
    pub async fn count_in(
        &self,
        caller: Caller<'_>,
        transaction: &str,
        collection: &str,
        which: Which,
    ) -> Result<u64> {
        let limit = TRANSACTION_DOCUMENTS_MAX;
        let find = Find { which, order: Default::default(), skip: 0, limit, projection: None };
        let found = self.find_in(caller, transaction, collection, find).await?;
        Ok(found.documents.len() as u64)
    }

    /// Adds documents when the transaction commits, and gives their ids.
    ///
    /// # Errors
    /// As [`Documents::insert`] and [`Documents::find_in`].
    pub async fn insert_in(
        &self,
        caller: Caller<'_>,
        transaction: &str,
        collection: &str,
        documents: Vec<Document>,
    ) -> Result<Vec<Bson>> {
        super::insert::check_insert(documents.len(), None)?;
        let transaction = self.transactions.find(caller, transaction, self.now_ms())?;
        let mut transaction = transaction.lock().await;
        let (table, reach, gate) = self.open_ruled(caller, collection, Operation::Insert).await?;
        let (mut ids, mut added) = (self.ids(reach, None), Vec::with_capacity(documents.len()));
        for document in documents {
            let prepared = prepare_insert(document, reach, &mut ids, &[])?;
            gate.creates(std::slice::from_ref(&prepared)).await?;
            view::look_up(&mut transaction, &table, &prepared.key, prepared.slot).await?;
            transaction.insert(table.collection.id, &prepared)?;
            added.push(prepared.id);
        }
        Ok(added)
    }

    /// Changes documents when the transaction commits.
    ///
    /// # Errors
    /// As [`Documents::update`] and [`Documents::find_in`].
    pub async fn update_in(
        &self,
        caller: Caller<'_>,
        transaction: &str,
        collection: &str,
        change: Change,
    ) -> Result<Changed> {
        let shared = self.transactions.find(caller, transaction, self.now_ms())?;
        let mut open = shared.lock().await;
        let (table, reach, gate) = self.open_ruled(caller, collection, Operation::Update).await?;
        let written = gate.foresee(&change.update);
        let update = parse_update(change.update, change.replace, reach)?;
        let which = gate.admit(change.which, written).await?;
        let filter = which.clone().filter(reach)?;
        let limit = if change.multi { TRANSACTION_DOCUMENTS_MAX } else { 1 };
        let wanted = view::Wanted { filter: &filter, order: &Default::default(), skip: 0, limit };
        let work_max = self.config().scan_documents_max;
        let seen = view::see(&mut open, &table, &which, &wanted, work_max).await?;
        let seen = permitted(seen, gate.decides_each(&which), Some(&update)).await?;
        let edit = Edit {
            update: Some(&update),
            filter: &filter,
            reach,
            each: None,
            budget: Budget::default(),
        };
        let mut changed = Changed::default();
        for mut seen in seen {
            changed.matched += 1;
            if apply(&update, &edit, &mut seen.document)? {
                open.write(table.collection.id, &seen.key, Some(encode(&seen.document)?))?;
                changed.updated += 1;
            }
            changed.document = Some(seen.document);
        }
        if changed.matched > 0 || !change.upsert {
            changed.document = gate.show(changed.document).await?;
            return Ok(changed);
        }
        drop(open);
        let document = upserted(&update, &filter, reach)?;
        let ids = self.insert_in(caller, transaction, collection, vec![document]).await?;
        Ok(Changed { upserted: ids.into_iter().next(), ..Changed::default() })
    }

    /// Removes documents when the transaction commits; gives how many.
    ///
    /// # Errors
    /// As [`Documents::find_in`].
    pub async fn remove_in(
        &self,
        caller: Caller<'_>,
        transaction: &str,
        collection: &str,
        which: Which,
        multi: bool,
    ) -> Result<u64> {
        let transaction = self.transactions.find(caller, transaction, self.now_ms())?;
        let mut transaction = transaction.lock().await;
        let (table, reach, gate) = self.open_ruled(caller, collection, Operation::Remove).await?;
        let which = gate.admit(which, None).await?;
        let filter = which.clone().filter(reach)?;
        let limit = if multi { TRANSACTION_DOCUMENTS_MAX } else { 1 };
        let wanted = view::Wanted { filter: &filter, order: &Default::default(), skip: 0, limit };
        let work_max = self.config().scan_documents_max;
        let seen = view::see(&mut transaction, &table, &which, &wanted, work_max).await?;
        let seen = permitted(seen, gate.decides_each(&which), None).await?;
        for seen in &seen {
            transaction.write(table.collection.id, &seen.key, None)?;
        }
        Ok(seen.len() as u64)
    }
}

/// The document that an upsert adds. Its owner is written by whoever inserts it.
fn upserted(update: &Update, filter: &yunzhan_query::Filter, reach: Reach<'_>) -> Result<Document> {
    let mut document = update.upsert(filter)?;
    if reach.owner().is_some() {
        document.remove(super::OWNER_FIELD);
        refuse_owner(document.contains_key(super::OWNER_FIELD))?;
    }
    Ok(document)
}

/// Those of the documents that the collection's rules give to the caller.
async fn permitted(
    seen: Vec<view::Seen>,
    each: Option<&Gate<'_>>,
    update: Option<&Update>,
) -> Result<Vec<view::Seen>> {
    let Some(gate) = each else { return Ok(seen) };
    let mut permitted = Vec::with_capacity(seen.len());
    for seen in seen {
        if gate.allows(&seen.document, update, None).await? {
            permitted.push(seen);
        }
    }
    Ok(permitted)
}

/// The key and the slot of an id, if it can be one.
fn place_of(id: &Bson) -> Option<(Vec<u8>, u16)> {
    let key = id_key(id).ok()?;
    let slot = slot_of(id, &key);
    Some((key, slot))
}

/// A transaction that its requests share; they take turns.
type Shared = Arc<tokio::sync::Mutex<state::Transaction>>;
