//! Filters: which of a list of documents match.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{Filter, Limits};
use crate::budget::Budget;
use crate::testing::{any_document, doc, matches};

/// For each filter the ids of the documents that match, or why the filter is refused.
pub(super) fn check(documents: &str, filters: &str, expected: &Expect) {
    let documents: Vec<_> =
        documents.lines().map(str::trim).filter(|line| !line.is_empty()).map(doc).collect();
    let lines = filters.lines().map(str::trim).filter(|line| !line.is_empty()).map(|text| {
        let result = match Filter::parse(&doc(text), &Limits::default()) {
            Ok(filter) => {
                let ids = documents.iter().filter(|document| matches(&filter, document));
                ids.map(|document| document.get_i32("_id").unwrap().to_string())
                    .collect::<Vec<_>>()
                    .join(" ")
            }
            Err(error) => format!("{:?}: {error}", error.kind),
        };
        format!("{text} -> {result}\n")
    });
    expected.assert_eq(&lines.collect::<String>());
}

const SCALARS: &str = r#"
    {"_id":1,"v":1}
    {"_id":2,"v":{"$numberDouble":"1.5"}}
    {"_id":3,"v":{"$numberLong":"2"}}
    {"_id":4,"v":"b"}
    {"_id":5,"v":null}
    {"_id":6}
    {"_id":7,"v":true}
    {"_id":8,"v":{"$date":1000}}
    {"_id":9,"v":{"$numberDouble":"NaN"}}
    {"_id":10,"v":{"a":1,"b":2}}
    {"_id":11,"v":{"$oid":"507f1f77bcf86cd799439011"}}
"#;

