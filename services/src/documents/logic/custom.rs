//! The security rules of one collection, as they are stored and as they are asked.

use yunzhan_base::Result;
use yunzhan_query::rule::Rules;

/// The security rules of one collection.
#[derive(Clone, Debug)]
pub struct Custom {
    text: Box<str>,
    /// None for stored rules that cannot be read: they allow nothing.
    rules: Option<Rules>,
}

impl Custom {
    /// Reads rules that somebody wants to set: a JSON object of `read`, `write`, `create`, `update` and `delete`.
    ///
    /// # Errors
    /// `InvalidParameter` or `TooLarge`, naming the rule and the column.
    pub(in crate::documents) fn parse(text: &str) -> Result<Self> {
        Ok(Self { rules: Some(Rules::parse(text)?), text: text.into() })
    }

    /// Reads what is stored. What a newer server wrote, or a hand broke, must not open the collection.
    pub(in crate::documents) fn stored(text: &str) -> Self {
        Self { rules: Rules::parse(text).ok(), text: text.into() }
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What can be asked; none where nothing is allowed.
    pub(in crate::documents) fn rules(&self) -> Option<&Rules> {
        self.rules.as_ref()
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
