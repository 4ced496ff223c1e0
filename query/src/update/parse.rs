//! From an update document to an [`Update`].

use bson::{Bson, DateTime, Document, Timestamp};

use super::array::Push;
use super::target::Filters;
use super::{Action, BitOperation, CHANGES_MAX, Change, End, Kind, Options, REMOVALS_MAX, Update};
use crate::compare::compare;
use crate::document::{DOCUMENT_DEPTH_MAX, check_insert, depth, too_deep};
use crate::error::{Error, Kind as ErrorKind, Result};
use crate::filter::ItemFilter;
use crate::number::Number;
use crate::path::Path;

pub(super) fn parse(document: Document, options: &Options<'_>) -> Result<Update> {
    if document.keys().next().is_some_and(|key| key.starts_with('$')) {
        return parse_operators(document, options);
    }
    if !options.array_filters.is_empty() {
        return Err(Error::value("a replacement takes no array filters"));
    }
    check_insert(&document)?;
    Ok(Update(Kind::Replace(document)))
}

/// How the operand of an operator is read.
type ReadOperand = fn(Bson, &Options<'_>) -> Result<Action>;

/// Every operator.
const OPERATORS: &[(&str, ReadOperand)] = &[
    ("$set", |value, _| Ok(Action::Set(value))),
    ("$setOnInsert", |value, _| Ok(Action::SetOnInsert(value))),
    ("$unset", |_, _| Ok(Action::Unset)),
    ("$inc", |operand, _| number(operand).map(Action::Add)),
    ("$mul", |operand, _| number(operand).map(Action::Multiply)),
    ("$min", |value, _| Ok(Action::Min(value))),
    ("$max", |value, _| Ok(Action::Max(value))),
    ("$bit", |operand, _| bits(&operand).map(Action::Bits)),
    ("$rename", |target, _| rename(&target).map(Action::Rename)),
    ("$push", |operand, _| Push::parse(operand).map(Action::Push)),
    ("$addToSet", |operand, _| add_to_set(operand).map(Action::AddToSet)),
    ("$pop", |operand, _| end(&operand).map(Action::Pop)),
    ("$pull", |condition, _| ItemFilter::parse(&condition).map(Action::Pull)),
    ("$pullAll", |operand, _| sorted(operand).map(Action::PullAll)),
    ("$currentDate", |kind, options| current_date(&kind, options).map(Action::Set)),
];

fn parse_operators(document: Document, options: &Options<'_>) -> Result<Update> {
    let mut filters = Filters::parse(options)?;
    let mut changes = Vec::new();
    for (name, operand) in document {
        let Some(&(operator, read)) = OPERATORS.iter().find(|(operator, _)| *operator == name)
        else {
            return Err(Error::unknown_operator(&name));
        };
        let Bson::Document(fields) = operand else {
            return Err(Error::value("needs a document of fields").operator(operator));
        };
        for (field, operand) in fields {
            let change = parse_change((operator, read), &field, operand, &mut filters, options);
            changes.push(change.map_err(|error| error.operator(operator).at(&field))?);
        }
    }
    if changes.len() > CHANGES_MAX {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("update has over {CHANGES_MAX} changes"),
        ));
    }
    let is_removal = |change: &&Change| matches!(change.action, Action::Unset | Action::Rename(_));
    if changes.iter().filter(is_removal).count() > REMOVALS_MAX {
        return Err(Error::new(
            ErrorKind::TooLarge,
            format!("update removes over {REMOVALS_MAX} fields"),
        ));
    }
    check_conflicts(&changes)?;
    Ok(Update(Kind::Change(changes, filters.finish()?)))
}

