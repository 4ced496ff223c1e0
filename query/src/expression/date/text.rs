//! `$dateFromString`: by a format, or as people write ISO 8601.

use bson::{Bson, DateTime};
use jiff::civil::{Date, DateTime as Local, ISOWeekDate, Time, Weekday};
use jiff::tz::TimeZone;

use super::super::argument::Arguments;
use super::format::month_at_start;
use super::zone::{date_of, parse_zone, zone};
use crate::error::{Error, Kind, Result};

/// Longest text and longest format.
const TEXT_BYTES_MAX: usize = 1024;

/// What is tried if there is no format. The offset is read separately.
const DEFAULTS: [&str; 6] = [
    "%Y-%m-%dT%H:%M:%S.%L",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d %H:%M:%S.%L",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d",
];

/// Arguments: `dateString`, `format`, `timezone`, `onError`, `onNull`.
pub(in super::super) fn from_text(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let instead = |index: usize| args.get(index).map(|value| args.meter.copy(value)).transpose();
    if args.is_null(0) {
        return Ok(Some(instead(4)?.unwrap_or(Bson::Null)));
    }
    if args.given_null(1) || args.given_null(2) {
        return Ok(Some(Bson::Null));
    }
    let parsed = args.text(0).and_then(|text| {
        let format = if args.get(1).is_some() { Some(args.text(1)?) } else { None };
        let zone = if args.get(2).is_some() { Some(zone(args, 2)?) } else { None };
        args.meter.step(text.len())?;
        parse_text(text, format, zone.as_ref())
    });
    match (parsed, instead(3)?) {
        (Ok(date), _) => Ok(Some(Bson::DateTime(date))),
        (Err(error), Some(instead)) if error.kind == Kind::InvalidValue => Ok(Some(instead)),
        (Err(error), _) => Err(error),
    }
}

/// Reads a date. An offset in the text excludes a time zone beside it.
pub(in super::super) fn parse_text(
    text: &str,
    format: Option<&str>,
    zone: Option<&TimeZone>,
) -> Result<DateTime> {
    if text.len() > TEXT_BYTES_MAX || format.is_some_and(|format| format.len() > TEXT_BYTES_MAX) {
        let message = format!("date or format is over {TEXT_BYTES_MAX} bytes long");
        return Err(Error::new(Kind::TooLarge, message));
    }
    let fields = match format {
        Some(format) => read_whole(text, format)?,
        None => {
            let (text, own_zone) = split_offset(text.trim())?;
            let read = DEFAULTS.iter().find_map(|format| read_whole(text, format).ok());
            let fields = read.ok_or_else(|| Error::value("string is no date"))?;
            Fields { zone: own_zone, ..fields }
        }
    };
    let zone = match (&fields.zone, zone) {
        (Some(_), Some(_)) => {
            return Err(Error::value("string has an offset, and a time zone is given too"));
        }
        (Some(zone), None) | (None, Some(zone)) => zone,
        (None, None) => &TimeZone::UTC,
    };
    date_of(fields.local()?, zone)
}

/// Takes `Z`, `+08:00` or `+0800` from the end. A date alone has hyphens of its own, so an offset needs a time before it.
fn split_offset(text: &str) -> Result<(&str, Option<TimeZone>)> {
    if let Some(rest) = text.strip_suffix(['Z', 'z']) {
        return Ok((rest, Some(TimeZone::UTC)));
    }
    let time = text.find(':').unwrap_or(text.len());
    match text[time..].find(['+', '-']) {
        Some(sign) => {
            let (rest, offset) = text.split_at(time + sign);
            Ok((rest.trim_end(), Some(parse_zone(offset)?)))
        }
        None => Ok((text, None)),
    }
}

/// What a text told.
#[derive(Default)]
struct Fields {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    week_year: Option<i64>,
    week: Option<i64>,
    weekday: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    millisecond: i64,
    zone: Option<TimeZone>,
}

fn read_whole(text: &str, format: &str) -> Result<Fields> {
    let mut fields = Fields::default();
    let mut rest = text;
    let mut characters = format.chars();
    let refused = || Error::value("string does not have the format");
    while let Some(character) = characters.next() {
        rest = match character {
            '%' => {
                let specifier = characters.next();
                fields.read(specifier, rest)?
            }
            literal => rest.strip_prefix(literal).ok_or_else(refused)?,
        };
    }
    if rest.is_empty() { Ok(fields) } else { Err(refused()) }
}

