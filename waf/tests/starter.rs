//! The rules that are built in: each against the attacks that it is for, and against what looks like one.
//!
//! `rules/starter.tests` has a case a line: the ids that must be told, or `-` for none, what part of a request the text is,
//! and the text, in which `\n`, `\t`, `\0` and `\xHH` stand for bytes.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use std::collections::BTreeSet;

use common::{Request, Seen, escape_query, json_string, starter};

/// Rules over what the reader of multipart bodies finds, whose own tests hold the cases.
const WITHOUT_CASE: [u64; 2] = [101_180, 101_181];

/// What one line says.
struct Case<'t> {
    line: usize,
    wanted: BTreeSet<u64>,
    request: Request,
    text: &'t str,
}

#[test]
fn each_rule_tells_of_its_attacks_and_of_nothing_else() {
    let rules = starter();
    let mut wrong = Vec::new();
    let mut told: BTreeSet<u64> = BTreeSet::new();
    for case in cases(include_str!("../rules/starter.tests")) {
        let Seen { rules: seen, refused, .. } = common::run(&rules, &case.request);
        let seen: BTreeSet<u64> = seen.into_iter().collect();
        told.extend(&seen);
        if !case.wanted.is_subset(&seen) || (case.wanted.is_empty() && !seen.is_empty()) {
            wrong.push(format!(
                "line {}: {} told {seen:?}, not {:?}, refused: {refused}",
                case.line, case.text, case.wanted
            ));
        }
        if case.wanted.is_empty() && refused {
            wrong.push(format!("line {}: {} is refused", case.line, case.text));
        }
    }
    for id in common::scoring_rules() {
        if !told.contains(&id) && !WITHOUT_CASE.contains(&id) {
            wrong.push(format!("rule {id} has no case"));
        }
    }
    assert!(wrong.is_empty(), "{} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn cases(text: &'static str) -> impl Iterator<Item = Case<'static>> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')).map(|(line, text)| {
        let (ids, rest) = text.split_once(' ').unwrap();
        let (kind, value) = rest.split_once(' ').unwrap();
        let wanted = ids.split(',').filter(|id| *id != "-").map(|id| id.parse().unwrap()).collect();
        Case { line, wanted, request: request(kind, &bytes(value)), text: rest }
    })
}

fn request(kind: &str, value: &[u8]) -> Request {
    let text = String::from_utf8_lossy(value).into_owned();
    match kind {
        "arg" => Request::get(&format!("/api/goods?q={}", escape_query(value))),
        "name" => Request::get(&format!("/api/goods?{}=1", escape_query(value))),
        "field" => Request::json("/api/posts", &format!("{{\"content\":{}}}", json_string(&text))),
        "json" => Request::json("/api/posts", &text),
        "form" => Request::post("/api/form", "application/x-www-form-urlencoded", value),
        "text" => Request::post("/api/text", "text/plain", value),
        "xml" => Request::post("/api/xml", "text/xml", value),
        "as" => {
            let (media, body) = text.split_once(": ").unwrap();
            Request::post("/api/any", media, body.as_bytes())
        }
        "path" => Request::get(&text),
        "method" => Request { method: text, ..Request::get("/api/goods") },
        "header" => {
            let (name, value) = text.split_once(": ").unwrap();
            let mut request = Request::get("/api/goods");
            request.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            request.headers.push((name.to_owned(), value.as_bytes().to_vec()));
            request
        }
        "second" => {
            let mut request = Request::json("/api/posts", "{}");
            let (name, value) = text.split_once(": ").unwrap();
            request.headers.push((name.to_owned(), value.as_bytes().to_vec()));
            request
        }
        "many" => {
            let items = vec!["1"; text.parse().unwrap()].join(",");
            Request::json("/api/posts", &format!("[{items}]"))
        }
        "long" => {
            let text = "a".repeat(text.parse().unwrap());
            Request::json("/api/posts", &json_string(&text))
        }
        "multipart" => Request::post("/api/upload", "multipart/form-data; boundary=b", value),
        _ => panic!("no request is made of a {kind}"),
    }
}

fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (byte, len) = match after.as_bytes() {
            [b'n', ..] => (b'\n', 1),
            [b'r', ..] => (b'\r', 1),
            [b't', ..] => (b'\t', 1),
            [b'0', ..] => (0, 1),
            [b'x', ..] => (u8::from_str_radix(&after[1..3], 16).unwrap(), 3),
            _ => (b'\\', usize::from(after.starts_with('\\'))),
        };
        bytes.push(byte);
        rest = &after[len..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[test]
fn an_operator_sets_the_bounds_in_one_place() {
    let own = "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.threshold=100\"\nInclude /builtin/starter.conf\n";
    let rules = common::with_built_in(own);
    let attack = Request::get("/api/goods?q=1%20union%20select%20name%20from%20users");
    let seen = common::run(&rules, &attack);
    assert!(!seen.refused && seen.rules.contains(&107_110), "{seen:?}");
    assert!(common::run(&starter(), &attack).refused);
}

#[test]
fn dialects_of_documents_store_what_would_be_an_attack_elsewhere() {
    let rules = starter();
    let body = r#"{"data":["{\"q\":\"1 union select 2; drop table x -- ../../etc/passwd\",\"$or\":[{\"a\":{\"$gt\":1}}],\"h\":\"<script>alert(1)</script>\"}"]}"#;
    let path = "/v1/database/instances/(default)/databases/(default)/collections/goods/documents";
    let mut request = Request::json(path, body);
    assert!(common::run(&rules, &request).refused, "on a route of one's own");
    request.route = "gateway.insert";
    let seen = common::run(&rules, &request);
    assert_eq!((seen.refused, seen.rules), (false, vec![106_100]), "scripts are told");
    request.route = "admin.call";
    let seen = common::run(&rules, &request);
    assert_eq!((seen.refused, seen.rules), (false, vec![]));
    request.route = "identity.sign_in";
    assert!(common::run(&rules, &request).refused);
}

/// The examples of the pages are rules that load.
#[test]
fn the_examples_of_the_pages_load() {
    for page in [include_str!("../../docs/waf.md"), include_str!("../../docs/waf.zh-CN.md")] {
        let examples: Vec<&'static str> = page
            .split("```seclang\n")
            .skip(1)
            .map(|rest| rest.split("```").next().unwrap())
            .collect();
        assert_eq!(examples.len(), 5);
        for example in examples {
            common::with_built_in(example);
        }
    }
}
