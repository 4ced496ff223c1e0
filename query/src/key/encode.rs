//! One value to one component.

use bson::{Bson, Document};

use crate::compare::Class;
use crate::number::Number;

/// Integers from here on can lie between two doubles, so their component carries what remains.
const TWO_POW_53: f64 = 9_007_199_254_740_992.0;

/// The magnitude of the least `i64`; no integer is beyond it.
const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;

/// Ends a list of items or fields; every tag is above it.
const END: u8 = 0x00;

/// Appends the component of `value`. `compare(a, b)` is the order of their components as bytes, and equal values have
/// equal components.
pub fn encode(value: &Bson, out: &mut Vec<u8>) {
    out.push(Class::of(value) as u8);
    payload(value, out);
}

fn payload(value: &Bson, out: &mut Vec<u8>) {
    match value {
        Bson::Null | Bson::Undefined | Bson::MinKey | Bson::MaxKey => {}
        Bson::Int32(_) | Bson::Int64(_) | Bson::Double(_) | Bson::Decimal128(_) => {
            number(value, out);
        }
        Bson::String(text) | Bson::Symbol(text) | Bson::JavaScriptCode(text) => string(text, out),
        Bson::Document(document) => fields(document, out),
        Bson::Array(items) => {
            items.iter().for_each(|item| encode(item, out));
            out.push(END);
        }
        Bson::Binary(binary) => {
            // A length beyond 32 bits cannot occur in BSON.
            out.extend((binary.bytes.len() as u32).to_be_bytes());
            out.push(binary.subtype.into());
            out.extend(&binary.bytes);
        }
        Bson::ObjectId(id) => out.extend(id.bytes()),
        Bson::Boolean(truth) => out.push((*truth).into()),
        Bson::DateTime(date) => out.extend(ordered_int(date.timestamp_millis())),
        Bson::Timestamp(timestamp) => {
            out.extend(timestamp.time.to_be_bytes());
            out.extend(timestamp.increment.to_be_bytes());
        }
        Bson::RegularExpression(regex) => {
            string(regex.pattern.as_str(), out);
            string(regex.options.as_str(), out);
        }
        Bson::DbPointer(pointer) => string(&format!("{pointer:?}"), out),
        Bson::JavaScriptCodeWithScope(code) => {
            string(&code.code, out);
            fields(&code.scope, out);
        }
    }
}

fn number(value: &Bson, out: &mut Vec<u8>) {
    let number = Number::of(value).expect("called for numbers only");
    let (floor, rest) = number.floor_double();
    out.extend(ordered_double(floor));
    if (TWO_POW_53..=TWO_POW_63).contains(&floor.abs()) {
        out.extend(rest.to_be_bytes());
    }
}

/// The order of doubles as the order of bytes: NaN first, both zeros the same.
fn ordered_double(double: f64) -> [u8; 8] {
    const SIGN: u64 = 1 << 63;
    if double.is_nan() {
        return [0; 8];
    }
    // Adding a positive zero turns the negative one into it.
    let bits = (double + 0.0).to_bits();
    let ordered = if bits & SIGN == 0 { bits | SIGN } else { !bits };
    ordered.to_be_bytes()
}

fn ordered_int(int: i64) -> [u8; 8] {
    (int.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn string(text: &str, out: &mut Vec<u8>) {
    for (index, run) in text.as_bytes().split(|byte| *byte == 0).enumerate() {
        if index > 0 {
            out.extend([0x00, 0xff]);
        }
        out.extend(run);
    }
    out.extend([0x00, 0x00]);
}

fn fields(document: &Document, out: &mut Vec<u8>) {
    for (name, value) in document {
        out.push(Class::of(value) as u8);
        string(name, out);
        payload(value, out);
    }
    out.push(END);
}
