//! Documents, and what clients ask about them, made from a seed: for tests that compare two ways to one answer.
//!
//! The values of a field come from a small set, so that filters hit, groups have several members and orders have ties. A
//! field mostly has one type and sometimes another one, is null, or is missing. In reading order: `random.rs` is the source
//! of everything, `document.rs` says what a document looks like, `filter.rs`, `update.rs` and `pipeline.rs` ask about it,
//! `expression.rs` computes in pipelines. Everything generated is well formed; whether it may be applied to a document that
//! happens to have another type there is for the reader to say.
//!
//! The same seed gives the same values on every machine, within one version of this module.

mod document;
mod expression;
mod filter;
mod pipeline;
mod random;
mod update;

use bson::{Bson, Document};

use self::random::Random;

/// What is left out, because not everybody who is compared can read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Everything that MongoDB knows of what we offer.
    #[default]
    Whole,
    /// Without `$expr` in filters.
    WithoutExpressions,
}

/// A source of documents and questions.
#[derive(Clone, Debug)]
pub struct Generator {
    random: Random,
    dialect: Dialect,
    documents: i32,
}

impl Generator {
    /// A source for this seed.
    pub fn new(seed: u64, dialect: Dialect) -> Self {
        Self { random: Random::new(seed), dialect, documents: 0 }
    }

    /// A document with an `_id` of its own: 1, 2, 3 and so on.
    pub fn document(&mut self) -> Document {
        self.documents += 1;
        document::document(&mut self.random, self.documents)
    }

    /// Documents as [`Generator::document`].
    pub fn documents(&mut self, count: usize) -> Vec<Document> {
        (0..count).map(|_| self.document()).collect()
    }

    /// A filter.
    pub fn filter(&mut self) -> Document {
        let with_expressions = self.dialect == Dialect::Whole;
        filter::filter(&mut self.random, with_expressions)
    }

    /// An order that leaves no ties: its last field is `_id`, unless an earlier one was.
    pub fn order(&mut self) -> Document {
        pipeline::order(&mut self.random)
    }

    /// An update with operators.
    pub fn update(&mut self) -> Document {
        update::update(&mut self.random)
    }

    /// The stages of a pipeline. Stages that need an order to mean one thing have one before them; `from` is the collection
    /// that `$lookup` reads.
    pub fn pipeline(&mut self, from: &str) -> Vec<Document> {
        pipeline::pipeline(&mut self.random, from)
    }
}

/// `{name: value}`.
fn one(name: impl Into<String>, value: impl Into<Bson>) -> Document {
    Document::from_iter([(name.into(), value.into())])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::{Dialect, Generator};
    use crate::filter::{Filter, Limits};
    use crate::{Order, Update, check_insert};

    #[test]
    fn a_seed_means_the_same_again() {
        let run = |seed| {
            let mut generator = Generator::new(seed, Dialect::Whole);
            let documents = generator.documents(3);
            (documents, generator.filter(), generator.update(), generator.pipeline("other"))
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn what_is_generated_is_well_formed() {
        let mut generator = Generator::new(3, Dialect::WithoutExpressions);
        for _ in 0..2000 {
            check_insert(&generator.document()).unwrap();
            let filter = generator.filter();
            Filter::parse(&filter, &Limits::default())
                .unwrap_or_else(|error| panic!("{error} in {filter}"));
            let order = generator.order();
            Order::parse(&order).unwrap_or_else(|error| panic!("{error} in {order}"));
            let update = generator.update();
            Update::parse(update.clone()).unwrap_or_else(|error| panic!("{error} in {update}"));
            assert!(!generator.pipeline("other").is_empty());
        }
    }
}
