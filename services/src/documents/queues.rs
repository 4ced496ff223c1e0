//! Queues of those who change the same document in this process.
//!
//! A change reads a document and writes it back if it is still the same. Without a queue, of many who try at once one
//! wins and the others read again, and an unlucky one may lose for ever. In the queue the first come is the first
//! served, and only another process on the same database can still come in between.
//!
//! Only those who change a single document queue. A write batch of many would hold most queues of all environments for
//! as long as it takes, so it relies on the documents' versions alone.

use std::hash::{BuildHasher, RandomState};

use tokio::sync::{Mutex, MutexGuard};

use super::store::{Stored, Table};

/// Queues. Two documents that share one wait for each other now and then; each queue takes about 50 bytes.
const QUEUES: usize = 256;

/// The queues of one process.
pub(super) struct Queues {
    queues: Vec<Mutex<()>>,
    hasher: RandomState,
}

/// A place at the head of a document's queue.
pub(super) struct Turn<'a> {
    /// Kept, never read: the queue moves on when it is dropped.
    _head: MutexGuard<'a, ()>,
    /// Somebody else was there before, so the documents may be others now.
    pub(super) has_waited: bool,
}

impl Queues {
    pub(super) fn new() -> Self {
        let queues = (0..QUEUES).map(|_| Mutex::default()).collect();
        Self { queues, hasher: RandomState::new() }
    }

    /// Waits until nobody else in this process changes this document alone. Many documents have no turn.
    pub(super) async fn turn(&self, table: &Table<'_>, documents: &[Stored]) -> Option<Turn<'_>> {
        let [document] = documents else { return None };
        let queue = &self.queues[self.queue_of(table, &document.key)];
        if let Ok(head) = queue.try_lock() {
            return Some(Turn { _head: head, has_waited: false });
        }
        Some(Turn { _head: queue.lock().await, has_waited: true })
    }

    fn queue_of(&self, table: &Table<'_>, key: &[u8]) -> usize {
        let hash = self.hasher.hash_one((table.env, table.collection.id, key));
        usize::try_from(hash % QUEUES as u64).expect("below the number of queues")
    }
}
