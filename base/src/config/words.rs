//! Text for people in the two languages that the product speaks.

use std::borrow::Cow;

/// A language for people. Programs read `--json` instead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Chinese, simplified.
    Zh,
}

/// One sentence or phrase in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// English.
    pub en: Cow<'static, str>,
    /// Chinese.
    pub zh: Cow<'static, str>,
}

// === impl Lang ===

impl Lang {
    /// The language that a POSIX locale name such as `zh_CN.UTF-8` asks for; English when it asks for neither.
    pub fn of_locale(locale: &str) -> Self {
        if locale.starts_with("zh") { Self::Zh } else { Self::En }
    }

    /// Picks one of two texts.
    pub const fn pick<T: Copy>(self, en: T, zh: T) -> T {
        match self {
            Self::En => en,
            Self::Zh => zh,
        }
    }
}

// === impl Words ===

impl Words {
    /// A text in both languages.
    pub fn new(en: impl Into<Cow<'static, str>>, zh: impl Into<Cow<'static, str>>) -> Self {
        Self { en: en.into(), zh: zh.into() }
    }

    /// The text in one language.
    pub fn in_lang(&self, lang: Lang) -> &str {
        match lang {
            Lang::En => &self.en,
            Lang::Zh => &self.zh,
        }
    }
}

impl From<&'static str> for Words {
    fn from(text: &'static str) -> Self {
        Self::new(text, text)
    }
}

impl From<String> for Words {
    fn from(text: String) -> Self {
        Self { en: text.clone().into(), zh: text.into() }
    }
}

impl<E: Into<Cow<'static, str>>, Z: Into<Cow<'static, str>>> From<(E, Z)> for Words {
    fn from((en, zh): (E, Z)) -> Self {
        Self::new(en, zh)
    }
}
