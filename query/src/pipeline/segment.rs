//! Stages that need nothing but the documents, and a run of them: documents are pushed in at one end and come out at the
//! other as soon as they can.

use bson::{Bson, Document};

use super::bucket::{Auto, AutoState};
use super::group::{Group, GroupState};
use super::keep::{Sample, SampleState};
use super::select::Match;
use super::shape::Shape;
use super::sort::{Sort, SortState};
use super::unwind::Unwind;
use super::{redact, shape};
use crate::budget::Budget;
use crate::error::{Error, Result};
use crate::expression::{Expression, Scope, Variables, weight_of_document};

/// Stages that need nothing but the documents.
#[derive(Clone, Debug, Default)]
pub struct Segment {
    pub(super) stages: Vec<Stage>,
}

#[derive(Clone, Debug)]
pub(super) enum Stage {
    Match(Match),
    Shape(Shape),
    Replace(Expression),
    Redact(Expression),
    Unwind(Unwind),
    Skip(u64),
    Limit(u64),
    Sort(Sort),
    Group(Group),
    Auto(Auto),
    Sample(Sample),
}

/// What is the same for all documents of a run.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'s> {
    /// `$$NOW`, in milliseconds since 1970.
    pub now_ms: i64,
    /// What `$sample` draws by.
    pub seed: u64,
    /// The variables of the lookup around the pipeline.
    pub variables: &'s Variables,
}

impl Setting<'_> {
    /// Outside of all lookups.
    pub fn at(now_ms: i64) -> Self {
        Self { now_ms, seed: 0, variables: Variables::NONE }
    }

    /// What an expression sees of a document.
    pub(super) fn scope<'s>(&'s self, document: &'s Document, budget: &'s Budget) -> Scope<'s> {
        Scope::new(document, self.now_ms, budget).with(self.variables)
    }
}

/// Whether more documents can change the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// They can.
    More,
    /// They cannot: a limit is reached.
    Done,
}

/// A run of a segment.
#[derive(Debug)]
pub struct Run<'p> {
    states: Vec<State<'p>>,
    setting: Setting<'p>,
    /// Bytes of the documents that the last push put out.
    shown: u64,
    /// The last document that was only looked at.
    spent: Option<Document>,
}

