//! A pipeline over documents in memory, step by step.

use bson::{Bson, Document};

use super::segment::{Flow, Setting};
use super::select::passes;
use super::{Lookup, Part, Pipeline};
use crate::budget::Budget;
use crate::error::Result;
use crate::expression::weight_of_document;

/// All documents of a collection.
type Foreign<'f> = &'f dyn Fn(&str) -> Vec<Document>;

impl Pipeline {
    /// Runs over documents in memory. `foreign` gives all documents of another collection. A `$geoNear` has no part in it:
    /// the documents are taken for its result.
    ///
    /// # Errors
    /// Whatever an expression is refused for; `TooLarge` when the budget is used up.
    pub fn run_plain(
        &self,
        documents: Vec<Document>,
        foreign: &dyn Fn(&str) -> Vec<Document>,
        now_ms: i64,
        budget: &Budget,
    ) -> Result<Vec<Document>> {
        self.run(documents, foreign, &Setting::at(now_ms), budget)
    }

    /// The recursion is as deep as pipelines nest, which the parser bounds.
    fn run(
        &self,
        documents: Vec<Document>,
        foreign: Foreign<'_>,
        setting: &Setting<'_>,
        budget: &Budget,
    ) -> Result<Vec<Document>> {
        let mut documents = documents;
        for part in &self.parts {
            let mut results = Vec::new();
            match part {
                Part::Pure(segment) => {
                    let mut run = segment.start(*setting);
                    for document in documents {
                        if run.push(document, budget, &mut results)? == Flow::Done {
                            break;
                        }
                    }
                    run.finish(budget, &mut results)?;
                }
                Part::Lookup(lookup) => {
                    for document in documents {
                        results.push(lookup.run(document, foreign, setting, budget)?);
                    }
                }
                Part::Facet(facets) => {
                    let mut lists = Document::new();
                    for (name, pipeline) in facets {
                        let bytes: u64 = documents.iter().map(weight_of_document).sum();
                        budget.step(1 + bytes / 64)?;
                        let list = pipeline.run(documents.clone(), foreign, setting, budget)?;
                        let list = list.into_iter().map(Bson::Document).collect();
                        lists.insert(name.as_str(), Bson::Array(list));
                    }
                    results.push(lists);
                }
            }
            documents = results;
        }
        Ok(documents)
    }
}

impl Lookup {
    fn run(
        &self,
        document: Document,
        foreign: Foreign<'_>,
        setting: &Setting<'_>,
        budget: &Budget,
    ) -> Result<Document> {
        let filter = self.filter(&document, budget)?;
        let mut found = Vec::new();
        for candidate in foreign(self.from()) {
            if passes(&filter, &candidate, budget)? {
                found.push(candidate);
            }
        }
        if let Some(pipeline) = self.pipeline() {
            let variables = self.variables(&document, setting, budget)?;
            let setting = Setting { variables: &variables, ..*setting };
            found = pipeline.run(found, foreign, &setting, budget)?;
        }
        self.attach(document, found, budget)
    }
}
