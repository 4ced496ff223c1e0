//! Who attacks (mission row O3): attempts by address and by user, of the last hour and the last day.
//!
//! Metrics count attempts by their kind alone, since the values of their labels are bounded; this table is what tells them
//! apart, and is bounded by forgetting those who attempted least.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use yunzhan_base::event::{AttackKind, AttackSuspected, Event, Observe};
use yunzhan_base::{Clock, mask};

use super::access_log::Timestamp;

/// Addresses, and users, of which attempts are counted: about a megabyte for each when it is full.
const SUBJECTS_MAX: usize = 4096;

/// How many are forgotten at once when there are more.
const FORGOTTEN_AT_ONCE: usize = SUBJECTS_MAX / 4;

/// An owner of addresses of version 6 has so many leading bits at least, so that these are one address here.
const V6_BITS: u32 = 64;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// The kinds of attempts.
const KINDS: usize = AttackKind::ALL.len();

/// Counts attempts.
pub(crate) struct Attempts {
    clock: Clock,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    addresses: Table<IpAddr>,
    /// By environment and user.
    users: Table<(String, String)>,
}

struct Table<K> {
    rows: HashMap<K, Row>,
    forgotten: u64,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { rows: HashMap::new(), forgotten: 0 }
    }
}

/// The attempts of one address or user.
#[derive(Clone, Debug, Default)]
struct Row {
    kinds: [Counts; KINDS],
    /// Requests in which anything was seen.
    all: Counts,
    refused: Counts,
    last_ms: i64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    hour: Window,
    day: Window,
}

/// What was counted in the last span of time: whole for the one that runs, and of the one before as much as still counts.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// Number of the span that runs.
    span: i64,
    current: u32,
    previous: u32,
}

// === impl Attempts ===

impl Attempts {
    /// Nothing was attempted yet.
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, tables: Mutex::default() }
    }

    /// Those with the most attempts of the last day, at most `rows_max` addresses and as many users.
    pub(crate) fn top(&self, rows_max: usize) -> Value {
        let now_ms = self.clock.now_ms();
        let tables = self.lock();
        let addresses =
            tables.addresses.top(rows_max, now_ms, |address| json!({ "address": shown(*address) }));
        let users = tables.users.top(
            rows_max,
            now_ms,
            |(env, user)| json!({ "env": env, "user": mask::identifier(user) }),
        );
        json!({
            "addresses": addresses,
            "users": users,
            "forgotten": tables.addresses.forgotten + tables.users.forgotten,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observe for Attempts {
    fn observe(&self, event: &Event<'_>) {
        let Event::AttackSuspected(attack) = event else { return };
        if attack.matches.is_empty() {
            return;
        }
        let now_ms = self.clock.now_ms();
        let mut tables = self.lock();
        tables.addresses.count(network(attack.facts.remote.ip()), attack, now_ms);
        if let (Some(env), Some(user)) = (attack.facts.env, attack.facts.user) {
            tables.users.count((env.as_str().to_owned(), user.to_owned()), attack, now_ms);
        }
    }
}

/// The address under which attempts are counted.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> (128 - V6_BITS) << (128 - V6_BITS)))
        }
        address => address,
    }
}

fn shown(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{address}/{V6_BITS}"),
    }
}

// === impl Table ===

impl<K: Eq + Hash + Clone + Ord> Table<K> {
    fn count(&mut self, key: K, attack: &AttackSuspected<'_>, now_ms: i64) {
        if self.rows.len() >= SUBJECTS_MAX && !self.rows.contains_key(&key) {
            self.forget(now_ms);
        }
        self.rows.entry(key).or_default().count(attack, now_ms);
    }

