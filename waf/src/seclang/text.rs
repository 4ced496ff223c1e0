//! Text with macros.

use super::ast::{Piece, Text};
use super::cursor::Cursor;
use super::names::{self, unknown_variable};
use super::utf8;

/// Splits text at its macros. `%{` that no name and `}` follow is text, as is `\%{`.
///
/// # Errors
/// A macro of a variable that nobody knows, or of a member of what has none.
pub(super) fn text(bytes: &[u8]) -> Result<Text, String> {
    let mut pieces = Vec::new();
    let mut literal = Vec::new();
    let mut cursor = Cursor::new(bytes);
    let mut is_escaped = false;
    while let Some(byte) = cursor.next() {
        literal.push(byte);
        let begins_macro = byte == b'%' && !is_escaped && cursor.peek() == Some(b'{');
        is_escaped = byte == b'\\' && !is_escaped;
        if !begins_macro {
            continue;
        }
        cursor.next();
        let inside = cursor.take_while(|byte| !matches!(byte, b'}' | b'%' | b'{' | b'"' | b'\''));
        match shape(inside).filter(|_| cursor.peek() == Some(b'}')) {
            Some((name, member)) => {
                cursor.next();
                literal.pop();
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                pieces.push(macro_piece(name, member)?);
            }
            None => {
                literal.push(b'{');
                literal.extend_from_slice(inside);
                is_escaped = inside.ends_with(b"\\");
            }
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(Text(pieces))
}

/// Name and member of what looks like a macro.
fn shape(inside: &[u8]) -> Option<(&str, Option<&[u8]>)> {
    let end = inside.iter().position(|byte| !byte.is_ascii_alphabetic() && *byte != b'_');
    let (name, rest) = inside.split_at(end.unwrap_or(inside.len()));
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
    match rest {
        [] => Some((name, None)),
        [b'.' | b':', member @ ..] if !member.is_empty() => Some((name, Some(member))),
        _ => None,
    }
}

fn macro_piece(name: &str, member: Option<&[u8]>) -> Result<Piece, String> {
    let known = names::variable(name).ok_or_else(|| unknown_variable(name))?;
    let member = member.map(|member| utf8(member).map(str::to_owned)).transpose()?;
    if member.is_some() && !known.has_members {
        return Err(format!("macro of a member of {}, which has none", known.name));
    }
    Ok(Piece::Macro(known.variable, member))
}
