//! Does a rule hold for one document?

use bson::{Bson, Document};

use super::clause::Clause;
use super::syntax::{Node, Shape};
use super::value::{Choice, Evaluated, Sources, Stop};
use super::why::Reason;
use super::{Decision, Facts, Fetched, Rule, Why};
use crate::path::Path;

/// Choices of items for fields in arguments of `get` that are tried: each may fetch three documents.
const CHOICES_MAX: usize = 8;

impl Rule {
    /// Decides about one document: the one that is read, changed or deleted, or the new one.
    ///
    /// `doc` is `None` for a document that does not exist: its fields are missing. An update is allowed only if the rule
    /// allows it with the document as it was; what is written stands in [`Facts::data`].
    ///
    /// Where a field in an argument of `get` is an array, its first items are tried, 8 choices in all; if none of them
    /// satisfies the rule, the document is denied.
    pub fn decide(&self, facts: &Facts<'_>, doc: Option<&Document>, fetched: &Fetched) -> Decision {
        let nothing = Document::new();
        let doc = doc.unwrap_or(&nothing);
        let (choices, cut) = choices(&self.root, doc);
        let with = |choices| Sources { facts: *facts, fetched, doc: Some(doc), choices };
        let mut too_much = cut;
        for choice in &choices {
            match holds(&self.root, &with(choice)) {
                Ok(true) => return Decision::Allowed,
                Ok(false) => {}
                Err(Stop::Needs(get)) => return Decision::Needs(*get),
                Err(Stop::Unbound | Stop::TooMuch) => too_much = true,
            }
        }
        let first = with(choices.first().map_or([].as_slice(), Vec::as_slice));
        let (node, reason) = match too_much {
            true => (&self.root, Reason::TooMuch),
            false => (blamed(&self.root, &first), Reason::False),
        };
        Decision::Denied(Why::new(self, node, reason, &first))
    }
}

pub(super) fn holds(node: &Node, sources: &Sources<'_>) -> Evaluated<bool> {
    match &node.shape {
        Shape::Truth(truth) => Ok(*truth),
        Shape::Not(inner) => Ok(!holds(inner, sources)?),
        Shape::All(nodes) => {
            for node in nodes {
                if !holds(node, sources)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Shape::Any(nodes) => {
            for node in nodes {
                if holds(node, sources)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Shape::Compare(operator, left, right) => {
            match Clause::of(*operator, left, right, sources)? {
                Clause::Known(truth) => Ok(truth),
                Clause::Field { path, negated, set } => {
                    let doc = sources.doc.ok_or(Stop::Unbound)?;
                    Ok(set.has_some(doc, path) != negated)
                }
            }
        }
    }
}

/// The part of a false condition that makes it false: of several that must hold, the first that does not.
fn blamed<'n>(node: &'n Node, sources: &Sources<'_>) -> &'n Node {
    match &node.shape {
        Shape::All(nodes) => {
            let false_one = nodes.iter().find(|node| !matches!(holds(node, sources), Ok(true)));
            false_one.map_or(node, |node| blamed(node, sources))
        }
        _ => node,
    }
}

/// The choices of items for the fields in arguments of `get`, and whether there are more. Never none.
pub(super) fn choices<'a>(root: &'a Node, doc: &'a Document) -> (Vec<Vec<Choice<'a>>>, bool) {
    let mut choices = vec![Vec::new()];
    let mut cut = false;
    for path in root.keys() {
        let values = values_at(path, doc);
        let all = choices.iter().flat_map(|choice: &Vec<Choice<'a>>| {
            values.iter().map(move |value| {
                let mut longer = choice.clone();
                longer.push((path, *value));
                longer
            })
        });
        let mut longer: Vec<_> = all.take(CHOICES_MAX + 1).collect();
        cut |= longer.len() > CHOICES_MAX;
        longer.truncate(CHOICES_MAX);
        choices = longer;
    }
    (choices, cut)
}

/// The values at a path, an array being its items. Never none, and not many more than can be tried.
fn values_at<'a>(path: &Path, doc: &'a Document) -> Vec<Option<&'a Bson>> {
    let mut values = Vec::new();
    path.visit(doc, &mut |end| {
        match end.items() {
            Some(items) => values.extend(items.iter().take(CHOICES_MAX + 1).map(Some)),
            None => values.push(end.value()),
        }
        values.len() > CHOICES_MAX
    });
    if values.is_empty() {
        values.push(None);
    }
    values
}
