//! Which fields of the collection's documents can a pipeline read?
//!
//! Asked backwards: what comes out is read whole, and each stage says what must go into it for that. Stages that gather
//! (`$group`), replace or choose fields (`$project`) forget what is asked behind them; others add to it. A field that is
//! overwritten still counts as read, because its place among the others is seen later.

use super::segment::Stage;
use super::{Part, Pipeline};
use crate::needs::Needs;

/// What must go into the pipeline.
pub(super) fn needs(pipeline: &Pipeline) -> Needs {
    // The distance is measured, and written into the document, before any part sees it.
    if pipeline.geo_near.is_some() {
        return Needs::All;
    }
    pipeline.parts.iter().rev().fold(Needs::All, |behind, part| match part {
        Part::Pure(segment) => segment.stages.iter().rev().fold(behind, of_stage),
        Part::Lookup(lookup) => lookup.needs(behind),
        // The recursion is as deep as pipelines nest, which the parser bounds.
        Part::Facet(facets) => {
            facets.iter().map(|(_, inner)| needs(inner)).fold(Needs::nothing(), Needs::or)
        }
    })
}

/// What must go into a stage, if `behind` must come out of it.
fn of_stage(behind: Needs, stage: &Stage) -> Needs {
    match stage {
        Stage::Match(select) => {
            let mut needs = behind;
            select.filter.add_needs(&mut needs);
            select.expressions.iter().for_each(|expression| expression.add_needs(&mut needs));
            needs
        }
        Stage::Shape(shape) => shape.needs(behind),
        Stage::Replace(expression) => {
            let mut needs = Needs::nothing();
            expression.add_needs(&mut needs);
            needs
        }
        // It is asked about every document inside.
        Stage::Redact(_) => Needs::All,
        Stage::Unwind(unwind) => unwind.needs(behind),
        Stage::Skip(_) | Stage::Limit(_) | Stage::Sample(_) => behind,
        Stage::Sort(sort) => behind.or(sort.order.needs()),
        Stage::Group(group) => group.needs(),
        Stage::Auto(auto) => auto.needs(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use expect_test::{Expect, expect};

    use crate::budget::Budget;
    use crate::filter::{self, Filter};
    use crate::generate::{Dialect, Generator};
    use crate::key::sort_key;
    use crate::needs::Needs;
    use crate::order::Order;
    use crate::pipeline::{Limits, Pipeline};
    use crate::testing::{NOW_MS, value};
    use crate::{Bson, Document};

    fn check(pipelines: &str, expected: &Expect) {
        let mut shown = String::new();
        for line in pipelines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let stages: Vec<Document> = value(line)
                .as_array()
                .unwrap()
                .iter()
                .map(|stage| stage.as_document().unwrap().clone())
                .collect();
            let pipeline = Pipeline::parse(&stages, &Limits::default()).unwrap();
            let needs = match pipeline.needs() {
                Needs::All => "all".to_owned(),
                Needs::Only(names) => format!("{names:?}"),
            };
            shown += &format!("{line}\n  {needs}\n");
        }
        expected.assert_eq(&shown);
    }

    #[test]
    fn what_comes_out_whole_is_read_whole() {
        check(
            r#"
            []
            [{"$match":{"a":1}},{"$sort":{"b":1}},{"$limit":3}]
            [{"$addFields":{"a":1}}]
            [{"$unset":"a"}]
            [{"$group":{"_id":"$$ROOT"}}]
            [{"$group":{"_id":null,"all":{"$push":"$$CURRENT"}}}]
            [{"$redact":"$$KEEP"},{"$count":"n"}]
            [{"$facet":{"n":[{"$count":"n"}],"all":[{"$limit":2}]}}]
            [{"$geoNear":{"near":[1,2],"distanceField":"d"}},{"$count":"n"}]
            "#,
            &expect![[r#"
                []
                  all
                [{"$match":{"a":1}},{"$sort":{"b":1}},{"$limit":3}]
                  all
                [{"$addFields":{"a":1}}]
                  all
                [{"$unset":"a"}]
                  all
                [{"$group":{"_id":"$$ROOT"}}]
                  all
                [{"$group":{"_id":null,"all":{"$push":"$$CURRENT"}}}]
                  all
                [{"$redact":"$$KEEP"},{"$count":"n"}]
                  all
                [{"$facet":{"n":[{"$count":"n"}],"all":[{"$limit":2}]}}]
                  all
                [{"$geoNear":{"near":[1,2],"distanceField":"d"}},{"$count":"n"}]
                  all
            "#]],
        );
    }

    #[test]
    fn what_is_forgotten_is_not_read() {
        check(
            r#"
            [{"$count":"n"}]
            [{"$group":{"_id":"$s.t","sum":{"$sum":"$n"},"count":{"$sum":1}}}]
            [{"$match":{"a.b":1,"$or":[{"c":1},{"$expr":{"$gt":["$d.e","$$ROOT.f"]}}]}},{"$count":"n"}]
            [{"$sort":{"a.b":1,"c":-1}},{"$project":{"d":1,"e.f":1,"g":{"$add":["$h",1]}}},{"$match":{"z":1}}]
            [{"$addFields":{"a":"$b","c.d":1}},{"$replaceWith":{"a":"$a","e":"$e"}}]
            [{"$unwind":{"path":"$a.b","includeArrayIndex":"i"}},{"$sortByCount":"$c"}]
            [{"$unset":["a","b.c"]},{"$bucketAuto":{"groupBy":"$d","buckets":2}}]
            [{"$lookup":{"from":"x","localField":"a.b","foreignField":"c","as":"d","let":{"v":"$e"},"pipeline":[{"$match":{"$expr":{"$eq":["$f","$$v"]}}}]}},{"$count":"n"}]
            [{"$facet":{"n":[{"$count":"n"}],"s":[{"$sortByCount":"$s"}],"a":[{"$bucket":{"groupBy":"$a","boundaries":[0,1],"default":2}}]}}]
            [{"$project":{"_id":0,"x":{"$let":{"vars":{"v":"$a"},"in":{"$map":{"input":"$b","in":{"$cond":["$c","$$this","$$v.w"]}}}}}}}]
            [{"$project":{"_id":0,"x":{"$switch":{"branches":[{"case":"$a","then":"$b"}],"default":{"$reduce":{"input":"$c","initialValue":"$d","in":{"$filter":{"input":"$e","cond":"$f","limit":"$g"}}}}}}}}]
            "#,
            &expect![[r#"
                [{"$count":"n"}]
                  {}
                [{"$group":{"_id":"$s.t","sum":{"$sum":"$n"},"count":{"$sum":1}}}]
                  {"n", "s"}
                [{"$match":{"a.b":1,"$or":[{"c":1},{"$expr":{"$gt":["$d.e","$$ROOT.f"]}}]}},{"$count":"n"}]
                  {"a", "c", "d", "f"}
                [{"$sort":{"a.b":1,"c":-1}},{"$project":{"d":1,"e.f":1,"g":{"$add":["$h",1]}}},{"$match":{"z":1}}]
                  {"_id", "a", "c", "d", "e", "h"}
                [{"$addFields":{"a":"$b","c.d":1}},{"$replaceWith":{"a":"$a","e":"$e"}}]
                  {"a", "b", "c", "e"}
                [{"$unwind":{"path":"$a.b","includeArrayIndex":"i"}},{"$sortByCount":"$c"}]
                  {"a", "c"}
                [{"$unset":["a","b.c"]},{"$bucketAuto":{"groupBy":"$d","buckets":2}}]
                  {"b", "d"}
                [{"$lookup":{"from":"x","localField":"a.b","foreignField":"c","as":"d","let":{"v":"$e"},"pipeline":[{"$match":{"$expr":{"$eq":["$f","$$v"]}}}]}},{"$count":"n"}]
                  {"a", "e"}
                [{"$facet":{"n":[{"$count":"n"}],"s":[{"$sortByCount":"$s"}],"a":[{"$bucket":{"groupBy":"$a","boundaries":[0,1],"default":2}}]}}]
                  {"a", "s"}
                [{"$project":{"_id":0,"x":{"$let":{"vars":{"v":"$a"},"in":{"$map":{"input":"$b","in":{"$cond":["$c","$$this","$$v.w"]}}}}}}}]
                  {"a", "b", "c"}
                [{"$project":{"_id":0,"x":{"$switch":{"branches":[{"case":"$a","then":"$b"}],"default":{"$reduce":{"input":"$c","initialValue":"$d","in":{"$filter":{"input":"$e","cond":"$f","limit":"$g"}}}}}}}}]
                  {"a", "b", "c", "d", "e", "f", "g"}
            "#]],
        );
    }

    /// The document without what is not read.
    fn pruned(document: &Document, needs: &Needs) -> Document {
        let fields = document.iter().filter(|(name, _)| needs.includes(name));
        fields.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// A generated pipeline, or a facet of some, with a stage more behind it that chooses, gathers or goes on.
    fn stages(generator: &mut Generator, round: u64) -> Vec<Document> {
        let more = [
            r#"[{"$project":{"n":1,"o.s":1,"l":1}}]"#,
            r#"[{"$addFields":{"o.n":"$m","n":"$s","k":"$b"}},{"$project":{"n":1,"o":1,"s":1,"k":1}}]"#,
            r#"[{"$group":{"_id":"$s","all":{"$push":{"o":"$o","t":"$t.0"}},"last":{"$last":"$x"}}}]"#,
            r#"[{"$bucketAuto":{"groupBy":"$n","buckets":3,"output":{"u":{"$addToSet":"$u"}}}}]"#,
            r#"[{"$unwind":{"path":"$l","includeArrayIndex":"o.i"}},{"$project":{"l":1,"o":1}}]"#,
            r#"[{"$redact":{"$cond":[{"$eq":["$n",1]},"$$PRUNE","$$DESCEND"]}},{"$count":"c"}]"#,
            r#"[{"$sample":{"size":3}},{"$replaceWith":{"a":"$o","b":"$$ROOT.d"}}]"#,
            r#"[{"$lookup":{"from":"other","let":{"v":"$n","w":"$o.n"},"pipeline":[{"$match":{"$expr":{"$eq":["$n","$$w"]}}},{"$project":{"v":"$$v"}}],"as":"o.j"}},{"$project":{"o":1}}]"#,
            r#"[{"$lookup":{"from":"other","localField":"m","foreignField":"n","as":"j"}},{"$project":{"j.n":1}}]"#,
            r#"[{"$unwind":"$t"},{"$count":"c"}]"#,
            "[]",
        ];
        let own = generator.pipeline("other");
        let more = value(more[(round % more.len() as u64) as usize]);
        let more =
            more.as_array().unwrap().iter().map(|stage| stage.as_document().unwrap().clone());
        let mut stages: Vec<Document> = own.into_iter().chain(more).collect();
        if round.is_multiple_of(5) {
            let list = |stages: Vec<Document>| {
                Bson::Array(stages.into_iter().map(Bson::Document).collect())
            };
            let facets = [
                ("a".to_owned(), list(stages)),
                ("b".to_owned(), list(generator.pipeline("other"))),
            ];
            let facets = Document::from_iter(facets);
            stages = vec![Document::from_iter([("$facet".to_owned(), Bson::Document(facets))])];
        }
        stages
    }

    /// The oracle of the whole analysis: whatever it leaves out, nobody misses.
    #[test]
    fn nobody_misses_what_is_not_needed() {
        let mut narrow = 0;
        for seed in 0..4000 {
            let mut generator = Generator::new(seed, Dialect::Whole);
            let documents = generator.documents(12);
            let others = generator.documents(6);
            let foreign = |_: &str| others.clone();
            let stages = stages(&mut generator, seed);
            // A few are refused, for a projection that mixes.
            let Ok(pipeline) = Pipeline::parse(&stages, &Limits::default()) else { continue };
            let run = |documents| {
                let found = pipeline.run_plain(documents, &foreign, NOW_MS, &Budget::default());
                found.map_err(|error| error.to_string())
            };
            let needs = pipeline.needs();
            let few = documents.iter().map(|document| pruned(document, &needs)).collect();
            assert_eq!(run(documents), run(few), "seed {seed}: {stages:?} needs {needs:?}");
            narrow += u64::from(needs != Needs::All);
        }
        assert!(narrow > 2000, "only {narrow} pipelines were narrow");
    }

    #[test]
    fn filters_and_orders_say_what_they_read() {
        for seed in 0..2000 {
            let mut generator = Generator::new(seed, Dialect::Whole);
            let filter = generator.filter();
            let parsed = Filter::parse(&filter, &filter::Limits::default()).unwrap();
            let order = Order::parse(&generator.order()).unwrap();
            for document in generator.documents(10) {
                let few = pruned(&document, &parsed.needs());
                let matches = |document| {
                    let matches = parsed.matches(document, &Budget::default());
                    matches.map_err(|error| error.to_string())
                };
                assert_eq!(matches(&document), matches(&few), "{filter} on {document}");
                let few = pruned(&document, &order.needs());
                assert_eq!(sort_key(&document, &order), sort_key(&few, &order), "{document}");
            }
        }
    }
}
