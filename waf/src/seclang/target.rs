//! Targets: what a rule looks at.

use super::TARGETS_MAX;
use super::ast::{Member, Target, Variable};
use super::cursor::Cursor;
use super::names::{self, Known, unknown_variable};
use super::utf8;

/// Targets with `|` or `,` between them.
///
/// # Errors
/// Everything that is wrong with them.
pub(super) fn targets(bytes: &[u8]) -> Result<Vec<Target>, Vec<String>> {
    let (mut targets, mut problems) = (Vec::new(), Vec::new());
    let mut cursor = Cursor::new(bytes);
    loop {
        match target(&mut cursor) {
            Ok(target) => targets.push(target),
            Err(problem) => problems.push(problem),
        }
        // After a problem, go on behind the next separator.
        cursor.take_while(|byte| !is_separator(byte));
        if cursor.next().is_none() {
            break;
        }
        if targets.len() + problems.len() >= TARGETS_MAX {
            problems.push(format!("more than {TARGETS_MAX} targets"));
            break;
        }
    }
    if problems.is_empty() { Ok(targets) } else { Err(problems) }
}

/// One target, and nothing behind it.
///
/// # Errors
/// What is wrong with it.
pub(super) fn single(bytes: &[u8]) -> Result<Target, String> {
    let mut cursor = Cursor::new(bytes);
    let target = target(&mut cursor)?;
    if !cursor.is_done() {
        return Err(format!("text behind a target: `{}`", shown(cursor.rest())));
    }
    Ok(target)
}

fn target(cursor: &mut Cursor<'_>) -> Result<Target, String> {
    cursor.skip_space();
    let is_excluded = cursor.eat(b'!');
    let is_count = cursor.eat(b'&');
    if is_excluded && is_count {
        return Err("a target is either left out (`!`) or counted (`&`)".into());
    }
    let name = cursor.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let name = utf8(name)?;
    if name.is_empty() {
        return Err(match cursor.rest() {
            [] => "a variable is missing at the end".into(),
            rest => format!("a variable is missing before `{}`", shown(rest)),
        });
    }
    let known = names::variable(name).ok_or_else(|| unknown_variable(name))?;
    let member = match cursor.peek() {
        Some(b':' | b'.') => {
            cursor.next();
            Some(member(cursor, known)?)
        }
        _ => None,
    };
    cursor.skip_space();
    if cursor.peek().is_some_and(|byte| !is_separator(byte)) {
        return Err(format!("text behind {}: `{}`", known.name, shown(cursor.rest())));
    }
    Ok(Target { is_excluded, is_count, variable: known.variable, member })
}

fn member(cursor: &mut Cursor<'_>, known: &Known) -> Result<Member, String> {
    if !known.has_members {
        return Err(format!("{} has no members", known.name));
    }
    let is_quoted = cursor.eat(b'\'');
    let text = if is_quoted {
        cursor.quoted(b'\'')?
    } else {
        let text = cursor.take_while(|byte| !is_separator(byte)).trim_ascii().to_vec();
        if text.len() > 1 && is_cut(&text) && known.variable != Variable::Xml {
            return Err(format!(
                "`{}` begins a pattern and does not end it; quote it: {}:'/…/'",
                shown(&text),
                known.name
            ));
        }
        text
    };
    let text = utf8(&text)?;
    if text.is_empty() {
        return Err(format!("a member of {} has no name", known.name));
    }
    if known.variable == Variable::Xml {
        return Ok(Member::XPath(text.to_owned()));
    }
    let pattern = text.strip_prefix('/').and_then(|text| text.strip_suffix('/'));
    Ok(match pattern {
        Some(pattern) => Member::Matching(pattern.to_owned()),
        None => Member::Named(text.to_owned()),
    })
}

/// Whether a pattern was cut at a `|` or `,` of its own.
fn is_cut(text: &[u8]) -> bool {
    text.starts_with(b"/") && !text.ends_with(b"/")
}

fn is_separator(byte: u8) -> bool {
    matches!(byte, b'|' | b',')
}

/// The beginning of text, for a message: no more than a line's worth, and nothing that moves a cursor.
pub(super) fn shown(text: &[u8]) -> String {
    const BYTES_MAX: usize = 40;
    let cut = &text[..text.len().min(BYTES_MAX)];
    let readable =
        |letter: char| if letter.is_control() { char::REPLACEMENT_CHARACTER } else { letter };
    let mut shown: String = String::from_utf8_lossy(cut).chars().map(readable).collect();
    if cut.len() < text.len() {
        shown.push('…');
    }
    shown
}