impl Fields {
    /// Reads one part and returns what is left.
    fn read<'t>(&mut self, specifier: Option<char>, text: &'t str) -> Result<&'t str> {
        let refused = || Error::value("string does not have the format");
        if let Some(is_short) = specifier.and_then(|c| ['B', 'b'].iter().position(|b| *b == c)) {
            let found = month_at_start(text, is_short == 1);
            let (month, bytes) = found.ok_or_else(refused)?;
            self.month = Some(month);
            return Ok(&text[bytes..]);
        }
        let most = match specifier {
            Some('Y' | 'G') => 4,
            Some('L' | 'j') => 3,
            Some('m' | 'd' | 'H' | 'M' | 'S' | 'V') => 2,
            Some('u') => 1,
            Some('z') => return self.read_zone(text).ok_or_else(refused),
            Some('Z') => return self.read_minutes(text).ok_or_else(refused),
            Some('%') => return text.strip_prefix('%').ok_or_else(refused),
            _ => return Err(Error::value("format has an unknown specifier")),
        };
        let digits = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let number: i64 = text[..digits].parse().map_err(|_| refused())?;
        match specifier {
            Some('Y') => self.year = Some(number),
            Some('m') => self.month = Some(number),
            Some('d') => self.day = Some(number),
            Some('j') => self.day_of_year = Some(number),
            Some('G') => self.week_year = Some(number),
            Some('V') => self.week = Some(number),
            Some('u') => self.weekday = Some(number),
            Some('H') => self.hour = number,
            Some('M') => self.minute = number,
            Some('S') => self.second = number,
            // One digit is tenths of a second.
            _ => self.millisecond = number * [0, 100, 10, 1][digits.min(3)],
        }
        Ok(&text[digits..])
    }

    fn read_zone<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        let colon = |length: &usize| text.get(..*length).is_some_and(|part| part.contains(':'));
        let length = match text.chars().next()? {
            'Z' => 1,
            _ => Some(6).filter(colon).unwrap_or(5),
        };
        self.zone = Some(parse_zone(text.get(..length)?).ok()?);
        text.get(length..)
    }

    /// `+480`: minutes.
    fn read_minutes<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        let digits = text.get(1..)?.bytes().take(4).take_while(u8::is_ascii_digit).count();
        let minutes: i32 = text.get(..=digits)?.parse().ok()?;
        let offset = jiff::tz::Offset::from_seconds(minutes * 60).ok()?;
        self.zone = Some(TimeZone::fixed(offset));
        text.get(1 + digits..)
    }

    fn local(&self) -> Result<Local> {
        let refused = || Error::value("there is no such date");
        let small = |value: i64| i8::try_from(value).map_err(|_| refused());
        let long = |value: i64| i16::try_from(value).map_err(|_| refused());
        let date = match (self.year, self.week_year) {
            (Some(year), None) => match self.day_of_year {
                Some(day) => jiff::civil::date(long(year)?, 1, 1)
                    .with()
                    .day_of_year(long(day)?)
                    .build()
                    .map_err(|_| refused())?,
                None => {
                    let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
                    Date::new(long(year)?, small(month)?, small(day)?).map_err(|_| refused())?
                }
            },
            (None, Some(year)) => {
                let weekday = Weekday::from_monday_one_offset(small(self.weekday.unwrap_or(1))?);
                let weekday = weekday.map_err(|_| refused())?;
                let week = ISOWeekDate::new(long(year)?, small(self.week.unwrap_or(1))?, weekday);
                week.map_err(|_| refused())?.date()
            }
            _ => return Err(Error::value("string has no year")),
        };
        let nanosecond = i32::try_from(self.millisecond * 1_000_000).map_err(|_| refused())?;
        let time =
            Time::new(small(self.hour)?, small(self.minute)?, small(self.second)?, nanosecond)
                .map_err(|_| refused())?;
        Ok(Local::from_parts(date, time))
    }
}
