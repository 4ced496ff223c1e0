//! Whether two answers are the same, and what is told where they are not.
//!
//! JavaScript has one type of number and keeps fields with names of digits before all others: so numbers are compared by
//! value, and the order of fields not at all.

use std::fmt;

use yunzhan_query::compare::equal;
use yunzhan_query::{Bson, Document};

use crate::answers::Answers;
use crate::group::{Answer, Group, text};
use crate::known::{self, Question};

/// Differences that are told; the first few are what one looks at.
const TOLD_MAX: usize = 25;
/// Questions in a thousand that both must have answered: a comparison of refusals says nothing.
const ANSWERED_PER_MILLE_MIN: usize = 600;

/// What came of all questions.
#[derive(Default)]
pub(crate) struct Tally {
    same: usize,
    /// Refused by us: mingo applies what MongoDB refuses.
    refused: usize,
    /// Explained by a row of the table of known differences.
    known: usize,
    different: usize,
    told: Vec<String>,
}

impl Tally {
    /// Whether nothing differs that is not known.
    pub(crate) fn is_same(&self) -> bool {
        self.different == 0
    }

    /// Whether enough questions had two answers.
    pub(crate) fn is_telling(&self) -> bool {
        let all = self.same + self.refused + self.known + self.different;
        self.same * 1000 >= all * ANSWERED_PER_MILLE_MIN
    }

    /// The first differences in full.
    pub(crate) fn differences(&self) -> String {
        format!("{} differences, the first of them:\n{}", self.different, self.told.join("\n"))
    }

    fn count<T>(&mut self, question: Question<'_>, both: &Both<'_, T>, show: fn(&T) -> String)
    where
        T: Comparable,
    {
        match (both.ours, both.theirs) {
            (Ok(ours), Ok(theirs)) if ours.is_same(theirs) => self.same += 1,
            (Err(_), _) => self.refused += 1,
            _ if known::explains(question) => self.known += 1,
            (Ok(ours), theirs) => {
                self.different += 1;
                if self.told.len() < TOLD_MAX {
                    let theirs = theirs.as_ref().map_or_else(String::clone, show);
                    self.told
                        .push(format!("{question}\n  ours   {}\n  theirs {theirs}", show(ours)));
                }
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { same, refused, known, different, .. } = self;
        write!(
            f,
            "{same} the same, {refused} refused by us, {known} known to differ, {different} different"
        )
    }
}

/// Two answers to one question.
struct Both<'a, T> {
    ours: &'a Answer<T>,
    theirs: &'a Answer<T>,
}

/// Compares every answer of a group.
pub(crate) fn group(group: &Group, theirs: &Answers, tally: &mut Tally) {
    let documents = group.documents.as_slice();
    for (filter, theirs) in group.filters.iter().zip(&theirs.filters) {
        let both = Both { ours: &group.matching(filter), theirs };
        tally.count(Question::Filter(filter, documents), &both, |ids| format!("{ids:?}"));
    }
    for (order, theirs) in group.orders.iter().zip(&theirs.orders) {
        let both = Both { ours: &group.sorted(order), theirs };
        tally.count(Question::Order(order, documents), &both, |ids| format!("{ids:?}"));
    }
    for (update, theirs) in group.updates.iter().zip(&theirs.updates) {
        for (document, theirs) in documents.iter().zip(theirs) {
            let both = Both { ours: &Group::updated(document, update), theirs };
            tally.count(Question::Update(update, document), &both, text);
        }
    }
    for (stages, theirs) in group.pipelines.iter().zip(&theirs.pipelines) {
        let both = Both { ours: &group.pipeline(stages), theirs };
        let show = |documents: &Vec<Document>| documents.iter().map(text).collect::<String>();
        tally.count(Question::Pipeline(stages, documents), &both, show);
    }
}

trait Comparable {
    fn is_same(&self, other: &Self) -> bool;
}

impl Comparable for Vec<i32> {
    fn is_same(&self, other: &Self) -> bool {
        self == other
    }
}

impl Comparable for Document {
    fn is_same(&self, other: &Self) -> bool {
        equal(&arranged(self), &arranged(other))
    }
}

impl Comparable for Vec<Document> {
    fn is_same(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.iter().zip(other).all(|(ours, theirs)| ours.is_same(theirs))
    }
}

/// With the fields in the order of their names, at every depth.
fn arranged(document: &Document) -> Bson {
    let mut fields: Vec<_> =
        document.iter().map(|(name, value)| (name, arranged_value(value))).collect();
    fields.sort_by_key(|(name, _)| *name);
    Bson::Document(fields.into_iter().map(|(name, value)| (name.clone(), value)).collect())
}

fn arranged_value(value: &Bson) -> Bson {
    match value {
        Bson::Document(document) => arranged(document),
        Bson::Array(items) => Bson::Array(items.iter().map(arranged_value).collect()),
        scalar => scalar.clone(),
    }
}
