//! What can be wrong with a document, a filter or an update: a closed kind, the operator and the path it happened at.

use std::borrow::Cow;
use std::fmt;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Operators and paths come from outside, so a message shows at most this many characters of each.
const SHOWN_CHARS_MAX: usize = 120;

/// Why an input was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The bytes are not Extended JSON.
    Malformed,
    /// An operator that does not exist, or stands where it may not.
    InvalidOperator,
    /// A known operator with an operand it cannot take, or a document it cannot be applied to.
    InvalidValue,
    /// A field path that is empty, too long, or names what a client may not name.
    InvalidPath,
    /// Two parts of one update touch the same place.
    Conflict,
    /// The update would change `_id`.
    Immutable,
    /// Nesting beyond the bound.
    TooDeep,
    /// Size or count beyond the bound.
    TooLarge,
    /// Others hold so much at this moment that there is no room; later there may be.
    Busy,
}

/// A refusal that names what was refused and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The class of the refusal.
    pub kind: Kind,
    /// The operator at fault, with its dollar sign.
    pub operator: Option<Cow<'static, str>>,
    /// The dotted path of the field at fault; empty when the fault is not in a field.
    pub path: String,
    /// Where in the input the reader stopped, in bytes from its start.
    pub offset: Option<usize>,
    /// What is wrong, lowercase, without operator and path.
    pub message: Cow<'static, str>,
}

impl Error {
    /// A refusal without operator, path and offset; add them with the methods below.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, operator: None, path: String::new(), offset: None, message: message.into() }
    }

    /// Names the operator unless a place nearer to the fault already did.
    #[must_use]
    pub fn operator(mut self, operator: impl Into<Cow<'static, str>>) -> Self {
        self.operator.get_or_insert_with(|| operator.into());
        self
    }

    /// Names the path unless a place nearer to the fault already did.
    #[must_use]
    pub fn at(mut self, path: impl fmt::Display) -> Self {
        if self.path.is_empty() {
            self.path = path.to_string();
        }
        self
    }

    pub(crate) fn offset(mut self, offset: usize) -> Self {
        self.offset = Some(offset);
        self
    }

    pub(crate) fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Malformed, message)
    }

    pub(crate) fn value(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::InvalidValue, message)
    }

    pub(crate) fn unknown_operator(operator: &str) -> Self {
        Self::new(Kind::InvalidOperator, "unknown operator").operator(operator.to_owned())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(operator) = &self.operator {
            write!(f, ", operator {}", shorten(operator))?;
        }
        if !self.path.is_empty() {
            write!(f, ", at field {}", shorten(&self.path))?;
        }
        match self.offset {
            Some(offset) => write!(f, ", at byte {offset}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// Cuts the text, and takes control characters out of it: it ends up in log lines.
fn shorten(text: &str) -> String {
    let printable = |character: char| {
        if character.is_control() { char::REPLACEMENT_CHARACTER } else { character }
    };
    let mut characters = text.chars();
    let mut shown: String = characters.by_ref().take(SHOWN_CHARS_MAX).map(printable).collect();
    shown.extend(characters.next().map(|_| '…'));
    shown
}

impl From<Error> for yunzhan_base::Error {
    fn from(error: Error) -> Self {
        use yunzhan_base::error::Kind as Outer;
        let kind = match error.kind {
            Kind::Malformed | Kind::TooDeep => Outer::Malformed,
            Kind::InvalidOperator => Outer::InvalidOperator,
            Kind::InvalidValue | Kind::InvalidPath | Kind::Conflict | Kind::Immutable => {
                Outer::InvalidParameter
            }
            Kind::TooLarge => Outer::TooLarge,
            Kind::Busy => Outer::TooManyAtOnce,
        };
        Self::new(kind, error.to_string())
    }
}
