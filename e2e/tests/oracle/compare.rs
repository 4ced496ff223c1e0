//! Whether two answers are the same, and what is told where they are not.
//!
//! JavaScript has one type of number and keeps fields with names of digits before all others: so numbers are compared by
//! value, and the order of fields not at all.

use std::collections::BTreeMap;
use std::fmt;

use yunzhan_query::compare::equal;
use yunzhan_query::{Bson, Document};

use crate::answers::Answers;
use crate::group::{Answer, Group};
use crate::known;
use crate::question::{self, Question, text};

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
    known: BTreeMap<&'static str, usize>,
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
        let known: usize = self.known.values().sum();
        let all = self.same + self.refused + known + self.different;
        self.same * 1000 >= all * ANSWERED_PER_MILLE_MIN
    }

    /// The first differences in full.
    pub(crate) fn differences(&self) -> String {
        format!("{} differences, the first of them:\n{}", self.different, self.told.join("\n"))
    }

    fn count<T: Comparable>(
        &mut self,
        question: Question<'_>,
        ours: &Answer<T>,
        theirs: &Answer<T>,
    ) {
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) if ours.is_same(theirs) => self.same += 1,
            (Err(_), _) => self.refused += 1,
            (Ok(ours), theirs) => {
                let essence = theirs.as_ref().map(|theirs| T::essence(question, ours, theirs));
                let essence = essence.unwrap_or_else(|words| Essence {
                    question: question.to_string(),
                    answers: [ours.text(), words.clone()],
                    known: T::unanswered(question, words),
                });
                if let Some(what) = essence.known {
                    *self.known.entry(what).or_default() += 1;
                    return;
                }
                self.different += 1;
                if self.told.len() < TOLD_MAX {
                    let Essence { question, answers: [ours, theirs], .. } = essence;
                    self.told.push(format!("{question}\n  ours   {ours}\n  theirs {theirs}"));
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
            "{same} the same, {refused} refused by us, {different} different; known of mingo:"
        )?;
        known.iter().try_for_each(|(what, count)| write!(f, "\n  {count:>6} {what}"))
    }
}

/// Compares every answer of a group.
pub(crate) fn group(group: &Group, theirs: &Answers, tally: &mut Tally) {
    let documents = group.documents.as_slice();
    for (filter, theirs) in group.filters.iter().zip(&theirs.filters) {
        tally.count(Question::Filter(filter, documents), &group.matching(filter), theirs);
    }
    for (order, theirs) in group.orders.iter().zip(&theirs.orders) {
        tally.count(Question::Order(order, documents), &group.sorted(order), theirs);
    }
    for (update, theirs) in group.updates.iter().zip(&theirs.updates) {
        for (document, theirs) in documents.iter().zip(theirs) {
            let ours = Group::updated(document, update);
            tally.count(Question::Update(update, document), &ours, theirs);
        }
    }
    for (stages, theirs) in group.pipelines.iter().zip(&theirs.pipelines) {
        let (stage, input) = first_different(group, stages, theirs);
        let question = Question::Stage(&stages[stage], &input);
        tally.count(question, &group.pipeline(&stages[..=stage]), &theirs[stage]);
    }
}

/// The place of the first stage that gave something else, with what came to it; the last stage when all are the same. A
/// pipeline is run as a whole each time: what a stage gives may depend on those that stand around it.
fn first_different(
    group: &Group,
    stages: &[Document],
    theirs: &[Answer<Vec<Document>>],
) -> (usize, Vec<Document>) {
    let mut input = group.documents.clone();
    let last = theirs.len() - 1;
    for (stage, theirs) in theirs[..last].iter().enumerate() {
        match (group.pipeline(&stages[..=stage]), theirs) {
            (Ok(ours), Ok(theirs)) if ours.is_same(theirs) => input = ours,
            _ => return (stage, input),
        }
    }
    (last, input)
}

/// An answer.
trait Comparable {
    fn is_same(&self, other: &Self) -> bool;
    fn text(&self) -> String;

    /// What is known of a question that they refuse with these words.
    fn unanswered(_question: Question<'_>, _words: &str) -> Option<&'static str> {
        None
    }

    /// The difference without what both agree on, as far as that is easy to tell.
    fn essence(question: Question<'_>, ours: &Self, theirs: &Self) -> Essence {
        Essence {
            question: question.to_string(),
            answers: [ours.text(), theirs.text()],
            known: known::explanation(question),
        }
    }
}

/// A difference as it is told.
struct Essence {
    question: String,
    answers: [String; 2],
    /// What is known of it.
    known: Option<&'static str>,
}

impl Comparable for Vec<i32> {
    fn is_same(&self, other: &Self) -> bool {
        self == other
    }

