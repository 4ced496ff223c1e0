//! `$convert` and its short forms: from one type to another.

use bson::oid::ObjectId;
use bson::{Bson, DateTime};

use super::argument::{Arguments, type_name};
use super::date;
use crate::error::{Error, Result};
use crate::number::Number;

/// A type that values can be converted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Double,
    Text,
    ObjectId,
    Bool,
    Date,
    Int,
    Long,
}

/// Every target with its name and the number that BSON gives it.
const TARGETS: &[(Target, &str, i64)] = &[
    (Target::Double, "double", 1),
    (Target::Text, "string", 2),
    (Target::ObjectId, "objectId", 7),
    (Target::Bool, "bool", 8),
    (Target::Date, "date", 9),
    (Target::Int, "int", 16),
    (Target::Long, "long", 18),
];

pub(super) fn to_double(args: &Arguments<'_>) -> Result<Option<Bson>> {
    single(args, Target::Double)
}

pub(super) fn to_string(args: &Arguments<'_>) -> Result<Option<Bson>> {
    single(args, Target::Text)
}

pub(super) fn to_object_id(args: &Arguments<'_>) -> Result<Option<Bson>> {
    single(args, Target::ObjectId)
}

pub(super) fn to_bool(args: &Arguments<'_>) -> Result<Option<Bson>> {
    single(args, Target::Bool)
}

pub(super) fn to_date(args: &Arguments<'_>) -> Result<Option<Bson>> {
    single(args, Target::Date)
}

pub(super) fn to_int(args: &Arguments<'_>) -> Result<Option<Bson>> {
    single(args, Target::Int)
}

pub(super) fn to_long(args: &Arguments<'_>) -> Result<Option<Bson>> {
    single(args, Target::Long)
}

fn single(args: &Arguments<'_>, target: Target) -> Result<Option<Bson>> {
    match args.get(0) {
        Some(value) if !args.is_null(0) => converted(value, target, args).map(Some),
        _ => Ok(Some(Bson::Null)),
    }
}

/// Arguments: `input`, `to`, `onError`, `onNull`.
pub(super) fn convert(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let copied = |index: usize| args.get(index).map(|value| args.meter.copy(value)).transpose();
    if args.is_null(0) {
        return Ok(Some(copied(3)?.unwrap_or(Bson::Null)));
    }
    if args.is_null(1) {
        return Ok(Some(Bson::Null));
    }
    let (value, target) = (args.get(0).unwrap_or(&Bson::Null), target(args)?);
    match (converted(value, target, args), copied(2)?) {
        (Err(error), Some(instead)) if error.kind == crate::Kind::InvalidValue => Ok(Some(instead)),
        (result, _) => result.map(Some),
    }
}

fn target(args: &Arguments<'_>) -> Result<Target> {
    let number = args.get(1).and_then(Number::of).and_then(Number::integer);
    let name = args.get(1).and_then(Bson::as_str);
    let known =
        TARGETS.iter().find(|(_, known, code)| name == Some(*known) || number == Some(*code));
    known.map(|(target, ..)| *target).ok_or_else(|| Error::value("to must be the name of a type"))
}

fn converted(value: &Bson, target: Target, args: &Arguments<'_>) -> Result<Bson> {
    let result = match target {
        Target::Double => double(value)?.map(Bson::Double),
        Target::Int => whole(value, i32::MIN.into(), i32::MAX.into())?
            .and_then(|int| i32::try_from(int).ok())
            .map(Bson::Int32),
        Target::Long => whole(value, i64::MIN, i64::MAX)?.map(Bson::Int64),
        Target::Bool => Some(Bson::Boolean(
            Number::of(value).map_or(!matches!(value, Bson::Boolean(false)), |number| {
                number.compare(Number::Int(0)).is_ne()
            }),
        )),
        Target::Text => {
            let text = text(value)?;
            args.meter.make(text.len() as u64)?;
            Some(Bson::String(text))
        }
        Target::ObjectId => match value {
            Bson::ObjectId(_) => Some(value.clone()),
            Bson::String(text) => {
                let id = ObjectId::parse_str(text);
                Some(Bson::ObjectId(id.map_err(|_| Error::value("string is no ObjectId"))?))
            }
            _ => None,
        },
        Target::Date => to_instant(value)?.map(Bson::DateTime),
    };
    let name = TARGETS.iter().find(|(known, ..)| *known == target).map_or("", |(_, name, _)| name);
    result
        .ok_or_else(|| Error::value(format!("cannot convert {} to {name}", type_name(Some(value)))))
}

