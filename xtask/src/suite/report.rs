//! What passed, what failed and with which words: the runner's report as a table.

use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Characters of one test's first line: an answer that a test prints may be long.
const WORDS_CHARS_MAX: usize = 300;

/// One run of the suite.
pub(super) struct Report {
    /// By name.
    files: Vec<File>,
}

struct File {
    name: String,
    passed: usize,
    skipped: usize,
    failures: Vec<Failure>,
}

struct Failure {
    test: String,
    words: String,
}

impl Report {
    /// Reads the runner's report; `tests` is the folder that the files' names begin with.
    ///
    /// # Errors
    /// When it holds no file, or a file did not load: then its tests are missing from every number.
    pub(super) fn read(report: &Value, tests: &Path) -> Result<Self> {
        let files = report.get("testResults").and_then(Value::as_array);
        let files = files.filter(|files| !files.is_empty()).context("the suite has no tests")?;
        let read = |file| File::read(file, tests);
        let mut files = files.iter().map(read).collect::<Result<Vec<_>>>()?;
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { files })
    }

    /// Tests that passed.
    pub(super) fn passed(&self) -> usize {
        self.sum(|file| file.passed)
    }

    fn sum(&self, count: impl Fn(&File) -> usize) -> usize {
        self.files.iter().map(count).sum()
    }
}

impl File {
    fn read(file: &Value, tests: &Path) -> Result<Self> {
        let path = text(file, "name");
        let name = Path::new(path).strip_prefix(tests).unwrap_or(Path::new(path));
        let name = name.display().to_string();
        let results = file.get("assertionResults").and_then(Value::as_array);
        let Some(results) = results.filter(|results| !results.is_empty()) else {
            bail!("{name} did not load: {}", text(file, "message"));
        };
        let mut read = Self { name, passed: 0, skipped: 0, failures: Vec::new() };
        for result in results {
            match text(result, "status") {
                "passed" => read.passed += 1,
                "failed" => read.failures.push(Failure::read(result, path)),
                _ => read.skipped += 1,
            }
        }
        Ok(read)
    }
}

impl Failure {
    fn read(result: &Value, file: &str) -> Self {
        let message = result.pointer("/failureMessages/0").and_then(Value::as_str);
        let message = message.unwrap_or("no words");
        let first = message.lines().next().unwrap_or_default();
        let mut words: String = first.chars().take(WORDS_CHARS_MAX).collect();
        // An assertion says little; where it stands says which one it was.
        if let Some(line) = line_of(message, file) {
            words.push_str(&format!(" (line {line})"));
        }
        Self { test: text(result, "fullName").to_owned(), words }
    }
}

/// The number in `…/name.test.ts:281:9`, where the call stack first meets the file of the test.
fn line_of<'m>(message: &'m str, file: &str) -> Option<&'m str> {
    let place = message.split(file).nth(1)?;
    let line = place.strip_prefix(':')?.split(':').next()?;
    line.bytes().all(|byte| byte.is_ascii_digit()).then_some(line)
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, name: &str, [passed, failed, skipped]: [&str; 3]| {
            writeln!(f, "{name:<36} {passed:>7} {failed:>7} {skipped:>7}")
        };
        row(f, "file", ["passed", "failed", "skipped"])?;
        for File { name, passed, skipped, failures } in &self.files {
            let numbers = [*passed, failures.len(), *skipped].map(|number| number.to_string());
            row(f, name, [&numbers[0], &numbers[1], &numbers[2]])?;
        }
        for file in self.files.iter().filter(|file| !file.failures.is_empty()) {
            writeln!(f, "\n{}", file.name)?;
            for Failure { test, words } in &file.failures {
                writeln!(f, "  {test}\n      {words}")?;
            }
        }
        let (passed, failed) = (self.passed(), self.sum(|file| file.failures.len()));
        writeln!(f, "\nskipped by the suite itself: {}", self.sum(|file| file.skipped))?;
        writeln!(f, "passed {passed} of {}", passed + failed)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn test(name: &str, status: &str, message: &str) -> Value {
        json!({ "fullName": name, "status": status, "failureMessages": [message] })
    }

    #[test]
    fn a_report_is_a_table_and_the_failures() {
        let stack = "assert(received)\n\n  at f (/x/lib.js:1:2)\n  at g (/s/b.test.ts:28:9)\n";
        let report = json!({ "testResults": [
            { "name": "/s/b.test.ts", "assertionResults": [
                test("adds", "passed", ""), test("finds", "failed", stack), test("bits", "pending", ""),
            ] },
            { "name": "/s/a.test.ts", "assertionResults": [test("sorts", "passed", "")] },
        ] });
        let report = Report::read(&report, Path::new("/s")).unwrap();
        expect![[r#"
            file                                  passed  failed skipped
            a.test.ts                                  1       0       0
            b.test.ts                                  1       1       1

            b.test.ts
              finds
                  assert(received) (line 28)

            skipped by the suite itself: 1
            passed 2 of 3
        "#]]
        .assert_eq(&report.to_string());
    }

    #[test]
    fn a_file_that_does_not_load_is_no_result() {
        let report = json!({ "testResults": [
            { "name": "/s/a.test.ts", "message": "no such module", "assertionResults": [] },
        ] });
        let error = Report::read(&report, Path::new("/s")).err().unwrap().to_string();
        assert_eq!(error, "a.test.ts did not load: no such module");
    }
}
