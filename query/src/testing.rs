//! Text in, text out: what the tests of this crate share.

use bson::oid::ObjectId;
use bson::{Binary, Bson, DateTime, Document, Regex, Timestamp};
use proptest::prelude::*;

use crate::budget::Budget;
use crate::ejson::{Mode, ReadOptions, read, read_document, write, write_document};
use crate::filter::Filter;

/// The server's time in all tests.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

pub(crate) fn doc(text: &str) -> Document {
    read_document(text.as_bytes(), &ReadOptions::at(NOW_MS))
        .unwrap_or_else(|error| panic!("{error} in {text}"))
}

pub(crate) fn value(text: &str) -> Bson {
    read(text.as_bytes(), &ReadOptions::at(NOW_MS))
        .unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// Whether the filter matches, with more budget than any test needs.
pub(crate) fn matches(filter: &Filter, document: &Document) -> bool {
    filter.matches(document, &Budget::default()).unwrap()
}

pub(crate) fn text(document: &Document) -> String {
    write_document(document, Mode::Relaxed)
}

pub(crate) fn value_text(value: &Bson) -> String {
    write(value, Mode::Relaxed)
}

/// Scalars of every type, with the values that are neighbours or equal across types.
pub(crate) fn any_scalar() -> BoxedStrategy<Bson> {
    let ints = prop_oneof![
        any::<i64>(),
        -3_i64..3,
        prop::sample::select(vec![
            i64::MIN,
            i64::MAX,
            1 << 53,
            (1 << 53) + 1,
            -(1 << 53) - 1,
            1 << 62,
            i64::MAX - 512
        ]),
    ];
    let doubles = prop_oneof![
        any::<f64>(),
        ints.clone().prop_map(|int| int as f64),
        prop::sample::select(vec![
            0.0,
            -0.0,
            0.5,
            -0.5,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MIN_POSITIVE,
            9.2e18
        ]),
    ];
    let strings = prop_oneof!["[ab\0]{0,4}", any::<String>(), "[\u{7f}-\u{ffff}😀]{0,3}"];
    prop_oneof![
        ints.clone().prop_map(Bson::Int64),
        any::<i32>().prop_map(Bson::Int32),
        (-3_i32..3).prop_map(Bson::Int32),
        doubles.prop_map(Bson::Double),
        (-30_i64..30, -2_i32..3).prop_map(|(digits, exponent)| decimal(digits, exponent)),
        strings.prop_map(Bson::String),
        any::<bool>().prop_map(Bson::Boolean),
        ints.prop_map(|ms| Bson::DateTime(DateTime::from_millis(ms))),
        any::<[u8; 12]>().prop_map(|bytes| Bson::ObjectId(ObjectId::from_bytes(bytes))),
        (any::<u8>(), prop::collection::vec(any::<u8>(), 0..4))
            .prop_map(|(subtype, bytes)| binary(subtype, bytes)),
        (0..3_u32, any::<u32>())
            .prop_map(|(time, increment)| Bson::Timestamp(Timestamp { time, increment })),
        ("[ab^]{0,3}", "i?m?").prop_map(|(pattern, options)| regex(&pattern, &options)),
        prop::sample::select(vec![
            Bson::Null,
            Bson::MinKey,
            Bson::MaxKey,
            Bson::JavaScriptCode("f".to_owned())
        ]),
    ]
    .boxed()
}

/// Any value: scalars, and documents and arrays of a few levels.
pub(crate) fn any_value() -> BoxedStrategy<Bson> {
    any_scalar()
        .prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Bson::Array),
                prop::collection::vec(("[abc]{1,2}", inner), 0..4)
                    .prop_map(|fields| Bson::Document(fields.into_iter().collect())),
            ]
        })
        .boxed()
}

/// Documents whose fields are `a`, `b`, `c` and their like, so that paths and filters meet something.
pub(crate) fn any_document() -> BoxedStrategy<Document> {
    prop::collection::vec(("[abc]", any_value()), 0..4)
        .prop_map(|fields| fields.into_iter().collect())
        .boxed()
}

fn decimal(digits: i64, exponent: i32) -> Bson {
    Bson::Decimal128(format!("{digits}E{exponent}").parse().unwrap())
}

fn binary(subtype: u8, bytes: Vec<u8>) -> Bson {
    // The second subtype stores its length twice, which no client writes any more.
    let subtype = if subtype == 2 { 0 } else { subtype };
    Bson::Binary(Binary { subtype: subtype.into(), bytes })
}

fn regex(pattern: &str, options: &str) -> Bson {
    Bson::RegularExpression(Regex {
        pattern: pattern.try_into().unwrap(),
        options: options.try_into().unwrap(),
    })
}

/// Asserts that the page on documents names all of these in its section, in both languages.
pub(crate) fn check_documented(section: &str, names: &[&str]) {
    let english = include_str!("../../docs/documents.md");
    let chinese = include_str!("../../docs/documents.zh-CN.md");
    for (page, text) in [("documents.md", english), ("documents.zh-CN.md", chinese)] {
        let (_, rest) = text.split_once(&format!("<!-- {section}: start -->")).unwrap();
        let (text, _) = rest.split_once(&format!("<!-- {section}: end -->")).unwrap();
        let is_missing = |name: &&&str| !text.contains(&format!("`{name}`"));
        let missing: Vec<_> = names.iter().filter(is_missing).collect();
        assert!(missing.is_empty(), "docs/{page} does not name {missing:?} among its {section}");
    }
}
