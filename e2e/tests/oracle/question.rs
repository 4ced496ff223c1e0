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
    /// One stage of a pipeline, of the documents that come to it.
    Stage(&'a Document, &'a [Document]),
}

/// The name of a stage.
pub(crate) fn name(stage: &Document) -> &str {
    stage.keys().next().expect("a stage has a name")
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
            Self::Stage(stage, documents) => {
                write!(f, "stage {} on{}", text(stage), lines(&named(documents, stage)))
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
        collect_of_value(value, names);
    }
}

fn collect_of_value<'q>(value: &'q Bson, names: &mut Vec<&'q str>) {
    match value {
        Bson::Document(inner) => collect(inner, names),
        Bson::Array(items) => items.iter().for_each(|item| collect_of_value(item, names)),
        // A field as expressions name it, or as `$lookup` does.
        Bson::String(path) => names.extend(path.trim_start_matches('$').split('.').next()),
        _ => {}
    }
}
