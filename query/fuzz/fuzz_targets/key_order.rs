//! Three values, one line each: keys have the order of the values, that order is total, and what an index holds of a
//! document is what the document is sorted by.

#![no_main]

use libfuzzer_sys::fuzz_target;
use yunzhan_query::{Bson, Direction, Document, Order};
use yunzhan_query::compare::compare;
use yunzhan_query::ejson::{ReadOptions, read};
use yunzhan_query::key::{ENTRIES_MAX, EntryOptions, encode, entries, entries_with, sort_key};

const EMPTY_AS_NULL: EntryOptions =
    EntryOptions { keys_max: ENTRIES_MAX, empty_as_null: true, combines_arrays: false };

fn key(value: &Bson) -> Vec<u8> {
    let mut key = Vec::new();
    encode(value, &mut key);
    key
}

fuzz_target!(|bytes: &[u8]| {
    let options = ReadOptions::at(1_700_000_000_000);
    let values: Vec<Bson> =
        bytes.split(|byte| *byte == b'\n').take(3).map_while(|line| read(line, &options).ok()).collect();
    let mut sorted = values.clone();
    sorted.sort_by(compare);
    for pair in sorted.windows(2) {
        assert!(compare(&pair[0], &pair[1]).is_le(), "sorting settles the order");
    }
    let order = Order::from_fields([("a", Direction::Ascending)]).expect("valid");
    for value in &values {
        let document = Document::from_iter([("a".to_owned(), value.clone())]);
        let (Ok(entries), Ok(_)) =
            (entries(&document, &order), entries_with(&document, &order, EMPTY_AS_NULL))
        else {
            continue;
        };
        let first = &sort_key(&document, &order);
        assert!(entries.truncated || entries.keys[0][1..] == first[..], "the least key sorts");
    }
    for a in &values {
        for b in &values {
            assert_eq!(compare(a, b), key(a).cmp(&key(b)), "{a} and {b}");
            assert_eq!(compare(a, b), compare(b, a).reverse());
        }
    }
});
