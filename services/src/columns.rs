//! Reads the columns of a row one after the other, as the statement named them.

use yunzhan_base::{Error, Result};
use yunzhan_engine::sql::{Row, Value};

/// The columns of one row that were not taken yet. A column of another type than asked for is a fault of ours, or of whoever
/// wrote into the database by hand.
pub(crate) struct Columns(std::vec::IntoIter<Value>);

impl From<Row> for Columns {
    fn from(row: Row) -> Self {
        Self(row.0.into_iter())
    }
}

impl Columns {
    /// The next column, as a whole number.
    pub(crate) fn integer(&mut self) -> Result<i64> {
        match self.0.next() {
            Some(Value::Integer(value)) => Ok(value),
            other => Err(wrong("a whole number", &other)),
        }
    }

    /// The next column, as a whole number or nothing.
    pub(crate) fn optional_integer(&mut self) -> Result<Option<i64>> {
        match self.0.next() {
            Some(Value::Integer(value)) => Ok(Some(value)),
            Some(Value::Null) => Ok(None),
            other => Err(wrong("a whole number", &other)),
        }
    }

    /// The next column, as text.
    pub(crate) fn text(&mut self) -> Result<String> {
        self.optional_text()?.ok_or_else(|| wrong("text", &None))
    }

    /// The next column, as text or nothing.
    pub(crate) fn optional_text(&mut self) -> Result<Option<String>> {
        match self.0.next() {
            Some(Value::Text(value)) => Ok(Some(value)),
            // MySQL gives text of a binary collation back as bytes.
            Some(Value::Blob(bytes)) => match String::from_utf8(bytes) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(Error::internal("a text column holds bytes that are not UTF-8")),
            },
            Some(Value::Null) => Ok(None),
            other => Err(wrong("text", &other)),
        }
    }

    /// The next column, as bytes.
    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>> {
        self.optional_bytes()?.ok_or_else(|| wrong("bytes", &None))
    }

    /// The next column, as bytes or nothing.
    pub(crate) fn optional_bytes(&mut self) -> Result<Option<Vec<u8>>> {
        match self.0.next() {
            Some(Value::Blob(value)) => Ok(Some(value)),
            Some(Value::Null) => Ok(None),
            other => Err(wrong("bytes", &other)),
        }
    }
}

fn wrong(expected: &str, found: &Option<Value>) -> Error {
    let found = match found {
        None | Some(Value::Null) => "nothing",
        Some(Value::Integer(_)) => "a whole number",
        Some(Value::Real(_)) => "a floating-point number",
        Some(Value::Text(_)) => "text",
        Some(Value::Blob(_)) => "bytes",
        Some(Value::Taken(_)) => "a number that is not taken yet",
    };
    Error::internal(format!("a column holds {found} instead of {expected}"))
}
