//! Known differences of pipelines, by the first stage that gave something else.

use yunzhan_query::compare::{Class, compare};
use yunzhan_query::expression::{Limits, Scope};
use yunzhan_query::{Bson, Budget, Document, Expression};

use super::{at, changes, filters, leads_through_array};
use crate::compare::is_same;

/// One stage that was answered differently.
struct Stage<'a> {
    name: &'a str,
    operand: &'a Bson,
    input: &'a [Document],
    ours: &'a [Document],
    theirs: &'a [Document],
}

/// A known difference of stages.
struct Known {
    /// What MongoDB does, and mingo does not.
    what: &'static str,
    covers: fn(&Stage<'_>) -> bool,
}

const KNOWN: &[Known] = &[
    Known {
        what: "$count says nothing of no documents",
        covers: |stage| stage.name == "$count" && stage.ours.is_empty(),
    },
    Known {
        what: "$bucket gives no empty buckets",
        covers: |stage| stage.name == "$bucket" && is_like(stage.ours, &full(stage.theirs)),
    },
    Known {
        what: "a value that equals a boundary of $bucket belongs above it, and an array to no bucket",
        covers: |stage| stage.name == "$bucket" && is_at_boundary_or_array(stage),
    },
    Known {
        what: "$unwind takes what is no array, also what is empty, for an array of it",
        covers: |stage| stage.name == "$unwind" && unwinds_something_empty(stage),
    },
    Known {
        what: "$push and $addToSet take nothing of a missing field",
        covers: |stage| {
            stage.name == "$group"
                && is_like(&without_nulls(stage.ours), &without_nulls(stage.theirs))
        },
    },
    Known {
        what: "$min and $max of $group compare wholes, in the order of values of all types",
        covers: |stage| {
            stage.name == "$group"
                && any_call(stage.operand, &["$min", "$max"], &mut |operand| {
                    mixes(stage.input, &[operand])
                })
        },
    },
    Known {
        what: "$lookup adds nothing for a value that finds nothing, and each document once, in their order",
        covers: |stage| {
            stage.name == "$lookup" && is_like(&joined_once(stage.ours), &joined_once(stage.theirs))
        },
    },
    Known {
        what: "a local list without values looks up null",
        covers: |stage| stage.name == "$lookup" && differs_by_lists_without_values(stage),
    },
    Known {
        what: "$toUpper and $toLower know the letters of ASCII alone",
        covers: |stage| {
            any_call(stage.operand, &["$toUpper", "$toLower"], &mut |_| true)
                && !is_ascii(stage.input)
        },
    },
    Known {
        what: "$week counts from the first Sunday of the year on, $isoWeekYear is the year of the Thursday",
        covers: |stage| any_call(stage.operand, &["$week", "$isoWeekYear"], &mut |_| true),
    },
    Known {
        what: "the order of what set operators give is not specified",
        covers: |stage| {
            any_call(
                stage.operand,
                &["$setUnion", "$setIntersection", "$setDifference"],
                &mut |_| true,
            )
        },
    },
    Known {
        what: "a path of an expression leads into the documents of an array, not into arrays in it",
        covers: |stage| {
            let meets = |path| stage.input.iter().any(|input| filters::nests_arrays(input, path));
            paths(stage.operand).into_iter().any(meets)
        },
    },
    Known {
        what: "expressions compare values of all types, and missing fields",
        covers: |stage| compares_types(stage.operand, stage.input),
    },
];

/// A known refusal of mingo's.
struct Refusal {
    /// What MongoDB does.
    what: &'static str,
    covers: fn(&str, &Bson, &[Document]) -> bool,
}

const REFUSALS: &[Refusal] = &[
    Refusal {
        what: "$mod of null or of a missing field is null",
        covers: |words, _, _| words.starts_with("$mod expression must resolve to array of number"),
    },
    Refusal {
        what: "a part of a date that is null or missing is null",
        covers: |words, _, _| words.starts_with("cannot convert \"$d\" to date"),
    },
    Refusal {
        what: "$sum of null or of a missing field is 0, and $avg, $min and $max of it are null",
        covers: |words, _, _| words.starts_with("arguments must resolve to array for $"),
    },
    Refusal {
        what: "$substrCP takes a number or a date for its text",
        covers: |words, _, _| words.starts_with("$substrCP arg1 <string> expression"),
    },
    Refusal {
        what: "$add is null as soon as one operand is null or missing, whatever stands beside it",
        covers: |words, _, _| words.starts_with("$add expression must resolve to array of numbers"),
    },
    Refusal {
        what: "expressions compare values of all types, and so take another branch",
        covers: |_, operand, input| compares_types(operand, input),
    },
];

/// The row that covers a stage.
pub(super) fn explanation(
    stage: &Document,
    input: &[Document],
    answers: Result<(&[Document], &[Document]), &str>,
) -> Option<&'static str> {
    let (name, operand) = stage.iter().next()?;
    let (ours, theirs) = match answers {
        Ok(answers) => answers,
        Err(words) => {
            let known = REFUSALS.iter().find(|known| (known.covers)(words, operand, input));
            return known.map(|known| known.what);
        }
    };
    match (name.as_str(), operand.as_document()) {
        ("$sort", Some(order)) => return changes::order_explanation(order, input),
        ("$match", Some(filter)) => return matching(filter, input, ours, theirs),
        _ => {}
    }
    let stage = Stage { name, operand, input, ours, theirs };
    KNOWN.iter().find(|known| (known.covers)(&stage)).map(|known| known.what)
}

