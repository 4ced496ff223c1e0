//! Comments of SQL, of C and of HTML.

/// Comments vanish; one that does not end is a space. `--` and `#` end the value.
///
/// The byte after the end of a comment is taken as it is, even if it begins another; where the value ends there, a null
/// byte stands. So it is in ModSecurity, and rules look for what comes out.
pub(super) fn remove(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let [first, tail @ ..] = rest {
        let inside = match rest {
            [b'/', b'*', inside @ ..] | [b'<', b'!', b'-', b'-', inside @ ..] => inside,
            [b'-', b'-', ..] | [b'#', ..] => return,
            _ => {
                out.push(*first);
                rest = tail;
                continue;
            }
        };
        let Some(after) = after_comment(inside) else {
            out.push(b' ');
            return;
        };
        out.push(after.first().copied().unwrap_or(0));
        rest = after.get(1..).unwrap_or(&[]);
    }
}

/// What follows `*/` or `-->`, whichever comes first.
fn after_comment(inside: &[u8]) -> Option<&[u8]> {
    let mut rest = inside;
    while let [_, tail @ ..] = rest {
        match rest {
            [b'*', b'/', after @ ..] | [b'-', b'-', b'>', after @ ..] => return Some(after),
            _ => rest = tail,
        }
    }
    None
}

/// The characters that begin and end comments vanish; what is between them stays.
pub(super) fn remove_characters(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let [first, tail @ ..] = rest {
        rest = match rest {
            [b'<', b'!', b'-', b'-', after @ ..]
            | [b'-', b'-', b'>', after @ ..]
            | [b'/', b'*', after @ ..]
            | [b'*', b'/', after @ ..]
            | [b'-', b'-', after @ ..]
            | [b'#', after @ ..] => after,
            _ => {
                out.push(*first);
                tail
            }
        };
    }
}

/// Each comment of C becomes a space, also one that does not end.
pub(super) fn replace(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let Some(start) = memchr::memmem::find(rest, b"/*") {
        out.extend_from_slice(&rest[..start]);
        out.push(b' ');
        let inside = &rest[start + 2..];
        let Some(length) = memchr::memmem::find(inside, b"*/") else { return };
        rest = &inside[length + 2..];
    }
    out.extend_from_slice(rest);
}
