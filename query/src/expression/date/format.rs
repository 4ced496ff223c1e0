//! `$dateToString`.

use std::fmt::Write as _;

use bson::{Bson, DateTime};
use jiff::Timestamp;
use jiff::civil::DateTime as Local;
use jiff::tz::TimeZone;

use super::super::argument::Arguments;
use super::parts::week_of_year;
use super::zone::{instant, timestamp, zone};
use crate::error::{Error, Kind, Result};

/// Longest format.
const FORMAT_BYTES_MAX: usize = 1024;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Arguments: `date`, `format`, `timezone`, `onNull`.
pub(in super::super) fn to_text(args: &Arguments<'_>) -> Result<Option<Bson>> {
    if args.is_null(0) {
        let instead = args.get(3).map(|value| args.meter.copy(value)).transpose()?;
        return Ok(Some(instead.unwrap_or(Bson::Null)));
    }
    if args.given_null(1) || args.given_null(2) {
        return Ok(Some(Bson::Null));
    }
    let (at, zone) = (instant(args, 0)?, zone(args, 2)?);
    let format = match args.get(1) {
        Some(_) => args.text(1)?,
        None if zone == TimeZone::UTC => "%Y-%m-%dT%H:%M:%S.%LZ",
        None => "%Y-%m-%dT%H:%M:%S.%L",
    };
    args.meter.step(format.len())?;
    args.string(write(at, &zone, format)?)
}

/// As text in UTC.
pub(in super::super) fn default_text(date: DateTime) -> Result<String> {
    write(timestamp(date)?, &TimeZone::UTC, "%Y-%m-%dT%H:%M:%S.%LZ")
}

fn write(at: Timestamp, zone: &TimeZone, format: &str) -> Result<String> {
    if format.len() > FORMAT_BYTES_MAX {
        let message = format!("format is over {FORMAT_BYTES_MAX} bytes long");
        return Err(Error::new(Kind::TooLarge, message));
    }
    let local = zone.to_datetime(at);
    let offset_minutes = zone.to_offset(at).seconds() / 60;
    let mut text = String::with_capacity(format.len() + 16);
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        match character {
            '%' => append(&mut text, characters.next(), local, offset_minutes)?,
            other => text.push(other),
        }
    }
    Ok(text)
}

fn append(
    text: &mut String,
    specifier: Option<char>,
    local: Local,
    offset_minutes: i32,
) -> Result<()> {
    let week = local.iso_week_date();
    let month = MONTHS[usize::try_from(local.month() - 1).unwrap_or(0) % 12];
    let written = match specifier {
        Some('Y') => write!(text, "{:04}", local.year()),
        Some('m') => write!(text, "{:02}", local.month()),
        Some('d') => write!(text, "{:02}", local.day()),
        Some('H') => write!(text, "{:02}", local.hour()),
        Some('M') => write!(text, "{:02}", local.minute()),
        Some('S') => write!(text, "{:02}", local.second()),
        Some('L') => write!(text, "{:03}", local.millisecond()),
        Some('j') => write!(text, "{:03}", local.day_of_year()),
        Some('b') => write!(text, "{}", &month[..3]),
        Some('B') => write!(text, "{month}"),
        Some('w') => write!(text, "{}", local.weekday().to_sunday_zero_offset() + 1),
        Some('u') => write!(text, "{}", local.weekday().to_monday_one_offset()),
        Some('U') => write!(text, "{:02}", week_of_year(local.date())),
        Some('V') => write!(text, "{:02}", week.week()),
        Some('G') => write!(text, "{:04}", week.year()),
        Some('z') => {
            let sign = if offset_minutes < 0 { '-' } else { '+' };
            let minutes = offset_minutes.abs();
            write!(text, "{sign}{:02}{:02}", minutes / 60, minutes % 60)
        }
        Some('Z') => write!(text, "{offset_minutes:+}"),
        Some('%') => write!(text, "%"),
        _ => return Err(Error::value("format has an unknown specifier")),
    };
    written.map_err(|_| Error::value("date cannot be written"))
}

/// The number of a month that a text begins with, and how many bytes its name has.
pub(super) fn month_at_start(text: &str, is_short: bool) -> Option<(i64, usize)> {
    (1..).zip(MONTHS).find_map(|(number, name)| {
        let name = if is_short { &name[..3] } else { name };
        let head = text.get(..name.len())?;
        head.eq_ignore_ascii_case(name).then_some((number, name.len()))
    })
}