/// As of a filter, about the documents that only one of both lets through.
fn matching(
    filter: &Document,
    input: &[Document],
    ours: &[Document],
    theirs: &[Document],
) -> Option<&'static str> {
    let holds = |answers: &[Document], document: &Document| {
        answers.iter().any(|answer| is_same(answer, document))
    };
    let disputed: Vec<_> = input
        .iter()
        .filter(|document| holds(ours, document) != holds(theirs, document))
        .cloned()
        .collect();
    filters::explanation(filter, &disputed)
}

fn is_like(ours: &[Document], theirs: &[Document]) -> bool {
    ours.len() == theirs.len()
        && ours.iter().zip(theirs).all(|(ours, theirs)| is_same(ours, theirs))
}

/// The buckets that hold something.
fn full(buckets: &[Document]) -> Vec<Document> {
    let is_full = |bucket: &&Document| bucket.get_i32("count").unwrap_or(1) != 0;
    buckets.iter().filter(is_full).cloned().collect()
}

fn is_at_boundary_or_array(stage: &Stage<'_>) -> bool {
    let boundaries =
        stage.operand.as_document().and_then(|bucket| bucket.get_array("boundaries").ok());
    let values = values(stage.input, &stage.operand.as_document().unwrap()["groupBy"]);
    values.iter().flatten().any(|value| {
        let is_boundary = |boundary: &Bson| compare(boundary, value).is_eq();
        matches!(value, Bson::Array(_)) || boundaries.is_some_and(|all| all.iter().any(is_boundary))
    })
}

fn unwinds_something_empty(stage: &Stage<'_>) -> bool {
    let path = match stage.operand {
        Bson::Document(unwind) => unwind.get_str("path").unwrap(),
        path => path.as_str().unwrap(),
    };
    stage.input.iter().any(|document| match at(document, path.trim_start_matches('$')) {
        Some(Bson::String(text)) => text.is_empty(),
        Some(Bson::Document(inner)) => inner.is_empty(),
        _ => false,
    })
}

/// Without the nulls in arrays.
fn without_nulls(documents: &[Document]) -> Vec<Document> {
    let clean = |value: &Bson| match value {
        Bson::Array(items) => items.iter().filter(|item| **item != Bson::Null).cloned().collect(),
        other => other.clone(),
    };
    let cleaned = |document: &Document| {
        document.iter().map(|(name, value)| (name.clone(), clean(value))).collect()
    };
    documents.iter().map(cleaned).collect()
}

