//! `yunzhan waf`: the rules against attacks.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use yunzhan_base::config::Lang;
use yunzhan_base::{Error, Kind};

use super::EXIT_FAILED;
use super::context::{Context, Failure};
use super::output::{facts, finish, table};

/// Digits of a hash that are shown to people: enough to name a set.
const DIGITS_SHOWN: usize = 12;

/// Characters of a value that are shown to people.
const VALUE_CHARS_MAX: usize = 120;

/// What to do with rules.
#[derive(Subcommand)]
pub(super) enum WafVerb {
    /// Show which rules guard, and the sets that were imported
    Show,
    /// Check a release of rules such as the OWASP Core Rule Set, copy it into the data folder, and use it
    Import {
        /// The folder: a release of the OWASP Core Rule Set, or any folder with a main.conf
        #[arg(value_name = "DIR")]
        release: PathBuf,
    },
    /// Use the built-in rules (starter) or a set that was imported
    Use {
        /// starter, or the first digits of the hash that the import showed
        #[arg(value_name = "starter|HASH")]
        set: String,
    },
    /// Say what rules do with a request, and why; the exit code is 0 for pass and 1 for refuse
    Test(Test),
    /// List the addresses and users with the most attempts of the last hour and day
    Attempts {
        /// The most addresses, and the most users, to show [default: 20]
        #[arg(long = "limit", value_name = "N")]
        rows: Option<u32>,
    },
}

/// The request to explain.
#[derive(Args)]
pub(super) struct Test {
    /// The request's method [default: GET]
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Path and query, as in '/a?id=1'
    #[arg(long, value_name = "TARGET")]
    target: String,
    /// The route that would answer, by its name in the log, as in 'gateway.insert'; rules know routes by it [default: none]
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// A header, as in 'content-type: application/json'; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// The body; @FILE takes it from a file
    #[arg(long = "body", id = "request_body", value_name = "TEXT|@FILE")]
    body: Option<String>,
    /// Show rules too that only count or lead to others, and chains that broke off
    #[arg(long = "all", id = "all_rules")]
    all: bool,
}

/// Does it through the control API.
pub(super) fn run(context: &Context, verb: &WafVerb) -> u8 {
    match verb {
        WafVerb::Show => {
            let answer = context.control_call(Method::GET, "/control/v1/waf", &Value::Null);
            finish(context, answer, shown)
        }
        WafVerb::Import { release } => {
            let answer = absolute(release).and_then(|folder| {
                let body = json!({ "folder": folder });
                context.control_call(Method::POST, "/control/v1/waf/sets", &body)
            });
            finish(context, answer, shown)
        }
        WafVerb::Use { set } => {
            let body = json!({ "set": set });
            let answer = context.control_call(Method::PUT, "/control/v1/waf/active", &body);
            finish(context, answer, shown)
        }
        WafVerb::Test(test) => {
            let answer = test
                .body()
                .and_then(|body| context.control_call(Method::POST, "/control/v1/waf/test", &body));
            let is_refused = answer.as_ref().is_ok_and(|answer| answer["verdict"] == "refuse");
            let code = finish(context, answer, |answer, lang| tested(answer, test.all, lang));
            if is_refused { EXIT_FAILED } else { code }
        }
        WafVerb::Attempts { rows } => {
            let query = rows.map(|rows| format!("?limit={rows}")).unwrap_or_default();
            let path = format!("/control/v1/waf/attempts{query}");
            finish(context, context.control_call(Method::GET, &path, &Value::Null), attempts)
        }
    }
}

/// The serving process has another working folder.
fn absolute(folder: &PathBuf) -> Result<String, Failure> {
    let found = std::fs::canonicalize(folder).map_err(|error| {
        let message = format!("cannot read {}: {error}", folder.display());
        Failure::from(Error::new(Kind::InvalidParameter, message))
    })?;
    found.into_os_string().into_string().map_err(|path| {
        let message = format!("the path {} is no UTF-8", path.display());
        Error::new(Kind::InvalidParameter, message).into()
    })
}

// === impl Test ===

impl Test {
    fn body(&self) -> Result<Value, Failure> {
        let mut headers = Vec::new();
        for header in &self.headers {
            let Some((name, value)) = header.split_once(':') else {
                let message = format!("{header:?} is no header; write it as 'name: value'");
                return Err(Error::new(Kind::InvalidParameter, message).into());
            };
            headers.push(json!([name.trim(), value.trim()]));
        }
        let mut asked = json!({
            "method": self.method.as_deref().unwrap_or("GET"),
            "target": self.target,
            "route": self.route,
            "headers": headers,
        });
        let body = match self.body.as_deref() {
            None => Vec::new(),
            Some(text) => match text.strip_prefix('@') {
                None => text.as_bytes().to_vec(),
                Some(file) => std::fs::read(file).map_err(|error| {
                    let message = format!("cannot read {file}: {error}");
                    Failure::from(Error::new(Kind::InvalidParameter, message))
                })?,
            },
        };
        match String::from_utf8(body) {
            Ok(text) => asked["body"] = text.into(),
            Err(error) => {
                let digits = error.as_bytes().iter().map(|byte| format!("{byte:02x}"));
                asked["body_hex"] = digits.collect::<String>().into();
            }
        }
        Ok(asked)
    }
}

