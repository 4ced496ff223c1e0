//! Extended JSON: text in, text out.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::wrapper::Wrapper;
use super::{Mode, ReadOptions, read, read_document, write, write_document, write_raw_document};
use crate::testing::{NOW_MS, any_document, value};

/// What each line of `input` becomes in `mode`, or why it is refused.
fn check(mode: Mode, input: &str, expected: &Expect) {
    let lines = input.lines().map(str::trim).filter(|line| !line.is_empty());
    let outputs = lines.map(|line| match read(line.as_bytes(), &ReadOptions::at(NOW_MS)) {
        Ok(value) => write(&value, mode) + "\n",
        Err(error) => format!("{:?}: {error}\n", error.kind),
    });
    expected.assert_eq(&outputs.collect::<String>());
}

#[test]
fn plain_json() {
    check(
        Mode::Canonical,
        r#"
        [1, -1, 0, -0, 2147483647, 2147483648, -2147483649]
        [9223372036854775807, 9223372036854775808, 1.0, -0.0, 1e3, 1.5E-7]
        [true, false, null, "", "汉字 \u6c49 \ud83d\ude00 \n\"\\\/\b\f\r\t\u0001"]
        { "a" : { "b" : [ ] , "c" : { } } , "" : 1 }
        ["\ud83d", "\ud83dx", "\ude00", "\ud83d\u0041", "\ud83d\ud83d\ude00"]
        "#,
        &expect![[r#"
            [{"$numberInt":"1"},{"$numberInt":"-1"},{"$numberInt":"0"},{"$numberInt":"0"},{"$numberInt":"2147483647"},{"$numberLong":"2147483648"},{"$numberLong":"-2147483649"}]
            [{"$numberLong":"9223372036854775807"},{"$numberDouble":"9.223372036854776e18"},{"$numberDouble":"1.0"},{"$numberDouble":"-0.0"},{"$numberDouble":"1000.0"},{"$numberDouble":"1.5e-7"}]
            [true,false,null,"","汉字 汉 😀 \n\"\\/\u0008\u000c\r\t\u0001"]
            {"a":{"b":[],"c":{}},"":{"$numberInt":"1"}}
            ["�","�x","�","�A","�😀"]
        "#]],
    );
}

#[test]
fn broken_json() {
    check(
        Mode::Canonical,
        r#"
        {
        {"a"
        {"a":
        {"a":1
        {"a":1,
        {"a":1,}
        {a:1}
        {"a":1 "b":2}
        [1,]
        [1 2]
        nul
        truth
        01
        1.
        .5
        +1
        -
        1e
        1e999
        0x10
        "abc
        "\x"
        "\u12g4"
        "\u12
        {"a\u0000b":1}
        {"a":1,"a":2}
        {} {}
        'a'
        NaN
        "#,
        &expect![[r#"
            Malformed: expected '"', at byte 1
            Malformed: expected ':', at byte 4
            Malformed: unexpected end of text, at byte 5
            Malformed: expected ',' or '}', at byte 6
            Malformed: expected '"', at byte 7
            Malformed: expected '"', at byte 7
            Malformed: expected '"', at byte 1
            Malformed: expected ',' or '}', at byte 7
            Malformed: expected a value, at byte 3
            Malformed: expected ',' or ']', at byte 3
            Malformed: expected a value, at byte 0
            Malformed: expected a value, at byte 0
            Malformed: more text after the value, at byte 1
            Malformed: expected a digit, at byte 2
            Malformed: expected a value, at byte 0
            Malformed: expected a value, at byte 0
            Malformed: expected a digit, at byte 1
            Malformed: expected a digit, at byte 2
            Malformed: number out of range, at byte 5
            Malformed: more text after the value, at byte 1
            Malformed: unterminated string, at byte 4
            Malformed: unknown escape in a string, at byte 2
            Malformed: \u needs four hexadecimal digits, at byte 3
            Malformed: \u needs four hexadecimal digits, at byte 3
            Malformed: a key contains NUL, at byte 11
            Malformed: a key occurs twice in one object, at byte 12
            Malformed: more text after the value, at byte 3
            Malformed: expected a value, at byte 0
            Malformed: expected a value, at byte 0
        "#]],
    );
}

#[test]
fn typed_values_read_in_every_form_and_write_canonically() {
    check(
        Mode::Canonical,
        r#"
        {"$oid":"507f1f77bcf86cd799439011"}
        [{"$numberInt":"-7"},{"$numberLong":"7"},{"$numberDouble":"7"},{"$numberDouble":"-Infinity"},{"$numberDouble":"NaN"}]
        [{"$numberDecimal":"1.50"},{"$numberDecimal":"-1E+3"},{"$numberDecimal":"NaN"},{"$numberDecimal":"-Infinity"}]
        [{"$date":{"$numberLong":"-1"}},{"$date":"2018-08-31T17:30:00.882Z"},{"$date":"2018-08-31T17:30:00+08:00"}]
        [{"$date":1535736600882},{"$date":1535736600882.9},{"$date":{"$numberInt":"5"}}]
        [{"$date":{"offset":1000}},{"$date":{"offset":{"$numberInt":"-1000"}}},{"$date":{}}]
        [{"$tcb_server_date":{"offset":{"$numberInt":"0"}}},{"$tcb_server_date":{"offset":5}},{"$tcb_server_date":{}}]
        {"$regularExpression":{"options":"mi","pattern":"^a/b"}}
        [{"$regex":"^a","$options":"i"},{"$options":"i","$regex":"^a"}]
        [{"$binary":{"subType":"4","base64":"AQI="}},{"$binary":"AQI=","$type":"80"}]
        {"$uuid":"73ffd264-44b3-4c69-90e8-e7d1dfc035d4"}
        {"$timestamp":{"t":4294967295,"i":1}}
        [{"$minKey":1},{"$maxKey":1},{"$undefined":true},{"$symbol":"s"}]
        [{"$code":"f()"},{"$code":"f()","$scope":{"a":{"$numberInt":"1"}}}]
        "#,
        &expect![[r#"
            {"$oid":"507f1f77bcf86cd799439011"}
            [{"$numberInt":"-7"},{"$numberLong":"7"},{"$numberDouble":"7.0"},{"$numberDouble":"-Infinity"},{"$numberDouble":"NaN"}]
            [{"$numberDecimal":"1.50"},{"$numberDecimal":"-1E+3"},{"$numberDecimal":"NaN"},{"$numberDecimal":"-Infinity"}]
            [{"$date":{"$numberLong":"-1"}},{"$date":{"$numberLong":"1535736600882"}},{"$date":{"$numberLong":"1535707800000"}}]
            [{"$date":{"$numberLong":"1535736600882"}},{"$date":{"$numberLong":"1535736600882"}},{"$date":{"$numberLong":"5"}}]
            [{"$date":{"$numberLong":"1700000001000"}},{"$date":{"$numberLong":"1699999999000"}},{"$date":{"$numberLong":"1700000000000"}}]
            [{"$date":{"$numberLong":"1700000000000"}},{"$date":{"$numberLong":"1700000000005"}},{"$date":{"$numberLong":"1700000000000"}}]
            {"$regularExpression":{"pattern":"^a/b","options":"im"}}
            [{"$regex":"^a","$options":"i"},{"$options":"i","$regex":"^a"}]
            [{"$binary":{"base64":"AQI=","subType":"04"}},{"$binary":{"base64":"AQI=","subType":"80"}}]
            {"$binary":{"base64":"c//SZESzTGmQ6OfR38A11A==","subType":"04"}}
            {"$timestamp":{"t":4294967295,"i":1}}
            [{"$minKey":1},{"$maxKey":1},null,"s"]
            [{"$code":"f()"},{"$code":"f()","$scope":{"a":{"$numberInt":"1"}}}]
        "#]],
    );
}

#[test]
fn typed_values_that_are_none() {
    check(
        Mode::Canonical,
        r#"
        {"$oid":"507f1f77bcf86cd79943901"}
        {"$oid":1}
        {"$oid":"507f1f77bcf86cd799439011","a":1}
        {"a":1,"$oid":"507f1f77bcf86cd799439011"}
        {"$numberInt":"2147483648"}
        {"$numberInt":1}
        {"$numberLong":"1.5"}
        {"$numberDouble":"inf"}
        {"$numberDouble":"1e999"}
        {"$numberDecimal":"1e-170141183460469231731687303715884105728"}
        {"$numberDecimal":"--1"}
        {"$numberDecimal":"."}
        {"$numberDecimal":"e5"}
        {"$date":"yesterday"}
        {"$date":true}
        {"$date":{"offset":1,"x":2}}
        {"$date":1e300}
        {"$tcb_server_date":1}
        {"$tcb_server_date":{"offset":"1"}}
        {"$regularExpression":{"pattern":"a\u0000","options":""}}
        {"$regularExpression":{"pattern":"a"}}
        {"$binary":{"base64":"!","subType":"00"}}
        {"$binary":"AQI=","$kind":"00"}
        {"$timestamp":{"t":-1,"i":1}}
        {"$minKey":2}
        {"$undefined":false}
        {"$code":"f()","$scope":1}
        {"$dbPointer":{"$ref":"a","$id":{"$oid":"507f1f77bcf86cd799439011"}}}
        "#,
        &expect![[r#"
            Malformed: invalid content of $oid, at byte 33
            Malformed: $oid needs a string, at byte 8
            Malformed: $oid must be the only key of its object, at byte 35
            Malformed: $oid must be the only key of its object, at byte 14
            Malformed: invalid content of $numberInt, at byte 26
            Malformed: $numberInt needs a string, at byte 14
            Malformed: invalid content of $numberLong, at byte 20
            Malformed: invalid content of $numberDouble, at byte 22
            Malformed: invalid content of $numberDouble, at byte 24
            Malformed: invalid content of $numberDecimal, at byte 62
            Malformed: invalid content of $numberDecimal, at byte 23
            Malformed: invalid content of $numberDecimal, at byte 21
            Malformed: invalid content of $numberDecimal, at byte 22
            Malformed: invalid content of $date, at byte 20
            Malformed: invalid content of $date, at byte 13
            Malformed: invalid content of $date, at byte 27
            Malformed: invalid content of $date, at byte 14
            Malformed: invalid content of $tcb_server_date, at byte 21
            Malformed: invalid content of $tcb_server_date, at byte 34
            Malformed: invalid content of $regularExpression, at byte 56
            Malformed: invalid content of $regularExpression, at byte 37
            Malformed: invalid content of $binary, at byte 40
            Malformed: expected $type after $binary, at byte 26
            Malformed: invalid content of $timestamp, at byte 28
            Malformed: invalid content of $minKey, at byte 12
            Malformed: invalid content of $undefined, at byte 19
            Malformed: $scope needs an object, at byte 25
            Malformed: $dbPointer is not supported, at byte 14
        "#]],
    );
}

const SAMPLE: &str = r#"[1,{"$numberLong":"2"},3.0,3.5,{"$numberDouble":"-0.0"},{"$numberDouble":"1e300"},{"$numberDouble":"NaN"},
    {"$date":5},{"$date":-5},{"$date":1535736600882},{"$date":253402300800000},
    {"$oid":"507f1f77bcf86cd799439011"},{"$regularExpression":{"pattern":"a","options":""}}]"#;

#[test]
fn relaxed_writes_plain_numbers_and_iso_dates() {
    let expected = expect![[
        r#"[1,2,3.0,3.5,-0.0,1e300,{"$numberDouble":"NaN"},{"$date":"1970-01-01T00:00:00.005Z"},{"$date":{"$numberLong":"-5"}},{"$date":"2018-08-31T17:30:00.882Z"},{"$date":{"$numberLong":"253402300800000"}},{"$oid":"507f1f77bcf86cd799439011"},{"$regularExpression":{"pattern":"a","options":""}}]"#
    ]];
    expected.assert_eq(&write(&value(SAMPLE), Mode::Relaxed));
}

#[test]
fn client_writes_numbers_as_javascript_does_and_dates_in_milliseconds() {
    let expected = expect![[
        r#"[1,2,3,3.5,-0.0,1e300,{"$numberDouble":"NaN"},{"$date":5},{"$date":-5},{"$date":1535736600882},{"$date":253402300800000},{"$oid":"507f1f77bcf86cd799439011"},{"$regularExpression":{"pattern":"a","options":""}}]"#
    ]];
    expected.assert_eq(&write(&value(SAMPLE), Mode::Client));
}

#[test]
fn bounds_are_kept() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let options = ReadOptions::at(NOW_MS);
    let kind = |text: &str, options: &ReadOptions| {
        read(text.as_bytes(), options).err().map(|error| error.to_string())
    };
    assert_eq!(kind(&nested(100), &options), None);
    assert_eq!(kind(&nested(101), &options).as_deref(), Some("text nests too deep, at byte 100"));
    assert_eq!(kind(&nested(200), &options).as_deref(), Some("text nests too deep, at byte 100"));
    let wrapped = format!("{}1{}", r#"{"$date":"#.repeat(200), "}".repeat(200));
    assert_eq!(kind(&wrapped, &options).as_deref(), Some("text nests too deep, at byte 900"));
    let few = ReadOptions { values_max: 3, ..ReadOptions::at(NOW_MS) };
    assert_eq!(kind("[1,2]", &few), None);
    assert_eq!(kind("[1,2,3]", &few).as_deref(), Some("text holds too many values, at byte 5"));
    let short = ReadOptions { bytes_max: 4, ..ReadOptions::at(NOW_MS) };
    assert_eq!(kind("[1,2]", &short).as_deref(), Some("text is longer than 4 bytes"));
}

#[test]
fn only_documents_are_documents() {
    let read = |text: &str| {
        read_document(text.as_bytes(), &ReadOptions::at(NOW_MS)).map_err(|error| error.to_string())
    };
    assert_eq!(read("[]"), Err("expected an object".to_owned()));
    assert_eq!(read(r#"{"$minKey":1}"#), Err("expected an object".to_owned()));
    assert!(read("{}").unwrap().is_empty());
}

#[test]
fn text_that_is_not_utf8_is_refused_at_its_byte() {
    let error = read(b"{\"a\":\"\xff\"}", &ReadOptions::at(NOW_MS)).unwrap_err();
    assert_eq!(error.to_string(), "text is not UTF-8, at byte 6");
}

#[test]
fn every_wrapper_knows_its_own_name() {
    for name in
        ["$oid", "$numberInt", "$date", "$tcb_server_date", "$uuid", "$symbol", "$dbPointer"]
    {
        assert_eq!(Wrapper::named(name).unwrap().name(), name);
    }
}

#[test]
fn stored_bytes_that_are_not_bson_are_an_error() {
    let mut bytes = crate::testing::doc(r#"{"a":"text"}"#).to_vec().unwrap();
    bytes[4] = 0x77;
    assert!(write_raw_document(&bytes, Mode::Client).is_err());
    assert!(write_raw_document(b"", Mode::Client).is_err());
}

proptest! {
    #[test]
    fn canonical_text_reads_back_as_the_same_document(document in any_document()) {
        let text = write_document(&document, Mode::Canonical);
        let back = read_document(text.as_bytes(), &ReadOptions::at(NOW_MS)).unwrap();
        // Bytes, because NaN does not equal itself and the order of fields counts.
        prop_assert_eq!(back.to_vec().unwrap(), document.to_vec().unwrap());
    }

    #[test]
    fn stored_bytes_write_like_the_document(document in any_document()) {
        let bytes = document.to_vec().unwrap();
        for mode in [Mode::Canonical, Mode::Relaxed, Mode::Client] {
            prop_assert_eq!(write_raw_document(&bytes, mode).unwrap(), write_document(&document, mode));
        }
    }

    #[test]
    fn every_mode_writes_what_can_be_read(document in any_document()) {
        for mode in [Mode::Relaxed, Mode::Client] {
            let text = write_document(&document, mode);
            prop_assert!(read_document(text.as_bytes(), &ReadOptions::at(NOW_MS)).is_ok(), "{}", text);
        }
    }

    #[test]
    fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes, &ReadOptions::at(NOW_MS));
    }

    #[test]
    fn reading_what_looks_like_json_never_panics(text in r#"([\[\]{},:"\\]|\$(date|oid|numberInt|binary|type)|offset|[0-9eE.+-]|\\u[dD][89a-f]00|null){0,40}"#) {
        let _ = read(text.as_bytes(), &ReadOptions::at(NOW_MS));
    }
}
