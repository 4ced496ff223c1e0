//! Operators that compare whole numbers.

use std::cmp::Ordering;

/// How two numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// `@eq`.
    Equal,
    /// `@ge`.
    GreaterOrEqual,
    /// `@gt`.
    Greater,
    /// `@le`.
    LessOrEqual,
    /// `@lt`.
    Less,
}

impl Comparison {
    /// Whether the value's number compares so with the argument's.
    pub(crate) fn holds(self, value: i64, argument: i64) -> bool {
        let order = value.cmp(&argument);
        match self {
            Self::Equal => order == Ordering::Equal,
            Self::GreaterOrEqual => order != Ordering::Less,
            Self::Greater => order == Ordering::Greater,
            Self::LessOrEqual => order != Ordering::Greater,
            Self::Less => order == Ordering::Less,
        }
    }
}

/// The number that a text begins with, as C reads it: spaces, a sign, digits. Anything else is 0. What does not fit is
/// the nearest that does; ModSecurity's `@eq` takes it for 0.
pub(crate) fn leading_number(text: &[u8]) -> i64 {
    let start = text.iter().position(|byte| !matches!(byte, b' ' | b'\t'..=b'\r'));
    let text = &text[start.unwrap_or(text.len())..];
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    let digits = digits.iter().map_while(|byte| char::from(*byte).to_digit(10));
    digits.fold(0_i64, |number, digit| {
        let digit = if is_negative { -i64::from(digit) } else { i64::from(digit) };
        number.saturating_mul(10).saturating_add(digit)
    })
}
