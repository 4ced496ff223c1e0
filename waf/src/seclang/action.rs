//! Actions: what follows a match.

use super::ast::{Action, Allow, Change, Collection, Disruptive, Sanitise, SetVariable, Text};
use super::control::control;
use super::cursor::Cursor;
use super::names::{Refused, transformation, unknown, writable};
use super::target::shown;
use super::text::text;
use super::{ACTIONS_MAX, ids, number, utf8};

/// Every action that is offered, for the nearest name.
pub(super) const ACTIONS: &[&str] = &[
    "accuracy",
    "allow",
    "auditlog",
    "block",
    "capture",
    "chain",
    "ctl",
    "deny",
    "drop",
    "expirevar",
    "id",
    "initcol",
    "log",
    "logdata",
    "maturity",
    "msg",
    "multiMatch",
    "noauditlog",
    "nolog",
    "pass",
    "phase",
    "redirect",
    "rev",
    "sanitiseArg",
    "sanitiseMatched",
    "sanitiseMatchedBytes",
    "sanitiseRequestHeader",
    "sanitiseResponseHeader",
    "setenv",
    "setrsc",
    "setsid",
    "setuid",
    "setvar",
    "severity",
    "skip",
    "skipAfter",
    "status",
    "t",
    "tag",
    "ver",
    "xmlns",
];

pub(super) const ACTIONS_REFUSED: &[Refused] = &[
    ("append", "answers are not rewritten by rules"),
    ("deprecatevar", "ModSecurity 3 does not have it either; expirevar forgets a variable"),
    ("exec", "rules run no programs"),
    (
        "pause",
        "a held request costs us more than the attacker; deny or drop it, or limit the route",
    ),
    ("prepend", "answers are not rewritten by rules"),
    ("proxy", "rules do not choose an upstream; routes do"),
];

/// Actions with commas between them.
///
/// # Errors
/// All that were understood, and everything that is wrong with the others.
pub(super) fn actions(bytes: &[u8]) -> Result<Vec<Action>, (Vec<Action>, Vec<String>)> {
    let (mut actions, mut problems) = (Vec::new(), Vec::new());
    let mut cursor = Cursor::new(bytes);
    loop {
        cursor.take_while(|byte| byte.is_ascii_whitespace() || byte == b',');
        if cursor.is_done() {
            break;
        }
        if actions.len() + problems.len() >= ACTIONS_MAX {
            problems.push(format!("more than {ACTIONS_MAX} actions"));
            break;
        }
        match written(&mut cursor).and_then(|(name, value)| action(name, value.as_deref())) {
            Ok(action) => actions.push(action),
            Err(problem) => problems.push(problem),
        }
        cursor.take_while(|byte| byte != b',');
    }
    if problems.is_empty() { Ok(actions) } else { Err((actions, problems)) }
}

/// The next action's name and value.
fn written<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a str, Option<Vec<u8>>), String> {
    let name = utf8(cursor.take_while(|byte| !matches!(byte, b':' | b',' | b'\'')).trim_ascii())?;
    if name.is_empty() {
        return Err(format!("an action is missing before `{}`", shown(cursor.rest())));
    }
    if !cursor.eat(b':') {
        return Ok((name, None));
    }
    cursor.skip_space();
    if !cursor.eat(b'\'') {
        return Ok((name, Some(cursor.take_while(|byte| byte != b',').trim_ascii().to_vec())));
    }
    let value = cursor.quoted(b'\'').map_err(|problem| format!("{name}: {problem}"))?;
    cursor.skip_space();
    match cursor.peek() {
        None | Some(b',') => Ok((name, Some(value))),
        _ => Err(format!("{name}: text behind the closing quote: `{}`", shown(cursor.rest()))),
    }
}

