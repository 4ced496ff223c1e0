//! Which transaction is about to write which document. A second one that would is refused at once: the first one wins.
//!
//! Writers outside transactions do not ask: they change the document, and the transaction fails at its commit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use yunzhan_base::EnvId;

/// One document: its environment, its collection, its key.
type LockKey = (EnvId, i64, Vec<u8>);

/// The locks of one process. Each transaction has as many as documents at most, and pays for them by their bytes.
#[derive(Default)]
pub(super) struct WriteLocks {
    by: Mutex<HashMap<LockKey, u64>>,
}

/// The locks of one transaction, which end with it.
pub(super) struct HeldLocks {
    locks: Arc<WriteLocks>,
    /// The transaction's number.
    by: u64,
    places: Vec<LockKey>,
}

impl WriteLocks {
    fn by(&self) -> MutexGuard<'_, HashMap<LockKey, u64>> {
        self.by.lock().expect("no panic while held")
    }
}

impl HeldLocks {
    pub(super) fn none(locks: Arc<WriteLocks>, by: u64) -> Self {
        Self { locks, by, places: Vec::new() }
    }

    /// Locks a document; false when another transaction has.
    pub(super) fn lock(&mut self, env: &EnvId, collection: i64, key: &[u8]) -> bool {
        let place = (env.clone(), collection, key.to_vec());
        let mut by = self.locks.by();
        match by.get(&place) {
            Some(owner) => *owner == self.by,
            None => {
                by.insert(place.clone(), self.by);
                drop(by);
                self.places.push(place);
                true
            }
        }
    }

    pub(super) fn release(&mut self) {
        let places = std::mem::take(&mut self.places);
        let mut by = self.locks.by();
        for place in &places {
            by.remove(place);
        }
    }
}

impl Drop for HeldLocks {
    fn drop(&mut self) {
        self.release();
    }
}
