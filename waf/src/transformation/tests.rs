//! Input -> output, as ModSecurity 3 has it; what is not its is said beside the case.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{GROWTH_MAX, LENGTH_MAX, Transformation};

/// One line for each input: the output, or `=` where nothing changes.
fn check(name: &str, inputs: &[&[u8]], expected: &Expect) {
    let it = Transformation::parse(name).unwrap();
    let (mut text, mut out) = (String::new(), b"left over".to_vec());
    for input in inputs {
        let is_changed = it.apply(input, &mut out);
        let shown = if is_changed { format!("`{}`", out.escape_ascii()) } else { "=".into() };
        writeln!(text, "`{}` -> {shown}", input.escape_ascii()).unwrap();
    }
    expected.assert_eq(&text);
}

#[test]
fn names() {
    for it in Transformation::all() {
        assert_eq!(Transformation::parse(&it.name().to_uppercase()), Some(it));
    }
    assert_eq!(Transformation::parse("normalizePath"), Some(Transformation::NormalisePath));
    assert_eq!(Transformation::parse("normalizepathwin"), Some(Transformation::NormalisePathWin));
    assert_eq!(Transformation::parse("none"), None);
    // The rows stand in the order of the enum.
    assert!(Transformation::all().enumerate().all(|(at, it)| at == it as usize));
}

