//! `$cmp $eq $ne $gt $gte $lt $lte $not`: the total order of values, in which a missing value is below null.

use std::cmp::Ordering;

use bson::Bson;

use super::argument::Arguments;
use crate::compare::compare;
use crate::error::Result;
use crate::number::Number;

/// Whether a value counts as true.
pub(crate) fn truth(value: Option<&Bson>) -> bool {
    match value {
        None | Some(Bson::Null | Bson::Undefined) => false,
        Some(Bson::Boolean(truth)) => *truth,
        Some(other) => {
            Number::of(other).is_none_or(|number| number.compare(Number::Int(0)).is_ne())
        }
    }
}

/// The order of two values, either of which may be missing.
pub(super) fn order(a: Option<&Bson>, b: Option<&Bson>) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => compare(a, b),
        (None, None) => Ordering::Equal,
        (None, Some(Bson::MinKey)) => Ordering::Greater,
        (Some(Bson::MinKey), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Less,
        (Some(_), None) => Ordering::Greater,
    }
}

pub(super) fn cmp(args: &Arguments<'_>) -> Result<Option<Bson>> {
    Ok(Some(Bson::Int32(order(args.get(0), args.get(1)) as i32)))
}

pub(super) fn eq(args: &Arguments<'_>) -> Result<Option<Bson>> {
    compared(args, Ordering::is_eq)
}

pub(super) fn ne(args: &Arguments<'_>) -> Result<Option<Bson>> {
    compared(args, Ordering::is_ne)
}

pub(super) fn gt(args: &Arguments<'_>) -> Result<Option<Bson>> {
    compared(args, Ordering::is_gt)
}

pub(super) fn gte(args: &Arguments<'_>) -> Result<Option<Bson>> {
    compared(args, Ordering::is_ge)
}

pub(super) fn lt(args: &Arguments<'_>) -> Result<Option<Bson>> {
    compared(args, Ordering::is_lt)
}

pub(super) fn lte(args: &Arguments<'_>) -> Result<Option<Bson>> {
    compared(args, Ordering::is_le)
}

pub(super) fn not(args: &Arguments<'_>) -> Result<Option<Bson>> {
    Ok(Some(Bson::Boolean(!truth(args.get(0)))))
}

fn compared(args: &Arguments<'_>, wanted: fn(Ordering) -> bool) -> Result<Option<Bson>> {
    Ok(Some(Bson::Boolean(wanted(order(args.get(0), args.get(1))))))
}
