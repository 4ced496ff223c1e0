//! Operators: argument and value -> whether it matches, and what TX gets.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{Captures, Files, Operator};

struct Shelf;

impl Files for Shelf {
    fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        match name {
            "phrases.data" => Ok(b"# comment\n\nfoo bar\r\nBaz\n".to_vec()),
            "networks.data" => Ok(b"10.0.0.0/8 # private\n2001:db8::/32\n".to_vec()),
            _ => Err(format!("`{name}` is not there")),
        }
    }
}

/// One line for each value: whether it matches, and what was captured.
fn check(name: &str, argument: &str, values: &[&str], expected: &Expect) {
    let it = Operator::compile(name, Some(argument.as_bytes()), &Shelf).unwrap();
    expected.assert_eq(&lines(&it, None, values));
}

fn lines(it: &Operator, expanded: Option<&str>, values: &[&str]) -> String {
    let mut text = String::new();
    for value in values {
        let mut captures = Captures { is_wanted: true, found: Vec::new() };
        let is_match = it.matches(value.as_bytes(), expanded.map(str::as_bytes), &mut captures);
        let mut quiet = Captures::default();
        let same = it.matches(value.as_bytes(), expanded.map(str::as_bytes), &mut quiet);
        assert!(is_match == same && quiet.found.is_empty(), "captures change nothing else");
        write!(text, "`{}` {}", value.escape_debug(), if is_match { "yes" } else { "no" }).unwrap();
        for (place, bytes) in captures.found {
            write!(text, " {place}=`{}`", bytes.escape_ascii()).unwrap();
        }
        text.push('\n');
    }
    text
}

fn refused(name: &str, argument: Option<&str>) -> String {
    let argument = argument.map(str::as_bytes);
    Operator::compile(name, argument, &Shelf).unwrap_err()
}