#[test]
fn comparisons_stay_within_the_type() {
    check(
        SCALARS,
        r#"
        {}
        {"v":1}
        {"v":{"$eq":{"$numberDouble":"1.0"}}}
        {"v":{"$ne":1}}
        {"v":{"$gt":1}}
        {"v":{"$gte":1,"$lt":2}}
        {"v":{"$lte":{"$numberDouble":"2.0"}}}
        {"v":{"$gte":"a"}}
        {"v":{"$lt":"b"}}
        {"v":{"$gt":false}}
        {"v":{"$gte":{"$date":1000}}}
        {"v":{"$gte":{"$oid":"000000000000000000000000"}}}
        {"v":{"$gte":{"$numberDouble":"NaN"}}}
        {"v":{"$gt":{"$minKey":1}}}
        {"v":{"$lt":{"$maxKey":1}}}
        {"v":{"$gt":{"a":1}}}
        "#,
        &expect![[r#"
            {} -> 1 2 3 4 5 6 7 8 9 10 11
            {"v":1} -> 1
            {"v":{"$eq":{"$numberDouble":"1.0"}}} -> 1
            {"v":{"$ne":1}} -> 2 3 4 5 6 7 8 9 10 11
            {"v":{"$gt":1}} -> 2 3
            {"v":{"$gte":1,"$lt":2}} -> 1 2
            {"v":{"$lte":{"$numberDouble":"2.0"}}} -> 1 2 3
            {"v":{"$gte":"a"}} -> 4
            {"v":{"$lt":"b"}} -> 
            {"v":{"$gt":false}} -> 7
            {"v":{"$gte":{"$date":1000}}} -> 8
            {"v":{"$gte":{"$oid":"000000000000000000000000"}}} -> 11
            {"v":{"$gte":{"$numberDouble":"NaN"}}} -> 9
            {"v":{"$gt":{"$minKey":1}}} -> 1 2 3 4 5 6 7 8 9 10 11
            {"v":{"$lt":{"$maxKey":1}}} -> 1 2 3 4 5 6 7 8 9 10 11
            {"v":{"$gt":{"a":1}}} -> 10
        "#]],
    );
}

#[test]
fn null_missing_and_lists() {
    check(
        SCALARS,
        r#"
        {"v":null}
        {"v":{"$ne":null}}
        {"v":{"$gte":null}}
        {"v":{"$gt":null}}
        {"v":{"$exists":true}}
        {"$jsonSchema":{"required":["v"]}}
        {"$nor":[{"$jsonSchema":{"required":["v"]}}]}
        {"$jsonSchema":{"properties":{}}}
        {"v":{"$exists":false}}
        {"v":{"$exists":0}}
        {"v":{"$in":[1,"b",null]}}
        {"v":{"$nin":[1,"b",null]}}
        {"v":{"$in":[]}}
        {"v":{"$nin":[]}}
        {"v":{"$not":{"$gt":1}}}
        {"v":{"$mod":[2,1]}}
        {"v":{"a":1,"b":2}}
        {"v":{"b":2,"a":1}}
        {"v.a":1}
        {"v.a":null}
        "#,
        &expect![[r#"
            {"v":null} -> 5 6
            {"v":{"$ne":null}} -> 1 2 3 4 7 8 9 10 11
            {"v":{"$gte":null}} -> 5 6
            {"v":{"$gt":null}} -> 
            {"v":{"$exists":true}} -> 1 2 3 4 5 7 8 9 10 11
            {"$jsonSchema":{"required":["v"]}} -> 1 2 3 4 5 7 8 9 10 11
            {"$nor":[{"$jsonSchema":{"required":["v"]}}]} -> 6
            {"$jsonSchema":{"properties":{}}} -> InvalidValue: knows required alone, operator $jsonSchema, at field properties
            {"v":{"$exists":false}} -> 6
            {"v":{"$exists":0}} -> 6
            {"v":{"$in":[1,"b",null]}} -> 1 4 5 6
            {"v":{"$nin":[1,"b",null]}} -> 2 3 7 8 9 10 11
            {"v":{"$in":[]}} -> 
            {"v":{"$nin":[]}} -> 1 2 3 4 5 6 7 8 9 10 11
            {"v":{"$not":{"$gt":1}}} -> 1 4 5 6 7 8 9 10 11
            {"v":{"$mod":[2,1]}} -> 1 2
            {"v":{"a":1,"b":2}} -> 10
            {"v":{"b":2,"a":1}} -> 
            {"v.a":1} -> 10
            {"v.a":null} -> 1 2 3 4 5 6 7 8 9 11
        "#]],
    );
}

#[test]
fn logic() {
    check(
        SCALARS,
        r#"
        {"$and":[{"v":{"$gt":1}},{"v":{"$lt":2}}]}
        {"$or":[{"v":1},{"v":"b"},{"_id":6}]}
        {"$nor":[{"v":{"$exists":true}}]}
        {"$or":[{"$and":[{"v":1},{"_id":1}]},{"$and":[{"v":1},{"_id":2}]}]}
        {"_id":{"$lt":4},"$or":[{"v":2},{"v":"b"}]}
        "#,
        &expect![[r#"
            {"$and":[{"v":{"$gt":1}},{"v":{"$lt":2}}]} -> 2
            {"$or":[{"v":1},{"v":"b"},{"_id":6}]} -> 1 4 6
            {"$nor":[{"v":{"$exists":true}}]} -> 6
            {"$or":[{"$and":[{"v":1},{"_id":1}]},{"$and":[{"v":1},{"_id":2}]}]} -> 1
            {"_id":{"$lt":4},"$or":[{"v":2},{"v":"b"}]} -> 3
        "#]],
    );
}

#[test]
fn arrays() {
    check(
        r#"
        {"_id":1,"a":[1,5,9]}
        {"_id":2,"a":[]}
        {"_id":3,"a":[[1,5],2]}
        {"_id":4,"a":5}
        {"_id":5,"a":[{"x":1,"y":2},{"x":3,"y":4}]}
        {"_id":6,"a":[null]}
        {"_id":7}
        "#,
        r#"
        {"a":5}
        {"a":[1,5]}
        {"a":[]}
        {"a":{"$gt":8}}
        {"a":{"$gt":8,"$lt":2}}
        {"a":{"$ne":5}}
        {"a":{"$not":{"$gt":4}}}
        {"a":{"$in":[2,9]}}
        {"a":{"$in":[[1,5]]}}
        {"a":null}
        {"a":{"$exists":false}}
        {"a":{"$size":2}}
        {"a":{"$size":0}}
        {"a":{"$all":[1,9]}}
        {"a":{"$all":[5]}}
        {"a":{"$all":[]}}
        {"a":{"$all":[{"$elemMatch":{"x":1}},{"$elemMatch":{"y":4}}]}}
        {"a":{"$elemMatch":{"$gt":4,"$lt":9}}}
        {"a":{"$elemMatch":{"x":1,"y":2}}}
        {"a":{"$elemMatch":{"x":1,"y":4}}}
        {"a":{"$elemMatch":{"$or":[{"x":3},{"y":9}]}}}
        {"a":{"$not":{"$elemMatch":{"x":1}}}}
        {"a":{"$elemMatch":{"0":1}}}
        {"a":{"$elemMatch":{"x":null}}}
        {"a.x":1,"a.y":4}
        {"a.x":{"$exists":false}}
        {"a.x":null}
        {"a.1":5}
        {"a.0":1}
        {"a.0.x":1}
        {"a.0.1":5}
        "#,
        &expect![[r#"
            {"a":5} -> 1 4
            {"a":[1,5]} -> 3
            {"a":[]} -> 2
            {"a":{"$gt":8}} -> 1
            {"a":{"$gt":8,"$lt":2}} -> 1
            {"a":{"$ne":5}} -> 2 3 5 6 7
            {"a":{"$not":{"$gt":4}}} -> 2 3 5 6 7
            {"a":{"$in":[2,9]}} -> 1 3
            {"a":{"$in":[[1,5]]}} -> 3
            {"a":null} -> 6 7
            {"a":{"$exists":false}} -> 7
            {"a":{"$size":2}} -> 3 5
            {"a":{"$size":0}} -> 2
            {"a":{"$all":[1,9]}} -> 1
            {"a":{"$all":[5]}} -> 1 4
            {"a":{"$all":[]}} -> 
            {"a":{"$all":[{"$elemMatch":{"x":1}},{"$elemMatch":{"y":4}}]}} -> 5
            {"a":{"$elemMatch":{"$gt":4,"$lt":9}}} -> 1
            {"a":{"$elemMatch":{"x":1,"y":2}}} -> 5
            {"a":{"$elemMatch":{"x":1,"y":4}}} -> 
            {"a":{"$elemMatch":{"$or":[{"x":3},{"y":9}]}}} -> 5
            {"a":{"$not":{"$elemMatch":{"x":1}}}} -> 1 2 3 4 6 7
            {"a":{"$elemMatch":{"0":1}}} -> 3
            {"a":{"$elemMatch":{"x":null}}} -> 3
            {"a.x":1,"a.y":4} -> 5
            {"a.x":{"$exists":false}} -> 1 2 3 4 6 7
            {"a.x":null} -> 4 7
            {"a.1":5} -> 1
            {"a.0":1} -> 1
            {"a.0.x":1} -> 5
            {"a.0.1":5} -> 3
        "#]],
    );
}

#[test]
fn patterns() {
    check(
        r#"
        {"_id":1,"s":"Apple pie"}
        {"_id":2,"s":"apple\nPIE"}
        {"_id":3,"s":["x","pineapple"]}
        {"_id":4,"s":5}
        {"_id":5,"s":"苹果"}
        {"_id":6,"s":{"$regularExpression":{"pattern":"apple","options":""}}}
        "#,
        r#"
        {"s":{"$regex":"apple"}}
        {"s":{"$regex":"^apple","$options":"i"}}
        {"s":{"$options":"i","$regex":"^apple"}}
        {"s":{"$regularExpression":{"pattern":"^apple","options":"i"}}}
        {"s":{"$regex":{"$regularExpression":{"pattern":"^APPLE","options":"i"}}}}
        {"s":{"$regex":"e.p","$options":"is"}}
        {"s":{"$regex":"^pie$","$options":"mi"}}
        {"s":{"$regex":"^苹 果 # fruit","$options":"x"}}
        {"s":{"$in":["x",{"$regularExpression":{"pattern":"^苹","options":""}}]}}
        {"s":{"$not":{"$regex":"apple"}}}
        {"s":{"$not":{"$regularExpression":{"pattern":"a","options":""}}}}
        {"s":{"$eq":{"$regularExpression":{"pattern":"apple","options":""}}}}
        "#,
        &expect![[r#"
            {"s":{"$regex":"apple"}} -> 2 3
            {"s":{"$regex":"^apple","$options":"i"}} -> 1 2
            {"s":{"$options":"i","$regex":"^apple"}} -> 1 2
            {"s":{"$regularExpression":{"pattern":"^apple","options":"i"}}} -> 1 2
            {"s":{"$regex":{"$regularExpression":{"pattern":"^APPLE","options":"i"}}}} -> 1 2
            {"s":{"$regex":"e.p","$options":"is"}} -> 1 2 3
            {"s":{"$regex":"^pie$","$options":"mi"}} -> 2
            {"s":{"$regex":"^苹 果 # fruit","$options":"x"}} -> 5
            {"s":{"$in":["x",{"$regularExpression":{"pattern":"^苹","options":""}}]}} -> 3 5
            {"s":{"$not":{"$regex":"apple"}}} -> 1 4 5 6
            {"s":{"$not":{"$regularExpression":{"pattern":"a","options":""}}}} -> 1 4 5 6
            {"s":{"$eq":{"$regularExpression":{"pattern":"apple","options":""}}}} -> 6
        "#]],
    );
}

#[test]
fn filters_that_are_none() {
    check(
        "",
        r#"
        {"$where":"1"}
        {"$expr":{"$gt":["$a",1]}}
        {"a":{"$foo":1}}
        {"a":{"$gt":1,"b":2}}
        {"a":{"$expr":{"$gt":["$a",1]}}}
        {"a":{"$elemMatch":{"$expr":1}}}
        {"a":{"$elemMatch":{"b":{"$expr":1}}}}
        {"$and":[]}
        {"$or":{"a":1}}
        {"$or":[1]}
        {"$or":[{"a.b":{"$gtt":1}}]}
        {"a":{"$in":1}}
        {"a":{"$in":[{"$gt":1}]}}
        {"a":{"$not":1}}
        {"a":{"$not":{"$foo":1}}}
        {"a":{"$ne":{"$regularExpression":{"pattern":"a","options":""}}}}
        {"a":{"$exists":"yes"}}
        {"a":{"$mod":[0,1]}}
        {"a":{"$mod":[1]}}
        {"a":{"$size":-1}}
        {"a":{"$size":1.5}}
        {"a":{"$all":1}}
        {"a":{"$all":[{"$gt":1}]}}
        {"a":{"$elemMatch":1}}
        {"a":{"$regex":1}}
        {"a":{"$regex":"a","$options":"g"}}
        {"a":{"$regex":"a","$options":1}}
        {"a":{"$options":"i"}}
        {"a":{"$regex":"(a"}}
        {"a":{"$regex":"(?=a)"}}
        {"a":{"$regex":"(a{1000}){1000}"}}
        {"a..b":1}
        "#,
        &expect![[r#"
            {"$where":"1"} -> InvalidOperator: unknown operator, operator $where
            {"$expr":{"$gt":["$a",1]}} -> 
            {"a":{"$foo":1}} -> InvalidOperator: unknown operator, operator $foo, at field a
            {"a":{"$gt":1,"b":2}} -> InvalidOperator: unknown operator, operator b, at field a
            {"a":{"$expr":{"$gt":["$a",1]}}} -> 
            {"a":{"$elemMatch":{"$expr":1}}} -> InvalidOperator: stands for the whole document: alone below a field or beside fields, not on items, operator $expr, at field a
            {"a":{"$elemMatch":{"b":{"$expr":1}}}} -> InvalidOperator: stands for the whole document: alone below a field or beside fields, not on items, operator $expr, at field b
            {"$and":[]} -> InvalidValue: needs an array with at least one filter, operator $and
            {"$or":{"a":1}} -> InvalidValue: needs an array with at least one filter, operator $or
            {"$or":[1]} -> InvalidValue: each item must be a document, operator $or
            {"$or":[{"a.b":{"$gtt":1}}]} -> InvalidOperator: unknown operator, operator $gtt, at field a.b
            {"a":{"$in":1}} -> InvalidValue: needs an array, operator $in, at field a
            {"a":{"$in":[{"$gt":1}]}} -> InvalidValue: an item may not be an operator, operator $in, at field a
            {"a":{"$not":1}} -> InvalidValue: needs an operator or a regular expression, operator $not, at field a
            {"a":{"$not":{"$foo":1}}} -> InvalidOperator: unknown operator, operator $foo, at field a
            {"a":{"$ne":{"$regularExpression":{"pattern":"a","options":""}}}} -> InvalidValue: cannot take a regular expression, use $not, operator $ne, at field a
            {"a":{"$exists":"yes"}} -> InvalidValue: needs true or false, operator $exists, at field a
            {"a":{"$mod":[0,1]}} -> InvalidValue: divisor must not be 0, operator $mod, at field a
            {"a":{"$mod":[1]}} -> InvalidValue: needs an array of two numbers, divisor and remainder, operator $mod, at field a
            {"a":{"$size":-1}} -> InvalidValue: needs a whole number from 0, operator $size, at field a
            {"a":{"$size":1.5}} -> InvalidValue: needs a whole number from 0, operator $size, at field a
            {"a":{"$all":1}} -> InvalidValue: needs an array, operator $all, at field a
            {"a":{"$all":[{"$gt":1}]}} -> InvalidValue: of all operators only $elemMatch may stand here, operator $all, at field a
            {"a":{"$elemMatch":1}} -> InvalidValue: needs a document, operator $elemMatch, at field a
            {"a":{"$regex":1}} -> InvalidValue: needs a string or a regular expression, operator $regex, at field a
            {"a":{"$regex":"a","$options":"g"}} -> InvalidValue: only i, m, s and x are known, operator $options, at field a
            {"a":{"$regex":"a","$options":1}} -> InvalidValue: needs a string, operator $options, at field a
            {"a":{"$options":"i"}} -> InvalidValue: stands without $regex, operator $options, at field a
            {"a":{"$regex":"(a"}} -> InvalidValue: invalid regular expression: unclosed group, operator $regex, at field a
            {"a":{"$regex":"(?=a)"}} -> InvalidValue: invalid regular expression: look-around, including look-ahead and look-behind, is not supported, operator $regex, at field a
            {"a":{"$regex":"(a{1000}){1000}"}} -> InvalidValue: regular expression is too big once compiled, operator $regex, at field a
            {"a..b":1} -> InvalidPath: field path has an empty part, at field a..b
        "#]],
    );
}

#[test]
fn bounds_are_kept() {
    let error = |text: &str| Filter::parse(&doc(text), &Limits::default()).unwrap_err().to_string();
    let deep = format!("{}{{}}{}", r#"{"$or":["#.repeat(40), "]}".repeat(40));
    assert!(Filter::parse(&doc(&deep), &Limits::default()).is_ok());
    let shallow = Limits { depth_max: 10, ..Limits::default() };
    let refused = Filter::parse(&doc(&deep), &shallow).unwrap_err();
    assert_eq!(refused.to_string(), "filter nests deeper than 10, operator $or");
    let many = vec!["1"; 10_001].join(",");
    assert_eq!(
        error(&format!(r#"{{"a":{{"$in":[{many}]}}}}"#)),
        "filter lists over 10000 values, operator $in, at field a"
    );
    let conditions = vec!["{}"; 501].join(",");
    assert_eq!(
        error(&format!(r#"{{"a":{{"$all":[{conditions}]}},"b":{{"$all":[{conditions}]}}}}"#)),
        "filter has over 1000 conditions, operator $all, at field b"
    );
    assert_eq!(
        error(r#"{"0.0.0.0.0":{"$elemMatch":{"0.0.0":1,"0.0.1.0":1}}}"#),
        "nested field paths have over 8 positions, operator $elemMatch, at field 0.0.1.0"
    );
    let long = "x".repeat(1025);
    let long = error(&format!(r#"{{"a":{{"$regex":"{long}"}}}}"#));
    assert_eq!(long, "regular expression is over 1024 bytes long, operator $regex, at field a");
    let patterns = vec![r#"{"a":{"$regex":"x"}}"#; 17].join(",");
    let patterns = error(&format!(r#"{{"$and":[{patterns}]}}"#));
    assert_eq!(patterns, "filter has over 16 regular expressions, operator $regex, at field a");
}

#[test]
fn long_texts_take_steps() {
    let filter = Filter::parse(&doc(r#"{"a":{"$regex":"x"}}"#), &Limits::default()).unwrap();
    let document = doc(&format!(r#"{{"a":["{}","y"]}}"#, "y".repeat(6400)));
    let budget = Budget::new(110, 0);
    assert_eq!(filter.matches(&document, &budget), Ok(false));
    assert_eq!(budget.steps(), 102);
    let refused = filter.matches(&document, &budget).unwrap_err();
    assert_eq!(refused.to_string(), "this call would take more than 110 steps");
}

#[test]
fn both_filters_must_hold() {
    let own = Filter::field_eq("_openid", "me").unwrap();
    let asked =
        Filter::parse(&doc(r#"{"$or":[{"_openid":"you"},{"v":1}]}"#), &Limits::default()).unwrap();
    let both = asked.and(own);
    assert!(matches(&both, &doc(r#"{"_openid":"me","v":1}"#)));
    assert!(!matches(&both, &doc(r#"{"_openid":"you","v":1}"#)));
    assert!(Filter::all().is_all() && matches(&Filter::all(), &doc("{}")));
    let listed = Filter::field_in("a.b", vec![1.into(), 2.into()]).unwrap();
    assert!(matches(&listed, &doc(r#"{"a":{"b":2}}"#)));
}

fn check_constraint(path: &str, multikey: bool, filters: &str, expected: &Expect) {
    let lines = filters.lines().map(str::trim).filter(|line| !line.is_empty()).map(|text| {
        let filter = Filter::parse(&doc(text), &Limits::default()).unwrap();
        format!(
            "{text} -> {}\n",
            filter.constraint(path, multikey).map_or("none".to_owned(), |found| show(&found))
        )
    });
    expected.assert_eq(&lines.collect::<String>());
}

fn show(constraint: &super::Constraint) -> String {
    use std::ops::Bound;

    use super::Constraint;
    use crate::testing::value_text;
    match constraint {
        Constraint::Points(values) => {
            values.iter().map(value_text).collect::<Vec<_>>().join(" or ")
        }
        Constraint::Range { lower, upper } => {
            let lower = match lower {
                Bound::Included(value) => format!("[{}", value_text(value)),
                Bound::Excluded(value) => format!("({}", value_text(value)),
                Bound::Unbounded => "(".to_owned(),
            };
            let upper = match upper {
                Bound::Included(value) => format!("{}]", value_text(value)),
                Bound::Excluded(value) => format!("{})", value_text(value)),
                Bound::Unbounded => ")".to_owned(),
            };
            format!("{lower} .. {upper}")
        }
    }
}

const CONSTRAINTS: &str = r#"
    {"a":1}
    {"a":null}
    {"a":[1]}
    {"a":{"$in":[2,1,2]}}
    {"a":{"$in":[]}}
    {"a":{"$in":[[1]]}}
    {"a":{"$gt":1,"$lt":5}}
    {"$and":[{"a":{"$gte":1}},{"a":{"$gt":1}},{"a":{"$lte":{"$date":5}}}]}
    {"a":{"$gt":1,"$in":[5,6]}}
    {"a":{"$lte":"b"}}
    {"a":{"$gt":"b"}}
    {"a":{"$gte":true}}
    {"a":{"$gt":{"x":1}}}
    {"a":{"$regex":"^ab"}}
    {"a":{"$regex":"^ab?"}}
    {"a":{"$regex":"^a|b"}}
    {"a":{"$regex":"^ab","$options":"i"}}
    {"a":{"$regex":"ab"}}
    {"a":{"$regex":"^\ud7ff"}}
    {"a":{"$ne":1}}
    {"a":{"$not":{"$gt":1}}}
    {"a":{"$exists":true}}
    {"a":{"$all":[1,2]}}
    {"a":{"$elemMatch":{"$gt":1,"$lt":5}}}
    {"a":{"$elemMatch":{"x":1}}}
    {"$or":[{"a":1},{"a":2}]}
    {"b":1}
"#;

#[test]
fn constraints_of_single_values_intersect() {
    check_constraint(
        "a",
        false,
        CONSTRAINTS,
        &expect![[r#"
        {"a":1} -> 1
        {"a":null} -> null
        {"a":[1]} -> none
        {"a":{"$in":[2,1,2]}} -> 1 or 2
        {"a":{"$in":[]}} -> 
        {"a":{"$in":[[1]]}} -> none
        {"a":{"$gt":1,"$lt":5}} -> (1 .. 5)
        {"$and":[{"a":{"$gte":1}},{"a":{"$gt":1}},{"a":{"$lte":{"$date":5}}}]} -> [{"$date":{"$numberLong":"-9223372036854775808"}} .. {"$numberDouble":"Infinity"}]
        {"a":{"$gt":1,"$in":[5,6]}} -> 5 or 6
        {"a":{"$lte":"b"}} -> ["" .. "b"]
        {"a":{"$gt":"b"}} -> ("b" .. {})
        {"a":{"$gte":true}} -> [true .. true]
        {"a":{"$gt":{"x":1}}} -> none
        {"a":{"$regex":"^ab"}} -> ["ab" .. "ac")
        {"a":{"$regex":"^ab?"}} -> ["a" .. "b")
        {"a":{"$regex":"^a|b"}} -> none
        {"a":{"$regex":"^ab","$options":"i"}} -> none
        {"a":{"$regex":"ab"}} -> none
        {"a":{"$regex":"^\ud7ff"}} -> ["퟿" .. "")
        {"a":{"$ne":1}} -> none
        {"a":{"$not":{"$gt":1}}} -> none
        {"a":{"$exists":true}} -> none
        {"a":{"$all":[1,2]}} -> 1
        {"a":{"$elemMatch":{"$gt":1,"$lt":5}}} -> (1 .. 5)
        {"a":{"$elemMatch":{"x":1}}} -> none
        {"$or":[{"a":1},{"a":2}]} -> none
        {"b":1} -> none
    "#]],
    );
}

#[test]
fn constraints_of_several_values_do_not_intersect() {
    check_constraint(
        "a",
        true,
        CONSTRAINTS,
        &expect![[r#"
        {"a":1} -> 1
        {"a":null} -> null
        {"a":[1]} -> none
        {"a":{"$in":[2,1,2]}} -> 1 or 2
        {"a":{"$in":[]}} -> 
        {"a":{"$in":[[1]]}} -> none
        {"a":{"$gt":1,"$lt":5}} -> (1 .. {"$numberDouble":"Infinity"}]
        {"$and":[{"a":{"$gte":1}},{"a":{"$gt":1}},{"a":{"$lte":{"$date":5}}}]} -> [1 .. {"$numberDouble":"Infinity"}]
        {"a":{"$gt":1,"$in":[5,6]}} -> 5 or 6
        {"a":{"$lte":"b"}} -> ["" .. "b"]
        {"a":{"$gt":"b"}} -> ("b" .. {})
        {"a":{"$gte":true}} -> [true .. true]
        {"a":{"$gt":{"x":1}}} -> none
        {"a":{"$regex":"^ab"}} -> ["ab" .. "ac")
        {"a":{"$regex":"^ab?"}} -> ["a" .. "b")
        {"a":{"$regex":"^a|b"}} -> none
        {"a":{"$regex":"^ab","$options":"i"}} -> none
        {"a":{"$regex":"ab"}} -> none
        {"a":{"$regex":"^\ud7ff"}} -> ["퟿" .. "")
        {"a":{"$ne":1}} -> none
        {"a":{"$not":{"$gt":1}}} -> none
        {"a":{"$exists":true}} -> none
        {"a":{"$all":[1,2]}} -> 1
        {"a":{"$elemMatch":{"$gt":1,"$lt":5}}} -> (1 .. 5)
        {"a":{"$elemMatch":{"x":1}}} -> none
        {"$or":[{"a":1},{"a":2}]} -> none
        {"b":1} -> none
    "#]],
    );
}

proptest! {
    #[test]
    fn a_document_matches_itself_as_a_filter(document in any_document()) {
        let by_fields = document.iter().map(|(name, value)| Filter::field_eq(name, value.clone()).unwrap());
        prop_assert!(matches(&by_fields.fold(Filter::all(), Filter::and), &document));
    }

    #[test]
    fn parsing_any_document_never_panics(filter in any_document(), document in any_document()) {
        if let Ok(filter) = Filter::parse(&filter, &Limits::default()) {
            matches(&filter, &document);
        }
    }
}
