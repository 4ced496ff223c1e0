//! Filters on places, on types, and which item of an array a match was about.

use expect_test::expect;

use super::tests::check;
use super::{Filter, Limits};
use crate::budget::Budget;
use crate::testing::doc;

const PLACES: &str = r#"
    {"_id":1,"at":{"type":"Point","coordinates":[116.40,39.90]}}
    {"_id":2,"at":[116.41,39.90]}
    {"_id":3,"at":{"type":"Point","coordinates":[121.47,31.23]}}
    {"_id":4,"at":[{"type":"Point","coordinates":[0,0]},{"type":"Point","coordinates":[116.40,39.90]}]}
    {"_id":5,"at":{"type":"LineString","coordinates":[[116.39,39.89],[116.41,39.91]]}}
    {"_id":6,"at":{"type":"Polygon","coordinates":[[[110,30],[120,30],[120,45],[110,45],[110,30]],[[116,39],[117,39],[117,40],[116,40],[116,39]]]}}
    {"_id":7,"at":"here"}
    {"_id":8}
    {"_id":9,"at":[200,0]}
"#;

#[test]
fn places() {
    check(
        PLACES,
        r#"
        {"at":{"$nearSphere":{"$geometry":{"type":"Point","coordinates":[116.40,39.90]},"$maxDistance":1000}}}
        {"at":{"$near":{"$geometry":{"type":"Point","coordinates":[116.40,39.90]},"$minDistance":1,"$maxDistance":2000}}}
        {"at":{"$nearSphere":{"$geometry":{"type":"Point","coordinates":[116.40,39.90]}}}}
        {"at":{"$nearSphere":[116.40,39.90],"$maxDistance":0.0001}}
        {"$and":[{"at":{"$near":[116.40,39.90]}},{"_id":{"$gt":2}}]}
        {"at":{"$geoWithin":{"$centerSphere":[[116.40,39.90],0.001]}}}
        {"at":{"$geoWithin":{"$center":[[116.40,39.90],0.005]}}}
        {"at":{"$geoWithin":{"$box":[[110,30],[120,45]]}}}
        {"at":{"$geoWithin":{"$polygon":[[110,30],[120,30],[120,45],[110,45]]}}}
        {"at":{"$geoWithin":{"$geometry":{"type":"Polygon","coordinates":[[[110,30],[120,30],[120,45],[110,45],[110,30]],[[116,39],[117,39],[117,40],[116,40],[116,39]]]}}}}
        {"at":{"$not":{"$geoWithin":{"$box":[[110,30],[120,45]]}}}}
        {"at":{"$geoIntersects":{"$geometry":{"type":"Point","coordinates":[116.40,39.90]}}}}
        {"at":{"$geoIntersects":{"$geometry":{"type":"LineString","coordinates":[[115,39.9],[116.5,39.9]]}}}}
        {"at":{"$geoIntersects":{"$geometry":{"type":"Polygon","coordinates":[[[121,31],[122,31],[122,32],[121,32],[121,31]]]}}}}
        "#,
        &expect![[r#"
            {"at":{"$nearSphere":{"$geometry":{"type":"Point","coordinates":[116.40,39.90]},"$maxDistance":1000}}} -> 1 2 4
            {"at":{"$near":{"$geometry":{"type":"Point","coordinates":[116.40,39.90]},"$minDistance":1,"$maxDistance":2000}}} -> 2
            {"at":{"$nearSphere":{"$geometry":{"type":"Point","coordinates":[116.40,39.90]}}}} -> 1 2 3 4
            {"at":{"$nearSphere":[116.40,39.90],"$maxDistance":0.0001}} -> 1 4
            {"$and":[{"at":{"$near":[116.40,39.90]}},{"_id":{"$gt":2}}]} -> 3 4
            {"at":{"$geoWithin":{"$centerSphere":[[116.40,39.90],0.001]}}} -> 1 2 4 5
            {"at":{"$geoWithin":{"$center":[[116.40,39.90],0.005]}}} -> 1 4
            {"at":{"$geoWithin":{"$box":[[110,30],[120,45]]}}} -> 1 2 4 5 6
            {"at":{"$geoWithin":{"$polygon":[[110,30],[120,30],[120,45],[110,45]]}}} -> 1 2 4 5 6
            {"at":{"$geoWithin":{"$geometry":{"type":"Polygon","coordinates":[[[110,30],[120,30],[120,45],[110,45],[110,30]],[[116,39],[117,39],[117,40],[116,40],[116,39]]]}}}} -> 6
            {"at":{"$not":{"$geoWithin":{"$box":[[110,30],[120,45]]}}}} -> 3 7 8 9
            {"at":{"$geoIntersects":{"$geometry":{"type":"Point","coordinates":[116.40,39.90]}}}} -> 1 4
            {"at":{"$geoIntersects":{"$geometry":{"type":"LineString","coordinates":[[115,39.9],[116.5,39.9]]}}}} -> 1 2 4 5 6
            {"at":{"$geoIntersects":{"$geometry":{"type":"Polygon","coordinates":[[[121,31],[122,31],[122,32],[121,32],[121,31]]]}}}} -> 3
        "#]],
    );
}

#[test]
fn places_that_are_none() {
    check(
        "",
        r#"
        {"at":{"$near":1}}
        {"at":{"$near":{"$maxDistance":1}}}
        {"at":{"$near":{"$geometry":{"type":"LineString","coordinates":[[0,0],[1,1]]}}}}
        {"at":{"$near":[0,0],"$maxDistance":-1}}
        {"at":{"$near":{"$geometry":{"type":"Point","coordinates":[0,0]},"$foo":1}}}
        {"at":{"$maxDistance":1}}
        {"a":{"$near":[0,0]},"b":{"$near":[0,0]}}
        {"$or":[{"at":{"$near":[0,0]}}]}
        {"at":{"$not":{"$near":[0,0]}}}
        {"at":{"$elemMatch":{"b":{"$near":[0,0]}}}}
        {"at":{"$geoWithin":{"$geometry":{"type":"Point","coordinates":[0,0]}}}}
        {"at":{"$geoWithin":{"$centerSphere":[[0,95],1]}}}
        {"at":{"$geoIntersects":{"$box":[[0,0],[1,1]]}}}
        {"at":{"$geoWithin":{"$geometry":{"type":"Polygon","coordinates":[[[170,0],[-170,0],[-170,10],[170,0]]]}}}}
        "#,
        &expect![[r#"
            {"at":{"$near":1}} -> InvalidValue: needs a Point or a pair of longitude and latitude, operator $near, at field at
            {"at":{"$near":{"$maxDistance":1}}} -> InvalidValue: needs a $geometry, a Point, operator $near, at field at
            {"at":{"$near":{"$geometry":{"type":"LineString","coordinates":[[0,0],[1,1]]}}}} -> InvalidValue: needs a Point or a pair of longitude and latitude, operator $near, at field at
            {"at":{"$near":[0,0],"$maxDistance":-1}} -> InvalidValue: needs a number from 0, operator $maxDistance, at field at
            {"at":{"$near":{"$geometry":{"type":"Point","coordinates":[0,0]},"$foo":1}}} -> InvalidOperator: unknown operator, operator $foo, at field at
            {"at":{"$maxDistance":1}} -> InvalidValue: stands without $near or $nearSphere, operator $maxDistance, at field at
            {"a":{"$near":[0,0]},"b":{"$near":[0,0]}} -> InvalidOperator: orders the results, so a filter has at most one, operator $near, at field b
            {"$or":[{"at":{"$near":[0,0]}}]} -> InvalidOperator: orders the results, so it may stand only at the top or in $and, operator $near, at field at
            {"at":{"$not":{"$near":[0,0]}}} -> InvalidOperator: orders the results, so it may stand only at the top or in $and, operator $near, at field at
            {"at":{"$elemMatch":{"b":{"$near":[0,0]}}}} -> InvalidOperator: orders the results, so it may stand only at the top or in $and, operator $near, at field b
            {"at":{"$geoWithin":{"$geometry":{"type":"Point","coordinates":[0,0]}}}} -> InvalidValue: needs a Polygon or a MultiPolygon, operator $geometry, at field at
            {"at":{"$geoWithin":{"$centerSphere":[[0,95],1]}}} -> InvalidValue: latitude must be from -90 to 90, operator $centerSphere, at field at
            {"at":{"$geoIntersects":{"$box":[[0,0],[1,1]]}}} -> InvalidOperator: unknown operator, operator $box, at field at
            {"at":{"$geoWithin":{"$geometry":{"type":"Polygon","coordinates":[[[170,0],[-170,0],[-170,10],[170,0]]]}}}} -> InvalidValue: an edge may not cross the 180th meridian: split the shape there, operator $geometry, at field at
        "#]],
    );
}

#[test]
fn types_and_comments() {
    check(
        r#"
        {"_id":1,"v":1}
        {"_id":2,"v":1.5}
        {"_id":3,"v":{"$numberLong":"1"}}
        {"_id":4,"v":"x"}
        {"_id":5,"v":null}
        {"_id":6}
        {"_id":7,"v":["x",[1]]}
        {"_id":8,"v":{}}
        "#,
        r#"
        {"v":{"$type":"int"}}
        {"v":{"$type":"number"}}
        {"v":{"$type":[2,"object"]}}
        {"v":{"$type":"array"}}
        {"v":{"$type":"null"}}
        {"v":{"$not":{"$type":"number"}}}
        {"v":{"$type":"text"}}
        {"v":{"$type":[]}}
        {"$comment":"why","_id":1}
        "#,
        &expect![[r#"
            {"v":{"$type":"int"}} -> 1
            {"v":{"$type":"number"}} -> 1 2 3
            {"v":{"$type":[2,"object"]}} -> 4 7 8
            {"v":{"$type":"array"}} -> 7
            {"v":{"$type":"null"}} -> 5
            {"v":{"$not":{"$type":"number"}}} -> 4 5 6 7 8
            {"v":{"$type":"text"}} -> InvalidValue: needs the name or number of a type, operator $type, at field v
            {"v":{"$type":[]}} -> InvalidValue: needs at least one type, operator $type, at field v
            {"$comment":"why","_id":1} -> 1
        "#]],
    );
}

#[test]
fn remainders_lists_and_items() {
    check(
        r#"
        {"_id":1,"v":-5}
        {"_id":2,"v":5.9}
        {"_id":3,"v":{"$numberDouble":"NaN"}}
        {"_id":4,"v":[4,8]}
        {"_id":5,"v":{"$numberDecimal":"8.5"}}
        {"_id":6,"v":"8"}
        {"_id":7,"v":[[1,2],3]}
        {"_id":8,"v":[{"l":[{"q":1},{"q":5}]},{"l":[]}]}
        {"_id":9,"v":[null,"abc"]}
        "#,
        r#"
        {"v":{"$mod":[3,-2]}}
        {"v":{"$mod":[3,2]}}
        {"v":{"$mod":[4.9,0]}}
        {"v":{"$mod":[-3,2]}}
        {"v":{"$all":[[1,2],3]}}
        {"v":{"$all":[[1,2]]}}
        {"v":{"$elemMatch":{"$in":[3,4]}}}
        {"v":{"$elemMatch":{"$elemMatch":{"$gt":1}}}}
        {"v":{"$elemMatch":{"$not":{"$type":"number"},"$ne":null}}}
        {"v.l":{"$elemMatch":{"q":{"$gt":1,"$lt":9}}}}
        {"v.l.q":{"$gt":1,"$lt":9}}
        {"v.l":{"$size":0}}
        {"v.0.l.1.q":5}
        {"v":{"$in":[null,{"$regularExpression":{"pattern":"^8","options":""}}]}}
        {"v":{"$nin":[null,{"$regularExpression":{"pattern":"^8","options":""}}]}}
        {"v":{"$not":{"$in":[{"$regularExpression":{"pattern":"b","options":""}}]}}}
        "#,
        &expect![[r#"
            {"v":{"$mod":[3,-2]}} -> 1
            {"v":{"$mod":[3,2]}} -> 2 4 5
            {"v":{"$mod":[4.9,0]}} -> 4 5
            {"v":{"$mod":[-3,2]}} -> 2 4 5
            {"v":{"$all":[[1,2],3]}} -> 7
            {"v":{"$all":[[1,2]]}} -> 7
            {"v":{"$elemMatch":{"$in":[3,4]}}} -> 4 7
            {"v":{"$elemMatch":{"$elemMatch":{"$gt":1}}}} -> 7
            {"v":{"$elemMatch":{"$not":{"$type":"number"},"$ne":null}}} -> 7 8 9
            {"v.l":{"$elemMatch":{"q":{"$gt":1,"$lt":9}}}} -> 8
            {"v.l.q":{"$gt":1,"$lt":9}} -> 8
            {"v.l":{"$size":0}} -> 8
            {"v.0.l.1.q":5} -> 8
            {"v":{"$in":[null,{"$regularExpression":{"pattern":"^8","options":""}}]}} -> 6 9
            {"v":{"$nin":[null,{"$regularExpression":{"pattern":"^8","options":""}}]}} -> 1 2 3 4 5 7 8
            {"v":{"$not":{"$in":[{"$regularExpression":{"pattern":"b","options":""}}]}}} -> 1 2 3 4 5 6 7 8
        "#]],
    );
}

#[test]
fn the_item_that_a_match_was_about() {
    let document = doc(
        r#"{"a":[1,5,9],"d":[{"x":1,"y":[1,2]},{"x":3,"y":[7]}],"n":{"l":[{"m":1},{"m":2}]},"s":5}"#,
    );
    let position = |text: &str| {
        let filter = Filter::parse(&doc(text), &Limits::default()).unwrap();
        let found = filter.position(&document, &Budget::default()).unwrap();
        format!("{text} -> {}\n", found.map_or("none".to_owned(), |position| position.to_string()))
    };
    let lines = [
        position(r#"{"a":5}"#),
        position(r#"{"a":{"$gt":1,"$lt":9}}"#),
        position(r#"{"a":{"$elemMatch":{"$gt":5}}}"#),
        position(r#"{"d.x":3}"#),
        position(r#"{"d.y":7}"#),
        position(r#"{"d":{"$elemMatch":{"x":3}}}"#),
        position(r#"{"d.y":{"$elemMatch":{"$gt":6}}}"#),
        position(r#"{"n.l.m":2}"#),
        position(r#"{"d.0.y":2}"#),
        position(r#"{"a":9,"d.x":1}"#),
        position(r#"{"d.x":1,"a":9}"#),
        position(r#"{"$or":[{"s":6},{"a":9}]}"#),
        position(r#"{"a":{"$ne":7}}"#),
        position(r#"{"s":5}"#),
        position(r#"{}"#),
    ];
    expect![[r#"
        {"a":5} -> 1
        {"a":{"$gt":1,"$lt":9}} -> 0
        {"a":{"$elemMatch":{"$gt":5}}} -> 2
        {"d.x":3} -> 1
        {"d.y":7} -> 1
        {"d":{"$elemMatch":{"x":3}}} -> 1
        {"d.y":{"$elemMatch":{"$gt":6}}} -> 1
        {"n.l.m":2} -> 1
        {"d.0.y":2} -> 1
        {"a":9,"d.x":1} -> 0
        {"d.x":1,"a":9} -> 2
        {"$or":[{"s":6},{"a":9}]} -> 2
        {"a":{"$ne":7}} -> none
        {"s":5} -> none
        {} -> none
    "#]]
    .assert_eq(&lines.concat());
}
