//! Which clause failed? Once for whoever wrote the rule, with values, and once for clients, who may not see any.

use std::fmt;

use bson::{Bson, Document};

use super::Rule;
use super::syntax::{Node, Operand, Shape, Source};
use super::value::{Sources, Stop};
use crate::ejson::{Mode, write};
use crate::path::Path;

/// Values that are shown for one clause.
const VALUES_MAX: usize = 8;

/// Characters of one value that are shown.
const VALUE_CHARS_MAX: usize = 80;

/// Items of an array that are shown.
const ITEMS_MAX: usize = 4;

/// Characters of a clause that are shown.
const CLAUSE_CHARS_MAX: usize = 200;

/// Why something was denied. As `Display` shows it, there is no value of a document in it: fit for a client's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    rule: &'static str,
    clause: String,
    reason: Reason,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    False,
    NotImplied,
    TooMuch,
}

impl Why {
    pub(super) fn new(rule: &Rule, node: &Node, reason: Reason, sources: &Sources<'_>) -> Self {
        let values = values(rule, node, sources);
        Self { rule: rule.name, clause: clause(rule, node), reason, values }
    }

    /// The key of the rule: `write` also for operations that have no rule of their own.
    pub fn rule(&self) -> &'static str {
        self.rule
    }

    /// The clause as written, or its beginning: the first one of those that must hold together.
    pub fn clause(&self) -> &str {
        &self.clause
    }

    /// With the values of documents: for whoever wrote the rule, never for a client.
    pub fn for_tester(&self) -> String {
        match self.values.as_slice() {
            [] => self.to_string(),
            values => format!("{self}: {}", values.join(", ")),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, clause, .. } = self;
        match self.reason {
            Reason::False => write!(f, "rule {rule}: `{clause}` is false"),
            Reason::NotImplied => {
                write!(f, "rule {rule}: the conditions of the query do not imply `{clause}`")
            }
            Reason::TooMuch => write!(f, "rule {rule}: deciding `{clause}` would take too long"),
        }
    }
}

pub(super) fn clause(rule: &Rule, node: &Node) -> String {
    cut(rule.source.get(node.span.clone()).unwrap_or_default(), CLAUSE_CHARS_MAX)
}

/// `doc._openid is "o2"` for every value in a condition that is not written out.
pub(super) fn values(rule: &Rule, node: &Node, sources: &Sources<'_>) -> Vec<String> {
    let mut shown = Vec::new();
    node.each_clause(&mut |clause| {
        if let Shape::Compare(_, left, right) = &clause.shape {
            for operand in [left, right] {
                collect(rule, operand, sources, &mut shown);
            }
        }
    });
    shown
}

fn collect(rule: &Rule, operand: &Operand, sources: &Sources<'_>, shown: &mut Vec<String>) {
    if let Source::List(items) = &operand.source {
        return items.iter().for_each(|item| collect(rule, item, sources, shown));
    }
    let value = match (&operand.source, sources.doc) {
        (Source::Literal(_) | Source::Auth, _) => return,
        (Source::Doc(_), None) => return,
        (Source::Doc(path), Some(doc)) => at_path(path, doc),
        _ => match sources.value(operand) {
            Ok(Some(value)) => show(&value),
            Ok(None) => "missing".to_owned(),
            Err(Stop::Needs(_)) => "not fetched".to_owned(),
            Err(Stop::Unbound) => "open, as the query gives its argument not one value".to_owned(),
            Err(Stop::TooMuch) => "too long".to_owned(),
        },
    };
    let name = rule.source.get(operand.span.clone()).unwrap_or_default().trim_end();
    let line = format!("{} is {value}", cut(name, VALUE_CHARS_MAX));
    if shown.len() < VALUES_MAX && !shown.contains(&line) {
        shown.push(line);
    }
}

fn at_path(path: &Path, doc: &Document) -> String {
    let mut values = Vec::new();
    path.visit(doc, &mut |end| {
        values.push(end.value().map_or("missing".to_owned(), show));
        values.len() > ITEMS_MAX
    });
    match values.as_slice() {
        [] => "missing".to_owned(),
        values => cut(&values.join(" and "), VALUE_CHARS_MAX),
    }
}

fn show(value: &Bson) -> String {
    let text = match value {
        // Cut before it is written: a value may be as long as a document.
        Bson::String(text) => write(&Bson::String(cut(text, VALUE_CHARS_MAX)), Mode::Relaxed),
        Bson::Document(_) => "{…}".to_owned(),
        Bson::Array(items) => {
            let mut shown: Vec<_> = items.iter().take(ITEMS_MAX).map(show_item).collect();
            shown.extend((items.len() > ITEMS_MAX).then(|| "…".to_owned()));
            format!("[{}]", shown.join(", "))
        }
        Bson::Binary(binary) => format!("{} bytes", binary.bytes.len()),
        Bson::JavaScriptCode(_) | Bson::JavaScriptCodeWithScope(_) => "code".to_owned(),
        value => write(value, Mode::Relaxed),
    };
    cut(&text, VALUE_CHARS_MAX)
}

fn show_item(item: &Bson) -> String {
    match item {
        Bson::Array(items) => format!("a list of {}", items.len()),
        item => show(item),
    }
}

fn cut(text: &str, chars_max: usize) -> String {
    let mut characters = text.chars();
    let mut shown: String = characters.by_ref().take(chars_max).collect();
    shown.extend(characters.next().map(|_| '…'));
    shown
}
