//! Numbers. Int32 grows into Int64 where it has to, Int64 into a double, and one double makes the result a double.

use bson::{Bson, DateTime};

use super::argument::Arguments;
use super::fold::Sum;
use crate::error::{Error, Result};
use crate::number::Number;

/// Places that `$round` and `$trunc` know, as in MongoDB.
const PLACES: std::ops::RangeInclusive<i64> = -20..=100;

pub(super) fn add(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.any_null() {
        return Ok(Some(Bson::Null));
    }
    let mut sum = Sum::default();
    let mut date = None;
    for (index, value) in args.iter().enumerate() {
        match value {
            Some(Bson::DateTime(start)) if date.is_none() => date = Some(*start),
            Some(Bson::DateTime(_)) => return Err(Error::value("takes only one date")),
            Some(value) if Number::of(value).is_some() => sum.add(value),
            _ => return Err(args.wrong(index, "a number or a date")),
        }
    }
    match date {
        Some(date) => moved(date, &sum.value()).map(Some),
        None => Ok(Some(sum.value())),
    }
}

pub(super) fn subtract(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.any_null() {
        return Ok(Some(Bson::Null));
    }
    match (args.get(0), args.get(1)) {
        (Some(Bson::DateTime(a)), Some(Bson::DateTime(b))) => {
            let difference = a.timestamp_millis().checked_sub(b.timestamp_millis());
            let difference =
                difference.ok_or_else(|| Error::value("difference is out of range"))?;
            Ok(Some(Bson::Int64(difference)))
        }
        (Some(Bson::DateTime(date)), Some(amount)) => {
            let amount = negated(amount).ok_or_else(|| args.wrong(1, "a number or a date"))?;
            moved(*date, &amount).map(Some)
        }
        _ => binary(args, i64::checked_sub, |a, b| a - b),
    }
}

pub(super) fn multiply(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.any_null() {
        return Ok(Some(Bson::Null));
    }
    let mut product = Bson::Int32(1);
    for index in 0..args.len() {
        args.number(index)?;
        let factor = args.get(index).unwrap_or(&Bson::Null);
        product = combined(&product, factor, i64::checked_mul, |a, b| a * b);
    }
    Ok(Some(product))
}

pub(super) fn divide(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.any_null() {
        return Ok(Some(Bson::Null));
    }
    let (a, b) = (double(args.number(0)?), double(args.number(1)?));
    if b == 0.0 {
        return Err(Error::value("cannot divide by zero"));
    }
    Ok(Some(Bson::Double(a / b)))
}

pub(super) fn modulo(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.any_null() {
        return Ok(Some(Bson::Null));
    }
    args.number(0)?;
    if double(args.number(1)?) == 0.0 {
        return Err(Error::value("cannot divide by zero"));
    }
    binary(args, |a, b| Some(a.wrapping_rem(b)), |a, b| a % b)
}

pub(super) fn power(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.any_null() {
        return Ok(Some(Bson::Null));
    }
    let (base, exponent) = (args.number(0)?, args.number(1)?);
    if double(base) == 0.0 && double(exponent) < 0.0 {
        return Err(Error::value("cannot raise zero to a negative power"));
    }
    let whole = |a: i64, b: i64| u32::try_from(b).ok().and_then(|b| a.checked_pow(b));
    binary(args, whole, f64::powf)
}

pub(super) fn abs(args: &Arguments<'_>) -> Result<Option<Bson>> {
    unary(
        args,
        |int| int.checked_abs().ok_or_else(|| Error::value("result is out of range")),
        |double| Ok(double.abs()),
    )
}

pub(super) fn ceil(args: &Arguments<'_>) -> Result<Option<Bson>> {
    unary(args, Ok, |double| Ok(double.ceil()))
}

pub(super) fn floor(args: &Arguments<'_>) -> Result<Option<Bson>> {
    unary(args, Ok, |double| Ok(double.floor()))
}

pub(super) fn exp(args: &Arguments<'_>) -> Result<Option<Bson>> {
    real(args, |x| Ok(x.exp()))
}

pub(super) fn ln(args: &Arguments<'_>) -> Result<Option<Bson>> {
    real(args, |x| positive(x).map(f64::ln))
}

pub(super) fn log10(args: &Arguments<'_>) -> Result<Option<Bson>> {
    real(args, |x| positive(x).map(f64::log10))
}

pub(super) fn sqrt(args: &Arguments<'_>) -> Result<Option<Bson>> {
    real(args, |x| {
        if x < 0.0 { Err(Error::value("argument must not be negative")) } else { Ok(x.sqrt()) }
    })
}

pub(super) fn log(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.any_null() {
        return Ok(Some(Bson::Null));
    }
    let (number, base) = (positive(double(args.number(0)?))?, double(args.number(1)?));
    if base <= 0.0 || base == 1.0 {
        return Err(Error::value("base must be positive and not 1"));
    }
    Ok(Some(Bson::Double(number.ln() / base.ln())))
}

pub(super) fn round(args: &Arguments<'_>) -> Result<Option<Bson>> {
    to_place(args, round_int, round_double)
}

pub(super) fn trunc(args: &Arguments<'_>) -> Result<Option<Bson>> {
    to_place(args, |int, unit| int - int % unit, trunc_double)
}

