//! `$dateAdd $dateSubtract $dateDiff`. Days and longer units follow the calendar of the time zone, hours and shorter ones
//! the clock.

use bson::{Bson, DateTime};
use jiff::Span;
use jiff::civil::DateTime as Local;

use super::super::argument::Arguments;
use super::parts::days_since_1970;
use super::zone::{date_of, instant, local_ms, out_of_range, zone};
use crate::error::{Error, Result};

#[derive(Clone, Copy)]
enum Unit {
    Months(i64),
    Days(i64),
    Milliseconds(i64),
}

fn unit(args: &Arguments<'_>, index: usize) -> Result<Unit> {
    Ok(match args.text(index)? {
        "year" => Unit::Months(12),
        "quarter" => Unit::Months(3),
        "month" => Unit::Months(1),
        "week" => Unit::Days(7),
        "day" => Unit::Days(1),
        "hour" => Unit::Milliseconds(3_600_000),
        "minute" => Unit::Milliseconds(60_000),
        "second" => Unit::Milliseconds(1000),
        "millisecond" => Unit::Milliseconds(1),
        _ => return Err(Error::value("unit must be year, quarter, month, week, day or shorter")),
    })
}

pub(in super::super) fn date_add(args: &Arguments<'_>) -> Result<Option<Bson>> {
    moved(args, 1)
}

pub(in super::super) fn date_subtract(args: &Arguments<'_>) -> Result<Option<Bson>> {
    moved(args, -1)
}

/// Arguments: `startDate`, `unit`, `amount`, `timezone`.
fn moved(args: &Arguments<'_>, sign: i64) -> Result<Option<Bson>> {
    if (0..3).any(|index| args.is_null(index)) || args.given_null(3) {
        return Ok(Some(Bson::Null));
    }
    let (start, zone) = (instant(args, 0)?, zone(args, 3)?);
    let amount = args.integer(2)?.checked_mul(sign).ok_or_else(out_of_range)?;
    let times = |factor: i64| amount.checked_mul(factor).ok_or_else(out_of_range);
    let span = match unit(args, 1)? {
        Unit::Milliseconds(factor) => {
            let ms = start.as_millisecond().checked_add(times(factor)?).ok_or_else(out_of_range)?;
            let date = DateTime::from_millis(ms);
            super::zone::timestamp(date)?;
            return Ok(Some(Bson::DateTime(date)));
        }
        Unit::Months(factor) => Span::new().try_months(times(factor)?),
        Unit::Days(factor) => Span::new().try_days(times(factor)?),
    };
    let local = zone.to_datetime(start).checked_add(span.map_err(|_| out_of_range())?);
    Ok(Some(Bson::DateTime(date_of(local.map_err(|_| out_of_range())?, &zone)?)))
}

/// Arguments: `startDate`, `endDate`, `unit`, `timezone`, `startOfWeek`. Counts the boundaries between the two.
pub(in super::super) fn date_diff(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if (0..3).any(|index| args.is_null(index)) || args.given_null(3) || args.given_null(4) {
        return Ok(Some(Bson::Null));
    }
    let zone = zone(args, 3)?;
    let (start, end) = (instant(args, 0)?, instant(args, 1)?);
    let locals = (zone.to_datetime(start), zone.to_datetime(end));
    let difference = match unit(args, 2)? {
        Unit::Months(factor) => months(locals.1, factor) - months(locals.0, factor),
        Unit::Days(7) => {
            let first = first_weekday(args)?;
            weeks(locals.1, first) - weeks(locals.0, first)
        }
        Unit::Days(_) => days_since_1970(locals.1.date()) - days_since_1970(locals.0.date()),
        Unit::Milliseconds(1) => end.as_millisecond() - start.as_millisecond(),
        Unit::Milliseconds(factor) => {
            let boundary = |local: Local| Ok::<_, Error>(local_ms(local)?.div_euclid(factor));
            boundary(locals.1)? - boundary(locals.0)?
        }
    };
    Ok(Some(Bson::Int64(difference)))
}

fn months(local: Local, factor: i64) -> i64 {
    (i64::from(local.year()) * 12 + i64::from(local.month()) - 1).div_euclid(factor)
}

/// Whole weeks since the first one in 1970; `first` is the day it begins on, 0 for Monday.
fn weeks(local: Local, first: i64) -> i64 {
    // 1970-01-01 was a Thursday, three days after a Monday.
    (days_since_1970(local.date()) + 3 - first).div_euclid(7)
}

fn first_weekday(args: &Arguments<'_>) -> Result<i64> {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    if args.get(4).is_none() {
        return Ok(6);
    }
    let name = args.text(4)?.to_ascii_lowercase();
    let is_day = |day: &&str| {
        let full = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
        **day == name || full.contains(&name.as_str()) && name.starts_with(*day)
    };
    let found = (0..).zip(DAYS).find(|(_, day)| is_day(day));
    found.map(|(index, _)| index).ok_or_else(|| Error::value("startOfWeek must be a weekday"))
}
