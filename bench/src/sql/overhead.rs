//! What our engine adds to a bare driver, measured in one process by an example of our own crates.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::Effort;
use crate::table::{Aim, Row, Section};
use crate::tools::progress;

/// How many times the bare driver's figure a single write may take, in each of the rounds.
const WRITE_TIMES: f64 = 2.0;
/// How many times the backend's processor time the wrappers may take.
const WRAPPED_TIMES: f64 = 1.1;
/// How late an answer of the open loop may come that 99 of 100 do not exceed, in milliseconds.
const OPEN_P99_MS: f64 = 10.0;
/// How many times fewer operations a quick run does.
const QUICK_DIVISOR: &str = "20";

/// A table beside one peer.
pub(super) type Beside = (&'static str, Vec<Section>);

/// Builds and runs the example.
pub(super) fn measure(root: &Path, effort: Effort) -> Result<Vec<Beside>> {
    progress("in process, beside the bare drivers");
    let divisor = if effort == Effort::Quick { QUICK_DIVISOR } else { "1" };
    let output = Command::new(env!("CARGO"))
        .args(["run", "--release", "--quiet", "--package", "yunzhan-ops"])
        .args(["--example", "sql_overhead", "--", divisor])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "the example sql_overhead failed");
    tables(&String::from_utf8_lossy(&output.stdout))
}

/// An engine, its driver, and the titles of its sections.
struct Engine {
    name: &'static str,
    driver: &'static str,
    cpu: &'static str,
    time: &'static str,
    wrapped: &'static str,
    open: &'static str,
}

const ENGINES: [Engine; 2] = [
    Engine {
        name: "sqlite",
        driver: "rusqlite",
        cpu: "SQLite in process: CPU of an operation, µs",
        time: "SQLite in process: time of an operation, µs",
        wrapped: "SQLite: our wrappers and observers beside our backend, CPU, µs",
        open: "SQLite: point reads at 80 % of each side's own limit",
    },
    Engine {
        name: "mysql",
        driver: "mysql_async",
        cpu: "MariaDB: CPU of an operation in our process, µs",
        time: "MariaDB: time of an operation, µs",
        wrapped: "MariaDB: our wrappers and observers beside our backend, CPU, µs",
        open: "MariaDB: point reads at 80 % of each side's own limit",
    },
];

/// Reads the example's lines, an object each.
fn tables(lines: &str) -> Result<Vec<Beside>> {
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("what is {line}?")))
        .collect::<Result<_>>()?;
    let mut tables = Vec::new();
    for engine in ENGINES {
        let own: Vec<&Value> = lines.iter().filter(|line| line["engine"] == engine.name).collect();
        if own.is_empty() {
            progress(&format!("{} is left out: its server is not there", engine.name));
            continue;
        }
        let (open, compared): (Vec<&Value>, Vec<&Value>) =
            own.into_iter().partition(|line| line.get("open").is_some());
        let mut beside_driver = compared_sections(&engine, &compared)?;
        beside_driver.push(open_section(&engine, &open)?);
        tables.push((engine.driver, beside_driver));
        tables.push(("backend", vec![wrapped_section(&engine, &compared)?]));
    }
    Ok(tables)
}

/// What our engine, as it serves, takes beside the driver.
fn compared_sections(engine: &Engine, lines: &[&Value]) -> Result<Vec<Section>> {
    let [mut cpu, mut time, mut worst] = [engine.cpu, engine.time, "the worst of five runs, µs"]
        .map(|title| Section { title, rows: Vec::new() });
    for line in lines {
        let name = row_name(line)?;
        let row = |bare, served| {
            Ok::<_, anyhow::Error>(Row::beside(
                &name,
                figure(line, bare)?,
                figure(line, served)?,
                None,
            ))
        };
        cpu.rows.push(row("bare_cpu_us", "served_cpu_us")?);
        time.rows.push(row("bare_us", "served_us")?);
        let has_aim = engine.name == "sqlite" && line["callers"] == 1;
        if has_aim && line["operation"] == "single write" {
            for (what, member) in [("CPU", "worst_cpu_us"), ("time", "worst_us")] {
                let at = |index| line[member][index].as_f64();
                let (bare, served) = at(0).zip(at(1)).with_context(|| format!("no {member}"))?;
                let name = format!("{name}: {what}");
                worst.rows.push(Row::beside(&name, bare, served, Some(Aim::Times(WRITE_TIMES))));
            }
        }
    }
    Ok([cpu, time, worst].into_iter().filter(|section| !section.rows.is_empty()).collect())
}

