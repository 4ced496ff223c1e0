//! A filter and a document, one line each: nothing panics, and no index misses a match.

#![no_main]

use libfuzzer_sys::fuzz_target;
use yunzhan_query::ejson::{ReadOptions, read_document};
use yunzhan_query::filter::{Filter, Limits};
use yunzhan_query::key::{EntryOptions, entries_with};
use yunzhan_query::{Access, Budget, Direction, Index, Order, Plan, Projection};

fuzz_target!(|bytes: &[u8]| {
    let options = ReadOptions::at(1_700_000_000_000);
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else { return };
    let (Ok(first), Ok(document)) = (read_document(first, &options), read_document(second, &options)) else { return };
    if let Ok(projection) = Projection::parse(&first) {
        projection.apply(document.clone(), Some(1));
    }
    let Ok(filter) = Filter::parse(&first, &Limits::default()) else { return };
    let budget = Budget::default();
    let matches = filter.matches(&document, &budget).unwrap_or(false);
    if matches && let Ok(Some(position)) = filter.position(&document, &budget) {
        assert!(position < bytes.len(), "the position is one of an array");
    }
    for direction in [Direction::Ascending, Direction::Descending] {
        let pattern = Order::from_fields([("a", direction), ("b.c", Direction::Ascending)]).expect("valid");
        let options = EntryOptions { combines_arrays: true, ..EntryOptions::default() };
        let Ok(entries) = entries_with(&document, &pattern, options) else { return };
        let index = Index { pattern, multikey: entries.multikey, truncated: entries.truncated };
        let plan = Plan::choose(&filter, &Order::default(), &[index]);
        if let (Access::Index { ranges, .. }, true) = (plan.access, matches) {
            let inside = |key: &Vec<u8>| ranges.iter().any(|range| range.from <= *key && *key < range.to);
            assert!(entries.keys.iter().any(inside), "the index misses a match");
        }
    }
});
