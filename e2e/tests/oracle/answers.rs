//! What mingo answered, read from its line.

use yunzhan_query::ejson::{ReadOptions, read_document};
use yunzhan_query::{Bson, Document};

use crate::group::Answer;

/// The answers to one group, each list in the order of its questions.
pub(crate) struct Answers {
    pub(crate) filters: Vec<Answer<Vec<i32>>>,
    pub(crate) orders: Vec<Answer<Vec<i32>>>,
    /// For each update, for each document.
    pub(crate) updates: Vec<Vec<Answer<Document>>>,
    /// For each pipeline, what came out of each stage, up to the first one that was refused.
    pub(crate) pipelines: Vec<Vec<Answer<Vec<Document>>>>,
}

impl Answers {
    pub(crate) fn read(line: &str) -> Self {
        let answers = read_document(line.as_bytes(), &ReadOptions::at(0)).unwrap();
        let list = |name: &str| answers.get_array(name).unwrap().iter();
        Self {
            filters: list("filters").map(|answer| many(answer, id)).collect(),
            orders: list("orders").map(|answer| many(answer, id)).collect(),
            updates: list("updates")
                .map(|answers| answers.as_array().unwrap().iter().map(one).collect())
                .collect(),
            pipelines: list("pipelines")
                .map(|answers| answers.as_array().unwrap().iter())
                .map(|answers| answers.map(|answer| many(answer, document)).collect())
                .collect(),
        }
    }
}

fn many<T>(answer: &Bson, item: fn(&Bson) -> T) -> Answer<Vec<T>> {
    match answer {
        Bson::Array(items) => Ok(items.iter().map(item).collect()),
        refused => Err(error(refused).expect("a list or an error")),
    }
}

fn one(answer: &Bson) -> Answer<Document> {
    error(answer).map_or_else(|| Ok(document(answer)), Err)
}

/// A document with `error` alone is a refusal: documents of ours have an `_id`.
fn error(answer: &Bson) -> Option<String> {
    let document = answer.as_document().filter(|document| !document.contains_key("_id"))?;
    document.get_str("error").ok().map(str::to_owned)
}

fn id(value: &Bson) -> i32 {
    value.as_i32().expect("ids are small numbers")
}

fn document(value: &Bson) -> Document {
    value.as_document().expect("a document").clone()
}
