//! What shells do not see: quotes, separators, case.

use crate::bytes::ByteSet;

/// What `cmdLine` drops, turns into a space, or turns into lowercase.
pub(super) const TRIGGERS: ByteSet = ByteSet::of(b"\"'\\^ ,;\t\r\n").or(ByteSet::range(b'A', b'Z'));

pub(super) fn cmd_line(value: &[u8], out: &mut Vec<u8>) {
    out.reserve(value.len());
    let mut is_after_space = false;
    for byte in value {
        match byte {
            b'"' | b'\'' | b'\\' | b'^' => continue,
            b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' => {
                if !is_after_space {
                    out.push(b' ');
                }
                is_after_space = true;
                continue;
            }
            b'/' | b'(' if is_after_space => {
                out.pop();
                out.push(*byte);
            }
            byte => out.push(byte.to_ascii_lowercase()),
        }
        is_after_space = false;
    }
}

pub(super) fn lowercase(value: &[u8], out: &mut Vec<u8>) {
    out.extend(value.iter().map(u8::to_ascii_lowercase));
}

pub(super) fn uppercase(value: &[u8], out: &mut Vec<u8>) {
    out.extend(value.iter().map(u8::to_ascii_uppercase));
}
