//! The values of one transaction, and what they look like through transformations.
//!
//! Values stand in one arena. Bodies, and large values that readers have made, stand beside it as they came; a value that is
//! a slice of the body is no copy of it.

use bytes::Bytes;

use crate::bytes::ByteSet;
use crate::gate::Gate;
use crate::rules::{GroupId, ListId, RuleSet};
use crate::seclang::ast::Variable;
use crate::signature::{Small, Union};
use crate::transformation::Transformation;

/// Bytes of a value that is not copied into the arena but kept as its reader made it. Smaller ones are better off there.
const OWNED_BYTES_MIN: usize = 4096;

/// Bytes in the arena or beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// 0 is the arena, others are places in `beside`, counted from 1.
    region: u32,
    start: u32,
    len: u32,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    name: Span,
    value: Span,
}

/// A list as seen through a pipeline, as far as rules have asked.
#[derive(Debug, Default)]
struct View {
    /// The state of the list that it shows; see `Store::epochs`.
    epoch: u32,
    forms: Vec<Span>,
    small: Vec<Small>,
    union: Option<Box<Union>>,
}

/// Everything that a request and its response are made of, as rules see it.
#[derive(Debug, Default)]
pub(super) struct Store {
    arena: Vec<u8>,
    /// What stands beside the arena.
    beside: Vec<Bytes>,
    /// Bytes of those of them that are values alone.
    owned_bytes: usize,
    items: Vec<Item>,
    lists: Vec<Vec<u32>>,
    /// Counts how often a list began anew, so that views of it do too.
    epochs: Vec<u32>,
    views: Vec<View>,
    scratch: Vec<u8>,
    /// Bytes that may yet go through transformations. Once it is 0, views are no longer what their lists are, and no rule may
    /// be asked of them.
    work_left: u64,
    /// Bytes of the arena beyond which nothing is transformed.
    kept_bytes_max: usize,
}

impl Store {
    pub(super) fn new(rules: &RuleSet, kept_bytes_max: usize) -> Self {
        let lists = rules.lists.count as usize;
        Self {
            arena: Vec::with_capacity(4096),
            lists: vec![Vec::new(); lists],
            epochs: vec![0; lists],
            kept_bytes_max,
            views: rules.lists.groups.iter().map(|_| View::default()).collect(),
            ..Self::default()
        }
    }

    /// Keeps bytes until the transaction ends.
    pub(super) fn keep(&mut self, bytes: &[u8]) -> Span {
        let span = Span { region: 0, start: self.arena.len() as u32, len: bytes.len() as u32 };
        self.arena.extend_from_slice(bytes);
        span
    }

    /// Keeps a body as it is. Until another follows, values that are slices of it are not copied.
    pub(super) fn keep_body(&mut self, body: Bytes) {
        self.beside.push(body);
    }

    /// The bytes where they stand already, if they are a slice of the last body.
    fn borrow(&self, bytes: &[u8]) -> Option<Span> {
        let body = self.beside.last()?.as_ptr_range();
        let part = bytes.as_ptr_range();
        let is_part = !bytes.is_empty() && body.start <= part.start && part.end <= body.end;
        is_part.then(|| Span {
            region: self.beside.len() as u32,
            start: (part.start.addr() - body.start.addr()) as u32,
            len: bytes.len() as u32,
        })
    }

    fn borrow_or_keep(&mut self, bytes: &[u8]) -> Span {
        self.borrow(bytes).unwrap_or_else(|| self.keep(bytes))
    }

    pub(super) fn bytes(&self, span: Span) -> &[u8] {
        let region = match span.region {
            0 => self.arena.as_slice(),
            at => &self.beside[at as usize - 1],
        };
        &region[span.start as usize..][..span.len as usize]
    }

    /// Bytes that are kept beside bodies.
    pub(super) fn len(&self) -> usize {
        self.arena.len() + self.owned_bytes
    }

    /// Whether more is kept than may be.
    pub(super) fn is_full(&self) -> bool {
        self.len() > self.kept_bytes_max
    }

    /// Memory that values and bodies take.
    pub(super) fn held_bytes(&self) -> usize {
        let beside: usize = self.beside.iter().map(Bytes::len).sum();
        self.arena.capacity() + beside + self.items.capacity() * size_of::<Item>()
    }

    /// Adds a value to a collection, if any rule looks at it.
    pub(super) fn add(&mut self, rules: &RuleSet, variable: Variable, name: &[u8], value: &[u8]) {
        self.add_all(rules, &[variable], name, value);
    }

    /// Adds one value to several collections.
    pub(super) fn add_all(
        &mut self,
        rules: &RuleSet,
        variables: &[Variable],
        name: &[u8],
        value: &[u8],
    ) {
        let mut item = None;
        for &variable in variables {
            for list in [rules.lists.whole(variable), rules.lists.named(variable, name)]
                .into_iter()
                .flatten()
            {
                let item = *item.get_or_insert_with(|| self.item(name, value));
                self.lists[list as usize].push(item);
            }
        }
    }

    /// Adds a value that nobody else needs to several collections.
    pub(super) fn add_all_owned(
        &mut self,
        rules: &RuleSet,
        variables: &[Variable],
        name: &[u8],
        value: Vec<u8>,
    ) {
        let lists = &rules.lists;
        let is_seen = |it: &Variable| lists.whole(*it).or(lists.named(*it, name)).is_some();
        if value.len() < OWNED_BYTES_MIN || !variables.iter().any(is_seen) {
            return self.add_all(rules, variables, name, &value);
        }
        let value = Bytes::from(value);
        self.owned_bytes += value.len();
        self.keep_body(value.clone());
        self.add_all(rules, variables, name, &value);
    }

