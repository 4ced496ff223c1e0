//! `$regexMatch $regexFind $regexFindAll`, in time linear in the text. Arguments: `input`, `regex`, `options`.

use bson::Bson;
use regex::{Captures, Regex, RegexBuilder};

use super::argument::{Arguments, count};
use super::document_of;
use crate::error::{Error, Kind, Result};

/// Memory of one compiled expression, and again of its cache while matching.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Nesting of groups and repetitions.
const NEST_MAX: u32 = 50;

/// The expression that two constants stand for; none if it is null.
pub(super) fn compile(
    pattern: Option<&Bson>,
    options: Option<&Bson>,
    bytes_max: usize,
) -> Result<Option<Regex>> {
    let (pattern, own) = match pattern {
        None | Some(Bson::Null) => return Ok(None),
        Some(Bson::String(pattern)) => (pattern.as_str(), ""),
        Some(Bson::RegularExpression(regex)) => (regex.pattern.as_str(), regex.options.as_str()),
        Some(_) => return Err(Error::value("regex must be a string or a regular expression")),
    };
    let options = match options {
        None | Some(Bson::Null) => own,
        Some(Bson::String(options)) if own.is_empty() => options,
        Some(_) => return Err(Error::value("options must be a string and given once")),
    };
    if pattern.len() > bytes_max {
        let message = format!("regular expression is over {bytes_max} bytes long");
        return Err(Error::new(Kind::TooLarge, message));
    }
    build(pattern, options).map(Some)
}

fn build(pattern: &str, options: &str) -> Result<Regex> {
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(COMPILED_BYTES_MAX).dfa_size_limit(COMPILED_BYTES_MAX).nest_limit(NEST_MAX);
    for option in options.chars() {
        match option {
            'i' => builder.case_insensitive(true),
            'm' => builder.multi_line(true),
            's' => builder.dot_matches_new_line(true),
            'x' => builder.ignore_whitespace(true),
            _ => return Err(Error::value("of options only i, m, s and x are known")),
        };
    }
    builder.build().map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Error::value(format!("invalid regular expression: {reason}"))
    })
}

/// The text and the expression, unless one of them is null.
fn subject<'a>(args: &'a Arguments<'_>) -> Result<Option<(&'a str, &'a Regex)>> {
    match args.regex {
        Some(regex) if !args.is_null(0) => {
            let text = args.text(0)?;
            args.meter.step(1 + text.len() / 4)?;
            Ok(Some((text, regex)))
        }
        _ => Ok(None),
    }
}

pub(super) fn matches(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let subject = subject(args)?;
    Ok(Some(Bson::Boolean(subject.is_some_and(|(text, regex)| regex.is_match(text)))))
}

pub(super) fn find(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let Some((text, regex)) = subject(args)? else { return Ok(Some(Bson::Null)) };
    match regex.captures(text) {
        Some(captures) => shown(args, text, &captures, &mut (0, 0)).map(Some),
        None => Ok(Some(Bson::Null)),
    }
}

/// Each search starts where the last match ended. A pattern can make one search read the whole rest and still match
/// little, so each search is paid for by what it may read.
pub(super) fn find_all(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let Some((text, regex)) = subject(args)? else {
        return Ok(Some(Bson::Array(Vec::new())));
    };
    let mut seen = (0, 0);
    let mut found = Vec::new();
    for captures in regex.captures_iter(text) {
        args.meter.step(1 + (text.len() - seen.0) / 64)?;
        found.push(shown(args, text, &captures, &mut seen)?);
    }
    Ok(Some(Bson::Array(found)))
}

/// `{match, idx, captures}`. `seen` is a place in the text that was counted already: its byte and its character.
fn shown(
    args: &Arguments<'_>,
    text: &str,
    captures: &Captures<'_>,
    seen: &mut (usize, usize),
) -> Result<Bson> {
    args.meter.make_items(4 + captures.len())?;
    let part = |part: Option<regex::Match<'_>>| match part {
        Some(part) => {
            args.meter.make(part.len() as u64)?;
            Ok(Bson::String(part.as_str().to_owned()))
        }
        None => Ok(Bson::Null),
    };
    let whole = captures.get(0);
    let start = whole.map_or(0, |whole| whole.start());
    *seen = (start, seen.1 + text.get(seen.0..start).unwrap_or_default().chars().count());
    let groups = captures.iter().skip(1).map(part).collect::<Result<Vec<_>>>()?;
    Ok(Bson::Document(document_of([
        ("match", part(whole)?),
        ("idx", count(seen.1)),
        ("captures", Bson::Array(groups)),
    ])))
}
