//! What rules remember between requests (`initcol`): counters by address, session or user, in memory and bounded.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use yunzhan_waf::seclang::ast::Collection;
use yunzhan_waf::transaction::{Collections, Kept};

/// Collections that are remembered at one time: an address each of a large attack. Beyond it those that end first go.
const COLLECTIONS_MAX: usize = 50_000;

/// Bytes of a collection's key: longer ones are not remembered.
const KEY_BYTES_MAX: usize = 256;

/// Bytes of the values of one collection; what is larger is not remembered.
const VALUES_BYTES_MAX: usize = 16 << 10;

/// Collections by kind and key.
type Known = HashMap<(Collection, Box<[u8]>), Entry>;

/// What is remembered.
#[derive(Default)]
pub(crate) struct MemoryCollections(Mutex<Known>);

struct Entry {
    values: HashMap<Box<[u8]>, Kept>,
    until_ms: i64,
}

impl Collections for MemoryCollections {
    fn load(&self, collection: Collection, key: &[u8], now_ms: i64) -> HashMap<Box<[u8]>, Kept> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry =
            known.get(&(collection, Box::from(key))).filter(|entry| entry.until_ms > now_ms);
        entry.map(|entry| entry.values.clone()).unwrap_or_default()
    }

    fn store(
        &self,
        collection: Collection,
        key: &[u8],
        mut values: HashMap<Box<[u8]>, Kept>,
        now_ms: i64,
        keep_ms: i64,
    ) {
        values.retain(|_, kept| kept.until_ms.is_none_or(|until| until > now_ms));
        let bytes: usize = values.iter().map(|(name, kept)| name.len() + kept.value.len()).sum();
        if key.len() > KEY_BYTES_MAX || bytes > VALUES_BYTES_MAX {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= COLLECTIONS_MAX {
            make_room(&mut known, now_ms);
        }
        let until_ms = now_ms.saturating_add(keep_ms);
        known.insert((collection, Box::from(key)), Entry { values, until_ms });
    }
}

/// Forgets what has ended; where that is not a tenth, also those that end first, so that this is rare.
fn make_room(known: &mut Known, now_ms: i64) {
    known.retain(|_, entry| entry.until_ms > now_ms);
    if known.len() > COLLECTIONS_MAX / 10 * 9 {
        let mut ends: Vec<i64> = known.values().map(|entry| entry.until_ms).collect();
        let (_, tenth, _) = ends.select_nth_unstable(COLLECTIONS_MAX / 10);
        let tenth = *tenth;
        known.retain(|_, entry| entry.until_ms > tenth);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: &str, until_ms: Option<i64>) -> HashMap<Box<[u8]>, Kept> {
        HashMap::from([(Box::from(*b"count"), Kept { value: value.into(), until_ms })])
    }

    #[test]
    fn what_is_kept_ends() {
        let remembered = MemoryCollections::default();
        remembered.store(Collection::Ip, b"1.2.3.4", one("3", None), 0, 1000);
        assert_eq!(remembered.load(Collection::Ip, b"1.2.3.4", 999), one("3", None));
        assert!(remembered.load(Collection::Ip, b"1.2.3.4", 1000).is_empty());
        assert!(remembered.load(Collection::Global, b"1.2.3.4", 0).is_empty());
        remembered.store(Collection::Ip, b"1.2.3.4", one("3", Some(5)), 6, 1000);
        assert!(
            remembered.load(Collection::Ip, b"1.2.3.4", 7).is_empty(),
            "its only value had ended"
        );
    }

    #[test]
    fn an_attack_of_many_addresses_is_bounded() {
        let remembered = MemoryCollections::default();
        for at in 0..COLLECTIONS_MAX as i64 + 10 {
            remembered.store(Collection::Ip, &at.to_le_bytes(), one("1", None), at, 1 << 40);
        }
        let known = remembered.0.lock().unwrap_or_else(PoisonError::into_inner).len();
        assert!(known <= COLLECTIONS_MAX, "{known}");
        let last = (COLLECTIONS_MAX as i64 + 9).to_le_bytes();
        assert_eq!(
            remembered.load(Collection::Ip, &last, 1 << 20),
            one("1", None),
            "the newest stay"
        );
    }
}
