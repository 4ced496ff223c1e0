//! Directives to a rule set.

use std::collections::HashMap;
use std::sync::Arc;

use regex::bytes::RegexBuilder;

use super::link::{Chain, Effect, Link, NameFilter, RemovedTarget, Set, Skip, Source, TargetText};
use super::lists::is_dynamic;
use super::template::{Symbols, Template};
use super::{PHASES, RuleSet, Settings, Unserved};
use crate::gate::Gate;
use crate::operator::{Files, Operator};
use crate::seclang::Sources;
use crate::seclang::ast::{
    Action, Change, Collection, Control, Directive, DirectiveKind, Disruptive, Member,
    OperatorText, Problem, Rule, Selection, SourceSpan, Target, Text, Variable,
};
use crate::transformation::Transformation;

/// The phase of a rule that names none.
const PHASE_DEFAULT: u8 = 2;

/// Bytes that a compiled pattern over names may take.
const NAME_PATTERN_BYTES_MAX: usize = 1 << 20;

pub(super) fn compile(
    directives: Vec<Directive>,
    sources: &dyn Sources,
    unserved: Unserved,
) -> Result<RuleSet, Vec<Problem>> {
    let mut gathered = Gathered::default();
    directives.into_iter().for_each(|directive| gathered.add(directive));
    gathered.update();
    let Gathered { chains, markers, settings, signatures, problems, .. } = gathered;
    let mut compiler =
        Compiler { sources, unserved, left_out: Vec::new(), names: Symbols::new(), problems };
    let labels = Labels::of(&chains, &markers);
    let mut phases: [Vec<u32>; PHASES] = Default::default();
    let mut compiled = Vec::with_capacity(chains.len());
    for (at, chain) in chains.iter().enumerate() {
        phases[usize::from(chain.phase) - 1].push(u32::try_from(at).unwrap_or(u32::MAX));
        compiled.extend(compiler.chain(chain, &chains, &labels));
    }
    if compiler.problems.is_empty() {
        let Symbols { tx: tx_names, lists } = compiler.names;
        let mut tx_by_place = vec![Box::default(); tx_names.len()];
        tx_names.iter().for_each(|(name, &place)| tx_by_place[place as usize] = name.clone());
        let left_out = compiler.left_out;
        Ok(RuleSet {
            chains: compiled,
            phases,
            lists,
            tx_names,
            tx_by_place,
            settings,
            signatures,
            left_out,
        })
    } else {
        compiler
            .problems
            .sort_by(|a, b| (&a.place.file, a.place.line).cmp(&(&b.place.file, b.place.line)));
        Err(compiler.problems)
    }
}

fn problem(place: &SourceSpan, rule: Option<u64>, message: impl Into<String>) -> Problem {
    Problem { place: place.clone(), rule, message: message.into() }
}

/// What directives say, before anything is compiled.
#[derive(Default)]
struct Gathered {
    chains: Vec<ChainText>,
    /// A chain that wants a further rule.
    open: Option<ChainText>,
    /// Name, and how many chains stand before it.
    markers: Vec<(String, usize)>,
    defaults: HashMap<u8, Vec<Action>>,
    settings: Settings,
    signatures: Vec<String>,
    removals: Vec<Selection>,
    target_updates: Vec<(Selection, Vec<Target>)>,
    action_updates: Vec<(u64, usize, Vec<Action>, SourceSpan)>,
    problems: Vec<Problem>,
}

/// A chain as it was written.
struct ChainText {
    place: SourceSpan,
    id: Option<u64>,
    phase: u8,
    /// Actions of `SecDefaultAction` for its phase.
    defaults: Vec<Action>,
    links: Vec<LinkText>,
}

struct LinkText {
    place: SourceSpan,
    targets: Vec<Target>,
    operator: Option<OperatorText>,
    actions: Vec<Action>,
}

impl Gathered {
    fn add(&mut self, directive: Directive) {
        let Directive { place, kind } = directive;
        match kind {
            DirectiveKind::Rule(rule) => {
                let Rule { targets, operator, actions } = *rule;
                self.link(LinkText { place, targets, operator: Some(operator), actions });
            }
            DirectiveKind::Action(actions) => {
                self.link(LinkText { place, targets: Vec::new(), operator: None, actions });
            }
            DirectiveKind::DefaultAction(actions) => {
                let phase = phase_of(&actions).unwrap_or(PHASE_DEFAULT);
                self.defaults.insert(phase, actions);
            }
            DirectiveKind::Marker(name) => self.markers.push((name, self.chains.len())),
            DirectiveKind::Remove(selection) => self.removals.push(selection),
            DirectiveKind::UpdateTarget(selection, targets) => {
                self.target_updates.push((selection, targets));
            }
            DirectiveKind::UpdateAction(id, link, actions) => {
                self.action_updates.push((id, link.unwrap_or(0), actions, place));
            }
            DirectiveKind::Setting(setting) => self.settings.apply(setting),
            DirectiveKind::Signature(signature) => self.signatures.push(signature),
        }
    }