fn action(name: &str, value: Option<&[u8]>) -> Result<Action, String> {
    let lowercase = name.to_ascii_lowercase();
    let action = match value {
        None => plain(&lowercase),
        Some(value) => valued(&lowercase, value),
    };
    let refused = match value {
        _ if !ACTIONS.iter().any(|known| known.eq_ignore_ascii_case(name)) => {
            return Err(unknown("action", name, ACTIONS_REFUSED, ACTIONS.iter().copied()));
        }
        None => format!("{name} needs a value"),
        Some(_) => format!("{name} takes no value"),
    };
    action.map_err(|problem| format!("{name}: {problem}"))?.ok_or(refused)
}

/// An action without a value; `None` if there is none of that name.
fn plain(name: &str) -> Result<Option<Action>, String> {
    Ok(Some(match name {
        "allow" => Action::Disruptive(Disruptive::Allow(Allow::All)),
        "auditlog" => Action::AuditLog(true),
        "block" => Action::Disruptive(Disruptive::Block),
        "capture" => Action::Capture,
        "chain" => Action::Chain,
        "deny" => Action::Disruptive(Disruptive::Deny),
        "drop" => Action::Disruptive(Disruptive::Drop),
        "log" => Action::Log(true),
        "multimatch" => Action::MultiMatch,
        "noauditlog" => Action::AuditLog(false),
        "nolog" => Action::Log(false),
        "pass" => Action::Disruptive(Disruptive::Pass),
        "sanitisematched" | "sanitisematchedbytes" => Action::Sanitise(Sanitise::Matched),
        _ => return Ok(None),
    }))
}

/// An action with a value; `None` if there is none of that name.
fn valued(name: &str, value: &[u8]) -> Result<Option<Action>, String> {
    let word = || Ok::<String, String>(utf8(value)?.to_owned());
    Ok(Some(match name {
        "accuracy" => Action::Accuracy(small(value, 9)?),
        "allow" => Action::Disruptive(Disruptive::Allow(allow(value)?)),
        "ctl" => Action::Control(control(utf8(value)?)?),
        "expirevar" => {
            let (name, seconds) = assignment(value)?;
            let (collection, name) = variable(name)?;
            Action::ExpireVariable(collection, name, text(seconds)?)
        }
        "id" => Action::Id(ids::id(utf8(value)?)?),
        "initcol" => {
            let (collection, key) = assignment(value)?;
            let collection = writable(utf8(collection)?)?;
            if collection == Collection::Tx {
                return Err("tx is there without it".into());
            }
            Action::InitCollection(collection, text(key)?)
        }
        "logdata" => Action::LogData(text(value)?),
        "maturity" => Action::Maturity(small(value, 9)?),
        "msg" => Action::Message(text(value)?),
        "phase" => Action::Phase(phase(value)?),
        "redirect" => Action::Disruptive(Disruptive::Redirect(text(value)?)),
        "rev" => Action::Revision(word()?),
        "sanitisearg" => Action::Sanitise(Sanitise::Argument(word()?)),
        // How many bytes at both ends may be seen is not looked at: none may.
        "sanitisematchedbytes" => Action::Sanitise(Sanitise::Matched),
        "sanitiserequestheader" => Action::Sanitise(Sanitise::RequestHeader(word()?)),
        "sanitiseresponseheader" => Action::Sanitise(Sanitise::ResponseHeader(word()?)),
        "setenv" => {
            let (name, value) = assignment(value)?;
            Action::SetEnvironment(text(name)?, text(value)?)
        }
        "setrsc" => Action::SetKey(Collection::Resource, text(value)?),
        "setsid" => Action::SetKey(Collection::Session, text(value)?),
        "setuid" => Action::SetKey(Collection::User, text(value)?),
        "setvar" => Action::SetVariable(set_variable(value)?),
        "severity" => Action::Severity(severity(value)?),
        "skip" => Action::Skip(u32::try_from(number(value, SKIP_MAX)?).unwrap_or(u32::MAX)),
        "skipafter" => Action::SkipAfter(word()?),
        "status" => Action::Status(status(value)?),
        "t" if value.eq_ignore_ascii_case(b"none") => Action::TransformationsNone,
        "t" => Action::Transformation(transformation(utf8(value)?)?),
        "tag" => Action::Tag(text(value)?),
        "ver" => Action::Version(word()?),
        "xmlns" => {
            let (prefix, address) = assignment(value)?;
            Action::XmlNamespace(utf8(prefix)?.to_owned(), utf8(address)?.to_owned())
        }
        _ => return Ok(None),
    }))
}

