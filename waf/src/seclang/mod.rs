//! SecLang: text to directives.
//!
//! Read first: [`ast`] (what comes out), `file` (one file, a directive at a time), `load` (files that include files),
//! `check` (what holds between directives). Every mistake is told, with its file and line; nothing is skipped in silence.
//! What the words mean: the reference manual of ModSecurity 2 and 3; where both differ, 3 is followed.
//!
//! An operator's name and argument, and the patterns in targets, are compiled later and judged there.

mod action;
pub mod ast;
mod check;
mod control;
mod cursor;
mod directive;
mod file;
mod ids;
mod lines;
mod load;
mod names;
mod setting;
#[cfg(test)]
mod supported;
mod target;
mod text;

#[cfg(test)]
mod tests;

use ast::{Directive, Problem};

pub use load::{Sources, load};

/// Bytes of one file. The largest of the Core Rule Set has a quarter of a megabyte.
pub const FILE_BYTES_MAX: usize = 4 << 20;

/// Files that one file includes, also by way of others, itself included.
pub const FILES_MAX: usize = 1_000;

/// Bytes of all files of one load.
pub const LOAD_BYTES_MAX: usize = 32 << 20;

/// How deep files include files.
pub const INCLUDE_DEPTH_MAX: usize = 16;

/// Bytes of a directive, its continued lines taken together.
pub const LINE_BYTES_MAX: usize = 256 << 10;

/// Directives of one load.
pub const DIRECTIVES_MAX: usize = 50_000;

/// Arguments of a directive.
pub const ARGUMENTS_MAX: usize = 256;

/// Targets of a rule.
pub const TARGETS_MAX: usize = 256;

/// Actions of a rule.
pub const ACTIONS_MAX: usize = 256;

/// Links of a chain, the first rule included.
pub const CHAIN_LINKS_MAX: usize = 32;

/// Ids and ranges of one directive.
pub const IDS_MAX: usize = 1_000;

/// The largest id: what a double holds exactly, as ModSecurity's ids are doubles.
pub const ID_MAX: u64 = (1 << 53) - 1;

/// The largest limit of a body, bytes: ModSecurity's own hard limit.
pub const BODY_BYTES_MAX: u64 = 1 << 30;

/// Problems that are told; after so many, the rest of the text is not read.
pub const PROBLEMS_MAX: usize = 200;

/// The directives of one file, which includes no other.
///
/// # Errors
/// All mistakes, in the order of the text, at most [`PROBLEMS_MAX`] and one.
pub fn parse(file_name: &str, text: &[u8]) -> Result<Vec<Directive>, Vec<Problem>> {
    let mut reading = file::Reading::default();
    reading.file(file_name, text, &mut |reading, place, _| {
        reading.report(
            place,
            None,
            "files are included only where a folder of rules is loaded".into(),
        );
    });
    reading.finish(false)
}

/// Text that must be UTF-8: names, ids, words.
fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| format!("`{}` is not UTF-8", target::shown(bytes)))
}

/// A whole number in digits, up to a bound.
fn number(bytes: &[u8], max: u64) -> Result<u64, String> {
    let is_number = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(bytes).ok().filter(|_| is_number);
    let Some(digits) = number else {
        return Err(format!("`{}` is not a whole number", target::shown(bytes)));
    };
    match digits.parse() {
        Ok(number) if number <= max => Ok(number),
        _ => Err(format!("{} is more than {max}", target::shown(bytes))),
    }
}
