//! Updates through `$`, `$[]` and `$[name]`, and what needs the time.

use bson::{Bson, Document};
use expect_test::{Expect, expect};

use super::{Options, Update};
use crate::budget::Budget;
use crate::filter::{Filter, Limits};
use crate::testing::{NOW_MS, doc, text, value};

/// Each line is an update, and after `of` the query or after `with` the array filters.
fn check(document: &str, lines: &str, expected: &Expect) {
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
        let mut document = doc(document);
        let result = apply(&mut document, line);
        match result {
            Ok(true) => format!("{line} -> {}\n", text(&document)),
            Ok(false) => format!("{line} -> unchanged\n"),
            Err(error) => format!("{line} -> {:?}: {error}\n", error.kind),
        }
    });
    expected.assert_eq(&lines.collect::<String>());
}

fn apply(document: &mut Document, line: &str) -> crate::Result<bool> {
    let (update, filters) = line.split_once(" with ").unwrap_or((line, "[]"));
    let (update, query) = update.split_once(" of ").unwrap_or((update, "{}"));
    let filters: Vec<Document> = match value(filters) {
        Bson::Array(items) => {
            items.iter().map(|item| item.as_document().unwrap().clone()).collect()
        }
        _ => panic!("array filters are an array"),
    };
    let options = Options { array_filters: &filters, now_ms: Some(NOW_MS) };
    let update = Update::parse_with(doc(update), &options)?;
    let filter = Filter::parse(&doc(query), &Limits::default())?;
    let position = filter.position(document, &Budget::default())?;
    assert_eq!(update.needs_position(), line.contains("$\"") || line.contains(".$."));
    update.apply(document, position)
}

