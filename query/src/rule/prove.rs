//! Does every document that matches a query satisfy a rule?
//!
//! The rule is proven clause by clause from what is known of the matches. What cannot be proven is refused, so that
//! whatever is missing here costs a client a condition in the query, and never shows a document. That one value of a field
//! is known says nothing about the others, for the field may be an array: `{status: 'open'}` does not imply
//! `doc.status != 'closed'`, but `{status: {$eq: 'open', $ne: 'closed'}}` does.

use bson::{Bson, Document};

use super::clause::{Clause, Set};
use super::known::{Fact, Known, Says};
use super::syntax::{Node, Shape};
use super::value::{Choice, Evaluated, Sources, Stop};
use super::why::Reason;
use super::{Admission, Facts, Fetched, Rule, Why};
use crate::path::Path;

/// Comparisons that one proof may take, some milliseconds. Rules and queries that people write take some hundreds.
const STEPS_MAX: usize = 200_000;

impl Rule {
    /// Decides about all documents that match a query, as the client wrote it after [`super::substitute`]. Whether the query
    /// is a filter at all, [`crate::Filter::parse`] says.
    ///
    /// A field of the document in an argument of `get` must be given one value by the query.
    pub fn admits(&self, query: &Document, facts: &Facts<'_>, fetched: &Fetched) -> Admission {
        let known = Known::read(query);
        let choices = pinned(&self.root, &known);
        let sources = Sources { facts: *facts, fetched, doc: None, choices: &choices };
        let mut prover = Prover::new(sources);
        match prover.proves_all(&self.root, &known) {
            Ok(None) => Admission::Admitted,
            Ok(Some(node)) => {
                Admission::Refused(Why::new(self, node, Reason::NotImplied, &sources))
            }
            Err(Stop::Needs(get)) => Admission::Needs(*get),
            Err(Stop::Unbound | Stop::TooMuch) => {
                Admission::Refused(Why::new(self, &self.root, Reason::TooMuch, &sources))
            }
        }
    }
}

/// What the query says of the fields in arguments of `get`. One choice for the whole proof, as for one document.
pub(super) fn pinned<'a>(root: &'a Node, known: &'a Known<'_>) -> Vec<Choice<'a>> {
    let keys = root.keys().into_iter();
    keys.filter_map(|path| known.pinned(path).map(|value| (path, Some(value)))).collect()
}

pub(super) struct Prover<'a> {
    sources: Sources<'a>,
    steps_left: usize,
}

/// What is known in one case of those that are told apart.
#[derive(Clone, Copy)]
struct Case<'a> {
    facts: &'a [Fact<'a>],
    outer: Option<&'a Self>,
}

