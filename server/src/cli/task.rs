//! `yunzhan task`: background tasks.

use clap::Subcommand;
use http::Method;
use serde_json::Value;
use yunzhan_base::config::Lang;

use super::EXIT_FAILED;
use super::context::Context;
use super::db::segment;
use super::output::{age, facts, finish, table};

/// What to do with tasks.
#[derive(Subcommand)]
pub(super) enum TaskVerb {
    /// List the background tasks
    List,
    /// Run a task now and wait for its end; exits with 0 when it went well
    Run {
        /// The task's name, as `task list` shows it
        #[arg(value_name = "NAME")]
        task: String,
        /// Also bring the next run forward on every other node, without waiting for its end
        #[arg(long)]
        everywhere: bool,
    },
}

/// Does it through the control API.
pub(super) fn run(context: &Context, verb: &TaskVerb) -> u8 {
    match verb {
        TaskVerb::List => {
            let answer = context.control_call(Method::GET, "/control/v1/tasks", &Value::Null);
            finish(context, answer, list_text)
        }
        TaskVerb::Run { task, everywhere } => {
            let query = if *everywhere { "?everywhere=true" } else { "" };
            let path = format!("/control/v1/tasks/{}/run{query}", segment(task));
            let answer = context.control_call(Method::POST, &path, &Value::Null);
            let is_done = answer.as_ref().is_ok_and(|run: &Value| run["outcome"] == "done");
            let code = finish(context, answer, run_text);
            if is_done { code } else { EXIT_FAILED }
        }
    }
}

fn list_text(answer: &Value, lang: Lang) -> String {
    let headings = [
        lang.pick("task", "任务"),
        lang.pick("on", "运行于"),
        lang.pick("every", "周期"),
        lang.pick("last run", "上次运行"),
        lang.pick("took", "用时"),
        lang.pick("outcome", "结果"),
        lang.pick("next run", "下次运行"),
        lang.pick("runs", "次数"),
        lang.pick("failures", "失败"),
    ];
    let now_ms = answer["now_ms"].as_i64().unwrap_or(0);
    let tasks = answer["tasks"].as_array().map_or(&[][..], Vec::as_slice);
    let rows: Vec<_> = tasks.iter().map(|task| row(task, now_ms, lang)).collect();
    let errors = tasks.iter().filter_map(|task| {
        let error = task["last"]["error"].as_str()?;
        Some(format!("{}: {error}\n", task["name"].as_str()?))
    });
    table(&headings, &rows) + &errors.collect::<String>()
}

fn row(task: &Value, now_ms: i64, lang: Lang) -> Vec<String> {
    let last = &task["last"];
    let last_run = match (task["running_since_ms"].as_i64(), last["started_ms"].as_i64()) {
        (Some(since_ms), _) => match lang {
            Lang::En => format!("runs for {}", age(now_ms - since_ms)),
            Lang::Zh => format!("已运行 {}", age(now_ms - since_ms)),
        },
        (None, Some(started_ms)) => match lang {
            Lang::En => format!("{} ago", age(now_ms - started_ms)),
            Lang::Zh => format!("{} 前", age(now_ms - started_ms)),
        },
        (None, None) => "-".into(),
    };
    let next_run = task["next_ms"].as_i64().map(|next_ms| match lang {
        Lang::En => format!("in {}", age(next_ms - now_ms)),
        Lang::Zh => format!("{} 后", age(next_ms - now_ms)),
    });
    vec![
        task["name"].as_str().unwrap_or("-").to_owned(),
        on(task, lang),
        age(task["period_ms"].as_i64().unwrap_or(0)),
        last_run,
        last["duration_us"].as_i64().map_or_else(|| "-".into(), took),
        last["outcome"].as_str().map_or("-", |outcome| outcome_word(outcome, lang)).to_owned(),
        next_run.unwrap_or_else(|| "-".into()),
        task["runs"].to_string(),
        task["failures"].to_string(),
    ]
}

