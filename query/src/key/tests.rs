//! The order of keys is the order of values.

use bson::{Bson, Document};
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{
    ENTRIES_MAX, EntryOptions, KEY_BYTES_MAX, Prefix, encode, entries, entries_with, ranges,
    sort_key,
};
use crate::compare::{compare, compare_documents};
use crate::filter::{Filter, Limits};
use crate::order::{Direction, Order};
use crate::testing::{any_document, any_scalar, any_value, doc, matches, value};

fn key_of(value: &Bson) -> Vec<u8> {
    let mut key = Vec::new();
    encode(value, &mut key);
    key
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Old keys are stored: a change of any of these needs a new format number.
#[test]
fn format_1_is_kept() {
    let samples = r#"[{"$minKey":1},null,{"$numberDouble":"NaN"},{"$numberDouble":"-Infinity"},-1,0,1.5,
        {"$numberLong":"9007199254740993"},"","a","a\u0000b",{"a":1},[],[1,"x"],{"$binary":{"base64":"AQI=","subType":"00"}},
        {"$oid":"507f1f77bcf86cd799439011"},false,true,{"$date":0},{"$timestamp":{"t":1,"i":2}},
        {"$regularExpression":{"pattern":"a","options":"i"}},{"$code":"f"},{"$maxKey":1}]"#;
    let samples = value(samples);
    let lines: String =
        samples.as_array().unwrap().iter().map(|value| hex(&key_of(value)) + "\n").collect();
    expect![[r#"
        08
        10
        180000000000000000
        18000fffffffffffff
        18400fffffffffffff
        188000000000000000
        18bff8000000000000
        18c3400000000000000001
        200000
        20610000
        206100ff620000
        2818610000bff000000000000000
        3000
        3018bff00000000000002078000000
        3800000002000102
        40507f1f77bcf86cd799439011
        4800
        4801
        508000000000000000
        580000000100000002
        60610000690000
        70660000
        80
    "#]]
    .assert_eq(&lines);
}

fn check_entries(document: &str, pattern: &str, expected: &Expect) {
    let result = entries(&doc(document), &Order::parse(&doc(pattern)).unwrap());
    expected.assert_eq(&match result {
        Ok(entries) => {
            let keys: String = entries.keys.iter().map(|key| hex(key) + "\n").collect();
            format!("multikey {} truncated {}\n{keys}", entries.multikey, entries.truncated)
        }
        Err(error) => error.to_string(),
    });
}

#[test]
fn a_document_has_a_key_for_each_value() {
    check_entries(
        r#"{"a":true}"#,
        r#"{"a":1,"b":-1}"#,
        &expect![[r#"
        multikey false truncated false
        014801ef
    "#]],
    );
    check_entries(
        r#"{"a":[true,false,true]}"#,
        r#"{"a":1}"#,
        &expect![[r#"
        multikey true truncated false
        014800
        014801
    "#]],
    );
    check_entries(
        r#"{"a":[]}"#,
        r#"{"a":1}"#,
        &expect![[r#"
        multikey false truncated false
        010c
    "#]],
    );
    check_entries(
        r#"{"a":[{"b":true},{},1,{"b":[false]}]}"#,
        r#"{"a.b":-1}"#,
        &expect![[r#"
        multikey true truncated false
        01b7fe
        01b7ff
        01ef
    "#]],
    );
    check_entries(
        r#"{"a":[1]}"#,
        r#"{"a.b":1}"#,
        &expect![[r#"
        multikey false truncated false
        0110
    "#]],
    );
    check_entries(
        r#"{"a":[{"b":true,"c":true},{"b":false,"c":false}]}"#,
        r#"{"a.b":1,"a.c":1}"#,
        &expect![[r#"
        multikey true truncated false
        0148004800
        0148004801
        0148014800
        0148014801
    "#]],
    );
}

#[test]
fn arrays_in_two_fields_of_one_index_are_refused() {
    let check = |document: &str, pattern: &str| {
        let result = entries(&doc(document), &Order::parse(&doc(pattern)).unwrap());
        result.map_or_else(
            |error| error.to_string(),
            |entries| format!("{} keys", entries.keys.len()),
        )
    };
    let (pair, inner) = (r#"{"a":1,"b":1}"#, r#"{"a.b":1,"a.c":1}"#);
    let lines = [
        check(r#"{"a":[1,2],"b":[3,4]}"#, pair),
        check(r#"{"a":[1],"b":[3]}"#, pair),
        check(r#"{"a":[],"b":[]}"#, pair),
        check(r#"{"a":[1,2],"b":3}"#, pair),
        check(r#"{"a":[1,2]}"#, pair),
        check(r#"{"a":{"b":[1],"c":[2]}}"#, inner),
        check(r#"{"a":[{"b":1,"c":2},{"b":3}]}"#, inner),
        check(r#"{"a":[{"b":[1],"c":2},{"b":3,"c":[4]}]}"#, inner),
        check(r#"{"a":[{"b":[1],"c":[2]}]}"#, inner),
        check(r#"{"a":[{"x":1}],"b":[{"y":2}]}"#, r#"{"a.x":1,"b.y":1}"#),
        check(r#"{"a":[[1,2],[3,4]]}"#, r#"{"a.0":1,"a.1":1}"#),
        check(r#"{"a":[1,2],"b":1}"#, r#"{"a.0":1,"a.1":1,"b":1}"#),
    ];
    expect![[r#"
        cannot index parallel arrays [a] [b]
        cannot index parallel arrays [a] [b]
        cannot index parallel arrays [a] [b]
        2 keys
        2 keys
        cannot index parallel arrays [a.b] [a.c]
        4 keys
        4 keys
        cannot index parallel arrays [a.b] [a.c]
        cannot index parallel arrays [a.x] [b.y]
        cannot index parallel arrays [a.0] [a.1]
        1 keys"#]]
    .assert_eq(&lines.join("\n"));
    let stored = EntryOptions { combines_arrays: true, ..EntryOptions::default() };
    let document = doc(r#"{"a":[true,false],"b":[true,false]}"#);
    let before = entries_with(&document, &Order::parse(&doc(pair)).unwrap(), stored).unwrap();
    assert_eq!(before.keys.len(), 4);
}

#[test]
fn keys_made_before_can_still_be_made() {
    let pattern = Order::parse(&doc(r#"{"a":1}"#)).unwrap();
    let key = |text: &str| {
        let options = EntryOptions { empty_as_null: true, ..EntryOptions::default() };
        hex(&entries_with(&doc(text), &pattern, options).unwrap().keys.concat())
    };
    assert_eq!([key(r#"{"a":[]}"#), key("{}"), key(r#"{"a":[true]}"#)], ["0110", "0110", "014801"]);
}

#[test]
fn keys_are_bounded_in_length_and_number() {
    let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(5000));
    let result = entries(&doc(&long), &Order::parse(&doc(r#"{"a":1}"#)).unwrap()).unwrap();
    assert!(result.truncated);
    assert_eq!(result.keys[0].len(), KEY_BYTES_MAX);
    let list: Vec<String> = (0..=ENTRIES_MAX).map(|number| number.to_string()).collect();
    check_entries(
        &format!(r#"{{"a":[{}]}}"#, list.join(",")),
        r#"{"a":1}"#,
        &expect!["document has more than 1000 keys in one index, at field a"],
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn scalars_compare_as_their_keys(a in any_scalar(), b in any_scalar()) {
        prop_assert_eq!(key_of(&a).cmp(&key_of(&b)), compare(&a, &b));
    }

    #[test]
    fn values_compare_as_their_keys(a in any_value(), b in any_value()) {
        prop_assert_eq!(key_of(&a).cmp(&key_of(&b)), compare(&a, &b));
    }

    #[test]
    fn comparing_is_transitive(a in any_value(), b in any_value(), c in any_value()) {
        if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
            prop_assert!(compare(&a, &c).is_le());
        }
        prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
    }

    #[test]
    fn two_fields_compare_one_after_the_other(a in any_scalar(), b in any_scalar(), c in any_scalar(), d in any_scalar()) {
        let order = Order::parse(&doc(r#"{"a":-1,"b":1}"#)).unwrap();
        let first = Document::from_iter([("a".to_owned(), a.clone()), ("b".to_owned(), b.clone())]);
        let second = Document::from_iter([("a".to_owned(), c.clone()), ("b".to_owned(), d.clone())]);
        let expected = compare(&c, &a).then(compare(&b, &d));
        prop_assert_eq!(sort_key(&first, &order).cmp(&sort_key(&second, &order)), expected);
    }

    #[test]
    fn documents_compare_as_their_keys(a in any_document(), b in any_document()) {
        let key = |document: &Document| key_of(&Bson::Document(document.clone()));
        prop_assert_eq!(key(&a).cmp(&key(&b)), compare_documents(&a, &b));
    }

    /// The promise of an index: every match has a key in the ranges, in either direction, single or multikey.
    #[test]
    fn ranges_miss_no_match(
        document in any_document(),
        a in any_scalar(),
        b in any_scalar(),
        operators in (prop::sample::select(OPERATORS), prop::sample::select(OPERATORS)),
        descending in any::<bool>(),
    ) {
        let wanted = Document::from_iter([(operators.0.to_owned(), operand(operators.0, a)), (operators.1.to_owned(), operand(operators.1, b))]);
        let filter = Document::from_iter([("a".to_owned(), Bson::Document(wanted))]);
        let Ok(filter) = Filter::parse(&filter, &Limits::default()) else { return Ok(()) };
        let direction = if descending { Direction::Descending } else { Direction::Ascending };
        let pattern = Order::from_fields([("a", direction)]).unwrap();
        let entries = entries(&document, &pattern).unwrap();
        let Some(constraint) = filter.constraint("a", entries.multikey) else { return Ok(()) };
        let ranges = ranges(&Prefix::empty(), &constraint, direction);
        let found = entries.keys.iter().any(|key| ranges.iter().any(|range| range.from <= *key && *key < range.to));
        prop_assert!(found || !matches(&filter, &document), "{constraint:?} misses {document}");
    }
}

const OPERATORS: &[&str] = &["$eq", "$gt", "$gte", "$lt", "$lte", "$in", "$all", "$ne"];

fn operand(operator: &str, value: Bson) -> Bson {
    if matches!(operator, "$in" | "$all") { Bson::Array(vec![value]) } else { value }
}