    /// Ends what is open, and does what directives say about rules of other places.
    fn update(&mut self) {
        let Self { chains, problems, .. } = self;
        if let Some(open) = self.open.take() {
            let message = "the chain ends without a further rule";
            problems.push(problem(&open.place, open.id, message));
        }
        chains.retain(|chain| !self.removals.iter().any(|selection| chain.is_meant(selection)));
        for (selection, targets) in &self.target_updates {
            for chain in chains.iter_mut().filter(|chain| chain.is_meant(selection)) {
                chain.update_targets(targets);
            }
        }
        for (id, link, actions, place) in std::mem::take(&mut self.action_updates) {
            let chain = chains.iter_mut().find(|chain| chain.id == Some(id));
            match chain.and_then(|chain| chain.links.get_mut(link)) {
                Some(link) => update_actions(&mut link.actions, actions),
                None => problems.push(problem(&place, Some(id), "there is no such rule to update")),
            }
        }
    }

    fn link(&mut self, link: LinkText) {
        let mut chain = self.open.take().unwrap_or_else(|| {
            let phase = phase_of(&link.actions).unwrap_or(PHASE_DEFAULT);
            let id = link.actions.iter().find_map(|action| match action {
                Action::Id(id) => Some(*id),
                _ => None,
            });
            let defaults = self.defaults.get(&phase).cloned().unwrap_or_default();
            ChainText { place: link.place.clone(), id, phase, defaults, links: Vec::new() }
        });
        let goes_on = link.actions.contains(&Action::Chain);
        chain.links.push(link);
        if goes_on {
            self.open = Some(chain);
        } else {
            self.chains.push(chain);
        }
    }
}

fn phase_of(actions: &[Action]) -> Option<u8> {
    actions.iter().rev().find_map(|action| match action {
        Action::Phase(phase) if (1..=PHASES).contains(&usize::from(*phase)) => Some(*phase),
        _ => None,
    })
}

/// The actions of an update come after what stands; transformations and the id stay what they were.
fn update_actions(actions: &mut Vec<Action>, update: Vec<Action>) {
    let changes = update
        .into_iter()
        .filter(|action| !matches!(action, Action::Id(_) | Action::Phase(_) | Action::Chain));
    actions.extend(changes);
}

impl ChainText {
    fn is_meant(&self, selection: &Selection) -> bool {
        let mut actions = self.links.iter().flat_map(|link| &link.actions);
        match selection {
            Selection::Ids(ranges) => {
                self.id.is_some_and(|id| ranges.iter().any(|&(from, to)| (from..=to).contains(&id)))
            }
            Selection::Tag(tag) => {
                actions.any(|action| matches!(action, Action::Tag(text) if is_text(text, tag)))
            }
            Selection::Message(message) => actions
                .any(|action| matches!(action, Action::Message(text) if is_text(text, message))),
        }
    }

    /// Targets are left out of every rule of the chain and added to the first.
    fn update_targets(&mut self, targets: &[Target]) {
        for (at, link) in self.links.iter_mut().enumerate() {
            let meant = targets.iter().filter(|target| target.is_excluded || at == 0);
            link.targets.extend(meant.cloned());
        }
    }
}

fn is_text(text: &Text, wanted: &str) -> bool {
    text.as_literal().is_some_and(|text| text == wanted.as_bytes())
}

/// Where the markers stand in each phase.
struct Labels(HashMap<String, [u32; PHASES]>);

impl Labels {
    fn of(chains: &[ChainText], markers: &[(String, usize)]) -> Self {
        let place = |before: usize| {
            let mut places = [0; PHASES];
            chains.iter().take(before).for_each(|chain| places[usize::from(chain.phase) - 1] += 1);
            places
        };
        Self(markers.iter().map(|(name, before)| (name.clone(), place(*before))).collect())
    }
}

/// The files that stand beside a rule's own.
struct Beside<'s> {
    sources: &'s dyn Sources,
    /// The rule's file.
    file: &'s str,
}

impl Files for Beside<'_> {
    fn read(&self, name: &str) -> Result<Vec<u8>, String> {
        match self.file.rfind('/') {
            Some(at) if !name.starts_with('/') => {
                self.sources.read(&format!("{}/{name}", &self.file[..at]))
            }
            _ => self.sources.read(name),
        }
    }
}

struct Compiler<'s> {
    sources: &'s dyn Sources,
    unserved: Unserved,
    /// Rules that never match, because nothing here can do what they ask.
    left_out: Vec<Problem>,
    names: Symbols,
    problems: Vec<Problem>,
}

