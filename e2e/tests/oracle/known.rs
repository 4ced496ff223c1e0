//! Where mingo does other than MongoDB. Each row says what MongoDB does, which is what we do, and covers as little as it can.

use std::fmt;

use yunzhan_query::Document;

use crate::group::text;

/// What was asked, of which documents.
#[derive(Clone, Copy)]
pub(crate) enum Question<'a> {
    Filter(&'a Document, &'a [Document]),
    Order(&'a Document, &'a [Document]),
    Update(&'a Document, &'a Document),
    Pipeline(&'a [Document], &'a [Document]),
}

/// A known difference.
struct Known {
    /// What MongoDB does, and mingo does not.
    #[expect(dead_code, reason = "for whoever reads the table")]
    why: &'static str,
    covers: fn(Question<'_>) -> bool,
}

/// Every known difference.
const KNOWN: &[Known] = &[];

/// Whether a known difference covers the question.
pub(crate) fn explains(question: Question<'_>) -> bool {
    KNOWN.iter().any(|known| (known.covers)(question))
}

impl fmt::Display for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = |documents: &[Document]| {
            documents.iter().map(|document| format!("\n    {}", text(document))).collect::<String>()
        };
        match self {
            Self::Filter(filter, documents) => {
                write!(f, "filter {} on{}", text(filter), lines(documents))
            }
            Self::Order(order, documents) => {
                write!(f, "order {} of{}", text(order), lines(documents))
            }
            Self::Update(update, document) => {
                write!(f, "update {} of {}", text(update), text(document))
            }
            Self::Pipeline(stages, documents) => {
                write!(f, "pipeline{} on{}", lines(stages), lines(documents))
            }
        }
    }
}
