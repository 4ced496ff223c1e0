//! Projections: document in, document out.

use expect_test::{Expect, expect};

use super::Projection;
use crate::testing::{doc, text};

fn check(document: &str, projections: &str, expected: &Expect) {
    let lines = projections.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
        let result = match Projection::parse(&doc(line)) {
            Ok(projection) => text(&projection.apply(doc(document), Some(1))),
            Err(error) => format!("{:?}: {error}", error.kind),
        };
        format!("{line} -> {result}\n")
    });
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn inclusion_and_exclusion() {
    check(
        r#"{"_id":1,"a":1,"d":{"x":1,"y":2},"l":[{"x":1,"y":2},5,[{"x":3}]]}"#,
        r#"
        {}
        {"a":1}
        {"a":true,"_id":false}
        {"_id":1}
        {"_id":0}
        {"d.x":1,"l.x":1}
        {"l":1,"_id":0}
        {"a.x":1}
        {"z":1}
        {"a":0}
        {"d.x":0,"l.x":0,"_id":0}
        {"a":0,"_id":1}
        {"d":{"$numberInt":"1"}}
        "#,
        &expect![[r#"
            {} -> {"_id":1,"a":1,"d":{"x":1,"y":2},"l":[{"x":1,"y":2},5,[{"x":3}]]}
            {"a":1} -> {"_id":1,"a":1}
            {"a":true,"_id":false} -> {"a":1}
            {"_id":1} -> {"_id":1}
            {"_id":0} -> {"a":1,"d":{"x":1,"y":2},"l":[{"x":1,"y":2},5,[{"x":3}]]}
            {"d.x":1,"l.x":1} -> {"_id":1,"d":{"x":1},"l":[{"x":1},[{"x":3}]]}
            {"l":1,"_id":0} -> {"l":[{"x":1,"y":2},5,[{"x":3}]]}
            {"a.x":1} -> {"_id":1}
            {"z":1} -> {"_id":1}
            {"a":0} -> {"_id":1,"d":{"x":1,"y":2},"l":[{"x":1,"y":2},5,[{"x":3}]]}
            {"d.x":0,"l.x":0,"_id":0} -> {"a":1,"d":{"y":2},"l":[{"y":2},5,[{}]]}
            {"a":0,"_id":1} -> {"_id":1,"d":{"x":1,"y":2},"l":[{"x":1,"y":2},5,[{"x":3}]]}
            {"d":{"$numberInt":"1"}} -> {"_id":1,"d":{"x":1,"y":2}}
        "#]],
    );
}

#[test]
fn parts_of_arrays() {
    check(
        r#"{"_id":1,"a":[1,2,3,4,5],"d":{"l":[7,8,9],"x":1},"o":[{"x":1,"y":2},{"x":3},{"x":3,"z":1}],"s":5}"#,
        r#"
        {"a":{"$slice":2},"o":0}
        {"a":{"$slice":-2},"_id":1}
        {"a":{"$slice":[1,2]},"s":1}
        {"a":{"$slice":[-2,1]},"s":1}
        {"a":{"$slice":0},"s":1}
        {"a":{"$slice":[9,1]},"s":1}
        {"s":{"$slice":1},"_id":1}
        {"d.l":{"$slice":1},"s":1}
        {"o":{"$elemMatch":{"x":3}}}
        {"a":{"$elemMatch":{"$gt":2}},"s":1}
        {"o":{"$elemMatch":{"x":9}},"s":{"$elemMatch":{"x":1}}}
        {"a.$":1}
        {"d.l.$":1,"_id":0}
        {"s.$":1}
        "#,
        &expect![[r#"
            {"a":{"$slice":2},"o":0} -> {"_id":1,"a":[1,2],"d":{"l":[7,8,9],"x":1},"s":5}
            {"a":{"$slice":-2},"_id":1} -> {"_id":1,"a":[4,5]}
            {"a":{"$slice":[1,2]},"s":1} -> {"_id":1,"a":[2,3],"s":5}
            {"a":{"$slice":[-2,1]},"s":1} -> {"_id":1,"a":[4],"s":5}
            {"a":{"$slice":0},"s":1} -> {"_id":1,"a":[],"s":5}
            {"a":{"$slice":[9,1]},"s":1} -> {"_id":1,"a":[],"s":5}
            {"s":{"$slice":1},"_id":1} -> {"_id":1,"s":5}
            {"d.l":{"$slice":1},"s":1} -> {"_id":1,"d":{"l":[7]},"s":5}
            {"o":{"$elemMatch":{"x":3}}} -> {"_id":1,"o":[{"x":3}]}
            {"a":{"$elemMatch":{"$gt":2}},"s":1} -> {"_id":1,"a":[3],"s":5}
            {"o":{"$elemMatch":{"x":9}},"s":{"$elemMatch":{"x":1}}} -> {"_id":1}
            {"a.$":1} -> {"_id":1,"a":[2]}
            {"d.l.$":1,"_id":0} -> {"d":{"l":[8]}}
            {"s.$":1} -> {"_id":1}
        "#]],
    );
    let projection = |text: &str| Projection::parse(&doc(text)).unwrap();
    assert!(projection(r#"{"a.$":1}"#).needs_position());
    assert!(!projection(r#"{"a":1}"#).needs_position());
    let unknown = projection(r#"{"a.$":1}"#).apply(doc(r#"{"_id":1,"a":[1]}"#), None);
    assert_eq!(text(&unknown), r#"{"_id":1}"#);
}

#[test]
fn projections_that_are_none() {
    check(
        "{}",
        r#"
        {"a":1,"b":0}
        {"a":1,"a.b":1}
        {"a.b":1,"a":1}
        {"a.$.b":1}
        {"$.b":1}
        {"a.$":0}
        {"a":{"$slice":"x"}}
        {"a":{"$slice":[1,0]}}
        {"a":{"$slice":1,"b":1}}
        {"a":{"$elemMatch":1}}
        {"a.b":{"$elemMatch":{"x":1}}}
        {"a":{"$elemMatch":{"x":1}},"b":0}
        {"a":{"$elemMatch":{"$foo":1}}}
        {"a":{"$add":[1,2]}}
        {"a":"x"}
        {"a..b":1}
        "#,
        &expect![[r#"
            {"a":1,"b":0} -> InvalidValue: projection mixes inclusion and exclusion, at field b
            {"a":1,"a.b":1} -> Conflict: projection names a field and a part of it, at field a.b
            {"a.b":1,"a":1} -> Conflict: projection names a field and a part of it, at field a
            {"a.$.b":1} -> InvalidPath: only the last part of a path may be $, at field a.$.b
            {"$.b":1} -> InvalidPath: only the last part of a path may be $, at field $.b
            {"a.$":0} -> InvalidValue: a matched item cannot be left out, at field a.$
            {"a":{"$slice":"x"}} -> InvalidValue: needs a number, or an array of skip and limit, operator $slice, at field a
            {"a":{"$slice":[1,0]}} -> InvalidValue: limit must be positive, operator $slice, at field a
            {"a":{"$slice":1,"b":1}} -> InvalidOperator: unknown operator, operator b, at field a
            {"a":{"$elemMatch":1}} -> InvalidValue: needs a document, operator $elemMatch, at field a
            {"a.b":{"$elemMatch":{"x":1}}} -> InvalidValue: can only stand at a field at the top, operator $elemMatch, at field a.b
            {"a":{"$elemMatch":{"x":1}},"b":0} -> InvalidValue: projection mixes inclusion and exclusion, at field b
            {"a":{"$elemMatch":{"$foo":1}}} -> InvalidOperator: unknown operator, operator $foo, at field a
            {"a":{"$add":[1,2]}} -> InvalidOperator: unknown operator, operator $add, at field a
            {"a":"x"} -> InvalidValue: projection needs 1 or 0, at field a
            {"a..b":1} -> InvalidPath: field path has an empty part, at field a..b
        "#]],
    );
}
