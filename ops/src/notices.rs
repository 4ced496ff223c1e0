//! Lines for the operator on the standard error: one sentence each, or one line of JSON each with `--json`.
//!
//! A fault that comes with every request may not fill the disk behind the standard error: of one name, [`PER_MINUTE_MAX`]
//! lines a minute are written, and the next line tells how many were left out.

use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use yunzhan_base::event::{Event, Notice, Observe};
use yunzhan_base::{Clock, RateWindow};

use crate::line::Line;
use crate::table::{self, Table};
use crate::timestamp::Timestamp;

/// Notices are sentences; a chain of causes may be long.
const TEXT_CHARS_MAX: usize = 8192;

/// What an operator can read, and more than any healthy server says.
const PER_MINUTE_MAX: u64 = 60;

const MINUTE: Duration = Duration::from_secs(60);

/// Names of notices that are counted apart; the program has some twenty.
const NAMES_MAX: usize = 256;

/// Writes notices.
pub struct Notices {
    json: bool,
    clock: Clock,
    limits: Mutex<Table<&'static str, Limit>>,
}

/// How often notices of one name came lately.
struct Limit {
    written: RateWindow,
    left_out: u64,
}

// === impl Notices ===

impl Notices {
    /// As sentences, or as JSON.
    pub fn new(json: bool, clock: Clock) -> Self {
        Self { json, clock, limits: Mutex::new(Table::new(NAMES_MAX)) }
    }

    /// What is written of a notice; nothing when there were too many of its name.
    fn render(&self, notice: &Notice<'_>) -> Option<Vec<u8>> {
        let now_ms = self.clock.now_ms();
        let text = match self.left_out(notice.name, now_ms)? {
            0 => notice.text.to_owned(),
            left_out => {
                format!("{} ({left_out} more of these were left out)", notice.text.trim_end())
            }
        };
        let (at, level) = (Timestamp(now_ms), notice.level.name());
        if !self.json {
            return Some(format!("{at} {level:5} {}\n", text.trim_end()).into_bytes());
        }
        let mut line = Vec::new();
        Line::begin(&mut line)
            .plain("at", true, at)
            .plain("level", true, level)
            .plain("notice", true, notice.name)
            .text("text", &text, TEXT_CHARS_MAX)
            .end();
        Some(line)
    }

    /// How many of this name were left out before this one; none when this one is left out too.
    fn left_out(&self, name: &'static str, now_ms: i64) -> Option<u64> {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Limit { written: RateWindow::new(MINUTE), left_out: 0 };
        let limit = limits.row(name, now_ms, new);
        if limit.written.admit(now_ms, PER_MINUTE_MAX) {
            Some(std::mem::take(&mut limit.left_out))
        } else {
            limit.left_out += 1;
            None
        }
    }
}

impl table::Row for Limit {
    fn rank(&self, now_ms: i64) -> (u64, i64) {
        (self.written.count(now_ms), 0)
    }
}

impl Observe for Notices {
    fn observe(&self, event: &Event<'_>) {
        let line = match event {
            Event::Notice(notice) => self.render(notice),
            Event::StorageChanged(changed) => self.render(&changed.notice()),
            _ => return,
        };
        if let Some(line) = line {
            // Nobody is left to tell when the standard error is gone.
            let _ = std::io::stderr().lock().write_all(&line);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use yunzhan_base::event::Level;

    use super::*;

    #[test]
    fn a_notice_is_a_sentence_or_a_line_of_json() {
        let notice =
            Notice { level: Level::Warn, name: "config_refused", text: "line 1\nline 2\n" };
        let render = |json| {
            let rendered = Notices::new(json, Clock::manual(0)).render(&notice).unwrap();
            String::from_utf8(rendered).unwrap()
        };
        assert_eq!(render(false), "1970-01-01T00:00:00.000Z warn  line 1\nline 2\n");
        assert_eq!(
            render(true),
            "{\"at\":\"1970-01-01T00:00:00.000Z\",\"level\":\"warn\",\"notice\":\"config_refused\",\"text\":\"line 1\\nline 2\\n\"}\n"
        );
    }

    #[test]
    fn a_notice_that_repeats_is_left_out_and_counted() {
        let clock = Clock::manual(0);
        let notices = Notices::new(false, clock.clone());
        let notice = |name| Notice { level: Level::Error, name, text: "it failed\n" };
        let written = || (0..1000).filter_map(|_| notices.render(&notice("failed"))).count();
        assert_eq!(written(), 60);
        assert!(notices.render(&notice("another")).is_some(), "others are not concerned");
        clock.advance(Duration::from_secs(120));
        let line = String::from_utf8(notices.render(&notice("failed")).unwrap()).unwrap();
        assert!(line.ends_with("error it failed (940 more of these were left out)\n"), "{line}");
        let line = String::from_utf8(notices.render(&notice("failed")).unwrap()).unwrap();
        assert!(line.ends_with("error it failed\n"), "{line}");
    }
}
