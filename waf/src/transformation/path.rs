//! Paths without empty, self-referring and parent-referring segments.

use crate::bytes::ByteSet;

/// What can change a path: a dot, or a second separator.
pub(super) const TRIGGERS: ByteSet = ByteSet::of(b"./");
/// The same where a backslash is a separator.
pub(super) const TRIGGERS_WIN: ByteSet = ByteSet::of(b"./\\");

pub(super) fn normalise(value: &[u8], out: &mut Vec<u8>) {
    normalise_with(value, out, |byte| byte == b'/');
}

pub(super) fn normalise_win(value: &[u8], out: &mut Vec<u8>) {
    normalise_with(value, out, |byte| byte == b'/' || byte == b'\\');
}

/// Looks at the last character of each segment when it gets there, as ModSecurity does: a segment that ends in two dots
/// goes up, whatever is before them.
fn normalise_with(value: &[u8], out: &mut Vec<u8>, is_separator: impl Fn(u8) -> bool) {
    let (Some(first), Some(last)) = (value.first(), value.last()) else { return };
    let is_relative = !is_separator(*first);
    let mut path = Path { out, is_relative, is_above_root: false };
    let mut at = 0;
    while at < value.len() {
        let is_last = at + 1 == value.len();
        let byte = if is_separator(value[at]) { b'/' } else { value[at] };
        if is_last || is_separator(value[at + 1]) {
            match path.end_segment(byte, is_last) {
                Step::Keep => {}
                Step::Drop if is_last => break,
                Step::Drop => at += 1,
            }
        }
        at = path.copy(value, at, &is_separator);
    }
    if !is_separator(*last) && out.last() == Some(&b'/') {
        out.pop();
    }
}

struct Path<'a> {
    out: &'a mut Vec<u8>,
    is_relative: bool,
    /// Whether a relative path goes higher than it began; then its references to parents stay.
    is_above_root: bool,
}

enum Step {
    /// The byte belongs to the path.
    Keep,
    /// The byte was the last of a segment that is gone.
    Drop,
}

impl Path<'_> {
    /// What the last byte of a segment does. A separator here is an empty segment.
    fn end_segment(&mut self, byte: u8, is_last: bool) -> Step {
        match (byte, self.out.last()) {
            (b'/', _) if !is_last => Step::Keep,
            (b'.', Some(b'.')) => self.go_up(is_last),
            (b'.', None) => Step::Drop,
            (b'.', Some(b'/')) => {
                if !is_last {
                    self.out.pop();
                }
                Step::Drop
            }
            (b'.', Some(_)) => Step::Keep,
            (_, before) => {
                if before.is_some() {
                    self.is_above_root = false;
                }
                Step::Keep
            }
        }
    }

    /// Removes the segment before, which the path written so far ends with, and its separator.
    fn go_up(&mut self, is_last: bool) -> Step {
        let length = self.out.len();
        if self.is_relative && (self.is_above_root || length <= 2) {
            self.is_above_root = true;
            return Step::Keep;
        }
        let above = self.out[..length.saturating_sub(2)].iter().rposition(|byte| *byte == b'/');
        match above {
            Some(above) if above > 0 => self.out.truncate(above),
            _ => {
                self.is_above_root = true;
                // The root of an absolute path stays where nothing follows it.
                self.out.truncate(usize::from(!self.is_relative && is_last));
            }
        }
        Step::Drop
    }

    /// Copies a byte, of separators one for all that follow one another, and says where to go on.
    fn copy(&mut self, value: &[u8], from: usize, is_separator: impl Fn(u8) -> bool) -> usize {
        if !is_separator(value[from]) {
            self.out.push(value[from]);
            return from + 1;
        }
        let run = value[from..].iter().take_while(|byte| is_separator(**byte)).count();
        if !(self.is_relative && self.out.is_empty()) {
            self.out.push(b'/');
        }
        from + run
    }
}
