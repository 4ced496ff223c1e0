//! Which transactions are open, and what each has read and written.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use yunzhan_base::{EnvId, Error, Kind, Result};

use super::Shared;
use crate::documents::Caller;
use crate::documents::logic::shape::Prepared;
use crate::documents::store::Stored;

/// How long a transaction lives, in milliseconds: the SDKs' own time-out for a call is half of it, and what is left open by
/// a client that went away must not stay for long.
pub const TRANSACTION_LIFE_MS: i64 = 30_000;

/// What the SDKs are told of a transaction that is over, word for word as they know it.
const ENDED: &str = "[ResourceUnavailable.TransactionNotExist] Transaction does not exist on the server, \
     transaction must be commit or abort in 30 seconds. Please check your request, but if the problem persists, contact us.";

/// Most documents that one transaction reads or writes: its commit is one unit, which holds up other writers.
pub const TRANSACTION_DOCUMENTS_MAX: usize = 5000;

/// Most bytes of documents that one transaction remembers.
const BYTES_MAX: usize = 16 << 20;

/// Most open transactions of one caller. A server's key stands for many people.
const OPEN_BY_CALLER_MAX: usize = 500;

/// Most open transactions of everybody.
const OPEN_MAX: usize = 5000;

/// The open transactions of one process.
#[derive(Default)]
pub(in crate::documents) struct Transactions {
    open: Mutex<HashMap<String, Open>>,
}

struct Open {
    env: EnvId,
    owner: String,
    expires_ms: i64,
    transaction: Shared,
}

/// What one transaction has read and written.
#[derive(Default)]
pub(super) struct Transaction {
    /// By collection and key, in the order in which they are validated.
    pub(super) documents: BTreeMap<(i64, Vec<u8>), Entry>,
    bytes: usize,
    /// It was committed or ended, perhaps while a request of it waited for its turn.
    pub(super) is_over: bool,
}

/// One document in a transaction.
pub(super) struct Entry {
    /// As it was when it was read first; none when it was not there.
    pub(super) before: Option<Stored>,
    /// As the transaction leaves it, if it wrote it: a body, or nothing when it removed it.
    pub(super) written: Option<Option<Vec<u8>>>,
    /// Where a new document lives.
    pub(super) slot: u16,
}

// === impl Transactions ===

impl Transactions {
    pub(super) fn start(&self, caller: Caller<'_>, now_ms: i64) -> Result<String> {
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random).expect("the system's random numbers are there");
        let (id, owner) = (hex::encode(random), caller.name());
        let mut open = self.open.lock().expect("no panic while held");
        open.retain(|_, open| open.expires_ms > now_ms);
        let own = open.values().filter(|open| open.owner == owner && open.env == *caller.env);
        if open.len() >= OPEN_MAX || own.count() >= OPEN_BY_CALLER_MAX {
            let message = "too many transactions are open; commit or roll back some, or wait";
            return Err(Error::new(Kind::LimitExceeded, message));
        }
        let transaction = Shared::default();
        let expires_ms = now_ms + TRANSACTION_LIFE_MS;
        open.insert(id.clone(), Open { env: caller.env.clone(), owner, expires_ms, transaction });
        Ok(id)
    }

    /// The open transaction with this id, if it is the caller's.
    pub(super) fn find(&self, caller: Caller<'_>, id: &str, now_ms: i64) -> Result<Shared> {
        let open = self.open.lock().expect("no panic while held");
        let found = open.get(id).filter(|open| open.is_of(caller) && open.expires_ms > now_ms);
        found.map(|open| Arc::clone(&open.transaction)).ok_or_else(unknown)
    }

    /// Takes the transaction out, so that no other request finds it.
    pub(super) fn take(&self, caller: Caller<'_>, id: &str, now_ms: i64) -> Result<Shared> {
        let found = self.find(caller, id, now_ms)?;
        self.open.lock().expect("no panic while held").remove(id);
        Ok(found)
    }

    pub(super) fn end(&self, caller: Caller<'_>, id: &str) -> Result<()> {
        let mut open = self.open.lock().expect("no panic while held");
        match open.get(id) {
            Some(found) if !found.is_of(caller) => Err(unknown()),
            Some(_) => {
                open.remove(id);
                Ok(())
            }
            None => Ok(()),
        }
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

// === impl Transaction ===

impl Transaction {
    /// Remembers what was read, unless it is remembered already.
    pub(super) fn remember(
        &mut self,
        collection: i64,
        key: &[u8],
        slot: u16,
        before: Option<Stored>,
    ) -> Result<()> {
        if self.documents.contains_key(&(collection, key.to_vec())) {
            return Ok(());
        }
        if self.documents.len() >= TRANSACTION_DOCUMENTS_MAX {
            let message =
                format!("a transaction has at most {TRANSACTION_DOCUMENTS_MAX} documents");
            return Err(Error::new(Kind::TooLarge, message));
        }
        self.charge(before.as_ref().map_or(0, |stored| stored.body.len()))?;
        let entry = Entry { before, written: None, slot };
        self.documents.insert((collection, key.to_vec()), entry);
        Ok(())
    }

    /// Adds a document that was looked up before.
    pub(super) fn insert(&mut self, collection: i64, document: &Prepared) -> Result<()> {
        let place = (collection, document.key.clone());
        let entry = self.documents.get(&place).expect("it was looked up before");
        if entry.body().is_some() {
            return Err(Error::new(Kind::AlreadyExists, "a document with this _id exists already"));
        }
        self.write(collection, &document.key, Some(document.body.clone()))
    }

    /// Writes a document that was looked up before, or removes it.
    pub(super) fn write(
        &mut self,
        collection: i64,
        key: &[u8],
        body: Option<Vec<u8>>,
    ) -> Result<()> {
        self.charge(body.as_ref().map_or(0, Vec::len))?;
        let place = (collection, key.to_vec());
        let entry = self.documents.get_mut(&place).expect("it was looked up before");
        entry.written = Some(body);
        Ok(())
    }

    fn charge(&mut self, bytes: usize) -> Result<()> {
        self.bytes += bytes;
        if self.bytes > BYTES_MAX {
            let mib = BYTES_MAX >> 20;
            let message = format!("a transaction remembers at most {mib} MiB of documents");
            return Err(Error::new(Kind::TooLarge, message));
        }
        Ok(())
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
