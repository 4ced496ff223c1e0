//! `yunzhan fault`: faults on purpose, in the process that serves.

use std::time::Duration;

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};
use yunzhan_base::config::{Lang, parse_duration};
use yunzhan_base::{Error, Kind};

use super::context::{Context, Failure};
use super::output::{facts, finish, table};

const PATH: &str = "/control/v1/faults";

/// What to do with faults.
#[derive(Subcommand)]
pub(super) enum FaultVerb {
    /// Show which faults strike, until when, and how often they did
    Show,
    /// Let faults strike instead of those before, for half an hour at most
    Set {
        /// Where and what: POINT is sql_read, sql_write, sql_write_answer or upstream, EFFECT is fail or a delay such as
        /// 200ms, SHARE says in how many cases [default: 100%]
        #[arg(id = "fault_rules", value_name = "POINT=EFFECT[@SHARE%]", required = true, value_parser = parse_rule)]
        rules: Vec<Value>,
        /// How long, such as 90s; at most 30m
        #[arg(long = "for", id = "lasting", value_name = "TIME", value_parser = parse_time)]
        lasting: Duration,
    },
    /// End the faults at once
    Clear,
}

/// Does it through the control API of the serving process: faults are in its memory alone.
pub(super) fn run(context: &Context, verb: &FaultVerb) -> u8 {
    let answer = match verb {
        FaultVerb::Show => serving(context, Method::GET, &Value::Null),
        FaultVerb::Set { rules, lasting } => {
            let duration_s = lasting.as_millis().div_ceil(1000) as u64;
            let plan = json!({ "rules": rules, "duration_s": duration_s });
            serving(context, Method::PUT, &plan)
        }
        FaultVerb::Clear => serving(context, Method::DELETE, &Value::Null),
    };
    finish(context, answer, shown)
}

fn serving(context: &Context, method: Method, body: &Value) -> Result<Value, Failure> {
    context.serving_call(method, PATH, body)?.ok_or_else(|| {
        let message = "no process serves this data folder; faults strike in a serving one only";
        Error::new(Kind::Unavailable, message).into()
    })
}

/// Reads `sql_write=fail` or `upstream=200ms@10%`; the server knows the points and the bounds.
fn parse_rule(text: &str) -> Result<Value, String> {
    let parts = || {
        let (point, rest) = text.split_once('=')?;
        let (effect, share) = rest.split_once('@').unwrap_or((rest, "100%"));
        let effect = match effect {
            "fail" => json!("fail"),
            delay => {
                let delay_ms = u64::try_from(parse_duration(delay)?.as_millis()).ok()?;
                json!({ "delay_ms": delay_ms })
            }
        };
        Some(json!({ "point": point, "effect": effect, "per_mille": per_mille(share)? }))
    };
    parts().ok_or_else(|| "write it as sql_write=fail or upstream=200ms@10%".to_owned())
}

/// Reads `10%` or `0.5%`.
fn per_mille(share: &str) -> Option<u32> {
    let (whole, tenths) =
        share.strip_suffix('%').map(|it| it.split_once('.').unwrap_or((it, "0")))?;
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(tenths) || tenths.len() > 1 {
        return None;
    }
    whole.parse::<u32>().ok()?.checked_mul(10)?.checked_add(tenths.parse().ok()?)
}

fn parse_time(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write it as 90s or 5m".to_owned())
}

fn shown(answer: &Value, lang: Lang) -> String {
    let rules = answer["rules"].as_array().map_or(&[][..], Vec::as_slice);
    if rules.is_empty() {
        return lang.pick("no faults\n", "没有生效的故障\n").to_owned();
    }
    let row = |rule: &Value| {
        let point = rule["point"].as_str().unwrap_or("?");
        let effect = match &rule["effect"] {
            Value::String(_) => lang.pick("fails", "失败").to_owned(),
            delay => format!("+{} ms", delay["delay_ms"]),
        };
        let per_mille = rule["per_mille"].as_u64().unwrap_or_default();
        let share = match per_mille % 10 {
            0 => format!("{}%", per_mille / 10),
            tenths => format!("{}.{tenths}%", per_mille / 10),
        };
        vec![point.to_owned(), effect, share, answer["struck"][point].to_string()]
    };
    let until = answer["until"].as_str().unwrap_or("-");
    let remaining_s = &answer["remaining_s"];
    let until = match lang {
        Lang::En => format!("{until} (in {remaining_s} s)"),
        Lang::Zh => format!("{until} (还有 {remaining_s} 秒)"),
    };
    let headings = [
        lang.pick("point", "位置"),
        lang.pick("effect", "效果"),
        lang.pick("share", "比例"),
        lang.pick("struck", "次数"),
    ];
    let rows: Vec<_> = rules.iter().map(row).collect();
    format!("{}\n{}", facts(&[(lang.pick("until", "结束于"), until)]), table(&headings, &rows))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_rule_is_read_as_it_is_written() {
        for (text, rule) in [
            (
                "sql_write=fail",
                json!({ "point": "sql_write", "effect": "fail", "per_mille": 1000 }),
            ),
            (
                "upstream=2s@0.5%",
                json!({ "point": "upstream", "effect": { "delay_ms": 2000 }, "per_mille": 5 }),
            ),
        ] {
            assert_eq!(parse_rule(text), Ok(rule));
        }
        for bad in [
            "",
            "sql_write",
            "sql_write=slow",
            "sql_write=fail@5",
            "a=fail@.5%",
            "a=1s@1.25%",
            "a=1s@-1%",
        ] {
            assert!(parse_rule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn faults_are_shown_with_their_end() {
        let answer = json!({
            "rules": [
                { "point": "sql_write", "effect": "fail", "per_mille": 1000 },
                { "point": "upstream", "effect": { "delay_ms": 200 }, "per_mille": 5 },
            ],
            "until": "2026-01-31T12:00:00.000Z", "remaining_s": 58,
            "struck": { "sql_write": 3, "upstream": 0 },
        });
        expect![[r#"
            until  2026-01-31T12:00:00.000Z (in 58 s)

            point      effect   share  struck
            sql_write  fails    100%   3
            upstream   +200 ms  0.5%   0
        "#]]
        .assert_eq(&shown(&answer, Lang::En));
        expect![[r#"
            结束于  2026-01-31T12:00:00.000Z (还有 58 秒)

            位置       效果     比例  次数
            sql_write  失败     100%  3
            upstream   +200 ms  0.5%  0
        "#]]
        .assert_eq(&shown(&answer, Lang::Zh));
        assert_eq!(shown(&json!({ "rules": [] }), Lang::Zh), "没有生效的故障\n");
    }
}