impl Compiler<'_> {
    fn chain(&mut self, text: &ChainText, all: &[ChainText], labels: &Labels) -> Option<Chain> {
        let mut links = Vec::with_capacity(text.links.len());
        for link in &text.links {
            match self.link(link, text, all) {
                Ok(link) => links.push(link),
                Err(message) if self.unserved == Unserved::LeaveOut => {
                    self.left_out.push(problem(&link.place, text.id, message));
                    links.push(Link::never());
                }
                Err(message) => self.problems.push(problem(&link.place, text.id, message)),
            }
        }
        let mut chain = Chain {
            place: text.place.clone(),
            id: text.id,
            links,
            disruptive: Disruptive::Pass,
            status: None,
            skip: None,
            is_logged: true,
            is_audited: true,
            message: Template::default(),
            log_data: Template::default(),
            severity: None,
            tags: Vec::new(),
            revision: None,
            version: None,
            sanitise: Vec::new(),
        };
        let default = text.defaults.iter().find_map(|action| match action {
            Action::Disruptive(disruptive) => Some(disruptive.clone()),
            _ => None,
        });
        for action in text.defaults.iter().chain(text.links.iter().flat_map(|link| &link.actions)) {
            self.describe(&mut chain, action, default.as_ref());
            match action {
                Action::Skip(count) => chain.skip = Some(Skip::Rules(*count)),
                Action::SkipAfter(label) => match labels.0.get(label) {
                    Some(places) => {
                        chain.skip = Some(Skip::To(places[usize::from(text.phase) - 1]));
                    }
                    None => {
                        let message =
                            format!("skipAfter:{label} names a marker that no SecMarker sets");
                        self.problems.push(problem(&text.place, text.id, message));
                    }
                },
                _ => {}
            }
        }
        (chain.links.len() == text.links.len()).then_some(chain)
    }

    /// What a chain is, says and does once all of it has matched.
    fn describe(&mut self, chain: &mut Chain, action: &Action, default: Option<&Disruptive>) {
        match action {
            Action::Disruptive(Disruptive::Block) => {
                chain.disruptive = default.cloned().unwrap_or(Disruptive::Pass);
            }
            Action::Disruptive(disruptive) => chain.disruptive = disruptive.clone(),
            Action::Status(status) => chain.status = Some(*status),
            Action::Log(is_on) => (chain.is_logged, chain.is_audited) = (*is_on, *is_on),
            Action::AuditLog(is_on) => chain.is_audited = *is_on,
            Action::Message(text) => chain.message = self.names.template(text),
            Action::LogData(text) => chain.log_data = self.names.template(text),
            Action::Severity(severity) => chain.severity = Some(*severity),
            Action::Tag(text) => chain.tags.push(self.names.template(text)),
            Action::Revision(text) => chain.revision = Some(text.clone()),
            Action::Version(text) => chain.version = Some(text.clone()),
            Action::Sanitise(what) => chain.sanitise.push(what.clone()),
            _ => {}
        }
    }

    fn link(
        &mut self,
        text: &LinkText,
        chain: &ChainText,
        all: &[ChainText],
    ) -> Result<Link, String> {
        let mut steps: Vec<Transformation> = Vec::new();
        for action in chain.defaults.iter().chain(&text.actions) {
            match action {
                Action::Transformation(step) => steps.push(*step),
                Action::TransformationsNone => steps.clear(),
                _ => {}
            }
        }
        let (operator, argument, is_negated) = match &text.operator {
            Some(operator) => {
                let beside = Beside { sources: self.sources, file: &text.place.file };
                let compiled = compile_operator(operator, &beside)?;
                (compiled, self.argument(operator), operator.is_negated)
            }
            None => (Operator::always(), None, false),
        };
        let gate = if is_negated || argument.is_some() { Gate::open() } else { operator.gate() };
        let is_multi_match = text.actions.contains(&Action::MultiMatch);
        let mut targets = Vec::new();
        let mut excluded = Vec::new();
        for target in &text.targets {
            if target.is_excluded {
                excluded.push((target.variable, self.filter(target)?));
            } else {
                targets.push(self.target(target, &steps, is_multi_match)?);
            }
        }
        let without = |target: &TargetText| {
            !excluded
                .iter()
                .any(|(variable, filter)| *variable == target.variable && filter.is_none())
        };
        targets.retain(without);
        if text.operator.is_none() {
            let source = Source::Nothing;
            targets = vec![TargetText {
                is_count: false,
                variable: Variable::Rule,
                source,
                filter: None,
            }];
        }
        let mut effects = Vec::new();
        for action in &text.actions {
            effects.extend(self.effect(action, all)?);
        }
        Ok(Link {
            targets,
            excluded,
            steps: steps.into(),
            is_multi_match,
            operator,
            is_negated,
            argument,
            gate,
            is_capturing: text.actions.contains(&Action::Capture),
            effects,
        })
    }

    fn argument(&mut self, text: &OperatorText) -> Option<Template> {
        text.argument.as_literal().is_none().then(|| self.names.template(&text.argument))
    }

    fn target(
        &mut self,
        target: &Target,
        steps: &[Transformation],
        is_multi_match: bool,
    ) -> Result<TargetText, String> {
        let variable = target.variable;
        if variable == Variable::Geo {
            return Err("GEO is not offered: nothing here looks addresses up".into());
        }
        let mut filter = None;
        let source = match (&target.member, is_dynamic(variable)) {
            (Some(Member::Named(name)), true) if variable == Variable::Tx => {
                Source::Tx(self.names.place(name.as_bytes()))
            }
            (_, true) => {
                filter = self.filter(target)?;
                Source::Dynamic
            }
            (Some(Member::Matching(_)) | None, false) => {
                filter = self.filter(target)?;
                self.list(variable, None, (steps, is_multi_match))
            }
            (Some(Member::Named(name)), false) => {
                self.list(variable, Some(name), (steps, is_multi_match))
            }
            (Some(Member::XPath(path)), false) if ["/*", "//@*"].contains(&path.as_str()) => {
                self.list(variable, Some(path), (steps, is_multi_match))
            }
            (Some(Member::XPath(path)), false) => {
                return Err(format!("the XPath {path} is not offered, /* and //@* are"));
            }
        };
        Ok(TargetText { is_count: target.is_count, variable, source, filter })
    }

    fn list(
        &mut self,
        variable: Variable,
        name: Option<&str>,
        (steps, is_multi_match): (&[Transformation], bool),
    ) -> Source {
        let lists = &mut self.names.lists;
        let list = lists.list(variable, name);
        let first = if is_multi_match { 0 } else { steps.len() };
        let forms = (first..=steps.len()).map(|count| lists.group(list, &steps[..count]));
        Source::List(list, forms.collect())
    }

    fn filter(&self, target: &Target) -> Result<Option<NameFilter>, String> {
        match &target.member {
            None => Ok(None),
            Some(Member::Named(name) | Member::XPath(name)) => {
                Ok(Some(NameFilter::Is(name.as_bytes().into())))
            }
            Some(Member::Matching(pattern)) => RegexBuilder::new(pattern)
                .unicode(false)
                .case_insensitive(true)
                .size_limit(NAME_PATTERN_BYTES_MAX)
                .build()
                .map(|pattern| Some(NameFilter::Matches(pattern)))
                .map_err(|error| format!("/{pattern}/: {error}")),
        }
    }

    fn effect(&mut self, action: &Action, all: &[ChainText]) -> Result<Option<Effect>, String> {
        let effect = match action {
            Action::SetVariable(set) => {
                let change = match &set.change {
                    Change::Set(text) => Set::To(self.names.template(text)),
                    Change::Add(text) => Set::Add(self.names.template(text)),
                    Change::Subtract(text) => Set::Subtract(self.names.template(text)),
                    Change::Remove => Set::Remove,
                };
                match set.collection {
                    Collection::Tx => Effect::SetTx(self.names.tx_name(&set.name), change),
                    other => Effect::SetCollection(other, self.names.template(&set.name), change),
                }
            }
            Action::ExpireVariable(collection, name, seconds) => {
                Effect::Expire(*collection, self.names.template(name), self.names.template(seconds))
            }
            Action::InitCollection(collection, key) => {
                Effect::Init(*collection, self.names.template(key))
            }
            Action::SetKey(collection, key) => {
                Effect::SetKey(*collection, self.names.template(key))
            }
            Action::SetEnvironment(name, value) => {
                Effect::SetEnvironment(self.names.template(name), self.names.template(value))
            }
            Action::Control(Control::Elsewhere(_)) => return Ok(None),
            Action::Control(Control::Remove(selection)) => Effect::Remove(meant(all, selection)),
            Action::Control(Control::RemoveTarget(selection, target)) => {
                let filter = self.filter(target)?;
                let (chains, variable) = (meant(all, selection), target.variable);
                Effect::RemoveTarget(Arc::new(RemovedTarget { chains, variable, filter }))
            }
            Action::Control(control) => Effect::Control(control.clone()),
            _ => return Ok(None),
        };
        Ok(Some(effect))
    }
}

fn meant(all: &[ChainText], selection: &Selection) -> Box<[u32]> {
    let places = all.iter().enumerate().filter(|(_, chain)| chain.is_meant(selection));
    places.filter_map(|(at, _)| u32::try_from(at).ok()).collect()
}

fn compile_operator(text: &OperatorText, files: &dyn Files) -> Result<Operator, String> {
    Operator::compile(&text.name, text.argument.as_literal(), files)
        .map_err(|message| format!("@{}: {message}", text.name))
}
