//! Plans of faults as JSON: what an operator asks for, and what is in force.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use yunzhan_base::fault::{Effect, Faults, PLAN_TIME_MAX, Plan, Point, Rule};
use yunzhan_base::{Error, Kind, Result};

use crate::timestamp::Timestamp;

/// Rules of a plan: a drill that needs more cannot be understood by whoever watches it.
const RULES_MAX: usize = 16;

/// A longer delay is a time-out everywhere.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// `{"rules":[{"point":"sql_write","per_mille":1000,"effect":"fail"}],"duration_s":60}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskedPlan {
    rules: Vec<AskedRule>,
    /// From now. A duration and not a time of day: the asking machine may have another one.
    duration_s: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedRule {
    point: String,
    #[serde(default = "always")]
    per_mille: u32,
    effect: AskedEffect,
}

/// `"fail"` or `{"delay_ms":200}`.
#[derive(Deserialize)]
enum AskedEffect {
    #[serde(rename = "fail")]
    Fail,
    #[serde(rename = "delay_ms")]
    DelayMs(u64),
}

const fn always() -> u32 {
    1000
}

// === impl AskedPlan ===

impl AskedPlan {
    /// Reads a plan.
    pub(crate) fn read(body: &[u8]) -> Result<Self> {
        serde_json::from_slice(body).map_err(|error| {
            refused(format!(
                "the body is no plan, such as {{\"rules\":[{{\"point\":\"sql_write\",\"effect\":\"fail\"}}],\"duration_s\":60}}: {error}"
            ))
        })
    }

    /// The plan that begins now.
    pub(crate) fn plan(&self, now_ms: i64) -> Result<Plan> {
        let duration_s_max = PLAN_TIME_MAX.as_secs();
        if !(1..=duration_s_max).contains(&self.duration_s) {
            return Err(refused(format!(
                "duration_s is {}; a plan lasts from 1 to {duration_s_max} seconds",
                self.duration_s
            )));
        }
        if !(1..=RULES_MAX).contains(&self.rules.len()) {
            return Err(refused(format!("a plan has from 1 to {RULES_MAX} rules")));
        }
        let rules = self.rules.iter().map(AskedRule::rule).collect::<Result<_>>()?;
        let duration_ms = i64::try_from(1000 * self.duration_s).expect("half an hour at most");
        Ok(Plan { rules, until_ms: now_ms.saturating_add(duration_ms) })
    }
}

impl AskedRule {
    fn rule(&self) -> Result<Rule> {
        let point = Point::from_name(&self.point).ok_or_else(|| {
            let names = Point::ALL.map(Point::name).join(", ");
            refused(format!("there is no point {:?}; the points are {names}", self.point))
        })?;
        if !(1..=always()).contains(&self.per_mille) {
            return Err(refused(format!("per_mille is {}; it is from 1 to 1000", self.per_mille)));
        }
        let effect = match self.effect {
            AskedEffect::Fail => Effect::Fail,
            AskedEffect::DelayMs(ms) if u128::from(ms) > DELAY_MAX.as_millis() => {
                return Err(refused(format!("delay_ms is {ms}; it is at most 60000")));
            }
            AskedEffect::DelayMs(ms) => Effect::Delay(Duration::from_millis(ms)),
        };
        Ok(Rule { point, per_mille: self.per_mille, effect })
    }
}

fn refused(message: String) -> Error {
    Error::new(Kind::InvalidParameter, message)
}

// === What is in force ===

/// The plan in force, for control; without one there are no rules.
pub(crate) fn shown(faults: &Faults, now_ms: i64) -> Value {
    let Some(plan) = faults.plan() else {
        return json!({ "rules": [], "until": null, "remaining_s": 0, "struck": {} });
    };
    let mut struck = Map::new();
    for rule in &plan.rules {
        struck.insert(rule.point.name().to_owned(), faults.struck(rule.point).into());
    }
    json!({
        "rules": plan.rules.iter().map(rule_shown).collect::<Vec<_>>(),
        "until": Timestamp(plan.until_ms).to_string(),
        // A second that has begun counts: 0 would mean that nothing is in force.
        "remaining_s": (plan.until_ms - now_ms).max(0).unsigned_abs().div_ceil(1000),
        "struck": struck,
    })
}

