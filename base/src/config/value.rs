//! What a key can hold: how each type reads what was given, and how it names itself when that is wrong.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::tree::{Item, Node};
use super::units::{ByteSize, parse_duration, show_duration};
use super::words::Words;
use crate::ids::EnvId;

/// A type that a key can have. Implement it for a room's own words, for example a closed set of modes:
///
/// ```
/// use yunzhan_base::config::{FromConfig, Given, Reason, Words};
///
/// enum Mode { On, Off }
///
/// impl FromConfig for Mode {
///     fn expected() -> Words {
///         Words::new("\"on\" or \"off\"", "\"on\" 或 \"off\"")
///     }
///     fn read(given: &Given<'_>) -> Result<Self, Reason> {
///         match given.text() {
///             Some("on") => Ok(Self::On),
///             Some("off") => Ok(Self::Off),
///             _ => Err(Reason::none()),
///         }
///     }
///     fn show(&self) -> String {
///         match self { Self::On => "\"on\"".into(), Self::Off => "\"off\"".into() }
///     }
/// }
/// ```
pub trait FromConfig: Sized {
    /// What the message says was expected: "a duration such as \"30s\"".
    fn expected() -> Words;

    /// Reads what was given, or says what is wrong beyond not being [`FromConfig::expected`].
    fn read(given: &Given<'_>) -> Result<Self, Reason>;

    /// The value as the file would spell it; for the reference.
    fn show(&self) -> String;
}

/// What was given for a key, in the file or by a variable.
#[derive(Debug)]
pub struct Given<'a>(Raw<'a>);

#[derive(Debug)]
enum Raw<'a> {
    Node(&'a Item),
    Variable(&'a str),
}

/// More about a mistake than what was expected.
#[derive(Debug, Default)]
pub struct Reason(pub(super) Option<Words>);

// === impl Reason ===

impl Reason {
    /// Nothing more to say: it simply is not what was expected.
    pub const fn none() -> Self {
        Self(None)
    }
}

impl<T: Into<Words>> From<T> for Reason {
    fn from(words: T) -> Self {
        Self(Some(words.into()))
    }
}

// === impl Given ===

impl<'a> Given<'a> {
    pub(super) fn node(node: &'a Node) -> Self {
        Self(Raw::Node(&node.item))
    }

    pub(super) fn variable(text: &'a str) -> Self {
        Self(Raw::Variable(text))
    }

    /// Quoted text of the file, or a variable's text.
    pub fn text(&self) -> Option<&'a str> {
        match self.0 {
            Raw::Node(Item::Text(text)) => Some(text),
            Raw::Variable(text) => Some(text),
            Raw::Node(_) => None,
        }
    }

    /// A whole number of the file, or a variable that spells one.
    pub fn integer(&self) -> Option<i128> {
        match self.0 {
            Raw::Node(Item::Integer(value)) => Some(*value),
            Raw::Variable(text) => text.parse().ok(),
            Raw::Node(_) => None,
        }
    }

    /// A number of the file, with or without a fraction, or a variable that spells one.
    pub fn float(&self) -> Option<f64> {
        match self.0 {
            Raw::Node(Item::Float(value)) => Some(*value),
            #[expect(clippy::cast_precision_loss, reason = "a ratio or weight, far below 2^53")]
            Raw::Node(Item::Integer(value)) => Some(*value as f64),
            Raw::Variable(text) => text.parse().ok(),
            Raw::Node(_) => None,
        }
    }

    /// `true` or `false`.
    pub fn boolean(&self) -> Option<bool> {
        match self.0 {
            Raw::Node(Item::Boolean(value)) => Some(*value),
            Raw::Variable(text) => text.parse().ok(),
            Raw::Node(_) => None,
        }
    }

    /// The elements of an array, or of a variable with commas between them.
    pub fn list(&self) -> Option<Vec<Given<'a>>> {
        match self.0 {
            Raw::Node(Item::Array(nodes)) => Some(nodes.iter().map(Self::node).collect()),
            Raw::Variable("") => Some(Vec::new()),
            Raw::Variable(text) => {
                Some(text.split(',').map(|element| Self::variable(element.trim())).collect())
            }
            Raw::Node(_) => None,
        }
    }

    /// As a message shows it, in bounded length.
    pub(super) fn show(&self) -> String {
        match self.0 {
            Raw::Node(item) => item.show(),
            Raw::Variable(text) => super::problem::clip(&format!("{text:?}")),
        }
    }
}

