//! Walking into documents.

use expect_test::{Expect, expect};

use super::Path;
use crate::testing::{doc, value_text};

fn check(document: &str, paths: &[&str], expected: &Expect) {
    let document = doc(document);
    let lines = paths.iter().map(|text| {
        let mut seen = Vec::new();
        Path::parse(text).unwrap().visit(&document, &mut |end| {
            seen.push(end.value().map_or("missing".to_owned(), value_text));
            false
        });
        format!("{text}: {}\n", seen.join(" "))
    });
    expected.assert_eq(&lines.collect::<String>());
}

#[test]
fn a_path_goes_through_documents_and_arrays() {
    check(
        r#"{"a":{"b":1,"n":null},"list":[{"b":1},{},5,[{"b":7}],{"b":[2,3]}],"0":"zero","empty":[]}"#,
        &[
            "a",
            "a.b",
            "a.n",
            "a.x",
            "a.b.c",
            "x",
            "x.y",
            "list.b",
            "list.x",
            "list.0",
            "list.0.b",
            "list.4.b.1",
            "list.3.b",
            "list.3.0.b",
            "list.9",
            "0",
            "empty",
            "empty.b",
            "empty.0",
        ],
        &expect![[r#"
            a: {"b":1,"n":null}
            a.b: 1
            a.n: null
            a.x: missing
            a.b.c: missing
            x: missing
            x.y: missing
            list.b: 1 missing [2,3]
            list.x: missing missing missing
            list.0: {"b":1} missing missing missing
            list.0.b: 1 missing missing missing
            list.4.b.1: 3 missing missing missing
            list.3.b: 7 missing missing missing
            list.3.0.b: 7 missing missing missing missing
            list.9: missing missing missing
            0: "zero"
            empty: []
            empty.b: 
            empty.0: 
        "#]],
    );
}

#[test]
fn positions_and_names_of_digits_are_both_tried() {
    check(
        r#"{"a":[{"0":"named"},"second"]}"#,
        &["a.0", "a.0.0", "a.1", "a.01"],
        &expect![[r#"
        a.0: {"0":"named"} "named"
        a.0.0: "named" missing
        a.1: "second" missing
        a.01: missing
    "#]],
    );
}

#[test]
fn paths_that_are_none() {
    let many = vec!["a"; 101].join(".");
    let positions = ["0"; 9].join(".");
    let texts = ["", ".", "a.", ".a", "a..b", "a\0b", &many, &positions];
    let lines: String =
        texts.iter().map(|text| format!("{}\n", Path::parse(text).unwrap_err())).collect();
    expect![[r#"
        field path has an empty part
        field path has an empty part, at field .
        field path has an empty part, at field a.
        field path has an empty part, at field .a
        field path has an empty part, at field a..b
        field path contains NUL, at field a�b
        field path has over 100 parts, at field a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.…
        field path has over 8 positions, at field 0.0.0.0.0.0.0.0.0
    "#]].assert_eq(&lines);
}

#[test]
fn hostile_pairs_of_path_and_document_end_soon() {
    // Every level offers two ways to read the path; without a bound on positions this would take 2^40 steps.
    let document = format!(r#"{}1{}"#, r#"{"0":["#.repeat(40), "]}".repeat(40));
    let mut steps = 0;
    Path::parse(&["0"; 8].join(".")).unwrap().visit(&doc(&document), &mut |_| {
        steps += 1;
        false
    });
    assert!(steps <= 256, "{steps}");
}