fn rule_shown(rule: &Rule) -> Value {
    let effect = match rule.effect {
        Effect::Fail => json!("fail"),
        Effect::Delay(delay) => json!({ "delay_ms": delay.as_millis() as u64 }),
    };
    json!({ "point": rule.point.name(), "per_mille": rule.per_mille, "effect": effect })
}

/// The plan as a sentence for the notice.
pub(crate) fn told(plan: &Plan) -> String {
    let rule = |rule: &Rule| {
        let effect = match rule.effect {
            Effect::Fail => "fails".to_owned(),
            Effect::Delay(delay) => format!("takes {} ms longer", delay.as_millis()),
        };
        format!("{} {effect} in {} of 1000 cases", rule.point.name(), rule.per_mille)
    };
    let rules: Vec<_> = plan.rules.iter().map(rule).collect();
    format!("faults on purpose until {}: {}", Timestamp(plan.until_ms), rules.join("; "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use expect_test::expect;
    use yunzhan_base::Clock;

    use super::*;

    fn refusal(body: &str) -> String {
        AskedPlan::read(body.as_bytes())
            .and_then(|asked| asked.plan(0))
            .expect_err("a refusal")
            .to_string()
    }

    #[test]
    fn a_plan_is_shown_as_it_was_asked_for() {
        let clock = Clock::manual(0);
        let faults = Faults::none(clock.clone(), 1);
        expect![[r#"{"remaining_s":0,"rules":[],"struck":{},"until":null}"#]]
            .assert_eq(&shown(&faults, 0).to_string());
        let body = br#"{"rules":[{"point":"sql_write","effect":"fail"},{"point":"upstream","per_mille":5,"effect":{"delay_ms":200}}],"duration_s":60}"#;
        let plan = AskedPlan::read(body).unwrap().plan(0).unwrap();
        expect!["faults on purpose until 1970-01-01T00:01:00.000Z: sql_write fails in 1000 of 1000 cases; upstream takes 200 ms longer in 5 of 1000 cases"]
            .assert_eq(&told(&plan));
        faults.set(plan);
        faults.at(Point::SqlWrite).unwrap();
        clock.advance(Duration::from_millis(1500));
        expect![[r#"{"remaining_s":59,"rules":[{"effect":"fail","per_mille":1000,"point":"sql_write"},{"effect":{"delay_ms":200},"per_mille":5,"point":"upstream"}],"struck":{"sql_write":1,"upstream":0},"until":"1970-01-01T00:01:00.000Z"}"#]]
            .assert_eq(&shown(&faults, 1500).to_string());
    }

    #[test]
    fn a_mistake_in_a_plan_is_named() {
        let rule = r#"{"point":"sql_read","effect":"fail"}"#;
        let plan = |rules: &str, duration_s: u64| {
            refusal(&format!(r#"{{"rules":[{rules}],"duration_s":{duration_s}}}"#))
        };
        let refusals = [
            plan(rule, 0),
            plan(rule, 1801),
            plan("", 60),
            plan(&[rule; 17].join(","), 60),
            plan(r#"{"point":"disk","effect":"fail"}"#, 60),
            plan(r#"{"point":"sql_read","effect":"fail","per_mille":1001}"#, 60),
            plan(r#"{"point":"sql_read","effect":{"delay_ms":60001}}"#, 60),
            refusal(r#"{"rules":[],"duration_s":60,"for_ever":true}"#),
            refusal(""),
        ];
        expect![[r#"
            duration_s is 0; a plan lasts from 1 to 1800 seconds
            duration_s is 1801; a plan lasts from 1 to 1800 seconds
            a plan has from 1 to 16 rules
            a plan has from 1 to 16 rules
            there is no point "disk"; the points are sql_read, sql_write, sql_write_answer, upstream
            per_mille is 1001; it is from 1 to 1000
            delay_ms is 60001; it is at most 60000
            the body is no plan, such as {"rules":[{"point":"sql_write","effect":"fail"}],"duration_s":60}: unknown field `for_ever`, expected `rules` or `duration_s` at line 1 column 38
            the body is no plan, such as {"rules":[{"point":"sql_write","effect":"fail"}],"duration_s":60}: EOF while parsing a value at line 1 column 0"#]]
        .assert_eq(&refusals.join("\n"));
    }
}