#[derive(Debug)]
enum State<'p> {
    Match(&'p Match),
    Shape(&'p Shape),
    Replace(&'p Expression),
    Redact(&'p Expression),
    Unwind(&'p Unwind),
    Skip(u64),
    Limit(u64),
    Sort(SortState<'p>),
    Group(GroupState<'p>),
    Auto(AutoState<'p>),
    Sample(SampleState),
}

/// Where the documents of one push go.
struct Outlet<'o> {
    setting: &'o Setting<'o>,
    budget: &'o Budget,
    out: &'o mut Vec<Document>,
    shown: &'o mut u64,
    spent: &'o mut Option<Document>,
}

impl Segment {
    /// Begins a run.
    pub fn start<'p>(&'p self, setting: Setting<'p>) -> Run<'p> {
        let states = self.stages.iter().map(|stage| State::new(stage, setting.seed)).collect();
        Run { states, setting, shown: 0, spent: None }
    }
}

impl Run<'_> {
    /// Pushes one document in and appends to `out` what comes out because of it. The bytes of these are taken from the
    /// budget until the next call, by which time the caller has moved them elsewhere.
    ///
    /// # Errors
    /// Whatever an expression is refused for; `TooLarge` when the budget is used up. The run is of no use then.
    pub fn push(
        &mut self,
        document: Document,
        budget: &Budget,
        out: &mut Vec<Document>,
    ) -> Result<Flow> {
        budget.release(std::mem::take(&mut self.shown));
        let Self { states, setting, shown, spent } = self;
        feed(states, document, &mut Outlet { setting, budget, out, shown, spent })
    }

    /// A document that was pushed and of which nothing is kept, so that its memory can serve for another one.
    pub fn spent(&mut self) -> Option<Document> {
        self.spent.take()
    }

    /// Ends the run and appends what the stages held back.
    ///
    /// # Errors
    /// As [`Run::push`].
    pub fn finish(mut self, budget: &Budget, out: &mut Vec<Document>) -> Result<()> {
        budget.release(std::mem::take(&mut self.shown));
        let Self { states, setting, shown, spent } = &mut self;
        let mut outlet = Outlet { setting, budget, out, shown, spent };
        let mut rest = states.as_mut_slice();
        while let Some((state, behind)) = rest.split_first_mut() {
            for document in state.finish(budget)? {
                if feed(behind, document, &mut outlet)? == Flow::Done {
                    break;
                }
            }
            rest = behind;
        }
        budget.release(self.shown);
        Ok(())
    }
}

impl<'p> State<'p> {
    fn new(stage: &'p Stage, seed: u64) -> Self {
        match stage {
            Stage::Match(select) => Self::Match(select),
            Stage::Shape(shape) => Self::Shape(shape),
            Stage::Replace(expression) => Self::Replace(expression),
            Stage::Redact(expression) => Self::Redact(expression),
            Stage::Unwind(unwind) => Self::Unwind(unwind),
            Stage::Skip(count) => Self::Skip(*count),
            Stage::Limit(count) => Self::Limit(*count),
            Stage::Sort(sort) => Self::Sort(sort.start()),
            Stage::Group(group) => Self::Group(group.start()),
            Stage::Auto(auto) => Self::Auto(auto.start()),
            Stage::Sample(sample) => Self::Sample(sample.start(seed)),
        }
    }

    /// What a stage held back until the last document was in.
    fn finish(&mut self, budget: &Budget) -> Result<Vec<Document>> {
        match self {
            Self::Sort(state) => Ok(state.finish(budget)),
            Self::Group(state) => state.finish(budget),
            Self::Auto(state) => state.finish(budget),
            Self::Sample(state) => Ok(state.finish(budget)),
            _ => Ok(Vec::new()),
        }
    }
}

/// Pushes a document through `states`. The recursion is as deep as there are stages, which the parser bounds.
fn feed(states: &mut [State<'_>], document: Document, outlet: &mut Outlet<'_>) -> Result<Flow> {
    let (setting, budget) = (outlet.setting, outlet.budget);
    let Some((state, rest)) = states.split_first_mut() else { return outlet.show(document) };
    budget.step(1)?;
    let next = match state {
        State::Match(select) if select.matches(&document, setting, budget)? => Some(document),
        State::Match(_) => return Ok(outlet.spend(document)),
        State::Shape(shape) => Some(shape.apply(document, setting, budget)?),
        State::Replace(expression) => Some(replaced(expression, &document, setting, budget)?),
        State::Redact(expression) => redact::apply(expression, &document, setting, budget)?,
        State::Unwind(unwind) => return unwound(unwind, document, rest, outlet),
        State::Skip(0) => Some(document),
        State::Skip(left) => {
            *left -= 1;
            None
        }
        State::Limit(0) => return Ok(Flow::Done),
        State::Limit(left) => {
            *left -= 1;
            let is_last = *left == 0;
            let flow = feed(rest, document, outlet)?;
            return Ok(if is_last { Flow::Done } else { flow });
        }
        State::Sort(state) => return state.push(document, budget).map(|()| Flow::More),
        State::Group(state) => {
            state.push(&document, setting, budget)?;
            return Ok(outlet.spend(document));
        }
        State::Auto(state) => return state.push(document, setting, budget).map(|()| Flow::More),
        State::Sample(state) => return state.push(document, budget).map(|()| Flow::More),
    };
    match next {
        Some(document) => feed(rest, document, outlet),
        None => Ok(Flow::More),
    }
}

fn unwound(
    unwind: &Unwind,
    document: Document,
    rest: &mut [State<'_>],
    outlet: &mut Outlet<'_>,
) -> Result<Flow> {
    for document in unwind.apply(document, outlet.budget) {
        if feed(rest, document?, outlet)? == Flow::Done {
            return Ok(Flow::Done);
        }
    }
    Ok(Flow::More)
}

fn replaced(
    expression: &Expression,
    document: &Document,
    setting: &Setting<'_>,
    budget: &Budget,
) -> Result<Document> {
    match expression.evaluate(&setting.scope(document, budget))? {
        Some(Bson::Document(document)) => shape::checked(document, budget),
        _ => Err(Error::value("new root must be a document").operator("$replaceRoot")),
    }
}

impl Outlet<'_> {
    fn spend(&mut self, document: Document) -> Flow {
        *self.spent = Some(document);
        Flow::More
    }

    fn show(&mut self, document: Document) -> Result<Flow> {
        let bytes = weight_of_document(&document);
        self.budget.keep(bytes)?;
        *self.shown += bytes;
        self.out.push(document);
        Ok(Flow::More)
    }
}
