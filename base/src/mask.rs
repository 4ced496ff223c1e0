//! Masking of personal data (mission row C1): what a log, a report or an operator may see of it.

/// A phone number with its first three and last four digits; anything shorter than eight characters becomes stars.
pub fn phone(number: &str) -> String {
    let digits: Vec<char> = number.chars().collect();
    if digits.len() < 8 {
        return "*".repeat(digits.len());
    }
    let hidden = digits.len() - 7;
    let head = digits[..3].iter();
    let tail = digits[3 + hidden..].iter();
    head.chain(std::iter::repeat_n(&'*', hidden)).chain(tail).collect()
}

/// A value in which something dangerous was seen: letters and digits beyond the first and last two of each word become
/// `x` and `0`, punctuation stays, so that the form can be judged and no content is told. At most `chars_max` characters.
pub fn form(value: &[u8], chars_max: usize) -> String {
    let text = String::from_utf8_lossy(value);
    let letters: Vec<char> = text.chars().take(chars_max).collect();
    let is_word =
        |at: Option<usize>| at.and_then(|at| letters.get(at)).is_some_and(|c| c.is_alphanumeric());
    let inside = |at: usize| {
        let before = |by: usize| is_word(at.checked_sub(by));
        before(1) && before(2) && is_word(Some(at + 1)) && is_word(Some(at + 2))
    };
    let masked = letters.iter().enumerate().map(|(at, &c)| match c {
        c if !c.is_alphanumeric() || !inside(at) => c,
        c if c.is_numeric() => '0',
        _ => 'x',
    });
    masked.collect()
}

/// An identifier such as an openid, by its first six characters: enough to find it again, not enough to use it.
pub fn identifier(text: &str) -> String {
    let head: String = text.chars().take(6).collect();
    if head.len() == text.len() { "***".into() } else { format!("{head}***") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_number_keeps_three_and_four_digits() {
        assert_eq!(phone("13812345678"), "138****5678");
        assert_eq!(phone("1234567"), "*******");
        assert_eq!(phone("+8613812345678"), "+86*******5678");
    }

    #[test]
    fn an_identifier_keeps_its_head() {
        assert_eq!(identifier("oABCD1234567"), "oABCD1***");
        assert_eq!(identifier("short"), "***");
    }
}