#[test]
fn the_matched_item() {
    check(
        r#"{"a":[1,5,9],"d":[{"x":1},{"x":3,"l":[1]}],"s":1}"#,
        r#"
        {"$set":{"a.$":7}} of {"a":{"$gt":4}}
        {"$inc":{"d.$.x":1}} of {"d.x":3}
        {"$push":{"d.$.l":2}} of {"d":{"$elemMatch":{"x":3}}}
        {"$unset":{"d.$.x":""}} of {"d.x":1}
        {"$set":{"d.$":null}} of {"a":9}
        {"$set":{"a.$":7}} of {"s":1}
        {"$set":{"a.$.b.$":7}} of {"a":5}
        {"$set":{"$.a":7}} of {"a":5}
        {"$set":{"s.$":7}} of {"a":5}
        {"$rename":{"d.$.x":"y"}} of {"d.x":1}
        {"$set":{"a.$":1,"a.0":2}} of {"a":5}
        "#,
        &expect![[r#"
            {"$set":{"a.$":7}} of {"a":{"$gt":4}} -> {"a":[1,7,9],"d":[{"x":1},{"x":3,"l":[1]}],"s":1}
            {"$inc":{"d.$.x":1}} of {"d.x":3} -> {"a":[1,5,9],"d":[{"x":1},{"x":4,"l":[1]}],"s":1}
            {"$push":{"d.$.l":2}} of {"d":{"$elemMatch":{"x":3}}} -> {"a":[1,5,9],"d":[{"x":1},{"x":3,"l":[1,2]}],"s":1}
            {"$unset":{"d.$.x":""}} of {"d.x":1} -> {"a":[1,5,9],"d":[{},{"x":3,"l":[1]}],"s":1}
            {"$set":{"d.$":null}} of {"a":9} -> {"a":[1,5,9],"d":[{"x":1},{"x":3,"l":[1]},null],"s":1}
            {"$set":{"a.$":7}} of {"s":1} -> InvalidValue: the query matched no item of an array, which $ could mean, operator $set, at field a.$
            {"$set":{"a.$.b.$":7}} of {"a":5} -> InvalidPath: a path may have only one $, for one item is known, operator $set, at field a.$.b.$
            {"$set":{"$.a":7}} of {"a":5} -> InvalidPath: a path may not begin with $, operator $set, at field $.a
            {"$set":{"s.$":7}} of {"a":5} -> InvalidValue: cannot create a field at part "s": a value of another type is in the way, operator $set, at field s.1
            {"$rename":{"d.$.x":"y"}} of {"d.x":1} -> InvalidPath: cannot rename an item of an array, operator $rename, at field d.$.x
            {"$set":{"a.$":1,"a.0":2}} of {"a":5} -> {"a":[2,1,9],"d":[{"x":1},{"x":3,"l":[1]}],"s":1}
        "#]],
    );
}

#[test]
fn every_item_and_those_that_pass() {
    check(
        r#"{"a":[1,5,9],"d":[{"x":1,"l":[1,2]},{"x":3,"l":[3]}],"e":[],"m":[[1,2],[3]]}"#,
        r#"
        {"$inc":{"a.$[]":1}}
        {"$set":{"d.$[].x":0}}
        {"$mul":{"d.$[].l.$[]":2}}
        {"$inc":{"m.$[].$[]":1}}
        {"$set":{"e.$[]":1}}
        {"$set":{"z.$[]":1}}
        {"$set":{"d.$[].x.$[]":1}}
        {"$set":{"a.$[big]":0}} with [{"big":{"$gte":5}}]
        {"$set":{"d.$[i].y":1}} with [{"i.x":{"$gt":1}}]
        {"$set":{"d.$[i].l.$[n]":0}} with [{"i.l":1},{"n":{"$in":[2,3]}}]
        {"$set":{"d.$[i].y":1}} with [{"$or":[{"i.x":1},{"i.l":3}]}]
        {"$pull":{"d.$[].l":{"$lt":3}}}
        {"$pull":{"m":{"$gte":3}}}
        {"$set":{"a.$[x]":0}} with [{"x":{"$gt":100}}]
        {"$set":{"a.$[x]":0}}
        {"$set":{"a.$[x]":0}} with [{"x":1},{"y":1}]
        {"$set":{"a.$[x]":0}} with [{"x":1},{"x":2}]
        {"$set":{"a.$[x]":0}} with [{"x":1,"y":2}]
        {"$set":{"a.$[X]":0}} with [{"X":1}]
        {"$set":{"a.$[x]":0}} with [{}]
        {"$set":{"a.$[x]":0}} with [{"x":{"$foo":1}}]
        {"$set":{"a.$[x]":0}} with [{"$expr":true}]
        {"$set":{"a.$[x]":0}} with [{"x":{"$geoWithin":{"$box":[[0,0],[1,1]]}}}]
        {"$set":{"a.$x":0}}
        {"b":1} with [{"x":1}]
        "#,
        &expect![[r#"
            {"$inc":{"a.$[]":1}} -> {"a":[2,6,10],"d":[{"x":1,"l":[1,2]},{"x":3,"l":[3]}],"e":[],"m":[[1,2],[3]]}
            {"$set":{"d.$[].x":0}} -> {"a":[1,5,9],"d":[{"x":0,"l":[1,2]},{"x":0,"l":[3]}],"e":[],"m":[[1,2],[3]]}
            {"$mul":{"d.$[].l.$[]":2}} -> {"a":[1,5,9],"d":[{"x":1,"l":[2,4]},{"x":3,"l":[6]}],"e":[],"m":[[1,2],[3]]}
            {"$inc":{"m.$[].$[]":1}} -> {"a":[1,5,9],"d":[{"x":1,"l":[1,2]},{"x":3,"l":[3]}],"e":[],"m":[[2,3],[4]]}
            {"$set":{"e.$[]":1}} -> unchanged
            {"$set":{"z.$[]":1}} -> InvalidValue: z is not an array, operator $set, at field z.$[]
            {"$set":{"d.$[].x.$[]":1}} -> InvalidValue: d.0.x is not an array, operator $set, at field d.$[].x.$[]
            {"$set":{"a.$[big]":0}} with [{"big":{"$gte":5}}] -> {"a":[1,0,0],"d":[{"x":1,"l":[1,2]},{"x":3,"l":[3]}],"e":[],"m":[[1,2],[3]]}
            {"$set":{"d.$[i].y":1}} with [{"i.x":{"$gt":1}}] -> {"a":[1,5,9],"d":[{"x":1,"l":[1,2]},{"x":3,"l":[3],"y":1}],"e":[],"m":[[1,2],[3]]}
            {"$set":{"d.$[i].l.$[n]":0}} with [{"i.l":1},{"n":{"$in":[2,3]}}] -> {"a":[1,5,9],"d":[{"x":1,"l":[1,0]},{"x":3,"l":[3]}],"e":[],"m":[[1,2],[3]]}
            {"$set":{"d.$[i].y":1}} with [{"$or":[{"i.x":1},{"i.l":3}]}] -> {"a":[1,5,9],"d":[{"x":1,"l":[1,2],"y":1},{"x":3,"l":[3],"y":1}],"e":[],"m":[[1,2],[3]]}
            {"$pull":{"d.$[].l":{"$lt":3}}} -> {"a":[1,5,9],"d":[{"x":1,"l":[]},{"x":3,"l":[3]}],"e":[],"m":[[1,2],[3]]}
            {"$pull":{"m":{"$gte":3}}} -> {"a":[1,5,9],"d":[{"x":1,"l":[1,2]},{"x":3,"l":[3]}],"e":[],"m":[[1,2]]}
            {"$set":{"a.$[x]":0}} with [{"x":{"$gt":100}}] -> unchanged
            {"$set":{"a.$[x]":0}} -> InvalidValue: no array filter is about x, operator $set, at field a.$[x]
            {"$set":{"a.$[x]":0}} with [{"x":1},{"y":1}] -> InvalidValue: no path uses the array filter about y
            {"$set":{"a.$[x]":0}} with [{"x":1},{"x":2}] -> InvalidValue: two array filters are about x
            {"$set":{"a.$[x]":0}} with [{"x":1,"y":2}] -> InvalidValue: array filter is about more than one name
            {"$set":{"a.$[X]":0}} with [{"X":1}] -> InvalidPath: the name of an array filter is a small letter, then letters and digits, at field X
            {"$set":{"a.$[x]":0}} with [{}] -> InvalidValue: array filter names no item
            {"$set":{"a.$[x]":0}} with [{"x":{"$foo":1}}] -> InvalidOperator: unknown operator, operator $foo, at field x
            {"$set":{"a.$[x]":0}} with [{"$expr":true}] -> InvalidOperator: stands for the whole document: alone below a field or beside fields, not on items, operator $expr
            {"$set":{"a.$[x]":0}} with [{"x":{"$geoWithin":{"$box":[[0,0],[1,1]]}}}] -> InvalidOperator: cannot stand in a condition on items outside of a filter, operator $geoWithin, at field x
            {"$set":{"a.$x":0}} -> InvalidPath: a field name may not begin with $, but for $ and $[name], operator $set, at field a.$x
            {"b":1} with [{"x":1}] -> InvalidValue: a replacement takes no array filters
        "#]],
    );
}

#[test]
fn the_time() {
    check(
        r#"{"a":1}"#,
        r#"
        {"$currentDate":{"a":true,"b":{"$type":"date"}}}
        {"$currentDate":{"a":{"$type":"timestamp"}}}
        {"$currentDate":{"a":1}}
        {"$currentDate":{"a":{"$type":"time"}}}
        "#,
        &expect![[r#"
            {"$currentDate":{"a":true,"b":{"$type":"date"}}} -> {"a":{"$date":"2023-11-14T22:13:20Z"},"b":{"$date":"2023-11-14T22:13:20Z"}}
            {"$currentDate":{"a":{"$type":"timestamp"}}} -> {"a":{"$timestamp":{"t":1700000000,"i":1}}}
            {"$currentDate":{"a":1}} -> InvalidValue: needs true, or a $type that is date or timestamp, operator $currentDate, at field a
            {"$currentDate":{"a":{"$type":"time"}}} -> InvalidValue: needs true, or a $type that is date or timestamp, operator $currentDate, at field a
        "#]],
    );
    let refused = Update::parse(doc(r#"{"$currentDate":{"a":true}}"#)).unwrap_err();
    assert_eq!(refused.to_string(), "no time is known here, operator $currentDate, at field a");
}

#[test]
fn places_are_bounded() {
    let items = vec!["[0]"; 50_001].join(",");
    let mut document = doc(&format!(r#"{{"a":[{items}]}}"#));
    let update = Update::parse(doc(r#"{"$inc":{"a.$[].$[]":1}}"#)).unwrap();
    let refused = update.apply(&mut document, None).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "update looks at over 100000 items of arrays, operator $inc, at field a.$[].$[]"
    );
    let mut document = doc(&format!(r#"{{"a":[{}]}}"#, vec!["0"; 2000].join(",")));
    let long = "x".repeat(10_000);
    let update = Update::parse(doc(&format!(r#"{{"$set":{{"a.$[]":"{long}"}}}}"#))).unwrap();
    let refused = update.apply(&mut document, None).unwrap_err();
    assert!(refused.to_string().starts_with("update puts more than 16 MiB into many places"));
    let paths: Vec<_> = (0..101).map(|n| format!(r#""f{n}.$[x]":1"#)).collect();
    let update = doc(&format!(r#"{{"$set":{{{}}}}}"#, paths.join(",")));
    let filters = [doc(r#"{"x":1}"#)];
    let options = Options { array_filters: &filters, now_ms: None };
    let refused = Update::parse_with(update, &options).unwrap_err();
    assert!(refused.to_string().starts_with("update asks array filters in over 100 places"));
}