fn parse_change(
    (operator, read): (&'static str, ReadOperand),
    field: &str,
    operand: Bson,
    filters: &mut Filters,
    options: &Options<'_>,
) -> Result<Change> {
    let path = Path::parse(field)?;
    let pattern = filters.pattern(&path, &operand)?;
    // One level is left for the array around a pushed item.
    if path.segments().len() + depth(&operand) >= DOCUMENT_DEPTH_MAX {
        return Err(too_deep());
    }
    let action = read(operand, options)?;
    if pattern.is_some() && matches!(action, Action::Rename(_)) {
        return Err(Error::new(ErrorKind::InvalidPath, "cannot rename an item of an array"));
    }
    Ok(Change { operator, path, pattern, action })
}

fn parse_name(text: &str) -> Result<Path> {
    let path = Path::parse(text)?;
    if path.segments().iter().any(|segment| segment.name.starts_with('$')) {
        return Err(
            Error::new(ErrorKind::InvalidPath, "a field name may not begin with $").at(text)
        );
    }
    Ok(path)
}

/// In sorted order a path stands right before the paths below it, so that neighbours show every conflict.
fn check_conflicts(changes: &[Change]) -> Result<()> {
    let mut paths: Vec<(&Path, &'static str)> = Vec::with_capacity(changes.len());
    for change in changes {
        paths.push((&change.path, change.operator));
        if let Action::Rename(target) = &change.action {
            paths.push((target, change.operator));
        }
    }
    paths.sort();
    match paths.windows(2).find(|pair| pair[0].0.contains(pair[1].0)) {
        Some(pair) => {
            let message = format!("update of {} conflicts with another change", pair[0].0);
            Err(Error::new(ErrorKind::Conflict, message).operator(pair[1].1).at(pair[1].0))
        }
        None => Ok(()),
    }
}

fn number(operand: Bson) -> Result<Bson> {
    match operand {
        Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) => Ok(operand),
        _ => Err(Error::value("needs an integer or a double")),
    }
}

fn array(operand: Bson) -> Result<Vec<Bson>> {
    match operand {
        Bson::Array(items) => Ok(items),
        _ => Err(Error::value("needs an array")),
    }
}

/// Sorted, so that each item of the document's array is searched in it.
fn sorted(operand: Bson) -> Result<Vec<Bson>> {
    let mut items = array(operand)?;
    items.sort_by(compare);
    Ok(items)
}

fn add_to_set(operand: Bson) -> Result<Vec<Bson>> {
    match operand {
        Bson::Document(mut document) if document.contains_key("$each") => {
            if document.len() > 1 {
                return Err(Error::value("takes no modifier but $each"));
            }
            array(document.remove("$each").unwrap_or_default())
        }
        value => Ok(vec![value]),
    }
}

fn rename(target: &Bson) -> Result<Path> {
    parse_name(target.as_str().ok_or_else(|| Error::value("needs the new name, a string"))?)
}

/// `true` and `{$type: "date"}` are the date, `{$type: "timestamp"}` the time of replication.
fn current_date(kind: &Bson, options: &Options<'_>) -> Result<Bson> {
    let now_ms = options.now_ms.ok_or_else(|| Error::value("no time is known here"))?;
    let named = kind.as_document().filter(|document| document.len() == 1);
    match (kind, named.and_then(|document| document.get_str("$type").ok())) {
        (Bson::Boolean(_), _) | (_, Some("date")) => {
            Ok(Bson::DateTime(DateTime::from_millis(now_ms)))
        }
        (_, Some("timestamp")) => {
            let time = u32::try_from(now_ms.div_euclid(1000)).unwrap_or_default();
            Ok(Bson::Timestamp(Timestamp { time, increment: 1 }))
        }
        _ => Err(Error::value("needs true, or a $type that is date or timestamp")),
    }
}

fn end(operand: &Bson) -> Result<End> {
    match Number::of(operand).and_then(Number::integer) {
        Some(1) => Ok(End::Last),
        Some(-1) => Ok(End::First),
        _ => Err(Error::value("needs 1 for the last item or -1 for the first")),
    }
}

fn bits(operand: &Bson) -> Result<Vec<(BitOperation, Bson)>> {
    let document = operand.as_document().filter(|document| !document.is_empty());
    let document = document.ok_or_else(|| Error::value("needs a document of and, or, xor"))?;
    document
        .iter()
        .map(|(name, mask)| {
            let operation = match name.as_str() {
                "and" => BitOperation::And,
                "or" => BitOperation::Or,
                "xor" => BitOperation::Xor,
                _ => return Err(Error::value("knows and, or, xor")),
            };
            match mask {
                Bson::Int32(_) | Bson::Int64(_) => Ok((operation, mask.clone())),
                _ => Err(Error::value("needs integers")),
            }
        })
        .collect()
}

#[test]
fn every_operator_is_documented() {
    let names: Vec<&str> = OPERATORS.iter().map(|(name, _)| *name).collect();
    crate::testing::check_documented("updates", &names);
}
