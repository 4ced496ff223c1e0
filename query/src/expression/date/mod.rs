//! Dates. `zone.rs` goes between instants and local time, `parts.rs` takes dates apart and puts them together, `format.rs`
//! writes them, `text.rs` reads them, `arithmetic.rs` adds units.

mod arithmetic;
mod format;
mod parts;
mod text;
mod zone;

pub(super) use arithmetic::{date_add, date_diff, date_subtract};
pub(super) use format::{default_text, to_text};
pub(super) use parts::{
    day_of_month, day_of_week, day_of_year, from_parts, hour, iso_day_of_week, iso_week,
    iso_week_year, millisecond, minute, month, second, to_parts, week, year,
};
pub(super) use text::{from_text, parse_text};
