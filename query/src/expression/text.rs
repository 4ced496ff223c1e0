//! Strings, counted in bytes or in characters (code points).

use bson::Bson;

use super::argument::{Arguments, count, is_null};
use super::array::bounds;
use super::convert;
use crate::error::{Error, Result};

pub(super) fn concat(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.any_null() {
        return Ok(Some(Bson::Null));
    }
    let mut parts = Vec::with_capacity(args.len());
    for index in 0..args.len() {
        parts.push(args.text(index)?);
    }
    args.meter.make(parts.iter().map(|part| part.len() as u64).sum())?;
    Ok(Some(Bson::String(parts.concat())))
}

/// What the operators that take any value see as its text: a number or a date is written out, null is empty.
fn coerced(args: &Arguments<'_>, index: usize) -> Result<String> {
    let value = args.get(index);
    match value {
        value if is_null(value) => Ok(String::new()),
        Some(Bson::String(text) | Bson::Symbol(text)) => {
            args.meter.make(text.len() as u64)?;
            Ok(text.clone())
        }
        Some(value @ (Bson::DateTime(_) | Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_))) => {
            convert::text(value)
        }
        _ => Err(args.wrong(index, "a string, a number or a date")),
    }
}

pub(super) fn to_lower(args: &Arguments<'_>) -> Result<Option<Bson>> {
    args.string(coerced(args, 0)?.to_ascii_lowercase())
}

pub(super) fn to_upper(args: &Arguments<'_>) -> Result<Option<Bson>> {
    args.string(coerced(args, 0)?.to_ascii_uppercase())
}

pub(super) fn case_compare(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let (a, b) = (coerced(args, 0)?, coerced(args, 1)?);
    let order = a.to_ascii_uppercase().cmp(&b.to_ascii_uppercase());
    Ok(Some(Bson::Int32(order as i32)))
}

pub(super) fn len_bytes(args: &Arguments<'_>) -> Result<Option<Bson>> {
    Ok(Some(count(args.text(0)?.len())))
}

pub(super) fn len_chars(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let text = args.text(0)?;
    args.meter.step(text.len() / 16)?;
    Ok(Some(count(text.chars().count())))
}

pub(super) fn split(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.any_null() {
        return Ok(Some(Bson::Null));
    }
    let (text, separator) = (args.text(0)?, args.text(1)?);
    if separator.is_empty() {
        return Err(Error::value("separator must not be empty"));
    }
    args.meter.step(text.len() / 16)?;
    let mut parts = Vec::new();
    for part in text.split(separator) {
        args.meter.make_items(1)?;
        args.meter.make(part.len() as u64)?;
        parts.push(Bson::String(part.to_owned()));
    }
    Ok(Some(Bson::Array(parts)))
}

pub(super) fn index_of_bytes(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.is_null(0) {
        return Ok(Some(Bson::Null));
    }
    let (text, wanted) = (args.text(0)?, args.text(1)?);
    let (start, end) = bounds(args, text.len())?;
    args.meter.step(text.len() / 16)?;
    let found = text.get(start..end).and_then(|part| part.find(wanted));
    Ok(Some(found.map_or(Bson::Int32(-1), |index| count(start + index))))
}

pub(super) fn index_of_chars(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.is_null(0) {
        return Ok(Some(Bson::Null));
    }
    let (text, wanted) = (args.text(0)?, args.text(1)?);
    args.meter.step(text.len() / 16)?;
    let (start, end) = bounds(args, text.chars().count())?;
    let (from, to) = (byte_of(text, start), byte_of(text, end));
    let part = text.get(from..to).unwrap_or_default();
    let out = start > end;
    let found = part.find(wanted).filter(|_| !out).map(|index| part[..index].chars().count());
    Ok(Some(found.map_or(Bson::Int32(-1), |index| count(start + index))))
}

/// Where the character with this number begins, or the end of the text.
fn byte_of(text: &str, character: usize) -> usize {
    text.char_indices().nth(character).map_or(text.len(), |(byte, _)| byte)
}

/// `[text, start, length]` in bytes; a negative length means the rest.
pub(super) fn substr_bytes(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let text = coerced(args, 0)?;
    let (start, wanted) = (args.integer(1)?, args.integer(2)?);
    let Ok(start) = usize::try_from(start) else {
        return Err(args.wrong(1, "at least 0"));
    };
    if start >= text.len() {
        return args.string("");
    }
    let end = match usize::try_from(wanted) {
        Ok(wanted) => start.saturating_add(wanted).min(text.len()),
        Err(_) => text.len(),
    };
    let part = text.get(start..end);
    args.string(part.ok_or_else(|| Error::value("range would cut a character in two"))?)
}

/// `[text, start, length]` in characters.
pub(super) fn substr_chars(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let text = coerced(args, 0)?;
    args.meter.step(text.len() / 16)?;
    let natural = |index: usize| {
        let int = usize::try_from(args.integer(index)?);
        int.map_err(|_| args.wrong(index, "at least 0"))
    };
    let (start, wanted) = (natural(1)?, natural(2)?);
    args.string(text.chars().skip(start).take(wanted).collect::<String>())
}

pub(super) fn trim(args: &Arguments<'_>) -> Result<Option<Bson>> {
    trimmed(args, true, true)
}

pub(super) fn trim_start(args: &Arguments<'_>) -> Result<Option<Bson>> {
    trimmed(args, true, false)
}

pub(super) fn trim_end(args: &Arguments<'_>) -> Result<Option<Bson>> {
    trimmed(args, false, true)
}

/// Arguments: `input`, and `chars` to take away instead of white space.
fn trimmed(args: &Arguments<'_>, start: bool, end: bool) -> Result<Option<Bson>> {
    if args.is_null(0) || args.given_null(1) {
        return Ok(Some(Bson::Null));
    }
    let mut text = args.text(0)?;
    let chars = if args.get(1).is_some() { Some(args.text(1)?) } else { None };
    let cost = chars.map_or(1, |chars| 1 + chars.len() / 16);
    args.meter.step((text.len() / 16 + 1).saturating_mul(cost))?;
    let unwanted = |c: char| match chars {
        Some(chars) => chars.contains(c),
        None => c.is_whitespace() || c == '\0',
    };
    if start {
        text = text.trim_start_matches(unwanted);
    }
    if end {
        text = text.trim_end_matches(unwanted);
    }
    args.string(text)
}
