//! What do all documents that match a query have in common?
//!
//! Read from the query as the client wrote it. Whatever is not understood here says nothing, which is always right: a query
//! that is read as saying less admits less.

use bson::{Bson, Document};

use super::clause::Set;
use super::syntax::Operator;
use crate::number::Number;
use crate::path::Path;

/// Nesting of a query below which nothing is read.
const DEPTH_MAX: usize = 32;

/// Facts after which nothing is read: a proof looks at each of them again and again.
const FACTS_MAX: usize = 1000;

/// An `$in` of at most this many values is also a choice between them.
const CHOICE_VALUES_MAX: usize = 16;

/// Facts that hold together, and choices of which one each holds.
#[derive(Debug, Default)]
pub(super) struct Known<'q> {
    pub(super) facts: Vec<Fact<'q>>,
    /// Of each, at least one holds.
    pub(super) choices: Vec<Vec<Self>>,
    /// Nothing matches: some field must be one of no values, as clients ask when a list of theirs is empty.
    pub(super) never: bool,
}

/// What is known about the values at one path. An array at its end counts as each of its items and as itself.
#[derive(Clone, Debug)]
pub(super) struct Fact<'q> {
    pub(super) path: &'q str,
    pub(super) says: Says,
}

#[derive(Clone, Debug)]
pub(super) enum Says {
    /// Some value is in the set.
    Some(Set),
    /// No value is in the set.
    None(Set),
    /// There is no value.
    Missing,
}

impl<'q> Known<'q> {
    pub(super) fn read(query: &'q Document) -> Self {
        Reader { facts: 0 }.document(query, 0)
    }

    /// The one value that every match has at the path, maybe among others, if the query names one.
    pub(super) fn pinned(&self, path: &Path) -> Option<&Bson> {
        let facts = self.facts.iter().filter(|fact| path.is(fact.path));
        facts.into_iter().find_map(|fact| match &fact.says {
            Says::Some(Set::Points(values)) => match values.as_slice() {
                // Null is also what is missing, and an array may be an item or the whole.
                [Bson::Null | Bson::Undefined | Bson::Array(_)] => None,
                [value] => Some(value),
                _ => None,
            },
            _ => None,
        })
    }

    fn add(&mut self, other: Self) {
        self.facts.extend(other.facts);
        self.choices.extend(other.choices);
        self.never |= other.never;
    }
}

struct Reader {
    facts: usize,
}

impl Reader {
    fn document<'q>(&mut self, query: &'q Document, depth: usize) -> Known<'q> {
        let mut known = Known::default();
        if depth > DEPTH_MAX {
            return known;
        }
        for (key, operand) in query {
            match key.as_str() {
                "$and" => {
                    for part in documents(operand).unwrap_or_default() {
                        known.add(self.document(part, depth + 1));
                    }
                }
                "$or" => {
                    let branches = documents(operand).filter(|branches| !branches.is_empty());
                    let branches = branches.map(|branches| {
                        branches.into_iter().map(|part| self.document(part, depth + 1)).collect()
                    });
                    known.choices.extend(branches);
                }
                "$nor" => {
                    for part in documents(operand).unwrap_or_default() {
                        if let Some((path, negated, set)) = only_test(part) {
                            self.add(&mut known, path, says(!negated, set));
                        }
                    }
                }
                path if !path.starts_with('$') => self.field(&mut known, path, operand),
                _ => {}
            }
        }
        known
    }

    fn field<'q>(&mut self, known: &mut Known<'q>, path: &'q str, operand: &'q Bson) {
        let Bson::Document(operators) = operand else {
            if let Some((negated, set)) = test("$eq", operand, 0)
                && !matches!(operand, Bson::RegularExpression(_))
            {
                self.add(known, path, says(negated, set));
            }
            return;
        };
        if !has_operators(operators) {
            return self.add(known, path, Says::Some(Set::points(vec![operand.clone()])));
        }
        for (operator, operand) in operators {
            match (operator.as_str(), operand) {
                ("$exists", operand) if is_false(operand) => self.add(known, path, Says::Missing),
                ("$all", Bson::Array(items)) => {
                    for item in items.iter().filter(|item| is_plain(item)) {
                        self.add(known, path, Says::Some(Set::points(vec![item.clone()])));
                    }
                }
                ("$elemMatch", Bson::Document(tests)) if has_operators(tests) => {
                    for (operator, operand) in tests {
                        // What no other item of the array is, nobody knows.
                        if let Some((false, set)) = test(operator, operand, 0) {
                            self.add(known, path, Says::Some(set));
                        }
                    }
                }
                (operator, operand) => {
                    if let Some((negated, set)) = test(operator, operand, 0) {
                        self.add(known, path, says(negated, set));
                    }
                }
            }
        }
    }

    fn add<'q>(&mut self, known: &mut Known<'q>, path: &'q str, says: Says) {
        self.facts += 1;
        if self.facts > FACTS_MAX {
            return;
        }
        known.never |= matches!(&says, Says::Some(Set::Points(values)) if values.is_empty());
        if let Says::Some(Set::Points(values)) = &says
            && (2..=CHOICE_VALUES_MAX).contains(&values.len())
        {
            let branch = |value: &Bson| {
                let says = Says::Some(Set::Points(vec![value.clone()]));
                Known { facts: vec![Fact { path, says }], ..Known::default() }
            };
            known.choices.push(values.iter().map(branch).collect());
        }
        known.facts.push(Fact { path, says });
    }
}