    fn text(&self) -> String {
        format!("{self:?}")
    }

    fn essence(question: Question<'_>, ours: &Self, theirs: &Self) -> Essence {
        let answers = [ours.text(), theirs.text()];
        let Question::Filter(filter, documents) = question else {
            return Essence {
                question: question.to_string(),
                answers,
                known: known::explanation(question),
            };
        };
        let is_disputed = |document: &&Document| {
            let id = document.get_i32("_id").unwrap();
            ours.contains(&id) != theirs.contains(&id)
        };
        let disputed: Vec<_> = documents.iter().filter(is_disputed).cloned().collect();
        let question = Question::Filter(filter, &disputed);
        Essence { question: question.to_string(), answers, known: known::explanation(question) }
    }
}

impl Comparable for Document {
    fn is_same(&self, other: &Self) -> bool {
        equal(&arranged(self), &arranged(other))
    }

    fn text(&self) -> String {
        text(self)
    }

    fn essence(question: Question<'_>, ours: &Self, theirs: &Self) -> Essence {
        let disputed = |name: &str| match (ours.get(name), theirs.get(name)) {
            (Some(one), Some(other)) => !equal(&arranged_value(one), &arranged_value(other)),
            (one, other) => one.is_some() || other.is_some(),
        };
        let only = |document: &Self| {
            let fields = document.iter().filter(|(name, _)| disputed(name));
            fields.map(|(name, value)| (name.clone(), value.clone())).collect::<Self>()
        };
        let answers = [only(ours).text(), only(theirs).text()];
        let (question, known) = match question {
            Question::Update(update, document) => {
                let update = changes_of(update, &disputed);
                let question = Question::Update(&update, &only(document));
                (question.to_string(), known::explanation(question))
            }
            other => (other.to_string(), known::explanation(other)),
        };
        Essence { question, answers, known }
    }
}

/// The part of an update that changes these top-level fields.
fn changes_of(update: &Document, is_of: &dyn Fn(&str) -> bool) -> Document {
    let mut part = Document::new();
    for (operator, fields) in update {
        let fields = fields.as_document().into_iter().flatten();
        let mut chosen = Document::new();
        for (path, operand) in fields {
            let names = [path.split('.').next(), operand.as_str()];
            if names.into_iter().flatten().any(is_of) {
                chosen.insert(path, operand.clone());
            }
        }
        if !chosen.is_empty() {
            part.insert(operator, chosen);
        }
    }
    part
}

impl Comparable for Vec<Document> {
    fn is_same(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self.iter().zip(other).all(|(ours, theirs)| ours.is_same(theirs))
    }

    fn text(&self) -> String {
        self.iter().map(|document| format!("\n    {}", text(document))).collect()
    }

    fn essence(question: Question<'_>, ours: &Self, theirs: &Self) -> Essence {
        let Question::Stage(stage, input) = question else { unreachable!("stages give documents") };
        let is_disputed = |place: &usize| !ours[*place].is_same(&theirs[*place]);
        let gives_one_for_one = [ours.len(), theirs.len()] == [input.len(); 2]
            && PER_DOCUMENT.contains(&question::name(stage));
        let places: Vec<_> = match gives_one_for_one {
            true => (0..ours.len()).filter(is_disputed).collect(),
            false => Vec::new(),
        };
        let only = |documents: &[Document]| match gives_one_for_one {
            true => places.iter().map(|place| documents[*place].clone()).collect(),
            false => documents.to_vec(),
        };
        let (input, ours, theirs) = (only(input), only(ours), only(theirs));
        Essence {
            question: Question::Stage(stage, &input).to_string(),
            answers: [ours.text(), theirs.text()],
            known: known::stage_explanation(stage, &input, Ok((&ours, &theirs))),
        }
    }

    fn unanswered(question: Question<'_>, words: &str) -> Option<&'static str> {
        let Question::Stage(stage, input) = question else { return None };
        known::stage_explanation(stage, input, Err(words))
    }
}

/// Stages that make one document of each.
const PER_DOCUMENT: &[&str] = &["$project", "$addFields", "$replaceRoot", "$lookup"];

/// Whether two documents are the same, numbers by value and fields in any order.
pub(crate) fn is_same(one: &Document, other: &Document) -> bool {
    one.is_same(other)
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
