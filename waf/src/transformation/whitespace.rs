//! Spaces and null bytes.

use crate::bytes::ByteSet;

/// What C calls a space.
pub(super) const SPACES: ByteSet = ByteSet::of(b" \t\n\x0B\x0C\r");

/// Spaces, and both bytes of a non-breaking space in UTF-8.
pub(super) const REMOVED: ByteSet = SPACES.or(ByteSet::of(b"\xA0\xC2"));

pub(super) fn compress(value: &[u8], out: &mut Vec<u8>) {
    out.reserve(value.len());
    let mut is_after_space = false;
    for byte in value {
        let is_space = SPACES.has(*byte);
        if !is_space {
            out.push(*byte);
        } else if !is_after_space {
            out.push(b' ');
        }
        is_after_space = is_space;
    }
}

pub(super) fn remove(value: &[u8], out: &mut Vec<u8>) {
    out.extend(value.iter().filter(|byte| !REMOVED.has(**byte)));
}

pub(super) fn remove_nulls(value: &[u8], out: &mut Vec<u8>) {
    out.extend(value.iter().filter(|byte| **byte != 0));
}

pub(super) fn replace_nulls(value: &[u8], out: &mut Vec<u8>) {
    out.extend(value.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }));
}

pub(super) fn trim(value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(without_end(without_start(value)));
}

pub(super) fn trim_left(value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(without_start(value));
}

pub(super) fn trim_right(value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(without_end(value));
}

fn without_start(value: &[u8]) -> &[u8] {
    let start = value.iter().position(|byte| !SPACES.has(*byte));
    &value[start.unwrap_or(value.len())..]
}

fn without_end(value: &[u8]) -> &[u8] {
    let last = value.iter().rposition(|byte| !SPACES.has(*byte));
    &value[..last.map_or(0, |last| last + 1)]
}
