//! Pipelines: documents in, documents out.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{Flow, Limits, Part, Pipeline, Setting};
use crate::budget::Budget;
use crate::error::Result;
use crate::expression::Variables;
use crate::testing::{NOW_MS, any_document, doc, text, value};
use crate::{Bson, Document};

const BYTES_MAX: u64 = 8 << 20;

fn parse(stages: &str) -> Result<Pipeline> {
    let stages = value(stages);
    let stages = stages.as_array().unwrap().iter();
    let stages: Vec<_> = stages.map(|stage| stage.as_document().unwrap().clone()).collect();
    Pipeline::parse(&stages, &Limits::default())
}

fn documents(text: &str) -> Vec<Document> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(doc).collect()
}

/// The collections that lookups read.
fn foreign(name: &str) -> Vec<Document> {
    documents(match name {
        "users" => {
            r#"
            {"_id":1,"name":"ann","age":30}
            {"_id":2,"name":"bob","age":20}
            {"_id":3,"name":"cid"}
            "#
        }
        _ => "",
    })
}

/// What each pipeline makes of the documents, or why it is refused.
fn check(input: &str, pipelines: &str, expected: &Expect) {
    let input = documents(input);
    let mut shown = String::new();
    for line in pipelines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let budget = Budget::new(1_000_000, BYTES_MAX);
        let result = parse(line)
            .and_then(|pipeline| pipeline.run_plain(input.clone(), &foreign, NOW_MS, &budget));
        shown += &format!("{line}\n");
        match result {
            Ok(results) => {
                results.iter().for_each(|result| shown += &format!("  {}\n", text(result)));
                budget.keep(BYTES_MAX).unwrap();
            }
            Err(error) => shown += &format!("  {:?}: {error}\n", error.kind),
        }
    }
    expected.assert_eq(&shown);
}

const ORDERS: &str = r#"
    {"_id":1,"user":1,"items":["a","b"],"total":10,"at":{"x":1,"y":2}}
    {"_id":2,"user":2,"items":[],"total":30,"at":{"x":2,"y":2}}
    {"_id":3,"user":1,"items":"c","total":20}
    {"_id":4,"total":5,"at":[{"x":3},{"x":4},7]}
"#;

