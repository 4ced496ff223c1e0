//! `$sample`: some documents by chance, each with the same probability, in the order of chance.

use bson::{Bson, Document};

use super::parse::positive;
use crate::budget::Budget;
use crate::error::{Error, Result};
use crate::expression::weight_of_document;

#[derive(Clone, Debug)]
pub(super) struct Sample {
    size: u64,
}

#[derive(Debug)]
pub(super) struct SampleState {
    size: u64,
    random: u64,
    held: Vec<Document>,
    seen: u64,
    kept: u64,
}

impl Sample {
    pub(super) fn parse(operand: &Bson) -> Result<Self> {
        let document = operand.as_document().filter(|document| document.len() == 1);
        let size = document.and_then(|document| document.get("size"));
        let size = size.ok_or_else(|| Error::value("needs a document with size"))?;
        Ok(Self { size: positive(size).map_err(|error| error.at("size"))? })
    }

    pub(super) fn start(&self, seed: u64) -> SampleState {
        SampleState { size: self.size, random: seed, held: Vec::new(), seen: 0, kept: 0 }
    }
}

impl SampleState {
    /// The first documents are taken; each later one takes the place of another with falling probability.
    pub(super) fn push(&mut self, document: Document, budget: &Budget) -> Result<()> {
        let bytes = weight_of_document(&document);
        self.seen += 1;
        let place = if (self.held.len() as u64) < self.size {
            self.held.push(Document::new());
            self.held.len() - 1
        } else {
            match usize::try_from(self.below(self.seen)) {
                Ok(place) if place < self.held.len() => place,
                _ => return Ok(()),
            }
        };
        let old = std::mem::replace(&mut self.held[place], document);
        let freed = weight_of_document(&old);
        budget.release(freed);
        budget.keep(bytes)?;
        self.kept = self.kept - freed + bytes;
        Ok(())
    }

    pub(super) fn finish(&mut self, budget: &Budget) -> Vec<Document> {
        budget.release(std::mem::take(&mut self.kept));
        let mut documents = std::mem::take(&mut self.held);
        for index in (1..documents.len()).rev() {
            let other = usize::try_from(self.below(index as u64 + 1)).unwrap_or(index);
            documents.swap(index, other.min(index));
        }
        documents
    }

    /// A number below `bound`: SplitMix64, and the high half of a product instead of a division.
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        u64::try_from((u128::from(z) * u128::from(bound)) >> 64).unwrap_or(0)
    }
}