#[test]
fn base64() {
    let inputs: &[&[u8]] = &[
        b"",
        b"YWJj",
        b"YWI=",
        b"YQ==",
        b"YWJjZA",
        b"YW Jj",
        b"YWJj \r\n",
        b"YWJj!",
        b"YQ=",
        b"Y=Q=",
        b"YWJj\0YWJj",
    ];
    check(
        "base64Decode",
        inputs,
        &expect![[r#"
            `` -> =
            `YWJj` -> `abc`
            `YWI=` -> `ab`
            `YQ==` -> `a`
            `YWJjZA` -> `abc`
            `YW Jj` -> ``
            `YWJj \r\n` -> `abc`
            `YWJj!` -> ``
            `YQ=` -> ``
            `Y=Q=` -> ``
            `YWJj\x00YWJj` -> `abc`
        "#]],
    );
    let inputs: &[&[u8]] =
        &[b"YWJj", b"Y.W J!j", b"YWJjZA", b"YWJjZ", b"YWJjZ=", b"YQ==YQ==", b"!!"];
    check(
        "base64DecodeExt",
        inputs,
        &expect![[r#"
            `YWJj` -> `abc`
            `Y.W J!j` -> `abc`
            `YWJjZA` -> `abcd`
            `YWJjZ` -> `abc`
            `YWJjZ=` -> ``
            `YQ==YQ==` -> `a\x06\x10`
            `!!` -> ``
        "#]],
    );
    check(
        "base64Encode",
        &[b"", b"a", b"ab", b"abc", b"\xFF\xFE"],
        &expect![[r#"
            `` -> =
            `a` -> `YQ==`
            `ab` -> `YWI=`
            `abc` -> `YWJj`
            `\xff\xfe` -> `//4=`
        "#]],
    );
}

#[test]
fn hexadecimal() {
    check(
        "hexDecode",
        &[b"414a", b"4", b"414", b"zz", b""],
        &expect![[r#"
            `414a` -> `AJ`
            `4` -> ``
            `414` -> `A`
            `zz` -> `S`
            `` -> =
        "#]],
    );
    check(
        "hexEncode",
        &[b"AJ\xFF", b""],
        &expect![[r#"
            `AJ\xff` -> `414aff`
            `` -> =
        "#]],
    );
    check(
        "sqlHexDecode",
        &[b"0x414243", b"a 0X41 0x4", b"0x41420", b"00x41", b"0x"],
        &expect![[r#"
            `0x414243` -> `ABC`
            `a 0X41 0x4` -> `a A 0x4`
            `0x41420` -> `AB0`
            `00x41` -> `0A`
            `0x` -> =
        "#]],
    );
}

#[test]
fn command_lines() {
    let inputs: &[&[u8]] = &[b"c^m\"d /C, d'ir;  x", b"cmd /c (dir)", b"a b", b"A", b" /", b"\\\\"];
    check(
        "cmdLine",
        inputs,
        &expect![[r#"
            `c^m\"d /C, d\'ir;  x` -> `cmd/c dir x`
            `cmd /c (dir)` -> `cmd/c(dir)`
            `a b` -> =
            `A` -> `a`
            ` /` -> `/`
            `\\\\` -> ``
        "#]],
    );
}

#[test]
fn spaces() {
    let inputs: &[&[u8]] = &[b" \ta\x0B\x0C\r\nb ", b"a b", b"\t", b"a\xC2\xA0b", b""];
    check(
        "compressWhitespace",
        inputs,
        &expect![[r#"
            ` \ta\x0b\x0c\r\nb ` -> ` a b `
            `a b` -> =
            `\t` -> ` `
            `a\xc2\xa0b` -> =
            `` -> =
        "#]],
    );
    check(
        "removeWhitespace",
        inputs,
        &expect![[r#"
            ` \ta\x0b\x0c\r\nb ` -> `ab`
            `a b` -> `ab`
            `\t` -> ``
            `a\xc2\xa0b` -> `ab`
            `` -> =
        "#]],
    );
    check(
        "trim",
        inputs,
        &expect![[r#"
            ` \ta\x0b\x0c\r\nb ` -> `a\x0b\x0c\r\nb`
            `a b` -> =
            `\t` -> ``
            `a\xc2\xa0b` -> =
            `` -> =
        "#]],
    );
    check(
        "trimLeft",
        inputs,
        &expect![[r#"
            ` \ta\x0b\x0c\r\nb ` -> `a\x0b\x0c\r\nb `
            `a b` -> =
            `\t` -> ``
            `a\xc2\xa0b` -> =
            `` -> =
        "#]],
    );
    check(
        "trimRight",
        inputs,
        &expect![[r#"
            ` \ta\x0b\x0c\r\nb ` -> ` \ta\x0b\x0c\r\nb`
            `a b` -> =
            `\t` -> ``
            `a\xc2\xa0b` -> =
            `` -> =
        "#]],
    );
    check(
        "removeNulls",
        &[b"\0a\0", b"a"],
        &expect![[r#"
            `\x00a\x00` -> `a`
            `a` -> =
        "#]],
    );
    check(
        "replaceNulls",
        &[b"\0a\0", b"a"],
        &expect![[r#"
            `\x00a\x00` -> ` a `
            `a` -> =
        "#]],
    );
}

#[test]
fn comments() {
    let inputs: &[&[u8]] = &[
        b"a/* b */c",
        b"a/* b",
        b"/* a */",
        b"a<!-- b -->c",
        b"a/* b -->c",
        b"a-- b",
        b"a # b",
        b"a - b",
        b"/**//**/",
        b"a*/b",
    ];
    check(
        "removeComments",
        inputs,
        &expect![[r#"
            `a/* b */c` -> `ac`
            `a/* b` -> `a `
            `/* a */` -> `\x00`
            `a<!-- b -->c` -> `ac`
            `a/* b -->c` -> `ac`
            `a-- b` -> `a`
            `a # b` -> `a `
            `a - b` -> =
            `/**//**/` -> `/**/`
            `a*/b` -> =
        "#]],
    );
    check(
        "removeCommentsChar",
        inputs,
        &expect![[r#"
            `a/* b */c` -> `a b c`
            `a/* b` -> `a b`
            `/* a */` -> ` a `
            `a<!-- b -->c` -> `a b c`
            `a/* b -->c` -> `a b c`
            `a-- b` -> `a b`
            `a # b` -> `a  b`
            `a - b` -> =
            `/**//**/` -> ``
            `a*/b` -> `ab`
        "#]],
    );
    check(
        "replaceComments",
        inputs,
        &expect![[r#"
            `a/* b */c` -> `a c`
            `a/* b` -> `a `
            `/* a */` -> ` `
            `a<!-- b -->c` -> =
            `a/* b -->c` -> `a `
            `a-- b` -> =
            `a # b` -> =
            `a - b` -> =
            `/**//**/` -> `  `
            `a*/b` -> =
        "#]],
    );
}

#[test]
fn escapes() {
    let inputs: &[&[u8]] = &[
        b"\\a\\n\\'\\q",
        b"\\x41\\X41\\x4g\\xg",
        b"\\101\\1018\\8\\666",
        b"\\u0041\\uFF21\\uff00\\u4e2d\\u12",
        b"a\\",
    ];
    check(
        "escapeSeqDecode",
        inputs,
        &expect![[r#"
            `\\a\\n\\\'\\q` -> `\x07\n\'q`
            `\\x41\\X41\\x4g\\xg` -> `AAx4gxg`
            `\\101\\1018\\8\\666` -> `AA88\xb6`
            `\\u0041\\uFF21\\uff00\\u4e2d\\u12` -> `u0041uFF21uff00u4e2du12`
            `a\\` -> =
        "#]],
    );
    check(
        "jsDecode",
        inputs,
        &expect![[r#"
            `\\a\\n\\\'\\q` -> `\x07\n\'q`
            `\\x41\\X41\\x4g\\xg` -> `AX41x4gxg`
            `\\101\\1018\\8\\666` -> `AA8866`
            `\\u0041\\uFF21\\uff00\\u4e2d\\u12` -> `AA\x00-u12`
            `a\\` -> =
        "#]],
    );
    let inputs: &[&[u8]] = &[
        b"\\41 b\\4a\\041x",
        b"\\FF21\\0ff21\\00ff21\\1ff21",
        b"\\ja\\(\\\n",
        b"a\\",
        b"\\000041\n\n",
        b"\\1234567",
    ];
    check(
        "cssDecode",
        inputs,
        &expect![[r#"
            `\\41 b\\4a\\041x` -> `AbJAx`
            `\\FF21\\0ff21\\00ff21\\1ff21` -> `AAA!`
            `\\ja\\(\\\n` -> `ja(`
            `a\\` -> `a`
            `\\000041\n\n` -> `A\n`
            `\\1234567` -> `V7`
        "#]],
    );
}

#[test]
fn html() {
    let inputs: &[&[u8]] = &[
        b"&lt;&GT;&amp;&quot;&nbsp;",
        b"&lt&#x3c&#60;&#X3C;",
        b"&#x0000000000003c;&#8216;",
        b"&ltscript",
        b"&foo;&#;&#x;&",
        b"&&lt;",
        b"&amp;lt;",
    ];
    check(
        "htmlEntityDecode",
        inputs,
        &expect![[r#"
            `&lt;&GT;&amp;&quot;&nbsp;` -> `<>&\"\xa0`
            `&lt&#x3c&#60;&#X3C;` -> `<<<<`
            `&#x0000000000003c;&#8216;` -> `<\x18`
            `&ltscript` -> `<script`
            `&foo;&#;&#x;&` -> =
            `&&lt;` -> `&<`
            `&amp;lt;` -> `&lt;`
        "#]],
    );
}

#[test]
fn addresses() {
    let inputs: &[&[u8]] = &[
        b"a%20b+c",
        b"%4",
        b"%zz%41",
        b"%u0041%U0041",
        b"%uFF1c%u2039%u00e9%u4e2d",
        b"%u00",
        b"%%41",
        b"%u%41",
    ];
    check(
        "urlDecode",
        inputs,
        &expect![[r#"
            `a%20b+c` -> `a b c`
            `%4` -> =
            `%zz%41` -> `%zzA`
            `%u0041%U0041` -> =
            `%uFF1c%u2039%u00e9%u4e2d` -> =
            `%u00` -> =
            `%%41` -> `%A`
            `%u%41` -> `%uA`
        "#]],
    );
    check(
        "urlDecodeUni",
        inputs,
        &expect![[r#"
            `a%20b+c` -> `a b c`
            `%4` -> =
            `%zz%41` -> `%zzA`
            `%u0041%U0041` -> `AA`
            `%uFF1c%u2039%u00e9%u4e2d` -> `<<e-`
            `%u00` -> =
            `%%41` -> `%A`
            `%u%41` -> `%uA`
        "#]],
    );
    check(
        "urlEncode",
        &[b"a b*-\xFF", b"abc*"],
        &expect![[r#"
            `a b*-\xff` -> `a+b*%2d%ff`
            `abc*` -> =
        "#]],
    );
}

#[test]
fn utf8() {
    let inputs: &[&[u8]] = &[
        "é中😀".as_bytes(),
        b"\xC0\xAF",
        b"\xE4\xB8",
        b"\xED\xA0\x80",
        b"\x80\xFFa",
        b"\xF5\x80\x80\x80",
        b"a\0b",
        b"\xC3a",
    ];
    check(
        "utf8toUnicode",
        inputs,
        &expect![[r#"
            `\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80` -> `%u00e9%u4e2d%u1f600`
            `\xc0\xaf` -> `%u002f\xc0`
            `\xe4\xb8` -> `\xb8`
            `\xed\xa0\x80` -> `%ud800\xed`
            `\x80\xffa` -> =
            `\xf5\x80\x80\x80` -> `\xf5%u140000`
            `a\x00b` -> =
            `\xc3a` -> `a`
        "#]],
    );
}

#[test]
fn paths() {
    let inputs: &[&[u8]] = &[
        b"/a/b/../c",
        b"/a/./b//c/",
        b"a/../../b",
        b"/../../a",
        b"/..",
        b"/a/..",
        b"a/..",
        b"..",
        b".",
        b"./a",
        b"/a/x../b",
        b"/a.b/c",
        b"../../a",
        b"//",
        b"/a/../",
    ];
    check(
        "normalisePath",
        inputs,
        &expect![[r#"
            `/a/b/../c` -> `/a/c`
            `/a/./b//c/` -> `/a/b/c/`
            `a/../../b` -> `../b`
            `/../../a` -> `/a`
            `/..` -> ``
            `/a/..` -> ``
            `a/..` -> ``
            `..` -> =
            `.` -> ``
            `./a` -> `a`
            `/a/x../b` -> `/a/b`
            `/a.b/c` -> =
            `../../a` -> =
            `//` -> `/`
            `/a/../` -> `/`
        "#]],
    );
    let inputs: &[&[u8]] = &[b"\\a\\..\\b", b"c:\\x\\\\y", b"a/b"];
    check(
        "normalisePathWin",
        inputs,
        &expect![[r#"
            `\\a\\..\\b` -> `/b`
            `c:\\x\\\\y` -> `c:/x/y`
            `a/b` -> =
        "#]],
    );
}

#[test]
fn rest() {
    check(
        "length",
        &[b"", b"abc"],
        &expect![[r#"
            `` -> `0`
            `abc` -> `3`
        "#]],
    );
    check(
        "lowercase",
        &[b"aB\xC3\x89", b"ab"],
        &expect![[r#"
            `aB\xc3\x89` -> `ab\xc3\x89`
            `ab` -> =
        "#]],
    );
    check(
        "uppercase",
        &[b"aB\xC3\xA9", b"AB"],
        &expect![[r#"
            `aB\xc3\xa9` -> `AB\xc3\xa9`
            `AB` -> =
        "#]],
    );
    check(
        "md5",
        &[b""],
        &expect![[r#"
            `` -> `\xd4\x1d\x8c\xd9\x8f\x00\xb2\x04\xe9\x80\t\x98\xec\xf8B~`
        "#]],
    );
    check(
        "sha1",
        &[b""],
        &expect![[r#"
            `` -> `\xda9\xa3\xee^kK\r2U\xbf\xef\x95`\x18\x90\xaf\xd8\x07\t`
        "#]],
    );
    check(
        "parityEven7bit",
        &[b"ab", b"\xE1\x62"],
        &expect![[r#"
            `ab` -> `\xe1\xe2`
            `\xe1b` -> `\xe1\xe2`
        "#]],
    );
    check(
        "parityOdd7bit",
        &[b"ab"],
        &expect![[r#"
            `ab` -> =
        "#]],
    );
    check(
        "parityZero7bit",
        &[b"\xE1b", b"ab"],
        &expect![[r#"
            `\xe1b` -> `ab`
            `ab` -> =
        "#]],
    );
}

/// Values made of what decoders look for, and of anything.
fn value() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &str = r"% + %u %41 %u0041 & &lt &lt; &#x41 &#65; \ \x41 \u0041 \101 /* */ <!-- --> -- # / // . .. /../ 0x41 \\";
    let piece = proptest::sample::select(PIECES.split(' ').collect::<Vec<_>>());
    let piece = prop_oneof![
        piece.prop_map(|piece| piece.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..4),
        "[ -~]{0,4}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// Without one of its triggers, no transformation changes anything.
    #[test]
    fn triggers_tell(value in value()) {
        for it in Transformation::all() {
            let without: Vec<u8> = value.iter().copied().filter(|byte| !it.triggers().has(*byte)).collect();
            let mut out = Vec::new();
            let is_changed = it.apply(&without, &mut out);
            prop_assert!(!is_changed || without.is_empty() && it.changes_empty(), "{it:?} {without:?}");
        }
    }

    /// No output, and no room taken for it, is longer than the bound.
    #[test]
    fn output_is_bounded(value in value()) {
        let mut out = Vec::new();
        for it in Transformation::all() {
            if it.apply(&value, &mut out) {
                prop_assert!(out.len() <= GROWTH_MAX * value.len() + LENGTH_MAX, "{it:?}");
                prop_assert!(out.capacity() <= 2 * (GROWTH_MAX * value.len() + LENGTH_MAX) + 64);
            }
        }
    }

    /// What a value of twice the length becomes is about twice as long: no input makes outputs grow faster than itself.
    #[test]
    fn output_doubles_with_input(value in value()) {
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        for it in Transformation::all() {
            let length = |value: &[u8], out: &mut Vec<u8>| if it.apply(value, out) { out.len() } else { value.len() };
            let long = value.repeat(64);
            let half = length(&value.repeat(32), &mut once);
            prop_assert!(length(&long, &mut twice) <= 2 * half + 64 + GROWTH_MAX * value.len(), "{it:?}");
        }
    }
}
