//! Which transactions are open, and what each has read and written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use yunzhan_base::{Clock, EnvId, Error, Kind, Principal, Result};

use super::claims::Claims;
use super::memory_quota::{MemoryQuota, Reservation};
use super::view::Seen;
use super::write_locks::{HeldLocks, WriteLocks};
use crate::documents::Caller;
use crate::documents::logic::position::{Position, group_of};
use crate::documents::store::{Store, Stored, Table};
use crate::nodes::cluster::Cluster;

/// How long a transaction lives, in milliseconds: the SDKs' own time-out for a call is half of it, and what is left
/// open by a client that went away must not stay for long.
pub const TRANSACTION_LIFE_MS: i64 = 30_000;

/// What the SDKs are told of a transaction that is over, word for word as they know it.
const ENDED: &str = "[ResourceUnavailable.TransactionNotExist] Transaction does not exist on the server, \
     transaction must be commit or abort in 30 seconds. Please check your request, but if the problem persists, contact us.";

/// What the SDKs are told of a conflict, word for word as they know it.
const CONFLICT: &str = "[ResourceUnavailable.TransactionConflict] Transaction is conflict, maybe resource operated by \
     others. Please check your request, but if the problem persists, contact us.";

/// Most documents that one transaction reads or writes: its commit is one write batch, which holds up other writers.
pub const TRANSACTION_DOCUMENTS_MAX: usize = 5000;

/// What a remembered document takes besides its key and its bodies: an entry here, and perhaps a lock.
const ENTRY_BYTES: usize = 300;

/// Most open transactions of one caller. A server's key stands for many people.
const OPEN_BY_CALLER_MAX: usize = 500;

/// Most open transactions of one person: a phone has at most ten requests under way.
const OPEN_BY_PERSON_MAX: usize = 10;

/// Most open transactions of one environment, so that the others are not shut out by it.
const OPEN_BY_ENV_MAX: usize = OPEN_MAX / 4;

/// Most open transactions of everybody.
const OPEN_MAX: usize = 5000;

/// The open transactions of one process, and what they share.
#[derive(Default)]
pub(in crate::documents) struct Transactions {
    open: Mutex<Register>,
    locks: Arc<WriteLocks>,
    quota: Arc<MemoryQuota>,
}

#[derive(Default)]
struct Register {
    by_id: HashMap<String, Open>,
    /// Who ends when, and of several the one that began first.
    ends: BTreeMap<(i64, u64), String>,
    started: u64,
}

struct Open {
    /// Its place among the ends.
    end: (i64, u64),
    env: EnvId,
    owner: String,
    transaction: Shared,
}

/// A transaction that its requests share; they take turns.
pub(super) type Shared = Arc<tokio::sync::Mutex<Transaction>>;

/// What one transaction has read and written.
pub(super) struct Transaction {
    pub(super) id: String,
    /// By collection and key, in the order in which they are validated.
    pub(super) documents: BTreeMap<(i64, Vec<u8>), Entry>,
    /// The names of the collections among them.
    pub(super) collections: BTreeMap<i64, String>,
    /// What it sees: every change up to here and none behind it; none before its first operation.
    pub(super) snapshot: Option<Position>,
    locks: HeldLocks,
    pub(super) claims: Claims,
    reservation: Reservation,
    /// Documents that it looked at in the present call.
    fresh: Vec<(i64, Vec<u8>)>,
    /// It was committed or ended, perhaps while a request of it waited for its turn.
    pub(super) is_over: bool,
}

/// One document in a transaction.
pub(super) struct Entry {
    /// As it was at the snapshot; none when it was not there.
    pub(super) before: Option<Arc<Stored>>,
    /// As the transaction leaves it, if it wrote it: a body, or nothing when it removed it.
    pub(super) written: Option<Option<Vec<u8>>>,
    /// Where a new document lives.
    pub(super) slot: u16,
}

// === impl Transactions ===

