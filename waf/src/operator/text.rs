//! Operators that compare text with text.

use memchr::memmem::Finder;

/// How two texts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextTest {
    /// `@contains` and `@strmatch`.
    Contains,
    /// `@containsWord`.
    ContainsWord,
    /// `@beginsWith`.
    BeginsWith,
    /// `@endsWith`.
    EndsWith,
    /// `@streq`.
    Equals,
    /// `@within`: the argument contains the value.
    Within,
}

impl TextTest {
    pub(super) fn matches(self, value: &[u8], argument: &[u8]) -> bool {
        match self {
            Self::Contains => memchr::memmem::find(value, argument).is_some(),
            Self::ContainsWord => contains_word(value, argument),
            Self::BeginsWith => value.starts_with(argument),
            Self::EndsWith => value.ends_with(argument),
            Self::Equals => value == argument,
            Self::Within => memchr::memmem::find(argument, value).is_some(),
        }
    }
}

/// Whether the argument is there with no ASCII letter beside it. An empty argument is in everything.
fn contains_word(value: &[u8], argument: &[u8]) -> bool {
    if argument.is_empty() {
        return true;
    }
    let finder = Finder::new(argument);
    let is_border = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphabetic());
    let mut from = 0;
    while let Some(start) = finder.find(&value[from..]).map(|start| start + from) {
        let before = start.checked_sub(1).and_then(|at| value.get(at));
        if is_border(before) && is_border(value.get(start + argument.len())) {
            return true;
        }
        from = start + 1;
    }
    false
}
