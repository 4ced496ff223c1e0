//! Numbers of four types on one line.
//!
//! 64-bit integers and doubles are compared exactly. A `Decimal128` counts as the double nearest to it, so decimals that
//! differ only beyond a double's 15 to 17 digits are equal here; mini-program clients have no way to write one.

use std::cmp::Ordering;

use bson::Bson;

/// 2^63, the first double above every `i64`.
const TWO_POW_63: f64 = 9_223_372_036_854_775_808.0;

/// The value of a number, without its type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Number {
    Int(i64),
    Double(f64),
}

impl Number {
    /// The number in `value`, or `None` for every other type.
    pub(crate) fn of(value: &Bson) -> Option<Self> {
        Some(match value {
            Bson::Int32(int) => Self::Int((*int).into()),
            Bson::Int64(int) => Self::Int(*int),
            Bson::Double(double) => Self::Double(*double),
            Bson::Decimal128(decimal) => {
                Self::Double(decimal.to_string().parse().unwrap_or(f64::NAN))
            }
            _ => return None,
        })
    }

    /// The total order of numbers: NaN is below everything and equal to itself, and both zeros are equal.
    pub(crate) fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(&b),
            (Self::Double(a), Self::Double(b)) => compare_doubles(a, b),
            (Self::Int(a), Self::Double(b)) => compare_int_with_double(a, b),
            (Self::Double(a), Self::Int(b)) => compare_int_with_double(b, a).reverse(),
        }
    }

    pub(crate) fn is_nan(self) -> bool {
        matches!(self, Self::Double(double) if double.is_nan())
    }

    /// The integer part, or `None` when it is not finite or does not fit.
    pub(crate) fn truncate(self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(int),
            Self::Double(double) if (-TWO_POW_63..TWO_POW_63).contains(&double) => {
                Some(double as i64)
            }
            Self::Double(_) => None,
        }
    }

    /// The integer that equals this number exactly.
    pub(crate) fn integer(self) -> Option<i64> {
        let int = self.truncate()?;
        (self.compare(Self::Int(int)) == Ordering::Equal).then_some(int)
    }

    /// The greatest double that is not above the number, and what remains to the number (below 2^11).
    pub(crate) fn floor_double(self) -> (f64, u16) {
        let int = match self {
            Self::Double(double) => return (double, 0),
            Self::Int(int) => int,
        };
        let nearest = int as f64;
        let floor = if compare_int_with_double(int, nearest).is_lt() {
            nearest.next_down()
        } else {
            nearest
        };
        let rest = i128::from(int) - floor as i128;
        (
            floor,
            u16::try_from(rest).expect("neighbouring doubles below 2^63 are at most 2^10 apart"),
        )
    }
}

fn compare_doubles(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

fn compare_int_with_double(int: i64, double: f64) -> Ordering {
    if double.is_nan() || double < -TWO_POW_63 {
        return Ordering::Greater;
    }
    if double >= TWO_POW_63 {
        return Ordering::Less;
    }
    let whole = double as i64;
    // Equal whole parts leave the fraction, which truncation took towards zero.
    int.cmp(&whole).then_with(|| compare_doubles(0.0, double.fract()))
}
