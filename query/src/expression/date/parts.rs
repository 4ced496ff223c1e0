//! Dates in parts: the year, the week, the hour.

use bson::Bson;
use jiff::civil::{Date, DateTime as Local, ISOWeekDate, Weekday};

use super::super::argument::Arguments;
use super::super::compare::truth;
use super::super::document_of;
use super::zone::{date_of, instant, local_of, out_of_range, zone};
use crate::error::{Error, Result};

const DAY_MS: i64 = 86_400_000;

/// Of any part but the year: more would not fit into a date anyway.
const PART_MAX: i64 = 1 << 40;

/// One part of a local time.
fn part(args: &Arguments<'_>, read: impl Fn(Local) -> i64) -> Result<Option<Bson>> {
    if args.is_null(0) || args.given_null(1) {
        return Ok(Some(Bson::Null));
    }
    let local = zone(args, 1)?.to_datetime(instant(args, 0)?);
    Ok(Some(super::super::argument::int(read(local))))
}

macro_rules! parts {
    ($($name:ident: $read:expr;)*) => {
        $(pub(in super::super) fn $name(args: &Arguments<'_>) -> Result<Option<Bson>> {
            part(args, $read)
        })*
    };
}

parts! {
    year: |local| local.year().into();
    month: |local| local.month().into();
    day_of_month: |local| local.day().into();
    hour: |local| local.hour().into();
    minute: |local| local.minute().into();
    second: |local| local.second().into();
    millisecond: |local| local.millisecond().into();
    day_of_year: |local| local.day_of_year().into();
    day_of_week: |local| i64::from(local.weekday().to_sunday_zero_offset()) + 1;
    iso_day_of_week: |local| local.weekday().to_monday_one_offset().into();
    week: |local| week_of_year(local.date());
    iso_week: |local| local.iso_week_date().week().into();
    iso_week_year: |local| local.iso_week_date().year().into();
}

/// Weeks begin on Sunday; the days before the first one are week 0.
pub(super) fn week_of_year(date: Date) -> i64 {
    let weekday = i64::from(date.weekday().to_sunday_zero_offset());
    (i64::from(date.day_of_year()) + 6 - weekday) / 7
}

/// Arguments: `date`, `timezone`, `iso8601`.
pub(in super::super) fn to_parts(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.is_null(0) || args.given_null(1) || args.given_null(2) {
        return Ok(Some(Bson::Null));
    }
    let local = zone(args, 1)?.to_datetime(instant(args, 0)?);
    let int = |value: i16| Bson::Int32(value.into());
    let week = local.iso_week_date();
    let mut document = if truth(args.get(2)) {
        document_of([
            ("isoWeekYear", int(week.year())),
            ("isoWeek", int(week.week().into())),
            ("isoDayOfWeek", int(week.weekday().to_monday_one_offset().into())),
        ])
    } else {
        document_of([
            ("year", int(local.year())),
            ("month", int(local.month().into())),
            ("day", int(local.day().into())),
        ])
    };
    document.extend(document_of([
        ("hour", int(local.hour().into())),
        ("minute", int(local.minute().into())),
        ("second", int(local.second().into())),
        ("millisecond", int(local.millisecond())),
    ]));
    Ok(Some(Bson::Document(document)))
}

/// Arguments: `year month day`, `isoWeekYear isoWeek isoDayOfWeek`, `hour minute second millisecond`, `timezone`. A part
/// beyond its range carries into the next larger one: month 14 is in February of the next year.
pub(in super::super) fn from_parts(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if (0..args.len()).any(|index| args.given_null(index)) {
        return Ok(Some(Bson::Null));
    }
    let part = |index: usize, default: i64| match args.get(index) {
        None => Ok(default),
        Some(_) => {
            let value = args.integer(index)?;
            if value.abs() > PART_MAX { Err(out_of_range()) } else { Ok(value) }
        }
    };
    let has = |indexes: std::ops::Range<usize>| indexes.into_iter().any(|i| args.get(i).is_some());
    let days = match (args.get(0).is_some(), args.get(3).is_some()) {
        (true, false) if !has(4..6) => calendar_days(part(0, 0)?, part(1, 1)?, part(2, 1)?)?,
        (false, true) if !has(1..3) => week_days(part(3, 0)?, part(4, 1)?, part(5, 1)?)?,
        _ => return Err(Error::value("needs either year or isoWeekYear, and parts of one kind")),
    };
    let in_day = part(6, 0)? * 3_600_000 + part(7, 0)? * 60_000 + part(8, 0)? * 1000 + part(9, 0)?;
    let local_ms = days.checked_mul(DAY_MS).and_then(|ms| ms.checked_add(in_day));
    let local = local_of(local_ms.ok_or_else(out_of_range)?)?;
    Ok(Some(Bson::DateTime(date_of(local, &zone(args, 10)?)?)))
}

/// Days since 1970.
fn calendar_days(year: i64, month: i64, day: i64) -> Result<i64> {
    let year = check_year(year)? + (month - 1).div_euclid(12);
    let month = i8::try_from((month - 1).rem_euclid(12) + 1).map_err(|_| out_of_range())?;
    let year = i16::try_from(year).map_err(|_| out_of_range())?;
    let first = Date::new(year, month, 1).map_err(|_| out_of_range())?;
    Ok(days_since_1970(first) + day - 1)
}

fn week_days(year: i64, week: i64, day: i64) -> Result<i64> {
    let year = i16::try_from(check_year(year)?).map_err(|_| out_of_range())?;
    let first = ISOWeekDate::new(year, 1, Weekday::Monday).map_err(|_| out_of_range())?;
    Ok(days_since_1970(first.date()) + (week - 1) * 7 + day - 1)
}

fn check_year(year: i64) -> Result<i64> {
    if (1..=9999).contains(&year) {
        Ok(year)
    } else {
        Err(Error::value("year must be from 1 to 9999"))
    }
}

pub(super) fn days_since_1970(date: Date) -> i64 {
    let seconds = date.duration_since(Date::constant(1970, 1, 1)).as_secs();
    seconds.div_euclid(86_400)
}
