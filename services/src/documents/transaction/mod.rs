//! Transactions that span requests: snapshot isolation, and the first writer wins.
//!
//! - **What it sees.** The first operation takes the *snapshot*: a position in the change log, which is of one moment. From
//!   then on the transaction sees every document as it was there, with its own writes on top. What a document was that has
//!   changed since, the change log tells (`changes/mod.rs`), whichever server changed it.
//! - **What it may write.** A write *locks* its document until the transaction ends (`write_locks.rs`, and `claims.rs` between servers). A second
//!   transaction that writes it, and a write to a document that changed since the snapshot, is refused at that call
//!   with the conflict on which the SDKs begin anew, and ends there: they do not roll back what was refused. Writers
//!   outside transactions ask for no locks; they win, and the transaction fails at its commit.
//! - **The commit** is one write batch: what was read by id or given by a query must still be as it was, and all writes
//!   happen, or none does. So two transactions that read what the other one writes do not both succeed. What a query
//!   did *not* give is not remembered: a document that somebody adds meanwhile, and that the query would have found, is
//!   no conflict. A transaction that wrote nothing validates nothing.
//! - **Where.** A transaction lives in the memory of the server that began it, whose session stands at the end of its id. The
//!   dialects send what comes to another server there (`dialect/transactions.rs`).
//! - **The end** comes by commit, rollback, refusal or time-out, and frees what the transaction held. Nothing runs in
//!   the background: whoever begins, uses or writes something takes away what has expired.

mod claims;
mod memory_quota;
mod write_locks;

mod commit;
mod state;
mod view;

use std::sync::LazyLock;

use bson::{Bson, Document};
use tokio::sync::OwnedMutexGuard;
use yunzhan_base::{Error, Kind, Result};
use yunzhan_query::{Budget, Filter, Order, Update};

pub(super) use self::state::Transactions;
pub(crate) use self::state::conflict;
pub use self::state::{TRANSACTION_DOCUMENTS_MAX, TRANSACTION_LIFE_MS};
use self::state::{Transaction, unknown};
use self::view::Seen;
use super::change::{apply, parse_update};
use super::edit::Edit;
use super::logic::id::{id_key, slot_of};
use super::logic::permission::{Operation, Reach};
use super::logic::shape::{encode, prepare_insert, refuse_owner};
use super::read::{RESULT_BYTES_MAX, check_bytes, shape};
use super::rules::Authorizer;
use super::store::Table;
use super::{Caller, Change, Changed, Documents, Find, Found, Which};

/// As the documents are found.
static NO_ORDER: LazyLock<Order> = LazyLock::new(Order::default);

impl Documents {
    /// Begins a transaction, and gives its id.
    ///
    /// # Errors
    /// `TooManyAtOnce` when the caller, or everybody together, has too many open.
    pub fn start_transaction(&self, caller: Caller<'_>) -> Result<String> {
        self.transactions.start(caller, (self.cluster(), &self.store, &self.clock))
    }

    /// How many transactions are open, and the bytes that they hold.
    pub fn open_transactions(&self) -> (usize, usize) {
        self.transactions.size(self.now_ms())
    }

    /// Forgets a transaction and what it wrote. Nothing happens where there is none any more.
    ///
    /// # Errors
    /// `TransactionEnded` when the transaction is somebody else's.
    pub async fn abort_transaction(&self, caller: Caller<'_>, id: &str) -> Result<()> {
        self.transactions.end(caller, id, self.now_ms()).await
    }

    /// A page of documents as the transaction sees them, as [`Documents::find`].
    ///
    /// # Errors
    /// As [`Documents::find`]; `TransactionEnded` when there is no such transaction, `Conflict` when nobody knows any
    /// more what it should see.
    pub async fn find_in(
        &self,
        caller: Caller<'_>,
        transaction: &str,
        collection: &str,
        find: Find,
    ) -> Result<Found> {
        let mut open = self.turn(caller, transaction).await?;
        let limit = find.limit.min(self.config().query_documents_max);
        let page =
            Page { which: &find.which, order: &find.order, skip: find.skip, limit, update: None };
        let seen = self.see(&mut open, caller, collection, Operation::Read, &page).await;
        let seen = self.unless_refused(&mut open, seen).await?;
        let filter = seen.filter;
        let bodies: Vec<_> = seen.seen.into_iter().map(Seen::into_body).collect();
        let bytes = check_bytes(bodies.iter().map(Vec::len).sum(), RESULT_BYTES_MAX)?;
        let held = seen.table.budget();
        held.keep(bytes as u64)?;
        let documents = shape(bodies, find.projection.as_ref(), Some(&filter))?;
        Ok(Found { documents, total: None, _held: held })
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
        let mut open = self.turn(caller, transaction).await?;
        let seen =
            self.see(&mut open, caller, collection, Operation::Read, &Page::all(&which)).await;
        let seen = self.unless_refused(&mut open, seen).await?;
        Ok(seen.seen.len() as u64)
    }

