//! MongoDB's total order over all values.
//!
//! First the class of the value (see [`Class`]), then the value within its class. Numbers of every type share one class
//! and are compared by value. Strings are compared by their UTF-8 bytes. Fields of documents are compared one after
//! another: class of the value, name, value; the shorter document comes first.

use std::cmp::Ordering;

use bson::{Binary, Bson, Document};

use crate::number::Number;

/// The classes of values in their order. The number is also the tag byte of an index key (see [`crate::key`]), so it is
/// part of a stored format and may only be extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// Below everything.
    MinKey = 0x08,
    /// Null, undefined, and a missing field.
    Null = 0x10,
    /// Int32, Int64, Double and Decimal128.
    Number = 0x18,
    /// String and Symbol.
    String = 0x20,
    /// An embedded document.
    Document = 0x28,
    /// An array as a whole.
    Array = 0x30,
    /// Bytes.
    Binary = 0x38,
    /// An ObjectId.
    ObjectId = 0x40,
    /// false, then true.
    Boolean = 0x48,
    /// A date in milliseconds.
    Date = 0x50,
    /// A replication timestamp.
    Timestamp = 0x58,
    /// A regular expression as a value.
    Regex = 0x60,
    /// Deprecated pointer to a document.
    DbPointer = 0x68,
    /// JavaScript.
    Code = 0x70,
    /// JavaScript with variables.
    CodeWithScope = 0x78,
    /// Above everything.
    MaxKey = 0x80,
}

impl Class {
    /// The class of a value.
    pub fn of(value: &Bson) -> Self {
        match value {
            Bson::MinKey => Self::MinKey,
            Bson::Null | Bson::Undefined => Self::Null,
            Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) | Bson::Decimal128(_) => Self::Number,
            Bson::String(_) | Bson::Symbol(_) => Self::String,
            Bson::Document(_) => Self::Document,
            Bson::Array(_) => Self::Array,
            Bson::Binary(_) => Self::Binary,
            Bson::ObjectId(_) => Self::ObjectId,
            Bson::Boolean(_) => Self::Boolean,
            Bson::DateTime(_) => Self::Date,
            Bson::Timestamp(_) => Self::Timestamp,
            Bson::RegularExpression(_) => Self::Regex,
            Bson::DbPointer(_) => Self::DbPointer,
            Bson::JavaScriptCode(_) => Self::Code,
            Bson::JavaScriptCodeWithScope(_) => Self::CodeWithScope,
            Bson::MaxKey => Self::MaxKey,
        }
    }
}

/// The order of two values. Total: antisymmetric, transitive, and defined for every pair.
pub fn compare(a: &Bson, b: &Bson) -> Ordering {
    Class::of(a).cmp(&Class::of(b)).then_with(|| compare_within_class(a, b))
}