/// A choice that was not looked into yet.
type Open<'a> = Vec<&'a [Known<'a>]>;

impl<'a> Prover<'a> {
    pub(super) fn new(sources: Sources<'a>) -> Self {
        Self { sources, steps_left: STEPS_MAX }
    }

    /// Whether the condition is implied, or with `wanted` false its contrary.
    pub(super) fn implies(
        &mut self,
        known: &Known<'_>,
        node: &Node,
        wanted: bool,
    ) -> Evaluated<bool> {
        if known.never {
            return Ok(true);
        }
        let case = Case { facts: &known.facts, outer: None };
        self.proves(node, wanted, &case, &open(&known.choices))
    }

    /// The first part that is not implied.
    fn proves_all<'n>(&mut self, node: &'n Node, known: &Known<'_>) -> Evaluated<Option<&'n Node>> {
        if let Shape::All(nodes) = &node.shape {
            for node in nodes {
                if let Some(open) = self.proves_all(node, known)? {
                    return Ok(Some(open));
                }
            }
            return Ok(None);
        }
        Ok((!self.implies(known, node, true)?).then_some(node))
    }

    fn proves(
        &mut self,
        node: &Node,
        wanted: bool,
        case: &Case<'_>,
        open: &Open<'_>,
    ) -> Evaluated<bool> {
        self.step(1)?;
        let proven = match (&node.shape, wanted) {
            (Shape::Truth(truth), _) => return Ok(*truth == wanted),
            (Shape::Not(inner), _) => return self.proves(inner, !wanted, case, open),
            (Shape::All(nodes), true) | (Shape::Any(nodes), false) => {
                return self.proves_each(nodes, wanted, case, open);
            }
            (Shape::All(nodes), false) | (Shape::Any(nodes), true) => {
                self.proves_one(nodes, wanted, case, open)?
            }
            (Shape::Compare(operator, left, right), _) => {
                match Clause::of(*operator, left, right, &self.sources) {
                    Ok(Clause::Known(truth)) => return Ok(truth == wanted),
                    Ok(Clause::Field { path, negated, set }) => {
                        let goal = Goal { path, wanted: wanted != negated, set };
                        return self.proves_goal(&goal, case, open);
                    }
                    Err(Stop::Unbound) => return Ok(false),
                    Err(stop) => return Err(stop),
                }
            }
        };
        Ok(proven
            || self.in_every_case(case, open, &mut |prover, case, open| {
                prover.proves(node, wanted, case, open)
            })?)
    }

    fn proves_each(
        &mut self,
        nodes: &[Node],
        wanted: bool,
        case: &Case<'_>,
        open: &Open<'_>,
    ) -> Evaluated<bool> {
        for node in nodes {
            if !self.proves(node, wanted, case, open)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What needs a document comes last: maybe another part is proven without it.
    fn proves_one(
        &mut self,
        nodes: &[Node],
        wanted: bool,
        case: &Case<'_>,
        open: &Open<'_>,
    ) -> Evaluated<bool> {
        let mut needs = None;
        for node in nodes {
            match self.proves(node, wanted, case, open) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(Stop::Needs(get)) => needs = needs.or(Some(get)),
                Err(stop) => return Err(stop),
            }
        }
        needs.map_or(Ok(false), |get| Err(Stop::Needs(get)))
    }

    fn proves_goal(
        &mut self,
        goal: &Goal<'_>,
        case: &Case<'_>,
        open: &Open<'_>,
    ) -> Evaluated<bool> {
        let mut looked_at = Some(case);
        while let Some(case) = looked_at {
            for fact in case.facts {
                self.step(goal.cost(fact))?;
                if goal.follows_from(fact) {
                    return Ok(true);
                }
            }
            looked_at = case.outer;
        }
        self.in_every_case(case, open, &mut |prover, case, open| {
            prover.proves_goal(goal, case, open)
        })
    }

    /// Whether for one of the open choices `proves` succeeds with each of its branches. Choices before that one stay closed
    /// in them: the other way round would be the same proof again.
    fn in_every_case(
        &mut self,
        case: &Case<'_>,
        open: &Open<'_>,
        proves: &mut dyn FnMut(&mut Self, &Case<'_>, &Open<'_>) -> Evaluated<bool>,
    ) -> Evaluated<bool> {
        for (index, branches) in open.iter().enumerate() {
            let mut all = true;
            for branch in *branches {
                self.step(1)?;
                if branch.never {
                    continue;
                }
                let inner = Case { facts: &branch.facts, outer: Some(case) };
                let nested = branch.choices.iter().map(Vec::as_slice);
                let still_open = open[index + 1..].iter().copied().chain(nested).collect();
                if !proves(self, &inner, &still_open)? {
                    all = false;
                    break;
                }
            }
            if all {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn step(&mut self, steps: usize) -> Evaluated<()> {
        self.steps_left = self.steps_left.checked_sub(steps).ok_or(Stop::TooMuch)?;
        Ok(())
    }
}

fn open<'a>(choices: &'a [Vec<Known<'a>>]) -> Open<'a> {
    choices.iter().map(Vec::as_slice).collect()
}

/// Some value at the path is in the set, or with `wanted` false none is.
struct Goal<'p> {
    path: &'p Path,
    wanted: bool,
    set: Set,
}

impl Goal<'_> {
    fn cost(&self, fact: &Fact<'_>) -> usize {
        match &fact.says {
            Says::Some(known) if self.wanted => known.cost(),
            Says::None(_) if !self.wanted => self.set.cost(),
            _ => 1,
        }
    }

    fn follows_from(&self, fact: &Fact<'_>) -> bool {
        if !self.path.is(fact.path) {
            return self.is_inside(fact);
        }
        match (&fact.says, self.wanted) {
            (Says::Some(known), true) => known.is_within(&self.set),
            (Says::None(known), false) => self.set.is_within(known),
            // What lies behind an array may be no value at all, not even a missing one.
            (Says::Missing, true) => self.set.contains(&Bson::Null) && !fact.path.contains('.'),
            (Says::Missing, false) => !self.set.contains(&Bson::Null),
            (Says::Some(_), false) | (Says::None(_), true) => false,
        }
    }

    /// `{a: {b: 1}}` also says what `a.b` is.
    fn is_inside(&self, fact: &Fact<'_>) -> bool {
        let Says::Some(Set::Points(values)) = &fact.says else { return false };
        let Some(rest) = self.wanted.then(|| rest_of(self.path, fact.path)).flatten() else {
            return false;
        };
        let is_there =
            |value: &Bson| value.as_document().is_some_and(|inner| self.set.has_some(inner, &rest));
        values.iter().all(is_there)
    }
}

/// The path from `ancestor` on.
fn rest_of(path: &Path, ancestor: &str) -> Option<Path> {
    if !ancestor.starts_with(path.field()) {
        return None;
    }
    let text = path.to_string();
    Path::parse(text.strip_prefix(ancestor)?.strip_prefix('.')?).ok()
}
