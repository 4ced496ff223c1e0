//! What our service adds to bare SQLite, measured in one process by an example of its own crate.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::table::{Aim, Row, Section};
use crate::tools::progress;

/// How many times bare SQLite's processor time we aim at.
const BARE_TIMES: f64 = 2.0;
/// How many times bare SQLite's time an import may take: eight tenths of its rate.
const IMPORT_TIMES: f64 = 1.25;
/// What an import may take of memory, whatever the size of the file.
const IMPORT_MIB: f64 = 128.0;

/// Builds and runs the example.
pub(super) fn measure(root: &Path) -> Result<Vec<Section>> {
    progress("in process, beside bare SQLite");
    let output = Command::new(env!("CARGO"))
        .args(["run", "--release", "--quiet", "--package", "yunzhan-services"])
        .args(["--example", "documents_overhead"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "the example documents_overhead failed");
    sections(&String::from_utf8_lossy(&output.stdout))
}

/// Reads its lines: an object each, with the name of the operation and microseconds.
fn sections(lines: &str) -> Result<Vec<Section>> {
    let mut cpu = Section { title: "in process: CPU of an operation, µs", rows: Vec::new() };
    let mut elapsed = Section { title: "in process: time of an operation, µs", rows: Vec::new() };
    let mut memory =
        Section { title: "in process: memory, MiB more at the most", rows: Vec::new() };
    for line in lines.lines() {
        let row: Value = serde_json::from_str(line).with_context(|| format!("what is {line}?"))?;
        let name = row.get("operation").and_then(Value::as_str).context("no operation")?;
        let figure = |name: &str| {
            row.get(name).and_then(Value::as_f64).with_context(|| format!("no {name} in {line}"))
        };
        let aim = Some(Aim::Times(BARE_TIMES));
        cpu.rows.push(Row::beside(name, figure("bare_cpu_us")?, figure("service_cpu_us")?, aim));
        let grown_mib = row.get("grown_mib").and_then(Value::as_f64);
        // What has a figure of memory is an import, of which the rate counts.
        let aim = grown_mib.map(|_| Aim::Times(IMPORT_TIMES));
        elapsed.rows.push(Row::beside(name, figure("bare_us")?, figure("service_us")?, aim));
        memory.rows.extend(grown_mib.map(|mib| Row::alone(name, mib, Some(Aim::Most(IMPORT_MIB)))));
    }
    Ok(vec![cpu, elapsed, memory])
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::table;

    #[test]
    fn the_examples_lines_become_rows() {
        let lines = [
            r#"{"operation":"point read","bare_us":7,"bare_cpu_us":4.4,"service_us":9,"service_cpu_us":6.6,"grown_mib":null}"#,
            r#"{"operation":"import","bare_us":60,"bare_cpu_us":30,"service_us":45,"service_cpu_us":33,"grown_mib":25}"#,
        ];
        expect![[r#"

                                                         rusqlite    yunzhan     ratio  aim
            in process: CPU of an operation, µs
              point read                                      4.4        6.6    1.50 ×  ≤ 2 × met
              import                                         30.0       33.0    1.10 ×  ≤ 2 × met
            in process: time of an operation, µs
              point read                                      7.0        9.0    1.29 ×
              import                                         60.0       45.0    0.75 ×  ≤ 1.25 × met
            in process: memory, MiB more at the most
              import                                            –       25.0            ≤ 128 met
        "#]]
        .assert_eq(&table::print("rusqlite", &sections(&lines.join("\n")).unwrap()));
        assert!(sections(r#"{"operation":"point read"}"#).is_err());
    }
}
