//! Running the rules of a phase.

use std::sync::Arc;

use super::{Allowed, Event, Matched, Refusal, Transaction, VALUE_BYTES_MAX, Verdict};
use crate::rules::{Chain, Link, RuleSet, Skip, Source, TargetText};
use crate::seclang::ast::{Allow, Disruptive, EngineMode, Variable};
use crate::transformation::Transformation;

/// Work of one question to an operator beyond the bytes that it reads.
const WORK_PER_QUESTION: u64 = 16;

/// Bytes of an event's message, of its data and of each of its tags: macros quote values, and those may be whole bodies.
const TEXT_BYTES_MAX: usize = 4096;

/// The status of a refusal whose rule names none.
const STATUS_DEFAULT: u16 = 403;

/// The status of a redirect whose rule names none.
const STATUS_REDIRECT: u16 = 302;

impl Transaction {
    /// Runs the rules of a phase, from 1 to 5.
    pub(super) fn run(&mut self, phase: u8) -> Verdict {
        self.phase = phase;
        if self.mode == EngineMode::Off {
            return Verdict::Pass;
        }
        if self.verdict != Verdict::Pass && phase < 5 {
            return self.verdict.clone();
        }
        match self.allowed {
            Allowed::All if phase < 5 => return Verdict::Pass,
            Allowed::Request if phase < 3 => return Verdict::Pass,
            _ => {}
        }
        let rules = Arc::clone(&self.rules);
        let program = &rules.phases[usize::from(phase) - 1];
        let mut at = 0;
        while let Some(&place) = program.get(at) {
            at += 1;
            let chain = &rules.chains[place as usize];
            if self.removed.get(place as usize) == Some(&true)
                || !self.run_chain(&rules, place, chain)
            {
                continue;
            }
            match chain.skip {
                Some(Skip::Rules(count)) => at += count as usize,
                Some(Skip::To(to)) => at = at.max(to as usize),
                None => {}
            }
            if self.conclude(chain) {
                break;
            }
        }
        if self.allowed == Allowed::Phase {
            self.allowed = Allowed::Nothing;
        }
        if self.work_left == 0
            && self.world.limits.refuses_beyond
            && self.mode == EngineMode::On
            && phase < 5
        {
            let refusal =
                Refusal { status: STATUS_DEFAULT, location: None, rule: None, is_drop: false };
            self.verdict = Verdict::Refuse(refusal);
        }
        self.verdict.clone()
    }

    /// Does what a chain asks for that has matched, and says whether the phase ends.
    fn conclude(&mut self, chain: &Chain) -> bool {
        if let Some(severity) = chain.severity {
            self.highest_severity =
                Some(self.highest_severity.map_or(severity, |known| known.min(severity)));
        }
        let is_disruptive = matches!(
            chain.disruptive,
            Disruptive::Deny | Disruptive::Drop | Disruptive::Redirect(_)
        );
        if chain.is_logged || chain.is_audited {
            self.tell(chain, is_disruptive);
        }
        if self.mode != EngineMode::On {
            return false;
        }
        match &chain.disruptive {
            Disruptive::Allow(allow) => {
                self.allowed = match allow {
                    Allow::All => Allowed::All,
                    Allow::Phase => Allowed::Phase,
                    Allow::Request => Allowed::Request,
                };
                return true;
            }
            // Nothing is left to be refused when everything was said.
            _ if self.phase == 5 || !is_disruptive => return false,
            _ => {}
        }
        let location = match &chain.disruptive {
            Disruptive::Redirect(to) => {
                Some(String::from_utf8_lossy(&self.expand_text(to)).into_owned())
            }
            _ => None,
        };
        let default = if location.is_some() { STATUS_REDIRECT } else { STATUS_DEFAULT };
        let is_drop = chain.disruptive == Disruptive::Drop;
        let status = chain.status.unwrap_or(default);
        self.verdict = Verdict::Refuse(Refusal { status, location, rule: chain.id, is_drop });
        true
    }

