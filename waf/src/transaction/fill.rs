//! Puts what readers of bodies find into variables.

use super::Transaction;
use super::store::Store;
use crate::body::Fill;
use crate::rules::RuleSet;
use crate::seclang::ast::Variable;

/// The collections that an argument goes into.
pub(super) struct Arguments {
    values: [Variable; 2],
    names: [Variable; 2],
}

/// Arguments of the address.
pub(super) const GET: Arguments = Arguments {
    values: [Variable::Args, Variable::ArgsGet],
    names: [Variable::ArgsNames, Variable::ArgsGetNames],
};

/// Arguments of the body.
pub(super) const POST: Arguments = Arguments {
    values: [Variable::Args, Variable::ArgsPost],
    names: [Variable::ArgsNames, Variable::ArgsPostNames],
};

/// How many arguments there are.
#[derive(Clone, Copy, Default)]
pub(super) struct Counted {
    arguments: u64,
    /// Bytes of their names and values.
    pub(super) bytes: u64,
}

pub(super) struct Filler<'f> {
    rules: &'f RuleSet,
    store: &'f mut Store,
    arguments: &'static Arguments,
    arguments_max: u64,
    counted: &'f mut Counted,
    kept_bytes_max: usize,
}

impl Transaction {
    pub(super) fn filler(&mut self, arguments: &'static Arguments) -> Filler<'_> {
        Filler {
            rules: &self.rules,
            store: &mut self.store,
            arguments,
            arguments_max: self.rules.settings.arguments_max,
            counted: &mut self.body.counted,
            kept_bytes_max: self.world.limits.kept_bytes_max,
        }
    }
}

impl Filler<'_> {
    fn count(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        if self.counted.arguments >= self.arguments_max {
            return Err(format!("there are more than {} arguments", self.arguments_max));
        }
        if self.store.len() > self.kept_bytes_max {
            return Err(format!("arguments take more than {} bytes", self.kept_bytes_max));
        }
        self.counted.arguments += 1;
        self.counted.bytes += (name.len() + value.len()) as u64;
        self.store.add_all(self.rules, &self.arguments.names, name, name);
        Ok(())
    }
}

impl Fill for Filler<'_> {
    fn argument(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        self.count(name, value)?;
        self.store.add_all(self.rules, &self.arguments.values, name, value);
        Ok(())
    }

    fn argument_owned(&mut self, name: &[u8], value: Vec<u8>) -> Result<(), String> {
        self.count(name, &value)?;
        self.store.add_all_owned(self.rules, &self.arguments.values, name, value);
        Ok(())
    }

    fn add(&mut self, variable: Variable, name: &[u8], value: &[u8]) {
        self.store.add(self.rules, variable, name, value);
    }

    fn add_owned(&mut self, variable: Variable, name: &[u8], value: Vec<u8>) {
        self.store.add_all_owned(self.rules, &[variable], name, value);
    }

    fn set(&mut self, variable: Variable, value: &[u8]) {
        self.store.set(self.rules, variable, value);
    }
}
