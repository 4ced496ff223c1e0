//! Numbers that carry a check: credit cards, and the numbers by which Brazil, the United States and Austria know people.

use regex::bytes::Regex;

/// Numbers with a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// `@verifyCC`: Luhn's check.
    Card,
    /// `@verifyCPF`: Cadastro de Pessoas Físicas.
    Cpf,
    /// `@verifySSN`: Social Security Number.
    Ssn,
    /// `@verifySVNR`: Sozialversicherungsnummer.
    Svnr,
}

/// How many matches may overlap; behind that they are looked for one after the other, so that time stays linear.
const OVERLAPS_MAX: usize = 1024;

impl Identity {
    /// The first match of the pattern that passes the check.
    pub(super) fn find<'a>(self, regex: &Regex, value: &'a [u8]) -> Option<&'a [u8]> {
        let (mut from, mut count) = (0, 0);
        while let Some(found) = regex.find_at(value, from) {
            if self.is_valid(found.as_bytes()) {
                return Some(found.as_bytes());
            }
            count += 1;
            let next = found.start() + 1;
            from = if count < OVERLAPS_MAX { next } else { next.max(found.end()) };
            if from > value.len() {
                break;
            }
        }
        None
    }

    fn is_valid(self, text: &[u8]) -> bool {
        let digits = text.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| byte - b'0');
        match self {
            Self::Card => is_card(digits),
            Self::Cpf => first(digits).is_some_and(is_cpf),
            Self::Ssn => exactly(digits).is_some_and(is_ssn),
            Self::Svnr => first(digits).is_some_and(is_svnr),
        }
    }
}

/// The first digits; more may follow.
fn first<const N: usize>(mut digits: impl Iterator<Item = u8>) -> Option<[u32; N]> {
    let mut array = [0; N];
    for place in &mut array {
        *place = u32::from(digits.next()?);
    }
    Some(array)
}

/// All digits, if they are as many.
fn exactly<const N: usize>(mut digits: impl Iterator<Item = u8>) -> Option<[u32; N]> {
    let array = first(digits.by_ref())?;
    digits.next().is_none().then_some(array)
}

/// Luhn's check (ISO/IEC 7812-1): from the last digit on, every second one counts twice, with its digits added.
fn is_card(digits: impl Iterator<Item = u8>) -> bool {
    // Both ways of counting at once, because which one is right shows at the end.
    let (mut odd, mut even, mut count) = (0_u32, 0_u32, 0_u32);
    for digit in digits.map(u32::from) {
        let doubled = digit * 2 - if digit > 4 { 9 } else { 0 };
        (odd, even) = ((even + digit) % 10, (odd + doubled) % 10);
        count += 1;
    }
    // `odd` ends with a digit that counts once: the last one always does.
    count > 0 && odd == 0
}

/// Eleven digits, of which the last two make weighted sums of the others fit; not all alike, not 01234567890.
fn is_cpf(digits: [u32; 11]) -> bool {
    let check = |length: usize| {
        let weights = (2..=length as u32 + 1).rev();
        let sum: u32 = digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum();
        if sum % 11 < 2 { 0 } else { 11 - sum % 11 }
    };
    !is_alike(&digits)
        && digits != [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
        && check(9) == digits[9]
        && check(10) == digits[10]
}

/// Nine digits: area, group and serial number, none of them zero, the area below 740 and not 666.
fn is_ssn(digits: [u32; 9]) -> bool {
    let number = |digits: &[u32]| digits.iter().fold(0, |number, digit| number * 10 + digit);
    let is_ascending = digits.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    let area = number(&digits[..3]);
    !is_alike(&digits)
        && !is_ascending
        && (1..740).contains(&area)
        && area != 666
        && number(&digits[3..5]) != 0
        && number(&digits[5..]) != 0
}

/// Ten digits, of which the fourth is a weighted sum of the others; not all alike, not 0123456789 nor 1234567890.
fn is_svnr(digits: [u32; 10]) -> bool {
    const WEIGHTS: [u32; 10] = [3, 7, 9, 0, 5, 8, 4, 2, 1, 6];
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(digit, weight)| digit * weight).sum();
    let is_ascending = digits.windows(2).all(|pair| (pair[0] + 1) % 10 == pair[1]);
    let is_made_up = is_alike(&digits) || is_ascending && digits[0] < 2;
    !is_made_up && sum % 11 % 10 == digits[3]
}

fn is_alike(digits: &[u32]) -> bool {
    digits.iter().all(|digit| *digit == digits[0])
}
