//! The eighth bit as parity of the other seven.

use crate::bytes::ByteSet;

/// Bytes whose eighth bit is not what makes their parity even.
pub(super) const EVEN_TRIGGERS: ByteSet = with_parity(1);
/// Bytes whose eighth bit is not what makes their parity odd.
pub(super) const ODD_TRIGGERS: ByteSet = with_parity(0);

const fn with_parity(parity: u32) -> ByteSet {
    let (mut set, mut byte) = (ByteSet::NONE, 0_usize);
    while byte < 256 {
        if byte.count_ones() % 2 == parity {
            set = set.with(byte as u8);
        }
        byte += 1;
    }
    set
}

pub(super) fn even(value: &[u8], out: &mut Vec<u8>) {
    flip(value, &EVEN_TRIGGERS, out);
}

pub(super) fn odd(value: &[u8], out: &mut Vec<u8>) {
    flip(value, &ODD_TRIGGERS, out);
}

fn flip(value: &[u8], which: &ByteSet, out: &mut Vec<u8>) {
    out.extend(value.iter().map(|byte| if which.has(*byte) { byte ^ 0x80 } else { *byte }));
}

pub(super) fn zero(value: &[u8], out: &mut Vec<u8>) {
    out.extend(value.iter().map(|byte| byte & 0x7F));
}
