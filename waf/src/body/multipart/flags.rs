//! What was seen in a body that a sound sender does not send.

use super::Ending;
use crate::body::Fill;
use crate::seclang::ast::Variable;

/// The flags of one body.
#[derive(Default)]
pub(super) struct Flags {
    raised: Vec<Variable>,
    /// `MULTIPART_UNMATCHED_BOUNDARY`: 1 where a line looked like another boundary and none of ours came behind it, 2
    /// where one of ours came behind another.
    pub(super) unmatched: u8,
    pub(super) has_crlf: bool,
}

impl Flags {
    pub(super) fn raise(&mut self, flag: Variable) {
        if !self.has(flag) {
            self.raised.push(flag);
        }
    }

    pub(super) fn raise_if(&mut self, is_seen: bool, flag: Variable) {
        if is_seen {
            self.raise(flag);
        }
    }

    pub(super) fn has(&self, flag: Variable) -> bool {
        self.raised.contains(&flag)
    }

    /// A line of a header has ended so.
    pub(super) fn line_end(&mut self, ending: Ending) {
        self.has_crlf |= ending == Ending::CrLf;
        self.raise_if(ending == Ending::Lf, Variable::MultipartLfLine);
    }

    /// Fills the variables. Where not all was looked at, a boundary of ours may yet have come.
    pub(super) fn tell(&self, fill: &mut dyn Fill, is_error: bool, is_whole: bool) {
        for &flag in &self.raised {
            fill.set(flag, b"1");
        }
        if self.has_crlf && self.has(Variable::MultipartLfLine) {
            fill.set(Variable::MultipartCrlfLfLines, b"1");
        }
        if self.unmatched > 1 || (self.unmatched > 0 && is_whole) {
            fill.set(Variable::MultipartUnmatchedBoundary, &[b'0' + self.unmatched]);
        }
        if is_error || !self.raised.is_empty() {
            fill.set(Variable::MultipartStrictError, b"1");
        }
    }
}
