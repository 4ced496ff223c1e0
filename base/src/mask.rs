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
