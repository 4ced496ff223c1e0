//! What a reader told, one line a value.

use super::Fill;
use crate::seclang::ast::Variable;

#[derive(Default)]
pub(crate) struct Told(pub(crate) Vec<String>);

impl Fill for Told {
    fn argument(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.0.push(format!("{}={}", text(name), text(value)));
        Ok(())
    }

    fn add(&mut self, variable: Variable, name: &[u8], value: &[u8]) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.0.push(format!("{variable:?} {}={}", text(name), text(value)));
    }

    fn set(&mut self, variable: Variable, value: &[u8]) {
        self.0.push(format!("{variable:?}={}", String::from_utf8_lossy(value)));
    }
}
