//! Regular expressions that take time linear in the text, whoever wrote them.

use std::sync::Arc;

use bson::Bson;

use super::matches::Asking;
use crate::error::{Error, Result};
use crate::search::{Search, Unusable};

/// Characters that mean something other than themselves in an expression.
const META: &str = r"\.+*?()|[]{}^$";

/// A compiled expression. It is asked about strings only: stored regular expressions never match one.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    search: Arc<Search>,
    prefix: Option<String>,
}

impl Pattern {
    pub(super) fn new(pattern: &str, options: &str) -> Result<Self> {
        let search = Search::new(pattern, options).map_err(|unusable| match unusable {
            Unusable::Option => Error::value("only i, m, s and x are known").operator("$options"),
            Unusable::TooBig => {
                Error::value("regular expression is too big once compiled").operator("$regex")
            }
            Unusable::Syntax(reason) => {
                Error::value(format!("invalid regular expression: {reason}")).operator("$regex")
            }
        })?;
        let prefix = if options.contains(['i', 'm', 'x']) { None } else { literal_prefix(pattern) };
        Ok(Self { search: Arc::new(search), prefix })
    }

    pub(super) fn matches(&self, value: &Bson, asking: &Asking<'_>) -> bool {
        match value {
            Bson::String(text) | Bson::Symbol(text) => {
                let pay = |steps| asking.step(steps).then_some(()).ok_or(());
                self.search.is_match(text, pay).unwrap_or(false)
            }
            _ => false,
        }
    }

    /// The beginning that every match has, if the expression is anchored to one.
    pub(super) fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }
}

/// `^abc` begins with `abc`, `^ab?` with `a`; an alternative anywhere could begin with anything.
fn literal_prefix(pattern: &str) -> Option<String> {
    let rest = pattern.strip_prefix('^').filter(|rest| !rest.contains('|'))?;
    let end = rest.find(|character| META.contains(character)).unwrap_or(rest.len());
    let mut prefix = rest[..end].to_owned();
    if rest[end..].starts_with(['*', '?', '{']) {
        prefix.pop();
    }
    Some(prefix).filter(|prefix| !prefix.is_empty())
}
