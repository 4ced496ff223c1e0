//! One request and its response, seen by rules phase by phase.
//!
//! The caller feeds what has arrived, bodies as chunks, and asks after each phase for a [`Verdict`]. `request.rs`,
//! `request_body.rs` and `response.rs` fill the variables, by way of `fill.rs`; `held.rs` is what is held of a body,
//! `run.rs` runs the rules of a phase, `effects.rs` does what matches ask for, `dynamic.rs` is what changes
//! while rules run, `store.rs` holds the values and their transformed forms, `trace.rs` tells
//! of every rule when somebody asks.

mod dynamic;
mod effects;
mod event;
mod fill;
mod held;
mod request;
mod request_body;
mod response;
mod run;
mod store;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;
mod trace;

use std::collections::HashMap;
use std::sync::Arc;

pub use self::event::{Event, Refusal, VALUE_BYTES_MAX, Verdict};
pub use self::request_body::{BodyIntake, FILE_BEGINNING_BYTES};
use self::store::{Span, Store};
pub use self::trace::{Asked, Trace, TracedMatch};
use crate::operator::Captures;
use crate::rules::{RemovedTarget, RuleSet};
use crate::seclang::ast::{BodyProcessor, Collection, EngineMode, Variable};

/// What a transaction is told about the world, since nothing here asks for it.
pub struct HostContext<'c> {
    /// Milliseconds since 1970 at which the request arrived.
    pub now_ms: i64,
    /// How far local time is ahead of UTC, for `TIME_*`, in seconds.
    pub offset_s: i32,
    /// `UNIQUE_ID`.
    pub unique_id: &'c str,
    /// Speaks louder than `SecRuleEngine`; where it says that rules only detect, no `ctl:ruleEngine` makes them refuse.
    pub mode: Option<EngineMode>,
    /// Collections that outlive a request.
    pub collections: Arc<dyn Collections>,
    /// What one transaction may cost.
    pub limits: Limits,
}

/// Collections that outlive a request (`initcol`), by kind and key. Names are lowercase.
pub trait Collections: Send + Sync {
    /// What a collection holds at this time.
    fn load(&self, collection: Collection, key: &[u8], now_ms: i64) -> HashMap<Box<[u8]>, Kept>;

    /// Replaces what a collection holds. `keep_ms` is how long it lives without a further change.
    fn store(
        &self,
        collection: Collection,
        key: &[u8],
        values: HashMap<Box<[u8]>, Kept>,
        now_ms: i64,
        keep_ms: i64,
    );
}

/// A value of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Kept {
    /// The value.
    pub value: Vec<u8>,
    /// When it ends, in milliseconds since 1970 (`expirevar`).
    pub until_ms: Option<i64>,
}

/// No collection outlives a request.
#[derive(Clone, Copy, Debug)]
pub struct NoCollections;

impl Collections for NoCollections {
    fn load(&self, _: Collection, _: &[u8], _: i64) -> HashMap<Box<[u8]>, Kept> {
        HashMap::new()
    }

    fn store(&self, _: Collection, _: &[u8], _: HashMap<Box<[u8]>, Kept>, _: i64, _: i64) {}
}

/// What one transaction may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes that operators and transformations read, all together: they are linear, so this bounds time.
    pub work_bytes_max: u64,
    /// What a transaction that reaches the bound ends as.
    pub refuses_beyond: bool,
    /// Events that are kept; further ones are counted.
    pub events_max: usize,
    /// Bytes of values that are kept in memory.
    pub kept_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // A processor reads some hundred megabytes a second through automata: about half a second of one.
        Self {
            work_bytes_max: 128 << 20,
            refuses_beyond: true,
            events_max: 200,
            kept_bytes_max: 64 << 20,
        }
    }
}

/// One request and its response.
pub struct Transaction {
    rules: Arc<RuleSet>,
    world: World,
    store: Store,
    /// TX variables that rules name, by place.
    tx: Vec<Option<Vec<u8>>>,
    /// TX variables whose names were made while rules ran.
    tx_others: HashMap<Box<[u8]>, Vec<u8>>,
    open: HashMap<Collection, Opened>,
    environment: HashMap<Box<[u8]>, Vec<u8>>,
    captures: Captures,
    matched: Vec<Matched>,
    mode: EngineMode,
    /// What `allow` lets through.
    allowed: Allowed,
    /// Chains that `ctl` took away, by place; empty while there are none.
    removed: Vec<bool>,
    /// What `ctl:ruleRemoveTarget…` took away, each once.
    removed_targets: Vec<Arc<RemovedTarget>>,
    body: request_body::BodyState,
    answer: response::AnswerState,
    events: Vec<Event>,
    events_dropped: usize,
    highest_severity: Option<u8>,
    phase: u8,
    work_left: u64,
    verdict: Verdict,
    trace: Option<Box<Trace>>,
}

