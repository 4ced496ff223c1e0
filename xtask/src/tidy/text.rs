//! How a text is written down: no stray blanks, one newline at the end, and a head that says what a module is for.

use super::Complaint;
use super::tree::Tree;

/// Folders of files whose every byte is meant: seeds of fuzz targets, recorded samples.
const VERBATIM: &[&str] = &["/seeds/", "/testdata/"];

/// Blanks at the end of a line, carriage returns, a missing last newline. rustfmt answers for Rust, where what it leaves is
/// inside a string.
pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    let verbatim = |path: &str| VERBATIM.iter().any(|folder| path.contains(folder));
    let written = tree.texts().filter(|(path, _)| !path.ends_with(".rs") && !verbatim(path));
    written.flat_map(|(path, text)| check_one(path, text)).collect()
}

fn check_one(path: &str, text: &str) -> Vec<Complaint> {
    let lines = text.split('\n').enumerate();
    let trailing = lines.filter(|(_, line)| line.ends_with([' ', '\t', '\r']));
    let complain =
        |(index, _)| Complaint::at_line(path, index, "blanks at the end of the line: remove them");
    let mut complaints: Vec<Complaint> = trailing.map(complain).collect();
    if !text.is_empty() && !text.ends_with('\n') {
        complaints.push(Complaint::at(path, "no newline at the end: add one"));
    }
    complaints
}

/// Rust files that do not say what they are for.
pub(super) fn check_heads(tree: &Tree) -> Vec<Complaint> {
    let headless = tree.ending(".rs").filter(|(_, text)| !has_head(text));
    headless
        .map(|(path, _)| {
            Complaint::at(path, "begin with `//!`: what it is for, and where to read next")
        })
        .collect()
}

/// Attributes of the whole file may stand before its head: a fuzz target's `#![no_main]` does.
fn has_head(text: &str) -> bool {
    let mut lines = text.lines().skip_while(|line| line.starts_with("#![") || line.is_empty());
    lines.next().is_some_and(|line| line.starts_with("//!"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::spell;
    use super::*;

    #[test]
    fn stray_blanks() {
        let tree = Tree::of(&[
            ("a.md", "fine\n  also fine\n"),
            ("b.md", "blank \ntab\t\nreturn\r\n"),
            ("c.md", "no newline"),
            ("empty.md", ""),
            ("query/fuzz/seeds/filter/a", "meant "),
            ("d.rs", "expect![\"cell | \n\"]\n"),
        ]);
        expect![[r#"
            b.md:1: blanks at the end of the line: remove them
            b.md:2: blanks at the end of the line: remove them
            b.md:3: blanks at the end of the line: remove them
            c.md: no newline at the end: add one
        "#]]
        .assert_eq(&spell(&check(&tree)));
    }

    #[test]
    fn a_module_says_what_it_is_for() {
        let tree = Tree::of(&[
            ("a.rs", "//! Why.\n"),
            ("b.rs", "#![no_main]\n//! Why.\n"),
            ("c.rs", "use std::fmt;\n"),
            ("d.rs", ""),
        ]);
        expect![[r#"
            c.rs: begin with `//!`: what it is for, and where to read next
            d.rs: begin with `//!`: what it is for, and where to read next
        "#]]
        .assert_eq(&spell(&check_heads(&tree)));
    }
}
