//! The page on documents names operators; each of them is one, and those that it calls refused are.

use yunzhan_query::ejson::{ReadOptions, read_document};
use yunzhan_query::expression::{self, Expression};
use yunzhan_query::pipeline::{self, Pipeline};
use yunzhan_query::{Bson, Document, Filter, Update, filter};

use super::page::section;

/// What is said of a name by one way to write it: nothing where it is taken.
type Ask = fn(&str) -> Option<yunzhan_query::Error>;

const SECTIONS: &[(&str, &[Ask])] = &[
    ("filters", &[field_test, condition]),
    ("updates", &[update, push_modifier]),
    ("stages", &[stage]),
    ("accumulators", &[accumulator]),
    ("expressions", &[expression]),
];

fn document(json: &str) -> Document {
    read_document(json.as_bytes(), &ReadOptions::at(0)).unwrap()
}

fn field_test(name: &str) -> Option<yunzhan_query::Error> {
    // Some stand beside another one only.
    let beside = match name {
        "$options" => r#","$regex":"a""#,
        "$maxDistance" | "$minDistance" => r#","$near":[0,0]"#,
        _ => "",
    };
    let query = document(&format!(r#"{{"a":{{"{name}":"i"{beside}}}}}"#));
    Filter::parse(&query, &filter::Limits::default()).err()
}

fn condition(name: &str) -> Option<yunzhan_query::Error> {
    let query = document(&format!(r#"{{"{name}":1}}"#));
    Filter::parse(&query, &filter::Limits::default()).err()
}

fn update(name: &str) -> Option<yunzhan_query::Error> {
    Update::parse(document(&format!(r#"{{"{name}":{{"a":1}}}}"#))).err()
}

fn push_modifier(name: &str) -> Option<yunzhan_query::Error> {
    let modifiers = format!(r#"{{"$push":{{"a":{{"$each":[],"{name}":1}}}}}}"#);
    let modifiers = modifiers.replace(r#""$each":[],"$each":1"#, r#""$each":[]"#);
    Update::parse(document(&modifiers)).err()
}

fn stage(name: &str) -> Option<yunzhan_query::Error> {
    let stages = [document(&format!(r#"{{"{name}":null}}"#))];
    Pipeline::parse(&stages, &pipeline::Limits::default()).err()
}

fn accumulator(name: &str) -> Option<yunzhan_query::Error> {
    let stages = [document(&format!(r#"{{"$group":{{"_id":1,"a":{{"{name}":{{}}}}}}}}"#))];
    Pipeline::parse(&stages, &pipeline::Limits::default()).err()
}

fn expression(name: &str) -> Option<yunzhan_query::Error> {
    let value = Bson::Document(document(&format!(r#"{{"{name}":null}}"#)));
    Expression::parse(&value, &expression::Limits::default()).err()
}

/// Whether it says that there is no such thing.
fn is_no(error: &yunzhan_query::Error) -> bool {
    error.message == "unknown operator" || error.message == "stage is not offered"
}

/// The words in backticks that begin with a dollar sign.
fn names(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|word| word.starts_with('$')).collect()
}

#[test]
fn what_the_page_names_is_offered() {
    for page in super::DOCUMENTS {
        for (name, ways) in SECTIONS {
            let operators = names(section(page, name));
            assert!(!operators.is_empty(), "{name}");
            for operator in operators {
                let is_one = ways.iter().any(|ask| !ask(operator).is_some_and(|no| is_no(&no)));
                assert!(is_one, "{operator} among the {name}");
            }
        }
        for operator in names(section(page, "refused")) {
            let said = stage(operator).expect("a refusal").message;
            assert_eq!(said, "stage is not offered", "{operator}");
        }
    }
}

#[test]
fn what_does_not_exist_is_noticed() {
    for (name, ways) in SECTIONS {
        let is_one = ways.iter().any(|ask| !ask("$nonsense").is_some_and(|no| is_no(&no)));
        assert!(!is_one, "{name}");
    }
}
