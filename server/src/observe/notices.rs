//! Lines for the operator on the standard error: one sentence each, or one line of JSON each with `--json`.

use std::io::Write;

use yunzhan_base::Clock;
use yunzhan_base::event::{Event, Level, Notice, Observe};

use super::access_log::Timestamp;
use super::line::Line;

/// Notices are sentences; a chain of causes may be long.
const TEXT_CHARS_MAX: usize = 8192;

/// Writes notices.
pub(crate) struct Notices {
    json: bool,
    clock: Clock,
}

impl Notices {
    /// As sentences, or as JSON.
    pub(crate) fn new(json: bool, clock: Clock) -> Self {
        Self { json, clock }
    }

    fn render(&self, notice: &Notice<'_>) -> Vec<u8> {
        let at = Timestamp(self.clock.now_ms());
        let level = match notice.level {
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        };
        if !self.json {
            return format!("{at} {level:5} {}\n", notice.text.trim_end()).into_bytes();
        }
        let mut line = Vec::new();
        Line::begin(&mut line)
            .plain("at", true, at)
            .plain("level", true, level)
            .plain("notice", true, notice.name)
            .text("text", notice.text, TEXT_CHARS_MAX)
            .end();
        line
    }
}

impl Observe for Notices {
    fn observe(&self, event: &Event<'_>) {
        let line = match event {
            Event::Notice(notice) => self.render(notice),
            Event::StorageChanged(changed) => self.render(&changed.notice()),
            _ => return,
        };
        // Nobody is left to tell when the standard error is gone.
        let _ = std::io::stderr().lock().write_all(&line);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_a_sentence_or_a_line_of_json() {
        let notice =
            Notice { level: Level::Warn, name: "config_refused", text: "line 1\nline 2\n" };
        let render =
            |json| String::from_utf8(Notices::new(json, Clock::manual(0)).render(&notice)).unwrap();
        assert_eq!(render(false), "1970-01-01T00:00:00.000Z warn  line 1\nline 2\n");
        assert_eq!(
            render(true),
            "{\"at\":\"1970-01-01T00:00:00.000Z\",\"level\":\"warn\",\"notice\":\"config_refused\",\"text\":\"line 1\\nline 2\\n\"}\n"
        );
    }
}