    fn tell(&mut self, chain: &Chain, is_disruptive: bool) {
        if !chain.is_logged {
            return;
        }
        if self.events.len() >= self.world.limits.events_max {
            self.events_dropped += 1;
            return;
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (variable, value) = match self.matched.last().copied() {
            Some(matched) => {
                let value = self.store.bytes(matched.value);
                (
                    text(self.matched_name(matched)),
                    value[..value.len().min(VALUE_BYTES_MAX)].to_vec(),
                )
            }
            None => Default::default(),
        };
        let event = Event {
            rule: chain.id,
            place: chain.place.clone(),
            phase: self.phase,
            message: text(self.expand_up_to(&chain.message, TEXT_BYTES_MAX)),
            data: text(self.expand_up_to(&chain.log_data, TEXT_BYTES_MAX)),
            severity: chain.severity,
            tags: chain
                .tags
                .iter()
                .map(|tag| text(self.expand_up_to(tag, TEXT_BYTES_MAX)))
                .collect(),
            revision: chain.revision.clone(),
            version: chain.version.clone(),
            variable,
            value,
            is_disruptive,
            is_audited: chain.is_audited,
        };
        self.events.push(event);
    }

    /// Whether all rules of a chain match.
    fn run_chain(&mut self, rules: &RuleSet, place: u32, chain: &Chain) -> bool {
        self.matched.clear();
        let is_match = chain.links.iter().all(|link| self.run_link(rules, place, link));
        if self.trace.is_some() {
            self.trace_chain(chain, is_match);
        }
        is_match
    }

    fn run_link(&mut self, rules: &RuleSet, place: u32, link: &Link) -> bool {
        let expanded = link.argument.as_ref().map(|argument| self.expand(argument));
        let question = Question { rules, place, link, expanded: expanded.as_deref() };
        let mut is_match = false;
        for target in &link.targets {
            is_match |= match &target.source {
                Source::Nothing => self.hit(link, Variable::Rule, b"", b""),
                Source::List(list, _) if target.is_count => {
                    self.ask_count(&question, target, *list)
                }
                Source::List(list, forms) => self.ask_list(&question, target, *list, forms),
                Source::Tx(name) => self.ask_tx(&question, target, *name),
                Source::Dynamic => self.ask_dynamic(&question, target),
            };
        }
        is_match
    }

    fn ask_count(&mut self, question: &Question<'_>, target: &TargetText, list: u32) -> bool {
        let names = (0..self.store.count(list)).map(|at| self.store.name(list, at));
        let is_meant =
            |name: &super::Span| self.is_meant(question, target, self.store.bytes(*name));
        let count = names.filter(is_meant).count();
        self.ask_number(question, target, count)
    }

    fn ask_number(&mut self, question: &Question<'_>, target: &TargetText, count: usize) -> bool {
        let text = count.to_string();
        self.ask(question, target.variable, b"", text.as_bytes())
    }

    /// Asks of the values of a list, in each of the forms that the rule looks at; a form that is the one before it is not
    /// asked of again.
    fn ask_list(
        &mut self,
        question: &Question<'_>,
        target: &TargetText,
        list: u32,
        forms: &[u32],
    ) -> bool {
        let (mut is_match, mut before) = (false, None);
        if self.store.count(list) == 0 {
            return false;
        }
        for &form in forms {
            if self.work_left == 0 {
                return is_match;
            }
            let shown = self.store.prepare_within(question.rules, form, &mut self.work_left);
            if self.work_left == 0 {
                return is_match;
            }
            if before != Some(shown) && self.store.may_match(shown, &question.link.gate) {
                is_match |= self.ask_form(question, target, list, (shown, before));
            }
            before = Some(shown);
        }
        is_match
    }

    fn ask_form(
        &mut self,
        question: &Question<'_>,
        target: &TargetText,
        list: u32,
        (shown, before): (u32, Option<u32>),
    ) -> bool {
        let mut is_match = false;
        for at in 0..self.store.count(list) {
            if !self.store.passes(shown, at, &question.link.gate) {
                continue;
            }
            let (name, form) = (self.store.name(list, at), self.store.form(shown, at));
            let is_known = before.is_some_and(|before| self.store.form(before, at) == form);
            if is_known {
                continue;
            }
            let name_bytes = self.store.bytes(name);
            let is_meant = self.is_meant(question, target, name_bytes);
            if target.filter.is_some() || !question.link.excluded.is_empty() {
                self.work_left = self.work_left.saturating_sub(name_bytes.len() as u64);
            }
            if !is_meant {
                continue;
            }
            let value = self.store.bytes(form);
            self.work_left = self.work_left.saturating_sub(WORK_PER_QUESTION + value.len() as u64);
            self.captures.found.clear();
            self.captures.is_wanted = question.link.is_capturing || self.trace.is_some();
            let answer =
                question.link.operator.matches(value, question.expanded, &mut self.captures);
            if self.work_left == 0 {
                return is_match;
            }
            if answer != question.link.is_negated {
                is_match = true;
                self.matched.push(Matched { variable: target.variable, name, value: form });
                self.matched_now(question.link);
            }
        }
        is_match
    }

    fn ask_tx(&mut self, question: &Question<'_>, target: &TargetText, place: u32) -> bool {
        let value = self.tx[place as usize].as_deref();
        if target.is_count {
            let count = usize::from(value.is_some());
            return self.ask_number(question, target, count);
        }
        let Some(value) = value else { return false };
        let link = question.link;
        if link.is_multi_match
            || !link.steps.is_empty()
            || link.is_capturing
            || self.trace.is_some()
        {
            let (name, value) = (self.tx_name(place).to_vec(), value.to_vec());
            return self.ask_through(question, target.variable, &name, value);
        }
        // Most rules only compare a number, and few of those match.
        self.work_left = self.work_left.saturating_sub(WORK_PER_QUESTION + value.len() as u64);
        self.captures.is_wanted = false;
        if link.operator.matches(value, question.expanded, &mut self.captures) == link.is_negated {
            return false;
        }
        let (name, value) = (self.tx_name(place).to_vec(), value.to_vec());
        self.hit(link, target.variable, &name, &value)
    }

    fn ask_dynamic(&mut self, question: &Question<'_>, target: &TargetText) -> bool {
        let mut values = self.dynamic_values(target.variable);
        let read = |(_, name, value): &(Variable, Vec<u8>, Vec<u8>)| name.len() + value.len();
        let read: usize = values.iter().map(read).sum();
        self.work_left = self.work_left.saturating_sub(read as u64);
        values.retain(|(_, name, _)| self.is_meant(question, target, name));
        if target.is_count {
            return self.ask_number(question, target, values.len());
        }
        let mut is_match = false;
        for (variable, name, value) in values {
            is_match |= self.ask_through(question, variable, &name, value);
        }
        is_match
    }

    /// Asks of a value that is not in a list, behind the rule's transformations.
    fn ask_through(
        &mut self,
        question: &Question<'_>,
        variable: Variable,
        name: &[u8],
        value: Vec<u8>,
    ) -> bool {
        if question.link.is_multi_match {
            return self.ask_all_forms(question, variable, name, value);
        }
        let (mut value, mut next) = (value, Vec::new());
        for step in &question.link.steps {
            self.transform(*step, &mut value, &mut next);
        }
        self.ask(question, variable, name, &value)
    }

    /// `multiMatch`: asks of the value before all transformations and after each that changes it.
    fn ask_all_forms(
        &mut self,
        question: &Question<'_>,
        variable: Variable,
        name: &[u8],
        value: Vec<u8>,
    ) -> bool {
        let (mut value, mut next) = (value, Vec::new());
        let mut is_match = self.ask(question, variable, name, &value);
        for step in &question.link.steps {
            if self.transform(*step, &mut value, &mut next) {
                is_match |= self.ask(question, variable, name, &value);
            }
        }
        is_match
    }

    fn transform(&mut self, step: Transformation, value: &mut Vec<u8>, next: &mut Vec<u8>) -> bool {
        self.work_left = self.work_left.saturating_sub(value.len() as u64);
        let is_changed = step.apply(value, next);
        if is_changed {
            std::mem::swap(value, next);
        }
        is_changed
    }

    fn ask(
        &mut self,
        question: &Question<'_>,
        variable: Variable,
        name: &[u8],
        value: &[u8],
    ) -> bool {
        self.work_left = self.work_left.saturating_sub(WORK_PER_QUESTION + value.len() as u64);
        if self.work_left == 0 {
            return false;
        }
        self.captures.found.clear();
        self.captures.is_wanted = question.link.is_capturing || self.trace.is_some();
        let answer = question.link.operator.matches(value, question.expanded, &mut self.captures);
        answer != question.link.is_negated && self.hit(question.link, variable, name, value)
    }

    /// Notes a match of a value that is not in a list.
    fn hit(&mut self, link: &Link, variable: Variable, name: &[u8], value: &[u8]) -> bool {
        let (name, value) = (self.store.keep(name), self.store.keep(value));
        if self.store.is_full() {
            self.work_left = 0;
        }
        self.matched.push(Matched { variable, name, value });
        self.matched_now(link);
        true
    }

    /// Does what each match of a rule does.
    fn matched_now(&mut self, link: &Link) {
        if self.trace.is_some() {
            self.trace_match(link);
        }
        if link.is_capturing {
            for place in 0..10 {
                self.tx[place] = None;
            }
            for (place, value) in self.captures.found.drain(..) {
                self.tx[usize::from(place)] = Some(value);
            }
        }
        for effect in &link.effects {
            self.apply(effect);
        }
    }

    /// Whether a member of a target is one that the rule means.
    fn is_meant(&self, question: &Question<'_>, target: &TargetText, name: &[u8]) -> bool {
        if target.filter.as_ref().is_some_and(|filter| !filter.holds(name)) {
            return false;
        }
        let is_excluded = question.link.excluded.iter().any(|(variable, filter)| {
            *variable == target.variable && filter.as_ref().is_none_or(|filter| filter.holds(name))
        });
        let is_removed = || {
            self.removed_targets.iter().any(|removed| {
                removed.variable == target.variable
                    && removed.chains.binary_search(&question.place).is_ok()
                    && removed.filter.as_ref().is_none_or(|filter| filter.holds(name))
            })
        };
        !is_excluded && !is_removed()
    }
}

/// What a rule asks at this moment.
struct Question<'q> {
    rules: &'q RuleSet,
    place: u32,
    link: &'q Link,
    expanded: Option<&'q [u8]>,
}
