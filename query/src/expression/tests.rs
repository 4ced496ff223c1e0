//! Expressions: document in, value out.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{Expression, Limits, Scope, Variables};
use crate::budget::Budget;
use crate::testing::{NOW_MS, any_document, any_value, doc, value, value_text};

/// What each expression makes of `document`, or why it is refused.
fn check(document: &str, expressions: &str, expected: &Expect) {
    let document = doc(document);
    let lines = expressions.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
        let budget = Budget::new(1_000_000, 4 << 20);
        let mut variables = Variables::default();
        variables.set("outer", Some(value(r#"{"x":7}"#)));
        variables.set("none", None);
        let scope = Scope::new(&document, NOW_MS, &budget).with(&variables);
        let parsed = Expression::parse(&value(line), &Limits::default());
        let result = match parsed.and_then(|expression| expression.evaluate(&scope)) {
            Ok(Some(value)) => value_text(&value),
            Ok(None) => "missing".to_owned(),
            Err(error) => format!("{:?}: {error}", error.kind),
        };
        budget.keep(4 << 20).unwrap();
        format!("{line} -> {result}\n")
    });
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn paths_variables_and_constants() {
    check(
        r#"{"a":{"b":1},"l":[{"x":1},{"y":2},5,[{"x":9}],{"x":{"z":3}}],"n":null}"#,
        r#"
        "$a.b"
        "$l.x"
        "$l.x.z"
        "$l.0"
        "$n"
        "$n.x"
        "$zz"
        "$$ROOT.a"
        "$$CURRENT.a.b"
        "$$NOW"
        "$$NOW.x"
        "$$REMOVE"
        "$$outer.x"
        "$$none"
        "$$unset"
        "$$UNKNOWN"
        "$$a-b"
        "$"
        "$a."
        "$a.$b"
        "text"
        {"$literal":"$a"}
        {"x":"$a.b","y":{"z":"$zz","k":[1,"$zz"]}}
        [1,"$a.b","$zz"]
        {"a.b":1}
        {"a":1,"$add":[1]}
        {"$add":[1],"a":1}
        {"$unknown":1}
        {"$meta":"textScore"}
        "#,
        &expect![[r#"
            "$a.b" -> 1
            "$l.x" -> [1,{"z":3}]
            "$l.x.z" -> [3]
            "$l.0" -> []
            "$n" -> null
            "$n.x" -> missing
            "$zz" -> missing
            "$$ROOT.a" -> {"b":1}
            "$$CURRENT.a.b" -> 1
            "$$NOW" -> {"$date":"2023-11-14T22:13:20Z"}
            "$$NOW.x" -> missing
            "$$REMOVE" -> missing
            "$$outer.x" -> 7
            "$$none" -> missing
            "$$unset" -> InvalidValue: variable is not set, at field $$unset
            "$$UNKNOWN" -> InvalidValue: unknown variable, at field $$UNKNOWN
            "$$a-b" -> InvalidValue: unknown variable, at field $$a-b
            "$" -> InvalidPath: field path has an empty part, at field $
            "$a." -> InvalidPath: field path has an empty part, at field $a.
            "$a.$b" -> InvalidPath: a field name may not begin with $ or contain NUL, at field $a.$b
            "text" -> "text"
            {"$literal":"$a"} -> "$a"
            {"x":"$a.b","y":{"z":"$zz","k":[1,"$zz"]}} -> {"x":1,"y":{"k":[1,null]}}
            [1,"$a.b","$zz"] -> [1,1,null]
            {"a.b":1} -> InvalidPath: a field name may not be empty or contain a dot, at field a.b
            {"a":1,"$add":[1]} -> InvalidOperator: unknown operator, operator $add
            {"$add":[1],"a":1} -> InvalidOperator: an expression has one operator and nothing beside it, operator $add
            {"$unknown":1} -> InvalidOperator: unknown operator, operator $unknown
            {"$meta":"textScore"} -> InvalidOperator: unknown operator, operator $meta
        "#]],
    );
}

#[test]
fn arithmetic() {
    check(
        r#"{"i":7,"l":{"$numberLong":"9223372036854775807"},"d":1.5,"s":"x","n":null,"t":{"$date":1000}}"#,
        r#"
        {"$add":["$i",1]}
        {"$add":[]}
        {"$add":"$i"}
        {"$add":[2147483647,1]}
        {"$add":["$l",1]}
        {"$add":["$d","$i"]}
        {"$add":["$i","$n"]}
        {"$add":["$i","$zz"]}
        {"$add":["$i","$s"]}
        {"$add":["$t",5,1.6]}
        {"$add":["$t","$t"]}
        {"$subtract":["$i",10]}
        {"$subtract":["$t",1]}
        {"$subtract":["$t",{"$date":400}]}
        {"$subtract":[1]}
        {"$multiply":["$i",2,0.5]}
        {"$multiply":[65536,65536]}
        {"$multiply":["$l",2]}
        {"$divide":["$i",2]}
        {"$divide":[6,3]}
        {"$divide":["$i",0]}
        {"$mod":["$i",4]}
        {"$mod":[-7,4]}
        {"$mod":[7.5,2]}
        {"$mod":[7,0]}
        {"$pow":[2,10]}
        {"$pow":[2,-1]}
        {"$pow":[2,100]}
        {"$pow":[0,-1]}
        [{"$abs":-5},{"$abs":-2147483648},{"$abs":-0.5},{"$abs":null}]
        {"$abs":{"$numberLong":"-9223372036854775808"}}
        [{"$ceil":1.2},{"$floor":-1.2},{"$ceil":5},{"$floor":"$zz"}]
        [{"$round":2.5},{"$round":3.5},{"$round":[1.25,1]},{"$round":[1255,-1]},{"$round":[12345.6,-2]},{"$round":-0.4}]
        [{"$trunc":2.9},{"$trunc":[-2.987,2]},{"$trunc":[1299,-2]},{"$trunc":7}]
        {"$round":[1,101]}
        [{"$sqrt":9},{"$exp":0},{"$ln":1},{"$log10":1000},{"$log":[8,2]}]
        {"$sqrt":-1}
        {"$ln":0}
        {"$log":[8,1]}
        [{"$sum":["$i","$d","$s"]},{"$sum":[[1,2]]},{"$sum":{"$literal":[1,2,"x"]}},{"$avg":[1,2]},{"$avg":["x"]}]
        [{"$min":[3,"$n",1]},{"$max":{"$literal":[1,9,3]}},{"$max":"$n"},{"$stdDevPop":[2,4]},{"$stdDevSamp":[2,4]},{"$stdDevSamp":[2]}]
        "#,
        &expect![[r#"
            {"$add":["$i",1]} -> 8
            {"$add":[]} -> 0
            {"$add":"$i"} -> 7
            {"$add":[2147483647,1]} -> 2147483648
            {"$add":["$l",1]} -> 9.223372036854776e18
            {"$add":["$d","$i"]} -> 8.5
            {"$add":["$i","$n"]} -> null
            {"$add":["$i","$zz"]} -> null
            {"$add":["$i","$s"]} -> InvalidValue: argument 2 must be a number or a date, not string, operator $add
            {"$add":["$t",5,1.6]} -> {"$date":"1970-01-01T00:00:01.007Z"}
            {"$add":["$t","$t"]} -> InvalidValue: takes only one date, operator $add
            {"$subtract":["$i",10]} -> -3
            {"$subtract":["$t",1]} -> {"$date":"1970-01-01T00:00:00.999Z"}
            {"$subtract":["$t",{"$date":400}]} -> 600
            {"$subtract":[1]} -> InvalidValue: takes 2 arguments, not 1, operator $subtract
            {"$multiply":["$i",2,0.5]} -> 7.0
            {"$multiply":[65536,65536]} -> 4294967296
            {"$multiply":["$l",2]} -> 1.8446744073709552e19
            {"$divide":["$i",2]} -> 3.5
            {"$divide":[6,3]} -> 2.0
            {"$divide":["$i",0]} -> InvalidValue: cannot divide by zero, operator $divide
            {"$mod":["$i",4]} -> 3
            {"$mod":[-7,4]} -> -3
            {"$mod":[7.5,2]} -> 1.5
            {"$mod":[7,0]} -> InvalidValue: cannot divide by zero, operator $mod
            {"$pow":[2,10]} -> 1024
            {"$pow":[2,-1]} -> 0.5
            {"$pow":[2,100]} -> 1.2676506002282294e30
            {"$pow":[0,-1]} -> InvalidValue: cannot raise zero to a negative power, operator $pow
            [{"$abs":-5},{"$abs":-2147483648},{"$abs":-0.5},{"$abs":null}] -> [5,2147483648,0.5,null]
            {"$abs":{"$numberLong":"-9223372036854775808"}} -> InvalidValue: result is out of range, operator $abs
            [{"$ceil":1.2},{"$floor":-1.2},{"$ceil":5},{"$floor":"$zz"}] -> [2.0,-2.0,5,null]
            [{"$round":2.5},{"$round":3.5},{"$round":[1.25,1]},{"$round":[1255,-1]},{"$round":[12345.6,-2]},{"$round":-0.4}] -> [2.0,4.0,1.2,1260,12300.0,-0.0]
            [{"$trunc":2.9},{"$trunc":[-2.987,2]},{"$trunc":[1299,-2]},{"$trunc":7}] -> [2.0,-2.98,1200,7]
            {"$round":[1,101]} -> InvalidValue: place must be from -20 to 100, operator $round
            [{"$sqrt":9},{"$exp":0},{"$ln":1},{"$log10":1000},{"$log":[8,2]}] -> [3.0,1.0,0.0,3.0,3.0]
            {"$sqrt":-1} -> InvalidValue: argument must not be negative, operator $sqrt
            {"$ln":0} -> InvalidValue: argument must be positive, operator $ln
            {"$log":[8,1]} -> InvalidValue: base must be positive and not 1, operator $log
            [{"$sum":["$i","$d","$s"]},{"$sum":[[1,2]]},{"$sum":{"$literal":[1,2,"x"]}},{"$avg":[1,2]},{"$avg":["x"]}] -> [8.5,3,3,1.5,null]
            [{"$min":[3,"$n",1]},{"$max":{"$literal":[1,9,3]}},{"$max":"$n"},{"$stdDevPop":[2,4]},{"$stdDevSamp":[2,4]},{"$stdDevSamp":[2]}] -> [1,9,null,1.0,1.4142135623730951,null]
        "#]],
    );
}

#[test]
fn comparison_and_conditions() {
    check(
        r#"{"a":1,"b":2,"n":null,"s":"x"}"#,
        r#"
        [{"$cmp":["$a","$b"]},{"$cmp":["$b","$a"]},{"$cmp":["$a",1.0]}]
        [{"$eq":["$zz",null]},{"$eq":["$zz","$yy"]},{"$lt":["$zz",null]},{"$gt":["$s","$a"]}]
        [{"$gte":["$a",1]},{"$lte":["$a",0]},{"$ne":["$a",1]},{"$gt":["$b","$a"]}]
        [{"$and":[]},{"$or":[]},{"$and":[1,"$s"]},{"$and":[1,0]},{"$or":[0,null,"$zz"]},{"$not":["$zz"]},{"$not":"$a"}]
        {"$and":[false,{"$divide":[1,0]}]}
        {"$cond":["$a","yes","no"]}
        {"$cond":{"if":{"$gt":["$a",5]},"then":{"$divide":[1,0]},"else":"no"}}
        {"$cond":["$a","yes"]}
        {"$cond":{"if":1,"then":2}}
        {"$cond":{"if":1,"then":2,"else":3,"other":4}}
        {"$ifNull":["$zz","$n","d"]}
        {"$ifNull":["$zz"]}
        {"$switch":{"branches":[{"case":{"$eq":["$a",2]},"then":"two"},{"case":true,"then":"other"}]}}
        {"$switch":{"branches":[{"case":false,"then":1}],"default":"d"}}
        {"$switch":{"branches":[{"case":false,"then":1}]}}
        {"$switch":{"branches":[]}}
        {"$let":{"vars":{"x":5,"y":"$b"},"in":{"$add":["$$x","$$y"]}}}
        {"$let":{"vars":{"x":1},"in":{"$let":{"vars":{"x":2,"y":"$$x"},"in":["$$x","$$y"]}}}}
        {"$let":{"vars":{"X":1},"in":1}}
        {"$let":{"vars":{"x":1}}}
        "#,
        &expect![[r#"
            [{"$cmp":["$a","$b"]},{"$cmp":["$b","$a"]},{"$cmp":["$a",1.0]}] -> [-1,1,0]
            [{"$eq":["$zz",null]},{"$eq":["$zz","$yy"]},{"$lt":["$zz",null]},{"$gt":["$s","$a"]}] -> [false,true,true,true]
            [{"$gte":["$a",1]},{"$lte":["$a",0]},{"$ne":["$a",1]},{"$gt":["$b","$a"]}] -> [true,false,false,true]
            [{"$and":[]},{"$or":[]},{"$and":[1,"$s"]},{"$and":[1,0]},{"$or":[0,null,"$zz"]},{"$not":["$zz"]},{"$not":"$a"}] -> [true,false,true,false,false,true,false]
            {"$and":[false,{"$divide":[1,0]}]} -> false
            {"$cond":["$a","yes","no"]} -> "yes"
            {"$cond":{"if":{"$gt":["$a",5]},"then":{"$divide":[1,0]},"else":"no"}} -> "no"
            {"$cond":["$a","yes"]} -> InvalidValue: takes 3 arguments, not 2, operator $cond
            {"$cond":{"if":1,"then":2}} -> InvalidValue: lacks the argument "else", operator $cond
            {"$cond":{"if":1,"then":2,"else":3,"other":4}} -> InvalidValue: has no argument "other", operator $cond
            {"$ifNull":["$zz","$n","d"]} -> "d"
            {"$ifNull":["$zz"]} -> InvalidValue: takes at least 2 arguments, not 1, operator $ifNull
            {"$switch":{"branches":[{"case":{"$eq":["$a",2]},"then":"two"},{"case":true,"then":"other"}]}} -> "other"
            {"$switch":{"branches":[{"case":false,"then":1}],"default":"d"}} -> "d"
            {"$switch":{"branches":[{"case":false,"then":1}]}} -> InvalidValue: no branch holds and there is no default, operator $switch
            {"$switch":{"branches":[]}} -> InvalidValue: needs an array of branches, operator $switch
            {"$let":{"vars":{"x":5,"y":"$b"},"in":{"$add":["$$x","$$y"]}}} -> 7
            {"$let":{"vars":{"x":1},"in":{"$let":{"vars":{"x":2,"y":"$$x"},"in":["$$x","$$y"]}}}} -> [2,1]
            {"$let":{"vars":{"X":1},"in":1}} -> InvalidValue: a variable may not be called "X", operator $let
            {"$let":{"vars":{"x":1}}} -> InvalidValue: lacks the argument "in", operator $let
        "#]],
    );
}

#[test]
fn arrays_and_documents() {
    check(
        r#"{"l":[3,1,2],"o":[{"k":"a","v":1},{"k":"b","v":2}],"d":{"x":1,"y":[2]},"n":null,"e":[]}"#,
        r#"
        [{"$arrayElemAt":["$l",0]},{"$arrayElemAt":["$l",-1]},{"$arrayElemAt":["$l",9]},{"$arrayElemAt":["$n",0]}]
        {"$arrayElemAt":["$l",9]}
        {"$arrayElemAt":[5,0]}
        [{"$first":"$l"},{"$last":"$l"},{"$size":"$l"},{"$isArray":"$l"},{"$isArray":["$d"]}]
        {"$first":"$e"}
        {"$size":"$n"}
        {"$concatArrays":["$l",[9]]}
        {"$concatArrays":["$l","$n"]}
        {"$concatArrays":["$l",1]}
        [{"$in":[1,"$l"]},{"$in":["x","$l"]}]
        {"$in":[1,1]}
        [{"$indexOfArray":["$l",2]},{"$indexOfArray":["$l",3,1]},{"$indexOfArray":["$l",2,0,2]},{"$indexOfArray":["$n",1]}]
        {"$range":[0,10,3]}
        {"$range":[3,0,-1]}
        {"$range":[0,3,0]}
        {"$range":[0,2000000000]}
        {"$reverseArray":"$l"}
        [{"$slice":["$l",2]},{"$slice":["$l",-2]},{"$slice":["$l",1,5]},{"$slice":["$l",-2,1]},{"$slice":["$l",9,1]}]
        {"$slice":["$l",1,0]}
        {"$zip":{"inputs":["$l",["a","b"]]}}
        {"$zip":{"inputs":["$l",["a"]],"useLongestLength":true,"defaults":[0,"z"]}}
        {"$zip":{"inputs":["$l",["a"]],"defaults":[0,"z"]}}
        {"$map":{"input":"$l","as":"i","in":{"$multiply":["$$i",10]}}}
        {"$map":{"input":"$l","in":"$$this"}}
        {"$map":{"input":"$n","in":"$$this"}}
        {"$map":{"input":"$d","in":"$$this"}}
        {"$map":{"input":"$l"}}
        {"$filter":{"input":"$l","as":"i","cond":{"$gt":["$$i",1]}}}
        {"$filter":{"input":"$l","cond":true,"limit":2}}
        {"$reduce":{"input":"$l","initialValue":0,"in":{"$add":["$$value","$$this"]}}}
        {"$reduce":{"input":"$l","initialValue":[],"in":{"$concatArrays":[["$$this"],"$$value"]}}}
        {"$reduce":{"input":{"$range":[0,1000]},"initialValue":"x","in":{"$concat":["$$value","$$value"]}}}
        {"$reduce":{"input":{"$range":[0,1000]},"initialValue":0,"in":["$$value"]}}
        {"$map":{"input":{"$range":[0,3000]},"in":{"$map":{"input":{"$range":[0,3000]},"in":1}}}}
        {"$objectToArray":"$d"}
        {"$arrayToObject":"$o"}
        {"$arrayToObject":[[["a",1],["b",2],["a",3]]]}
        {"$arrayToObject":[[1]]}
        {"$mergeObjects":["$d",{"x":2,"z":3},null]}
        {"$mergeObjects":"$o"}
        {"$mergeObjects":["$l"]}
        [{"$allElementsTrue":["$l"]},{"$anyElementTrue":["$e"]},{"$allElementsTrue":[[1,0]]}]
        [{"$setUnion":["$l",[2,9,2.0]]},{"$setIntersection":["$l",[2,3,7]]},{"$setDifference":["$l",[1]]}]
        [{"$setEquals":["$l",[1,2,3,3]]},{"$setIsSubset":[[1],"$l"]},{"$setIsSubset":["$l",[1]]}]
        {"$setUnion":["$l","$n"]}
        "#,
        &expect![[r#"
            [{"$arrayElemAt":["$l",0]},{"$arrayElemAt":["$l",-1]},{"$arrayElemAt":["$l",9]},{"$arrayElemAt":["$n",0]}] -> [3,2,null,null]
            {"$arrayElemAt":["$l",9]} -> missing
            {"$arrayElemAt":[5,0]} -> InvalidValue: argument 1 must be an array, not int, operator $arrayElemAt
            [{"$first":"$l"},{"$last":"$l"},{"$size":"$l"},{"$isArray":"$l"},{"$isArray":["$d"]}] -> [3,2,3,true,false]
            {"$first":"$e"} -> missing
            {"$size":"$n"} -> InvalidValue: argument 1 must be an array, not null, operator $size
            {"$concatArrays":["$l",[9]]} -> [3,1,2,9]
            {"$concatArrays":["$l","$n"]} -> null
            {"$concatArrays":["$l",1]} -> InvalidValue: argument 2 must be an array, not int, operator $concatArrays
            [{"$in":[1,"$l"]},{"$in":["x","$l"]}] -> [true,false]
            {"$in":[1,1]} -> InvalidValue: argument 2 must be an array, not int, operator $in
            [{"$indexOfArray":["$l",2]},{"$indexOfArray":["$l",3,1]},{"$indexOfArray":["$l",2,0,2]},{"$indexOfArray":["$n",1]}] -> [2,-1,-1,null]
            {"$range":[0,10,3]} -> [0,3,6,9]
            {"$range":[3,0,-1]} -> [3,2,1]
            {"$range":[0,3,0]} -> InvalidValue: step must not be 0, operator $range
            {"$range":[0,2000000000]} -> TooLarge: makes over 1000000 items, operator $range
            {"$reverseArray":"$l"} -> [2,1,3]
            [{"$slice":["$l",2]},{"$slice":["$l",-2]},{"$slice":["$l",1,5]},{"$slice":["$l",-2,1]},{"$slice":["$l",9,1]}] -> [[3,1],[1,2],[1,2],[1],[]]
            {"$slice":["$l",1,0]} -> InvalidValue: argument 3 must be positive, not int, operator $slice
            {"$zip":{"inputs":["$l",["a","b"]]}} -> [[3,"a"],[1,"b"]]
            {"$zip":{"inputs":["$l",["a"]],"useLongestLength":true,"defaults":[0,"z"]}} -> [[3,"a"],[1,"z"],[2,"z"]]
            {"$zip":{"inputs":["$l",["a"]],"defaults":[0,"z"]}} -> InvalidValue: defaults must be as many as inputs, and useLongestLength true, operator $zip
            {"$map":{"input":"$l","as":"i","in":{"$multiply":["$$i",10]}}} -> [30,10,20]
            {"$map":{"input":"$l","in":"$$this"}} -> [3,1,2]
            {"$map":{"input":"$n","in":"$$this"}} -> null
            {"$map":{"input":"$d","in":"$$this"}} -> InvalidValue: input must be an array, not object, operator $map
            {"$map":{"input":"$l"}} -> InvalidValue: lacks the argument "in", operator $map
            {"$filter":{"input":"$l","as":"i","cond":{"$gt":["$$i",1]}}} -> [3,2]
            {"$filter":{"input":"$l","cond":true,"limit":2}} -> [3,1]
            {"$reduce":{"input":"$l","initialValue":0,"in":{"$add":["$$value","$$this"]}}} -> 6
            {"$reduce":{"input":"$l","initialValue":[],"in":{"$concatArrays":[["$$this"],"$$value"]}}} -> [2,1,3]
            {"$reduce":{"input":{"$range":[0,1000]},"initialValue":"x","in":{"$concat":["$$value","$$value"]}}} -> TooLarge: this call would keep more than 4 MiB at once, operator $concat
            {"$reduce":{"input":{"$range":[0,1000]},"initialValue":0,"in":["$$value"]}} -> TooDeep: value nests deeper than 200
            {"$map":{"input":{"$range":[0,3000]},"in":{"$map":{"input":{"$range":[0,3000]},"in":1}}}} -> TooLarge: this call would keep more than 4 MiB at once
            {"$objectToArray":"$d"} -> [{"k":"x","v":1},{"k":"y","v":[2]}]
            {"$arrayToObject":"$o"} -> {"a":1,"b":2}
            {"$arrayToObject":[[["a",1],["b",2],["a",3]]]} -> {"a":3,"b":2}
            {"$arrayToObject":[[1]]} -> InvalidValue: items must be pairs of name and value, operator $arrayToObject
            {"$mergeObjects":["$d",{"x":2,"z":3},null]} -> {"x":2,"y":[2],"z":3}
            {"$mergeObjects":"$o"} -> {"k":"b","v":2}
            {"$mergeObjects":["$l"]} -> InvalidValue: takes only documents, operator $mergeObjects
            [{"$allElementsTrue":["$l"]},{"$anyElementTrue":["$e"]},{"$allElementsTrue":[[1,0]]}] -> [true,false,false]
            [{"$setUnion":["$l",[2,9,2.0]]},{"$setIntersection":["$l",[2,3,7]]},{"$setDifference":["$l",[1]]}] -> [[1,2,3,9],[2,3],[3,2]]
            [{"$setEquals":["$l",[1,2,3,3]]},{"$setIsSubset":[[1],"$l"]},{"$setIsSubset":["$l",[1]]}] -> [true,true,false]
            {"$setUnion":["$l","$n"]} -> null
        "#]],
    );
}

#[test]
fn strings() {
    check(
        r#"{"s":"Hello","c":"云栈ab","n":null,"i":5,"t":{"$date":0}}"#,
        r#"
        {"$concat":["$s"," ","$c"]}
        {"$concat":["$s","$n"]}
        {"$concat":["$s",1]}
        [{"$indexOfBytes":["$c","a"]},{"$indexOfCP":["$c","a"]},{"$indexOfCP":["$s","l",3]},{"$indexOfCP":["$s","z"]},{"$indexOfBytes":["$s","l",0,2]}]
        {"$split":["a,b,,c",","]}
        {"$split":["$s",""]}
        [{"$strLenBytes":"$c"},{"$strLenCP":"$c"},{"$strcasecmp":["$s","hELLO"]},{"$strcasecmp":["a","$n"]}]
        [{"$substr":["$s",1,2]},{"$substrBytes":["$s",1,-1]},{"$substrCP":["$c",1,2]},{"$substr":["$i",0,9]},{"$substr":["$s",9,1]}]
        {"$substrBytes":["$c",1,2]}
        {"$substrCP":["$c",-1,2]}
        [{"$toLower":"$s"},{"$toUpper":"$s"},{"$toUpper":"$n"},{"$toUpper":"$t"}]
        [{"$trim":{"input":"  a "}},{"$ltrim":{"input":"xxa","chars":"x"}},{"$rtrim":{"input":"a  "}},{"$trim":{"input":"$n"}}]
        {"$trim":"x"}
        {"$regexMatch":{"input":"$s","regex":"^h","options":"i"}}
        {"$regexMatch":{"input":"$s","regex":{"$regularExpression":{"pattern":"^h","options":""}}}}
        {"$regexFind":{"input":"$c","regex":"(a)(x)?"}}
        {"$regexFindAll":{"input":"$s","regex":"l"}}
        {"$regexFind":{"input":"$n","regex":"l"}}
        {"$regexMatch":{"input":"$s","regex":"("}}
        {"$regexMatch":{"input":"$s","regex":"$c"}}
        "#,
        &expect![[r#"
            {"$concat":["$s"," ","$c"]} -> "Hello 云栈ab"
            {"$concat":["$s","$n"]} -> null
            {"$concat":["$s",1]} -> InvalidValue: argument 2 must be a string, not int, operator $concat
            [{"$indexOfBytes":["$c","a"]},{"$indexOfCP":["$c","a"]},{"$indexOfCP":["$s","l",3]},{"$indexOfCP":["$s","z"]},{"$indexOfBytes":["$s","l",0,2]}] -> [6,2,3,-1,-1]
            {"$split":["a,b,,c",","]} -> ["a","b","","c"]
            {"$split":["$s",""]} -> InvalidValue: separator must not be empty, operator $split
            [{"$strLenBytes":"$c"},{"$strLenCP":"$c"},{"$strcasecmp":["$s","hELLO"]},{"$strcasecmp":["a","$n"]}] -> [8,4,0,1]
            [{"$substr":["$s",1,2]},{"$substrBytes":["$s",1,-1]},{"$substrCP":["$c",1,2]},{"$substr":["$i",0,9]},{"$substr":["$s",9,1]}] -> ["el","ello","栈a","5",""]
            {"$substrBytes":["$c",1,2]} -> InvalidValue: range would cut a character in two, operator $substrBytes
            {"$substrCP":["$c",-1,2]} -> InvalidValue: argument 2 must be at least 0, not int, operator $substrCP
            [{"$toLower":"$s"},{"$toUpper":"$s"},{"$toUpper":"$n"},{"$toUpper":"$t"}] -> ["hello","HELLO","","1970-01-01T00:00:00.000Z"]
            [{"$trim":{"input":"  a "}},{"$ltrim":{"input":"xxa","chars":"x"}},{"$rtrim":{"input":"a  "}},{"$trim":{"input":"$n"}}] -> ["a","a","a",null]
            {"$trim":"x"} -> InvalidValue: needs a document of arguments, operator $trim
            {"$regexMatch":{"input":"$s","regex":"^h","options":"i"}} -> true
            {"$regexMatch":{"input":"$s","regex":{"$regularExpression":{"pattern":"^h","options":""}}}} -> false
            {"$regexFind":{"input":"$c","regex":"(a)(x)?"}} -> {"match":"a","idx":2,"captures":["a",null]}
            {"$regexFindAll":{"input":"$s","regex":"l"}} -> [{"match":"l","idx":2,"captures":[]},{"match":"l","idx":3,"captures":[]}]
            {"$regexFind":{"input":"$n","regex":"l"}} -> null
            {"$regexMatch":{"input":"$s","regex":"("}} -> InvalidValue: invalid regular expression: unclosed group, operator $regexMatch
            {"$regexMatch":{"input":"$s","regex":"$c"}} -> InvalidValue: regex and options must be constants, operator $regexMatch
        "#]],
    );
}

#[test]
fn types() {
    check(
        r#"{"o":{"$oid":"507f1f77bcf86cd799439011"},"t":{"$date":1500},"n":null}"#,
        r#"
        [{"$type":"$zz"},{"$type":"$n"},{"$type":1},{"$type":"x"},{"$type":"$o"},{"$isNumber":1.5},{"$isNumber":"1"}]
        [{"$toString":"$o"},{"$toString":"$t"},{"$toString":1.5},{"$toString":true},{"$toString":"$n"}]
        [{"$toInt":"12"},{"$toInt":3.9},{"$toLong":"$t"},{"$toDouble":"1.5"},{"$toBool":"x"},{"$toBool":0}]
        {"$toInt":"1.5"}
        {"$toInt":3000000000}
        {"$toInt":"$o"}
        [{"$toDate":"$o"},{"$toDate":{"$numberLong":"5"}},{"$toDate":"2024-01-02"}]
        {"$toDate":"soon"}
        {"$toObjectId":"507f1f77bcf86cd799439011"}
        {"$toObjectId":"5"}
        {"$convert":{"input":"x","to":"int","onError":"bad"}}
        {"$convert":{"input":"$n","to":"int","onNull":0}}
        {"$convert":{"input":"7","to":16}}
        {"$convert":{"input":"7","to":"decimal"}}
        {"$toString":[[1]]}
        "#,
        &expect![[r#"
            [{"$type":"$zz"},{"$type":"$n"},{"$type":1},{"$type":"x"},{"$type":"$o"},{"$isNumber":1.5},{"$isNumber":"1"}] -> ["missing","null","int","string","objectId",true,false]
            [{"$toString":"$o"},{"$toString":"$t"},{"$toString":1.5},{"$toString":true},{"$toString":"$n"}] -> ["507f1f77bcf86cd799439011","1970-01-01T00:00:01.500Z","1.5","true",null]
            [{"$toInt":"12"},{"$toInt":3.9},{"$toLong":"$t"},{"$toDouble":"1.5"},{"$toBool":"x"},{"$toBool":0}] -> [12,3,1500,1.5,true,false]
            {"$toInt":"1.5"} -> InvalidValue: string is no whole number, operator $toInt
            {"$toInt":3000000000} -> InvalidValue: number is out of the range of the type, operator $toInt
            {"$toInt":"$o"} -> InvalidValue: cannot convert objectId to int, operator $toInt
            [{"$toDate":"$o"},{"$toDate":{"$numberLong":"5"}},{"$toDate":"2024-01-02"}] -> [{"$date":"2012-10-17T21:13:27Z"},{"$date":"1970-01-01T00:00:00.005Z"},{"$date":"2024-01-02T00:00:00Z"}]
            {"$toDate":"soon"} -> InvalidValue: string is no date, operator $toDate
            {"$toObjectId":"507f1f77bcf86cd799439011"} -> {"$oid":"507f1f77bcf86cd799439011"}
            {"$toObjectId":"5"} -> InvalidValue: string is no ObjectId, operator $toObjectId
            {"$convert":{"input":"x","to":"int","onError":"bad"}} -> "bad"
            {"$convert":{"input":"$n","to":"int","onNull":0}} -> 0
            {"$convert":{"input":"7","to":16}} -> 7
            {"$convert":{"input":"7","to":"decimal"}} -> InvalidValue: to must be the name of a type, operator $convert
            {"$toString":[[1]]} -> InvalidValue: cannot convert array to string, operator $toString
        "#]],
    );
}

#[test]
fn dates() {
    check(
        // A Friday, 2024-03-01T20:05:06.789Z: the next day in Shanghai.
        r#"{"t":{"$date":"2024-03-01T20:05:06.789Z"},"n":null,"z":"Asia/Shanghai"}"#,
        r#"
        [{"$year":"$t"},{"$month":"$t"},{"$dayOfMonth":"$t"},{"$hour":"$t"},{"$minute":"$t"},{"$second":"$t"},{"$millisecond":"$t"}]
        [{"$dayOfWeek":"$t"},{"$isoDayOfWeek":"$t"},{"$dayOfYear":"$t"},{"$week":"$t"},{"$isoWeek":"$t"},{"$isoWeekYear":"$t"}]
        [{"$hour":{"date":"$t","timezone":"$z"}},{"$dayOfMonth":{"date":"$t","timezone":"+08:00"}},{"$hour":{"date":"$t","timezone":"America/New_York"}}]
        [{"$year":"$n"},{"$year":["$t"]},{"$year":{"date":"$t","timezone":null}}]
        {"$year":{"date":"$t","timezone":"Mars/Base"}}
        {"$year":"x"}
        {"$dateToString":{"date":"$t"}}
        {"$dateToString":{"date":"$t","timezone":"$z"}}
        {"$dateToString":{"date":"$t","format":"%Y/%m/%d %H-%M-%S.%L %j %w %u %U %V %G %b %B %%"}}
        {"$dateToString":{"date":"$t","format":"%H %z %Z","timezone":"+0530"}}
        {"$dateToString":{"date":"$n","onNull":"none"}}
        {"$dateToString":{"date":"$t","format":"%q"}}
        {"$dateToParts":{"date":"$t"}}
        {"$dateToParts":{"date":"$t","iso8601":true,"timezone":"$z"}}
        {"$dateFromParts":{"year":2024,"month":14,"day":0,"hour":25}}
        {"$dateFromParts":{"year":2024,"timezone":"Asia/Shanghai"}}
        {"$dateFromParts":{"isoWeekYear":2024,"isoWeek":9,"isoDayOfWeek":5}}
        {"$dateFromParts":{"year":0}}
        {"$dateFromParts":{"year":2024,"isoWeek":1}}
        {"$dateFromParts":{"month":1}}
        {"$dateFromString":{"dateString":"2017-02-08T12:10:40.787Z"}}
        {"$dateFromString":{"dateString":"2017-02-08"}}
        {"$dateFromString":{"dateString":"2017-02-08 12:10:40","timezone":"$z"}}
        {"$dateFromString":{"dateString":"2017-02-08T12:10:40.5+0800"}}
        {"$dateFromString":{"dateString":"2017-02-08T12:10:40Z","timezone":"$z"}}
        {"$dateFromString":{"dateString":"06-15-2018","format":"%m-%d-%Y"}}
        {"$dateFromString":{"dateString":"15 June 2018","format":"%d %B %Y"}}
        {"$dateFromString":{"dateString":"2017-13-08"}}
        {"$dateFromString":{"dateString":"x","onError":"bad"}}
        {"$dateFromString":{"dateString":"$n","onNull":"none"}}
        {"$dateAdd":{"startDate":{"$date":"2024-01-31T00:00:00Z"},"unit":"month","amount":1}}
        {"$dateSubtract":{"startDate":"$t","unit":"hour","amount":21}}
        {"$dateAdd":{"startDate":"$t","unit":"eon","amount":1}}
        [{"$dateDiff":{"startDate":{"$date":"2023-12-31T23:00:00Z"},"endDate":"$t","unit":"year"}},{"$dateDiff":{"startDate":{"$date":"2024-02-28T00:00:00Z"},"endDate":"$t","unit":"day"}},{"$dateDiff":{"startDate":{"$date":"2024-02-24T00:00:00Z"},"endDate":"$t","unit":"week"}},{"$dateDiff":{"startDate":{"$date":"2024-03-01T19:59:00Z"},"endDate":"$t","unit":"hour"}}]
        "#,
        &expect![[r#"
            [{"$year":"$t"},{"$month":"$t"},{"$dayOfMonth":"$t"},{"$hour":"$t"},{"$minute":"$t"},{"$second":"$t"},{"$millisecond":"$t"}] -> [2024,3,1,20,5,6,789]
            [{"$dayOfWeek":"$t"},{"$isoDayOfWeek":"$t"},{"$dayOfYear":"$t"},{"$week":"$t"},{"$isoWeek":"$t"},{"$isoWeekYear":"$t"}] -> [6,5,61,8,9,2024]
            [{"$hour":{"date":"$t","timezone":"$z"}},{"$dayOfMonth":{"date":"$t","timezone":"+08:00"}},{"$hour":{"date":"$t","timezone":"America/New_York"}}] -> [4,2,15]
            [{"$year":"$n"},{"$year":["$t"]},{"$year":{"date":"$t","timezone":null}}] -> [null,2024,null]
            {"$year":{"date":"$t","timezone":"Mars/Base"}} -> InvalidValue: unknown time zone "Mars/Base", operator $year
            {"$year":"x"} -> InvalidValue: argument 1 must be a date, not string, operator $year
            {"$dateToString":{"date":"$t"}} -> "2024-03-01T20:05:06.789Z"
            {"$dateToString":{"date":"$t","timezone":"$z"}} -> "2024-03-02T04:05:06.789"
            {"$dateToString":{"date":"$t","format":"%Y/%m/%d %H-%M-%S.%L %j %w %u %U %V %G %b %B %%"}} -> "2024/03/01 20-05-06.789 061 6 5 08 09 2024 Mar March %"
            {"$dateToString":{"date":"$t","format":"%H %z %Z","timezone":"+0530"}} -> "01 +0530 +330"
            {"$dateToString":{"date":"$n","onNull":"none"}} -> "none"
            {"$dateToString":{"date":"$t","format":"%q"}} -> InvalidValue: format has an unknown specifier, operator $dateToString
            {"$dateToParts":{"date":"$t"}} -> {"year":2024,"month":3,"day":1,"hour":20,"minute":5,"second":6,"millisecond":789}
            {"$dateToParts":{"date":"$t","iso8601":true,"timezone":"$z"}} -> {"isoWeekYear":2024,"isoWeek":9,"isoDayOfWeek":6,"hour":4,"minute":5,"second":6,"millisecond":789}
            {"$dateFromParts":{"year":2024,"month":14,"day":0,"hour":25}} -> {"$date":"2025-02-01T01:00:00Z"}
            {"$dateFromParts":{"year":2024,"timezone":"Asia/Shanghai"}} -> {"$date":"2023-12-31T16:00:00Z"}
            {"$dateFromParts":{"isoWeekYear":2024,"isoWeek":9,"isoDayOfWeek":5}} -> {"$date":"2024-03-01T00:00:00Z"}
            {"$dateFromParts":{"year":0}} -> InvalidValue: year must be from 1 to 9999, operator $dateFromParts
            {"$dateFromParts":{"year":2024,"isoWeek":1}} -> InvalidValue: needs either year or isoWeekYear, and parts of one kind, operator $dateFromParts
            {"$dateFromParts":{"month":1}} -> InvalidValue: needs either year or isoWeekYear, and parts of one kind, operator $dateFromParts
            {"$dateFromString":{"dateString":"2017-02-08T12:10:40.787Z"}} -> {"$date":"2017-02-08T12:10:40.787Z"}
            {"$dateFromString":{"dateString":"2017-02-08"}} -> {"$date":"2017-02-08T00:00:00Z"}
            {"$dateFromString":{"dateString":"2017-02-08 12:10:40","timezone":"$z"}} -> {"$date":"2017-02-08T04:10:40Z"}
            {"$dateFromString":{"dateString":"2017-02-08T12:10:40.5+0800"}} -> {"$date":"2017-02-08T04:10:40.5Z"}
            {"$dateFromString":{"dateString":"2017-02-08T12:10:40Z","timezone":"$z"}} -> InvalidValue: string has an offset, and a time zone is given too, operator $dateFromString
            {"$dateFromString":{"dateString":"06-15-2018","format":"%m-%d-%Y"}} -> {"$date":"2018-06-15T00:00:00Z"}
            {"$dateFromString":{"dateString":"15 June 2018","format":"%d %B %Y"}} -> {"$date":"2018-06-15T00:00:00Z"}
            {"$dateFromString":{"dateString":"2017-13-08"}} -> InvalidValue: there is no such date, operator $dateFromString
            {"$dateFromString":{"dateString":"x","onError":"bad"}} -> "bad"
            {"$dateFromString":{"dateString":"$n","onNull":"none"}} -> "none"
            {"$dateAdd":{"startDate":{"$date":"2024-01-31T00:00:00Z"},"unit":"month","amount":1}} -> {"$date":"2024-02-29T00:00:00Z"}
            {"$dateSubtract":{"startDate":"$t","unit":"hour","amount":21}} -> {"$date":"2024-02-29T23:05:06.789Z"}
            {"$dateAdd":{"startDate":"$t","unit":"eon","amount":1}} -> InvalidValue: unit must be year, quarter, month, week, day or shorter, operator $dateAdd
            [{"$dateDiff":{"startDate":{"$date":"2023-12-31T23:00:00Z"},"endDate":"$t","unit":"year"}},{"$dateDiff":{"startDate":{"$date":"2024-02-28T00:00:00Z"},"endDate":"$t","unit":"day"}},{"$dateDiff":{"startDate":{"$date":"2024-02-24T00:00:00Z"},"endDate":"$t","unit":"week"}},{"$dateDiff":{"startDate":{"$date":"2024-03-01T19:59:00Z"},"endDate":"$t","unit":"hour"}}] -> [1,2,1,1]
        "#]],
    );
}

#[test]
fn bounds() {
    let nested = format!("{}1{}", r#"{"$abs":"#.repeat(60), "}".repeat(60));
    let limits = Limits { depth_max: 50, ..Limits::default() };
    let error = Expression::parse(&value(&nested), &limits).unwrap_err();
    assert_eq!(error.to_string(), "expression nests deeper than 50, operator $abs");
    let many = format!("[{}1]", "1,".repeat(100));
    let limits = Limits { nodes_max: 50, ..Limits::default() };
    let error = Expression::parse(&value(&many), &limits).unwrap_err();
    assert_eq!(error.to_string(), "expression has over 50 parts");
}

#[test]
fn variables_from_outside_are_known() {
    let expression = value(r#"{"$map":{"input":"$$a","as":"b","in":["$$b","$$c","$$a"]}}"#);
    let expression = Expression::parse(&expression, &Limits::default()).unwrap();
    assert_eq!(expression.variables().collect::<Vec<_>>(), ["a", "c"]);
}

const OPERATORS: &[&str] = &[
    "$add",
    "$subtract",
    "$multiply",
    "$divide",
    "$mod",
    "$pow",
    "$abs",
    "$round",
    "$trunc",
    "$cmp",
    "$eq",
    "$concat",
    "$split",
    "$substr",
    "$substrCP",
    "$indexOfCP",
    "$indexOfBytes",
    "$slice",
    "$arrayElemAt",
    "$concatArrays",
    "$range",
    "$setUnion",
    "$setDifference",
    "$in",
    "$size",
    "$mergeObjects",
    "$objectToArray",
    "$arrayToObject",
    "$year",
    "$week",
    "$isoWeek",
    "$toString",
    "$toInt",
    "$toLong",
    "$toDate",
    "$toBool",
    "$type",
    "$sum",
    "$avg",
    "$max",
    "$strcasecmp",
    "$toUpper",
    "$reverseArray",
    "$stdDevPop",
    "$ifNull",
    "$cond",
    "$and",
    "$not",
];

proptest! {
    #[test]
    fn nothing_panics_and_all_bytes_are_given_back(
        document in any_document(),
        operator in prop::sample::select(OPERATORS),
        constants in prop::collection::vec(any_value(), 0..4),
        paths in prop::collection::vec("\\$[abc](\\.[abc])?", 0..3),
    ) {
        let literal = |value| bson::doc! { "$literal": value };
        let arguments: Vec<bson::Bson> = paths.into_iter().map(bson::Bson::String)
            .chain(constants.into_iter().map(|value| literal(value).into())).collect();
        let budget = Budget::new(1_000_000, 8 << 20);
        let call = bson::doc! { operator: arguments };
        if let Ok(expression) = Expression::parse(&call.into(), &Limits::default()) {
            let _ = expression.evaluate(&Scope::new(&document, NOW_MS, &budget));
        }
        budget.keep(8 << 20).unwrap();
    }
}
