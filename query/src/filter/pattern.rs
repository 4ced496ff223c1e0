//! Regular expressions that take time linear in the text, whoever wrote them.

use bson::Bson;
use regex::{Regex, RegexBuilder};

use super::matches::Asking;
use crate::error::{Error, Result};

/// Memory of one compiled expression, and again of its cache while matching.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Nesting of groups and repetitions.
const NEST_MAX: u32 = 50;

/// Text that is read in about the time of one comparison.
const BYTES_PER_STEP: usize = 64;

/// Characters that mean something other than themselves in an expression.
const META: &str = r"\.+*?()|[]{}^$";

/// A compiled expression. It is asked about strings only: stored regular expressions never match one.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    regex: Regex,
    prefix: Option<String>,
}

impl Pattern {
    pub(super) fn new(pattern: &str, options: &str) -> Result<Self> {
        let mut builder = RegexBuilder::new(pattern);
        builder
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(COMPILED_BYTES_MAX)
            .nest_limit(NEST_MAX);
        for option in options.chars() {
            match option {
                'i' => builder.case_insensitive(true),
                'm' => builder.multi_line(true),
                's' => builder.dot_matches_new_line(true),
                'x' => builder.ignore_whitespace(true),
                _ => return Err(Error::value("only i, m, s and x are known").operator("$options")),
            };
        }
        let regex =
            builder.build().map_err(|error| Error::value(explain(&error)).operator("$regex"))?;
        let prefix = if options.contains(['i', 'm', 'x']) { None } else { literal_prefix(pattern) };
        Ok(Self { regex, prefix })
    }

    pub(super) fn matches(&self, value: &Bson, asking: &Asking<'_>) -> bool {
        match value {
            Bson::String(text) | Bson::Symbol(text) => {
                asking.step(1 + text.len() / BYTES_PER_STEP) && self.regex.is_match(text)
            }
            _ => false,
        }
    }

    /// The beginning that every match has, if the expression is anchored to one.
    pub(super) fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }
}

/// `^abc` begins with `abc`, `^ab?` with `a`; an alternative anywhere could begin with anything.
fn literal_prefix(pattern: &str) -> Option<String> {
    let rest = pattern.strip_prefix('^').filter(|rest| !rest.contains('|'))?;
    let end = rest.find(|character| META.contains(character)).unwrap_or(rest.len());
    let mut prefix = rest[..end].to_owned();
    if rest[end..].starts_with(['*', '?', '{']) {
        prefix.pop();
    }
    Some(prefix).filter(|prefix| !prefix.is_empty())
}

/// The last line of the library's message; the lines before it draw the expression.
fn explain(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "regular expression is too big once compiled".to_owned(),
        other => {
            let text = other.to_string();
            let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("invalid regular expression: {reason}")
        }
    }
}
