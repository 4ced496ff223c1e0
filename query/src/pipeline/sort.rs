//! `$sort`. With a limit behind it, only as many documents as that lets through are held at any time.

use std::collections::BTreeMap;

use bson::{Bson, Document};

use crate::budget::Budget;
use crate::error::{Error, Result};
use crate::expression::weight_of_document;
use crate::key::sort_key;
use crate::order::Order;

#[derive(Clone, Debug)]
pub(super) struct Sort {
    pub(super) order: Order,
    /// Documents that are asked for at most.
    pub(super) most: Option<u64>,
}

#[derive(Debug)]
pub(super) struct SortState<'p> {
    sort: &'p Sort,
    /// By key; of equal documents the first stays before the second.
    held: BTreeMap<(Vec<u8>, u64), Document>,
    seen: u64,
    kept: u64,
}

impl Sort {
    pub(super) fn parse(operand: &Bson) -> Result<Self> {
        let document = operand.as_document().filter(|document| !document.is_empty());
        let document = document.ok_or_else(|| Error::value("needs a document of fields"))?;
        Ok(Self { order: Order::parse(document)?, most: None })
    }

    pub(super) fn start(&self) -> SortState<'_> {
        SortState { sort: self, held: BTreeMap::new(), seen: 0, kept: 0 }
    }
}

impl SortState<'_> {
    pub(super) fn push(&mut self, document: Document, budget: &Budget) -> Result<()> {
        let key = sort_key(&document, &self.sort.order);
        let bytes = cost(&key, &document);
        // A document is looked at for its key, and the key held against a few others.
        budget.step(8 + key.len() as u64 / 16)?;
        budget.keep(bytes)?;
        self.kept += bytes;
        self.held.insert((key, self.seen), document);
        self.seen += 1;
        if self.sort.most.is_some_and(|most| self.held.len() as u64 > most)
            && let Some(((key, _), document)) = self.held.pop_last()
        {
            let bytes = cost(&key, &document);
            budget.release(bytes);
            self.kept -= bytes;
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, budget: &Budget) -> Vec<Document> {
        budget.release(std::mem::take(&mut self.kept));
        std::mem::take(&mut self.held).into_values().collect()
    }
}

fn cost(key: &[u8], document: &Document) -> u64 {
    64 + key.len() as u64 + weight_of_document(document)
}
