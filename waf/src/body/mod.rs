//! What does a body hold? One reader for each kind, each a function of the bytes that fills variables.
//!
//! A reader never fails half-way without saying so: what it could read stays, and the error goes into `REQBODY_ERROR`.

mod json;
mod multipart;
#[cfg(test)]
pub(crate) mod testing;
mod url_encoded;
mod xml;

pub(crate) use self::json::json;
pub(crate) use self::multipart::{Bounds, multipart};
use self::url_encoded::hex;
pub(crate) use self::url_encoded::{decode, url_encoded};
pub(crate) use self::xml::xml;
use crate::seclang::ast::Variable;

/// Where readers put what they find.
pub(crate) trait Fill {
    /// An argument of the request: `ARGS`, `ARGS_POST` and their names.
    ///
    /// # Errors
    /// There are more than the bound allows: the reader ends with this.
    fn argument(&mut self, name: &[u8], value: &[u8]) -> Result<(), String>;

    /// A member of any other collection.
    fn add(&mut self, variable: Variable, name: &[u8], value: &[u8]);

    /// The one value of a variable without members.
    fn set(&mut self, variable: Variable, value: &[u8]);
}
