//! Which lists of values do rules look at, and in which transformed forms?
//!
//! A *list* holds the values of one variable, or those of one name of it. A *group* is a list seen through a pipeline of
//! transformations. Both are numbered when rules are compiled, so that a transaction fills a few dense tables, transforms
//! a value once however many rules ask for the same form, and knows for a whole group what its values are made of.

use std::collections::HashMap;

use crate::bytes::ByteSet;
use crate::seclang::ast::Variable;
use crate::transformation::Transformation;

/// A list, by its place.
pub(crate) type ListId = u32;
/// A group, by its place.
pub(crate) type GroupId = u32;

/// A list seen through a pipeline: through that of another group, and one step more.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) list: ListId,
    /// The group of the same list without transformations.
    pub(crate) raw: GroupId,
    /// The group before the last step, and that step; nothing for a raw group.
    pub(crate) last: Option<(GroupId, Transformation)>,
    /// Bytes of which one must be in a value that the steps change.
    pub(crate) triggers: ByteSet,
    /// Whether the steps make something of no bytes at all.
    pub(crate) changes_empty: bool,
}

/// All lists and groups of a rule set.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    /// The list of all values, by variable.
    whole: HashMap<Variable, ListId>,
    /// The lists of one name, by variable and name in lowercase.
    named: HashMap<Variable, HashMap<Box<[u8]>, ListId>>,
    pub(crate) count: u32,
    pub(crate) groups: Vec<Group>,
    by_form: HashMap<(ListId, Box<[Transformation]>), GroupId>,
}

impl Lists {
    pub(crate) fn whole(&self, variable: Variable) -> Option<ListId> {
        self.whole.get(&variable).copied()
    }

    /// Whether a rule asks for the variable, or for one name of it.
    pub(crate) fn has(&self, variable: Variable) -> bool {
        self.whole.contains_key(&variable) || self.named.contains_key(&variable)
    }

    /// The list of one name, if a rule asks for it.
    pub(crate) fn named(&self, variable: Variable, name: &[u8]) -> Option<ListId> {
        let lists = self.named.get(&variable)?;
        // Names are rarely written with capitals and rarely long.
        let mut lower = [0; 64];
        match lower.get_mut(..name.len()) {
            Some(lower) => {
                lower.copy_from_slice(name);
                lower.make_ascii_lowercase();
                lists.get(&*lower).copied()
            }
            None => lists.get(name.to_ascii_lowercase().as_slice()).copied(),
        }
    }

    /// Numbers the list of a variable, or of one name of it.
    pub(super) fn list(&mut self, variable: Variable, name: Option<&str>) -> ListId {
        let next = self.count;
        let id = match name {
            None => *self.whole.entry(variable).or_insert(next),
            Some(name) => {
                let name = name.to_ascii_lowercase().into_bytes().into();
                *self.named.entry(variable).or_default().entry(name).or_insert(next)
            }
        };
        self.count += u32::from(id == next);
        id
    }

    /// Numbers a group.
    pub(super) fn group(&mut self, list: ListId, steps: &[Transformation]) -> GroupId {
        if let Some(&known) = self.by_form.get(&(list, steps.into())) {
            return known;
        }
        let last = steps.split_last().map(|(step, before)| (self.group(list, before), *step));
        let raw = last.map(|_| self.group(list, &[]));
        let id = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        let triggers = steps.iter().fold(ByteSet::NONE, |all, step| all.or(*step.triggers()));
        let changes_empty = steps.iter().any(|step| step.changes_empty());
        self.groups.push(Group { list, raw: raw.unwrap_or(id), last, triggers, changes_empty });
        self.by_form.insert((list, steps.into()), id);
        id
    }
}

/// Variables that change while rules run; all others are lists that the request and its response fill.
pub(super) fn is_dynamic(variable: Variable) -> bool {
    use Variable as V;
    matches!(
        variable,
        V::Tx
            | V::Ip
            | V::Global
            | V::Resource
            | V::Session
            | V::User
            | V::Env
            | V::MatchedVar
            | V::MatchedVarName
            | V::MatchedVars
            | V::MatchedVarsNames
            | V::Duration
            | V::HighestSeverity
            | V::Rule
            | V::Time
            | V::TimeDay
            | V::TimeEpoch
            | V::TimeHour
            | V::TimeMin
            | V::TimeMon
            | V::TimeSec
            | V::TimeWday
            | V::TimeYear
    )
}
