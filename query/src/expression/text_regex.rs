//! `$regexMatch $regexFind $regexFindAll`, in time linear in the text. Arguments: `input`, `regex`, `options`.

use bson::Bson;
use regex_automata::Span;

use super::argument::{Arguments, count};
use super::document_of;
use crate::error::{Error, Kind, Result};
use crate::search::{Search, Unusable};

/// The expression that two constants stand for; none if it is null.
pub(super) fn compile(
    pattern: Option<&Bson>,
    options: Option<&Bson>,
    bytes_max: usize,
) -> Result<Option<Search>> {
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
    let search = Search::new(pattern, options).map_err(|unusable| match unusable {
        Unusable::Option => Error::value("of options only i, m, s and x are known"),
        Unusable::TooBig => Error::value("regular expression is too big once compiled"),
        Unusable::Syntax(reason) => Error::value(format!("invalid regular expression: {reason}")),
    });
    search.map(Some)
}

/// The text and the expression, unless one of them is null.
fn subject<'a>(args: &'a Arguments<'_>) -> Result<Option<(&'a str, &'a Search)>> {
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
    let Some((text, search)) = subject(args)? else { return Ok(Some(Bson::Boolean(false))) };
    search.is_match(text, |steps| args.meter.step(steps)).map(|found| Some(Bson::Boolean(found)))
}

pub(super) fn find(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let Some((text, search)) = subject(args)? else { return Ok(Some(Bson::Null)) };
    match search.find(text, 0, |steps| args.meter.step(steps))? {
        Some(found) => shown(args, text, search, found, &mut (0, 0)).map(Some),
        None => Ok(Some(Bson::Null)),
    }
}

/// Each search starts where the last match ended. A pattern can make one search read the whole rest and still match
/// little, so each search is paid for by what it may read. A match of nothing stands only where no other one has ended.
pub(super) fn find_all(args: &Arguments<'_>) -> Result<Option<Bson>> {
    let Some((text, search)) = subject(args)? else {
        return Ok(Some(Bson::Array(Vec::new())));
    };
    let (mut seen, mut found, mut from, mut ended) = ((0, 0), Vec::new(), 0, None);
    while from <= text.len()
        && let Some(span) = search.find(text, from, |steps| args.meter.step(steps))?
    {
        if span.is_empty() && ended == Some(span.end) {
            let next = text.get(span.end..).and_then(|rest| rest.chars().next());
            from = span.end + next.map_or(1, char::len_utf8);
            continue;
        }
        (from, ended) = (span.end, Some(span.end));
        found.push(shown(args, text, search, span, &mut seen)?);
    }
    Ok(Some(Bson::Array(found)))
}

/// `{match, idx, captures}`. `seen` is a place in the text that was counted already: its byte and its character.
fn shown(
    args: &Arguments<'_>,
    text: &str,
    search: &Search,
    found: Span,
    seen: &mut (usize, usize),
) -> Result<Bson> {
    let groups = search.groups(text, found, |steps| args.meter.step(steps))?;
    args.meter.make_items(5 + groups.len())?;
    let part = |part: Option<Span>| match part {
        Some(part) => {
            args.meter.make(part.len() as u64)?;
            Ok(Bson::String(text.get(part.range()).unwrap_or_default().to_owned()))
        }
        None => Ok(Bson::Null),
    };
    let start = found.start;
    *seen = (start, seen.1 + text.get(seen.0..start).unwrap_or_default().chars().count());
    let groups = groups.into_iter().map(part).collect::<Result<Vec<_>>>()?;
    Ok(Bson::Document(document_of([
        ("match", part(Some(found))?),
        ("idx", count(seen.1)),
        ("captures", Bson::Array(groups)),
    ])))
}
