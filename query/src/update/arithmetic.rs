//! Numbers that keep their type: Int32 grows into Int64 when it has to, Int64 never wraps, a double makes everything double.

use bson::Bson;

use super::BitOperation;
use crate::error::{Error, Result};

/// `current + operand`.
pub(super) fn add(current: &Bson, operand: &Bson) -> Result<Bson> {
    calculate(current, operand, i64::checked_add, |a, b| a + b)
}

/// `current × operand`.
pub(super) fn multiply(current: &Bson, operand: &Bson) -> Result<Bson> {
    calculate(current, operand, i64::checked_mul, |a, b| a * b)
}

/// The zero of the operand's type, which is what `$mul` makes of a missing field.
pub(super) fn zero_like(operand: &Bson) -> Bson {
    match operand {
        Bson::Int32(_) => Bson::Int32(0),
        Bson::Int64(_) => Bson::Int64(0),
        _ => Bson::Double(0.0),
    }
}

/// `current op mask`; as wide as the wider of the two.
pub(super) fn bits(current: &Bson, operation: BitOperation, mask: &Bson) -> Result<Bson> {
    let (Some(a), Some(b)) = (integer(current), integer(mask)) else {
        return Err(Error::value("field is not an integer"));
    };
    let result = match operation {
        BitOperation::And => a & b,
        BitOperation::Or => a | b,
        BitOperation::Xor => a ^ b,
    };
    Ok(narrowed(current, mask, result))
}

fn calculate(
    current: &Bson,
    operand: &Bson,
    whole: fn(i64, i64) -> Option<i64>,
    double: fn(f64, f64) -> f64,
) -> Result<Bson> {
    if let (Some(a), Some(b)) = (integer(current), integer(operand)) {
        let result = whole(a, b)
            .ok_or_else(|| Error::value("result is out of the range of 64-bit integers"))?;
        return Ok(narrowed(current, operand, result));
    }
    match (as_double(current), as_double(operand)) {
        (Some(a), Some(b)) => Ok(Bson::Double(double(a, b))),
        _ => Err(Error::value("field is not an integer or a double")),
    }
}

fn narrowed(a: &Bson, b: &Bson, result: i64) -> Bson {
    match (a, b, i32::try_from(result)) {
        (Bson::Int32(_), Bson::Int32(_), Ok(result)) => Bson::Int32(result),
        _ => Bson::Int64(result),
    }
}

fn integer(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(int) => Some((*int).into()),
        Bson::Int64(int) => Some(*int),
        _ => None,
    }
}

fn as_double(value: &Bson) -> Option<f64> {
    match value {
        Bson::Int32(int) => Some((*int).into()),
        Bson::Int64(int) => Some(*int as f64),
        Bson::Double(double) => Some(*double),
        _ => None,
    }
}
