//! What holds between the actions of a rule, and between directives: ids, chains, markers, default actions.

use std::collections::HashMap;

use super::CHAIN_LINKS_MAX;
use super::ast::{Action, Directive, DirectiveKind, Disruptive, Problem, SourceSpan};

/// What was seen so far.
#[derive(Default)]
pub(super) struct Checks {
    /// Where each id is.
    ids: HashMap<u64, SourceSpan>,
    /// Where each marker is.
    markers: HashMap<String, (usize, SourceSpan)>,
    /// Each `skipAfter`: the directive's place in order, where it is, its id, the marker.
    skips: Vec<(usize, SourceSpan, Option<u64>, String)>,
    /// Where the default action of each phase is.
    defaults: [Option<SourceSpan>; 5],
    chain: Chain,
}

/// Whether the next rule is a link.
#[derive(Default)]
enum Chain {
    /// It begins one or stands alone.
    #[default]
    Closed,
    /// It is one; the chain has so many yet, and begins there.
    Open { links: usize, place: SourceSpan, id: Option<u64> },
    /// Nobody knows, because a directive could not be read.
    Unknown,
}

impl Checks {
    /// A directive could not be read. It may have been a rule.
    pub(super) fn unreadable(&mut self) {
        self.chain = Chain::Unknown;
    }

    /// What is wrong with a directive, `index` being its place in order. One that is not `is_sound` has other problems,
    /// and may have an id that could not be read.
    pub(super) fn directive(
        &mut self,
        directive: &Directive,
        index: usize,
        is_sound: bool,
    ) -> Vec<Problem> {
        let place = &directive.place;
        if let DirectiveKind::Rule(rule) = &directive.kind {
            return self.rule(place, &rule.actions, index, is_sound);
        }
        let mut problems: Vec<Problem> = self.close().into_iter().collect();
        let mut report =
            |rule, message| problems.push(Problem { place: place.clone(), rule, message });
        match &directive.kind {
            DirectiveKind::Action(actions) => {
                let id = id(actions);
                if actions.contains(&Action::Chain) {
                    report(id, "a chain begins with SecRule, not with SecAction".into());
                }
                problems.extend(self.first(place, actions, index, is_sound));
            }
            DirectiveKind::DefaultAction(actions) if is_sound => {
                self.default_action(place, actions)
                    .into_iter()
                    .for_each(|message| report(None, message));
            }
            DirectiveKind::Marker(name) => {
                let known = self.markers.insert(name.clone(), (index, place.clone()));
                if let Some((_, first)) = known {
                    report(None, format!("the marker `{name}` is at {first} too"));
                }
            }
            DirectiveKind::UpdateAction(id, _, actions) => {
                let unfit = actions.iter().filter_map(unfit_for_update);
                unfit.for_each(|name| {
                    report(Some(*id), format!("{name} cannot be changed afterwards"));
                });
                twice(actions).into_iter().for_each(|message| report(Some(*id), message));
            }
            _ => {}
        }
        problems
    }

    fn rule(
        &mut self,
        place: &SourceSpan,
        actions: &[Action],
        index: usize,
        is_sound: bool,
    ) -> Vec<Problem> {
        let goes_on = actions.contains(&Action::Chain);
        let before = std::mem::take(&mut self.chain);
        let (problems, open) = match before {
            Chain::Closed => {
                let open = Chain::Open { links: 1, place: place.clone(), id: id(actions) };
                (self.first(place, actions, index, is_sound), open)
            }
            Chain::Open { links, place: start, id } => {
                let mut problems: Vec<Problem> = link(actions)
                    .into_iter()
                    .map(|message| Problem { place: place.clone(), rule: id, message })
                    .collect();
                if links == CHAIN_LINKS_MAX {
                    let message = format!("the chain has more than {CHAIN_LINKS_MAX} links");
                    problems.push(Problem { place: place.clone(), rule: id, message });
                }
                (problems, Chain::Open { links: links + 1, place: start, id })
            }
            Chain::Unknown => (Vec::new(), Chain::Unknown),
        };
        if goes_on {
            self.chain = open;
        }
        problems
    }

    /// What is wrong with the actions of a rule that is no link.
    fn first(
        &mut self,
        place: &SourceSpan,
        actions: &[Action],
        index: usize,
        is_sound: bool,
    ) -> Vec<Problem> {
        let mut messages = twice(actions);
        let id = id(actions);
        match id {
            None if is_sound => messages.push("the rule has no id".into()),
            None => {}
            Some(id) => {
                if let Some(first) = self.ids.get(&id) {
                    messages.push(format!("the rule at {first} has the id {id} too"));
                } else {
                    self.ids.insert(id, place.clone());
                }
            }
        }
        for action in actions {
            if let Action::SkipAfter(marker) = action {
                self.skips.push((index, place.clone(), id, marker.clone()));
            }
        }
        let problem = |message| Problem { place: place.clone(), rule: id, message };
        messages.into_iter().map(problem).collect()
    }

