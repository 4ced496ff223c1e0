//! A question as it is told: with those fields of the documents that it names.

use std::fmt;

use yunzhan_query::ejson::{Mode, write_document};
use yunzhan_query::{Bson, Document};

/// What was asked, of which documents.
#[derive(Clone, Copy)]
pub(crate) enum Question<'a> {
    Filter(&'a Document, &'a [Document]),
    Order(&'a Document, &'a [Document]),
    Update(&'a Document, &'a Document),
    Pipeline(&'a [Document], &'a [Document]),
}

/// How a document is shown.
pub(crate) fn text(document: &Document) -> String {
    write_document(document, Mode::Relaxed)
}

impl fmt::Display for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(filter, documents) => {
                write!(f, "filter {} on{}", text(filter), lines(&named(documents, filter)))
            }
            Self::Order(order, documents) => {
                write!(f, "order {} of{}", text(order), lines(&named(documents, order)))
            }
            Self::Update(update, document) => {
                write!(f, "update {} of {}", text(update), text(document))
            }
            Self::Pipeline(stages, documents) => {
                write!(f, "pipeline{}\n  on{}", lines(stages), lines(documents))
            }
        }
    }
}

fn lines(documents: &[Document]) -> String {
    documents.iter().map(|document| format!("\n    {}", text(document))).collect()
}

fn named(documents: &[Document], question: &Document) -> Vec<Document> {
    let mut names = vec!["_id"];
    collect(question, &mut names);
    let only = |document: &Document| {
        let fields = document.iter().filter(|(name, _)| names.contains(&name.as_str()));
        fields.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    documents.iter().map(only).collect()
}

/// The first parts of all keys: too many rather than too few.
fn collect<'q>(question: &'q Document, names: &mut Vec<&'q str>) {
    for (key, value) in question {
        names.extend(key.split('.').next());
        match value {
            Bson::Document(inner) => collect(inner, names),
            Bson::Array(items) => {
                items.iter().filter_map(Bson::as_document).for_each(|inner| collect(inner, names));
            }
            _ => {}
        }
    }
}
