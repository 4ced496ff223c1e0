//! `$type`: by number or name.

use bson::Bson;

use crate::error::{Error, Result};
use crate::number::Number;

/// Every type: its number and its name.
const TYPES: &[(i64, &str)] = &[
    (1, "double"),
    (2, "string"),
    (3, "object"),
    (4, "array"),
    (5, "binData"),
    (6, "undefined"),
    (7, "objectId"),
    (8, "bool"),
    (9, "date"),
    (10, "null"),
    (11, "regex"),
    (12, "dbPointer"),
    (13, "javascript"),
    (14, "symbol"),
    (15, "javascriptWithScope"),
    (16, "int"),
    (17, "timestamp"),
    (18, "long"),
    (19, "decimal"),
    (-1, "minKey"),
    (127, "maxKey"),
];

/// The numbers of all types of numbers, which together are called `number`.
const NUMBERS: [i64; 4] = [1, 16, 18, 19];

/// The types that `$type` asks for, by their numbers, sorted and distinct, so there are at most as many as types.
#[derive(Clone, Debug)]
pub(super) struct Types(Vec<i64>);

impl Types {
    /// One type, or an array of at least one.
    pub(super) fn parse(operand: &Bson) -> Result<Self> {
        let mut types = Vec::new();
        match operand {
            Bson::Array(items) if items.is_empty() => {
                return Err(Error::value("needs at least one type"));
            }
            Bson::Array(items) => items.iter().try_for_each(|item| add(item, &mut types))?,
            single => add(single, &mut types)?,
        }
        types.sort_unstable();
        types.dedup();
        Ok(Self(types))
    }

    pub(super) fn contains(&self, value: &Bson) -> bool {
        self.0.binary_search(&type_number(value)).is_ok()
    }
}

fn add(item: &Bson, types: &mut Vec<i64>) -> Result<()> {
    if item.as_str() == Some("number") {
        types.extend(NUMBERS);
        return Ok(());
    }
    let number = Number::of(item).and_then(Number::integer);
    let found =
        TYPES.iter().find(|(known, name)| number == Some(*known) || item.as_str() == Some(*name));
    let (number, _) = found.ok_or_else(|| Error::value("needs the name or number of a type"))?;
    types.push(*number);
    Ok(())
}

fn type_number(value: &Bson) -> i64 {
    match value {
        Bson::Double(_) => 1,
        Bson::String(_) => 2,
        Bson::Document(_) => 3,
        Bson::Array(_) => 4,
        Bson::Binary(_) => 5,
        Bson::Undefined => 6,
        Bson::ObjectId(_) => 7,
        Bson::Boolean(_) => 8,
        Bson::DateTime(_) => 9,
        Bson::Null => 10,
        Bson::RegularExpression(_) => 11,
        Bson::DbPointer(_) => 12,
        Bson::JavaScriptCode(_) => 13,
        Bson::Symbol(_) => 14,
        Bson::JavaScriptCodeWithScope(_) => 15,
        Bson::Int32(_) => 16,
        Bson::Timestamp(_) => 17,
        Bson::Int64(_) => 18,
        Bson::Decimal128(_) => 19,
        Bson::MinKey => -1,
        Bson::MaxKey => 127,
    }
}
