//! Files that include files.

use std::collections::BTreeMap;

use expect_test::{Expect, expect};

use super::show;
use crate::seclang::{FILES_MAX, INCLUDE_DEPTH_MAX, Sources, load};

/// Files by their paths.
struct Files(BTreeMap<String, String>);

impl Sources for Files {
    fn list(&self, folder: &str) -> Result<Vec<String>, String> {
        let parts = self.0.keys().map(|path| path.rsplit_once('/').unwrap_or(("", path)));
        let names: Vec<String> =
            parts.filter(|(place, _)| *place == folder).map(|(_, name)| name.to_owned()).collect();
        if names.is_empty() { Err(format!("no folder {folder}")) } else { Ok(names) }
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        self.0.get(path).map(|text| text.clone().into()).ok_or_else(|| format!("no file {path}"))
    }
}

fn files(files: &[(&str, &str)]) -> Files {
    Files(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
}

fn check(list: &[(&str, &str)], expected: &Expect) {
    expected.assert_eq(&show(load("main.conf", &files(list))));
}

#[test]
fn names_begin_beside_the_file_and_come_in_order() {
    check(
        &[
            (
                "main.conf",
                "Include rules/*.conf\nIncludeOptional \"plugins/*.conf\"\nIncludeOptional none.conf\nSecMarker END\nInclude one.conf",
            ),
            ("one.conf", "SecMarker ONE"),
            ("rules/2.conf", "SecMarker TWO\nInclude deep/?.conf"),
            ("rules/1.conf", "SecAction id:1,skipAfter:END"),
            ("rules/1.conf.example", "SecMarker NO"),
            ("rules/deep/a.conf", "SecMarker DEEP"),
            ("rules/deep/aa.conf", "SecMarker NO"),
        ],
        &expect![[r#"
            1: action Id(1), SkipAfter("END")
            1: marker TWO
            1: marker DEEP
            4: marker END
            1: marker ONE
        "#]],
    );
}

#[test]
fn what_cannot_be_included_is_told_where_it_is_written() {
    check(
        &[
            (
                "main.conf",
                "Include none.conf\nInclude none/*.conf\nInclude *.none\nInclude */a.conf\nInclude\nInclude main.conf\nInclude a.conf",
            ),
            ("a.conf", "\nInclude b.conf"),
            ("b.conf", "Include a.conf\nSecMarker"),
        ],
        &expect![[r#"
            main.conf:1: no file none.conf
            main.conf:2: no folder none
            main.conf:3: `*.none` matches no file; IncludeOptional may
            main.conf:4: `*/a.conf`: a folder's name has `*` or `?`
            main.conf:5: Include: takes one argument, not 0
            main.conf:6: `main.conf` includes itself
            b.conf:1: `a.conf` includes itself
            b.conf:2: SecMarker: takes one argument, not 0
        "#]],
    );
}

#[test]
fn ids_markers_and_chains_are_checked_across_files() {
    check(
        &[
            ("main.conf", "Include a.conf\nInclude b.conf"),
            (
                "a.conf",
                "SecMarker BEFORE\nSecAction id:1,skipAfter:AFTER\nSecRule ARGS a id:2,chain",
            ),
            (
                "b.conf",
                "SecMarker AFTER\nSecAction id:1,skipAfter:NOWHERE\nSecAction id:3,skipAfter:BEFORE",
            ),
        ],
        &expect![[r#"
            a.conf:3 rule 2: the chain lacks its next rule
            b.conf:2 rule 1: the rule at a.conf:2 has the id 1 too
            b.conf:2 rule 1: skipAfter: no marker `NOWHERE` follows
            b.conf:3 rule 3: skipAfter: no marker `BEFORE` follows
        "#]],
    );
}

#[test]
fn including_has_bounds() {
    let mut deep = files(&[("main.conf", "Include 0.conf")]);
    let mut wide = files(&[("main.conf", "Include a.conf\nInclude a.conf")]);
    for level in 0..INCLUDE_DEPTH_MAX {
        deep.0.insert(format!("{level}.conf"), format!("Include {}.conf", level + 1));
    }
    expect![[r#"
        14.conf:1: files include files more than 16 deep
    "#]]
    .assert_eq(&show(load("main.conf", &deep)));
    wide.0.insert("a.conf".into(), "Include b.conf\n".repeat(FILES_MAX));
    wide.0.insert("b.conf".into(), String::new());
    expect!["a.conf:999: more than 1000 files"]
        .assert_eq(show(load("main.conf", &wide)).lines().next().unwrap());
}
