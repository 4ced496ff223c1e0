//! What was set, where it stands, and what differs from the configuration before.

use std::collections::{BTreeMap, BTreeSet};

use super::problem::{Problem, Problems, Show, SourceSpan};
use super::tree::Span;
use super::words::Words;
use crate::secret::Secret;

/// Every key that was set, in file or environment, by its dotted name. Kept as long as a configuration is in force: to
/// compare it with the next one, and to say where a key stands that turned out to be wrong later.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub(super) file: String,
    /// The file's text. It may hold secrets.
    pub(super) text: Option<Secret>,
    pub(super) set: BTreeMap<String, Setting>,
}

/// A key that was set.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// What was given; kept to tell whether it changed, never shown.
    pub(super) given: Secret,
    pub(super) origin: Origin,
    /// Whether its value may be shown.
    pub(super) show: Show,
}

/// Where a key was set.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    File(Span),
    Variable(String),
}

impl Settings {
    /// The dotted names of the keys whose values differ between two configurations, in order. Where a key stands does not
    /// matter.
    pub fn changed(before: &Self, after: &Self) -> Vec<String> {
        let keys: BTreeSet<&String> = before.set.keys().chain(after.set.keys()).collect();
        let given = |settings: &Self, key: &str| settings.set.get(key).map(|set| set.given.clone());
        let differs = |key: &&String| given(before, key) != given(after, key);
        keys.into_iter().filter(differs).cloned().collect()
    }

    /// Whether the key was set.
    pub fn is_set(&self, key: &str) -> bool {
        self.set.contains_key(key)
    }

    /// A mistake that showed only when what the key names was used, such as a file that is not there: it stands where the
    /// key was set, or nowhere in particular when it was not.
    pub fn problem(&self, key: &str, message: impl Into<Words>) -> Problem {
        let place = match self.set.get(key).map(|set| (&set.origin, set.show)) {
            Some((Origin::Variable(name), _)) => SourceSpan::Variable(name.clone()),
            Some((Origin::File(span), show)) => self.place(span, show),
            None => SourceSpan::Whole,
        };
        Problem { key: key.to_owned(), place, message: message.into(), notes: Vec::new() }
    }

    /// Mistakes of this configuration, in the order of its file.
    pub fn problems(&self, list: Vec<Problem>) -> Problems {
        Problems::sorted(&self.file, list)
    }

    fn place(&self, span: &Span, show: Show) -> SourceSpan {
        let text = self.text.as_ref().and_then(Secret::expose_str);
        text.map_or(SourceSpan::Whole, |text| SourceSpan::of(text, span, show))
    }
}
