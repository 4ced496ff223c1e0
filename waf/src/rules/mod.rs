//! A compiled set of rules: what the engine runs.
//!
//! `compile.rs` makes it of directives; `link.rs` is one rule of a chain; `lists.rs` says which lists of values and which
//! transformed forms of them any rule looks at, so that a transaction keeps those and no others; `template.rs` is text
//! with macros, `settings.rs` what the directives set.

mod compile;
mod link;
mod lists;
mod settings;
mod template;

use std::collections::HashMap;

pub(crate) use self::link::{Chain, Effect, Link, RemovedTarget, Set, Skip, Source, TargetText};
pub(crate) use self::lists::{GroupId, ListId, Lists};
pub use self::settings::Settings;
pub(crate) use self::template::{Part, Template, TxName};
use crate::seclang::ast::{Directive, Problem};
use crate::seclang::{self, Sources};

/// Phases of a transaction.
pub const PHASES: usize = 5;

/// A compiled set of rules.
#[derive(Debug)]
pub struct RuleSet {
    /// In the order of the text.
    pub(crate) chains: Vec<Chain>,
    /// Places in `chains` by phase.
    pub(crate) phases: [Vec<u32>; PHASES],
    pub(crate) lists: Lists,
    /// The TX variables that the text names, lowercase, by their place.
    pub(crate) tx_names: HashMap<Box<[u8]>, u32>,
    /// The same names by place.
    pub(crate) tx_by_place: Vec<Box<[u8]>>,
    pub(crate) settings: Settings,
    /// `SecComponentSignature`s.
    signatures: Vec<String>,
    left_out: Vec<Problem>,
}

/// What becomes of a rule whose operator nothing here can serve: one that looks somewhere else up, or a pattern that linear
/// time cannot match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unserved {
    /// It is a mistake, as every other.
    Refuse,
    /// It never matches, and [`RuleSet::left_out`] names it.
    LeaveOut,
}

impl RuleSet {
    /// Reads a file of rules and all that it includes, and compiles them.
    ///
    /// # Errors
    /// Every mistake, each with its place.
    pub fn load(root: &str, sources: &dyn Sources) -> Result<Self, Vec<Problem>> {
        Self::load_with(root, sources, Unserved::Refuse)
    }

    /// The same, where rules that nothing here can serve may be left out.
    ///
    /// # Errors
    /// As [`RuleSet::load`].
    pub fn load_with(
        root: &str,
        sources: &dyn Sources,
        unserved: Unserved,
    ) -> Result<Self, Vec<Problem>> {
        compile::compile(seclang::load(root, sources)?, sources, unserved)
    }

    /// Compiles directives. Files that operators read lie beside the file of their rule.
    ///
    /// # Errors
    /// Every mistake, each with its place: operators that cannot be compiled, markers that are not there, variables that
    /// nothing fills.
    pub fn compile(
        directives: Vec<Directive>,
        sources: &dyn Sources,
    ) -> Result<Self, Vec<Problem>> {
        compile::compile(directives, sources, Unserved::Refuse)
    }

    /// How many rules there are, a chain counting as one.
    pub fn len(&self) -> usize {
        self.chains.len()
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.chains.is_empty()
    }

    /// The places of the rules whose ids are in these ranges, for [`crate::Transaction::leave_out`].
    pub fn places(&self, ids: &[(u64, u64)]) -> Box<[u32]> {
        let is_meant = |id: u64| ids.iter().any(|&(from, to)| (from..=to).contains(&id));
        let chains = (0..).zip(&self.chains);
        chains.filter(|(_, chain)| chain.id.is_some_and(is_meant)).map(|(at, _)| at).collect()
    }

    /// What the components of the set call themselves.
    pub fn signatures(&self) -> &[String] {
        &self.signatures
    }

    /// The rules that never match, each with the reason.
    pub fn left_out(&self) -> &[Problem] {
        &self.left_out
    }

    /// What the directives set.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}