impl Transactions {
    /// Begins a transaction of a caller. Its id says which server of the cluster to ask about it.
    pub(super) fn start(
        &self,
        caller: Caller<'_>,
        around: (Option<&Arc<Cluster>>, &Store, &Clock),
    ) -> Result<String> {
        let (cluster, _, clock) = around;
        let now_ms = clock.now_ms();
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random).expect("the system's random numbers are there");
        let (id, owner) = (hex::encode(random), caller.name());
        let id = cluster.map_or(id.clone(), |cluster| cluster.named_here(&id));
        let mut open = self.open(now_ms);
        let (own_max, person) = match caller.principal {
            Principal::User(_) => (OPEN_BY_PERSON_MAX, Some(owner.as_str())),
            _ => (OPEN_BY_CALLER_MAX, None),
        };
        let own = open.by_id.values().filter(|open| open.owner == owner && open.env == *caller.env);
        let of_env = open.by_id.values().filter(|open| open.env == *caller.env);
        let is_full = open.by_id.len() >= OPEN_MAX || of_env.count() >= OPEN_BY_ENV_MAX;
        if is_full || own.count() >= own_max {
            let message = "too many transactions are open; commit or roll back some, or wait";
            return Err(Error::new(Kind::TooManyAtOnce, message));
        }
        open.started += 1;
        let locks = HeldLocks::none(Arc::clone(&self.locks), open.started);
        let reservation = Reservation::none(Arc::clone(&self.quota), caller.env, person);
        let ends_ms = now_ms.saturating_add(TRANSACTION_LIFE_MS);
        let claims = Claims::none(around, caller.env, &id, ends_ms);
        let transaction = Transaction::new(id.clone(), locks, claims, reservation);
        let transaction = Arc::new(tokio::sync::Mutex::new(transaction));
        let end = (ends_ms, open.started);
        open.ends.insert(end, id.clone());
        open.by_id.insert(id.clone(), Open { end, env: caller.env.clone(), owner, transaction });
        Ok(id)
    }

    /// How many are open, and the bytes that they hold.
    pub(super) fn size(&self, now_ms: i64) -> (usize, usize) {
        let count = self.open(now_ms).by_id.len();
        (count, self.quota.taken())
    }

    /// The open transaction with this id, if it is the caller's.
    pub(super) fn find(&self, caller: Caller<'_>, id: &str, now_ms: i64) -> Result<Shared> {
        let open = self.open(now_ms);
        let found = open.by_id.get(id).filter(|open| open.is_of(caller));
        found.map(|open| Arc::clone(&open.transaction)).ok_or_else(unknown)
    }

    /// Takes the transaction out, so that no other request finds it.
    pub(super) fn take(&self, caller: Caller<'_>, id: &str, now_ms: i64) -> Result<Shared> {
        let found = self.find(caller, id, now_ms)?;
        self.remove(id);
        Ok(found)
    }

    /// Takes the transaction out and lets it end, after the request that is at work in it if there is one.
    pub(super) async fn end(&self, caller: Caller<'_>, id: &str, now_ms: i64) -> Result<()> {
        let gone = {
            let mut open = self.open(now_ms);
            if open.by_id.get(id).is_some_and(|found| !found.is_of(caller)) {
                return Err(unknown());
            }
            open.remove(id)
        };
        if let Some(gone) = gone
            && let Ok(mut transaction) = gone.transaction.try_lock()
        {
            transaction.end().await;
        }
        Ok(())
    }

    /// Takes the transaction out, if it is still there.
    pub(super) fn remove(&self, id: &str) {
        let gone = self.open.lock().expect("no panic while held").remove(id);
        drop(gone);
    }

    /// The open transactions, without those whose time is over.
    fn open(&self, now_ms: i64) -> MutexGuard<'_, Register> {
        let mut open = self.open.lock().expect("no panic while held");
        while let Some(first) = open.ends.first_entry()
            && first.key().0 <= now_ms
        {
            let id = first.remove();
            open.by_id.remove(&id);
        }
        open
    }
}

impl Register {
    fn remove(&mut self, id: &str) -> Option<Open> {
        let gone = self.by_id.remove(id)?;
        self.ends.remove(&gone.end);
        Some(gone)
    }
}

impl Open {
    fn is_of(&self, caller: Caller<'_>) -> bool {
        self.env == *caller.env && self.owner == caller.name()
    }
}

/// The same words whether it never was or is somebody else's.
pub(super) fn unknown() -> Error {
    Error::new(Kind::TransactionEnded, ENDED)
}

/// On which clients begin anew.
pub(crate) fn conflict() -> Error {
    Error::new(Kind::Conflict, CONFLICT)
}

// === impl Transaction ===

impl Transaction {
    fn new(id: String, locks: HeldLocks, claims: Claims, reservation: Reservation) -> Self {
        Self {
            id,
            documents: BTreeMap::new(),
            collections: BTreeMap::new(),
            snapshot: None,
            locks,
            claims,
            reservation,
            fresh: Vec::new(),
            is_over: false,
        }
    }

