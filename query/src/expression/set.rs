//! Arrays as sets: order and repetitions do not count. Results are sorted.

use bson::Bson;

use super::argument::Arguments;
use super::compare::truth;
use crate::compare::{compare, equal};
use crate::error::Result;

pub(super) fn all_true(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let items = args.array(0)?;
    args.meter.step(items.len())?;
    Ok(Some(Bson::Boolean(items.iter().all(|item| truth(Some(item))))))
}

pub(super) fn any_true(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let items = args.array(0)?;
    args.meter.step(items.len())?;
    Ok(Some(Bson::Boolean(items.iter().any(|item| truth(Some(item))))))
}

pub(super) fn union(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.any_null() {
        return Ok(Some(Bson::Null));
    }
    let mut all = Vec::new();
    for index in 0..args.len() {
        all.extend(sorted(args, index)?);
    }
    all.sort_by(|a, b| compare(a, b));
    all.dedup_by(|a, b| equal(a, b));
    args.items(all)
}

pub(super) fn intersection(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.any_null() {
        return Ok(Some(Bson::Null));
    }
    if args.len() == 0 {
        return Ok(Some(Bson::Array(Vec::new())));
    }
    let mut common = sorted(args, 0)?;
    for index in 1..args.len() {
        let other = sorted(args, index)?;
        common.retain(|item| has(&other, item));
    }
    args.items(common)
}

/// Keeps the order of the first array.
pub(super) fn difference(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.any_null() {
        return Ok(Some(Bson::Null));
    }
    let (mine, theirs) = (sorted(args, 0)?, sorted(args, 1)?);
    let rest: Vec<&Bson> = mine.into_iter().filter(|item| !has(&theirs, item)).collect();
    let mut seen = vec![false; rest.len()];
    let mut kept = Vec::with_capacity(rest.len());
    for item in args.array(0)? {
        if let Ok(place) = rest.binary_search_by(|other| compare(other, item))
            && !std::mem::replace(&mut seen[place], true)
        {
            kept.push(item);
        }
    }
    args.items(kept)
}

pub(super) fn equals(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let first = sorted(args, 0)?;
    for index in 1..args.len() {
        let other = sorted(args, index)?;
        let same = first.len() == other.len();
        if !same || first.iter().zip(&other).any(|(a, b)| !equal(a, b)) {
            return Ok(Some(Bson::Boolean(false)));
        }
    }
    Ok(Some(Bson::Boolean(true)))
}

pub(super) fn is_subset(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let (mine, theirs) = (sorted(args, 0)?, sorted(args, 1)?);
    Ok(Some(Bson::Boolean(mine.iter().all(|item| has(&theirs, item)))))
}

/// The items, each once, in the order of values.
fn sorted<'a>(args: &'a Arguments<'_>, index: usize) -> Result<Vec<&'a Bson>> {
    let mut items: Vec<&Bson> = args.array(index)?.iter().collect();
    // Sorting compares each item about as often as its number has digits.
    args.meter.step(items.len().saturating_mul(4))?;
    items.sort_by(|a, b| compare(a, b));
    items.dedup_by(|a, b| equal(a, b));
    Ok(items)
}

fn has(set: &[&Bson], item: &Bson) -> bool {
    set.binary_search_by(|other| compare(other, item)).is_ok()
}
