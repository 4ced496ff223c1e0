//! Known differences of orders and updates.

use yunzhan_query::compare::Class;
use yunzhan_query::{Bson, Document};

use super::{at, leads_through_array, repeats};

/// One operator of an update on one field.
struct Change<'a> {
    operator: &'a str,
    operand: &'a Bson,
    /// What is in the field; of a path through an array nothing is known.
    present: Option<&'a Bson>,
}

/// A known difference of updates.
struct Known {
    /// What MongoDB does, and mingo does not.
    what: &'static str,
    covers: fn(&Change<'_>) -> bool,
}

const KNOWN: &[Known] = &[
    Known {
        what: "$min and $max compare wholes, in the order of values of all types",
        covers: |change| {
            let Some(present) = change.present else { return false };
            let is_plain = Class::of(present) == Class::of(change.operand) && !is_whole(present);
            ["$min", "$max"].contains(&change.operator) && !is_plain
        },
    },
    Known {
        what: "$addToSet leaves what is there as it is, and adds each value once",
        covers: |change| {
            let added = each(change.operand);
            let is_repeated =
                change.present.and_then(Bson::as_array).is_some_and(|items| repeats(items));
            change.operator == "$addToSet"
                && (is_repeated || added.is_some_and(|items| repeats(items)))
        },
    },
    Known {
        what: "$sort, $slice and $position of $push count for a field that is not there too",
        covers: |change| change.operator == "$push" && change.present.is_none(),
    },
    Known {
        what: "$sort of $push orders values of all types",
        covers: |change| {
            let present = change.present.and_then(Bson::as_array);
            let mut items = present.into_iter().chain(each(change.operand)).flatten();
            let is_mixed = items.next().is_some_and(|first| {
                is_whole(first) || items.any(|item| Class::of(item) != Class::of(first))
            });
            change.operator == "$push" && is_mixed && sorts(change.operand)
        },
    },
    Known {
        what: "$pull and $pullAll ask about an item as a whole, also where that is an array",
        covers: |change| {
            let present = change.present.and_then(Bson::as_array);
            let nests = present.is_some_and(|items| items.iter().any(is_whole));
            nests && ["$pull", "$pullAll"].contains(&change.operator)
        },
    },
];

/// The row that covers an update of a document.
pub(super) fn update_explanation(update: &Document, document: &Document) -> Option<&'static str> {
    let changes = update.iter().flat_map(|(operator, fields)| {
        let fields = fields.as_document().into_iter().flatten();
        fields.map(move |(path, operand)| Change { operator, operand, present: at(document, path) })
    });
    let changes: Vec<_> = changes.collect();
    let covers = |known: &&Known| changes.iter().any(|change| (known.covers)(change));
    KNOWN.iter().find(covers).map(|known| known.what)
}

/// A known difference of orders.
struct Ordered {
    /// What MongoDB does, and mingo does not.
    what: &'static str,
    covers: fn(&Met) -> bool,
}

/// By what the fields of an order hold, where mingo orders otherwise than MongoDB.
const ORDERS: &[Ordered] = &[
    Ordered {
        what: "an array counts with its least item upwards and its greatest downwards",
        covers: |met| met.array,
    },
    Ordered {
        what: "an empty array comes before null and missing fields",
        covers: |met| met.empty_array,
    },
    Ordered {
        what: "documents are ordered field by field: by type, name and value",
        covers: |met| met.document,
    },
];

/// The row that covers an order of documents.
pub(super) fn order_explanation(order: &Document, documents: &[Document]) -> Option<&'static str> {
    let mut met = Met::default();
    for document in documents {
        for path in order.keys() {
            met.array |= leads_through_array(document, path);
            match at(document, path) {
                Some(Bson::Array(items)) if items.is_empty() => met.empty_array = true,
                Some(Bson::Array(_)) => met.array = true,
                Some(Bson::Document(_)) => met.document = true,
                _ => {}
            }
        }
    }
    ORDERS.iter().find(|known| (known.covers)(&met)).map(|known| known.what)
}

/// What stands in the fields of an order.
#[derive(Default)]
struct Met {
    array: bool,
    empty_array: bool,
    document: bool,
}

fn each(operand: &Bson) -> Option<&Vec<Bson>> {
    operand.as_document()?.get("$each")?.as_array()
}

fn sorts(operand: &Bson) -> bool {
    operand.as_document().is_some_and(|push| push.contains_key("$sort"))
}

fn is_whole(value: &Bson) -> bool {
    matches!(value, Bson::Array(_) | Bson::Document(_))
}
