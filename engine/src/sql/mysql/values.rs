//! Values on their way to MySQL and back.

use mysql_async::consts::ColumnType;
use mysql_async::{Column, Params, Row as DriverRow, Value as DriverValue};
use yunzhan_base::{Error, Result};

use crate::sql::limits::{RESULT_BYTES_MAX, nothing_taken, too_large};
use crate::sql::{Row, Value};

/// The number of the character set that means "bytes".
const BINARY: u16 = 63;

/// Parameters as the driver wants them; `taken` are the numbers that the unit took so far. Cloned, because a unit may be tried again.
pub(super) fn params<'v>(
    values: impl IntoIterator<Item = &'v Value>,
    taken: &[i64],
) -> Result<Params> {
    let values: Vec<DriverValue> =
        values.into_iter().map(|value| param(value, taken)).collect::<Result<_>>()?;
    Ok(if values.is_empty() { Params::Empty } else { Params::Positional(values) })
}

fn param(value: &Value, taken: &[i64]) -> Result<DriverValue> {
    Ok(match value {
        Value::Taken(counter) => {
            let number = taken.get(*counter).copied();
            DriverValue::Int(number.ok_or_else(|| nothing_taken(*counter))?)
        }
        Value::Null => DriverValue::NULL,
        Value::Integer(number) => DriverValue::Int(*number),
        Value::Real(number) => DriverValue::Double(*number),
        Value::Text(text) => DriverValue::Bytes(text.as_bytes().to_vec()),
        Value::Blob(bytes) => DriverValue::Bytes(bytes.clone()),
    })
}

/// A row as rooms see it; `bytes` counts what the answer holds so far.
pub(super) fn row(row: DriverRow, bytes: &mut usize) -> Result<Row> {
    let columns = row.columns();
    let values = row.unwrap_raw().into_iter().zip(columns.iter());
    let values =
        values.map(|(value, column)| owned(value.unwrap_or(DriverValue::NULL), column, bytes));
    values.collect::<Result<_>>().map(Row)
}

fn owned(value: DriverValue, column: &Column, bytes: &mut usize) -> Result<Value> {
    Ok(match value {
        DriverValue::NULL => Value::Null,
        DriverValue::Int(number) => Value::Integer(number),
        DriverValue::UInt(number) => Value::Integer(i64::try_from(number).map_err(|_| {
            Error::internal(format!("{number} in column {} is over 63 bits", column.name_str()))
        })?),
        DriverValue::Float(number) => Value::Real(f64::from(number)),
        DriverValue::Double(number) => Value::Real(number),
        DriverValue::Bytes(content) => {
            *bytes += content.len();
            if *bytes > RESULT_BYTES_MAX {
                return Err(too_large());
            }
            from_bytes(content, column)?
        }
        DriverValue::Date(..) | DriverValue::Time(..) => {
            return Err(Error::internal(format!(
                "column {} is a date; dates are stored as milliseconds",
                column.name_str()
            )));
        }
    })
}

fn from_bytes(content: Vec<u8>, column: &Column) -> Result<Value> {
    // Sums of whole numbers are decimals here, and numbers in SQLite.
    let is_decimal = matches!(
        column.column_type(),
        ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_NEWDECIMAL
    );
    if column.character_set() == BINARY && !is_decimal {
        return Ok(Value::Blob(content));
    }
    let text = String::from_utf8(content)
        .map_err(|error| Error::internal("a stored text is not UTF-8").because(error))?;
    if is_decimal { decimal(&text) } else { Ok(Value::Text(text)) }
}

fn decimal(text: &str) -> Result<Value> {
    let broken = |_| Error::internal(format!("{text} is not a number"));
    match text.parse() {
        Ok(number) => Ok(Value::Integer(number)),
        Err(_) => text.parse().map(Value::Real).map_err(broken),
    }
}
