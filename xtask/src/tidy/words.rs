//! Words that have a better choice, and sources that a lock file may not name.
//!
//! The words are spelled in pieces here, so that the list does not complain about itself.

use super::Complaint;
use super::tree::Tree;

/// A word, where it is looked for, and what to write instead.
struct Word {
    word: &'static str,
    scope: Scope,
    /// Paths that begin so may use it.
    except: &'static [&'static str],
    instead: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// Every text.
    Text,
    /// Rust sources.
    Rust,
}

const WORDS: &[Word] = &[
    rust(concat!("to", "do!("), "finish it, or leave it out and say so in the documentation"),
    rust(concat!("unimpl", "emented!("), "finish it, or answer Kind::NotImplemented"),
    rust(concat!("db", "g!("), "write an event, or a test that shows the value"),
    text(concat!("FIX", "ME"), "fix it, or open an issue: nobody reads it here"),
    text(concat!("XX", "X"), "say what is meant in a sentence"),
    text(concat!("TO", "DO"), "do it, or open an issue: nobody reads it here"),
    rust(concat!("lazy_", "static"), "std::sync::LazyLock"),
    rust(concat!("once_", "cell::"), "std::sync::OnceLock and std::sync::LazyLock"),
    Word {
        word: concat!("SystemTime", "::now"),
        scope: Scope::Rust,
        except: &["base/src/clock.rs"],
        instead: "take a yunzhan_base::Clock, so that a test can move time",
    },
    rust(concat!("Timestamp", "::now"), "take a yunzhan_base::Clock, so that a test can move time"),
    rust(concat!("unbounded_", "channel"), "a channel with a bound, which is a named constant"),
    rust(concat!("mpsc::", "unbounded"), "a channel with a bound, which is a named constant"),
    rust(
        concat!("allow(", "unsafe_code)"),
        "expect(unsafe_code, reason = \"…\") on one named module",
    ),
    rust(concat!("#[", "ignore"), "report the skip by name, and honour YUNZHAN_TEST_REQUIRE"),
    text(concat!("/wo", "rk/"), "a path from the root of the repository"),
    text(concat!("/ro", "ot/"), "a path from the root of the repository, or $HOME"),
    text(concat!("/ho", "me/"), "a path from the root of the repository, or $HOME"),
    text(concat!("langu", "age model"), "speak of the product, not of how its text came to be"),
    text(concat!("AI-gen", "erated"), "speak of the product, not of how its text came to be"),
    text(concat!("Co-Auth", "ored-By"), "speak of the product, not of how its text came to be"),
];

const fn rust(word: &'static str, instead: &'static str) -> Word {
    Word { word, scope: Scope::Rust, except: &[], instead }
}

const fn text(word: &'static str, instead: &'static str) -> Word {
    Word { word, scope: Scope::Text, except: &[], instead }
}

/// Words with a better choice.
pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    check_against(WORDS, tree)
}

fn check_against(words: &[Word], tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (path, text) in tree.texts().filter(|(path, _)| !is_lock_file(path)) {
        for (index, line) in text.lines().enumerate() {
            let found = words.iter().filter(|word| word.applies(path) && word.occurs(line));
            let complain = |word: &Word| {
                Complaint::at_line(path, index, format!("`{}`: {}", word.word, word.instead))
            };
            complaints.extend(found.map(complain));
        }
    }
    complaints
}

impl Word {
    fn applies(&self, path: &str) -> bool {
        let in_scope = self.scope == Scope::Text || path.ends_with(".rs");
        in_scope && !self.except.iter().any(|except| path.starts_with(except))
    }

    /// Whether the line has the word, and not merely as a part of a longer one.
    fn occurs(&self, line: &str) -> bool {
        line.match_indices(self.word).any(|(at, _)| {
            let (before, rest) = line.split_at(at);
            let after = rest.strip_prefix(self.word).unwrap_or_default();
            !(joined(before, self.word) || joined(self.word, after))
        })
    }
}

/// Whether two neighbours are parts of one word.
fn joined(left: &str, right: &str) -> bool {
    let part_of_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    left.ends_with(part_of_word) && right.starts_with(part_of_word)
}

/// Lines of a lock file that name where a package comes from, and the places that anybody can reach.
const ORIGINS: &[(&str, &str)] = &[
    ("source = \"", "registry+https://github.com/rust-lang/crates.io-index"),
    ("\"resolved\": \"", "https://registry.npmjs.org/"),
];

fn is_lock_file(path: &str) -> bool {
    path.ends_with("Cargo.lock") || path.ends_with("package-lock.json")
}

/// Lock files that name a source which a fresh clone elsewhere cannot reach.
pub(super) fn check_lock_files(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (path, text) in tree.texts().filter(|(path, _)| is_lock_file(path)) {
        for (index, line) in text.lines().enumerate() {
            if let Some(public) = private_origin(line) {
                let message = format!("packages come from {public}, which everybody can reach");
                complaints.push(Complaint::at_line(path, index, message));
            }
        }
    }
    complaints
}

/// The public place that this line should name, when it names another.
fn private_origin(line: &str) -> Option<&'static str> {
    let named = |(key, public): &(&str, &'static str)| {
        let (_, origin) = line.split_once(key)?;
        (!origin.starts_with(public)).then_some(*public)
    };
    ORIGINS.iter().find_map(named)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::spell;
    use super::*;

    #[test]
    fn a_word_names_the_better_choice() {
        let gizmo = Word { except: &["base/src/gizmo.rs"], ..rust("gizmo(", "gadget") };
        let words = [gizmo, rust("cog", "gear"), text("etc.", "the whole list")];
        let tree = Tree::of(&[
            ("base/src/gizmo.rs", "fn a() { gizmo() }\n"),
            ("net/src/lib.rs", "fn a() { gizmo() }\n// a supergizmo() has cogs\n// and one cog\n"),
            ("docs/a.md", "gizmo() in prose\nbread, milk, etc.\n"),
        ]);
        expect![[r#"
            net/src/lib.rs:1: `gizmo(`: gadget
            net/src/lib.rs:3: `cog`: gear
            docs/a.md:2: `etc.`: the whole list
        "#]]
        .assert_eq(&spell(&check_against(&words, &tree)));
    }

    #[test]
    fn a_lock_file_names_public_places() {
        let tree = Tree::of(&[
            ("Cargo.lock", "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n"),
            ("a/Cargo.lock", "source = \"registry+https://mirror.example/index\"\n"),
            ("e2e/package-lock.json", "  \"resolved\": \"https://mirror.example/a.tgz\",\n"),
        ]);
        expect![[r#"
            a/Cargo.lock:1: packages come from registry+https://github.com/rust-lang/crates.io-index, which everybody can reach
            e2e/package-lock.json:1: packages come from https://registry.npmjs.org/, which everybody can reach
        "#]]
        .assert_eq(&spell(&check_lock_files(&tree)));
    }
}
