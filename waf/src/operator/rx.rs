//! Regular expressions: how they are compiled, and what they capture.

use regex::bytes::{Regex, RegexBuilder};

use super::Captures;
use super::pcre;

/// Bytes of the program of one pattern from a rule file.
const PROGRAM_BYTES_MAX: usize = 10 << 20;
/// Bytes of the program of a pattern with macros, which is compiled for each value.
const PROGRAM_BYTES_AT_MATCH_MAX: usize = 256 << 10;
/// Bytes of a pattern whose macros were replaced.
pub(super) const PATTERN_BYTES_AT_MATCH_MAX: usize = 4 << 10;
/// Bytes that one thread's cache of a pattern's states grows to; then it begins anew.
const CACHE_BYTES_MAX: usize = 1 << 20;
/// Groups that are captured: TX.0 to TX.9.
const GROUPS_MAX: usize = 10;

/// A pattern as the `regex` crate has it, and compiled.
#[derive(Debug)]
pub(crate) struct Rx {
    /// As translated for the crate, without Unicode and with `.` for every byte.
    pub(crate) pattern: String,
    pub(crate) regex: Regex,
}

impl Rx {
    /// Compiles a pattern from a rule file.
    pub(super) fn compile(pattern: &[u8]) -> Result<Self, String> {
        Self::with_bound(pattern, PROGRAM_BYTES_MAX)
    }

    /// Compiles a pattern whose macros were just replaced.
    pub(super) fn compile_at_match(pattern: &[u8]) -> Result<Self, String> {
        if pattern.len() > PATTERN_BYTES_AT_MATCH_MAX {
            return Err(format!(
                "a pattern with its macros replaced has more than {PATTERN_BYTES_AT_MATCH_MAX} bytes"
            ));
        }
        Self::with_bound(pattern, PROGRAM_BYTES_AT_MATCH_MAX)
    }

    fn with_bound(pattern: &[u8], bytes_max: usize) -> Result<Self, String> {
        let pattern = pcre::translate(pattern)?;
        let mut builder = RegexBuilder::new(&pattern);
        builder.unicode(false).dot_matches_new_line(true);
        builder.size_limit(bytes_max).dfa_size_limit(CACHE_BYTES_MAX);
        let regex = builder.build().map_err(|error| sentence(&error))?;
        Ok(Self { pattern, regex })
    }

    /// `@rx`: the first match, and its groups.
    pub(super) fn matches(&self, value: &[u8], captures: &mut Captures) -> bool {
        if !captures.is_wanted {
            return self.regex.is_match(value);
        }
        let Some(found) = self.regex.captures(value) else { return false };
        for (place, group) in found.iter().enumerate().take(GROUPS_MAX) {
            if let Some(group) = group {
                captures.found.push((place as u8, group.as_bytes().to_vec()));
            }
        }
        true
    }

    /// `@rxGlobal`: all matches with their groups, numbered through.
    pub(super) fn matches_all(&self, value: &[u8], captures: &mut Captures) -> bool {
        if !captures.is_wanted {
            return self.regex.is_match(value);
        }
        let all = self.regex.captures_iter(value);
        let groups = all.take(GROUPS_MAX).flat_map(|found| {
            let group = |at| found.get(at).map(|group| group.as_bytes().to_vec());
            (0..found.len()).filter_map(group).collect::<Vec<_>>()
        });
        let before = captures.found.len();
        captures.found.extend((0_u8..).zip(groups.take(GROUPS_MAX)));
        captures.found.len() > before
    }
}

/// The crate's complaint in one line.
fn sentence(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(bytes) => {
            format!("the pattern needs more than {bytes} bytes of program")
        }
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            format!("the pattern is not understood: {}", last.trim_start_matches("error: "))
        }
    }
}