/// Where it runs: every node, this one, or the other one that holds its lease.
fn on(task: &Value, lang: Lang) -> String {
    match (task["on"].as_str(), task["elsewhere"].as_str()) {
        (Some("one_node"), Some(node)) => node.to_owned(),
        (Some("one_node"), None) => lang.pick("one node", "一个节点").to_owned(),
        _ => lang.pick("every node", "每个节点").to_owned(),
    }
}

fn outcome_word(outcome: &str, lang: Lang) -> &str {
    match outcome {
        "done" => lang.pick("done", "成功"),
        "failed" => lang.pick("failed", "失败"),
        "panicked" => lang.pick("panicked", "崩溃"),
        "lease_lost" => lang.pick("lease lost", "失去租约"),
        other => other,
    }
}

fn run_text(run: &Value, lang: Lang) -> String {
    let outcome = run["outcome"].as_str().unwrap_or("-");
    let mut lines = vec![
        (lang.pick("outcome", "结果"), outcome_word(outcome, lang).to_owned()),
        (lang.pick("took", "用时"), took(run["duration_us"].as_i64().unwrap_or(0))),
    ];
    if let Some(node) = run["node"].as_str() {
        lines.push((lang.pick("node", "节点"), node.to_owned()));
    }
    if let Some(error) = run["error"].as_str() {
        lines.push((lang.pick("error", "错误"), error.to_owned()));
    }
    facts(&lines)
}

/// A run's duration: most take less than a millisecond.
fn took(duration_us: i64) -> String {
    match duration_us {
        ..1000 => format!("{duration_us}us"),
        _ => age(duration_us / 1000),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn answer() -> Value {
        json!({ "now_ms": 100_000, "tasks": [
            { "name": "envs.refresh", "on": "every_node", "period_ms": 5000, "elsewhere": null,
              "running_since_ms": null, "next_ms": 101_500, "runs": 19, "failures": 0,
              "last": { "started_ms": 96_500, "duration_us": 730, "outcome": "done", "error": null } },
            { "name": "identity.tidy", "on": "one_node", "period_ms": 3_600_000, "elsewhere": "node-b",
              "running_since_ms": null, "next_ms": 3_000_000, "runs": 0, "failures": 0, "last": null },
            { "name": "nodes.tidy", "on": "one_node", "period_ms": 60_000, "elsewhere": null,
              "running_since_ms": 98_000, "next_ms": 90_000, "runs": 2, "failures": 1,
              "last": { "started_ms": 30_000, "duration_us": 5_000_000, "outcome": "failed",
                        "error": "the database is away" } },
        ]})
    }

    #[test]
    fn tasks_stand_one_a_line_and_errors_below() {
        expect![[r#"
            task           on          every  last run     took   outcome  next run  runs  failures
            envs.refresh   every node  5s     3.5s ago     730us  done     in 1.5s   19    0
            identity.tidy  node-b      1h     -            -      -        in 48m    0     0
            nodes.tidy     one node    1m     runs for 2s  5s     failed   in 0s     2     1
            nodes.tidy: the database is away
        "#]]
        .assert_eq(&list_text(&answer(), Lang::En));
        expect![[r#"
            任务           运行于    周期  上次运行   用时   结果  下次运行  次数  失败
            envs.refresh   每个节点  5s    3.5s 前    730us  成功  1.5s 后   19    0
            identity.tidy  node-b    1h    -          -      -     48m 后    0     0
            nodes.tidy     一个节点  1m    已运行 2s  5s     失败  0s 后     2     1
            nodes.tidy: the database is away
        "#]]
        .assert_eq(&list_text(&answer(), Lang::Zh));
    }

    #[test]
    fn a_run_is_told_with_its_error() {
        let run = json!({ "duration_us": 2500, "outcome": "panicked", "node": "a", "error": "panicked: no shelf" });
        expect![[r#"
            outcome  panicked
            took     2ms
            node     a
            error    panicked: no shelf
        "#]]
        .assert_eq(&run_text(&run, Lang::En));
    }
}
