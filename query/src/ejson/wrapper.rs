//! Objects that stand for one typed value, such as `{"$oid":"…"}`.

use std::borrow::Cow;

use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{
    Binary, Bson, DateTime, Decimal128, Document, JavaScriptCodeWithScope, Regex, Timestamp,
};

use super::reader::Reader;
use crate::error::Result;
use crate::number::Number;

/// Digits beyond this many cannot be held by a Decimal128 (34), leading zeros and exponent included.
const DECIMAL_BYTES_MAX: usize = 64;

/// An exponent of a Decimal128 has four digits.
const DECIMAL_EXPONENT_BYTES_MAX: usize = 6;

/// The keys that make an object a typed value.
#[derive(Clone, Copy)]
pub(super) enum Wrapper {
    ObjectId,
    Int32,
    Int64,
    Double,
    Decimal,
    Date,
    ServerDate,
    Regex,
    Binary,
    Uuid,
    Timestamp,
    MinKey,
    MaxKey,
    Undefined,
    Symbol,
    Code,
    DbPointer,
}

const WRAPPERS: [(&str, Wrapper); 17] = [
    ("$oid", Wrapper::ObjectId),
    ("$numberInt", Wrapper::Int32),
    ("$numberLong", Wrapper::Int64),
    ("$numberDouble", Wrapper::Double),
    ("$numberDecimal", Wrapper::Decimal),
    ("$date", Wrapper::Date),
    ("$tcb_server_date", Wrapper::ServerDate),
    ("$regularExpression", Wrapper::Regex),
    ("$binary", Wrapper::Binary),
    ("$uuid", Wrapper::Uuid),
    ("$timestamp", Wrapper::Timestamp),
    ("$minKey", Wrapper::MinKey),
    ("$maxKey", Wrapper::MaxKey),
    ("$undefined", Wrapper::Undefined),
    ("$symbol", Wrapper::Symbol),
    ("$code", Wrapper::Code),
    ("$dbPointer", Wrapper::DbPointer),
];

impl Wrapper {
    pub(super) fn named(key: &str) -> Option<Self> {
        if !key.starts_with('$') {
            return None;
        }
        WRAPPERS.iter().find(|(name, _)| *name == key).map(|(_, wrapper)| *wrapper)
    }

    pub(super) fn name(self) -> &'static str {
        WRAPPERS[self as usize].0
    }
}

impl<'a> Reader<'a> {
    /// The rest of the object after the wrapper's key and colon.
    pub(super) fn wrapped(&mut self, wrapper: Wrapper) -> Result<Bson> {
        let value = match wrapper {
            Wrapper::ObjectId => {
                self.parsed(wrapper, |text| ObjectId::parse_str(text).ok().map(Bson::ObjectId))
            }
            Wrapper::Int32 => self.parsed(wrapper, |text| text.parse().ok().map(Bson::Int32)),
            Wrapper::Int64 => self.parsed(wrapper, |text| text.parse().ok().map(Bson::Int64)),
            Wrapper::Double => self.parsed(wrapper, |text| parse_double(text).map(Bson::Double)),
            Wrapper::Decimal => {
                self.parsed(wrapper, |text| parse_decimal(text).map(Bson::Decimal128))
            }
            Wrapper::Uuid => self.parsed(wrapper, parse_uuid),
            Wrapper::Symbol => self.parsed(wrapper, |text| Some(Bson::String(text.to_owned()))),
            Wrapper::Date => self.date(),
            Wrapper::ServerDate => self.server_date(),
            Wrapper::Binary => self.binary(),
            Wrapper::Code => self.code(),
            Wrapper::Regex => self.converted(wrapper, regex),
            Wrapper::Timestamp => self.converted(wrapper, timestamp),
            Wrapper::MinKey => {
                self.converted(wrapper, |value| is_one(value).then_some(Bson::MinKey))
            }
            Wrapper::MaxKey => {
                self.converted(wrapper, |value| is_one(value).then_some(Bson::MaxKey))
            }
            Wrapper::Undefined => self
                .converted(wrapper, |value| (*value == Bson::Boolean(true)).then_some(Bson::Null)),
            Wrapper::DbPointer => Err(self.lexer.error("$dbPointer is not supported")),
        }?;
        match self.lexer.more(b'}')? {
            false => Ok(value),
            true => Err(self
                .lexer
                .error(format!("{} must be the only key of its object", wrapper.name()))),
        }
    }

    /// A typed value whose content is a string.
    fn parsed(&mut self, wrapper: Wrapper, parse: impl Fn(&str) -> Option<Bson>) -> Result<Bson> {
        let text = self.text_of(wrapper)?;
        parse(&text)
            .ok_or_else(|| self.lexer.error(format!("invalid content of {}", wrapper.name())))
    }