#[test]
fn texts() {
    check(
        "contains",
        "b c",
        &["ab cd", "abc", ""],
        &expect![[r#"
            `ab cd` yes
            `abc` no
            `` no
        "#]],
    );
    check(
        "strmatch",
        "b",
        &["abc", "B"],
        &expect![[r#"
            `abc` yes
            `B` no
        "#]],
    );
    check(
        "containsWord",
        "or",
        &["or", "1 or 2", "for or", "nor", "or1", "x-or-y"],
        &expect![[r#"
            `or` yes
            `1 or 2` yes
            `for or` yes
            `nor` no
            `or1` yes
            `x-or-y` yes
        "#]],
    );
    check(
        "containsWord",
        "",
        &["", "a"],
        &expect![[r#"
            `` yes
            `a` yes
        "#]],
    );
    check(
        "beginsWith",
        "ab",
        &["abc", "cab", "a"],
        &expect![[r#"
            `abc` yes
            `cab` no
            `a` no
        "#]],
    );
    check(
        "endsWith",
        "ab",
        &["abc", "cab", "b"],
        &expect![[r#"
            `abc` no
            `cab` yes
            `b` no
        "#]],
    );
    check(
        "streq",
        "ab",
        &["ab", "AB", "abc"],
        &expect![[r#"
            `ab` yes
            `AB` no
            `abc` no
        "#]],
    );
    check(
        "within",
        "GET POST",
        &["GET", "ET P", "PUT", ""],
        &expect![[r#"
            `GET` yes
            `ET P` yes
            `PUT` no
            `` yes
        "#]],
    );
}

#[test]
fn numbers() {
    let values =
        &["5", " 5x", "4", "6", "-5", "", "x", "99999999999999999999", "-99999999999999999999"];
    check(
        "eq",
        "5",
        values,
        &expect![[r#"
            `5` yes
            ` 5x` yes
            `4` no
            `6` no
            `-5` no
            `` no
            `x` no
            `99999999999999999999` no
            `-99999999999999999999` no
        "#]],
    );
    check(
        "lt",
        "5",
        values,
        &expect![[r#"
            `5` no
            ` 5x` no
            `4` yes
            `6` no
            `-5` yes
            `` yes
            `x` yes
            `99999999999999999999` no
            `-99999999999999999999` yes
        "#]],
    );
    check(
        "ge",
        "+5",
        values,
        &expect![[r#"
            `5` yes
            ` 5x` yes
            `4` no
            `6` yes
            `-5` no
            `` no
            `x` no
            `99999999999999999999` yes
            `-99999999999999999999` no
        "#]],
    );
    check(
        "gt",
        "x",
        values,
        &expect![[r#"
            `5` yes
            ` 5x` yes
            `4` yes
            `6` yes
            `-5` no
            `` no
            `x` no
            `99999999999999999999` yes
            `-99999999999999999999` no
        "#]],
    );
    check(
        "le",
        "",
        values,
        &expect![[r#"
            `5` no
            ` 5x` no
            `4` no
            `6` no
            `-5` yes
            `` yes
            `x` yes
            `99999999999999999999` no
            `-99999999999999999999` yes
        "#]],
    );
}

#[test]
fn macros_are_known_at_match_time() {
    let it = |name: &str| Operator::compile(name, None, &Shelf).unwrap();
    let mut text = lines(&it("lt"), Some("7"), &["6", "7"]);
    text += &lines(&it("within"), Some("a b"), &["b", "c"]);
    text += &lines(&it("rx"), Some("^(b)$"), &["b", "c"]);
    text += &lines(&it("rx"), Some("(?=b)"), &["b"]);
    text += &lines(&it("rx"), Some(&"b?".repeat(4096)), &["b"]);
    expect![[r#"
        `6` yes
        `7` no
        `b` yes
        `c` no
        `b` yes 0=`b` 1=`b`
        `c` no
        `b` no
        `b` no
    "#]]
    .assert_eq(&text);
    let refusals = [refused("pm", None), refused("ipMatch", None), refused("verifyCC", None)];
    expect![[r#"
        the argument of `@pm` may have no macros
        the argument of `@ipMatch` may have no macros
        the argument of `@verifyCC` may have no macros"#]]
    .assert_eq(&refusals.join("\n"));
    assert!(Operator::has_macros("LT") && !Operator::has_macros("pm"));
}

#[test]
fn phrases() {
    check(
        "pm",
        "foo  Bar",
        &["xBARx", "fo", "barfoo"],
        &expect![[r#"
            `xBARx` yes 0=`Bar`
            `fo` no
            `barfoo` yes 0=`Bar`
        "#]],
    );
    check(
        "pm",
        "\"a|20|b c\"",
        &["a b", "a", "b", "c"],
        &expect![[r#"
            `a b` yes 0=`a`
            `a` yes 0=`a`
            `b` yes 0=`b`
            `c` yes 0=`c`
        "#]],
    );
    check(
        "pm",
        "a|zz|",
        &["a", "A|ZZ|"],
        &expect![[r#"
            `a` no
            `A|ZZ|` yes 0=`a|zz|`
        "#]],
    );
    check(
        "pm",
        "",
        &["a", ""],
        &expect![[r#"
            `a` no
            `` no
        "#]],
    );
    check(
        "pmFromFile",
        "phrases.data",
        &["foo  bar", "foo bar", "BAZ", "# comment"],
        &expect![[r#"
            `foo  bar` no
            `foo bar` yes 0=`foo bar`
            `BAZ` yes 0=`Baz`
            `# comment` no
        "#]],
    );
}

#[test]
fn addresses() {
    let values = &["10.1.2.3", "11.0.0.1", "10.1.2", "::1", "::2", "2001:db8::7", "", "x"];
    check(
        "ipMatch",
        "10.0.0.0/8, ::1",
        values,
        &expect![[r#"
            `10.1.2.3` yes
            `11.0.0.1` no
            `10.1.2` no
            `::1` yes
            `::2` no
            `2001:db8::7` no
            `` no
            `x` no
        "#]],
    );
    check(
        "ipMatch",
        "0.0.0.0/0,::/0",
        values,
        &expect![[r#"
            `10.1.2.3` yes
            `11.0.0.1` yes
            `10.1.2` no
            `::1` yes
            `::2` yes
            `2001:db8::7` yes
            `` no
            `x` no
        "#]],
    );
    check(
        "ipMatchFromFile",
        "networks.data",
        values,
        &expect![[r#"
            `10.1.2.3` yes
            `11.0.0.1` no
            `10.1.2` no
            `::1` no
            `::2` no
            `2001:db8::7` yes
            `` no
            `x` no
        "#]],
    );
}

#[test]
fn encodings() {
    check(
        "validateByteRange",
        "9, 32-126",
        &["a b\t", "a\n", "é", ""],
        &expect![[r#"
            `a b\t` no
            `a\n` yes
            `é` yes
            `` no
        "#]],
    );
    check(
        "validateUrlEncoding",
        "",
        &["%41a", "%4", "%zz", "", "%"],
        &expect![[r#"
            `%41a` no
            `%4` yes
            `%zz` yes
            `` no
            `%` yes
        "#]],
    );
    check(
        "validateUtf8Encoding",
        "",
        &["é", ""],
        &expect![[r#"
            `é` no
            `` no
        "#]],
    );
    let utf8 = Operator::compile("validateUtf8Encoding", Some(b""), &Shelf).unwrap();
    let wrong: &[&[u8]] = &[b"\xC0\xAF", b"\xED\xA0\x80", b"\xE4\xB8", b"\xFF"];
    assert!(wrong.iter().all(|value| utf8.matches(value, None, &mut Captures::default())));
}

#[test]
fn identities() {
    check(
        "verifyCC",
        r"\d{13,16}",
        &["x 4111111111111111", "4111111111111112", "1"],
        &expect![[r#"
            `x 4111111111111111` yes 0=`4111111111111111`
            `4111111111111112` yes 0=`1111111111112`
            `1` no
        "#]],
    );
    check(
        "verifyCPF",
        r"[\d.-]{11,14}",
        &["529.982.247-25", "52998224726", "11111111111"],
        &expect![[r#"
            `529.982.247-25` yes 0=`529.982.247-25`
            `52998224726` no
            `11111111111` no
        "#]],
    );
    check(
        "verifySSN",
        r"\d{3}-\d{2}-\d{4}",
        &["123-45-6780", "666-45-6780", "740-45-6780"],
        &expect![[r#"
            `123-45-6780` yes 0=`123-45-6780`
            `666-45-6780` no
            `740-45-6780` no
        "#]],
    );
    check(
        "verifySVNR",
        r"\d{10}",
        &["1237010180", "1238010180", "1234567890"],
        &expect![[r#"
            `1237010180` yes 0=`1237010180`
            `1238010180` no
            `1234567890` no
        "#]],
    );
    check(
        "verifyCC",
        "",
        &["4111111111111111"],
        &expect![[r#"
            `4111111111111111` no
        "#]],
    );
}

#[test]
fn injections() {
    check(
        "detectSQLi",
        "",
        &["1' or '1'='1", "hello", "你好", ""],
        &expect![[r#"
            `1\' or \'1\'=\'1` yes 0=`s&sos`
            `hello` no
            `你好` no
            `` no
        "#]],
    );
    check(
        "detectXSS",
        "",
        &["<script>a</script>", "a < b", "<b onload=x", ""],
        &expect![[r#"
            `<script>a</script>` yes 0=`<script>a</script>`
            `a < b` no
            `<b onload=x` yes 0=`<b onload=x`
            `` no
        "#]],
    );
}

#[test]
fn patterns() {
    check(
        "rx",
        "",
        &["", "a"],
        &expect![[r#"
            `` yes
            `a` yes
        "#]],
    );
    check(
        "rx",
        "(?i)(b)(c)?(d)",
        &["aBDc", "abcd", "a"],
        &expect![[r#"
            `aBDc` yes 0=`BD` 1=`B` 3=`D`
            `abcd` yes 0=`bcd` 1=`b` 2=`c` 3=`d`
            `a` no
        "#]],
    );
    check(
        "rx",
        r"a.c$",
        &["a\nc", "abc\n", "abcd"],
        &expect![[r#"
            `a\nc` yes 0=`a\nc`
            `abc\n` no
            `abcd` no
        "#]],
    );
    check(
        "rxGlobal",
        "(.)(b)",
        &["ab cb", "", "b"],
        &expect![[r#"
            `ab cb` yes 0=`ab` 1=`a` 2=`b` 3=`cb` 4=`c` 5=`b`
            `` no
            `b` no
        "#]],
    );
    check(
        "unconditionalMatch",
        "",
        &["", "a"],
        &expect![[r#"
            `` yes
            `a` yes
        "#]],
    );
    check(
        "noMatch",
        "",
        &["", "a"],
        &expect![[r#"
            `` no
            `a` no
        "#]],
    );
}

#[test]
fn refusals() {
    let all = [
        refused("nothing", Some("")),
        refused("geoLookup", Some("")),
        refused("rbl", Some("x")),
        refused("inspectFile", Some("x")),
        refused("validateSchema", Some("x")),
        refused("rsub", Some("x")),
        refused("fuzzyHash", Some("x")),
        refused("ipMatch", Some("10.0.0.0/33")),
        refused("validateByteRange", Some("1-256")),
        refused("validateByteRange", Some("9-1")),
        refused("pmFromFile", Some("absent.data")),
        refused("pmFromFile", Some("https://x/y")),
        refused("rx", Some("a(?=b)")),
        refused("rx", Some(r"(a)\1")),
        refused("rx", Some("(a")),
        refused("rx", Some("[b-a]")),
        refused("rx", Some("(?:a{1000}){1000}")),
        refused("rx", Some("*a")),
    ];
    expect![[r#"
        there is no operator `@nothing`
        `@geoLookup` is not supported: places of addresses are not known here
        `@rbl` is not supported: it asks somebody outside, and the WAF does no input or output
        `@inspectFile` is not supported: it runs a program, and the WAF runs none
        `@validateSchema` is not supported: documents are not checked against a schema
        `@rsub` is not supported: ModSecurity 3 does nothing for it either
        `@fuzzyHash` is not supported: files are not compared by fuzzy hashes
        `10.0.0.0/33` is no address and no network
        `1-256` is no byte and no range of bytes
        `9-1` is no byte and no range of bytes
        `absent.data` is not there
        `https://x/y` is not fetched: keep the file beside the rules
        look-ahead cannot be matched in linear time and is not supported
        a back-reference cannot be matched in linear time and is not supported
        a group is not closed
        a range in brackets ends before it begins
        the pattern needs more than 10485760 bytes of program
        the pattern is not understood: repetition operator missing expression"#]]
    .assert_eq(&all.join("\n"));
}

/// What libinjection's tokens are made of, and anything.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &str = r#"' " ` /* */ -- # @@ @` $$ $a$ q'[ nq'( 0x 0b1 x' u&' \ { } [ ] < > <!-- --> <![CDATA[ <! <? <% </ /> = ; &#x &#106 javascript: onload= style= xml: select union or 1 1e 1. . ( ) , || ! := sleep --[if"#;
    let piece = proptest::sample::select(PIECES.split(' ').collect::<Vec<_>>());
    let piece = prop_oneof![
        4 => piece.prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
        1 => Just(b" ".to_vec()),
    ];
    prop::collection::vec(piece, 0..32).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4000) })]

    /// The borrowed detectors read hostile bytes: they end, and without a panic.
    #[test]
    fn detectors_survive(value in hostile()) {
        let mut captures = Captures { is_wanted: true, found: Vec::new() };
        for name in ["detectSQLi", "detectXSS"] {
            Operator::compile(name, Some(b""), &Shelf).unwrap().matches(&value, None, &mut captures);
        }
        prop_assert!(captures.found.iter().all(|(place, _)| *place == 0));
    }

    /// Any bytes are a pattern or a mistake, never a panic; what is translated, the crate understands or names.
    #[test]
    fn patterns_survive(pattern in r"[\\(){}\[\]|*+?^$.:<>=!a-c0-9,&xQEihdwZ#' éÿ-]{0,24}", value in hostile()) {
        if let Ok(it) = Operator::compile("rx", Some(pattern.as_bytes()), &Shelf) {
            it.matches(&value, None, &mut Captures::default());
        }
    }
}
