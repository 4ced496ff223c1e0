//! Which open files make room for others: by number, because each has a thread and descriptors, and by what they hold in memory.
//!
//! What can be had again soonest goes first. A reader is opened again within some hundred microseconds, a file within some
//! milliseconds. A file with many readers gives those that only its crowds need before anybody else gives anything, so that one
//! busy environment does not push out the others.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use super::connection::Session;
use super::file::{File, READERS_KEPT};
use super::memory::Memory;
use crate::sql::Database;

/// How many times as many files as may be open are so at the most: where units wait for all of them, one more is opened, and the
/// next that is idle makes room again.
const CROWDED_TIMES: usize = 2;

/// The files that are open.
pub(super) type Files = HashMap<Database, Arc<File>>;

/// Takes out this file, but not a newer one of the same database.
pub(super) fn remove(files: &mut Files, file: &Arc<File>) {
    if files.get(&file.database).is_some_and(|known| Arc::ptr_eq(known, file)) {
        files.remove(&file.database);
        file.leave();
    }
}

/// Whether one file more may be opened. It makes room for it: closes those that were used longest ago, unless units wait for
/// them. A file that is closed stays readable until its last reader lets go, and is opened again within some milliseconds.
pub(super) fn has_room(files: &mut Files, open_max: usize) -> bool {
    if files.len() < open_max {
        return true;
    }
    for file in by_age(files) {
        if close(files, &file) && files.len() < open_max {
            return true;
        }
    }
    files.len() < CROWDED_TIMES * open_max
}

/// Lets go of what is idle until the files hold no more than they may: readers beyond the first of a file, of the largest file
/// first; then the last readers, and at last the files, both from those that were used longest ago. What a crowd of readers
/// holds that are at work is its own to give, not that of others. Gives the readers, to be closed when nobody waits for the
/// table any longer.
pub(super) fn shrink(files: &mut Files, memory: &Memory) -> Vec<Session> {
    let mut closed = Vec::new();
    if !memory.is_over() {
        return closed;
    }
    let by_age = by_age(files);
    let mut by_size = by_age.clone();
    by_size.sort_by_cached_key(|file| Reverse(file.bytes()));
    for file in by_size {
        file.take_idle_readers(READERS_KEPT, 0, &mut closed);
    }
    let crowds = by_age.iter().map(|file| file.crowd_bytes()).sum();
    for file in &by_age {
        file.take_idle_readers(0, crowds, &mut closed);
    }
    for file in &by_age {
        if !memory.is_over_by(crowds) {
            break;
        }
        close(files, file);
    }
    closed
}

fn by_age(files: &Files) -> Vec<Arc<File>> {
    let mut by_age: Vec<Arc<File>> = files.values().cloned().collect();
    // Once for each: others touch them meanwhile, and an order must not change while it is made.
    by_age.sort_by_cached_key(|file| file.used_ms());
    by_age
}

/// Closes a file that no unit waits for, and says whether it did.
fn close(files: &mut Files, file: &Arc<File>) -> bool {
    // One that is still being opened may be migrated at this moment, which must not begin a second time beside it.
    let may_close = file.database != Database::System && file.is_ready();
    let closes = may_close && file.queue.close_if_empty();
    if closes {
        remove(files, file);
    }
    closes
}