fn says(negated: bool, set: Set) -> Says {
    if negated { Says::None(set) } else { Says::Some(set) }
}

/// Exactly what an operator asks for, and whether it asks for the contrary. `None` for what cannot be said with one set.
fn test(operator: &str, operand: &Bson, depth: usize) -> Option<(bool, Set)> {
    let range = |operator| Some((false, Set::Range(operator, operand.clone())));
    match (operator, operand) {
        ("$eq", value) => Some((false, Set::points(vec![value.clone()]))),
        ("$ne", Bson::RegularExpression(_)) => None,
        ("$ne", value) => Some((true, Set::points(vec![value.clone()]))),
        ("$in" | "$nin", Bson::Array(items)) => {
            let plain = items.iter().all(is_plain);
            plain.then(|| (operator == "$nin", Set::points(items.clone())))
        }
        ("$gt", _) => range(Operator::Greater),
        ("$gte", _) => range(Operator::GreaterOrEqual),
        ("$lt", _) => range(Operator::Less),
        ("$lte", _) => range(Operator::LessOrEqual),
        ("$not", Bson::Document(inner)) if inner.len() == 1 && depth < DEPTH_MAX => {
            let (operator, operand) = inner.iter().next()?;
            test(operator, operand, depth + 1).map(|(negated, set)| (!negated, set))
        }
        _ => None,
    }
}

/// The test of a query that consists of nothing else.
fn only_test(query: &Document) -> Option<(&str, bool, Set)> {
    let (path, operand) = query.iter().next().filter(|(path, _)| !path.starts_with('$'))?;
    let (negated, set) = match operand {
        _ if query.len() != 1 => return None,
        Bson::RegularExpression(_) => return None,
        Bson::Document(operators) if has_operators(operators) => {
            let (operator, operand) = operators.iter().next().filter(|_| operators.len() == 1)?;
            test(operator, operand, 0)?
        }
        value => test("$eq", value, 0)?,
    };
    Some((path, negated, set))
}

fn documents(operand: &Bson) -> Option<Vec<&Document>> {
    operand.as_array()?.iter().map(Bson::as_document).collect()
}

/// As the filter decides: by the first key.
fn has_operators(document: &Document) -> bool {
    document.keys().next().is_some_and(|key| key.starts_with('$'))
}

/// Neither a pattern nor an operator, in a list of values.
fn is_plain(item: &Bson) -> bool {
    match item {
        Bson::RegularExpression(_) => false,
        Bson::Document(document) => !has_operators(document),
        _ => true,
    }
}

fn is_false(operand: &Bson) -> bool {
    let zero = |number: Number| number.compare(Number::Int(0)).is_eq();
    matches!(operand, Bson::Boolean(false)) || Number::of(operand).is_some_and(zero)
}
