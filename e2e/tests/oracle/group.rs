//! Some documents and questions about them, and what we answer. Every call of the engine is in this file.

use yunzhan_query::ejson::{Mode, write_document};
use yunzhan_query::filter::{Filter, Limits};
use yunzhan_query::generate::Generator;
use yunzhan_query::pipeline::{self, Pipeline};
use yunzhan_query::{Budget, Document, Order, Update};

/// What an answer is when there is one.
pub(crate) type Answer<T> = Result<T, String>;

/// Documents with questions.
pub(crate) struct Group {
    pub(crate) documents: Vec<Document>,
    /// The collection that `$lookup` reads.
    other: Vec<Document>,
    pub(crate) filters: Vec<Document>,
    pub(crate) orders: Vec<Document>,
    pub(crate) updates: Vec<Document>,
    pub(crate) pipelines: Vec<Vec<Document>>,
}

impl Group {
    const DOCUMENTS: usize = 6;
    const FILTERS: usize = 4;
    const ORDERS: usize = 1;
    const UPDATES: usize = 3;
    const PIPELINES: usize = 2;
    /// Questions of a group.
    pub(crate) const QUESTIONS: usize =
        Self::FILTERS + Self::ORDERS + Self::UPDATES + Self::PIPELINES;

    /// The next group.
    pub(crate) fn make(generator: &mut Generator) -> Self {
        Self {
            documents: generator.documents(Self::DOCUMENTS),
            other: generator.documents(2),
            filters: (0..Self::FILTERS).map(|_| generator.filter()).collect(),
            orders: (0..Self::ORDERS).map(|_| generator.order()).collect(),
            updates: (0..Self::UPDATES).map(|_| generator.update()).collect(),
            pipelines: (0..Self::PIPELINES).map(|_| generator.pipeline("other")).collect(),
        }
    }

    /// The group in one line.
    pub(crate) fn line(&self) -> String {
        let list = |documents: &[Document]| {
            let texts: Vec<_> = documents.iter().map(canonical).collect();
            format!("[{}]", texts.join(","))
        };
        let pipelines: Vec<_> = self.pipelines.iter().map(|stages| list(stages)).collect();
        format!(
            r#"{{"documents":{},"other":{},"filters":{},"orders":{},"updates":{},"pipelines":[{}]}}"#,
            list(&self.documents),
            list(&self.other),
            list(&self.filters),
            list(&self.orders),
            list(&self.updates),
            pipelines.join(",")
        )
    }

    /// Which documents match.
    pub(crate) fn matching(&self, filter: &Document) -> Answer<Vec<i32>> {
        let filter =
            Filter::parse(filter, &Limits::default()).map_err(|error| error.to_string())?;
        Ok(ids(self.documents.iter().filter(|document| matches(&filter, document))))
    }

    /// The documents in this order.
    pub(crate) fn sorted(&self, order: &Document) -> Answer<Vec<i32>> {
        let mut documents = self.documents.clone();
        Order::parse(order).map_err(|error| error.to_string())?.sort(&mut documents);
        Ok(ids(documents.iter()))
    }

    /// A document after an update.
    pub(crate) fn updated(document: &Document, update: &Document) -> Answer<Document> {
        let mut document = document.clone();
        let update = Update::parse(update.clone()).map_err(|error| error.to_string())?;
        update.apply(&mut document, None).map_err(|error| error.to_string())?;
        Ok(document)
    }

    /// What a pipeline gives.
    pub(crate) fn pipeline(&self, stages: &[Document]) -> Answer<Vec<Document>> {
        let pipeline = Pipeline::parse(stages, &pipeline::Limits::default())
            .map_err(|error| error.to_string())?;
        let foreign = |_: &str| self.other.clone();
        pipeline
            .run_plain(self.documents.clone(), &foreign, 0, &Budget::default())
            .map_err(|error| error.to_string())
    }
}

fn ids<'d>(documents: impl Iterator<Item = &'d Document>) -> Vec<i32> {
    documents.map(|document| document.get_i32("_id").unwrap()).collect()
}

/// Every type survives the way.
fn canonical(document: &Document) -> String {
    write_document(document, Mode::Canonical)
}

/// Whether a document matches, with more than enough to compute it.
fn matches(filter: &Filter, document: &Document) -> bool {
    filter.matches(document, &Budget::default()).unwrap_or(false)
}