// === Texts ===

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map_or(&[][..], Vec::as_slice)
}

fn words(value: &Value, name: &str) -> String {
    let words: Vec<&str> = list(value, name).iter().filter_map(Value::as_str).collect();
    if words.is_empty() { "-".into() } else { words.join(", ") }
}

fn short(hash: &str) -> String {
    hash.chars().take(DIGITS_SHOWN).collect()
}

fn shown(answer: &Value, lang: Lang) -> String {
    let number = |name: &str| answer[name].as_u64().map_or_else(|| "-".into(), |it| it.to_string());
    let (set, hash) = (text(answer, "set"), text(answer, "hash"));
    let from = match set {
        "configured" => format!("waf.rules: {}", text(answer, "file")),
        "imported" => short(hash),
        other => other.to_owned(),
    };
    let mut told = facts(&[
        (lang.pick("mode", "模式"), text(answer, "mode").to_owned()),
        (lang.pick("rules from", "规则来源"), from),
        (lang.pick("version", "版本"), words(answer, "version")),
        (lang.pick("rules", "规则数"), number("rules")),
        (lang.pick("paranoia level", "严格级别"), number("paranoia")),
        (lang.pick("anomaly threshold", "拒绝分数"), number("anomaly_threshold")),
    ]);
    if text(answer, "mode") == "off" {
        told +=
            lang.pick("no rule runs while waf.mode is off\n", "waf.mode 为 off 时不运行任何规则\n");
    }
    let sets = list(answer, "sets");
    if set == "configured" && !sets.is_empty() {
        told += lang.pick(
            "waf.rules of the configuration speaks louder than imported sets\n",
            "配置中的 waf.rules 优先于导入的规则集\n",
        );
    }
    if !sets.is_empty() {
        let used = |set: &Value| if set["used"] == true { "*" } else { "" }.to_owned();
        let row = |set: &Value| vec![used(set), short(text(set, "hash")), words(set, "version")];
        let rows: Vec<_> = sets.iter().map(row).collect();
        told.push('\n');
        told += &table(&["", lang.pick("imported", "已导入"), lang.pick("version", "版本")], &rows);
    }
    told
}

fn tested(answer: &Value, all: bool, lang: Lang) -> String {
    let mut told = String::new();
    let is_shown = |rule: &&Value| all || rule["logged"] == true && rule["whole"] == true;
    for rule in list(answer, "matched").iter().filter(is_shown) {
        tell_rule(&mut told, rule, lang);
    }
    let scores = answer["scores"].as_object().into_iter().flatten();
    let scores: Vec<String> =
        scores.map(|(name, value)| format!("{name} {}", value.as_str().unwrap_or("?"))).collect();
    let verdict = match text(answer, "verdict") {
        "refuse" => {
            let by = match &answer["rule"] {
                Value::Null => lang.pick("a bound", "上限").to_owned(),
                rule => format!("{} {rule}", lang.pick("rule", "规则")),
            };
            format!("{} {} ({by})", lang.pick("refuse with", "拒绝, 状态码"), answer["status"])
        }
        _ => lang.pick("pass", "放行").to_owned(),
    };
    let run: usize = list(answer, "ran").iter().filter_map(Value::as_array).map(Vec::len).sum();
    told += &facts(&[
        (lang.pick("rules run", "运行的规则"), run.to_string()),
        (
            lang.pick("scores", "分数"),
            if scores.is_empty() { "-".into() } else { scores.join(", ") },
        ),
        (lang.pick("verdict", "结论"), verdict),
    ]);
    if text(answer, "verdict") == "refuse" && text(answer, "mode") != "block" {
        let mode = text(answer, "mode");
        let _ = match lang {
            Lang::En => writeln!(told, "waf.mode is {mode}: such a request passes"),
            Lang::Zh => writeln!(told, "waf.mode 为 {mode}: 这样的请求会放行"),
        };
    }
    told
}

fn tell_rule(told: &mut String, rule: &Value, lang: Lang) {
    let id = rule["rule"].as_u64().map_or_else(|| "-".into(), |id| id.to_string());
    let state = if rule["whole"] == true {
        String::new()
    } else {
        format!(" ({})", lang.pick("the chain broke off", "规则链未全部命中"))
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        told,
        "{} {id}{state}  {}\n  {}, {} {}",
        lang.pick("rule", "规则"),
        text(rule, "message"),
        text(rule, "place"),
        lang.pick("phase", "阶段"),
        rule["phase"],
    );
    for matched in list(rule, "matches") {
        let value: String = text(matched, "value").chars().take(VALUE_CHARS_MAX).collect();
        let operator: String = text(matched, "operator").chars().take(VALUE_CHARS_MAX).collect();
        let steps = match list(matched, "transformations") {
            [] => String::new(),
            _ => format!(" [{}]", words(matched, "transformations")),
        };
        let _ =
            writeln!(told, "  {}{steps} = {value:?}\n    {operator}", text(matched, "variable"));
        for (place, captured) in matched["captured"].as_object().into_iter().flatten() {
            let _ = writeln!(told, "    TX.{place} = {captured}");
        }
    }
    told.push('\n');
}