fn to_place(
    args: &Arguments<'_>,
    whole: fn(i128, i128) -> i128,
    real: fn(f64, i64) -> f64,
) -> Result<Option<Bson>> {
    if args.is_null(0) || args.len() > 1 && args.is_null(1) {
        return Ok(Some(Bson::Null));
    }
    let place = if args.len() > 1 { args.integer(1)? } else { 0 };
    if !PLACES.contains(&place) {
        return Err(Error::value("place must be from -20 to 100"));
    }
    Ok(Some(match (args.number(0)?, args.get(0)) {
        (Number::Int(int), Some(original)) => {
            let rounded = match u32::try_from(-place) {
                Ok(digits) => whole(int.into(), 10_i128.pow(digits)),
                Err(_) => int.into(),
            };
            let rounded = i64::try_from(rounded);
            fitted(original, rounded.map_err(|_| Error::value("result is out of range"))?)
        }
        (number, _) => Bson::Double(real(double(number), place)),
    }))
}

/// Half to even.
fn round_int(int: i128, unit: i128) -> i128 {
    let rest = int.rem_euclid(unit);
    let below = int - rest;
    let up = rest * 2 > unit || rest * 2 == unit && (below / unit) % 2 != 0;
    if up { below + unit } else { below }
}

/// By way of its digits: multiplying by a power of ten would itself round.
fn round_double(double: f64, place: i64) -> f64 {
    match usize::try_from(place) {
        Ok(place) if double.is_finite() => format!("{double:.place$}").parse().unwrap_or(double),
        Ok(_) => double,
        Err(_) => {
            let unit = 10_f64.powi(i32::try_from(-place).unwrap_or(i32::MAX));
            (double / unit).round_ties_even() * unit
        }
    }
}

fn trunc_double(double: f64, place: i64) -> f64 {
    match usize::try_from(place) {
        Ok(0) => double.trunc(),
        Ok(place) if double.is_finite() => {
            // Enough digits that rounding the last of them does not reach those that are kept.
            let mut digits = format!("{double:.120}");
            let end = digits.find('.').map_or(digits.len(), |dot| dot + 1 + place);
            digits.truncate(end);
            digits.parse().unwrap_or(double)
        }
        Ok(_) => double,
        Err(_) => {
            let unit = 10_f64.powi(i32::try_from(-place).unwrap_or(i32::MAX));
            (double / unit).trunc() * unit
        }
    }
}

pub(super) fn double(number: Number) -> f64 {
    match number {
        Number::Int(int) => int as f64,
        Number::Double(double) => double,
    }
}

fn positive(x: f64) -> Result<f64> {
    if x <= 0.0 { Err(Error::value("argument must be positive")) } else { Ok(x) }
}

fn real(args: &Arguments<'_>, function: fn(f64) -> Result<f64>) -> Result<Option<Bson>> {
    if args.is_null(0) {
        return Ok(Some(Bson::Null));
    }
    Ok(Some(Bson::Double(function(double(args.number(0)?))?)))
}

/// Keeps the type of the number.
fn unary(
    args: &Arguments<'_>,
    whole: fn(i64) -> Result<i64>,
    real: fn(f64) -> Result<f64>,
) -> Result<Option<Bson>> {
    if args.is_null(0) {
        return Ok(Some(Bson::Null));
    }
    Ok(Some(match (args.number(0)?, args.get(0)) {
        (Number::Int(int), Some(original)) => fitted(original, whole(int)?),
        (number, _) => Bson::Double(real(double(number))?),
    }))
}

fn binary(
    args: &Arguments<'_>,
    whole: fn(i64, i64) -> Option<i64>,
    real: fn(f64, f64) -> f64,
) -> Result<Option<Bson>> {
    args.number(0)?;
    args.number(1)?;
    match (args.get(0), args.get(1)) {
        (Some(a), Some(b)) => Ok(Some(combined(a, b, whole, real))),
        _ => Ok(Some(Bson::Null)),
    }
}

/// Of two numbers.
fn combined(
    a: &Bson,
    b: &Bson,
    whole: fn(i64, i64) -> Option<i64>,
    real: fn(f64, f64) -> f64,
) -> Bson {
    let (Some(x), Some(y)) = (Number::of(a), Number::of(b)) else { return Bson::Null };
    if let (Number::Int(x), Number::Int(y)) = (x, y)
        && let Some(result) = whole(x, y)
    {
        return if matches!(b, Bson::Int32(_)) { fitted(a, result) } else { Bson::Int64(result) };
    }
    Bson::Double(real(double(x), double(y)))
}

/// As wide as `like` if that is wide enough.
fn fitted(like: &Bson, result: i64) -> Bson {
    match (like, i32::try_from(result)) {
        (Bson::Int32(_), Ok(result)) => Bson::Int32(result),
        _ => Bson::Int64(result),
    }
}

fn negated(amount: &Bson) -> Option<Bson> {
    match Number::of(amount)? {
        Number::Int(int) => {
            Some(int.checked_neg().map_or(Bson::Double(-(int as f64)), Bson::Int64))
        }
        Number::Double(double) => Some(Bson::Double(-double)),
    }
}

/// A date some milliseconds later.
fn moved(date: DateTime, amount_ms: &Bson) -> Result<Bson> {
    let whole = match Number::of(amount_ms) {
        Some(Number::Double(double)) => Number::Double(double.round()).truncate(),
        other => other.and_then(Number::truncate),
    };
    let moved = whole.and_then(|ms| date.timestamp_millis().checked_add(ms));
    let moved = moved.ok_or_else(|| Error::value("date is out of range"))?;
    Ok(Bson::DateTime(DateTime::from_millis(moved)))
}
