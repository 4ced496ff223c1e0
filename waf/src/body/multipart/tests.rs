//! Bodies, and what is told of them.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{Bounds, multipart};
use crate::body::testing::Told;

const FORM: &str = "multipart/form-data; boundary=B";

const BOUNDS: Bounds = Bounds {
    files_max: 2,
    no_files_bytes_max: u64::MAX,
    file_beginning_bytes_max: 1 << 20,
    file_beginnings_bytes_max: u64::MAX,
};

fn tell(content_type: &str, body: &[u8]) -> Vec<String> {
    let mut told = Told::default();
    let (_, end) = multipart(body, content_type.as_bytes(), BOUNDS, false, &mut told);
    let mut lines = told.0;
    lines.extend(end.err());
    lines
}

/// In a body, `|` is CRLF and `~` is LF.
fn check(body: &str, wanted: &Expect) {
    let bytes = body.replace('|', "\r\n").replace('~', "\n");
    let lines = tell(FORM, bytes.as_bytes());
    let lines: Vec<_> = lines.iter().map(|line| line.escape_debug().to_string()).collect();
    wanted.assert_eq(&lines.join("\n"));
}

/// What a body tells beside what every body with one part `a` does.
fn difference(content_type: &str, body: &str) -> String {
    const USUAL: [&str; 4] = [
        "MultipartPartHeaders a=Content-Disposition",
        "MultipartUnmatchedBoundary=2",
        "MultipartName a=a",
        "MultipartStrictError=1",
    ];
    let lines = tell(content_type, body.replace('|', "\r\n").as_bytes());
    let is_usual = |line: &String| USUAL.iter().any(|usual| line.starts_with(usual));
    let strict = lines.iter().any(|line| line == USUAL[3]);
    let rest: Vec<_> = lines.iter().filter(|line| !is_usual(line)).map(String::as_str).collect();
    format!("{} {}", if strict { "!" } else { "-" }, rest.join(" ; "))
}

fn differences<'t>(
    cases: impl IntoIterator<Item = &'t str>,
    run: impl Fn(&str) -> String,
    wanted: &Expect,
) {
    let lines = cases.into_iter().map(|case| {
        let (case, told) = (case.replace('\n', "~"), run(case));
        format!("> {}\n  {}\n", case.escape_debug(), told.escape_debug())
    });
    wanted.assert_eq(&lines.collect::<String>());
}

