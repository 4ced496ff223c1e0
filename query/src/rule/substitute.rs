//! `'{openid}'` in a query is the caller.

use bson::{Bson, Document};

use super::Caller;
use crate::document::DOCUMENT_DEPTH_MAX;
use crate::error::{Error, Kind, Result};

/// Places in one query that may name the caller.
const PLACES_MAX: usize = 1000;

/// Puts the caller in the place of every text in `query` that is exactly `{openid}` or `{uid}`. Names of fields stay.
///
/// For a caller without openid, `{openid}` is the uid: pages outside of mini-programs send the same queries. Where the
/// caller has neither, the text stays as it is.
///
/// # Errors
/// `TooDeep` for a query that nests deeper than 100, `TooLarge` for over 1000 such texts.
pub fn substitute(query: &mut Document, caller: &Caller) -> Result<()> {
    Substitution { caller, places: 0 }.document(query, 0)
}

struct Substitution<'c> {
    caller: &'c Caller,
    places: usize,
}

impl Substitution<'_> {
    fn document(&mut self, document: &mut Document, depth: usize) -> Result<()> {
        document.iter_mut().try_for_each(|(_, value)| self.value(value, depth + 1))
    }

    fn value(&mut self, value: &mut Bson, depth: usize) -> Result<()> {
        if depth > DOCUMENT_DEPTH_MAX + 1 {
            let message = format!("query nests deeper than {DOCUMENT_DEPTH_MAX}");
            return Err(Error::new(Kind::TooDeep, message));
        }
        match value {
            Bson::Document(document) => self.document(document, depth),
            Bson::Array(items) => items.iter_mut().try_for_each(|item| self.value(item, depth + 1)),
            Bson::String(text) => self.text(text),
            _ => Ok(()),
        }
    }

    fn text(&mut self, text: &mut String) -> Result<()> {
        let caller = self.caller;
        let found = match text.as_str() {
            "{openid}" => caller.openid.as_ref().or(caller.uid.as_ref()),
            "{uid}" => caller.uid.as_ref(),
            _ => return Ok(()),
        };
        self.places += 1;
        if self.places > PLACES_MAX {
            let message = format!("query names the caller in over {PLACES_MAX} places");
            return Err(Error::new(Kind::TooLarge, message));
        }
        if let Some(found) = found {
            text.clone_from(found);
        }
        Ok(())
    }
}