    /// Forgets those with the fewest attempts of the last day, and of these the ones that were seen longest ago.
    fn forget(&mut self, now_ms: i64) {
        let rank = |row: &Row| (row.all.day.at(now_ms, DAY_MS), row.last_ms);
        let mut ranked: Vec<_> =
            self.rows.iter().map(|(key, row)| (rank(row), key.clone())).collect();
        ranked.select_nth_unstable(FORGOTTEN_AT_ONCE);
        for (_, key) in &ranked[..FORGOTTEN_AT_ONCE] {
            self.rows.remove(key);
        }
        self.forgotten += FORGOTTEN_AT_ONCE as u64;
    }

    fn top(&self, rows_max: usize, now_ms: i64, name: impl Fn(&K) -> Value) -> Vec<Value> {
        let mut rows: Vec<_> =
            self.rows.iter().filter(|(_, row)| row.all.day.at(now_ms, DAY_MS) > 0).collect();
        rows.sort_by_key(|(key, row)| {
            let count = row.all.day.at(now_ms, DAY_MS);
            (std::cmp::Reverse((count, row.last_ms)), (*key).clone())
        });
        let shown = rows.into_iter().take(rows_max).map(|(key, row)| {
            let mut shown = name(key);
            row.show(&mut shown, now_ms);
            shown
        });
        shown.collect()
    }
}

// === impl Row ===

impl Row {
    fn count(&mut self, attack: &AttackSuspected<'_>, now_ms: i64) {
        for (counts, kind) in self.kinds.iter_mut().zip(AttackKind::ALL) {
            if attack.matches.iter().any(|matched| matched.attack == kind) {
                counts.count(now_ms);
            }
        }
        self.all.count(now_ms);
        if attack.is_refused {
            self.refused.count(now_ms);
        }
        self.last_ms = now_ms;
    }

    fn show(&self, shown: &mut Value, now_ms: i64) {
        let pair = |counts: &Counts| json!({ "hour": counts.hour.at(now_ms, HOUR_MS), "day": counts.day.at(now_ms, DAY_MS) });
        shown["requests"] = pair(&self.all);
        shown["refused"] = pair(&self.refused);
        shown["last"] = Timestamp(self.last_ms).text(&mut [0; 24]).into();
        let kinds = AttackKind::ALL.iter().zip(&self.kinds);
        let seen = kinds.filter(|(_, counts)| counts.day.at(now_ms, DAY_MS) > 0);
        let kinds: serde_json::Map<String, Value> =
            seen.map(|(kind, counts)| (kind.name().to_owned(), pair(counts))).collect();
        shown["kinds"] = kinds.into();
    }
}

impl Counts {
    fn count(&mut self, now_ms: i64) {
        self.hour.count(now_ms, HOUR_MS);
        self.day.count(now_ms, DAY_MS);
    }
}

// === impl Window ===

impl Window {
    fn count(&mut self, now_ms: i64, span_ms: i64) {
        *self = self.moved_to(now_ms.div_euclid(span_ms));
        self.current = self.current.saturating_add(1);
    }

    /// About how many there were in the span of time that ends now.
    fn at(&self, now_ms: i64, span_ms: i64) -> u64 {
        let moved = self.moved_to(now_ms.div_euclid(span_ms));
        let left_ms = (span_ms - now_ms.rem_euclid(span_ms)).unsigned_abs();
        let still = (u64::from(moved.previous) * left_ms).div_ceil(span_ms.unsigned_abs());
        u64::from(moved.current) + still
    }

