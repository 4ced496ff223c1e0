//! Nothing in the WAF's source knows a published rule: what it does follows from what rules say, never from which they are.

use super::Complaint;
use super::tree::Tree;

/// The engine, whose source is looked at; rules in text have ids, of course.
const ENGINE: &str = "waf/src/";

/// Digits of an id of the Core Rule Set; all begin with the first.
const ID_DIGITS: usize = 6;
const ID_BEGINS: u8 = b'9';

/// Ids of published rules in the engine.
pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    let engine = tree.ending(".rs").filter(|(path, _)| path.starts_with(ENGINE));
    engine.flat_map(|(path, text)| check_one(path, text)).collect()
}

fn check_one(path: &str, text: &str) -> Vec<Complaint> {
    let lines = text.split('\n').enumerate().filter(|(_, line)| has_id(line));
    let message = "looks like the id of a published rule: the engine knows none, give rules of your own to tests";
    lines.map(|(index, _)| Complaint::at_line(path, index, message)).collect()
}

fn has_id(line: &str) -> bool {
    let words = line.as_bytes().split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
    let is_id = |word: &[u8]| {
        word.len() == ID_DIGITS && word[0] == ID_BEGINS && word.iter().all(u8::is_ascii_digit)
    };
    words.into_iter().any(is_id)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::spell;
    use super::*;

    #[test]
    fn the_engine_knows_no_published_rule() {
        let tree = Tree::of(&[
            (
                "waf/src/run.rs",
                "fn run() {\n    if id == 942100 {}\n    let x = 9421000 + 0x942100;\n}\n",
            ),
            ("waf/rules/a.conf", "SecRuleRemoveById 942100\n"),
        ]);
        expect![[r#"
            waf/src/run.rs:2: looks like the id of a published rule: the engine knows none, give rules of your own to tests
        "#]]
        .assert_eq(&spell(&check(&tree)));
    }
}
