//! Classes in brackets. They are read whole and written anew as ranges of bytes, because the two languages quote
//! differently inside of brackets.

use std::fmt::Write as _;

use regex_syntax::utf8::Utf8Sequences;

use super::{Code, Translation};
use crate::bytes::ByteSet;

const DIGITS: ByteSet = ByteSet::range(b'0', b'9');
const LOWER: ByteSet = ByteSet::range(b'a', b'z');
const UPPER: ByteSet = ByteSet::range(b'A', b'Z');
const LETTERS: ByteSet = LOWER.or(UPPER);
const WORD: ByteSet = LETTERS.or(DIGITS).or(ByteSet::of(b"_"));
const SPACE: ByteSet = ByteSet::of(b" \t\n\x0B\x0C\r");
const HORIZONTAL: ByteSet = ByteSet::of(b"\t \xA0");
const VERTICAL: ByteSet = ByteSet::of(b"\n\x0B\x0C\r\x85");
const GRAPH: ByteSet = ByteSet::range(0x21, 0x7E);

/// The class that a letter behind a backslash means.
pub(super) fn named(letter: u8) -> Option<ByteSet> {
    Some(match letter {
        b'd' => DIGITS,
        b'D' => DIGITS.not(),
        b's' => SPACE,
        b'S' => SPACE.not(),
        b'w' => WORD,
        b'W' => WORD.not(),
        b'h' => HORIZONTAL,
        b'H' => HORIZONTAL.not(),
        b'v' => VERTICAL,
        b'V' => VERTICAL.not(),
        _ => return None,
    })
}

/// The class that `[:name:]` means.
fn posix(name: &[u8]) -> Option<ByteSet> {
    Some(match name {
        b"alpha" => LETTERS,
        b"digit" => DIGITS,
        b"alnum" => LETTERS.or(DIGITS),
        b"upper" => UPPER,
        b"lower" => LOWER,
        b"space" => SPACE,
        b"blank" => ByteSet::of(b" \t"),
        b"punct" => GRAPH.minus(LETTERS.or(DIGITS)),
        b"print" => GRAPH.or(ByteSet::of(b" ")),
        b"graph" => GRAPH,
        b"cntrl" => ByteSet::range(0, 0x1F).or(ByteSet::of(b"\x7F")),
        b"xdigit" => DIGITS.or(ByteSet::range(b'a', b'f')).or(ByteSet::range(b'A', b'F')),
        b"ascii" => ByteSet::range(0, 0x7F),
        b"word" => WORD,
        _ => return None,
    })
}

/// Writes a set of bytes as a class. A negated one stays so, because without case the two are not the same.
pub(super) fn push(set: &ByteSet, is_negated: bool, out: &mut String) {
    out.push_str(if is_negated { "[^" } else { "[" });
    let mut byte = 0_usize;
    let mut is_empty = true;
    while byte < 256 {
        let start = byte;
        while byte < 256 && set.has(byte as u8) {
            byte += 1;
        }
        if byte > start {
            let last = byte - 1;
            let _ = match last - start {
                0 => write!(out, "\\x{start:02x}"),
                _ => write!(out, "\\x{start:02x}-\\x{last:02x}"),
            };
            is_empty = false;
        }
        byte += 1;
    }
    if is_empty {
        // The crate has no empty brackets: nothing is what is not one of all bytes.
        out.truncate(out.len() - if is_negated { 2 } else { 1 });
        out.push_str(if is_negated { "(?s:.)" } else { "[^\\x00-\\xff]" });
        return;
    }
    out.push(']');
}

/// One member.
enum Member {
    Set(ByteSet),
    Code(Code),
}

/// Reads a class whose bracket was read, and writes it.
///
/// A character beyond ASCII is all of its bytes in a row, which is what whoever wrote the rule meant; PCRE without
/// UTF-8 takes each byte for itself, and would find them in other characters. In a negated class they are bytes.
pub(super) fn translate(it: &mut Translation<'_>) -> Result<(), String> {
    let is_negated = it.take(b"^");
    let (mut set, mut wide) = (ByteSet::NONE, Vec::new());
    let mut is_first = true;
    loop {
        let byte = it.next().ok_or("a class in brackets is not closed")?;
        if byte == b']' && !is_first {
            break;
        }
        is_first = false;
        let code = match member(it, byte)? {
            None => continue,
            Some(Member::Set(more)) => {
                set = set.or(more);
                continue;
            }
            Some(Member::Code(code)) => code,
        };
        let last = range_end(it)?;
        add(&mut set, &mut wide, &code, last.as_ref().unwrap_or(&code))?;
    }
    write(it, &set, is_negated, &wide);
    Ok(())
}

