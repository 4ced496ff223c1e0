//! Where mingo does other than MongoDB. A row says what MongoDB does, which is what we do, and covers as little as it can:
//! it excuses a difference and never asks for one.
//!
//! The rows of filters stand in `filters.rs`, those of orders and updates in `changes.rs`,
//! those of pipelines in `stages.rs`.

mod changes;
mod filters;
mod stages;

use yunzhan_query::{Bson, Document};

use crate::question::Question;

/// The known difference that covers a question, if there is one.
pub(crate) fn explanation(question: Question<'_>) -> Option<&'static str> {
    match question {
        Question::Filter(filter, documents) => filters::explanation(filter, documents),
        Question::Order(order, documents) => changes::order_explanation(order, documents),
        Question::Update(update, document) => changes::update_explanation(update, document),
        Question::Stage(..) => None,
    }
}

/// The known difference that covers a stage, if there is one. `answers` are ours and theirs, or the words with which they
/// refuse.
pub(crate) fn stage_explanation(
    stage: &Document,
    input: &[Document],
    answers: Result<(&[Document], &[Document]), &str>,
) -> Option<&'static str> {
    stages::explanation(stage, input, answers)
}

/// The value at a path that leads through documents only.
fn at<'d>(document: &'d Document, path: &str) -> Option<&'d Bson> {
    match path.split_once('.') {
        None => document.get(path),
        Some((name, rest)) => at(document.get(name)?.as_document()?, rest),
    }
}

/// Whether a path meets an array before its last part.
fn leads_through_array(document: &Document, path: &str) -> bool {
    let Some((name, rest)) = path.split_once('.') else { return false };
    match document.get(name) {
        Some(Bson::Array(_)) => true,
        Some(Bson::Document(inner)) => leads_through_array(inner, rest),
        _ => false,
    }
}

/// Whether items of this array are equal to one another.
fn repeats(items: &[Bson]) -> bool {
    let same = yunzhan_query::compare::equal;
    items
        .iter()
        .enumerate()
        .any(|(place, item)| items[..place].iter().any(|other| same(item, other)))
}
