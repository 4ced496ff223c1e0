//! `$redact`: which parts of a document may be seen?

use bson::{Bson, Document};

use super::segment::Setting;
use crate::budget::Budget;
use crate::error::{Error, Result};
use crate::expression::{DESCEND, Expression, KEEP, PRUNE};

pub(super) fn apply(
    expression: &Expression,
    document: &Document,
    setting: &Setting<'_>,
    budget: &Budget,
) -> Result<Option<Document>> {
    let work = Work { expression, setting, budget, root: document };
    work.document(document.clone())
}

struct Work<'w> {
    expression: &'w Expression,
    setting: &'w Setting<'w>,
    budget: &'w Budget,
    root: &'w Document,
}

impl Work<'_> {
    /// The recursion is as deep as the document nests.
    fn document(&self, document: Document) -> Result<Option<Document>> {
        self.budget.step(1 + document.len() as u64)?;
        let scope = self.setting.scope(self.root, self.budget).at(&document);
        let verdict = self.expression.evaluate(&scope)?;
        match verdict.as_ref() {
            Some(Bson::Symbol(word)) if word == KEEP => Ok(Some(document)),
            Some(Bson::Symbol(word)) if word == PRUNE => Ok(None),
            Some(Bson::Symbol(word)) if word == DESCEND => {
                let mut kept = Document::new();
                for (name, value) in document {
                    if let Some(value) = self.value(value)? {
                        kept.insert(name, value);
                    }
                }
                Ok(Some(kept))
            }
            _ => Err(Error::value("must give $$DESCEND, $$PRUNE or $$KEEP").operator("$redact")),
        }
    }

    fn value(&self, value: Bson) -> Result<Option<Bson>> {
        Ok(match value {
            Bson::Document(document) => self.document(document)?.map(Bson::Document),
            Bson::Array(items) => {
                self.budget.step(items.len() as u64)?;
                let mut kept = Vec::with_capacity(items.len());
                for item in items {
                    kept.extend(self.value(item)?);
                }
                Some(Bson::Array(kept))
            }
            scalar => Some(scalar),
        })
    }
}
