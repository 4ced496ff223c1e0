//! Arrays.

use bson::Bson;

use super::argument::{Arguments, count, is_null};
use super::compare::truth;
use crate::compare::equal;
use crate::error::{Error, Kind, Result};

/// Most items that `$range` makes.
const RANGE_MAX: i64 = 1_000_000;

pub(super) fn is_array(args: &Arguments<'_>) -> Result<Option<Bson>> {
    Ok(Some(Bson::Boolean(matches!(args.get(0), Some(Bson::Array(_))))))
}

pub(super) fn size(args: &Arguments<'_>) -> Result<Option<Bson>> {
    Ok(Some(count(args.array(0)?.len())))
}

/// Outside of the array there is nothing: a missing value.
pub(super) fn element(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.any_null() {
        return Ok(Some(Bson::Null));
    }
    let (items, position) = (args.array(0)?, args.integer(1)?);
    let item = offset(items.len(), position).and_then(|index| items.get(index));
    item.map(|item| args.meter.copy(item)).transpose()
}

pub(super) fn first(args: &Arguments<'_>) -> Result<Option<Bson>> {
    end(args, <[Bson]>::first)
}

pub(super) fn last(args: &Arguments<'_>) -> Result<Option<Bson>> {
    end(args, <[Bson]>::last)
}

fn end(args: &Arguments<'_>, pick: fn(&[Bson]) -> Option<&Bson>) -> Result<Option<Bson>> {
    if args.is_null(0) {
        return Ok(Some(Bson::Null));
    }
    pick(args.array(0)?).map(|item| args.meter.copy(item)).transpose()
}

pub(super) fn concat(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.any_null() {
        return Ok(Some(Bson::Null));
    }
    let mut all = Vec::new();
    for index in 0..args.len() {
        for item in args.array(index)? {
            all.push(args.meter.copy(item)?);
        }
    }
    Ok(Some(Bson::Array(all)))
}

pub(super) fn contains(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let items = args.array(1)?;
    args.meter.step(items.len())?;
    let wanted = args.get(0);
    let found = wanted.is_some_and(|wanted| items.iter().any(|item| equal(item, wanted)));
    Ok(Some(Bson::Boolean(found)))
}

pub(super) fn index_of(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.is_null(0) {
        return Ok(Some(Bson::Null));
    }
    let items = args.array(0)?;
    let (start, end) = bounds(args, items.len())?;
    args.meter.step(end.saturating_sub(start))?;
    let part = items.get(start..end).unwrap_or_default();
    let found = args.get(1).and_then(|value| part.iter().position(|item| equal(item, value)));
    Ok(Some(found.map_or(Bson::Int32(-1), |index| count(start + index))))
}

/// The optional third and fourth argument of a search: where it starts, and where it ends at the latest.
pub(super) fn bounds(args: &Arguments<'_>, len: usize) -> Result<(usize, usize)> {
    let bound = |index: usize, default: usize| {
        if index >= args.len() {
            return Ok(default);
        }
        let position = usize::try_from(args.integer(index)?);
        position.map(|position| position.min(len)).map_err(|_| args.wrong(index, "at least 0"))
    };
    Ok((bound(2, 0)?, bound(3, len)?))
}

pub(super) fn range(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let int = |index: usize| {
        let int = args.integer(index)?;
        i32::try_from(int).map(i64::from).map_err(|_| args.wrong(index, "a 32-bit integer"))
    };
    let (start, end) = (int(0)?, int(1)?);
    let step = if args.len() > 2 { int(2)? } else { 1 };
    if step == 0 {
        return Err(Error::value("step must not be 0"));
    }
    let span = if step > 0 { end - start } else { start - end }.max(0);
    let items = span.div_euclid(step.abs()) + i64::from(span % step.abs() != 0);
    if items > RANGE_MAX {
        return Err(Error::new(Kind::TooLarge, format!("makes over {RANGE_MAX} items")));
    }
    args.meter.make_items(usize::try_from(items).unwrap_or(0))?;
    let item = |index| Bson::Int32(i32::try_from(start + index * step).unwrap_or(i32::MAX));
    Ok(Some(Bson::Array((0..items).map(item).collect())))
}

pub(super) fn reverse(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.is_null(0) {
        return Ok(Some(Bson::Null));
    }
    args.items(args.array(0)?.iter().rev())
}

/// `[array, n]` or `[array, position, n]`; a negative `n` or position counts from the end.
pub(super) fn slice(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.any_null() {
        return Ok(Some(Bson::Null));
    }
    let items = args.array(0)?;
    let len = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let (start, wanted) = match (args.len(), args.integer(1)?) {
        (2, n) if n < 0 => (len.saturating_add(n).max(0), len),
        (2, n) => (0, n),
        (_, position) => {
            let n = args.integer(2)?;
            if n <= 0 {
                return Err(args.wrong(2, "positive"));
            }
            let start = if position < 0 { len.saturating_add(position) } else { position };
            (start.clamp(0, len), n)
        }
    };
    let end = start.saturating_add(wanted).min(len);
    let index = |at: i64| usize::try_from(at).unwrap_or(0);
    args.items(items.get(index(start)..index(end)).unwrap_or_default())
}

/// Arguments: `inputs`, `useLongestLength`, `defaults`.
pub(super) fn zip(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let inputs = args.array(0)?;
    if inputs.iter().any(|input| is_null(Some(input))) {
        return Ok(Some(Bson::Null));
    }
    let arrays: Option<Vec<&Vec<Bson>>> = inputs.iter().map(Bson::as_array).collect();
    let arrays = arrays.ok_or_else(|| Error::value("inputs must be arrays"))?;
    let longest = truth(args.get(1));
    let defaults = match args.get(2) {
        Some(Bson::Array(defaults)) if longest && defaults.len() == arrays.len() => defaults,
        None => &Vec::new(),
        Some(_) => {
            let message = "defaults must be as many as inputs, and useLongestLength true";
            return Err(Error::value(message));
        }
    };
    let lengths = arrays.iter().map(|array| array.len());
    let rows = if longest { lengths.max() } else { lengths.min() }.unwrap_or(0);
    args.meter.make_items(rows.saturating_mul(arrays.len() + 1))?;
    let mut zipped = Vec::with_capacity(rows);
    for row in 0..rows {
        let mut items = Vec::with_capacity(arrays.len());
        for (column, array) in arrays.iter().enumerate() {
            let item = array.get(row).or_else(|| defaults.get(column));
            items.push(args.meter.copy(item.unwrap_or(&Bson::Null))?);
        }
        zipped.push(Bson::Array(items));
    }
    Ok(Some(Bson::Array(zipped)))
}

/// A position from the start, or from the end if it is negative.
fn offset(len: usize, position: i64) -> Option<usize> {
    match usize::try_from(position) {
        Ok(position) => Some(position),
        Err(_) => len.checked_sub(usize::try_from(position.unsigned_abs()).ok()?),
    }
}