    /// Adds documents when the transaction commits, and gives their ids.
    ///
    /// # Errors
    /// As [`Documents::insert`] and [`Documents::find_in`]; `Conflict`, which ends the transaction, also when somebody
    /// else is about to add one with the same id, or has.
    pub async fn insert_in(
        &self,
        caller: Caller<'_>,
        transaction: &str,
        collection: &str,
        documents: Vec<Document>,
    ) -> Result<Vec<Bson>> {
        super::insert::check_insert(documents.len())?;
        let mut open = self.turn(caller, transaction).await?;
        let added = self.add_to(&mut open, caller, collection, documents).await;
        self.unless_refused(&mut open, added).await
    }

    /// Changes documents when the transaction commits.
    ///
    /// # Errors
    /// As [`Documents::update`] and [`Documents::find_in`]; `Conflict`, which ends the transaction, also when somebody
    /// else is about to change one of them, or has since the snapshot.
    pub async fn update_in(
        &self,
        caller: Caller<'_>,
        transaction: &str,
        collection: &str,
        change: Change,
    ) -> Result<Changed> {
        let mut open = self.turn(caller, transaction).await?;
        let changed = self.change_in(&mut open, caller, collection, change).await;
        self.unless_refused(&mut open, changed).await
    }

    /// Removes documents when the transaction commits; gives how many.
    ///
    /// # Errors
    /// As [`Documents::update_in`].
    pub async fn remove_in(
        &self,
        caller: Caller<'_>,
        transaction: &str,
        collection: &str,
        which: Which,
        multi: bool,
    ) -> Result<u64> {
        let mut open = self.turn(caller, transaction).await?;
        let page = if multi { Page::all(&which) } else { Page::first(&which) };
        let removed = async {
            let found = self.see(&mut open, caller, collection, Operation::Remove, &page).await?;
            hold_all(&mut open, &found).await?;
            for seen in &found.seen {
                open.write(found.table.collection.id, &seen.key, None)?;
            }
            Ok(found.seen.len() as u64)
        };
        let removed = removed.await;
        self.unless_refused(&mut open, removed).await
    }
}

/// Which documents a call wants to see.
struct Page<'a> {
    which: &'a Which,
    order: &'a Order,
    skip: usize,
    limit: usize,
    /// What is to be done to them, which rules may ask about.
    update: Option<&'a Document>,
}

/// What it sees of a collection, and what the caller may reach there.
struct Sight<'a> {
    table: Table<'a>,
    reach: Reach<'a>,
    authorizer: Authorizer<'a>,
    filter: Filter,
    seen: Vec<Seen>,
}

impl Documents {
    /// The transaction, as soon as it is this request's turn. The first one takes the snapshot.
    async fn turn(&self, caller: Caller<'_>, id: &str) -> Result<OwnedMutexGuard<Transaction>> {
        let mut open = self.transactions.find(caller, id, self.now_ms())?.lock_owned().await;
        if open.is_over {
            return Err(unknown());
        }
        if open.snapshot.is_none() {
            open.snapshot = Some(self.store.position(caller.env).await?);
        }
        Ok(open)
    }

    /// A refusal ends the transaction at once, because the SDKs begin anew without a rollback.
    async fn unless_refused<T>(&self, open: &mut Transaction, result: Result<T>) -> Result<T> {
        if result.as_ref().is_err_and(|error| error.kind() == Kind::Conflict) {
            self.transactions.remove(&open.id);
            open.end().await;
        }
        result
    }