/// With the documents of each lookup once, in the order of their ids.
fn joined_once(documents: &[Document]) -> Vec<Document> {
    let mut documents = documents.to_vec();
    for document in &mut documents {
        let Ok(joined) = document.get_array_mut("joined") else { continue };
        joined.retain(|found| *found != Bson::Null);
        joined.sort_by(|one, other| compare(id(one), id(other)));
        joined.dedup_by(|one, other| compare(id(one), id(other)).is_eq());
    }
    documents
}

fn id(found: &Bson) -> &Bson {
    &found.as_document().expect("what is found is a document")["_id"]
}

/// Whether all that differs is what mingo does not find for a local field that ends in an empty list, or lies behind one.
fn differs_by_lists_without_values(stage: &Stage<'_>) -> bool {
    let path = stage.operand.as_document().unwrap().get_str("localField").unwrap();
    let (ours, theirs) = (joined_once(stage.ours), joined_once(stage.theirs));
    let mut answers = ours.iter().zip(&theirs).zip(stage.input);
    answers.all(|((ours, theirs), document)| {
        let is_list = matches!(at(document, path), Some(Bson::Array(_)));
        let finds_none = theirs.get_array("joined").is_ok_and(Vec::is_empty);
        is_same(ours, theirs) || finds_none && (is_list || leads_through_array(document, path))
    })
}

fn is_ascii(documents: &[Document]) -> bool {
    documents.iter().all(|document| document.to_string().is_ascii())
}

/// Whether one of these operators is called somewhere in an expression with operands of which this holds.
fn any_call(expression: &Bson, operators: &[&str], holds: &mut dyn FnMut(&Bson) -> bool) -> bool {
    match expression {
        Bson::Document(fields) => fields.iter().any(|(name, operand)| {
            (operators.contains(&name.as_str()) && holds(operand))
                || any_call(operand, operators, holds)
        }),
        Bson::Array(items) => items.iter().any(|item| any_call(item, operators, holds)),
        _ => false,
    }
}

/// Whether an expression compares what has several types.
fn compares_types(expression: &Bson, input: &[Document]) -> bool {
    const COMPARISONS: &[&str] = &["$eq", "$ne", "$cmp", "$gt", "$gte", "$lt", "$lte"];
    any_call(expression, COMPARISONS, &mut |operands| {
        let operands: Vec<_> = operands.as_array().into_iter().flatten().collect();
        mixes_in_a_document(input, &operands)
    })
}

/// The paths of several parts in an expression.
fn paths(expression: &Bson) -> Vec<&str> {
    match expression {
        Bson::Document(fields) => fields.values().flat_map(paths).collect(),
        Bson::Array(items) => items.iter().flat_map(paths).collect(),
        Bson::String(text) => {
            text.strip_prefix('$').filter(|path| path.contains('.')).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// Whether the values of these expressions have several types in one of the documents.
fn mixes_in_a_document(input: &[Document], expressions: &[&Bson]) -> bool {
    input.iter().any(|document| mixes(std::slice::from_ref(document), expressions))
}

/// Whether the values of these expressions have several types, or are wholes. Where they depend on a variable nothing is
/// known.
fn mixes(input: &[Document], expressions: &[&Bson]) -> bool {
    if expressions.iter().any(|expression| expression.to_string().contains("$$")) {
        return true;
    }
    let values: Vec<_> =
        expressions.iter().flat_map(|expression| values(input, expression)).collect();
    let class = |value: &Option<Bson>| value.as_ref().map(Class::of);
    let is_whole = |value: &Option<Bson>| matches!(value, Some(Bson::Array(_) | Bson::Document(_)));
    values.iter().any(is_whole) || values.windows(2).any(|pair| class(&pair[0]) != class(&pair[1]))
}

/// What an expression gives for each document.
fn values(input: &[Document], expression: &Bson) -> Vec<Option<Bson>> {
    let expression = Expression::parse(expression, &Limits::default()).unwrap();
    let budget = Budget::default();
    let value = |document| expression.evaluate(&Scope::new(document, 0, &budget)).unwrap();
    input.iter().map(value).collect()
}
