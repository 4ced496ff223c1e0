//! Rows by key, bounded: when there are too many keys, those that matter least are forgotten.

use std::collections::HashMap;
use std::hash::Hash;

/// Of the rows, so many parts are forgotten at once: sorting all of them for each new key would be slow under attack.
const PARTS: usize = 4;

/// What stands in a table.
pub(crate) trait Row {
    /// What it counts now, and when it last changed; the lowest are forgotten first.
    fn rank(&self, now_ms: i64) -> (u64, i64);
}

/// At most `rows_max` rows.
#[derive(Debug)]
pub(crate) struct Table<K, R> {
    rows: HashMap<K, R>,
    rows_max: usize,
    forgotten: u64,
}

impl<K: Eq + Hash + Clone + Ord, R: Row> Table<K, R> {
    /// An empty table of at most so many rows, one at least.
    pub(crate) fn new(rows_max: usize) -> Self {
        Self { rows: HashMap::new(), rows_max: rows_max.max(1), forgotten: 0 }
    }

    /// The row of a key, made when it is new.
    pub(crate) fn row(&mut self, key: K, now_ms: i64, make: impl FnOnce() -> R) -> &mut R {
        if self.rows.len() >= self.rows_max && !self.rows.contains_key(&key) {
            self.forget(now_ms);
        }
        self.rows.entry(key).or_insert_with(make)
    }

    fn forget(&mut self, now_ms: i64) {
        let count = self.rows_max.div_ceil(PARTS);
        let rank = |row: &R| row.rank(now_ms);
        let mut ranked: Vec<_> =
            self.rows.iter().map(|(key, row)| (rank(row), key.clone())).collect();
        ranked.select_nth_unstable(count - 1);
        for (_, key) in &ranked[..count] {
            self.rows.remove(key);
        }
        self.forgotten += count as u64;
    }

    /// The rows that count anything now, highest first.
    pub(crate) fn top(&self, rows_max: usize, now_ms: i64) -> impl Iterator<Item = (&K, &R)> {
        let mut rows: Vec<_> = self.rows.iter().filter(|(_, row)| row.rank(now_ms).0 > 0).collect();
        rows.sort_by_key(|(key, row)| (std::cmp::Reverse(row.rank(now_ms)), (*key).clone()));
        rows.into_iter().take(rows_max)
    }

    /// Rows that were forgotten so far.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Row for u64 {
        fn rank(&self, _now_ms: i64) -> (u64, i64) {
            (*self, 0)
        }
    }

    #[test]
    fn the_lowest_rows_are_forgotten_and_never_too_many_kept() {
        for rows_max in [1, 2, 7, 8] {
            let mut table = Table::new(rows_max);
            for key in 0..100_u64 {
                *table.row(key, 0, || 0) = key + 1;
                assert!(table.len() <= rows_max, "{rows_max} rows at most");
            }
            let kept: Vec<u64> = table.top(2, 0).map(|(key, _)| *key).collect();
            assert_eq!(kept.first(), Some(&99), "of {rows_max}");
            assert_eq!(table.forgotten(), 100 - table.len() as u64);
        }
    }
}
