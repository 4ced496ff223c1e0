//! Text with macros, prepared so that expanding it looks nothing up that could be looked up before.

use std::collections::HashMap;

use super::lists::{ListId, Lists, is_dynamic};
use crate::seclang::ast::{Piece, Text, Variable};

/// Text with macros.
#[derive(Clone, Debug, Default)]
pub(crate) struct Template(pub(crate) Vec<Part>);

#[derive(Clone, Debug)]
pub(crate) enum Part {
    Literal(Box<[u8]>),
    /// A TX variable, by its place.
    Tx(u32),
    /// The first value of a list.
    List(ListId),
    /// A variable that changes while rules run, and the member's name in lowercase.
    Dynamic(Variable, Option<Box<[u8]>>),
}

/// The name of a TX variable.
#[derive(Clone, Debug)]
pub(crate) enum TxName {
    SourceSpan(u32),
    Dynamic(Template),
}

/// Everything that rules name and that a transaction keeps by its place.
#[derive(Debug)]
pub(super) struct Symbols {
    /// TX variables. The first ten are what operators capture.
    pub(super) tx: HashMap<Box<[u8]>, u32>,
    pub(super) lists: Lists,
}

impl Symbols {
    pub(super) fn new() -> Self {
        let digits = (0..10).map(|digit| (Box::from([b'0' + digit]), u32::from(digit)));
        Self { tx: digits.collect(), lists: Lists::default() }
    }

    pub(super) fn place(&mut self, name: &[u8]) -> u32 {
        let next = u32::try_from(self.tx.len()).unwrap_or(u32::MAX);
        *self.tx.entry(name.to_ascii_lowercase().into()).or_insert(next)
    }

    pub(super) fn template(&mut self, text: &Text) -> Template {
        let part = |piece: &Piece| match piece {
            Piece::Literal(text) => Part::Literal(text.as_slice().into()),
            Piece::Macro(Variable::Tx, Some(name)) => Part::Tx(self.place(name.as_bytes())),
            Piece::Macro(variable, name) if is_dynamic(*variable) => {
                let name = name.as_ref().map(|name| name.to_ascii_lowercase().into_bytes().into());
                Part::Dynamic(*variable, name)
            }
            Piece::Macro(variable, name) => Part::List(self.lists.list(*variable, name.as_deref())),
        };
        Template(text.0.iter().map(part).collect())
    }

    pub(super) fn tx_name(&mut self, text: &Text) -> TxName {
        match text.as_literal() {
            Some(name) => TxName::SourceSpan(self.place(name)),
            None => TxName::Dynamic(self.template(text)),
        }
    }
}