    /// Ends it, also for those who wait for their turn, and gives back what it held.
    pub(super) fn close(&mut self) {
        self.is_over = true;
        self.snapshot = None;
        self.documents.clear();
        self.locks.release();
        self.reservation.release();
    }

    /// What it knows of a document.
    pub(super) fn entry(&self, collection: i64, key: &[u8]) -> Option<&Entry> {
        self.documents.get(&(collection, key.to_vec()))
    }

    /// The same, once its claims are given up: whoever begins anew meets none of them.
    pub(super) async fn end(&mut self) {
        self.close();
        self.claims.release().await;
    }

    /// Begins to note which documents a call looks at.
    pub(super) fn begin_call(&mut self) {
        self.fresh.clear();
    }

    /// Forgets what the present call has looked at, but for the documents that its caller got to see: of others, a conflict
    /// would tell that somebody changed them.
    pub(super) fn forget_unseen(&mut self, collection: i64, seen: &[Seen]) {
        let seen: HashSet<&[u8]> = seen.iter().map(|seen| &*seen.key).collect();
        for place in std::mem::take(&mut self.fresh) {
            let is_seen = place.0 == collection && seen.contains(&*place.1);
            let is_written =
                self.documents.get(&place).is_some_and(|entry| entry.written.is_some());
            if !is_seen && !is_written {
                self.documents.remove(&place);
            }
        }
    }

    /// What it sees.
    pub(super) fn snapshot(&self) -> Result<&Position> {
        self.snapshot.as_ref().ok_or_else(unknown)
    }

    /// The document as it was at the snapshot, told by how it was read just now.
    ///
    /// # Errors
    /// `Conflict` when the change log no longer tells.
    pub(super) async fn as_of(
        &self,
        table: &Table<'_>,
        key: &[u8],
        now: Option<Stored>,
    ) -> Result<Option<Arc<Stored>>> {
        let snapshot = self.snapshot()?;
        if let Some(now) = now.filter(|now| snapshot.includes(key, now.version)) {
            return Ok(Some(Arc::new(now)));
        }
        let was = table.as_of(key, snapshot.of(group_of(key))).await?;
        Ok(was.ok_or_else(conflict)?.map(Arc::new))
    }

    /// Remembers what was read, unless it is remembered already.
    pub(super) fn remember(
        &mut self,
        table: &Table<'_>,
        key: &[u8],
        slot: u16,
        before: Option<Arc<Stored>>,
    ) -> Result<()> {
        let collection = table.collection.id;
        if self.entry(collection, key).is_some() {
            return Ok(());
        }
        if self.documents.len() >= TRANSACTION_DOCUMENTS_MAX {
            let message =
                format!("a transaction has at most {TRANSACTION_DOCUMENTS_MAX} documents");
            return Err(Error::new(Kind::TooLarge, message));
        }
        let body = before.as_ref().map_or(0, |stored| stored.body.len());
        self.reservation.take(ENTRY_BYTES + 2 * key.len() + body)?;
        let name = || table.collection.name.clone();
        self.collections.entry(collection).or_insert_with(name);
        let entry = Entry { before, written: None, slot };
        self.fresh.push((collection, key.to_vec()));
        self.documents.insert((collection, key.to_vec()), entry);
        Ok(())
    }

    /// Locks documents for writing.
    ///
    /// # Errors
    /// `Conflict` when another transaction has locked one of them.
    pub(super) async fn lock(&mut self, table: &Table<'_>, keys: &[&[u8]]) -> Result<()> {
        for key in keys {
            if !self.locks.lock(table.env, table.collection.id, key) {
                return Err(conflict());
            }
        }
        self.claims.claim(table, keys).await
    }

    /// Writes a document that was looked up before, or removes it.
    pub(super) fn write(
        &mut self,
        collection: i64,
        key: &[u8],
        body: Option<Vec<u8>>,
    ) -> Result<()> {
        self.reservation.take(body.as_ref().map_or(0, Vec::len))?;
        let place = (collection, key.to_vec());
        let entry = self.documents.get_mut(&place).expect("it was looked up before");
        entry.written = Some(body);
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.close();
    }
}

// === impl Entry ===

impl Entry {
    /// The document as the transaction sees it.
    pub(super) fn body(&self) -> Option<&[u8]> {
        match &self.written {
            Some(written) => written.as_deref(),
            None => self.before.as_ref().map(|stored| stored.body.as_slice()),
        }
    }
}