    fn item(&mut self, name: &[u8], value: &[u8]) -> u32 {
        let name_span = self.borrow_or_keep(name);
        // A name is a value of the collection of names.
        let value_span = match name.as_ptr_range() == value.as_ptr_range() {
            true => name_span,
            false => self.borrow_or_keep(value),
        };
        self.items.push(Item { name: name_span, value: value_span });
        self.items.len() as u32 - 1
    }

    /// Makes a value the only one of its variable.
    pub(super) fn set(&mut self, rules: &RuleSet, variable: Variable, value: &[u8]) {
        self.clear(rules, variable);
        self.add(rules, variable, b"", value);
    }

    /// Empties a variable that has no members.
    pub(super) fn clear(&mut self, rules: &RuleSet, variable: Variable) {
        if let Some(list) = rules.lists.whole(variable) {
            self.lists[list as usize].clear();
            self.epochs[list as usize] += 1;
        }
    }

    pub(super) fn count(&self, list: ListId) -> usize {
        self.lists[list as usize].len()
    }

    pub(super) fn name(&self, list: ListId, at: usize) -> Span {
        self.items[self.lists[list as usize][at] as usize].name
    }

    pub(super) fn value(&self, list: ListId, at: usize) -> Span {
        self.items[self.lists[list as usize][at] as usize].value
    }

    /// The first value of a list.
    pub(super) fn first(&self, list: ListId) -> Option<&[u8]> {
        let item = self.lists[list as usize].first()?;
        Some(self.bytes(self.items[*item as usize].value))
    }

    /// Sees to it that a group shows its list as it is, and gives the group that shows the same with less work. Takes the
    /// bytes that it reads from `work_left`; where they reach 0 the group is not to be looked at.
    pub(super) fn prepare_within(
        &mut self,
        rules: &RuleSet,
        id: GroupId,
        work_left: &mut u64,
    ) -> GroupId {
        self.work_left = *work_left;
        let shown = self.prepare(rules, id);
        *work_left = self.work_left;
        shown
    }

    fn prepare(&mut self, rules: &RuleSet, id: GroupId) -> GroupId {
        let group = &rules.lists.groups[id as usize];
        let Some((before, step)) = group.last else {
            self.extend_raw(id, group.list);
            return id;
        };
        self.extend_raw(group.raw, group.list);
        if !group.changes_empty && !group.triggers.meets(&self.bytes_of(group.raw)) {
            return group.raw;
        }
        let before = self.prepare(rules, before);
        if !step.changes_empty() && !step.triggers().meets(&self.bytes_of(before)) {
            return before;
        }
        let mut view = self.take_view(id, group.list);
        for at in view.forms.len()..self.lists[group.list as usize].len() {
            let (form, small) = self.step(before, at, step, &mut view);
            view.forms.push(form);
            view.small.push(small);
        }
        if let Some(known) = &self.views[before as usize].union {
            view.union.get_or_insert_default().merge(known);
        }
        self.views[id as usize] = view;
        id
    }

    /// Shows the values of a list as they are.
    fn extend_raw(&mut self, id: GroupId, list: ListId) {
        let count = self.lists[list as usize].len();
        let view = &self.views[id as usize];
        if view.forms.len() == count && view.epoch == self.epochs[list as usize] {
            return;
        }
        let mut view = self.take_view(id, list);
        for at in view.forms.len()..count {
            let form = self.value(list, at);
            view.small.push(view.union.get_or_insert_default().add(self.bytes(form)));
            view.forms.push(form);
        }
        self.views[id as usize] = view;
    }

    /// A view as far as it still shows its list. Whoever takes it puts it back.
    fn take_view(&mut self, id: GroupId, list: ListId) -> View {
        let mut view = std::mem::take(&mut self.views[id as usize]);
        if view.epoch != self.epochs[list as usize] {
            view = View { epoch: self.epochs[list as usize], ..View::default() };
        }
        view
    }

    /// What all values of a prepared group are made of.
    fn bytes_of(&self, id: GroupId) -> ByteSet {
        self.views[id as usize].union.as_deref().map_or(ByteSet::NONE, |union| union.bytes)
    }

    /// A value of a prepared group one step further. What the step does not change keeps its place.
    fn step(
        &mut self,
        before: GroupId,
        at: usize,
        step: Transformation,
        view: &mut View,
    ) -> (Span, Small) {
        let known = &self.views[before as usize];
        let (form, small) = (known.forms[at], known.small[at]);
        let may_change =
            step.triggers().meets(&small.bytes) || (form.len == 0 && step.changes_empty());
        if !may_change {
            return (form, small);
        }
        self.work_left = self.work_left.saturating_sub(u64::from(form.len));
        if self.work_left == 0 || self.is_full() {
            self.work_left = 0;
            return (form, small);
        }
        let mut next = std::mem::take(&mut self.scratch);
        let changed = step.apply(self.bytes(form), &mut next).then(|| self.keep(&next));
        self.scratch = next;
        match changed {
            Some(form) => (form, view.union.get_or_insert_default().add(self.bytes(form))),
            None => (form, small),
        }
    }

    /// Whether any value of a prepared group may match.
    #[inline]
    pub(super) fn may_match(&self, id: GroupId, gate: &Gate) -> bool {
        self.views[id as usize].union.as_deref().is_some_and(|union| gate.passes_union(union))
    }

    /// Whether one value of a prepared group may match.
    #[inline]
    pub(super) fn passes(&self, id: GroupId, at: usize, gate: &Gate) -> bool {
        gate.passes(&self.views[id as usize].small[at])
    }

    /// A value of a prepared group.
    pub(super) fn form(&self, id: GroupId, at: usize) -> Span {
        self.views[id as usize].forms[at]
    }
}