/// Rules that `skip` jumps over.
const SKIP_MAX: u64 = 10_000;

fn small(value: &[u8], max: u8) -> Result<u8, String> {
    // The bound is a byte, so the number is one.
    Ok(number(value, max.into())? as u8)
}

fn allow(value: &[u8]) -> Result<Allow, String> {
    match value.to_ascii_lowercase().as_slice() {
        b"phase" => Ok(Allow::Phase),
        b"request" => Ok(Allow::Request),
        _ => Err(format!("`{}` is neither `phase` nor `request`", shown(value))),
    }
}

fn phase(value: &[u8]) -> Result<u8, String> {
    match value.to_ascii_lowercase().as_slice() {
        b"request" => Ok(2),
        b"response" => Ok(4),
        b"logging" => Ok(5),
        [digit @ b'1'..=b'5'] => Ok(digit - b'0'),
        _ => Err(format!("`{}` is neither 1 to 5 nor request, response or logging", shown(value))),
    }
}

fn severity(value: &[u8]) -> Result<u8, String> {
    const NAMES: [&str; 8] =
        ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];
    let name = utf8(value)?;
    if let Some(place) = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name)) {
        return Ok(place as u8);
    }
    let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { small(value, 7) } else { Err(unknown("severity", name, &[], NAMES.into_iter())) }
}

fn status(value: &[u8]) -> Result<u16, String> {
    match number(value, 599)? {
        status @ 100.. => Ok(status as u16),
        status => Err(format!("{status} is not between 100 and 599")),
    }
}

/// What stands before and behind the first `=` that is in no macro.
fn assignment(value: &[u8]) -> Result<(&[u8], &[u8]), String> {
    match split_assignment(value) {
        (name, Some(value)) => Ok((name, value)),
        (name, None) => Err(format!("`{}` lacks `=` and a value", shown(name))),
    }
}

fn split_assignment(value: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut is_macro = false;
    let mut cursor = Cursor::new(value);
    let name = cursor.take_while(|byte| {
        match byte {
            b'{' => is_macro = true,
            b'}' => is_macro = false,
            _ => {}
        }
        is_macro || byte != b'='
    });
    (name, cursor.eat(b'=').then(|| cursor.rest()))
}

/// `collection.name`.
fn variable(bytes: &[u8]) -> Result<(Collection, Text), String> {
    let mut cursor = Cursor::new(bytes);
    let collection = writable(utf8(cursor.take_while(|byte| !matches!(byte, b'.' | b':')))?)?;
    cursor.next();
    match cursor.rest().trim_ascii() {
        [] => Err("the variable has no name".into()),
        name => Ok((collection, text(name)?)),
    }
}

fn set_variable(value: &[u8]) -> Result<SetVariable, String> {
    if let Some(name) = value.strip_prefix(b"!") {
        let (collection, name) = variable(name)?;
        return Ok(SetVariable { collection, name, change: Change::Remove });
    }
    let (name, value) = split_assignment(value);
    let (collection, name) = variable(name)?;
    let change = match value {
        None => Change::Set(Text::literal(*b"1")),
        Some([b'+', value @ ..]) => Change::Add(text(value)?),
        Some([b'-', value @ ..]) => Change::Subtract(text(value)?),
        Some(value) => Change::Set(text(value)?),
    };
    Ok(SetVariable { collection, name, change })
}