#[test]
fn match_sort_skip_limit() {
    check(
        ORDERS,
        r#"
        []
        [{"$match":{"user":1}},{"$project":{"total":1}}]
        [{"$match":{"$expr":{"$gt":["$total",{"$multiply":["$user",12]}]}}},{"$project":{"_id":1}}]
        [{"$match":{"$and":[{"user":1},{"$expr":{"$lt":["$total",15]}}],"total":10}},{"$project":{"_id":1}}]
        [{"$sort":{"total":-1}},{"$skip":1},{"$limit":2},{"$project":{"total":1}}]
        [{"$limit":1},{"$project":{"_id":1}}]
        [{"$skip":3},{"$project":{"_id":1}}]
        [{"$limit":0}]
        [{"$skip":-1}]
        [{"$sort":{}}]
        [{"$match":5}]
        [{"$match":{"a":{"$foo":1}}}]
        [{"$match":{"$expr":"$$user"}}]
        "#,
        &expect![[r#"
            []
              {"_id":1,"user":1,"items":["a","b"],"total":10,"at":{"x":1,"y":2}}
              {"_id":2,"user":2,"items":[],"total":30,"at":{"x":2,"y":2}}
              {"_id":3,"user":1,"items":"c","total":20}
              {"_id":4,"total":5,"at":[{"x":3},{"x":4},7]}
            [{"$match":{"user":1}},{"$project":{"total":1}}]
              {"_id":1,"total":10}
              {"_id":3,"total":20}
            [{"$match":{"$expr":{"$gt":["$total",{"$multiply":["$user",12]}]}}},{"$project":{"_id":1}}]
              {"_id":2}
              {"_id":3}
              {"_id":4}
            [{"$match":{"$and":[{"user":1},{"$expr":{"$lt":["$total",15]}}],"total":10}},{"$project":{"_id":1}}]
              {"_id":1}
            [{"$sort":{"total":-1}},{"$skip":1},{"$limit":2},{"$project":{"total":1}}]
              {"_id":3,"total":20}
              {"_id":1,"total":10}
            [{"$limit":1},{"$project":{"_id":1}}]
              {"_id":1}
            [{"$skip":3},{"$project":{"_id":1}}]
              {"_id":4}
            [{"$limit":0}]
              InvalidValue: needs a whole number from 1, operator $limit
            [{"$skip":-1}]
              InvalidValue: needs a whole number from 0, operator $skip
            [{"$sort":{}}]
              InvalidValue: needs a document of fields, operator $sort
            [{"$match":5}]
              InvalidValue: needs a filter, a document, operator $match
            [{"$match":{"a":{"$foo":1}}}]
              InvalidOperator: unknown operator, operator $foo, at field a
            [{"$match":{"$expr":"$$user"}}]
              InvalidValue: variable is not set, operator $expr, at field $$user
        "#]],
    );
}

#[test]
fn shapes() {
    check(
        ORDERS,
        r#"
        [{"$limit":1},{"$project":{"total":1,"at.x":1}}]
        [{"$limit":1},{"$project":{"_id":0,"t":"$total","at":{"x":1,"z":{"$add":["$total",1]}},"s":"text","l":{"$literal":1}}}]
        [{"$limit":1},{"$project":{"items":0,"at.y":0}}]
        [{"$limit":1},{"$project":{"_id":0}}]
        [{"$limit":1},{"$project":{"_id":1}}]
        [{"$limit":1},{"$project":{"_id":0,"user":0}}]
        [{"$limit":1},{"$project":{"_id":1,"user":0}}]
        [{"$limit":1},{"$project":{"_id":"$user"}}]
        [{"$limit":1},{"$project":{"_id":0,"total":{"$add":["$total",1]},"user":1}}]
        [{"$limit":1},{"$addFields":{"total":{"$add":["$total",1]},"at.z":9,"n.m":"$user","items":"$$REMOVE"}}]
        [{"$skip":3},{"$set":{"at.x":"$total","total.y":1}}]
        [{"$skip":3},{"$project":{"at":{"x":1},"total.v":{"$literal":1}}}]
        [{"$limit":1},{"$unset":["items","at.x"]}]
        [{"$limit":1},{"$unset":"at"},{"$replaceRoot":{"newRoot":{"$mergeObjects":[{"a":1},"$$ROOT"]}}}]
        [{"$limit":1},{"$replaceWith":"$at"}]
        [{"$replaceWith":"$total"}]
        [{"$project":{}}]
        [{"$project":{"a":1,"b":0}}]
        [{"$project":{"a":0,"b":"$c"}}]
        [{"$project":{"a":1,"a.b":1}}]
        [{"$project":{"a":{"b":1},"a.b":1}}]
        [{"$project":{"a":{}}}]
        [{"$project":{"a..b":1}}]
        [{"$project":{"$a":1}}]
        [{"$addFields":{"a.b":{"$foo":1}}}]
        [{"$addFields":{"a.b":{"$divide":["$total",0]}}}]
        "#,
        &expect![[r#"
            [{"$limit":1},{"$project":{"total":1,"at.x":1}}]
              {"_id":1,"total":10,"at":{"x":1}}
            [{"$limit":1},{"$project":{"_id":0,"t":"$total","at":{"x":1,"z":{"$add":["$total",1]}},"s":"text","l":{"$literal":1}}}]
              {"at":{"x":1,"z":11},"t":10,"s":"text","l":1}
            [{"$limit":1},{"$project":{"items":0,"at.y":0}}]
              {"_id":1,"user":1,"total":10,"at":{"x":1}}
            [{"$limit":1},{"$project":{"_id":0}}]
              {"user":1,"items":["a","b"],"total":10,"at":{"x":1,"y":2}}
            [{"$limit":1},{"$project":{"_id":1}}]
              {"_id":1}
            [{"$limit":1},{"$project":{"_id":0,"user":0}}]
              {"items":["a","b"],"total":10,"at":{"x":1,"y":2}}
            [{"$limit":1},{"$project":{"_id":1,"user":0}}]
              {"_id":1,"items":["a","b"],"total":10,"at":{"x":1,"y":2}}
            [{"$limit":1},{"$project":{"_id":"$user"}}]
              {"_id":1}
            [{"$limit":1},{"$project":{"_id":0,"total":{"$add":["$total",1]},"user":1}}]
              {"user":1,"total":11}
            [{"$limit":1},{"$addFields":{"total":{"$add":["$total",1]},"at.z":9,"n.m":"$user","items":"$$REMOVE"}}]
              {"_id":1,"user":1,"total":11,"at":{"x":1,"y":2,"z":9},"n":{"m":1}}
            [{"$skip":3},{"$set":{"at.x":"$total","total.y":1}}]
              {"_id":4,"total":{"y":1},"at":[{"x":5},{"x":5},{"x":5}]}
            [{"$skip":3},{"$project":{"at":{"x":1},"total.v":{"$literal":1}}}]
              {"_id":4,"total":{"v":1},"at":[{"x":3},{"x":4}]}
            [{"$limit":1},{"$unset":["items","at.x"]}]
              {"_id":1,"user":1,"total":10,"at":{"y":2}}
            [{"$limit":1},{"$unset":"at"},{"$replaceRoot":{"newRoot":{"$mergeObjects":[{"a":1},"$$ROOT"]}}}]
              {"a":1,"_id":1,"user":1,"items":["a","b"],"total":10}
            [{"$limit":1},{"$replaceWith":"$at"}]
              {"x":1,"y":2}
            [{"$replaceWith":"$total"}]
              InvalidValue: new root must be a document, operator $replaceRoot
            [{"$project":{}}]
              InvalidValue: needs a document of fields, operator $project
            [{"$project":{"a":1,"b":0}}]
              InvalidValue: projection mixes inclusion and exclusion, operator $project, at field b
            [{"$project":{"a":0,"b":"$c"}}]
              InvalidValue: projection mixes inclusion and exclusion, operator $project, at field b
            [{"$project":{"a":1,"a.b":1}}]
              Conflict: stage names a field and a part of it, operator $project, at field a.b
            [{"$project":{"a":{"b":1},"a.b":1}}]
              Conflict: stage names a field and a part of it, operator $project, at field a.b
            [{"$project":{"a":{}}}]
              InvalidValue: an empty document is no projection, operator $project, at field a
            [{"$project":{"a..b":1}}]
              InvalidPath: field path has an empty part, operator $project, at field a..b
            [{"$project":{"$a":1}}]
              InvalidPath: a field name may not begin with $, operator $project, at field $a
            [{"$addFields":{"a.b":{"$foo":1}}}]
              InvalidOperator: unknown operator, operator $foo, at field a.b
            [{"$addFields":{"a.b":{"$divide":["$total",0]}}}]
              InvalidValue: cannot divide by zero, operator $divide, at field a.b
        "#]],
    );
}

#[test]
fn groups() {
    check(
        ORDERS,
        r#"
        [{"$group":{"_id":"$user","n":{"$sum":1},"sum":{"$sum":"$total"},"avg":{"$avg":"$total"},"ids":{"$push":"$_id"}}}]
        [{"$group":{"_id":null,"min":{"$min":"$total"},"max":{"$max":"$total"},"first":{"$first":"$user"},"last":{"$last":"$user"},"set":{"$addToSet":"$user"},"users":{"$push":"$user"},"c":{"$count":{}}}}]
        [{"$group":{"_id":null,"pop":{"$stdDevPop":"$total"},"samp":{"$stdDevSamp":"$total"},"no":{"$avg":"$zz"},"at":{"$mergeObjects":{"$cond":[{"$isArray":"$at"},null,"$at"]}}}}]
        [{"$group":{"_id":{"u":"$user","big":{"$gte":["$total",20]}}}}]
        [{"$match":{"_id":9}},{"$group":{"_id":null,"n":{"$sum":1}}}]
        [{"$sortByCount":"$user"}]
        [{"$count":"n"}]
        [{"$match":{"_id":9}},{"$count":"n"}]
        [{"$bucket":{"groupBy":"$total","boundaries":[0,10,25],"default":"more","output":{"n":{"$sum":1},"ids":{"$push":"$_id"}}}}]
        [{"$bucket":{"groupBy":"$total","boundaries":[0,10,25]}}]
        [{"$bucket":{"groupBy":"$total","boundaries":[0,10,100]}}]
        [{"$bucketAuto":{"groupBy":"$total","buckets":2}}]
        [{"$bucketAuto":{"groupBy":"$user","buckets":9,"output":{"ids":{"$push":"$_id"}}}}]
        [{"$sample":{"size":9}},{"$count":"n"}]
        [{"$sample":{"size":2}},{"$count":"n"}]
        [{"$group":{"n":{"$sum":1}}}]
        [{"$group":{"_id":1,"n":1}}]
        [{"$group":{"_id":1,"n":{"$foo":1}}}]
        [{"$group":{"_id":1,"a.b":{"$sum":1}}}]
        [{"$group":{"_id":1,"n":{"$sum":["$a","$b"]}}}]
        [{"$group":{"_id":1,"n":{"$mergeObjects":"$total"}}}]
        [{"$bucket":{"groupBy":"$total","boundaries":[10,0]}}]
        [{"$bucketAuto":{"groupBy":"$total","buckets":0}}]
        [{"$count":"a.b"}]
        "#,
        &expect![[r#"
            [{"$group":{"_id":"$user","n":{"$sum":1},"sum":{"$sum":"$total"},"avg":{"$avg":"$total"},"ids":{"$push":"$_id"}}}]
              {"_id":1,"n":2,"sum":30,"avg":15.0,"ids":[1,3]}
              {"_id":2,"n":1,"sum":30,"avg":30.0,"ids":[2]}
              {"_id":null,"n":1,"sum":5,"avg":5.0,"ids":[4]}
            [{"$group":{"_id":null,"min":{"$min":"$total"},"max":{"$max":"$total"},"first":{"$first":"$user"},"last":{"$last":"$user"},"set":{"$addToSet":"$user"},"users":{"$push":"$user"},"c":{"$count":{}}}}]
              {"_id":null,"min":5,"max":30,"first":1,"last":null,"set":[1,2],"users":[1,2,1],"c":4}
            [{"$group":{"_id":null,"pop":{"$stdDevPop":"$total"},"samp":{"$stdDevSamp":"$total"},"no":{"$avg":"$zz"},"at":{"$mergeObjects":{"$cond":[{"$isArray":"$at"},null,"$at"]}}}}]
              {"_id":null,"pop":9.60143218483576,"samp":11.086778913041726,"no":null,"at":{"x":2,"y":2}}
            [{"$group":{"_id":{"u":"$user","big":{"$gte":["$total",20]}}}}]
              {"_id":{"u":1,"big":false}}
              {"_id":{"u":2,"big":true}}
              {"_id":{"u":1,"big":true}}
              {"_id":{"big":false}}
            [{"$match":{"_id":9}},{"$group":{"_id":null,"n":{"$sum":1}}}]
            [{"$sortByCount":"$user"}]
              {"_id":1,"count":2}
              {"_id":2,"count":1}
              {"_id":null,"count":1}
            [{"$count":"n"}]
              {"n":4}
            [{"$match":{"_id":9}},{"$count":"n"}]
            [{"$bucket":{"groupBy":"$total","boundaries":[0,10,25],"default":"more","output":{"n":{"$sum":1},"ids":{"$push":"$_id"}}}}]
              {"_id":0,"n":1,"ids":[4]}
              {"_id":10,"n":2,"ids":[1,3]}
              {"_id":"more","n":1,"ids":[2]}
            [{"$bucket":{"groupBy":"$total","boundaries":[0,10,25]}}]
              InvalidValue: value is in no bucket and there is no default, operator $bucket
            [{"$bucket":{"groupBy":"$total","boundaries":[0,10,100]}}]
              {"_id":0,"count":1}
              {"_id":10,"count":3}
            [{"$bucketAuto":{"groupBy":"$total","buckets":2}}]
              {"_id":{"min":5,"max":20},"count":2}
              {"_id":{"min":20,"max":30},"count":2}
            [{"$bucketAuto":{"groupBy":"$user","buckets":9,"output":{"ids":{"$push":"$_id"}}}}]
              {"_id":{"min":null,"max":1},"ids":[4]}
              {"_id":{"min":1,"max":2},"ids":[1,3]}
              {"_id":{"min":2,"max":2},"ids":[2]}
            [{"$sample":{"size":9}},{"$count":"n"}]
              {"n":4}
            [{"$sample":{"size":2}},{"$count":"n"}]
              {"n":2}
            [{"$group":{"n":{"$sum":1}}}]
              InvalidValue: lacks _id, what to group by, operator $group
            [{"$group":{"_id":1,"n":1}}]
              InvalidValue: needs one accumulator, operator $group, at field n
            [{"$group":{"_id":1,"n":{"$foo":1}}}]
              InvalidOperator: unknown operator, operator $foo, at field n
            [{"$group":{"_id":1,"a.b":{"$sum":1}}}]
              InvalidPath: a field name may not contain a dot, operator $group, at field a.b
            [{"$group":{"_id":1,"n":{"$sum":["$a","$b"]}}}]
              InvalidValue: takes one argument, operator $sum, at field n
            [{"$group":{"_id":1,"n":{"$mergeObjects":"$total"}}}]
              InvalidValue: takes only documents, operator $mergeObjects, at field n
            [{"$bucket":{"groupBy":"$total","boundaries":[10,0]}}]
              InvalidValue: boundaries must ascend, operator $bucket, at field boundaries
            [{"$bucketAuto":{"groupBy":"$total","buckets":0}}]
              InvalidValue: needs a whole number from 1, operator $bucketAuto, at field buckets
            [{"$count":"a.b"}]
              InvalidPath: a field name may not contain a dot, operator $count, at field a.b
        "#]],
    );
}

#[test]
fn unwind_and_redact() {
    check(
        ORDERS,
        r#"
        [{"$project":{"items":1}},{"$unwind":"$items"}]
        [{"$project":{"items":1}},{"$unwind":{"path":"$items","includeArrayIndex":"i","preserveNullAndEmptyArrays":true}}]
        [{"$project":{"at":1}},{"$unwind":"$at"},{"$limit":3}]
        [{"$unwind":"items"}]
        [{"$unwind":{"path":"$a","other":1}}]
        [{"$project":{"at":1}},{"$redact":{"$cond":[{"$eq":["$x",2]},"$$PRUNE","$$DESCEND"]}}]
        [{"$limit":1},{"$redact":"$$KEEP"},{"$project":{"_id":1}}]
        [{"$redact":"$total"}]
        "#,
        &expect![[r#"
            [{"$project":{"items":1}},{"$unwind":"$items"}]
              {"_id":1,"items":"a"}
              {"_id":1,"items":"b"}
              {"_id":3,"items":"c"}
            [{"$project":{"items":1}},{"$unwind":{"path":"$items","includeArrayIndex":"i","preserveNullAndEmptyArrays":true}}]
              {"_id":1,"items":"a","i":0}
              {"_id":1,"items":"b","i":1}
              {"_id":2,"i":null}
              {"_id":3,"items":"c","i":null}
              {"_id":4,"i":null}
            [{"$project":{"at":1}},{"$unwind":"$at"},{"$limit":3}]
              {"_id":1,"at":{"x":1,"y":2}}
              {"_id":2,"at":{"x":2,"y":2}}
              {"_id":4,"at":{"x":3}}
            [{"$unwind":"items"}]
              InvalidValue: needs a field path that begins with $, operator $unwind
            [{"$unwind":{"path":"$a","other":1}}]
              InvalidValue: has no such option, operator $unwind, at field other
            [{"$project":{"at":1}},{"$redact":{"$cond":[{"$eq":["$x",2]},"$$PRUNE","$$DESCEND"]}}]
              {"_id":1,"at":{"x":1,"y":2}}
              {"_id":2}
              {"_id":3}
              {"_id":4,"at":[{"x":3},{"x":4},7]}
            [{"$limit":1},{"$redact":"$$KEEP"},{"$project":{"_id":1}}]
              {"_id":1}
            [{"$redact":"$total"}]
              InvalidValue: must give $$DESCEND, $$PRUNE or $$KEEP, operator $redact
        "#]],
    );
}

#[test]
fn lookups_and_facets() {
    check(
        ORDERS,
        r#"
        [{"$project":{"user":1}},{"$lookup":{"from":"users","localField":"user","foreignField":"_id","as":"u"}}]
        [{"$limit":1},{"$project":{"user":{"$literal":[1,3]}}},{"$lookup":{"from":"users","localField":"user","foreignField":"_id","as":"u.list"}}]
        [{"$limit":1},{"$project":{"total":1}},{"$lookup":{"from":"users","let":{"t":"$total"},"pipeline":[{"$match":{"$expr":{"$gt":["$age",{"$multiply":["$$t",2]}]}}},{"$project":{"_id":0,"name":1,"t":"$$t"}}],"as":"u"}}]
        [{"$limit":1},{"$project":{"user":1}},{"$lookup":{"from":"users","localField":"user","foreignField":"_id","pipeline":[{"$project":{"name":1}}],"as":"u"}},{"$unwind":"$u"}]
        [{"$limit":1},{"$project":{"_id":1}},{"$lookup":{"from":"nobody","pipeline":[],"as":"u"}}]
        [{"$facet":{"n":[{"$count":"n"}],"top":[{"$sort":{"total":-1}},{"$limit":1},{"$project":{"total":1}}]}}]
        [{"$match":{"_id":9}},{"$facet":{"n":[{"$count":"n"}]}}]
        [{"$facet":{"n":[{"$facet":{"m":[]}}]}}]
        [{"$facet":{"n":[{"$geoNear":{"near":[0,0],"distanceField":"d"}}]}}]
        [{"$facet":{}}]
        [{"$lookup":{"from":"users","as":"u"}}]
        [{"$lookup":{"from":"users","localField":"a","as":"u"}}]
        [{"$lookup":{"from":"users","pipeline":[{"$match":{"$expr":"$$t"}}],"as":"u"}}]
        [{"$lookup":{"from":"users","pipeline":[{"$out":"x"}],"as":"u"}}]
        [{"$lookup":{"from":"a","as":"u","pipeline":[{"$lookup":{"from":"a","as":"u","pipeline":[{"$lookup":{"from":"a","as":"u","pipeline":[{"$lookup":{"from":"a","as":"u","pipeline":[{"$lookup":{"from":"a","as":"u","pipeline":[]}}]}}]}}]}}]}}]
        [{"$merge":"x"}]
        [{"$foo":1}]
        [{"$limit":1,"$skip":1}]
        [{}]
        [{"$limit":1},{"$geoNear":{"near":[0,0],"distanceField":"d"}}]
        "#,
        &expect![[r#"
            [{"$project":{"user":1}},{"$lookup":{"from":"users","localField":"user","foreignField":"_id","as":"u"}}]
              {"_id":1,"user":1,"u":[{"_id":1,"name":"ann","age":30}]}
              {"_id":2,"user":2,"u":[{"_id":2,"name":"bob","age":20}]}
              {"_id":3,"user":1,"u":[{"_id":1,"name":"ann","age":30}]}
              {"_id":4,"u":[]}
            [{"$limit":1},{"$project":{"user":{"$literal":[1,3]}}},{"$lookup":{"from":"users","localField":"user","foreignField":"_id","as":"u.list"}}]
              {"_id":1,"user":[1,3],"u":{"list":[{"_id":1,"name":"ann","age":30},{"_id":3,"name":"cid"}]}}
            [{"$limit":1},{"$project":{"total":1}},{"$lookup":{"from":"users","let":{"t":"$total"},"pipeline":[{"$match":{"$expr":{"$gt":["$age",{"$multiply":["$$t",2]}]}}},{"$project":{"_id":0,"name":1,"t":"$$t"}}],"as":"u"}}]
              {"_id":1,"total":10,"u":[{"name":"ann","t":10}]}
            [{"$limit":1},{"$project":{"user":1}},{"$lookup":{"from":"users","localField":"user","foreignField":"_id","pipeline":[{"$project":{"name":1}}],"as":"u"}},{"$unwind":"$u"}]
              {"_id":1,"user":1,"u":{"_id":1,"name":"ann"}}
            [{"$limit":1},{"$project":{"_id":1}},{"$lookup":{"from":"nobody","pipeline":[],"as":"u"}}]
              {"_id":1,"u":[]}
            [{"$facet":{"n":[{"$count":"n"}],"top":[{"$sort":{"total":-1}},{"$limit":1},{"$project":{"total":1}}]}}]
              {"n":[{"n":4}],"top":[{"_id":2,"total":30}]}
            [{"$match":{"_id":9}},{"$facet":{"n":[{"$count":"n"}]}}]
              {"n":[]}
            [{"$facet":{"n":[{"$facet":{"m":[]}}]}}]
              InvalidOperator: a facet may not stand in a facet, operator $facet, at field n
            [{"$facet":{"n":[{"$geoNear":{"near":[0,0],"distanceField":"d"}}]}}]
              InvalidOperator: must be the first stage, and not in a facet, operator $geoNear, at field n
            [{"$facet":{}}]
              InvalidValue: needs a document of pipelines, operator $facet
            [{"$lookup":{"from":"users","as":"u"}}]
              InvalidValue: lacks localField or pipeline, operator $lookup
            [{"$lookup":{"from":"users","localField":"a","as":"u"}}]
              InvalidValue: lacks localField or foreignField, operator $lookup
            [{"$lookup":{"from":"users","pipeline":[{"$match":{"$expr":"$$t"}}],"as":"u"}}]
              InvalidValue: variable is not set, operator $expr, at field $$t
            [{"$lookup":{"from":"users","pipeline":[{"$out":"x"}],"as":"u"}}]
              InvalidOperator: stage is not offered, operator $out
            [{"$lookup":{"from":"a","as":"u","pipeline":[{"$lookup":{"from":"a","as":"u","pipeline":[{"$lookup":{"from":"a","as":"u","pipeline":[{"$lookup":{"from":"a","as":"u","pipeline":[{"$lookup":{"from":"a","as":"u","pipeline":[]}}]}}]}}]}}]}}]
              TooDeep: pipelines nest deeper than 4, operator $lookup
            [{"$merge":"x"}]
              InvalidOperator: stage is not offered, operator $merge
            [{"$foo":1}]
              InvalidOperator: unknown operator, operator $foo
            [{"$limit":1,"$skip":1}]
              InvalidValue: stage 1 must have one field, its name
            [{}]
              InvalidValue: stage 1 must have one field, its name
            [{"$limit":1},{"$geoNear":{"near":[0,0],"distanceField":"d"}}]
              InvalidOperator: must be the first stage, and not in a facet, operator $geoNear
        "#]],
    );
}

/// What a pipeline asks of its collection.
fn source(stages: &str) -> String {
    let pipeline = parse(stages).unwrap();
    let source = pipeline.source();
    let fields = source.order.into_iter().flat_map(crate::Order::fields);
    let order: Vec<_> = fields.map(|field| field.path.to_string()).collect();
    format!("{} conditions, order {order:?}, limit {:?}", source.filter.conditions(), source.limit)
}

#[test]
fn the_source_is_what_the_first_stages_ask() {
    let lines = [
        r#"[{"$match":{"a":1}},{"$match":{"b":1}},{"$sort":{"c":1}},{"$skip":2},{"$limit":3}]"#,
        r#"[{"$limit":3},{"$match":{"a":1}}]"#,
        r#"[{"$match":{"a":1,"$expr":"$b"}},{"$limit":3}]"#,
        r#"[{"$project":{"a":1}},{"$match":{"a":1}}]"#,
        r#"[{"$match":{"a":1}},{"$sort":{"c":1}},{"$group":{"_id":"$c"}},{"$limit":3}]"#,
        r#"[{"$lookup":{"from":"a","as":"b","pipeline":[]}},{"$match":{"a":1}}]"#,
        "[]",
    ];
    let shown: String = lines.iter().map(|line| source(line) + "\n").collect();
    expect![[r#"
        2 conditions, order ["c"], limit Some(5)
        0 conditions, order [], limit Some(3)
        1 conditions, order [], limit None
        0 conditions, order [], limit None
        1 conditions, order ["c"], limit None
        0 conditions, order [], limit None
        0 conditions, order [], limit None
    "#]]
    .assert_eq(&shown);
}

#[test]
fn geo_near_is_read_in_full() {
    let stage = r#"{"near":{"type":"Point","coordinates":[113.3,23.1]},"distanceField":"d.x","maxDistance":100,"minDistance":1,"query":{"a":1},"key":"at","limit":5,"includeLocs":"loc","distanceMultiplier":0.001,"spherical":true}"#;
    let pipeline = parse(&format!(r#"[{{"$geoNear":{stage}}},{{"$match":{{"b":1}}}}]"#)).unwrap();
    let geo = pipeline.source().geo_near.unwrap().clone();
    assert_eq!((geo.near, geo.is_geojson, geo.is_spherical), ([113.3, 23.1], true, true));
    assert_eq!((geo.min_distance, geo.max_distance), (Some(1.0), Some(100.0)));
    assert_eq!((geo.query.conditions(), geo.limit, geo.distance_multiplier), (1, Some(5), 0.001));
    assert_eq!(geo.distance_field, "d.x");
    assert_eq!((geo.key.as_deref(), geo.include_locs.as_deref()), (Some("at"), Some("loc")));
    let refused = [
        r#"{"distanceField":"d"}"#,
        r#"{"near":[1],"distanceField":"d"}"#,
        r#"{"near":{"type":"Point","coordinates":[200,0]},"distanceField":"d"}"#,
        r#"{"near":[1,2]}"#,
        r#"{"near":[1,2],"distanceField":"d","maxDistance":-1}"#,
        r#"{"near":[1,2],"distanceField":"d","foo":1}"#,
    ];
    let errors = refused.map(|stage| {
        let error = parse(&format!(r#"[{{"$geoNear":{stage}}}]"#)).unwrap_err();
        format!("{error}\n")
    });
    expect![[r#"
        lacks near, a point, operator $geoNear
        needs a point, operator $geoNear, at field near
        needs a point, operator $geoNear, at field near
        lacks distanceField, operator $geoNear
        needs a number from 0, operator $geoNear, at field maxDistance
        has no such option, operator $geoNear, at field foo
    "#]]
    .assert_eq(&errors.concat());
}

#[test]
fn all_collections_are_named() {
    let inner = r#"{"$lookup":{"from":"c","as":"x","pipeline":[{"$lookup":{"from":"a","as":"y","localField":"l","foreignField":"f"}}]}}"#;
    let pipeline = parse(&format!(r#"[{{"$facet":{{"f":[{inner}],"g":[{inner}]}}}}]"#)).unwrap();
    assert_eq!(pipeline.collections(), ["a", "c"]);
}

#[test]
fn bounds() {
    let error = |text: &str| parse(text).unwrap_err().to_string();
    let many = format!("[{}]", [r#"{"$limit":1}"#; 101].join(","));
    assert_eq!(error(&many), "pipeline has over 100 stages");
    let facets: Vec<_> = (0..51).map(|number| format!(r#""f{number}":[]"#)).collect();
    let facets = format!(r#"[{{"$facet":{{{}}}}}]"#, facets.join(","));
    assert_eq!(error(&facets), "has over 50 pipelines, operator $facet");
    let patterns = format!("[{}]", [r#"{"$match":{"a":{"$regex":"x"}}}"#; 17].join(","));
    assert_eq!(error(&patterns), "pipeline has over 16 regular expressions, operator $match");
}

#[test]
fn the_deepest_pipeline_fits_on_a_stack() {
    let deep = format!("{}1{}", r#"{"$cond":[1,"#.repeat(45), ",2]}".repeat(45));
    let lets = r#"{"$let":{"vars":{"x":"$$ROOT"},"in":"#;
    let lets = format!("{}[[\"$$x\"]]{}", lets.repeat(45), "}}".repeat(45));
    let stages = [r#"{"$skip":0}"#; 97].join(",");
    let last = format!(r#"{{"$addFields":{{"a":{deep}}}}},{{"$set":{{"b":{lets}}}}}"#);
    let mut input = bson::doc! {};
    for _ in 0..99 {
        input = bson::doc! { "a": input };
    }
    let pipeline = parse(&format!("[{stages},{last}]")).unwrap();
    let budget = Budget::default();
    let results = pipeline.run_plain(vec![input], &foreign, NOW_MS, &budget).unwrap();
    assert_eq!(results[0].get_i32("a").unwrap(), 1);
}

#[test]
fn a_push_stops_at_a_limit_and_a_sort_keeps_no_more_than_it() {
    let pipeline = parse(r#"[{"$match":{"a":1}},{"$limit":2}]"#).unwrap();
    let [Part::Pure(segment)] = pipeline.parts() else { panic!("one segment") };
    let budget = Budget::default();
    let mut run = segment.start(Setting::at(NOW_MS));
    let mut out = Vec::new();
    let flows: Vec<_> = [r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":1}"#, r#"{"a":1}"#]
        .iter()
        .map(|document| run.push(doc(document), &budget, &mut out).unwrap())
        .collect();
    assert_eq!(flows, [Flow::More, Flow::More, Flow::Done, Flow::Done]);
    run.finish(&budget, &mut out).unwrap();
    assert_eq!(out.len(), 2);

    let pipeline = parse(r#"[{"$sort":{"a":1}},{"$limit":3}]"#).unwrap();
    let [Part::Pure(segment)] = pipeline.parts() else { panic!("one segment") };
    let small = Budget::new(1_000_000, 4096);
    let mut run = segment.start(Setting::at(NOW_MS));
    for number in (0..1000).rev() {
        run.push(bson::doc! { "a": number }, &small, &mut out).unwrap();
    }
    out.clear();
    run.finish(&small, &mut out).unwrap();
    let shown: Vec<_> = out.iter().map(text).collect();
    assert_eq!(shown, [r#"{"a":0}"#, r#"{"a":1}"#, r#"{"a":2}"#]);
}

#[test]
fn what_multiplies_ends_with_the_budget() {
    let doubling = r#"{"$addFields":{"a":{"$concatArrays":["$a","$a"]}}}"#;
    let wrapping = r#"{"$addFields":{"a":[[[["$$ROOT"]]]]}}"#;
    let unwinding = r#"{"$unwind":"$a"},{"$addFields":{"a":{"$range":[0,1000]}}}"#;
    let errors = [doubling, wrapping, unwinding].map(|stage| {
        let budget = Budget::new(2_000_000, BYTES_MAX);
        let pipeline = parse(&format!("[{}]", [stage; 40].join(","))).unwrap();
        let input = vec![doc(r#"{"a":[1,2,3]}"#)];
        let error = pipeline.run_plain(input, &foreign, NOW_MS, &budget).unwrap_err();
        format!("{error}\n")
    });
    expect![[r#"
        this call would keep more than 8 MiB at once, operator $concatArrays, at field a
        result nests deeper than 200
        this call would keep more than 8 MiB at once, operator $range, at field a
    "#]]
    .assert_eq(&errors.concat());
}

#[test]
fn a_sample_depends_on_its_seed_alone() {
    let pipeline = parse(r#"[{"$sample":{"size":3}}]"#).unwrap();
    let [Part::Pure(segment)] = pipeline.parts() else { panic!("one segment") };
    let draw = |seed: u64| {
        let budget = Budget::default();
        let setting = Setting { now_ms: NOW_MS, seed, variables: Variables::NONE };
        let mut run = segment.start(setting);
        let mut out = Vec::new();
        for number in 0..100 {
            run.push(bson::doc! { "a": number }, &budget, &mut out).unwrap();
        }
        run.finish(&budget, &mut out).unwrap();
        out
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    assert_eq!(draw(3).len(), 3);
}

fn run(stages: &str, input: &[Document]) -> Vec<String> {
    let budget = Budget::default();
    let pipeline = parse(stages).unwrap();
    let results = pipeline.run_plain(input.to_vec(), &foreign, NOW_MS, &budget).unwrap();
    budget.keep(64 << 20).unwrap();
    results.iter().map(text).collect()
}

proptest! {
    #[test]
    fn a_sort_with_a_limit_is_a_sort_and_then_a_limit(
        input in prop::collection::vec(any_document(), 0..12),
        skip in 0_usize..4,
        limit in 1_usize..6,
    ) {
        let stages = format!(r#"[{{"$sort":{{"a":1,"b":-1}}}},{{"$skip":{skip}}},{{"$limit":{limit}}}]"#);
        let all = run(r#"[{"$sort":{"a":1,"b":-1}}]"#, &input);
        let wanted: Vec<_> = all.into_iter().skip(skip).take(limit).collect();
        prop_assert_eq!(run(&stages, &input), wanted);
    }

    #[test]
    fn groups_hold_each_document_once(input in prop::collection::vec(any_document(), 0..12)) {
        let groups = run(r#"[{"$group":{"_id":"$a","n":{"$sum":1}}},{"$group":{"_id":null,"n":{"$sum":"$n"},"groups":{"$sum":1}}}]"#, &input);
        let mut keys: Vec<Vec<u8>> = input.iter().map(|document| {
            let mut key = Vec::new();
            crate::key::encode(document.get("a").unwrap_or(&Bson::Null), &mut key);
            key
        }).collect();
        keys.sort();
        keys.dedup();
        let wanted = match input.len() {
            0 => Vec::new(),
            n => vec![format!(r#"{{"_id":null,"n":{n},"groups":{}}}"#, keys.len())],
        };
        prop_assert_eq!(groups, wanted);
    }

    #[test]
    fn a_projection_without_expressions_is_that_of_a_query(
        input in prop::collection::vec(any_document(), 0..4),
        projection in prop::sample::select(vec![
            r#"{"a":1}"#, r#"{"a.b":1,"c":1}"#, r#"{"a":0}"#, r#"{"a.b":0,"_id":0}"#,
            r#"{"_id":0}"#, r#"{"_id":1}"#, r#"{"a.b.c":1,"_id":0}"#, r#"{"a":0,"_id":1}"#,
        ]),
    ) {
        let known = crate::Projection::parse(&doc(projection)).unwrap();
        let wanted: Vec<_> = input.iter().map(|document| text(&known.apply(document.clone()))).collect();
        prop_assert_eq!(run(&format!(r#"[{{"$project":{projection}}}]"#), &input), wanted);
    }

    #[test]
    fn a_facet_of_a_pipeline_is_the_pipeline(input in prop::collection::vec(any_document(), 0..6)) {
        let stages = r#"[{"$unwind":"$a"},{"$match":{"b":{"$ne":1}}},{"$sortByCount":"$a"}]"#;
        let plain = run(stages, &input);
        let facet = run(&format!(r#"[{{"$facet":{{"f":{stages}}}}},{{"$unwind":"$f"}},{{"$replaceWith":"$f"}}]"#), &input);
        prop_assert_eq!(facet, plain);
    }
}
