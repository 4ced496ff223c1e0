//! Sizes that may only shrink: files of 700 lines, functions of 70, blobs of a mebibyte.
//!
//! What was larger when its rule came is listed in `xtask/ratchet.txt` with its size, one a line, `file PATH LINES` or
//! `function PATH::NAME LINES`. Growing fails; shrinking fails too until the list says the smaller size
//! (`cargo xtask tidy --shrink`), so that nothing grows back.

use std::collections::BTreeMap;

use super::Complaint;
use super::functions::functions;
use super::tree::Tree;

/// The list's path.
pub(super) const LIST: &str = "xtask/ratchet.txt";

/// Lines of a Rust file: what a reader can hold in mind; most have a third of it.
const FILE_LINES_MAX: usize = 700;
/// Lines of a function: one screen.
const FUNCTION_LINES_MAX: usize = 70;
/// Bytes of any tracked file: a clone stays quick.
const FILE_BYTES_MAX: usize = 1024 * 1024;

/// Sizes over the bound that the list does not allow, and list entries that could be lower.
pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    let listed = listed(tree.text(LIST).unwrap_or_default());
    let large = large(tree);
    let grown =
        large.iter().filter_map(|(what, size)| grown(what, *size, listed.get(what).copied()));
    let stale =
        listed.iter().filter_map(|(what, size)| stale(what, *size, large.get(what).copied()));
    grown.chain(stale).chain(blobs(tree)).collect()
}

/// The list with each size lowered to what it is now; nothing new enters it.
pub(super) fn shrunk(tree: &Tree) -> String {
    let large = large(tree);
    let listed = listed(tree.text(LIST).unwrap_or_default());
    let present = |(what, size): (&String, &usize)| {
        let now = large.get(what)?;
        Some(format!("{what} {}\n", now.min(size)))
    };
    listed.iter().filter_map(present).collect()
}

/// Entries of the list: what it is, and its lines.
fn listed(text: &str) -> BTreeMap<String, usize> {
    let entry = |line: &str| {
        let (what, size) = line.rsplit_once(' ')?;
        Some((what.to_owned(), size.parse().ok()?))
    };
    text.lines().filter_map(entry).collect()
}

/// Everything in Rust that is over its bound.
fn large(tree: &Tree) -> BTreeMap<String, usize> {
    let mut sizes = BTreeMap::new();
    for (path, text) in tree.ending(".rs") {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            sizes.insert(format!("file {path}"), lines);
        }
        let product = if is_test(path) { Vec::new() } else { functions(text) };
        for function in product.iter().filter(|function| function.lines > FUNCTION_LINES_MAX) {
            sizes.insert(format!("function {path}::{}", function.name), function.lines);
        }
    }
    sizes
}

/// Whole files of tests: their functions are stories and may be long.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn grown(what: &str, size: usize, allowed: Option<usize>) -> Option<Complaint> {
    let (kind, place) = what.split_once(' ')?;
    let bound = if kind == "file" { FILE_LINES_MAX } else { FUNCTION_LINES_MAX };
    let message = match allowed {
        Some(allowed) if size > allowed => {
            format!("{kind} grew from {allowed} to {size} lines: split it")
        }
        Some(_) => return None,
        None => format!(
            "{kind} of {size} lines, {bound} is the bound: split it by what its parts are for"
        ),
    };
    Some(Complaint::at(place, message))
}

fn stale(what: &str, allowed: usize, size: Option<usize>) -> Option<Complaint> {
    let message = match size {
        Some(size) if size < allowed => format!("`{what}` shrank to {size}"),
        Some(_) => return None,
        None => format!("`{what}` is small now, or gone"),
    };
    Some(Complaint::at(LIST, format!("{message}: run `cargo xtask tidy --shrink`")))
}

fn blobs(tree: &Tree) -> impl Iterator<Item = Complaint> {
    let large = tree.files.iter().filter(|file| file.bytes > FILE_BYTES_MAX);
    large.map(|file| {
        let message =
            format!("{} bytes, {FILE_BYTES_MAX} is the bound: fetch or generate it", file.bytes);
        Complaint::at(&file.path, message)
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::spell;
    use super::*;

    fn function(name: &str, lines: usize) -> String {
        format!("fn {name}() {{\n{}}}\n", "    a();\n".repeat(lines - 2))
    }

    #[test]
    fn sizes_may_only_shrink() {
        let (long, short) = (function("long", 71), function("short", 70));
        let file = "// line\n".repeat(701);
        let list = "file a/old.rs 900\nfile a/same.rs 701\nfunction a/f.rs::gone 80\n";
        let tree = Tree::of(&[
            ("a/f.rs", &format!("{long}{short}")),
            ("a/tests.rs", &long),
            ("a/new.rs", &file),
            ("a/old.rs", &file),
            ("a/same.rs", &file),
            ("a/picture.svg", &"x".repeat(FILE_BYTES_MAX + 1)),
            (LIST, list),
        ]);
        expect![[r#"
            a/new.rs: file of 701 lines, 700 is the bound: split it by what its parts are for
            a/f.rs::long: function of 71 lines, 70 is the bound: split it by what its parts are for
            xtask/ratchet.txt: `file a/old.rs` shrank to 701: run `cargo xtask tidy --shrink`
            xtask/ratchet.txt: `function a/f.rs::gone` is small now, or gone: run `cargo xtask tidy --shrink`
            a/picture.svg: 1048577 bytes, 1048576 is the bound: fetch or generate it
        "#]]
        .assert_eq(&spell(&check(&tree)));
        expect![[r#"
            file a/old.rs 701
            file a/same.rs 701
        "#]]
        .assert_eq(&shrunk(&tree));
    }

    #[test]
    fn what_is_listed_may_not_grow() {
        let tree =
            Tree::of(&[("a/f.rs", &function("long", 75)), (LIST, "function a/f.rs::long 72\n")]);
        expect![[r#"
            a/f.rs::long: function grew from 72 to 75 lines: split it
        "#]]
        .assert_eq(&spell(&check(&tree)));
    }
}
