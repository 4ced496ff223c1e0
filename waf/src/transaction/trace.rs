//! What a transaction tells of every rule that it asked, when somebody wants to know: for `waf test`, not for traffic.

use super::{Matched, Transaction};
use crate::rules::{Chain, Link};
use crate::seclang::ast::SourceSpan;

/// Matches that a trace keeps; further ones are counted.
const MATCHES_MAX: usize = 500;

/// Bytes that a trace quotes of a value or of what was captured.
const QUOTE_BYTES_MAX: usize = 1024;

/// What happened to the rules of one transaction. It quotes the request.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Chains of which at least one rule matched, in the order of asking.
    pub asked: Vec<Asked>,
    /// The ids of all chains that were asked, by phase, in the order of asking; 0 for one without an id.
    pub ran: [Vec<u64>; crate::rules::PHASES],
    /// Matches that were not kept.
    pub dropped: usize,
    /// Those of the chain that is asked now.
    matches: Vec<TracedMatch>,
    kept: usize,
}

/// A chain of which at least one rule matched.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its id, where it has one.
    pub rule: Option<u64>,
    /// Where it stands.
    pub place: SourceSpan,
    /// The phase in which it was asked.
    pub phase: u8,
    /// Whether all rules of the chain matched.
    pub is_match: bool,
    /// Whether it is to be told of when it matches; others count and lead.
    pub is_logged: bool,
    /// `msg`, with its macros replaced; empty where the chain did not match as a whole.
    pub message: String,
    /// What matched.
    pub matches: Vec<TracedMatch>,
}

/// A value that matched one rule of a chain.
#[derive(Clone, Debug)]
pub struct TracedMatch {
    /// The variable with its member, such as `ARGS:id`.
    pub variable: String,
    /// The value behind the rule's transformations.
    pub value: Vec<u8>,
    /// The transformations, in order.
    pub transformations: Vec<&'static str>,
    /// The operator with its argument.
    pub operator: String,
    /// What the operator captured, by place; 0 is what it matched as a whole.
    pub captured: Vec<(u8, Vec<u8>)>,
}

impl Transaction {
    /// Keeps a trace from now on.
    pub fn keep_trace(&mut self) {
        self.trace = Some(Box::default());
    }

    /// What was traced so far; nothing unless [`Self::keep_trace`] was called.
    pub fn trace(&self) -> Option<&Trace> {
        self.trace.as_deref()
    }

    /// All TX variables by name, in order.
    pub fn tx_variables(&self) -> Vec<(String, Vec<u8>)> {
        let text = |name: Vec<u8>| String::from_utf8_lossy(&name).into_owned();
        self.tx_values().into_iter().map(|(_, name, value)| (text(name), value)).collect()
    }

    /// Notes the value that matched last.
    pub(super) fn trace_match(&mut self, link: &Link) {
        let Some(&matched) = self.matched.last() else { return };
        let traced = self.traced(matched, link);
        let Some(trace) = &mut self.trace else { return };
        if trace.kept < MATCHES_MAX {
            trace.kept += 1;
            trace.matches.push(traced);
        } else {
            trace.dropped += 1;
        }
    }

    fn traced(&self, matched: Matched, link: &Link) -> TracedMatch {
        let captured = self.captures.found.iter();
        let operator = link.operator.describe(link.argument.as_ref().map(|it| self.expand(it)));
        TracedMatch {
            variable: String::from_utf8_lossy(&self.matched_name(matched)).into_owned(),
            value: quote(self.store.bytes(matched.value)),
            transformations: link.steps.iter().map(|step| step.name()).collect(),
            operator: if link.is_negated { format!("!{operator}") } else { operator },
            captured: captured.map(|(place, bytes)| (*place, quote(bytes))).collect(),
        }
    }

    /// Notes that a chain was asked.
    pub(super) fn trace_chain(&mut self, chain: &Chain, is_match: bool) {
        let Some(trace) = &mut self.trace else { return };
        trace.ran[usize::from(self.phase) - 1].push(chain.id.unwrap_or_default());
        let matches = std::mem::take(&mut trace.matches);
        if matches.is_empty() && !is_match {
            return;
        }
        let message = if is_match { self.expand(&chain.message) } else { Vec::new() };
        let asked = Asked {
            rule: chain.id,
            place: chain.place.clone(),
            phase: self.phase,
            is_match,
            is_logged: chain.is_logged,
            message: String::from_utf8_lossy(&message).into_owned(),
            matches,
        };
        if let Some(trace) = &mut self.trace {
            trace.asked.push(asked);
        }
    }
}

fn quote(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len().min(QUOTE_BYTES_MAX)].to_vec()
}