    fn default_action(&mut self, place: &SourceSpan, actions: &[Action]) -> Vec<String> {
        let mut messages = twice(actions);
        let unfit = actions.iter().filter_map(unfit_for_default);
        messages
            .extend(unfit.map(|name| format!("{name} belongs to a rule, not to a default action")));
        let is_decision = |action: &Action| matches!(action, Action::Disruptive(disruptive) if *disruptive != Disruptive::Block);
        if !actions.iter().any(is_decision) {
            messages.push(
                "a default action says what block does: pass, deny, drop, allow or redirect".into(),
            );
        }
        let phase = actions.iter().find_map(|action| match action {
            Action::Phase(phase) => Some(usize::from(*phase)),
            _ => None,
        });
        let Some(phase) = phase else {
            messages.push("a default action is of a phase, which is missing".into());
            return messages;
        };
        match &mut self.defaults[phase - 1] {
            Some(first) => {
                messages.push(format!("phase {phase} has a default action at {first} too"));
            }
            empty => *empty = Some(place.clone()),
        }
        messages
    }

    /// What is no rule ends a chain.
    fn close(&mut self) -> Option<Problem> {
        match std::mem::take(&mut self.chain) {
            Chain::Open { place, id, .. } => {
                Some(Problem { place, rule: id, message: "the chain lacks its next rule".into() })
            }
            Chain::Closed | Chain::Unknown => None,
        }
    }

    /// What is missing at the end. Where not `is_whole`, markers may be in other files.
    pub(super) fn finish(&mut self, is_whole: bool) -> Vec<Problem> {
        let mut problems: Vec<Problem> = self.close().into_iter().collect();
        let skips = if is_whole { std::mem::take(&mut self.skips) } else { Vec::new() };
        for (index, place, rule, marker) in skips {
            if self.markers.get(&marker).is_none_or(|(at, _)| *at < index) {
                let message = format!("skipAfter: no marker `{marker}` follows");
                problems.push(Problem { place, rule, message });
            }
        }
        problems
    }
}

fn id(actions: &[Action]) -> Option<u64> {
    actions.iter().find_map(|action| match action {
        Action::Id(id) => Some(*id),
        _ => None,
    })
}

/// Actions of which a rule has one.
fn twice(actions: &[Action]) -> Vec<String> {
    let mut seen = Vec::new();
    let mut messages = Vec::new();
    for action in actions {
        let name = match action {
            Action::Id(_) => "id",
            Action::Phase(_) => "phase",
            Action::Status(_) => "status",
            Action::Severity(_) => "severity",
            Action::Disruptive(_) => "a decision (pass, deny, drop, block, allow, redirect)",
            Action::Skip(_) | Action::SkipAfter(_) => "skip or skipAfter",
            _ => continue,
        };
        if seen.contains(&name) {
            messages.push(format!("{name} is there twice"));
        }
        seen.push(name);
    }
    messages
}

/// What only the first rule of a chain may have.
fn link(actions: &[Action]) -> Vec<String> {
    let name = |action: &Action| match action {
        Action::Id(_) => Some("an id"),
        Action::Phase(_) => Some("a phase"),
        Action::Disruptive(_) => Some("a decision (pass, deny, drop, block, allow, redirect)"),
        Action::Skip(_) => Some("skip"),
        Action::SkipAfter(_) => Some("skipAfter"),
        _ => None,
    };
    let names = actions.iter().filter_map(name);
    names.map(|name| format!("{name} belongs to the first rule of the chain")).collect()
}

fn unfit_for_default(action: &Action) -> Option<&'static str> {
    Some(match action {
        Action::Id(_) => "id",
        Action::Chain => "chain",
        Action::Revision(_) => "rev",
        Action::Version(_) => "ver",
        Action::Accuracy(_) => "accuracy",
        Action::Maturity(_) => "maturity",
        Action::TransformationsNone => "t:none",
        Action::Skip(_) => "skip",
        Action::SkipAfter(_) => "skipAfter",
        _ => return None,
    })
}

fn unfit_for_update(action: &Action) -> Option<&'static str> {
    Some(match action {
        Action::Id(_) => "id",
        Action::Phase(_) => "phase",
        Action::Chain => "chain",
        _ => return None,
    })
}