/// The part of the context that is kept.
struct World {
    now_ms: i64,
    offset_s: i32,
    collections: Arc<dyn Collections>,
    limits: Limits,
    /// The caller wants no refusal.
    only_observes: bool,
}

/// A collection that outlives the request.
#[derive(Default)]
struct Opened {
    key: Vec<u8>,
    values: HashMap<Box<[u8]>, Kept>,
    is_changed: bool,
}

/// A value that matched.
#[derive(Clone, Copy)]
struct Matched {
    variable: Variable,
    name: Span,
    value: Span,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Allowed {
    #[default]
    Nothing,
    /// What is left of this phase.
    Phase,
    /// What is left of the phases of the request.
    Request,
    /// All but the last phase.
    All,
}

impl Transaction {
    /// Begins a transaction.
    pub fn begin(rules: Arc<RuleSet>, context: HostContext<'_>) -> Self {
        let HostContext { now_ms, offset_s, unique_id, mode, collections, limits } = context;
        let only_observes = mode == Some(EngineMode::DetectionOnly);
        let mut begun = Self {
            world: World { now_ms, offset_s, collections, limits, only_observes },
            store: Store::new(&rules, limits.kept_bytes_max),
            tx: vec![None; rules.tx_names.len()],
            tx_others: HashMap::new(),
            open: HashMap::new(),
            environment: HashMap::new(),
            captures: Captures::default(),
            matched: Vec::new(),
            mode: mode.unwrap_or(rules.settings.mode),
            allowed: Allowed::Nothing,
            removed: Vec::new(),
            removed_targets: Vec::new(),
            body: request_body::BodyState::new(&rules.settings),
            answer: response::AnswerState::new(&rules.settings),
            events: Vec::new(),
            events_dropped: 0,
            highest_severity: None,
            phase: 0,
            work_left: limits.work_bytes_max,
            verdict: Verdict::Pass,
            trace: None,
            rules,
        };
        begun.set(Variable::UniqueId, unique_id.as_bytes());
        begun
    }

    /// The rules that matched so far and are to be told of.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// How many events there were beyond the bound.
    pub fn events_dropped(&self) -> usize {
        self.events_dropped
    }

    /// A TX variable, such as the score of a rule set that counts one.
    pub fn tx(&self, name: &str) -> Option<&[u8]> {
        self.tx_value(name.as_bytes())
    }

    /// Sets a TX variable before rules run: what the caller knows of the request and no byte of it says. The name is
    /// lowercase; one that no rule mentions is forgotten.
    pub fn set_fact(&mut self, name: &str, value: &[u8]) {
        if let Some(&place) = self.rules.tx_names.get(name.as_bytes()) {
            self.tx[place as usize] = Some(value.to_vec());
        }
    }

    /// Whether rules run at all.
    pub fn is_on(&self) -> bool {
        self.mode != EngineMode::Off
    }

    /// Whether a rule or a bound refused the request or the answer.
    pub fn is_refused(&self) -> bool {
        self.verdict != Verdict::Pass
    }

    /// Whether the bound on work was reached, so that rules did not see everything.
    pub fn is_exhausted(&self) -> bool {
        self.work_left == 0
    }

    /// Leaves rules out, by what [`RuleSet::places`] gave.
    pub fn leave_out(&mut self, places: &[u32]) {
        self.removed.resize(self.rules.chains.len(), false);
        places.iter().for_each(|&place| self.removed[place as usize] = true);
    }

    fn set(&mut self, variable: Variable, value: &[u8]) {
        self.store.set(&self.rules, variable, value);
    }

    fn add(&mut self, variable: Variable, name: &[u8], value: &[u8]) {
        self.store.add(&self.rules, variable, name, value);
    }

    fn set_number(&mut self, variable: Variable, value: u64) {
        self.set(variable, value.to_string().as_bytes());
    }

    fn choose_processor(&mut self, processor: BodyProcessor) {
        self.body.processor = Some(processor);
        let name: &[u8] = match processor {
            BodyProcessor::UrlEncoded => b"URLENCODED",
            BodyProcessor::Multipart => b"MULTIPART",
            BodyProcessor::Json => b"JSON",
            BodyProcessor::Xml => b"XML",
        };
        self.set(Variable::ReqbodyProcessor, name);
    }

    /// `ctl:ruleRemoveTarget…`.
    fn remove_target(&mut self, removed: &Arc<RemovedTarget>) {
        if !self.removed_targets.iter().any(|known| Arc::ptr_eq(known, removed)) {
            self.removed_targets.push(Arc::clone(removed));
        }
    }
}