    fn text_of(&mut self, wrapper: Wrapper) -> Result<Cow<'a, str>> {
        match self.lexer.peek() {
            Some(b'"') => self.lexer.string(),
            _ => Err(self.lexer.error(format!("{} needs a string", wrapper.name()))),
        }
    }

    /// A typed value whose content is any JSON value.
    fn converted(
        &mut self,
        wrapper: Wrapper,
        convert: impl Fn(&Bson) -> Option<Bson>,
    ) -> Result<Bson> {
        let content = self.value()?;
        convert(&content)
            .ok_or_else(|| self.lexer.error(format!("invalid content of {}", wrapper.name())))
    }

    /// ISO 8601 text, milliseconds as any number, or an offset from the server's time.
    fn date(&mut self) -> Result<Bson> {
        if self.lexer.peek() == Some(b'"') {
            return self.parsed(Wrapper::Date, |text| {
                DateTime::parse_rfc3339_str(text).ok().map(Bson::DateTime)
            });
        }
        let now_ms = self.now_ms;
        self.converted(Wrapper::Date, |content| match content {
            Bson::Document(offset) => resolve_offset(offset, now_ms),
            number => date_from_number(number),
        })
    }

    fn server_date(&mut self) -> Result<Bson> {
        let now_ms = self.now_ms;
        self.converted(Wrapper::ServerDate, |content| {
            resolve_offset(content.as_document()?, now_ms)
        })
    }

    /// `{"base64","subType"}`, or the older form whose second key is `$type`.
    fn binary(&mut self) -> Result<Bson> {
        if self.lexer.peek() != Some(b'"') {
            return self.converted(Wrapper::Binary, |content| {
                let fields = exact_fields(content, ["base64", "subType"])?;
                binary_value(fields[0].as_str()?, fields[1].as_str()?)
            });
        }
        let base64 = self.lexer.string()?;
        self.lexer.expect(b',')?;
        if self.key()? != "$type" {
            return Err(self.lexer.error("expected $type after $binary"));
        }
        self.parsed(Wrapper::Binary, |subtype| binary_value(&base64, subtype))
    }

    /// `$code`, with `$scope` or without.
    fn code(&mut self) -> Result<Bson> {
        let code = self.text_of(Wrapper::Code)?.into_owned();
        if self.lexer.peek() != Some(b',') {
            return Ok(Bson::JavaScriptCode(code));
        }
        self.lexer.expect(b',')?;
        if self.key()? != "$scope" {
            return Err(self.lexer.error("expected $scope after $code"));
        }
        match self.value()? {
            Bson::Document(scope) => {
                Ok(Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code, scope }))
            }
            _ => Err(self.lexer.error("$scope needs an object")),
        }
    }
}

/// The values of a document that has exactly these fields, in any order.
fn exact_fields<'b, const N: usize>(value: &'b Bson, names: [&str; N]) -> Option<[&'b Bson; N]> {
    let document = value.as_document().filter(|document| document.len() == N)?;
    let mut values = [value; N];
    for (slot, name) in values.iter_mut().zip(names) {
        *slot = document.get(name)?;
    }
    Some(values)
}

fn parse_double(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => {
            let numeric = text
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
            text.parse().ok().filter(|double: &f64| numeric && double.is_finite())
        }
    }
}

/// Bounded before it reaches the library, which computes with exponents of any size.
fn parse_decimal(text: &str) -> Option<Decimal128> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, ""));
    let mantissa = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
    let bounded = text.len() <= DECIMAL_BYTES_MAX && exponent.len() <= DECIMAL_EXPONENT_BYTES_MAX;
    // The library takes a lone dot for zero, and a second sign.
    let well_formed = mantissa.contains(|letter: char| letter.is_ascii_alphanumeric());
    if bounded && well_formed && !mantissa.starts_with(['+', '-']) {
        text.parse().ok()
    } else {
        None
    }
}

fn parse_uuid(text: &str) -> Option<Bson> {
    let uuid = bson::Uuid::parse_str(text).ok()?;
    Some(Bson::Binary(Binary { subtype: BinarySubtype::Uuid, bytes: uuid.bytes().to_vec() }))
}

fn binary_value(base64: &str, subtype: &str) -> Option<Bson> {
    let hexadecimal =
        (1..=2).contains(&subtype.len()) && subtype.bytes().all(|byte| byte.is_ascii_hexdigit());
    let subtype = u8::from_str_radix(subtype, 16).ok().filter(|_| hexadecimal)?;
    Binary::from_base64(base64, BinarySubtype::from(subtype)).ok().map(Bson::Binary)
}

/// Options are kept in alphabetical order, as BSON wants them. NUL cannot stand in either part.
fn regex(content: &Bson) -> Option<Bson> {
    let [pattern, options] = exact_fields(content, ["pattern", "options"])?;
    let mut options: Vec<char> = options.as_str()?.chars().collect();
    options.sort_unstable();
    Some(Bson::RegularExpression(Regex {
        pattern: pattern.as_str()?.to_owned().try_into().ok()?,
        options: options.into_iter().collect::<String>().try_into().ok()?,
    }))
}

fn timestamp(content: &Bson) -> Option<Bson> {
    let [time, increment] = exact_fields(content, ["t", "i"])?;
    let part = |value| u32::try_from(Number::of(value)?.integer()?).ok();
    Some(Bson::Timestamp(Timestamp { time: part(time)?, increment: part(increment)? }))
}

fn is_one(content: &Bson) -> bool {
    Number::of(content).and_then(Number::integer) == Some(1)
}

fn date_from_number(number: &Bson) -> Option<Bson> {
    Some(Bson::DateTime(DateTime::from_millis(Number::of(number)?.truncate()?)))
}

/// `{"offset": ms}`; an empty document is an offset of zero.
fn resolve_offset(content: &Document, now_ms: i64) -> Option<Bson> {
    let offset_ms = match content.get("offset") {
        Some(offset) if content.len() == 1 => Number::of(offset)?.truncate()?,
        None if content.is_empty() => 0,
        _ => return None,
    };
    Some(Bson::DateTime(DateTime::from_millis(now_ms.saturating_add(offset_ms))))
}
