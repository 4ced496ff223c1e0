//! What the compiler does not see: who may depend on whom, words with a better choice, sizes, stray blanks, dead links.
//!
//! Each check is one function over the [`Tree`] of tracked files, and each complaint names the better choice. To add a
//! check: copy `text.rs`, write its test first, and give it a row in [`CHECKS`].

mod functions;
mod links;
mod ratchet;
mod rooms;
mod rules;
mod text;
mod tree;
mod words;

use std::path::Path;

use anyhow::{Context, Result};

use tree::Tree;

/// One check: its name and what it complains about.
type Check = (&'static str, fn(&Tree) -> Vec<Complaint>);

/// Every check there is.
const CHECKS: &[Check] = &[
    ("rooms", rooms::check),
    ("manifests", rooms::check_manifests),
    ("wiring", rooms::check_wiring),
    ("words", words::check),
    ("lock files", words::check_lock_files),
    ("sizes", ratchet::check),
    ("text", text::check),
    ("heads", text::check_heads),
    ("links", links::check),
    ("rules", rules::check),
];

/// Something that is not as it should be: where, and what would be better.
#[derive(Debug, PartialEq, Eq)]
struct Complaint {
    /// Path, with a line where there is one.
    place: String,
    /// What is wrong and what to do instead.
    message: String,
}

impl Complaint {
    fn at_line(path: &str, line_index: usize, message: impl Into<String>) -> Self {
        Self { place: format!("{path}:{}", line_index + 1), message: message.into() }
    }

    fn at(path: &str, message: impl Into<String>) -> Self {
        Self { place: path.to_owned(), message: message.into() }
    }
}

/// Runs every check over the tracked files; `false` when one complains.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let tree = Tree::tracked(root)?;
    let mut count = 0;
    for (name, check) in CHECKS {
        for Complaint { place, message } in check(&tree) {
            println!("{place}: {message} [{name}]");
            count += 1;
        }
    }
    println!("tidy: {} files, {} checks, {count} complaints", tree.files.len(), CHECKS.len());
    Ok(count == 0)
}

/// Lowers the sizes in the ratchet's list to what they are now.
pub(crate) fn shrink(root: &Path) -> Result<()> {
    let tree = Tree::tracked(root)?;
    let path = root.join(ratchet::LIST);
    std::fs::write(&path, ratchet::shrunk(&tree))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Complaints as a test compares them.
#[cfg(test)]
fn spell(complaints: &[Complaint]) -> String {
    complaints.iter().map(|Complaint { place, message }| format!("{place}: {message}\n")).collect()
}
