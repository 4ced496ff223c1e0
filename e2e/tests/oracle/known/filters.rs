//! Known differences of filters.

use yunzhan_query::{Bson, Document};

use super::leads_through_array;

/// One operator of a filter on one field, wherever in the filter it stands, and the documents that it is asked about.
struct Test<'a> {
    path: &'a str,
    /// `$eq` where a value stands by itself.
    operator: &'a str,
    operand: &'a Bson,
    /// How many operators stand beside it.
    siblings: usize,
    documents: &'a [Document],
}

/// A known difference of filters.
struct Known {
    /// What MongoDB does, and mingo does not.
    what: &'static str,
    covers: fn(&Test<'_>) -> bool,
}

const KNOWN: &[Known] = &[
    Known {
        what: "a range bounded by an array or a document compares wholes, in the order of values",
        covers: |test| is_range(test) && matches!(test.operand, Bson::Array(_) | Bson::Document(_)),
    },
    Known {
        what: "$gte and $lte null match null and missing fields",
        covers: |test| is_range(test) && *test.operand == Bson::Null,
    },
    Known {
        what: "$mod takes numbers alone, and cuts their fraction off",
        covers: |test| test.operator == "$mod",
    },
    Known {
        what: "$size, $elemMatch and $all see each value behind an array, not an array of all of them",
        covers: |test| {
            ["$size", "$elemMatch", "$all"].contains(&test.operator) && is_through_array(test)
        },
    },
    Known {
        what: "a path through an array ends in each item of each array that it meets",
        covers: |test| is_through_array(test) && is_on_tags(test),
    },
    Known {
        what: "a path through an array is missing, and so null, for each item without the field, and for no other",
        covers: |test| is_through_array(test) && asks_for_absence(test),
    },
    Known {
        what: "an array among the items of an array counts as a whole",
        covers: |test| test.documents.iter().any(|document| nests_arrays(document, test.path)),
    },
    Known {
        what: "a filter in $elemMatch passes over items that are neither documents nor arrays",
        covers: |test| {
            let filter = test.operand.as_document().filter(|filter| !has_operators(filter));
            test.operator == "$elemMatch" && filter.is_some()
        },
    },
    Known {
        what: "$all matches a field that is no array like $and of its values",
        covers: |test| test.operator == "$all",
    },
    Known {
        what: "$in with an array among its values matches the whole array",
        covers: |test| {
            let arrays = test.operand.as_array().map(|items| items.iter().any(is_array));
            ["$in", "$nin"].contains(&test.operator) && arrays == Some(true)
        },
    },
    Known {
        what: "$regex holds together with the operators beside it",
        covers: |test| test.operator == "$regex" && test.siblings > 0,
    },
];

/// The row that covers a filter over documents about which both disagree.
pub(super) fn explanation(filter: &Document, documents: &[Document]) -> Option<&'static str> {
    let mut tests = Vec::new();
    collect(filter, documents, &mut tests);
    let covers = |known: &&Known| tests.iter().any(|test| (known.covers)(test));
    KNOWN.iter().find(covers).map(|known| known.what)
}

fn collect<'a>(filter: &'a Document, documents: &'a [Document], tests: &mut Vec<Test<'a>>) {
    for (key, operand) in filter {
        match operand {
            Bson::Array(parts) if key.starts_with('$') => {
                parts
                    .iter()
                    .filter_map(Bson::as_document)
                    .for_each(|part| collect(part, documents, tests));
            }
            Bson::Document(operators) if has_operators(operators) => {
                collect_operators(key, operators, documents, tests);
            }
            operand => {
                tests.push(Test { path: key, operator: "$eq", operand, siblings: 0, documents });
            }
        }
    }
}

fn collect_operators<'a>(
    path: &'a str,
    operators: &'a Document,
    documents: &'a [Document],
    tests: &mut Vec<Test<'a>>,
) {
    let siblings = operators.len() - 1;
    for (operator, operand) in operators {
        tests.push(Test { path, operator, operand, siblings, documents });
        match operand {
            Bson::Document(inner) if operator == "$not" => {
                collect_operators(path, inner, documents, tests);
            }
            // What is asked of the fields of items is told by the rows of ranges as well.
            Bson::Document(inner) if operator == "$elemMatch" && !has_operators(inner) => {
                collect(inner, documents, tests);
            }
            Bson::Document(inner) if operator == "$elemMatch" => {
                collect_operators(path, inner, documents, tests);
            }
            _ => {}
        }
    }
}

fn has_operators(document: &Document) -> bool {
    document.keys().next().is_some_and(|key| key.starts_with('$'))
}

fn is_range(test: &Test<'_>) -> bool {
    ["$gt", "$gte", "$lt", "$lte"].contains(&test.operator)
}

fn is_array(value: &Bson) -> bool {
    matches!(value, Bson::Array(_))
}

/// Whether there is an array in the array that the path meets first.
pub(super) fn nests_arrays(document: &Document, path: &str) -> bool {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    match document.get(name) {
        Some(Bson::Array(items)) => items.iter().any(is_array),
        Some(Bson::Document(inner)) => nests_arrays(inner, rest),
        _ => false,
    }
}

fn is_through_array(test: &Test<'_>) -> bool {
    test.documents.iter().any(|document| leads_through_array(document, test.path))
}

/// Whether the path ends in the field of the parts that holds arrays.
fn is_on_tags(test: &Test<'_>) -> bool {
    test.path.ends_with(".t")
}

/// Whether null or a missing field makes a difference.
fn asks_for_absence(test: &Test<'_>) -> bool {
    match test.operand {
        Bson::Null | Bson::Boolean(_) => true,
        Bson::Array(items) => items.is_empty() || items.contains(&Bson::Null),
        _ => false,
    }
}
