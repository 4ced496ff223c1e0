//! Queues of those who change the same document in this process.
//!
//! A change reads a document and writes it back if it is still the same. Without a queue, of many who try at once one wins
//! and the others read again, and an unlucky one may lose for ever. In the queue the first come is the first served, and
//! only another process on the same database can still come in between.

use std::collections::BTreeSet;
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

/// A place at the head of the queues of some documents.
pub(super) struct Turn<'a> {
    /// Kept, never read: the queues move on when they are dropped.
    heads: Vec<MutexGuard<'a, ()>>,
    /// Somebody else was there before, so the documents may be others now.
    pub(super) has_waited: bool,
}

impl Queues {
    pub(super) fn new() -> Self {
        let queues = (0..QUEUES).map(|_| Mutex::default()).collect();
        Self { queues, hasher: RandomState::new() }
    }

    /// Waits until nobody else in this process changes these documents.
    pub(super) async fn turn(&self, table: &Table<'_>, documents: &[Stored]) -> Turn<'_> {
        // Everybody takes the queues in ascending order, so that no two wait for each other.
        let wanted: BTreeSet<usize> =
            documents.iter().map(|stored| self.queue_of(table, &stored.key)).collect();
        let mut turn = Turn { heads: Vec::with_capacity(wanted.len()), has_waited: false };
        for queue in wanted {
            let queue = &self.queues[queue];
            let head = match queue.try_lock() {
                Ok(head) => head,
                Err(_) => {
                    turn.has_waited = true;
                    queue.lock().await
                }
            };
            turn.heads.push(head);
        }
        turn
    }

    fn queue_of(&self, table: &Table<'_>, key: &[u8]) -> usize {
        let hash = self.hasher.hash_one((table.env, table.collection, key));
        usize::try_from(hash % QUEUES as u64).expect("below the number of queues")
    }
}