// === impl FromConfig ===

/// A type that reads itself from text, and shows itself as quoted text.
macro_rules! from_text {
    ($($type:ty: $en:literal, $zh:literal, $read:expr;)*) => {$(
        impl FromConfig for $type {
            fn expected() -> Words {
                Words::new($en, $zh)
            }

            fn read(given: &Given<'_>) -> Result<Self, Reason> {
                let read: fn(&str) -> Option<Self> = $read;
                given.text().and_then(read).ok_or_else(Reason::none)
            }

            fn show(&self) -> String {
                format!("{:?}", self.to_string())
            }
        }
    )*};
}

from_text! {
    String: "text in quotes", "带引号的文本", |text| Some(text.to_owned());
    SocketAddr: "an address with a port such as \"0.0.0.0:8080\"", "带端口的地址, 例如 \"0.0.0.0:8080\"", |text| text.parse().ok();
    IpAddr: "an IP address such as \"127.0.0.1\"", "IP 地址, 例如 \"127.0.0.1\"", |text| text.parse().ok();
    EnvId: "an environment id such as \"shop-1\"", "环境 id, 例如 \"shop-1\"", |text| text.parse().ok();
}

macro_rules! from_integer {
    ($($type:ty: $en:literal, $zh:literal;)*) => {$(
        impl FromConfig for $type {
            fn expected() -> Words {
                Words::new($en, $zh)
            }

            fn read(given: &Given<'_>) -> Result<Self, Reason> {
                given.integer().and_then(|value| value.try_into().ok()).ok_or_else(Reason::none)
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

from_integer! {
    u16: "a whole number up to 65535", "不大于 65535 的整数";
    u32: "a whole number up to 4294967295", "不大于 4294967295 的整数";
    u64: "a whole number", "整数";
    usize: "a whole number", "整数";
    i64: "a whole number, also below zero", "整数, 可为负";
}

impl FromConfig for bool {
    fn expected() -> Words {
        Words::new("true or false", "true 或 false")
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        given.boolean().ok_or_else(Reason::none)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl FromConfig for f64 {
    fn expected() -> Words {
        Words::new("a number", "数字")
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        given.float().filter(|value| value.is_finite()).ok_or_else(Reason::none)
    }

    fn show(&self) -> String {
        format!("{self:?}")
    }
}

impl FromConfig for PathBuf {
    fn expected() -> Words {
        Words::new("a path in quotes", "带引号的路径")
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        let path = given.text().filter(|path| !path.is_empty() && !path.contains('\0'));
        path.map(Self::from).ok_or_else(Reason::none)
    }

    fn show(&self) -> String {
        format!("{:?}", self.display().to_string())
    }
}

impl FromConfig for Duration {
    fn expected() -> Words {
        Words::new(
            "a duration such as \"500ms\", \"30s\", \"5m\", \"2h\" or \"30d\"",
            "时长, 例如 \"500ms\", \"30s\", \"5m\", \"2h\" 或 \"30d\"",
        )
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        match given.text().and_then(parse_duration) {
            Some(duration) => Ok(duration),
            None if given.integer().is_some() => {
                Err(("a duration needs its unit", "时长需要带单位").into())
            }
            None => Err(Reason::none()),
        }
    }

    fn show(&self) -> String {
        format!("{:?}", show_duration(*self))
    }
}

impl FromConfig for ByteSize {
    fn expected() -> Words {
        Words::new(
            "a size such as \"64KiB\", \"1MiB\" or a number of bytes",
            "大小, 例如 \"64KiB\", \"1MiB\" 或字节数",
        )
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        if let Some(size) = given.text().and_then(Self::parse) {
            return Ok(size);
        }
        given
            .integer()
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self::bytes)
            .ok_or_else(Reason::none)
    }

    fn show(&self) -> String {
        format!("{:?}", self.to_string())
    }
}

impl<T: FromConfig> FromConfig for Vec<T> {
    fn expected() -> Words {
        let element = T::expected();
        Words::new(
            format!("a list, each of them {}", element.en),
            format!("列表, 每一项为{}", element.zh),
        )
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        given.list().ok_or_else(Reason::none)?.iter().map(T::read).collect()
    }

    fn show(&self) -> String {
        format!("[{}]", self.iter().map(T::show).collect::<Vec<_>>().join(", "))
    }
}
