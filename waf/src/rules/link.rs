//! One rule, and a chain of rules.

use std::sync::Arc;

use regex::bytes::Regex;

use super::lists::{GroupId, ListId};
use super::template::{Template, TxName};
use crate::gate::Gate;
use crate::operator::Operator;
use crate::seclang::ast::{Collection, Control, Disruptive, Sanitise, SourceSpan, Variable};
use crate::transformation::Transformation;

/// A rule with those that are chained to it: all must match.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) place: SourceSpan,
    pub(crate) id: Option<u64>,
    pub(crate) links: Vec<Link>,
    pub(crate) disruptive: Disruptive,
    pub(crate) status: Option<u16>,
    pub(crate) skip: Option<Skip>,
    pub(crate) is_logged: bool,
    pub(crate) is_audited: bool,
    pub(crate) message: Template,
    pub(crate) log_data: Template,
    pub(crate) severity: Option<u8>,
    pub(crate) tags: Vec<Template>,
    pub(crate) revision: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) sanitise: Vec<Sanitise>,
}

/// Where a phase goes on after a match.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Skip {
    /// So many rules further.
    Rules(u32),
    /// At this place of the phase.
    To(u32),
}

/// One rule of a chain.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) targets: Vec<TargetText>,
    pub(crate) excluded: Vec<(Variable, Option<NameFilter>)>,
    pub(crate) steps: Box<[Transformation]>,
    pub(crate) is_multi_match: bool,
    pub(crate) operator: Operator,
    pub(crate) is_negated: bool,
    /// The operator's argument, where it has macros.
    pub(crate) argument: Option<Template>,
    pub(crate) gate: Gate,
    pub(crate) is_capturing: bool,
    pub(crate) effects: Vec<Effect>,
}

impl Link {
    /// A rule that never matches.
    pub(super) fn never() -> Self {
        Self {
            targets: Vec::new(),
            excluded: Vec::new(),
            steps: Box::default(),
            is_multi_match: false,
            operator: Operator::never(),
            is_negated: false,
            argument: None,
            gate: Gate::open(),
            is_capturing: false,
            effects: Vec::new(),
        }
    }
}

/// Something that a rule looks at.
#[derive(Debug)]
pub(crate) struct TargetText {
    pub(crate) is_count: bool,
    pub(crate) variable: Variable,
    pub(crate) source: Source,
    /// Names that are meant, where a list holds others too.
    pub(crate) filter: Option<NameFilter>,
}

/// Where the values of a target come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A list that requests fill, in the forms in which it is looked at: behind all transformations, or with `multiMatch`
    /// before all of them and behind each.
    List(ListId, Box<[GroupId]>),
    /// One TX variable.
    Tx(u32),
    /// What changes while rules run.
    Dynamic,
    /// A rule that looks at nothing: `SecAction`.
    Nothing,
}

/// Which names are meant.
#[derive(Clone, Debug)]
pub(crate) enum NameFilter {
    /// This one, compared without case.
    Is(Box<[u8]>),
    Matches(Regex),
}

impl NameFilter {
    pub(crate) fn holds(&self, name: &[u8]) -> bool {
        match self {
            Self::Is(wanted) => wanted.eq_ignore_ascii_case(name),
            Self::Matches(pattern) => pattern.is_match(name),
        }
    }
}

/// What each match of a rule does, whatever becomes of its chain.
#[derive(Debug)]
pub(crate) enum Effect {
    SetTx(TxName, Set),
    SetCollection(Collection, Template, Set),
    Expire(Collection, Template, Template),
    Init(Collection, Template),
    SetKey(Collection, Template),
    SetEnvironment(Template, Template),
    Control(Control),
    /// `ctl:ruleRemoveTarget…`.
    RemoveTarget(Arc<RemovedTarget>),
    /// `ctl:ruleRemoveBy…`: the places in `chains` that are meant.
    Remove(Box<[u32]>),
}

/// A target that some rules no longer look at.
#[derive(Debug)]
pub(crate) struct RemovedTarget {
    /// The places in `chains` that are meant, in order.
    pub(crate) chains: Box<[u32]>,
    pub(crate) variable: Variable,
    pub(crate) filter: Option<NameFilter>,
}

/// What becomes of a variable.
#[derive(Debug)]
pub(crate) enum Set {
    To(Template),
    Add(Template),
    Subtract(Template),
    Remove,
}