fn attempts(answer: &Value, lang: Lang) -> String {
    let name = |row: &Value| match row["address"].as_str() {
        Some(address) => address.to_owned(),
        None => format!("{}/{}", text(row, "env"), text(row, "user")),
    };
    let pair = |counts: &Value| match counts {
        Value::Null => "-".to_owned(),
        counts => format!("{}/{}", counts["hour"], counts["day"]),
    };
    let row = |row: &Value| {
        vec![
            name(row),
            pair(&row["requests"]),
            pair(&row["kinds"]["sql_injection"]),
            pair(&row["kinds"]["cross_site_scripting"]),
            pair(&row["refused"]),
            text(row, "last").to_owned(),
        ]
    };
    let mut told =
        lang.pick("attempts of the last hour/day\n", "最近一小时/一天的攻击次数\n").to_owned();
    for (key, title) in
        [("addresses", lang.pick("address", "地址")), ("users", lang.pick("user", "用户"))]
    {
        let rows: Vec<_> = list(answer, key).iter().map(row).collect();
        let headings = [
            title,
            lang.pick("requests", "请求"),
            lang.pick("sql injection", "SQL 注入"),
            "xss",
            lang.pick("refused", "已拒绝"),
            lang.pick("last", "最近一次"),
        ];
        told.push('\n');
        told += &table(&headings, &rows);
    }
    told
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn what_guards_is_told_with_the_sets_that_are_there() {
        let hash = "ab".repeat(32);
        let answer = json!({
            "mode": "off", "set": "imported", "hash": hash, "file": null,
            "version": ["OWASP_CRS/4.28.0"], "rules": 300, "paranoia": 1, "anomaly_threshold": 5,
            "sets": [{ "hash": hash, "version": ["OWASP_CRS/4.28.0"], "used": true }],
        });
        expect![[r#"
            mode               off
            rules from         abababababab
            version            OWASP_CRS/4.28.0
            rules              300
            paranoia level     1
            anomaly threshold  5
            no rule runs while waf.mode is off

               imported      version
            *  abababababab  OWASP_CRS/4.28.0
        "#]]
        .assert_eq(&shown(&answer, Lang::En));
        let answer = json!({
            "mode": "block", "set": "configured", "hash": null, "file": "/etc/rules.conf",
            "version": [], "rules": 3, "paranoia": null, "anomaly_threshold": null,
            "sets": [{ "hash": hash, "version": [], "used": false }],
        });
        expect![[r#"
            模式      block
            规则来源  waf.rules: /etc/rules.conf
            版本      -
            规则数    3
            严格级别  -
            拒绝分数  -
            配置中的 waf.rules 优先于导入的规则集

              已导入        版本
              abababababab  -
        "#]]
        .assert_eq(&shown(&answer, Lang::Zh));
    }

    #[test]
    fn an_explanation_reads_from_top_to_bottom() {
        let matched = json!({
            "variable": "ARGS:id", "transformations": ["lowercase"], "value": "1 union select",
            "operator": r"@rx union\s+(select)", "captured": { "0": "union select", "1": "select" },
        });
        let rule = json!({
            "rule": 2, "place": "rules.conf:3", "phase": 2, "whole": true, "logged": true, "message": "it unites",
            "matches": [matched],
        });
        let answer = json!({
            "verdict": "refuse", "status": 403, "rule": 2, "mode": "observe", "exhausted": false,
            "scores": { "sql_score": "5" }, "ran": [[1], [2], [], [], []], "matched": [rule], "matches_dropped": 0,
        });
        expect![[r#"
            rule 2  it unites
              rules.conf:3, phase 2
              ARGS:id [lowercase] = "1 union select"
                @rx union\s+(select)
                TX.0 = "union select"
                TX.1 = "select"

            rules run  2
            scores     sql_score 5
            verdict    refuse with 403 (rule 2)
            waf.mode is observe: such a request passes
        "#]]
        .assert_eq(&tested(&answer, false, Lang::En));
        let passes = json!({ "verdict": "pass", "mode": "block", "ran": [[1], [2], [], [], []], "scores": {}, "matched": [] });
        expect![[r#"
            运行的规则  2
            分数        -
            结论        放行
        "#]]
        .assert_eq(&tested(&passes, true, Lang::Zh));
    }

    #[test]
    fn attempts_stand_in_two_tables() {
        let counts = json!({ "hour": 1, "day": 3 });
        let answer = json!({
            "addresses": [{
                "address": "10.0.0.1", "requests": counts, "refused": counts,
                "kinds": { "sql_injection": counts }, "last": "2026-01-31T12:00:00.000Z",
            }],
            "users": [], "forgotten": 0,
        });
        expect![[r#"
            attempts of the last hour/day

            address   requests  sql injection  xss  refused  last
            10.0.0.1  1/3       1/3            -    1/3      2026-01-31T12:00:00.000Z

            user  requests  sql injection  xss  refused  last
        "#]]
        .assert_eq(&attempts(&answer, Lang::En));
    }
}
