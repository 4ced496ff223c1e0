//! Between instants and local time.

use bson::{Bson, DateTime};
use jiff::Timestamp;
use jiff::civil::DateTime as Local;
use jiff::tz::{Offset, TimeZone};

use super::super::argument::Arguments;
use crate::error::{Error, Result};

/// Longest name of a time zone.
const NAME_BYTES_MAX: usize = 64;

/// An argument as a time zone; one that is not written is UTC.
pub(super) fn zone(args: &Arguments<'_>, index: usize) -> Result<TimeZone> {
    match args.get(index) {
        None => Ok(TimeZone::UTC),
        Some(_) => parse_zone(args.text(index)?),
    }
}

/// `Asia/Shanghai`, `UTC`, `+08`, `+0800` or `+08:00`.
pub(super) fn parse_zone(name: &str) -> Result<TimeZone> {
    let refused = || {
        let shown: String = name.chars().take(NAME_BYTES_MAX).collect();
        Error::value(format!("unknown time zone {shown:?}"))
    };
    if name.len() > NAME_BYTES_MAX {
        return Err(refused());
    }
    if matches!(name, "UTC" | "GMT" | "Z") {
        return Ok(TimeZone::UTC);
    }
    match name.strip_prefix(['+', '-']) {
        Some(digits) => {
            let seconds = offset_seconds(digits).ok_or_else(refused)?;
            let signed = if name.starts_with('-') { -seconds } else { seconds };
            Offset::from_seconds(signed).map(TimeZone::fixed).map_err(|_| refused())
        }
        None => TimeZone::get(name).map_err(|_| refused()),
    }
}

fn offset_seconds(digits: &str) -> Option<i32> {
    let (hours, minutes) = match digits.len() {
        2 => (digits, "00"),
        4 => (digits.get(..2)?, digits.get(2..)?),
        5 => digits.split_once(':')?,
        _ => return None,
    };
    let number = |text: &str| {
        let valid = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        if valid { text.parse::<i32>().ok() } else { None }
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)
}

/// An argument as an instant: a date, or a value that holds one.
pub(super) fn instant(args: &Arguments<'_>, index: usize) -> Result<Timestamp> {
    let date = match args.get(index) {
        Some(Bson::DateTime(date)) => *date,
        Some(Bson::ObjectId(id)) => id.timestamp(),
        Some(Bson::Timestamp(at)) => DateTime::from_millis(i64::from(at.time) * 1000),
        _ => return Err(args.wrong(index, "a date")),
    };
    timestamp(date)
}

pub(super) fn timestamp(date: DateTime) -> Result<Timestamp> {
    Timestamp::from_millisecond(date.timestamp_millis()).map_err(|_| out_of_range())
}

/// The instant of a local time. One that the clock skips is moved forward, of two the first counts.
pub(super) fn date_of(local: Local, zone: &TimeZone) -> Result<DateTime> {
    let at = zone.to_timestamp(local).map_err(|_| out_of_range())?;
    Ok(DateTime::from_millis(at.as_millisecond()))
}

/// A local time from milliseconds since 1970 on the local clock.
pub(super) fn local_of(local_ms: i64) -> Result<Local> {
    let at = Timestamp::from_millisecond(local_ms).map_err(|_| out_of_range())?;
    Ok(TimeZone::UTC.to_datetime(at))
}

/// The milliseconds since 1970 that a local clock shows.
pub(super) fn local_ms(local: Local) -> Result<i64> {
    let at = TimeZone::UTC.to_timestamp(local).map_err(|_| out_of_range())?;
    Ok(at.as_millisecond())
}

pub(super) fn out_of_range() -> Error {
    Error::value("date is out of range")
}
