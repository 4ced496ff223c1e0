//! The cases of RFC 9110, and what users of other file servers reported.

use super::*;

/// The date of the representation that is asked for, and its neighbours.
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

/// Ten bytes with a tag and a date that has a fraction of a second, as file systems tell it.
fn ten() -> Representation {
    Representation {
        etag: Some(HeaderValue::from_static("\"a,b\"")),
        last_modified: Some(UNIX_EPOCH + Duration::from_millis(784_111_777_600)),
        media_type: HeaderValue::from_static("text/plain"),
        length: 10,
    }
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let line = |(name, text): &(&'static str, &str)| {
        (HeaderName::from_static(name), HeaderValue::from_bytes(text.as_bytes()).unwrap())
    };
    let mut headers = HeaderMap::new();
    for (name, value) in lines.iter().map(line) {
        headers.append(name, value);
    }
    headers
}

/// `200`, `206 2-4`, `304`, `412` or `416`.
fn said(selection: &Selection) -> String {
    match selection {
        Selection::Part(range) => format!("206 {}-{}", range.start, range.end - 1),
        other => other.status().as_str().to_owned(),
    }
}

fn get(what: &Representation, lines: &[(&'static str, &str)]) -> String {
    said(&what.select(&Method::GET, &headers(lines)))
}

#[test]
fn a_range_selects_bytes_as_rfc_9110_says() {
    for (range, expected) in [
        ("bytes=0-4", "206 0-4"),
        ("bytes=9-9", "206 9-9"),
        ("bytes=0-0", "206 0-0"),
        ("bytes=0-", "206 0-9"),
        ("bytes=9-", "206 9-9"),
        ("bytes=-1", "206 9-9"),
        ("bytes=-10", "206 0-9"),
        // Longer than there is: what there is.
        ("bytes=-11", "206 0-9"),
        ("bytes=5-99", "206 5-9"),
        ("bytes=0-3145727", "206 0-9"),
        // Behind the end, or nothing of it.
        ("bytes=10-", "416"),
        ("bytes=10-20", "416"),
        ("bytes=-0", "416"),
        ("bytes=10-,20-30,-0", "416"),
        // Units are without case (section 14.1); other units are not known.
        ("Bytes=2-4", "206 2-4"),
        ("items=0-4", "200"),
        ("none", "200"),
    ] {
        assert_eq!(get(&ten(), &[("range", range)]), expected, "{range}");
    }
}

#[test]
fn a_range_that_is_malformed_is_none() {
    for range in [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=--1",
        "bytes=1",
        "bytes=4-2",
        "bytes=a-4",
        "bytes=0-b",
        "bytes=0x0-4",
        "bytes=+1-2",
        "bytes=1-+2",
        "bytes=1 -2",
        "bytes=1- 2",
        "bytes =0-4",
        "bytes: 0-4",
        "0-4",
        "bytes=0-4-6",
        "bytes=0-4;",
        "bytes=0-4,x",
        "bytes=0.5-4",
        "bytes=１-2",
        "bytes=0-4, 4-2",
        "bytes=0-4\u{a0}",
    ] {
        assert_eq!(get(&ten(), &[("range", range)]), "200", "{range:?}");
    }
}

#[test]
fn numbers_without_room_are_large() {
    let huge = "18446744073709551616";
    for (range, expected) in [
        (format!("bytes=0-{huge}"), "206 0-9"),
        (format!("bytes=-{huge}"), "206 0-9"),
        (format!("bytes={huge}-"), "416"),
        (format!("bytes={huge}-{huge}0"), "416"),
        (format!("bytes=0-{}", u64::MAX), "206 0-9"),
        (format!("bytes={}-{}", u64::MAX, u64::MAX), "416"),
        (format!("bytes=00000000000000000000000000001-{huge}"), "206 1-9"),
    ] {
        assert_eq!(get(&ten(), &[("range", &range)]), expected, "{range}");
    }
    let largest = Representation { length: u64::MAX, ..ten() };
    let end = format!("206 {}-{}", u64::MAX - 1, u64::MAX - 1);
    for range in [format!("bytes={}-", u64::MAX - 1), "bytes=-1".to_owned()] {
        assert_eq!(get(&largest, &[("range", &range)]), end, "{range}");
    }
}

#[test]
fn several_ranges_are_one_where_they_touch_and_everything_where_they_do_not() {
    let many = "0-0,".repeat(RANGES_MAX);
    let too_many = format!("{many}0-0");
    for (set, expected) in [
        ("0-4,5-9", "206 0-9"),
        ("0-4 , 3-6", "206 0-6"),
        ("5-9,0-4", "206 0-9"),
        ("0-9,2-3", "206 0-9"),
        (", 2-3 ,\t,", "206 2-3"),
        ("0-1,20-30", "206 0-1"),
        ("0-1,-1", "200"),
        ("0-0,2-2,4-4", "200"),
        (&many, "206 0-0"),
        (&too_many, "200"),
    ] {
        assert_eq!(get(&ten(), &[("range", &format!("bytes={set}"))]), expected, "{set}");
    }
    let twice = [("range", "bytes=0-1"), ("range", "bytes=0-1")];
    assert_eq!(get(&ten(), &twice), "200", "a field that may stand once");
}

#[test]
fn nothing_is_nothing_whatever_range_is_asked_for() {
    let empty = Representation { length: 0, ..ten() };
    for range in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "bytes=5-"] {
        assert_eq!(get(&empty, &[("range", range)]), "200", "{range}");
    }
    let response = empty.respond(&Method::GET, &HeaderMap::new(), |_| panic!("nothing to open"));
    assert_eq!(response.unwrap().headers()[header::CONTENT_LENGTH], "0");
}

#[test]
fn if_range_names_exactly_what_the_client_has() {
    let weak = Representation { etag: Some(HeaderValue::from_static("W/\"a,b\"")), ..ten() };
    let plain = Representation { etag: None, last_modified: None, ..ten() };
    for (what, validator, expected) in [
        (ten(), "\"a,b\"", "206 2-4"),
        (ten(), "W/\"a,b\"", "200"),
        (weak.clone(), "W/\"a,b\"", "200"),
        (weak.clone(), "\"a,b\"", "200"),
        (ten(), "\"a\"", "200"),
        (ten(), "\"a,b\", \"c\"", "200"),
        (ten(), "*", "200"),
        (ten(), "", "200"),
        (ten(), MODIFIED, "206 2-4"),
        (weak, MODIFIED, "206 2-4"),
        (ten(), "Sunday, 06-Nov-94 08:49:37 GMT", "206 2-4"),
        (ten(), "Sun Nov  6 08:49:37 1994", "206 2-4"),
        // A date is not "since": any other one is another state.
        (ten(), BEFORE, "200"),
        (ten(), AFTER, "200"),
        (plain.clone(), "\"a,b\"", "200"),
        (plain, MODIFIED, "200"),
    ] {
        let lines = [("range", "bytes=2-4"), ("if-range", validator)];
        assert_eq!(get(&what, &lines), expected, "{validator}");
    }
    let twice = [("range", "bytes=2-4"), ("if-range", MODIFIED), ("if-range", MODIFIED)];
    assert_eq!(get(&ten(), &twice), "200");
    let behind = [("range", "bytes=20-"), ("if-range", "\"other\"")];
    assert_eq!(get(&ten(), &behind), "200", "a range that does not count is not refused");
    assert_eq!(get(&ten(), &[("if-range", "\"other\"")]), "200");
}

#[test]
fn one_condition_is_evaluated() {
    for (name, text, expected) in [
        ("if-none-match", "\"a,b\"", "304"),
        ("if-none-match", "W/\"a,b\"", "304"),
        ("if-none-match", "*", "304"),
        ("if-none-match", "\"x\", W/\"a,b\" ,\"y\"", "304"),
        ("if-none-match", ",\"\",,\"a,b\"", "304"),
        ("if-none-match", "\"x\"", "200"),
        ("if-none-match", "\"a\", \"b\"", "200"),
        ("if-none-match", "a,b", "200"),
        ("if-none-match", "w/\"a,b\"", "200"),
        ("if-none-match", "\"a,b", "200"),
        ("if-none-match", "\"x\", *", "200"),
        ("if-none-match", "", "200"),
        ("if-match", "\"a,b\"", "200"),
        ("if-match", "*", "200"),
        ("if-match", "\"x\", \"a,b\"", "200"),
        ("if-match", "W/\"a,b\"", "412"),
        ("if-match", "\"x\"", "412"),
        ("if-match", "a,b", "412"),
        ("if-match", "", "412"),
        ("if-modified-since", BEFORE, "200"),
        ("if-modified-since", MODIFIED, "304"),
        ("if-modified-since", AFTER, "304"),
        ("if-modified-since", "yesterday", "200"),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 +0800", "200"),
        ("if-modified-since", "", "200"),
        ("if-unmodified-since", BEFORE, "412"),
        ("if-unmodified-since", MODIFIED, "200"),
        ("if-unmodified-since", AFTER, "200"),
        ("if-unmodified-since", "0", "200"),
    ] {
        assert_eq!(get(&ten(), &[(name, text)]), expected, "{name}: {text}");
    }
    let lines = [("if-none-match", "\"x\""), ("if-none-match", "\"a,b\"")];
    assert_eq!(get(&ten(), &lines), "304", "lines are one list");
    let twice = [("if-modified-since", AFTER), ("if-modified-since", AFTER)];
    assert_eq!(get(&ten(), &twice), "200");
}

#[test]
fn conditions_are_evaluated_in_their_order() {
    for (lines, expected) in [
        // A tag says more than a date, whether it is the same or not.
        ([("if-none-match", "\"x\""), ("if-modified-since", AFTER)], "200"),
        ([("if-none-match", "x"), ("if-modified-since", AFTER)], "200"),
        ([("if-none-match", "\"a,b\""), ("if-modified-since", BEFORE)], "304"),
        ([("if-match", "\"a,b\""), ("if-unmodified-since", BEFORE)], "200"),
        ([("if-match", "\"x\""), ("if-unmodified-since", AFTER)], "412"),
        // What must hold is asked before what is known, and both before the range.
        ([("if-match", "\"x\""), ("if-none-match", "\"a,b\"")], "412"),
        ([("if-match", "\"a,b\""), ("if-none-match", "\"a,b\"")], "304"),
        ([("if-unmodified-since", BEFORE), ("if-none-match", "\"a,b\"")], "412"),
        ([("range", "bytes=0-1"), ("if-none-match", "\"a,b\"")], "304"),
        ([("range", "bytes=20-"), ("if-none-match", "\"a,b\"")], "304"),
        ([("range", "bytes=20-"), ("if-match", "\"x\"")], "412"),
        ([("range", "bytes=0-1"), ("if-none-match", "\"x\"")], "206 0-1"),
        ([("range", "bytes=0-1"), ("if-modified-since", AFTER)], "304"),
    ] {
        assert_eq!(get(&ten(), &lines), expected, "{lines:?}");
    }
}

#[test]
fn what_has_no_validator_is_always_served() {
    let plain = Representation { etag: None, last_modified: None, ..ten() };
    for (name, text, expected) in [
        ("if-none-match", "\"a,b\"", "200"),
        ("if-none-match", "*", "304"),
        ("if-match", "\"a,b\"", "412"),
        ("if-match", "*", "200"),
        ("if-modified-since", AFTER, "200"),
        ("if-unmodified-since", BEFORE, "200"),
    ] {
        assert_eq!(get(&plain, &[(name, text)]), expected, "{name}: {text}");
    }
}

#[test]
fn methods_other_than_get_know_no_ranges_and_writes_no_304() {
    let ask = |method: Method, lines: &[(&'static str, &str)]| {
        said(&ten().select(&method, &headers(lines)))
    };
    assert_eq!(ask(Method::HEAD, &[("range", "bytes=2-4")]), "200");
    assert_eq!(ask(Method::HEAD, &[("range", "bytes=20-")]), "200");
    assert_eq!(ask(Method::HEAD, &[("if-none-match", "\"a,b\"")]), "304");
    assert_eq!(ask(Method::HEAD, &[("if-modified-since", MODIFIED)]), "304");
    assert_eq!(ask(Method::PUT, &[("if-none-match", "*")]), "412");
    assert_eq!(ask(Method::PUT, &[("if-match", "\"x\"")]), "412");
    assert_eq!(ask(Method::PUT, &[("if-match", "\"a,b\"")]), "200");
    assert_eq!(ask(Method::PUT, &[("if-modified-since", AFTER)]), "200");
    assert_eq!(ask(Method::PUT, &[("range", "bytes=2-4")]), "200");
}

/// Status, fields in their order, and the bytes that were opened.
fn answered(what: &Representation, method: &Method, lines: &[(&'static str, &str)]) -> String {
    let mut opened = String::from("nothing opened");
    let response = what.respond(method, &headers(lines), |range| {
        opened = format!("opened {range:?}");
        Ok(Body::from("0123456789".get(range.start as usize..range.end as usize).unwrap()))
    });
    let (head, _) = response.unwrap().into_parts();
    let mut fields: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    fields.sort();
    format!("{}, {opened}\n{}\n", head.status.as_str(), fields.join("\n"))
}

#[test]
fn answers_carry_the_fields_that_belong_to_their_status() {
    let undated = Representation { last_modified: None, ..ten() };
    let untagged = Representation { etag: None, ..ten() };
    let log = [
        answered(&ten(), &Method::GET, &[]),
        answered(&ten(), &Method::HEAD, &[("range", "bytes=2-4")]),
        answered(&undated, &Method::GET, &[("range", "bytes=2-4")]),
        answered(&ten(), &Method::GET, &[("range", "bytes=10-")]),
        answered(&ten(), &Method::GET, &[("if-none-match", "*")]),
        answered(&untagged, &Method::GET, &[("if-modified-since", AFTER)]),
        answered(&ten(), &Method::GET, &[("if-match", "\"x\"")]),
    ];
    expect_test::expect![[r#"
        200, opened 0..10
        accept-ranges: bytes
        content-length: 10
        content-type: text/plain
        etag: "a,b"
        last-modified: Sun, 06 Nov 1994 08:49:37 GMT

        200, nothing opened
        accept-ranges: bytes
        content-length: 10
        content-type: text/plain
        etag: "a,b"
        last-modified: Sun, 06 Nov 1994 08:49:37 GMT

        206, opened 2..5
        accept-ranges: bytes
        content-length: 3
        content-range: bytes 2-4/10
        content-type: text/plain
        etag: "a,b"

        416, nothing opened
        accept-ranges: bytes
        content-length: 0
        content-range: bytes */10

        304, nothing opened
        etag: "a,b"

        304, nothing opened
        last-modified: Sun, 06 Nov 1994 08:49:37 GMT

        412, nothing opened
        content-length: 0
    "#]]
    .assert_eq(&log.join("\n"));
}

#[test]
fn a_date_that_http_cannot_write_is_not_written() {
    let before = UNIX_EPOCH - Duration::from_secs(1);
    let after = UNIX_EPOCH + Duration::from_secs(UNIX_S_END);
    for date in [before, after] {
        let what = Representation { last_modified: Some(date), ..ten() };
        let response = what.respond(&Method::HEAD, &HeaderMap::new(), |_| panic!("HEAD")).unwrap();
        assert!(!response.headers().contains_key(header::LAST_MODIFIED));
    }
}

#[test]
fn an_error_of_opening_is_the_answer() {
    let failed =
        ten().respond(&Method::GET, &HeaderMap::new(), |_| Err(crate::Error::internal("gone")));
    assert_eq!(failed.unwrap_err().kind(), crate::Kind::Internal);
}
