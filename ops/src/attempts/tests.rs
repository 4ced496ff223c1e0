//! Attempts as an operator reads them.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::time::Duration;

use http::Method;
use yunzhan_base::event::{AttackKind, AttackSuspected, RequestFacts, SuspectedMatch};
use yunzhan_base::{EnvId, RequestId};

use super::*;

const DAY_MS: i64 = 24 * 3_600_000;

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
    assert!(attempts.lock().addresses.len() <= SUBJECTS_MAX);
    let top = attempts.top(1);
    assert_eq!(top["addresses"][0]["address"], "192.0.2.1", "{top}");
}
