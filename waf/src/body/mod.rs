//! What does a body hold? One reader for each kind, which fills variables.
//!
//! Forms, JSON and XML are functions of all bytes; multipart bodies are read as they arrive, because files may be long.
//! A reader never fails half-way without saying so: what it could read stays, and the error goes into `REQBODY_ERROR`. Of
//! bytes that our own bound cut (`is_cut`) nobody asks whether they are complete: what was begun is told as far as it goes.

mod json;
mod multipart;
#[cfg(test)]
pub(crate) mod testing;
mod url_encoded;
mod xml;

pub(crate) use self::json::json;
pub(crate) use self::multipart::{Bounds, Multipart, multipart};
use self::url_encoded::hex;
pub(crate) use self::url_encoded::{decode, url_encoded};
pub(crate) use self::xml::xml;
use crate::seclang::ast::Variable;

/// Bytes at the end of a body that was cut within which a mistake may be the cut's: no mark that JSON or XML is made of is
/// longer.
const CUT_MARK_BYTES: usize = 16;

/// Whether a mistake at a place of a text that was cut may be the cut's.
fn is_by_cut(text: &[u8], at: usize, is_cut: bool) -> bool {
    is_cut && at + CUT_MARK_BYTES >= text.len()
}

/// Where readers put what they find.
pub(crate) trait Fill {
    /// An argument of the request: `ARGS`, `ARGS_POST` and their names.
    ///
    /// # Errors
    /// There are more than the bound allows: the reader ends with this.
    fn argument(&mut self, name: &[u8], value: &[u8]) -> Result<(), String>;

    /// The same with a value that nobody else needs, so that a large one need not be copied.
    ///
    /// # Errors
    /// As [`Fill::argument`].
    fn argument_owned(&mut self, name: &[u8], value: Vec<u8>) -> Result<(), String> {
        self.argument(name, &value)
    }

    /// A member of any other collection.
    fn add(&mut self, variable: Variable, name: &[u8], value: &[u8]);

    /// The same with a value that nobody else needs, so that a large one need not be copied.
    fn add_owned(&mut self, variable: Variable, name: &[u8], value: Vec<u8>) {
        self.add(variable, name, &value);
    }

    /// The one value of a variable without members.
    fn set(&mut self, variable: Variable, value: &[u8]);
}
