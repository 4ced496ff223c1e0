//! Updates: document in, document out.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::Update;
use crate::filter::{Filter, Limits};
use crate::testing::{any_document, doc, matches, text};

/// What each update makes of `document`, or why it is refused.
fn check(document: &str, updates: &str, expected: &Expect) {
    let lines = updates.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
        let mut document = doc(document);
        let result = Update::parse(doc(line)).and_then(|update| update.apply(&mut document, None));
        match result {
            Ok(true) => format!("{line} -> {}\n", text(&document)),
            Ok(false) => format!("{line} -> unchanged\n"),
            Err(error) => format!("{line} -> {:?}: {error}\n", error.kind),
        }
    });
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn set_and_unset() {
    check(
        r#"{"_id":1,"a":1,"d":{"x":1},"l":[1,{"y":2}],"n":null}"#,
        r#"
        {"$set":{}}
        {"$set":{"a":1}}
        {"$set":{"a":{"$numberLong":"1"}}}
        {"$set":{"a":{"b":[1]},"z":2}}
        {"$set":{"d.x":2,"d.y.z":3}}
        {"$set":{"l.0":5,"l.1.y":6,"l.3":7}}
        {"$set":{"new.0.a":1}}
        {"$set":{"a.b":1}}
        {"$set":{"n.b":1}}
        {"$set":{"l.y":1}}
        {"$set":{"l.99999":1}}
        {"$set":{"_id":1}}
        {"$set":{"_id":2}}
        {"$set":{"_id.x":2}}
        {"$setOnInsert":{"a":5}}
        {"$unset":{"a":"","d.x":"","x.y":"","a2":1}}
        {"$unset":{"l.0":"","l.9":"","l.y":""}}
        {"$unset":{"_id":""}}
        {"$rename":{"a":"b","d.x":"e.f"}}
        {"$rename":{"x":"b"}}
        {"$rename":{"a":"n.b"}}
        {"$rename":{"l.0":"b"}}
        "#,
        &expect![[r#"
            {"$set":{}} -> unchanged
            {"$set":{"a":1}} -> unchanged
            {"$set":{"a":{"$numberLong":"1"}}} -> {"_id":1,"a":1,"d":{"x":1},"l":[1,{"y":2}],"n":null}
            {"$set":{"a":{"b":[1]},"z":2}} -> {"_id":1,"a":{"b":[1]},"d":{"x":1},"l":[1,{"y":2}],"n":null,"z":2}
            {"$set":{"d.x":2,"d.y.z":3}} -> {"_id":1,"a":1,"d":{"x":2,"y":{"z":3}},"l":[1,{"y":2}],"n":null}
            {"$set":{"l.0":5,"l.1.y":6,"l.3":7}} -> {"_id":1,"a":1,"d":{"x":1},"l":[5,{"y":6},null,7],"n":null}
            {"$set":{"new.0.a":1}} -> {"_id":1,"a":1,"d":{"x":1},"l":[1,{"y":2}],"n":null,"new":{"0":{"a":1}}}
            {"$set":{"a.b":1}} -> InvalidValue: cannot create a field at part "a": a value of another type is in the way, operator $set, at field a.b
            {"$set":{"n.b":1}} -> InvalidValue: cannot create a field at part "n": a value of another type is in the way, operator $set, at field n.b
            {"$set":{"l.y":1}} -> InvalidValue: cannot create a field at part "y": a value of another type is in the way, operator $set, at field l.y
            {"$set":{"l.99999":1}} -> InvalidValue: cannot create a field at part "99999": a value of another type is in the way, operator $set, at field l.99999
            {"$set":{"_id":1}} -> unchanged
            {"$set":{"_id":2}} -> Immutable: _id cannot be changed, at field _id
            {"$set":{"_id.x":2}} -> InvalidValue: cannot create a field at part "_id": a value of another type is in the way, operator $set, at field _id.x
            {"$setOnInsert":{"a":5}} -> unchanged
            {"$unset":{"a":"","d.x":"","x.y":"","a2":1}} -> {"_id":1,"d":{},"l":[1,{"y":2}],"n":null}
            {"$unset":{"l.0":"","l.9":"","l.y":""}} -> {"_id":1,"a":1,"d":{"x":1},"l":[null,{"y":2}],"n":null}
            {"$unset":{"_id":""}} -> Immutable: _id cannot be changed, at field _id
            {"$rename":{"a":"b","d.x":"e.f"}} -> {"_id":1,"d":{},"l":[1,{"y":2}],"n":null,"b":1,"e":{"f":1}}
            {"$rename":{"x":"b"}} -> unchanged
            {"$rename":{"a":"n.b"}} -> InvalidValue: cannot create a field at part "n": a value of another type is in the way, operator $rename, at field n.b
            {"$rename":{"l.0":"b"}} -> InvalidValue: cannot rename an item of an array, operator $rename, at field l.0
        "#]],
    );
}

#[test]
fn numbers_keep_their_type() {
    check(
        r#"{"i":2147483647,"l":{"$numberLong":"9223372036854775807"},"d":1.5,"s":"x","e":{"$numberDecimal":"1"}}"#,
        r#"
        {"$inc":{"i":-1,"new":5,"d":1}}
        {"$inc":{"i":1}}
        {"$inc":{"i":{"$numberLong":"-1"}}}
        {"$inc":{"i":0.5}}
        {"$inc":{"i":0}}
        {"$inc":{"l":1}}
        {"$inc":{"l":-1}}
        {"$inc":{"s":1}}
        {"$inc":{"e":1}}
        {"$inc":{"i":"1"}}
        {"$mul":{"i":2,"new":{"$numberLong":"5"},"d":2}}
        {"$mul":{"l":2}}
        {"$min":{"i":5,"s":"w","new":1}}
        {"$max":{"i":5,"s":"w","new":1}}
        {"$bit":{"i":{"and":7,"xor":1}}}
        {"$bit":{"d":{"or":1}}}
        {"$bit":{"i":{"not":1}}}
        "#,
        &expect![[r#"
            {"$inc":{"i":-1,"new":5,"d":1}} -> {"i":2147483646,"l":9223372036854775807,"d":2.5,"s":"x","e":{"$numberDecimal":"1"},"new":5}
            {"$inc":{"i":1}} -> {"i":2147483648,"l":9223372036854775807,"d":1.5,"s":"x","e":{"$numberDecimal":"1"}}
            {"$inc":{"i":{"$numberLong":"-1"}}} -> {"i":2147483646,"l":9223372036854775807,"d":1.5,"s":"x","e":{"$numberDecimal":"1"}}
            {"$inc":{"i":0.5}} -> {"i":2147483647.5,"l":9223372036854775807,"d":1.5,"s":"x","e":{"$numberDecimal":"1"}}
            {"$inc":{"i":0}} -> unchanged
            {"$inc":{"l":1}} -> InvalidValue: result is out of the range of 64-bit integers, operator $inc, at field l
            {"$inc":{"l":-1}} -> {"i":2147483647,"l":9223372036854775806,"d":1.5,"s":"x","e":{"$numberDecimal":"1"}}
            {"$inc":{"s":1}} -> InvalidValue: field is not an integer or a double, operator $inc, at field s
            {"$inc":{"e":1}} -> InvalidValue: field is not an integer or a double, operator $inc, at field e
            {"$inc":{"i":"1"}} -> InvalidValue: needs an integer or a double, operator $inc, at field i
            {"$mul":{"i":2,"new":{"$numberLong":"5"},"d":2}} -> {"i":4294967294,"l":9223372036854775807,"d":3.0,"s":"x","e":{"$numberDecimal":"1"},"new":0}
            {"$mul":{"l":2}} -> InvalidValue: result is out of the range of 64-bit integers, operator $mul, at field l
            {"$min":{"i":5,"s":"w","new":1}} -> {"i":5,"l":9223372036854775807,"d":1.5,"s":"w","e":{"$numberDecimal":"1"},"new":1}
            {"$max":{"i":5,"s":"w","new":1}} -> {"i":2147483647,"l":9223372036854775807,"d":1.5,"s":"x","e":{"$numberDecimal":"1"},"new":1}
            {"$bit":{"i":{"and":7,"xor":1}}} -> {"i":6,"l":9223372036854775807,"d":1.5,"s":"x","e":{"$numberDecimal":"1"}}
            {"$bit":{"d":{"or":1}}} -> InvalidValue: field is not an integer, operator $bit, at field d
            {"$bit":{"i":{"not":1}}} -> InvalidValue: knows and, or, xor, operator $bit, at field i
        "#]],
    );
}

#[test]
fn arrays() {
    check(
        r#"{"a":[3,1,2],"o":[{"x":2,"y":"b"},{"x":1,"y":"a"}],"s":"x"}"#,
        r#"
        {"$push":{"a":9}}
        {"$push":{"a":[9,8]}}
        {"$push":{"new":{"x":1}}}
        {"$push":{"s":1}}
        {"$push":{"a":{"$each":[9,8]}}}
        {"$push":{"a":{"$each":[9,8],"$position":0}}}
        {"$push":{"a":{"$each":[9],"$position":-1}}}
        {"$push":{"a":{"$each":[9],"$position":99}}}
        {"$push":{"a":{"$each":[9],"$sort":1,"$slice":3}}}
        {"$push":{"a":{"$each":[9],"$sort":-1,"$slice":-2}}}
        {"$push":{"o":{"$each":[{"x":0}],"$sort":{"x":1}}}}
        {"$push":{"a":{"$each":[],"$slice":0}}}
        {"$push":{"a":{"$each":1}}}
        {"$push":{"a":{"$each":[1],"$foo":1}}}
        {"$push":{"a":{"$each":[1],"$position":"x"}}}
        {"$push":{"a":{"$each":[1],"$sort":2}}}
        {"$addToSet":{"a":1}}
        {"$addToSet":{"a":{"$each":[1,7,7]},"new":1}}
        {"$pop":{"a":1,"o":-1}}
        {"$pop":{"new":1}}
        {"$pop":{"a":2}}
        {"$pull":{"a":1}}
        {"$pull":{"a":{"$gte":2}}}
        {"$pull":{"o":{"x":1}}}
        {"$pull":{"o":{"y":{"$in":["a","b"]}}}}
        {"$pull":{"a":{"$foo":1}}}
        {"$pull":{"new":1}}
        {"$pull":{"s":1}}
        {"$pullAll":{"a":[1,3,9]}}
        {"$pullAll":{"a":1}}
        "#,
        &expect![[r#"
            {"$push":{"a":9}} -> {"a":[3,1,2,9],"o":[{"x":2,"y":"b"},{"x":1,"y":"a"}],"s":"x"}
            {"$push":{"a":[9,8]}} -> {"a":[3,1,2,[9,8]],"o":[{"x":2,"y":"b"},{"x":1,"y":"a"}],"s":"x"}
            {"$push":{"new":{"x":1}}} -> {"a":[3,1,2],"o":[{"x":2,"y":"b"},{"x":1,"y":"a"}],"s":"x","new":[{"x":1}]}
            {"$push":{"s":1}} -> InvalidValue: field is not an array, operator $push, at field s
            {"$push":{"a":{"$each":[9,8]}}} -> {"a":[3,1,2,9,8],"o":[{"x":2,"y":"b"},{"x":1,"y":"a"}],"s":"x"}
            {"$push":{"a":{"$each":[9,8],"$position":0}}} -> {"a":[9,8,3,1,2],"o":[{"x":2,"y":"b"},{"x":1,"y":"a"}],"s":"x"}
            {"$push":{"a":{"$each":[9],"$position":-1}}} -> {"a":[3,1,9,2],"o":[{"x":2,"y":"b"},{"x":1,"y":"a"}],"s":"x"}
            {"$push":{"a":{"$each":[9],"$position":99}}} -> {"a":[3,1,2,9],"o":[{"x":2,"y":"b"},{"x":1,"y":"a"}],"s":"x"}
            {"$push":{"a":{"$each":[9],"$sort":1,"$slice":3}}} -> {"a":[1,2,3],"o":[{"x":2,"y":"b"},{"x":1,"y":"a"}],"s":"x"}
            {"$push":{"a":{"$each":[9],"$sort":-1,"$slice":-2}}} -> {"a":[2,1],"o":[{"x":2,"y":"b"},{"x":1,"y":"a"}],"s":"x"}
            {"$push":{"o":{"$each":[{"x":0}],"$sort":{"x":1}}}} -> {"a":[3,1,2],"o":[{"x":0},{"x":1,"y":"a"},{"x":2,"y":"b"}],"s":"x"}
            {"$push":{"a":{"$each":[],"$slice":0}}} -> {"a":[],"o":[{"x":2,"y":"b"},{"x":1,"y":"a"}],"s":"x"}
            {"$push":{"a":{"$each":1}}} -> InvalidValue: $each needs an array, operator $push, at field a
            {"$push":{"a":{"$each":[1],"$foo":1}}} -> InvalidOperator: unknown operator, operator $foo, at field a
            {"$push":{"a":{"$each":[1],"$position":"x"}}} -> InvalidValue: $position needs a whole number, operator $push, at field a
            {"$push":{"a":{"$each":[1],"$sort":2}}} -> InvalidValue: direction must be 1 or -1, operator $push, at field a
            {"$addToSet":{"a":1}} -> unchanged
            {"$addToSet":{"a":{"$each":[1,7,7]},"new":1}} -> {"a":[3,1,2,7],"o":[{"x":2,"y":"b"},{"x":1,"y":"a"}],"s":"x","new":[1]}
            {"$pop":{"a":1,"o":-1}} -> {"a":[3,1],"o":[{"x":1,"y":"a"}],"s":"x"}
            {"$pop":{"new":1}} -> unchanged
            {"$pop":{"a":2}} -> InvalidValue: needs 1 for the last item or -1 for the first, operator $pop, at field a
            {"$pull":{"a":1}} -> {"a":[3,2],"o":[{"x":2,"y":"b"},{"x":1,"y":"a"}],"s":"x"}
            {"$pull":{"a":{"$gte":2}}} -> {"a":[1],"o":[{"x":2,"y":"b"},{"x":1,"y":"a"}],"s":"x"}
            {"$pull":{"o":{"x":1}}} -> {"a":[3,1,2],"o":[{"x":2,"y":"b"}],"s":"x"}
            {"$pull":{"o":{"y":{"$in":["a","b"]}}}} -> {"a":[3,1,2],"o":[],"s":"x"}
            {"$pull":{"a":{"$foo":1}}} -> InvalidOperator: unknown operator, operator $foo, at field a
            {"$pull":{"new":1}} -> unchanged
            {"$pull":{"s":1}} -> InvalidValue: field is not an array, operator $pull, at field s
            {"$pullAll":{"a":[1,3,9]}} -> {"a":[2],"o":[{"x":2,"y":"b"},{"x":1,"y":"a"}],"s":"x"}
            {"$pullAll":{"a":1}} -> InvalidValue: needs an array, operator $pullAll, at field a
        "#]],
    );
}

#[test]
fn replacement_keeps_the_id_and_puts_it_first() {
    check(
        r#"{"_id":1,"a":1}"#,
        r#"
        {"b":2}
        {"a":1}
        {"a":1,"_id":1}
        {"_id":2,"a":1}
        {}
        {"a":1,"$set":{"b":1}}
        {"a.b":1}
        "#,
        &expect![[r#"
            {"b":2} -> {"_id":1,"b":2}
            {"a":1} -> unchanged
            {"a":1,"_id":1} -> unchanged
            {"_id":2,"a":1} -> Immutable: _id cannot be changed, at field _id
            {} -> {"_id":1}
            {"a":1,"$set":{"b":1}} -> InvalidPath: a field name may not begin with $, at field $set
            {"a.b":1} -> {"_id":1,"a.b":1}
        "#]],
    );
}

#[test]
fn updates_that_are_none() {
    check(
        "{}",
        r#"
        {"$foo":{"a":1}}
        {"$set":1}
        {"$set":{"a":1},"b":2}
        {"$set":{"a":1},"$inc":{"a":1}}
        {"$set":{"a":1,"a.b":1}}
        {"$set":{"a.b":1},"$unset":{"a":""}}
        {"$set":{"a-b":1,"a.c":1,"a":1}}
        {"$set":{"a":1,"ab":1,"a0":1}}
        {"$rename":{"a":"b"},"$set":{"b.c":1}}
        {"$rename":{"a":"a"}}
        {"$rename":{"a":1}}
        {"$set":{"a.$b":1}}
        {"$set":{"$a":1}}
        {"$set":{"":1}}
        "#,
        &expect![[r#"
            {"$foo":{"a":1}} -> InvalidOperator: unknown operator, operator $foo
            {"$set":1} -> InvalidValue: needs a document of fields, operator $set
            {"$set":{"a":1},"b":2} -> InvalidOperator: unknown operator, operator b
            {"$set":{"a":1},"$inc":{"a":1}} -> Conflict: update of a conflicts with another change, operator $set, at field a
            {"$set":{"a":1,"a.b":1}} -> Conflict: update of a conflicts with another change, operator $set, at field a.b
            {"$set":{"a.b":1},"$unset":{"a":""}} -> Conflict: update of a conflicts with another change, operator $set, at field a.b
            {"$set":{"a-b":1,"a.c":1,"a":1}} -> Conflict: update of a conflicts with another change, operator $set, at field a.c
            {"$set":{"a":1,"ab":1,"a0":1}} -> {"a":1,"ab":1,"a0":1}
            {"$rename":{"a":"b"},"$set":{"b.c":1}} -> Conflict: update of b conflicts with another change, operator $set, at field b.c
            {"$rename":{"a":"a"}} -> Conflict: update of a conflicts with another change, operator $rename, at field a
            {"$rename":{"a":1}} -> InvalidValue: needs the new name, a string, operator $rename, at field a
            {"$set":{"a.$b":1}} -> InvalidPath: a field name may not begin with $, but for $ and $[name], operator $set, at field a.$b
            {"$set":{"$a":1}} -> InvalidPath: a path may not begin with $, operator $set, at field $a
            {"$set":{"":1}} -> InvalidPath: field path has an empty part, operator $set
        "#]],
    );
}

#[test]
fn upsert_begins_with_what_the_filter_fixes() {
    let upsert = |filter: &str, update: &str| {
        let filter = Filter::parse(&doc(filter), &Limits::default()).unwrap();
        let result = Update::parse(doc(update)).unwrap().upsert(&filter);
        result.map_or_else(
            |error| format!("{:?}: {error}\n", error.kind),
            |document| text(&document) + "\n",
        )
    };
    let results = [
        upsert(
            r#"{"_id":"x","a.b":1,"c":{"$gt":5},"$and":[{"d":2}]}"#,
            r#"{"$set":{"e":3},"$setOnInsert":{"f":4}}"#,
        ),
        upsert(r#"{"_id":"x","a":1}"#, r#"{"b":2}"#),
        upsert(r#"{"_id":"x"}"#, r#"{"_id":"y"}"#),
        upsert(r#"{"a":1}"#, r#"{"$set":{"_id":"z"}}"#),
        upsert(r#"{"_id":"x"}"#, r#"{"$set":{"_id":"z"}}"#),
        upsert(r#"{"_id":[1]}"#, r#"{"$set":{"a":1}}"#),
        upsert(r#"{"$and":[{"a":1},{"a":2}]}"#, r#"{"$set":{"b":1}}"#),
        upsert(r#"{"a":1,"a.b":2}"#, r#"{"$set":{"b":1}}"#),
        upsert(r#"{"a":1}"#, r#"{"$inc":{"a":1}}"#),
    ];
    expect![[r#"
        {"_id":"x","a":{"b":1},"d":2,"e":3,"f":4}
        {"_id":"x","b":2}
        Immutable: _id cannot be changed, at field _id
        {"a":1,"_id":"z"}
        Immutable: _id cannot be changed, at field _id
        InvalidValue: an _id may not be an array or a regular expression, at field _id
        Conflict: filter asks for two values of one field, at field a
        InvalidValue: cannot create a field at part "a": a value of another type is in the way, at field a.b
        {"a":2}
    "#]].assert_eq(&results.concat());
}

#[test]
fn touched_fields_are_known_before_anything_is_changed() {
    let fields =
        |text: &str| Update::parse(doc(text)).unwrap().fields().collect::<Vec<_>>().join(" ");
    assert_eq!(fields(r#"{"$set":{"a.b":1,"c":2},"$rename":{"d":"_openid"}}"#), "a c d _openid");
    assert_eq!(fields(r#"{"a":1,"_openid":2}"#), "a _openid");
}

#[test]
fn no_update_can_nest_or_pad_without_end() {
    let apply = |document: &str, update: &str| {
        Update::parse(doc(update))
            .and_then(|update| update.apply(&mut doc(document), None))
            .unwrap_err()
            .to_string()
    };
    let path = ["a"; 60].join(".");
    let deep = format!("{}1{}", r#"{"b":"#.repeat(60), "}".repeat(60));
    let set = apply("{}", &format!(r#"{{"$set":{{"{path}":{deep}}}}}"#));
    assert!(set.starts_with("document nests deeper than 100, operator $set"), "{set}");
    let rename =
        apply(&format!(r#"{{"x":{deep}}}"#), &format!(r#"{{"$rename":{{"x":"{path}"}}}}"#));
    assert_eq!(rename, "document nests deeper than 100, operator $rename, at field x");
    let padding = apply(r#"{"a":[],"b":[]}"#, r#"{"$set":{"a.6000":1,"b.6000":1}}"#);
    assert!(padding.ends_with("operator $set, at field b.6000"), "{padding}");
}

#[test]
fn an_update_is_bounded_in_its_changes() {
    let fields =
        |count: usize| (0..count).map(|n| format!(r#""f{n}":1"#)).collect::<Vec<_>>().join(",");
    let error = |text: &str| Update::parse(doc(text)).unwrap_err().to_string();
    assert_eq!(
        error(&format!(r#"{{"$set":{{{}}}}}"#, fields(10_001))),
        "update has over 10000 changes"
    );
    assert_eq!(
        error(&format!(r#"{{"$unset":{{{}}}}}"#, fields(1001))),
        "update removes over 1000 fields"
    );
    assert!(Update::parse(doc(&format!(r#"{{"$set":{{{}}}}}"#, fields(10_000)))).is_ok());
}

proptest! {
    #[test]
    fn setting_every_field_makes_the_other_document(before in any_document(), after in any_document()) {
        let mut document = before;
        let fields: Vec<String> = document.keys().filter(|name| !after.contains_key(name)).cloned().collect();
        let unset = fields.into_iter().map(|name| (name, bson::Bson::Null)).collect::<bson::Document>();
        let update = bson::doc! { "$unset": unset, "$set": after.clone() };
        Update::parse(update).unwrap().apply(&mut document, None).unwrap();
        let wanted = Filter::all();
        let wanted = after.iter().fold(wanted, |all, (name, value)| all.and(Filter::field_eq(name, value.clone()).unwrap()));
        prop_assert!(matches(&wanted, &document));
        prop_assert_eq!(document.len(), after.len());
    }

    #[test]
    fn applying_twice_sets_nothing_new(mut document in any_document(), change in any_document()) {
        let update = Update::parse(bson::doc! { "$set": change }).unwrap();
        update.apply(&mut document, None).unwrap();
        prop_assert!(!update.apply(&mut document, None).unwrap());
    }
}