    async fn see<'a>(
        &'a self,
        open: &mut Transaction,
        caller: Caller<'a>,
        collection: &str,
        operation: Operation,
        page: &Page<'_>,
    ) -> Result<Sight<'a>> {
        open.begin_call();
        let (table, reach, authorizer) = self.open_ruled(caller, collection, operation).await?;
        let written = page.update.and_then(|update| authorizer.foresee(update));
        let which = view::resolved(open, &table, page.which).await?;
        let which = authorizer.admit(which, written).await?;
        let filter = which.clone().filter(reach)?;
        if filter.near().is_some() && page.order.is_empty() {
            let message = "the nearest are not offered in a transaction; name an order";
            return Err(Error::new(Kind::InvalidParameter, message));
        }
        let (order, skip, limit) = (page.order, page.skip, page.limit);
        let work_max = self.config().scan_documents_max;
        let wanted = view::Wanted { filter: &filter, order, skip, limit, work_max };
        let seen = view::see(open, &table, &which, &wanted).await?;
        let update = match page.update {
            Some(update) => Some(Update::parse(update.clone())?),
            None => None,
        };
        let seen =
            permitted(seen, authorizer.decides_each(&which), update.as_ref(), &filter).await?;
        if reach != Reach::All {
            open.forget_unseen(table.collection.id, &seen);
        }
        Ok(Sight { table, reach, authorizer, filter, seen })
    }

    async fn add_to(
        &self,
        open: &mut Transaction,
        caller: Caller<'_>,
        collection: &str,
        documents: Vec<Document>,
    ) -> Result<Vec<Bson>> {
        let (table, reach, authorizer) =
            self.open_ruled(caller, collection, Operation::Insert).await?;
        let (mut ids, mut added) = (self.ids(reach, None), Vec::with_capacity(documents.len()));
        for document in documents {
            let is_named = !matches!(document.get("_id"), None | Some(Bson::Null));
            let prepared = prepare_insert(document, reach, &mut ids, &[])?;
            authorizer.creates(std::slice::from_ref(&prepared)).await?;
            match is_named {
                true => {
                    open.begin_call();
                    let room = view::make_room(open, &table, &prepared).await;
                    if room.is_err() && reach != Reach::All {
                        open.forget_unseen(table.collection.id, &[]);
                    }
                    room?;
                }
                // Nobody else has an id that was made just now.
                false => open.remember(&table, &prepared.key, prepared.slot, None)?,
            }
            open.write(table.collection.id, &prepared.key, Some(prepared.body))?;
            added.push(prepared.id);
        }
        Ok(added)
    }

    async fn change_in(
        &self,
        open: &mut Transaction,
        caller: Caller<'_>,
        collection: &str,
        change: Change,
    ) -> Result<Changed> {
        let page = if change.multi { Page::all(&change.which) } else { Page::first(&change.which) };
        let page = Page { update: Some(&change.update), ..page };
        let found = self.see(open, caller, collection, Operation::Update, &page).await?;
        let update = parse_update(change.update.clone(), change.replace, found.reach)?;
        hold_all(open, &found).await?;
        let edit = Edit {
            update: Some(&update),
            filter: &found.filter,
            reach: found.reach,
            each: None,
            idempotent: None,
            budget: Budget::default(),
        };
        let mut changed = Changed::default();
        for mut seen in found.seen {
            changed.matched += 1;
            if apply(&update, &edit, &mut seen.document)? {
                let body = encode(&seen.document)?;
                open.write(found.table.collection.id, &seen.key, Some(body))?;
                changed.updated += 1;
            }
            changed.document = Some(seen.document);
        }
        if changed.matched == 0 && change.upsert {
            let document = upserted(&update, &found.filter, found.reach)?;
            let ids = self.add_to(open, caller, collection, vec![document]).await?;
            changed.upserted = ids.into_iter().next();
        }
        changed.document = found.authorizer.show(changed.document).await?;
        Ok(changed)
    }
}

impl<'a> Page<'a> {
    fn all(which: &'a Which) -> Self {
        // One more than it may remember, so that too many are refused and not left out.
        let limit = TRANSACTION_DOCUMENTS_MAX + 1;
        Self { which, order: &NO_ORDER, skip: 0, limit, update: None }
    }

    fn first(which: &'a Which) -> Self {
        Self { limit: 1, ..Self::all(which) }
    }
}

/// Those of the documents that the collection's rules give to the caller.
async fn permitted(
    seen: Vec<Seen>,
    each: Option<&Authorizer<'_>>,
    update: Option<&Update>,
    filter: &Filter,
) -> Result<Vec<Seen>> {
    let budget = Budget::default();
    let Some(authorizer) = each else { return Ok(seen) };
    let mut permitted = Vec::with_capacity(seen.len());
    for seen in seen {
        let position = match update.is_some_and(Update::needs_position) {
            true => filter.position(&seen.document, &budget)?,
            false => None,
        };
        if authorizer.allows(&seen.document, update, position).await? {
            permitted.push(seen);
        }
    }
    Ok(permitted)
}

/// Locks all of them before the first one is written.
async fn hold_all(open: &mut Transaction, found: &Sight<'_>) -> Result<()> {
    let keys: Vec<&[u8]> = found.seen.iter().map(|seen| &*seen.key).collect();
    view::hold(open, &found.table, &keys).await
}

/// The document that an upsert adds. Its owner is written by whoever inserts it.
fn upserted(update: &Update, filter: &Filter, reach: Reach<'_>) -> Result<Document> {
    let mut document = update.upsert(filter)?;
    if reach.owner().is_some() {
        document.remove(super::OWNER_FIELD);
        refuse_owner(document.contains_key(super::OWNER_FIELD))?;
    }
    Ok(document)
}

/// The key and the slot of an id, if it can be one.
fn place_of(id: &Bson) -> Option<(Vec<u8>, u16)> {
    let key = id_key(id).ok()?;
    let slot = slot_of(&key);
    Some((key, slot))
}