/// The end of a range, if one follows.
fn range_end(it: &mut Translation<'_>) -> Result<Option<Code>, String> {
    let [b'-', end, ..] = it.rest() else { return Ok(None) };
    let end = *end;
    if end == b']' {
        return Ok(None);
    }
    let before = it.at;
    it.at += 2;
    match member(it, end)? {
        Some(Member::Code(code)) => Ok(Some(code)),
        // `[a-\d]`: the hyphen is itself.
        _ => {
            it.at = before;
            Ok(None)
        }
    }
}

fn member(it: &mut Translation<'_>, byte: u8) -> Result<Option<Member>, String> {
    if byte == b'\\' {
        let letter = it.next().ok_or("a backslash ends the pattern")?;
        return Ok(match letter {
            b'b' => Some(Member::Code(Code::Byte(0x08))),
            b'E' => None,
            b'Q' => return Err("`\\Q` within brackets is not supported".into()),
            b'p' | b'P' => return super::refuse("a class of Unicode's characters"),
            b'N' | b'R' | b'X' => return Err("an escape within brackets is no character".into()),
            letter => Some(match named(letter) {
                Some(set) => Member::Set(set),
                None => Member::Code(it.code(letter)?),
            }),
        });
    }
    if byte == b'[' && matches!(it.rest(), [b':' | b'.' | b'=', ..]) {
        return bracketed(it);
    }
    if !byte.is_ascii() {
        it.at -= 1;
        if let Some(character) = it.utf8() {
            return Ok(Some(Member::Code(Code::Wide(character))));
        }
        it.at += 1;
    }
    Ok(Some(Member::Code(Code::Byte(byte))))
}

/// `[:alpha:]`, `[:^alpha:]`; a bracket that begins neither is itself.
fn bracketed(it: &mut Translation<'_>) -> Result<Option<Member>, String> {
    let kind = it.rest()[0];
    let rest = &it.rest()[1..];
    let length = rest.iter().position(|byte| !(byte.is_ascii_alphabetic() || *byte == b'^'));
    let length = length.unwrap_or(rest.len());
    if !rest[length..].starts_with(&[kind, b']']) {
        return Ok(Some(Member::Code(Code::Byte(b'['))));
    }
    let (is_negated, name) = match &rest[..length] {
        [b'^', name @ ..] => (true, name),
        name => (false, name),
    };
    let set = posix(name)
        .filter(|_| kind == b':')
        .ok_or_else(|| format!("`{}` is no class of characters", String::from_utf8_lossy(name)))?;
    it.at += length + 3;
    Ok(Some(Member::Set(if is_negated { set.not() } else { set })))
}

/// Adds a range, whose ends may be the same.
fn add(
    set: &mut ByteSet,
    wide: &mut Vec<(char, char)>,
    first: &Code,
    last: &Code,
) -> Result<(), String> {
    match (first, last) {
        (Code::Byte(first), Code::Byte(last)) if first <= last => {
            *set = set.or(ByteSet::range(*first, *last));
        }
        (Code::Byte(first), Code::Wide(last)) if first.is_ascii() => {
            *set = set.or(ByteSet::range(*first, 0x7F));
            wide.push(('\u{80}', *last));
        }
        (Code::Wide(first), Code::Wide(last)) if first <= last => wide.push((*first, *last)),
        _ => return Err("a range in brackets ends before it begins".into()),
    }
    Ok(())
}

fn write(it: &mut Translation<'_>, set: &ByteSet, is_negated: bool, wide: &[(char, char)]) {
    let sequences = wide.iter().flat_map(|(first, last)| Utf8Sequences::new(*first, *last));
    if is_negated {
        let bytes = sequences.flat_map(|sequence| sequence.as_slice().to_vec());
        let all = bytes.fold(*set, |set, range| set.or(ByteSet::range(range.start, range.end)));
        return push(&all, true, &mut it.out);
    }
    if wide.is_empty() {
        return push(set, false, &mut it.out);
    }
    it.out.push_str("(?:");
    for (at, sequence) in sequences.enumerate() {
        if at > 0 {
            it.out.push('|');
        }
        for range in sequence.as_slice() {
            push(&ByteSet::range(range.start, range.end), false, &mut it.out);
        }
    }
    if !set.is_empty() {
        it.out.push('|');
        push(set, false, &mut it.out);
    }
    it.out.push(')');
}
