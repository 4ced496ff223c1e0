//! What a match does besides matching: variables, collections and controls.

use super::{Kept, Opened, Transaction, World};
use crate::operator::leading_number;
use crate::rules::{Effect, Set, TxName};
use crate::seclang::ast::{Collection, Control, EngineMode, Variable};

/// TX variables with names that were made while rules ran.
const TX_OTHERS_MAX: usize = 1000;

/// Bytes of a variable that rules write.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// Variables of one collection.
const COLLECTION_VARIABLES_MAX: usize = 1000;

impl Transaction {
    pub(super) fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::SetTx(name, set) => self.set_tx(name, set),
            Effect::SetCollection(collection, name, set) => {
                let name = self.expand(name).to_ascii_lowercase();
                self.set_collection(*collection, name.into(), set);
            }
            Effect::Expire(collection, name, seconds) => {
                let name = self.expand(name).to_ascii_lowercase();
                let until_ms = self
                    .world
                    .now_ms
                    .saturating_add(leading_number(&self.expand(seconds)).saturating_mul(1000));
                if let Some(kept) =
                    self.open.get_mut(collection).and_then(|it| it.values.get_mut(name.as_slice()))
                {
                    kept.until_ms = Some(until_ms);
                }
            }
            Effect::Init(collection, key) => self.open(*collection, self.expand(key)),
            Effect::SetKey(collection, key) => {
                let key = self.expand(key);
                match collection {
                    Collection::Session => self.set(Variable::SessionId, &key),
                    Collection::User => self.set(Variable::UserId, &key),
                    _ => {}
                }
                self.open(*collection, key);
            }
            Effect::SetEnvironment(name, value) => {
                let (name, value) = (self.expand(name), self.expand(value));
                let name = name.into_boxed_slice();
                if self.environment.len() < COLLECTION_VARIABLES_MAX
                    || self.environment.contains_key(&name)
                {
                    self.environment.insert(name, value);
                }
            }
            Effect::Control(control) => self.control(control),
            Effect::RemoveTarget(removed) => self.remove_target(removed),
            Effect::Remove(chains) => self.leave_out(chains),
        }
    }

    fn set_tx(&mut self, name: &TxName, set: &Set) {
        let place = match name {
            TxName::SourceSpan(place) => Ok(*place as usize),
            TxName::Dynamic(template) => {
                let name = self.expand(template).to_ascii_lowercase();
                match self.rules.tx_names.get(name.as_slice()) {
                    Some(&place) => Ok(place as usize),
                    None => Err(name.into_boxed_slice()),
                }
            }
        };
        let known = match &place {
            Ok(place) => self.tx[*place].as_deref(),
            Err(name) => self.tx_others.get(name).map(Vec::as_slice),
        };
        let value = self.changed(known, set);
        match (place, value) {
            (Ok(place), value) => self.tx[place] = value,
            (Err(name), None) => drop(self.tx_others.remove(&name)),
            (Err(name), Some(value)) => {
                if self.tx_others.len() < TX_OTHERS_MAX || self.tx_others.contains_key(&name) {
                    self.tx_others.insert(name, value);
                }
            }
        }
    }

    fn set_collection(&mut self, collection: Collection, name: Box<[u8]>, set: &Set) {
        let Some(opened) = self.open.get(&collection) else { return };
        let now_ms = self.world.now_ms;
        let live = opened
            .values
            .get(&name)
            .filter(|kept| kept.until_ms.is_none_or(|until| until > now_ms));
        let (value, until_ms) = (
            self.changed(live.map(|it| it.value.as_slice()), set),
            live.and_then(|it| it.until_ms),
        );
        let Some(opened) = self.open.get_mut(&collection) else { return };
        opened.is_changed = true;
        match value {
            None => drop(opened.values.remove(&name)),
            Some(value)
                if opened.values.len() < COLLECTION_VARIABLES_MAX
                    || opened.values.contains_key(&name) =>
            {
                opened.values.insert(name, Kept { value, until_ms });
            }
            Some(_) => {}
        }
    }

    /// What becomes of a value.
    fn changed(&self, known: Option<&[u8]>, set: &Set) -> Option<Vec<u8>> {
        let by = |sign: i64, text: Vec<u8>| {
            let sum = leading_number(known.unwrap_or_default())
                .saturating_add(sign.saturating_mul(leading_number(&text)));
            Some(sum.to_string().into_bytes())
        };
        match set {
            Set::To(text) => {
                let mut value = self.expand(text);
                value.truncate(VALUE_BYTES_MAX);
                Some(value)
            }
            Set::Add(text) => by(1, self.expand(text)),
            Set::Subtract(text) => by(-1, self.expand(text)),
            Set::Remove => None,
        }
    }

    fn open(&mut self, collection: Collection, key: Vec<u8>) {
        if self.open.get(&collection).is_some_and(|opened| opened.key == key) {
            return;
        }
        let values = self.world.collections.load(collection, &key, self.world.now_ms);
        self.open.insert(collection, Opened { key, values, is_changed: false });
    }

    /// Keeps what the collections hold for the requests that follow.
    pub(super) fn store_collections(&mut self) {
        let keep_ms = i64::try_from(self.rules.settings.collection_timeout_s.saturating_mul(1000))
            .unwrap_or(i64::MAX);
        for (collection, opened) in self.open.drain().filter(|(_, opened)| opened.is_changed) {
            let World { collections, now_ms, .. } = &self.world;
            collections.store(collection, &opened.key, opened.values, *now_ms, keep_ms);
        }
    }

    fn control(&mut self, control: &Control) {
        match control {
            // Who was told to observe refuses nothing, whatever rules say.
            Control::RuleEngine(EngineMode::On) if self.world.only_observes => {
                self.mode = EngineMode::DetectionOnly;
            }
            Control::RuleEngine(mode) => self.mode = *mode,
            Control::RequestBodyProcessor(processor) => self.choose_processor(*processor),
            Control::RequestBodyAccess(is_on) => self.body.is_accessed = *is_on,
            Control::RequestBodyLimit(bytes) => self.body.bytes_max = *bytes,
            Control::ForceRequestBodyVariable(is_on) => self.body.is_forced = *is_on,
            Control::ResponseBodyAccess(is_on) => self.answer.is_accessed = *is_on,
            Control::ResponseBodyLimit(bytes) => self.answer.bytes_max = *bytes,
            Control::ForceResponseBodyVariable(is_on) => self.answer.is_forced = *is_on,
            // A response's body is looked at as text alone; the others are compiled to effects of their own.
            Control::ResponseBodyProcessor(_)
            | Control::Remove(_)
            | Control::RemoveTarget(..)
            | Control::Elsewhere(_) => {}
        }
    }
}
