//! One file after the other, a directive at a time, to directives and problems.

use std::sync::Arc;

use super::ast::{Directive, Problem, SourceSpan};
use super::check::Checks;
use super::directive::{Parsed, Said, directive};
use super::lines::Lines;
use super::{DIRECTIVES_MAX, FILE_BYTES_MAX, PROBLEMS_MAX};

/// What was read so far.
#[derive(Default)]
pub(super) struct Reading {
    directives: Vec<Directive>,
    problems: Vec<Problem>,
    checks: Checks,
    /// There is more than is read.
    is_ended: bool,
}

/// A file to be included, by the name that is written.
pub(super) struct Include {
    pub(super) pattern: String,
    /// `IncludeOptional`: it may match nothing.
    pub(super) is_optional: bool,
}

impl Reading {
    /// Reads a file; `include` is called for files that it includes.
    pub(super) fn file(
        &mut self,
        name: &str,
        text: &[u8],
        include: &mut dyn FnMut(&mut Self, SourceSpan, Include),
    ) {
        let file: Arc<str> = name.into();
        if text.len() > FILE_BYTES_MAX {
            let place = SourceSpan { file, line: 1 };
            let message = format!("the file has {} bytes, more than {FILE_BYTES_MAX}", text.len());
            return self.report(place, None, message);
        }
        for line in Lines::new(text) {
            if self.is_ended {
                return;
            }
            let place = SourceSpan { file: file.clone(), line: line.number };
            let parsed = match line.words {
                Ok(words) => directive(&words),
                Err(problem) => Parsed::wrong(problem),
            };
            self.take(place, parsed, include);
        }
    }

    fn take(
        &mut self,
        place: SourceSpan,
        parsed: Parsed,
        include: &mut dyn FnMut(&mut Self, SourceSpan, Include),
    ) {
        let is_sound = parsed.problems.is_empty();
        let id = parsed.said.as_ref().and_then(Said::id);
        for problem in parsed.problems {
            self.report(place.clone(), id, problem);
        }
        match parsed.said {
            None => self.checks.unreadable(),
            Some(Said::Include(file)) => include(self, place, file),
            Some(Said::Directive(kind)) if self.directives.len() < DIRECTIVES_MAX => {
                let directive = Directive { place, kind };
                let index = self.directives.len();
                for problem in self.checks.directive(&directive, index, is_sound) {
                    self.tell(problem);
                }
                self.directives.push(directive);
            }
            Some(Said::Directive(_)) => {
                self.report(place, id, format!("more than {DIRECTIVES_MAX} directives"));
                self.is_ended = true;
            }
        }
    }

    /// Whether nothing more is read.
    pub(super) fn is_ended(&self) -> bool {
        self.is_ended
    }

    pub(super) fn report(&mut self, place: SourceSpan, rule: Option<u64>, message: String) {
        self.tell(Problem { place, rule, message });
    }

    fn tell(&mut self, problem: Problem) {
        match self.problems.len() {
            0..PROBLEMS_MAX => self.problems.push(problem),
            PROBLEMS_MAX => {
                let message = format!("more than {PROBLEMS_MAX} problems; the rest is not told");
                self.problems.push(Problem { message, rule: None, ..problem });
                self.is_ended = true;
            }
            _ => {}
        }
    }

    /// Everything, or what is wrong. Where `is_whole`, no other text is to come that has markers.
    pub(super) fn finish(mut self, is_whole: bool) -> Result<Vec<Directive>, Vec<Problem>> {
        if !self.is_ended {
            for problem in self.checks.finish(is_whole) {
                self.tell(problem);
            }
        }
        if self.problems.is_empty() { Ok(self.directives) } else { Err(self.problems) }
    }
}