/// What the wrappers take beside the backend alone.
fn wrapped_section(engine: &Engine, lines: &[&Value]) -> Result<Section> {
    let mut section = Section { title: engine.wrapped, rows: Vec::new() };
    for line in lines {
        let (backend, served) = (figure(line, "backend_cpu_us")?, figure(line, "served_cpu_us")?);
        let aim = Some(Aim::Times(WRAPPED_TIMES));
        section.rows.push(Row::beside(&row_name(line)?, backend, served, aim));
    }
    Ok(section)
}

/// How late answers came at a fixed rate.
fn open_section(engine: &Engine, lines: &[&Value]) -> Result<Section> {
    let find = |side: &str| {
        let line = lines.iter().find(|line| line["open"] == side);
        line.with_context(|| format!("no open loop of {side}"))
    };
    let (bare, served) = (find("bare")?, find("served")?);
    let row = |name: &str, member, aim| {
        Ok::<_, anyhow::Error>(Row::beside(
            name,
            figure(bare, member)?,
            figure(served, member)?,
            aim,
        ))
    };
    let rows = vec![
        row("limit, 256 callers, reads a second", "limit", None)?,
        row("rate asked for, reads a second", "rate", None)?,
        row("rate reached, reads a second", "reached", None)?,
        row("p50, ms", "p50_ms", None)?,
        row("p99, ms", "p99_ms", Some(Aim::Most(OPEN_P99_MS)))?,
        row("the slowest, ms", "most_ms", None)?,
    ];
    Ok(Section { title: engine.open, rows })
}

fn row_name(line: &Value) -> Result<String> {
    let operation = line["operation"].as_str().context("no operation")?;
    let callers = line["callers"].as_u64().context("no number of callers")?;
    Ok(format!("{operation}, {callers} at a time"))
}

fn figure(line: &Value, member: &str) -> Result<f64> {
    line[member].as_f64().with_context(|| format!("no {member} in {line}"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::table;

    #[test]
    fn the_examples_lines_become_tables() {
        let lines = [
            r#"{"engine":"sqlite","operation":"point read","callers":1,"bare_cpu_us":4,"bare_us":4.5,"backend_cpu_us":5,"backend_us":6,"served_cpu_us":6,"served_us":7,"worst_cpu_us":[4,7],"worst_us":[4,8]}"#,
            r#"{"engine":"sqlite","operation":"single write","callers":1,"bare_cpu_us":200,"bare_us":900,"backend_cpu_us":300,"backend_us":1000,"served_cpu_us":303,"served_us":1010,"worst_cpu_us":[200,500],"worst_us":[900,1100]}"#,
            r#"{"engine":"sqlite","operation":"point read","open":"bare","limit":300000,"rate":240000,"reached":239000,"count":100000,"p50_ms":0.2,"p99_ms":2,"most_ms":9}"#,
            r#"{"engine":"sqlite","operation":"point read","open":"served","limit":200000,"rate":160000,"reached":159000,"count":100000,"p50_ms":0.2,"p99_ms":12,"most_ms":19}"#,
        ];
        let tables = tables(&lines.join("\n")).unwrap();
        let text: String =
            tables.iter().map(|(peer, sections)| table::print(peer, sections)).collect();
        expect![[r#"

                                                         rusqlite    yunzhan     ratio  aim
            SQLite in process: CPU of an operation, µs
              point read, 1 at a time                         4.0        6.0    1.50 ×
              single write, 1 at a time                     200.0      303.0    1.51 ×
            SQLite in process: time of an operation, µs
              point read, 1 at a time                         4.5        7.0    1.56 ×
              single write, 1 at a time                     900.0     1010.0    1.12 ×
            the worst of five runs, µs
              single write, 1 at a time: CPU                200.0      500.0    2.50 ×  ≤ 2 × MISSED
              single write, 1 at a time: time               900.0     1100.0    1.22 ×  ≤ 2 × met
            SQLite: point reads at 80 % of each side's own limit
              limit, 256 callers, reads a second         300000.0   200000.0    0.67 ×
              rate asked for, reads a second             240000.0   160000.0    0.67 ×
              rate reached, reads a second               239000.0   159000.0    0.67 ×
              p50, ms                                         0.2        0.2    1.00 ×
              p99, ms                                         2.0       12.0    6.00 ×  ≤ 10 MISSED
              the slowest, ms                                 9.0       19.0    2.11 ×

                                                          backend    yunzhan     ratio  aim
            SQLite: our wrappers and observers beside our backend, CPU, µs
              point read, 1 at a time                         5.0        6.0    1.20 ×  ≤ 1.1 × MISSED
              single write, 1 at a time                     300.0      303.0    1.01 ×  ≤ 1.1 × met
        "#]].assert_eq(&text);
        assert!(super::tables(r#"{"engine":"sqlite","operation":"point read"}"#).is_err());
    }
}
