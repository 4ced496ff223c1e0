//! ModSecurity's public cases of bodies, through whole transactions.
//!
//! `YUNZHAN_TEST_MODSECURITY` names a folder with `request-body-parser-*.json` as in the public repository of the cases;
//! without it the test says that it was skipped. A case says what status the request ends with, and by the words of a debug
//! log whether the body was understood.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use yunzhan_waf::seclang::Sources;
use yunzhan_waf::transaction::{Limits, NoCollections};
use yunzhan_waf::{HostContext, RuleSet, Transaction, Verdict};

/// A part of the title and rules of a case, how many cases differ for it, and why.
const DEVIATIONS: &[(&str, usize, &str)] = &[(
    "SecXMLExternalEntity On",
    9,
    "refused by name: nothing is loaded, and documents are not checked against a schema",
)];

/// Words of ModSecurity's debug log that say that a body was not understood.
const MISTAKES: &[&str] = &[
    "nvalid part header",
    "Invalid boundary",
    "Invalid Content-Disposition",
    "Content-Disposition header",
    "Final boundary missing",
    "No boundaries",
    "Multiple boundary",
    "Duplicate Content-Disposition",
    "limit exceeded",
];

/// A rule beside those of a case, which tells whether there was a mistake.
const WITNESS: &str = "SecRule REQBODY_ERROR \"!@eq 0\" \"id:1,phase:2,pass,log\"";

fn folder() -> Option<PathBuf> {
    let required = std::env::var("YUNZHAN_TEST_REQUIRE").unwrap_or_default();
    let is_required = required.split(',').any(|name| name.trim() == "modsecurity");
    match std::env::var_os("YUNZHAN_TEST_MODSECURITY").filter(|folder| !folder.is_empty()) {
        Some(folder) => Some(folder.into()),
        None if is_required => panic!("YUNZHAN_TEST_MODSECURITY names no folder"),
        None => {
            let line = b"skipped: modsecurity (set YUNZHAN_TEST_MODSECURITY)\n";
            let _ = std::io::stderr().write_all(line);
            None
        }
    }
}

/// The rules of a case are all that there is.
struct Only(String);

impl Sources for Only {
    fn list(&self, _folder: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        match path {
            "case.conf" => Ok(self.0.clone().into_bytes()),
            _ => Err(format!("{path} is not there")),
        }
    }
}

fn lines(list: &Value) -> String {
    let lines = list.as_array().map(Vec::as_slice).unwrap_or_default();
    lines.iter().filter_map(Value::as_str).map(|line| format!("{line}\n")).collect()
}

/// What differs in a case, if anything does.
fn run(case: &Value) -> Option<String> {
    let mut rules = lines(&case["rules"]);
    // Some end within a chain, which the public reader lets pass and never finds matching.
    if rules.lines().last().is_some_and(|line| line.contains("\"chain,")) {
        rules += "SecRule REQUEST_METHOD \"@noMatch\"\n";
    }
    let rules = Only(format!("{WITNESS}\n{rules}"));
    let rules = match RuleSet::load("case.conf", &rules) {
        Ok(rules) => Arc::new(rules),
        Err(problems) => {
            return Some(
                problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join(", "),
            );
        }
    };
    let context = HostContext {
        now_ms: 0,
        offset_s: 0,
        unique_id: "1",
        mode: None,
        collections: Arc::new(NoCollections),
        limits: Limits::default(),
    };
    let request = &case["request"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut transaction = Transaction::begin(rules, context);
    transaction.connection(("10.0.0.1", 1234), ("10.0.0.2", 80));
    let (method, target) = (text(&request["method"]), text(&request["uri"]));
    transaction.request_line(method.as_bytes(), target.as_bytes(), b"HTTP/1.1");
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        transaction.request_header(name.as_bytes(), text(value).as_bytes());
    }
    transaction.request_headers_end();
    // As the public runner does, also behind the last line.
    let body = lines(&request["body"]);
    transaction.request_body(&body.into_bytes().into());
    transaction.request_end();
    let verdict = transaction.response_headers_end(200, b"HTTP/1.1");
    let status = match verdict {
        Verdict::Pass => 200,
        Verdict::Refuse(refusal) => u64::from(refusal.status),
    };
    let wanted = case["expected"]["http_code"].as_u64().unwrap_or(200);
    if status != wanted {
        let events: Vec<_> = transaction.events().iter().filter_map(|event| event.rule).collect();
        return Some(format!("{status} instead of {wanted}, rules {events:?}"));
    }
    let log = text(&case["expected"]["debug_log"]);
    let log = log.replace('\\', "");
    let is_told = transaction.events().iter().any(|event| event.rule == Some(1));
    let is_mistake = MISTAKES.iter().any(|words| log.contains(words));
    (is_mistake && !is_told).then(|| format!("no mistake, where there is: {log}"))
}

#[test]
fn public_requests() {
    let Some(root) = folder() else { return };
    let mut names: Vec<_> =
        std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let is_ours = |path: &&PathBuf| {
        path.file_name().unwrap().to_string_lossy().starts_with("request-body-parser-")
    };
    let (mut count, mut listed, mut unknown) = (0, BTreeMap::<usize, usize>::new(), Vec::new());
    for path in names.iter().filter(is_ours) {
        let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for case in &cases {
            count += 1;
            let Some(wrong) = run(case) else { continue };
            let place = format!("{}\n{}", case["title"].as_str().unwrap(), lines(&case["rules"]));
            match DEVIATIONS.iter().position(|row| place.contains(row.0)) {
                Some(row) => *listed.entry(row).or_default() += 1,
                None => unknown.push(format!("{place}{wrong}\n")),
            }
        }
    }
    let total: usize = listed.values().sum();
    let line = format!("passed {} of {count}, {total} listed\n", count - total - unknown.len());
    let _ = std::io::stderr().write_all(line.as_bytes());
    assert!(unknown.is_empty(), "{} differ:\n{}", unknown.len(), unknown.join("\n"));
    for (at, row) in DEVIATIONS.iter().enumerate() {
        assert_eq!(listed.get(&at).copied().unwrap_or_default(), row.1, "deviations {row:?}");
    }
}
