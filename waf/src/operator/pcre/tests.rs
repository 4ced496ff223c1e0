//! Patterns in PCRE's spelling -> in the crate's, and what they match.

use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::translate;

fn check(patterns: &[&str], expected: &Expect) {
    let mut text = String::new();
    for pattern in patterns {
        let shown = translate(pattern.as_bytes()).unwrap_or_else(|why| format!("refused: {why}"));
        writeln!(text, "{} -> {shown}", pattern.escape_debug()).unwrap();
    }
    expected.assert_eq(&text);
}

#[test]
fn escapes() {
    check(
        &[
            r#"\/\"\'\-\<\>\_"#,
            r"\x41\x{42}\x4\xg",
            r"\0\12\012\o{101}",
            r"\a\e\f\n\r\t\cA",
            r"\h\H\v\V\R\N",
        ],
        &expect![[r#"
            \\/\\\"\\\'\\-\\<\\>\\_ -> \x2f\x22\x27\x2d\x3c\x3e\x5f
            \\x41\\x{42}\\x4\\xg -> AB\x04\x00g
            \\0\\12\\012\\o{101} -> \x00\x0a\x0aA
            \\a\\e\\f\\n\\r\\t\\cA -> \x07\x1b\x0c\x0a\x0d\x09\x01
            \\h\\H\\v\\V\\R\\N -> [\x09\x20\xa0][\x00-\x08\x0a-\x1f\x21-\x9f\xa1-\xff][\x0a-\x0d\x85][\x00-\x09\x0e-\x84\x86-\xff](?:\r\n|[\n-\r\x85])[^\n]
        "#]],
    );
    check(
        &[r"\Aa\z", r"a\Z", r"\Ga", r"\ba\B", r"\d\D\s\S\w\W", r"\Q.*\Ea", r"\y"],
        &expect![[r#"
            \\Aa\\z -> \Aa\z
            a\\Z -> a(?:\n?\z)
            \\Ga -> \Aa
            \\ba\\B -> \ba\B
            \\d\\D\\s\\S\\w\\W -> \d\D\s\S\w\W
            \\Q.*\\Ea -> \x2e\x2aa
            \\y -> y
        "#]],
    );
    check(
        &[r"\x{4e2d}+", "中+", "é"],
        &expect![[r#"
            \\x{4e2d}+ -> (?:\xe4\xb8\xad)+
            中+ -> (?:\xe4\xb8\xad)+
            é -> (?:\xc3\xa9)
        "#]],
    );
}

#[test]
fn classes() {
    check(
        &[
            "[a-c]", "[^a]", "[]a]", "[^]a]", "[a-]", "[-a]", r"[a\-z]", r"[\w.-]", "[a&&b]",
            "[[a]", "[a~~b]",
        ],
        &expect![[r#"
            [a-c] -> [\x61-\x63]
            [^a] -> [^\x61]
            []a] -> [\x5d\x61]
            [^]a] -> [^\x5d\x61]
            [a-] -> [\x2d\x61]
            [-a] -> [\x2d\x61]
            [a\\-z] -> [\x2d\x61\x7a]
            [\\w.-] -> [\x2d-\x2e\x30-\x39\x41-\x5a\x5f\x61-\x7a]
            [a&&b] -> [\x26\x61-\x62]
            [[a] -> [\x5b\x61]
            [a~~b] -> [\x61-\x62\x7e]
        "#]],
    );
    check(
        &[
            "[[:alpha:]_]",
            "[[:^digit:]]",
            "[[:foo:]]",
            r"[\]\[]",
            r"[\x00-\x1f\b]",
            r"[\d-z]",
            r"[^\s\S]",
            r"[\s\S]",
        ],
        &expect![[r#"
            [[:alpha:]_] -> [\x41-\x5a\x5f\x61-\x7a]
            [[:^digit:]] -> [\x00-\x2f\x3a-\xff]
            [[:foo:]] -> refused: `foo` is no class of characters
            [\\]\\[] -> [\x5b\x5d]
            [\\x00-\\x1f\\b] -> [\x00-\x1f]
            [\\d-z] -> [\x2d\x30-\x39\x7a]
            [^\\s\\S] -> [^\x00-\xff]
            [\\s\\S] -> [\x00-\xff]
        "#]],
    );
    check(
        &["[é]", "[a‘’]", "[^é]", "[一-龥]", r"[\x{2018}]", "[a-é]"],
        &expect![[r#"
            [é] -> (?:[\xc3][\xa9])
            [a‘’] -> (?:[\xe2][\x80][\x98]|[\xe2][\x80][\x99]|[\x61])
            [^é] -> [^\xa9\xc3]
            [一-龥] -> (?:[\xe4][\xb8-\xbf][\x80-\xbf]|[\xe5-\xe8][\x80-\xbf][\x80-\xbf]|[\xe9][\x80-\xbd][\x80-\xbf]|[\xe9][\xbe][\x80-\xa5])
            [\\x{2018}] -> (?:[\xe2][\x80][\x98])
            [a-é] -> (?:[\xc2][\x80-\xbf]|[\xc3][\x80-\xa9]|[\x61-\x7f])
        "#]],
    );
}

#[test]
fn groups_and_quantifiers() {
    check(
        &[
            "(?<n>a)",
            "(?'n'a)",
            "(?P<n>a)",
            "(?#no)a",
            "(?i-s:a)",
            "(?i)a",
            "(?x) a b # c\n d(?-x) e",
            "(?xi: a [ ]\\ )",
        ],
        &expect![[r#"
            (?<n>a) -> (?<n>a)
            (?\'n\'a) -> (?<n>a)
            (?P<n>a) -> (?<n>a)
            (?#no)a -> a
            (?i-s:a) -> (?i-s:a)
            (?i)a -> (?i)a
            (?x) a b # c\n d(?-x) e -> abd\x20e
            (?xi: a [ ]\\ ) -> (?i:a[\x20]\x20)
        "#]],
    );
    check(
        &["a{2}", "a{2,}?", "a{,2}", "a{x}", "a{", "}", "a{2", "{2}"],
        &expect![[r#"
            a{2} -> a{2}
            a{2,}? -> a{2,}?
            a{,2} -> a\x7b\x2c2\x7d
            a{x} -> a\x7bx\x7d
            a{ -> a\x7b
            } -> \x7d
            a{2 -> a\x7b2
            {2} -> {2}
        "#]],
    );
    check(
        &["a++", "a*+$", "(?:b|a++)", "(?>a|b)", "(?>a|b)c", "a++b", "(?:a++)+", "(?:a++|b)c"],
        &expect![[r#"
            a++ -> a+
            a*+$ -> refused: a group or quantifier that gives nothing back, with more behind it, cannot be matched in linear time and is not supported
            (?:b|a++) -> (?:b|a+)
            (?>a|b) -> (?:a|b)
            (?>a|b)c -> refused: a group or quantifier that gives nothing back, with more behind it, cannot be matched in linear time and is not supported
            a++b -> refused: a group or quantifier that gives nothing back, with more behind it, cannot be matched in linear time and is not supported
            (?:a++)+ -> refused: a group or quantifier that gives nothing back, with more behind it, cannot be matched in linear time and is not supported
            (?:a++|b)c -> refused: a group or quantifier that gives nothing back, with more behind it, cannot be matched in linear time and is not supported
        "#]],
    );
}

#[test]
fn refusals() {
    check(
        &[
            "(?=a)", "(?!a)", "(?<=a)", "(?<!a)", r"(a)\1", r"\k<n>", r"\g1", "(?R)", "(?1)",
            "(?&n)", "(?P>n)", "(?P=n)",
        ],
        &expect![[r#"
            (?=a) -> refused: look-ahead cannot be matched in linear time and is not supported
            (?!a) -> refused: look-ahead cannot be matched in linear time and is not supported
            (?<=a) -> refused: look-behind cannot be matched in linear time and is not supported
            (?<!a) -> refused: look-behind cannot be matched in linear time and is not supported
            (a)\\1 -> refused: a back-reference cannot be matched in linear time and is not supported
            \\k<n> -> refused: a back-reference cannot be matched in linear time and is not supported
            \\g1 -> refused: a back-reference cannot be matched in linear time and is not supported
            (?R) -> refused: recursion or a reference to a group cannot be matched in linear time and is not supported
            (?1) -> refused: recursion or a reference to a group cannot be matched in linear time and is not supported
            (?&n) -> refused: recursion or a reference to a group cannot be matched in linear time and is not supported
            (?P>n) -> refused: recursion or a reference to a group cannot be matched in linear time and is not supported
            (?P=n) -> refused: recursion or a reference to a group cannot be matched in linear time and is not supported
        "#]],
    );
    check(
        &[
            "(?|a)",
            "(?(1)a)",
            "(*UTF8)a",
            r"a\Kb",
            r"\p{L}",
            r"\X",
            r"[\pL]",
            "(",
            ")",
            "[a",
            "a\\",
            "[z-a]",
            "(?q)",
            r"\x{110000}",
        ],
        &expect![[r#"
            (?|a) -> refused: a group that resets numbers `(?|…)` cannot be matched in linear time and is not supported
            (?(1)a) -> refused: a condition `(?(…)…)` cannot be matched in linear time and is not supported
            (*UTF8)a -> refused: a control verb `(*…)` cannot be matched in linear time and is not supported
            a\\Kb -> refused: `\K` cannot be matched in linear time and is not supported
            \\p{L} -> refused: a class of Unicode's characters cannot be matched in linear time and is not supported
            \\X -> refused: a class of Unicode's characters cannot be matched in linear time and is not supported
            [\\pL] -> refused: a class of Unicode's characters cannot be matched in linear time and is not supported
            ( -> refused: a group is not closed
            ) -> refused: a group is closed that was not opened
            [a -> refused: a class in brackets is not closed
            a\\ -> refused: a backslash ends the pattern
            [z-a] -> refused: a range in brackets ends before it begins
            (?q) -> refused: a group begins with `(?` and something unknown
            \\x{110000} -> refused: `110000` is no number of a character
        "#]],
    );
}

/// Groups are counted as PCRE counts them, so that an octal number is not a back-reference.
#[test]
fn octal_or_reference() {
    check(
        &[r"\11", r"(a)\11", r"\81", r"[\1]"],
        &expect![[r#"
            \\11 -> \x09
            (a)\\11 -> (a)\x09
            \\81 -> refused: a back-reference cannot be matched in linear time and is not supported
            [\\1] -> [\x01]
        "#]],
    );
    let deep = "(".repeat(300) + &")".repeat(300);
    assert!(translate(deep.as_bytes()).is_err());
}