/// The order of two documents, field by field.
pub fn compare_documents(a: &Document, b: &Document) -> Ordering {
    for ((a_name, a_value), (b_name, b_value)) in a.iter().zip(b) {
        let order = Class::of(a_value)
            .cmp(&Class::of(b_value))
            .then_with(|| a_name.cmp(b_name))
            .then_with(|| compare_within_class(a_value, b_value));
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// Whether two values are equal in this order: `1` equals `1.0`, null equals undefined.
pub fn equal(a: &Bson, b: &Bson) -> bool {
    compare(a, b).is_eq()
}

fn compare_within_class(a: &Bson, b: &Bson) -> Ordering {
    match (a, b) {
        (Bson::String(a) | Bson::Symbol(a), Bson::String(b) | Bson::Symbol(b)) => a.cmp(b),
        (Bson::Document(a), Bson::Document(b)) => compare_documents(a, b),
        (Bson::Array(a), Bson::Array(b)) => compare_arrays(a, b),
        (Bson::Binary(a), Bson::Binary(b)) => compare_binaries(a, b),
        (Bson::ObjectId(a), Bson::ObjectId(b)) => a.bytes().cmp(&b.bytes()),
        (Bson::Boolean(a), Bson::Boolean(b)) => a.cmp(b),
        (Bson::DateTime(a), Bson::DateTime(b)) => a.cmp(b),
        (Bson::Timestamp(a), Bson::Timestamp(b)) => {
            (a.time, a.increment).cmp(&(b.time, b.increment))
        }
        (Bson::RegularExpression(a), Bson::RegularExpression(b)) => {
            (a.pattern.as_str(), a.options.as_str()).cmp(&(b.pattern.as_str(), b.options.as_str()))
        }
        (Bson::DbPointer(a), Bson::DbPointer(b)) => format!("{a:?}").cmp(&format!("{b:?}")),
        (Bson::JavaScriptCode(a), Bson::JavaScriptCode(b)) => a.cmp(b),
        (Bson::JavaScriptCodeWithScope(a), Bson::JavaScriptCodeWithScope(b)) => {
            a.code.cmp(&b.code).then_with(|| compare_documents(&a.scope, &b.scope))
        }
        _ => match (Number::of(a), Number::of(b)) {
            (Some(a), Some(b)) => a.compare(b),
            // What is left has one value per class: null, the least and the greatest key.
            _ => Ordering::Equal,
        },
    }
}

fn compare_arrays(a: &[Bson], b: &[Bson]) -> Ordering {
    let unequal = a.iter().zip(b).map(|(a, b)| compare(a, b)).find(|order| order.is_ne());
    unequal.unwrap_or_else(|| a.len().cmp(&b.len()))
}

fn compare_binaries(a: &Binary, b: &Binary) -> Ordering {
    let head = |binary: &Binary| (binary.bytes.len(), u8::from(binary.subtype));
    head(a).cmp(&head(b)).then_with(|| a.bytes.cmp(&b.bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::compare;
    use crate::testing::{value, value_text};

    /// Each line is one place in the order; values on one line are equal.
    const ASCENDING: &str = r#"
        [{"$minKey":1}]
        [null]
        [{"$numberDouble":"NaN"}, {"$numberDecimal":"NaN"}]
        [{"$numberDouble":"-Infinity"}]
        [{"$numberLong":"-9223372036854775808"}, {"$numberDouble":"-9223372036854775808"}]
        [-1]
        [0, {"$numberDouble":"-0.0"}, {"$numberLong":"0"}, {"$numberDecimal":"0"}]
        [0.5, {"$numberDecimal":"5E-1"}]
        [1, 1.0]
        [{"$numberLong":"9007199254740992"}, {"$numberDouble":"9007199254740992"}]
        [{"$numberLong":"9007199254740993"}]
        [{"$numberDouble":"9007199254740994"}]
        [{"$numberLong":"9223372036854775807"}]
        [{"$numberDouble":"9223372036854775808"}]
        [{"$numberDouble":"Infinity"}]
        [""]
        ["A"]
        ["a", {"$symbol":"a"}]
        ["a\u0000"]
        ["aa"]
        ["é"]
        ["\uffff"]
        ["😀"]
        [{}]
        [{"a":1}]
        [{"a":2}]
        [{"b":1}]
        [{"a":"x"}]
        [[]]
        [[1]]
        [[1,2]]
        [[2]]
        [{"$binary":{"base64":"/w==","subType":"00"}}]
        [{"$binary":{"base64":"/w==","subType":"04"}}]
        [{"$binary":{"base64":"AAA=","subType":"00"}}]
        [{"$oid":"507f1f77bcf86cd799439011"}]
        [false]
        [true]
        [{"$date":-1}]
        [{"$date":1}]
        [{"$timestamp":{"t":1,"i":9}}]
        [{"$timestamp":{"t":2,"i":1}}]
        [{"$regularExpression":{"pattern":"a","options":""}}]
        [{"$regularExpression":{"pattern":"a","options":"i"}}]
        [{"$code":"f"}]
        [{"$code":"f","$scope":{}}]
        [{"$maxKey":1}]
    "#;

    #[test]
    fn the_order_across_types() {
        let lines = ASCENDING.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate();
        let places: Vec<_> = lines
            .flat_map(|(place, line)| {
                value(line).as_array().unwrap().clone().into_iter().map(move |v| (place, v))
            })
            .collect();
        for (a_place, a) in &places {
            for (b_place, b) in &places {
                assert_eq!(
                    compare(a, b),
                    a_place.cmp(b_place),
                    "{} with {}",
                    value_text(a),
                    value_text(b)
                );
            }
        }
    }
}
