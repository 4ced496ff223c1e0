//! The attempts of one address or user.

use std::time::Duration;

use serde_json::{Value, json};
use yunzhan_base::RateWindow;
use yunzhan_base::event::{AttackKind, AttackSuspected};

use crate::table;
use crate::timestamp::Timestamp;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The kinds of attempts.
const KINDS: usize = AttackKind::ALL.len();

/// What is counted of one address or user.
#[derive(Clone, Debug)]
pub(super) struct Row {
    kinds: [Counts; KINDS],
    /// Requests in which anything was seen.
    all: Counts,
    refused: Counts,
    last_ms: i64,
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    hour: RateWindow,
    day: RateWindow,
}

// === impl Row ===

impl Row {
    /// Nothing was attempted yet.
    pub(super) fn new() -> Self {
        let none = Counts { hour: RateWindow::new(HOUR), day: RateWindow::new(DAY) };
        Self { kinds: [none; KINDS], all: none, refused: none, last_ms: 0 }
    }

    /// Counts one request.
    pub(super) fn count(&mut self, attack: &AttackSuspected<'_>, now_ms: i64) {
        for (counts, kind) in self.kinds.iter_mut().zip(AttackKind::ALL) {
            if attack.matches.iter().any(|matched| matched.attack == kind) {
                counts.record(now_ms);
            }
        }
        self.all.record(now_ms);
        if attack.is_refused {
            self.refused.record(now_ms);
        }
        self.last_ms = now_ms;
    }

    /// Adds the counts to an object that names whose they are.
    pub(super) fn shown(&self, mut shown: Value, now_ms: i64) -> Value {
        let pair = |counts: &Counts| json!({ "hour": counts.hour.count(now_ms), "day": counts.day.count(now_ms) });
        shown["requests"] = pair(&self.all);
        shown["refused"] = pair(&self.refused);
        shown["last"] = Timestamp(self.last_ms).text(&mut [0; 24]).into();
        let kinds = AttackKind::ALL.iter().zip(&self.kinds);
        let seen = kinds.filter(|(_, counts)| counts.day.count(now_ms) > 0);
        let kinds: serde_json::Map<String, Value> =
            seen.map(|(kind, counts)| (kind.name().to_owned(), pair(counts))).collect();
        shown["kinds"] = kinds.into();
        shown
    }
}

impl table::Row for Row {
    fn rank(&self, now_ms: i64) -> (u64, i64) {
        (self.all.day.count(now_ms), self.last_ms)
    }
}

impl Counts {
    fn record(&mut self, now_ms: i64) {
        self.hour.record(now_ms);
        self.day.record(now_ms);
    }
}