    fn moved_to(self, span: i64) -> Self {
        match span - self.span {
            ..=0 => self,
            1 => Self { span, current: 0, previous: self.current },
            _ => Self { span, current: 0, previous: 0 },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::time::Duration;

    use http::Method;
    use yunzhan_base::event::{RequestFacts, SuspectedMatch};
    use yunzhan_base::{EnvId, RequestId};

    use super::*;

    fn attack(attempts: &Attempts, address: &str, user: Option<&str>, kinds: &[AttackKind]) {
        let env: EnvId = "demo".parse().unwrap();
        let matches: Vec<_> = kinds.iter().map(|&attack| matched(attack)).collect();
        attempts.observe(&Event::AttackSuspected(AttackSuspected {
            facts: RequestFacts {
                request_id: RequestId::NONE,
                route: "none",
                env: Some(&env),
                user,
                method: &Method::GET,
                path: "/",
                remote: (address.parse::<IpAddr>().unwrap(), 1).into(),
            },
            matches: &matches,
            score: None,
            is_refused: kinds.len() > 1,
            is_exhausted: false,
        }));
    }

    fn matched(attack: AttackKind) -> SuspectedMatch<'static> {
        let (value, data) = (String::new(), String::new());
        SuspectedMatch { rule: None, message: "", attack, variable: "", value, data }
    }

    #[test]
    fn attempts_are_counted_by_address_and_user() {
        use AttackKind::{Scripting, SqlInjection};
        let clock = Clock::manual(DAY_MS * 20_000);
        let attempts = Attempts::new(clock.clone());
        attack(&attempts, "10.0.0.1", Some("oABCD1234567"), &[SqlInjection]);
        attack(&attempts, "10.0.0.1", None, &[SqlInjection, Scripting]);
        attack(&attempts, "2001:db8::1", None, &[Scripting]);
        attack(&attempts, "2001:db8::2", None, &[]);
        clock.advance(Duration::from_secs(2 * 3600));
        attack(&attempts, "2001:db8::3", None, &[Scripting]);
        let top = serde_json::to_string_pretty(&attempts.top(10)).unwrap();
        expect_test::expect![[r#"
            {
              "addresses": [
                {
                  "address": "2001:db8::/64",
                  "kinds": {
                    "cross_site_scripting": {
                      "day": 2,
                      "hour": 1
                    }
                  },
                  "last": "2024-10-04T02:00:00.000Z",
                  "refused": {
                    "day": 0,
                    "hour": 0
                  },
                  "requests": {
                    "day": 2,
                    "hour": 1
                  }
                },
                {
                  "address": "10.0.0.1",
                  "kinds": {
                    "cross_site_scripting": {
                      "day": 1,
                      "hour": 0
                    },
                    "sql_injection": {
                      "day": 2,
                      "hour": 0
                    }
                  },
                  "last": "2024-10-04T00:00:00.000Z",
                  "refused": {
                    "day": 1,
                    "hour": 0
                  },
                  "requests": {
                    "day": 2,
                    "hour": 0
                  }
                }
              ],
              "forgotten": 0,
              "users": [
                {
                  "env": "demo",
                  "kinds": {
                    "sql_injection": {
                      "day": 1,
                      "hour": 0
                    }
                  },
                  "last": "2024-10-04T00:00:00.000Z",
                  "refused": {
                    "day": 0,
                    "hour": 0
                  },
                  "requests": {
                    "day": 1,
                    "hour": 0
                  },
                  "user": "oABCD1***"
                }
              ]
            }"#]]
        .assert_eq(&top);
        assert_eq!(attempts.top(1)["addresses"].as_array().unwrap().len(), 1);
        clock.advance(Duration::from_secs(48 * 3600));
        assert_eq!(attempts.top(10)["addresses"], json!([]), "a day ends everything");
    }

    #[test]
    fn who_attempts_most_is_not_forgotten() {
        let attempts = Attempts::new(Clock::manual(DAY_MS));
        for _ in 0..3 {
            attack(&attempts, "192.0.2.1", None, &[AttackKind::SqlInjection]);
        }
        for at in 0..20_000_u32 {
            let address = std::net::Ipv4Addr::from_bits(0x0a00_0000 + at).to_string();
            attack(&attempts, &address, None, &[AttackKind::Scanner]);
        }
        assert!(attempts.lock().addresses.rows.len() <= SUBJECTS_MAX);
        let top = attempts.top(1);
        assert_eq!(top["addresses"][0]["address"], "192.0.2.1", "{top}");
    }
}