fn double(value: &Bson) -> Result<Option<f64>> {
    Ok(match value {
        Bson::String(text) => {
            let plain = text.bytes().next().is_some_and(|first| !first.is_ascii_whitespace());
            let number = text.parse().ok().filter(|_| plain);
            Some(number.ok_or_else(|| Error::value("string is no number"))?)
        }
        Bson::Boolean(truth) => Some(f64::from(u8::from(*truth))),
        Bson::DateTime(date) => Some(date.timestamp_millis() as f64),
        other => Number::of(other).map(super::arithmetic::double),
    })
}

fn whole(value: &Bson, least: i64, most: i64) -> Result<Option<i64>> {
    let int = match value {
        Bson::String(text) => {
            Some(text.parse().map_err(|_| Error::value("string is no whole number"))?)
        }
        Bson::Boolean(truth) => Some(i64::from(*truth)),
        // A date fits into 64 bits only, and nobody means its milliseconds by 32 of them.
        Bson::DateTime(date) if least == i64::MIN => Some(date.timestamp_millis()),
        other => match Number::of(other) {
            Some(number) => {
                let int = number.truncate();
                Some(int.ok_or_else(|| Error::value("number is out of the range of the type"))?)
            }
            None => None,
        },
    };
    match int {
        Some(int) if !(least..=most).contains(&int) => {
            Err(Error::value("number is out of the range of the type"))
        }
        int => Ok(int),
    }
}

fn to_instant(value: &Bson) -> Result<Option<DateTime>> {
    Ok(match value {
        Bson::DateTime(date) => Some(*date),
        Bson::ObjectId(id) => Some(id.timestamp()),
        Bson::Timestamp(at) => Some(DateTime::from_millis(i64::from(at.time) * 1000)),
        Bson::String(text) => Some(date::parse_text(text, None, None)?),
        Bson::Int64(_) | Bson::Double(_) | Bson::Decimal128(_) => {
            Number::of(value).and_then(Number::truncate).map(DateTime::from_millis)
        }
        _ => None,
    })
}

/// The text of a scalar.
pub(super) fn text(value: &Bson) -> Result<String> {
    Ok(match value {
        Bson::String(text) | Bson::Symbol(text) => text.clone(),
        Bson::Boolean(truth) => truth.to_string(),
        Bson::Int32(int) => int.to_string(),
        Bson::Int64(int) => int.to_string(),
        Bson::Double(double) => double_text(*double),
        Bson::Decimal128(decimal) => decimal.to_string(),
        Bson::ObjectId(id) => id.to_hex(),
        Bson::DateTime(date) => date::default_text(*date)?,
        other => {
            let message = format!("cannot convert {} to string", type_name(Some(other)));
            return Err(Error::value(message));
        }
    })
}

fn double_text(double: f64) -> String {
    match double {
        double if double.is_nan() => "NaN".to_owned(),
        double if double.is_infinite() => {
            if double > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
        }
        double if double != 0.0 && !(1e-6..1e17).contains(&double.abs()) => format!("{double:e}"),
        double => double.to_string(),
    }
}

pub(super) fn type_of(args: &Arguments<'_>) -> Result<Option<Bson>> {
    args.string(type_name(args.get(0)))
}

pub(super) fn is_number(args: &Arguments<'_>) -> Result<Option<Bson>> {
    Ok(Some(Bson::Boolean(args.get(0).and_then(Number::of).is_some())))
}