#[test]
fn fields_and_files() {
    check(
        "--B|Content-Disposition: form-data; name=\"a\"||1|2||--B|\
         content-disposition: form-data; name=\"f\"; filename=\"x.png\"|Content-Type: image/png||\0\r|--B|\
         Content-Disposition: form-data; name=\"_charset_\"||utf-8|--B--|",
        &expect![[r#"
            MultipartName a=a
            MultipartPartHeaders a=Content-Disposition: form-data; name=\"a\"
            a=1\r\n2\r\n
            MultipartName f=f
            MultipartFilename x.png=x.png
            MultipartPartHeaders f=content-disposition: form-data; name=\"f\"; filename=\"x.png\"
            MultipartPartHeaders f=Content-Type: image/png
            Files f=x.png
            FilesNames f=f
            FilesSizes f=2
            FilesCombinedSize=2
            FilesTmpContent f=\0\r
            MultipartName _charset_=_charset_
            MultipartPartHeaders _charset_=Content-Disposition: form-data; name=\"_charset_\"
            _charset_=utf-8
            MultipartUnmatchedBoundary=2"#]],
    );
}

#[test]
fn files_are_bounded() {
    let file = "Content-Disposition: form-data; name=f; filename=x||content||--B";
    check(
        &format!("--B|{file}|{file}|{file}--|"),
        &expect![[r#"
        MultipartName f=f
        MultipartFilename x=x
        MultipartPartHeaders f=Content-Disposition: form-data; name=f; filename=x
        Files f=x
        FilesNames f=f
        FilesSizes f=9
        FilesCombinedSize=9
        FilesTmpContent f=content\r\n
        MultipartName f=f
        MultipartFilename x=x
        MultipartPartHeaders f=Content-Disposition: form-data; name=f; filename=x
        Files f=x
        FilesNames f=f
        FilesSizes f=9
        FilesCombinedSize=18
        FilesTmpContent f=content\r\n
        MultipartName f=f
        MultipartFilename x=x
        MultipartPartHeaders f=Content-Disposition: form-data; name=f; filename=x
        Files f=x
        FilesNames f=f
        FilesSizes f=9
        FilesCombinedSize=27
        MultipartFileLimitExceeded=1
        MultipartUnmatchedBoundary=2
        MultipartStrictError=1
        multipart: there are more than 2 files"#]],
    );
}

#[test]
fn lines_and_boundaries() {
    let part = "Content-Disposition: form-data; name=a||1|";
    let bodies = [
        format!("--B|{part}--B--|"),
        format!("--B|{part}--B--"),
        format!("--B|{part}--B-- |"),
        format!("--B|{part}--B--|more"),
        format!("less|--B|{part}--B--|"),
        format!("--B|{part}--B|"),
        format!("--B|{part}"),
        part.to_owned(),
        "--B--|".to_owned(),
        "--B--".to_owned(),
        String::new(),
        format!("--B|{part}--C|--B--|"),
        format!("--B|{part}--B--|").replace("1|", "1|--C|--|---|"),
        format!("--B|{part}--Bx--|--B--|"),
        format!("--B|{part}--Bx--|"),
        format!("--B|{part}-- B--|"),
        format!("--B|{part} --B--|"),
        "--B|Content-Disposition: form-data; name=a||--B--|".to_owned(),
        "--B|--B--|".to_owned(),
        format!("--B|{part}--B--|").replace("1|", "1\n"),
        format!("--B\n{part}--B--|"),
        format!("--B|{part}--B--\n"),
        format!("--B|{part}--B--|").replace('|', "\n"),
        format!("--B|{part}--B--|").replace("a||", "a|\n"),
    ];
    let run = |body: &str| difference(FORM, body);
    differences(
        bodies.iter().map(String::as_str),
        run,
        &expect![[r#"
            > --B|Content-Disposition: form-data; name=a||1|--B--|
              - a=1
            > --B|Content-Disposition: form-data; name=a||1|--B--
              - a=1
            > --B|Content-Disposition: form-data; name=a||1|--B-- |
              ! a=1\r\n--B--  ; multipart: bytes behind a boundary
            > --B|Content-Disposition: form-data; name=a||1|--B--|more
              ! a=1 ; MultipartDataAfter=1
            > less|--B|Content-Disposition: form-data; name=a||1|--B--|
              ! a=1 ; MultipartDataBefore=1
            > --B|Content-Disposition: form-data; name=a||1|--B|
              ! a=1 ; multipart: no final boundary
            > --B|Content-Disposition: form-data; name=a||1|
              ! a=1 ; multipart: no final boundary
            > Content-Disposition: form-data; name=a||1|
              ! MultipartDataBefore=1 ; multipart: no boundary in the body
            > --B--|
              - 
            > --B--
              ! MultipartDataBefore=1 ; multipart: bytes behind a boundary
            > 
              ! multipart: no boundary in the body
            > --B|Content-Disposition: form-data; name=a||1|--C|--B--|
              - a=1\r\n--C
            > --B|Content-Disposition: form-data; name=a||1|--C|--|---|--B--|
              - a=1\r\n--C\r\n--\r\n---
            > --B|Content-Disposition: form-data; name=a||1|--Bx--|--B--|
              ! a=1\r\n--Bx-- ; multipart: bytes behind a boundary
            > --B|Content-Disposition: form-data; name=a||1|--Bx--|
              ! a=1\r\n--Bx-- ; multipart: bytes behind a boundary
            > --B|Content-Disposition: form-data; name=a||1|-- B--|
              ! a=1\r\n-- B-- ; MultipartUnmatchedBoundary=1 ; multipart: whitespace before a boundary
            > --B|Content-Disposition: form-data; name=a||1| --B--|
              ! a=1\r\n --B-- ; MultipartUnmatchedBoundary=1 ; multipart: no final boundary
            > --B|Content-Disposition: form-data; name=a||--B--|
              ! a=--B-- ; MultipartInvalidPart=1 ; multipart: no final boundary
            > --B|--B--|
              ! MultipartInvalidPart=1 ; multipart: a header without a colon
            > --B|Content-Disposition: form-data; name=a||1~--B--|
              ! a=1 ; MultipartLfLine=1 ; MultipartCrlfLfLines=1
            > --B~Content-Disposition: form-data; name=a||1|--B--|
              ! a=1 ; MultipartLfLine=1 ; MultipartCrlfLfLines=1
            > --B|Content-Disposition: form-data; name=a||1|--B--~
              ! a=1 ; MultipartLfLine=1 ; MultipartCrlfLfLines=1
            > --B~Content-Disposition: form-data; name=a~~1~--B--~
              ! a=1 ; MultipartLfLine=1
            > --B|Content-Disposition: form-data; name=a|~1|--B--|
              ! a=1 ; MultipartLfLine=1 ; MultipartCrlfLfLines=1
        "#]],
    );
}

#[test]
fn headers() {
    let long = format!("X: {}", "x".repeat(4096));
    let many: Vec<_> = (0..32).map(|at| format!("X{at}: 1")).collect();
    let cases = [
        "X: 1",
        "X:1| 2|\t3",
        "X: 1|\x0b2",
        "X: 1| \x0c2",
        " 1",
        "X",
        ": 1",
        "X y: 1",
        "X\u{e9}: 1",
        "X: 1|x: 2",
        "X: \0",
        "X: 1| \0",
        "CONTENT-DISPOSITION: form-data; name=b",
        "LONG",
        "MANY",
    ];
    let run = |headers: &str| {
        let headers = headers.replace("LONG", &long).replace("MANY", &many.join("|"));
        let body = format!("--B|{headers}|Content-Disposition: form-data; name=a||1|--B--|");
        difference(FORM, &body)
    };
    differences(
        cases,
        run,
        &expect![[r#"
            > X: 1
              - MultipartPartHeaders a=X: 1 ; a=1
            > X:1| 2|\t3
              ! MultipartPartHeaders a=X: 1 2 3 ; a=1 ; MultipartHeaderFolding=1
            > X: 1|\u{b}2
              ! MultipartPartHeaders a=X: 1 2 ; a=1 ; MultipartHeaderFolding=1 ; MultipartInvalidHeaderFolding=1
            > X: 1| \u{c}2
              ! MultipartPartHeaders a=X: 1 2 ; a=1 ; MultipartHeaderFolding=1 ; MultipartInvalidHeaderFolding=1
            >  1
              ! MultipartHeaderFolding=1 ; multipart: a line that continues no header
            > X
              ! multipart: a header without a colon
            > : 1
              ! multipart: a header without a name
            > X y: 1
              ! MultipartPartHeaders =X y: 1 ; multipart: a character in the name of a header that may not be there
            > Xé: 1
              ! MultipartPartHeaders =Xé: 1 ; multipart: a character in the name of a header that may not be there
            > X: 1|x: 2
              ! multipart: a header twice
            > X: \0
              ! multipart: a null byte in a header
            > X: 1| \0
              ! MultipartHeaderFolding=1 ; multipart: a null byte in a header
            > CONTENT-DISPOSITION: form-data; name=b
              ! multipart: a header twice
            > LONG
              ! multipart: a header of more than 4096 bytes
            > MANY
              ! multipart: more than 32 headers
        "#]],
    );
    let told =
        difference(FORM, "--B|X: 1|Content-Disposition: form-data|\t; name=a||1|--B|||2|--B--|");
    expect!["! MultipartPartHeaders a=X: 1 ; a=1 ; MultipartHeaderFolding=1 ; multipart: a part without Content-Disposition"].assert_eq(&told);
}

#[test]
fn dispositions() {
    let cases = [
        "form-data; name=\"a\"",
        "form-data;name=a",
        "form-data ; name = a ",
        "form-data; name='a'",
        "form-data; name=\"a",
        "form-data; name=\"a\"b",
        "form-data; name=a'",
        "form-data; name=\"a'\"",
        "form-data; name=\"a\\\"\\\\\\x\"",
        "form-data; name=\"a\"; filename=\"C:\\x.txt\"",
        "form-data; name=\"a\"; filename=\"\"",
        "form-data; name=\"a\"; filename =\"x\"",
        "form-data; name=\"a\"; filename=\"x\"; filename*=UTF-8''%e4%BA%91.php",
        "form-data; name=\"a\"; filename*=UTF-8''x",
        "form-data; name=\"a\"; filename=x; filename*=''x",
        "form-data; name=\"a\"; filename=x; filename*=UTF-8'x",
        "form-data; name=\"a\"; filename=x; filename*=UTF-8''%4",
        "form-data; name=\"a\"; filename=x; filename*=UTF-8''(",
        "form-data; name=\"a\"; filename=x; filename*=U''x; filename*=U''y",
        "form-data; name=\"a\"; filename=x; filename=y",
        "form-data; name=\"a\"; name=\"b\"",
        "form-data; name=\"a\" filename=\"b\"",
        "form-data; name=\"a\";",
        "form-data; name=\"a\"; ",
        "form-data; name=\"\"",
        "form-data; name",
        "form-data; name=",
        "form-data; name=\"a\"; size=1",
        "form-data; Name=\"a\"",
        "form-data",
        "form-data name=a",
        "attachment; name=a",
        "",
    ];
    let run =
        |value: &str| difference(FORM, &format!("--B|Content-Disposition: {value}||1|--B--|"));
    differences(
        cases,
        run,
        &expect![[r#"
            > form-data; name=\"a\"
              - a=1
            > form-data;name=a
              - a=1
            > form-data ; name = a 
              - a=1
            > form-data; name=\'a\'
              ! a=1 ; MultipartInvalidQuoting=1
            > form-data; name=\"a
              ! MultipartInvalidQuoting=1 ; multipart: quotes without an end in Content-Disposition
            > form-data; name=\"a\"b
              ! MultipartInvalidQuoting=1 ; multipart: Content-Disposition lacks a semicolon
            > form-data; name=a\'
              ! MultipartName a\'=a\' ; MultipartPartHeaders a\'=Content-Disposition: form-data; name=a\' ; a\'=1 ; MultipartInvalidQuoting=1
            > form-data; name=\"a\'\"
              - MultipartName a\'=a\' ; MultipartPartHeaders a\'=Content-Disposition: form-data; name=\"a\'\" ; a\'=1
            > form-data; name=\"a\\\"\\\\\\x\"
              - MultipartName a\"\\\\x=a\"\\\\x ; MultipartPartHeaders a\"\\\\x=Content-Disposition: form-data; name=\"a\\\"\\\\\\x\" ; a\"\\\\x=1
            > form-data; name=\"a\"; filename=\"C:\\x.txt\"
              - MultipartFilename C:\\x.txt=C:\\x.txt ; Files a=C:\\x.txt ; FilesNames a=a ; FilesSizes a=1 ; FilesCombinedSize=1 ; FilesTmpContent a=1
            > form-data; name=\"a\"; filename=\"\"
              - MultipartFilename = ; a=1
            > form-data; name=\"a\"; filename =\"x\"
              ! MultipartFilename x=x ; multipart: space behind filename in Content-Disposition
            > form-data; name=\"a\"; filename=\"x\"; filename*=UTF-8\'\'%e4%BA%91.php
              - MultipartFilename x=x ; MultipartFilename 云.php=云.php ; Files a=x ; Files a=云.php ; FilesNames a=a ; FilesSizes a=1 ; FilesCombinedSize=1 ; FilesTmpContent a=1
            > form-data; name=\"a\"; filename*=UTF-8\'\'x
              ! MultipartFilename x=x ; multipart: Content-Disposition with filename* and no filename
            > form-data; name=\"a\"; filename=x; filename*=\'\'x
              ! MultipartFilename x=x ; multipart: filename* in Content-Disposition is not as RFC 8187 has it
            > form-data; name=\"a\"; filename=x; filename*=UTF-8\'x
              ! MultipartFilename x=x ; multipart: filename* in Content-Disposition is not as RFC 8187 has it
            > form-data; name=\"a\"; filename=x; filename*=UTF-8\'\'%4
              ! MultipartFilename x=x ; multipart: filename* in Content-Disposition is not as RFC 8187 has it
            > form-data; name=\"a\"; filename=x; filename*=UTF-8\'\'(
              ! MultipartFilename x=x ; multipart: filename* in Content-Disposition is not as RFC 8187 has it
            > form-data; name=\"a\"; filename=x; filename*=U\'\'x; filename*=U\'\'y
              ! MultipartFilename x=x ; MultipartFilename x=x ; MultipartFilename y=y ; multipart: filename* twice in Content-Disposition
            > form-data; name=\"a\"; filename=x; filename=y
              ! MultipartFilename x=x ; MultipartFilename y=y ; multipart: filename twice in Content-Disposition
            > form-data; name=\"a\"; name=\"b\"
              ! MultipartName b=b ; multipart: name twice in Content-Disposition
            > form-data; name=\"a\" filename=\"b\"
              ! MultipartInvalidQuoting=1 ; multipart: Content-Disposition lacks a semicolon
            > form-data; name=\"a\";
              - a=1
            > form-data; name=\"a\"; 
              ! multipart: a parameter of Content-Disposition without a value
            > form-data; name=\"\"
              ! MultipartName = ; multipart: Content-Disposition without a name
            > form-data; name
              ! multipart: a parameter of Content-Disposition without a value
            > form-data; name=
              ! multipart: a parameter of Content-Disposition without a value
            > form-data; name=\"a\"; size=1
              ! multipart: a parameter of Content-Disposition that is not known
            > form-data; Name=\"a\"
              ! multipart: a parameter of Content-Disposition that is not known
            > form-data
              ! multipart: Content-Disposition without a name
            > form-data name=a
              ! multipart: Content-Disposition lacks a semicolon
            > attachment; name=a
              ! multipart: Content-Disposition is not form-data
            > 
              ! multipart: Content-Disposition is not form-data
        "#]],
    );
}

#[test]
fn boundaries() {
    let cases = [
        ("multipart/form-data; boundary=B", "B"),
        ("Multipart/Form-Data;boundary=B", "B"),
        ("multipart/form-data; boundary=\"B c\"", "B c"),
        ("multipart/form-data; boundary=\"\"", ""),
        ("multipart/form-data; boundary=", ""),
        ("multipart/form-data; boundary=\"B", "B"),
        ("multipart/form-data; boundary=B\"", "B"),
        ("multipart/form-data; boundary=\"B\"; charset=\"x\"", "B"),
        ("multipart/form-data; boundary=B; charset=utf-8", "B"),
        ("multipart/form-data;boundary=boundaryB;charset=UTF-8", "boundaryB"),
        ("multipart/form-data; boundary=boundary; x=1", "boundary"),
        ("multipart/form-data; boundary=B; boundary=C", "B"),
        ("multipart/form-data; boundary=boundary", "boundary"),
        ("multipart/form-data; boundary=boundary=", "boundary="),
        ("multipart/form-data; boundary=B!", "B!"),
        ("multipart/form-data; boundary=\"B \"", "B "),
        ("multipart/form-data; boundary = B", " B"),
        ("multipart/form-data; boundaryx=B", "B"),
        ("multipart/form-data; boundary", "B"),
        ("multipart/form-data; Boundary=B", "B"),
        ("multipart/form-data boundary=B", "B"),
        ("multipart/form-data, boundary=B", "B"),
        ("multipart/form-data; charset=utf-8; boundary=B", "B"),
        ("multipart/form-data", "B"),
        ("multipart/mixed; boundary=B", "B"),
        ("", "B"),
    ];
    let run = |case: (&str, &str)| {
        let (content_type, boundary) = case;
        let body =
            format!("--{boundary}|Content-Disposition: form-data; name=a||1|--{boundary}--|");
        format!("> {content_type}\n  {}\n", difference(content_type, &body))
    };
    expect![[r#"
        > multipart/form-data; boundary=B
          - a=1
        > Multipart/Form-Data;boundary=B
          - a=1
        > multipart/form-data; boundary="B c"
          ! a=1 ; MultipartBoundaryQuoted=1
        > multipart/form-data; boundary=""
          ! MultipartBoundaryQuoted=1 ; multipart: the boundary is empty
        > multipart/form-data; boundary=
          ! multipart: the boundary is empty
        > multipart/form-data; boundary="B
          ! multipart: half a pair of quotes around the boundary
        > multipart/form-data; boundary=B"
          ! multipart: half a pair of quotes around the boundary
        > multipart/form-data; boundary="B"; charset="x"
          ! MultipartBoundaryQuoted=1 ; multipart: a character in the boundary that may not be there
        > multipart/form-data; boundary=B; charset=utf-8
          - a=1
        > multipart/form-data;boundary=boundaryB;charset=UTF-8
          - a=1
        > multipart/form-data; boundary=boundary; x=1
          - a=1
        > multipart/form-data; boundary=B; boundary=C
          ! multipart: more than one boundary in Content-Type
        > multipart/form-data; boundary=boundary
          - a=1
        > multipart/form-data; boundary=boundary=
          ! multipart: more than one boundary in Content-Type
        > multipart/form-data; boundary=B!
          ! multipart: a character in the boundary that may not be there
        > multipart/form-data; boundary="B "
          ! MultipartBoundaryQuoted=1 ; multipart: a character in the boundary that may not be there
        > multipart/form-data; boundary = B
          ! a=1 ; MultipartBoundaryWhitespace=1
        > multipart/form-data; boundaryx=B
          ! multipart: Content-Type has a parameter whose name begins with boundary
        > multipart/form-data; boundary
          ! multipart: no = behind boundary in Content-Type
        > multipart/form-data; Boundary=B
          ! multipart: capital letters in the name of the parameter boundary
        > multipart/form-data boundary=B
          ! a=1 ; MultipartMissingSemicolon=1
        > multipart/form-data, boundary=B
          ! multipart: Content-Type has more than a semicolon before its boundary
        > multipart/form-data; charset=utf-8; boundary=B
          ! multipart: Content-Type has more than a semicolon before its boundary
        > multipart/form-data
          ! multipart: no boundary in Content-Type
        > multipart/mixed; boundary=B
          ! multipart: Content-Type is not multipart/form-data
        > 
          ! multipart: Content-Type is not multipart/form-data
    "#]]
    .assert_eq(&cases.map(run).concat());
    let told = difference(&format!("{FORM}; {}", "x".repeat(1024)), "--B--|");
    assert_eq!(told, "! multipart: Content-Type is too long");
    let told = difference("multipart/form-data; boundary=\"B\"", "--\"B\"|--B--|");
    expect!["! MultipartBoundaryQuoted=1 ; MultipartDataBefore=1 ; MultipartUnmatchedBoundary=1 ; multipart: a boundary in quotes"].assert_eq(&told);
}

/// What is told grows as the body does, also where every line is read again for a reason of its own.
#[test]
fn told_bytes_grow_as_the_body_does() {
    let name = "n".repeat(4000);
    let header = format!("Content-Disposition: form-data; name={name}|");
    let headers: String = (0..30).map(|at| format!("{at}:|")).collect();
    let pieces = [
        "--B|Content-Disposition: form-data; name=a; filename=b||1|".to_owned(),
        format!("--B|{header}{headers}|1|"),
        "--B|Content-Disposition: form-data; name=a| ".to_owned(),
        "--B|".to_owned(),
        "--C|--B".to_owned(),
        "--".to_owned(),
        "~~ ~".to_owned(),
    ];
    for piece in pieces {
        let told = |count: usize| -> usize {
            let body = piece.repeat(count).replace('|', "\r\n").replace('~', "\n");
            tell(FORM, body.as_bytes()).iter().map(String::len).sum()
        };
        let (one, two) = (told(500), told(1000));
        assert!(two <= one * 2 + 1000, "{one} and then {two}: {piece}");
        assert!(two <= piece.len() * 1000 * 5 + (1 << 21), "{two}: {piece}");
    }
}

pub(super) fn piece() -> impl Strategy<Value = Vec<u8>> {
    let words = proptest::sample::select(vec![
        "--B",
        "--",
        "B",
        "\r\n",
        "\n",
        "\r",
        "\r\n\r\n",
        "Content-Disposition: form-data",
        "; name=\"a\"",
        "; name=",
        "; filename=\"x\"",
        "; filename*=UTF-8''%41",
        ";",
        "\"",
        "'",
        "\\",
        ":",
        " ",
        "\t",
        "\0",
        "X: 1",
    ]);
    prop_oneof![
        4 => words.prop_map(|word| word.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ]
}

proptest! {
    #[test]
    fn nothing_panics_and_a_sound_end_is_the_only_silence(
        pieces in proptest::collection::vec(piece(), 0..40),
        content_type in "multipart/form-data;? ?boundary ?=\"?[B'(;= ]{0,3}\"?",
    ) {
        let body = pieces.concat();
        tell(&content_type, &body);
        let lines = tell(FORM, &body);
        let is_strict = lines.iter().any(|line| line == "MultipartStrictError=1");
        let is_whole = body.ends_with(b"--B--\r\n") || body.ends_with(b"--B--") || body.ends_with(b"--B--\n");
        prop_assert!(is_strict || is_whole, "{lines:?}");
    }

    #[test]
    fn what_a_sound_sender_writes_is_read_back(
        fields in proptest::collection::vec(("[a-z\u{4e00}-\u{4e10} ]{1,6}", "[a-z\\-\r\n\u{4e00}]{0,12}"), 1..6),
    ) {
        let parts = fields.iter().map(|(name, value)| {
            format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        });
        let body = parts.collect::<String>() + "--B--\r\n";
        let lines = tell(FORM, body.as_bytes());
        for (name, value) in &fields {
            prop_assert!(lines.contains(&format!("{name}={value}")), "{lines:?}");
        }
        let is_strict = lines.iter().any(|line| line == "MultipartStrictError=1");
        let ends_bare = |value: &String| value.ends_with('\n') && !value.ends_with("\r\n");
        prop_assert!(!is_strict || fields.iter().any(|(_, value)| ends_bare(value)), "{lines:?}");
    }
}
