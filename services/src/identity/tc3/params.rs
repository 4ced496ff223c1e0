//! The parameters of a signed body: the members of a JSON object, or the fields of a form.

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::digest;
use http::HeaderMap;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use yunzhan_base::Result;

use super::head::{Head, NAMES_MAX};
use super::{form, refused};
use crate::dialect::action::ActionNames;
use crate::identity::logic::percent_encode;

/// One parameter: its name as it is signed, its value as it is signed.
struct Param<'b> {
    name: String,
    value: Cow<'b, [u8]>,
    /// Whether the SDKs' signer sees nothing there: an empty text is nothing, an empty field of bytes is not.
    is_nothing: bool,
}

/// The hash over the signed parameters, in the order in which the head lists them. Refuses a body that says more than
/// what was signed.
pub(super) fn payload_hash(
    head: &Head<'_>,
    headers: &HeaderMap,
    body: &[u8],
    names: &ActionNames,
) -> Result<[u8; 32]> {
    let params = read(super::single(headers, "content-type")?, body, names)?;
    check_all_signed(head, &params)?;
    let mut context = digest::Context::new(&digest::SHA256);
    for name in head.param_names() {
        let param = params.iter().find(|param| param.name == name && !param.is_nothing);
        if let Some(param) = param {
            for piece in [b"&", name.as_bytes(), b"=", &param.value, b"\r\n"] {
                context.update(piece);
            }
        }
    }
    Ok(context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"))
}

fn check_all_signed(head: &Head<'_>, params: &[Param<'_>]) -> Result<()> {
    for (position, param) in params.iter().enumerate() {
        if params[..position].iter().any(|earlier| earlier.name == param.name) {
            return Err(refused("two parameters of the body have one name, up to case"));
        }
        let is_signed = head.param_names().any(|name| name == param.name);
        if !is_signed && !param.is_nothing {
            return Err(refused("a parameter of the body is not covered by the signature"));
        }
    }
    Ok(())
}

fn read<'b>(content_type: &str, body: &'b [u8], names: &ActionNames) -> Result<Vec<Param<'b>>> {
    if content_type.starts_with(form::CONTENT_TYPE) {
        let fields = form::read(content_type, body)?.into_iter();
        let param = |form::Field { name, value, is_bytes }| {
            let is_nothing = value.is_empty() && !is_bytes;
            Ok(Param { name: signed_name(name, names)?, value: Cow::Borrowed(value), is_nothing })
        };
        return fields.map(param).collect();
    }
    if body.is_empty() {
        return Ok(Vec::new());
    }
    let members: Members<'b> = serde_json::from_slice(body)
        .map_err(|error| refused("a signed body is a JSON object or a form").because(error))?;
    let param = |(name, value): (Cow<'_, str>, _)| {
        let (name, value) = (signed_name(&name, names)?, json_value(value)?);
        Ok(Param { name, is_nothing: value.is_empty(), value })
    };
    members.0.into_iter().map(param).collect()
}

/// A string's content, trimmed; the text of any other value. The text is taken as it was sent: the SDKs sign and send the
/// output of one `JSON.stringify`.
fn json_value(value: &RawValue) -> Result<Cow<'_, [u8]>> {
    let raw = value.get();
    if !raw.starts_with('"') {
        return Ok(Cow::Borrowed(raw.as_bytes()));
    }
    let text: Cow<'_, str> = serde_json::from_str::<Text<'_>>(raw)
        .map_err(|error| refused("a string in the body is malformed").because(error))?
        .0;
    Ok(match text {
        Cow::Borrowed(text) => Cow::Borrowed(trim(text).as_bytes()),
        Cow::Owned(text) => Cow::Owned(trim(&text).as_bytes().to_vec()),
    })
}

/// The name as it is signed; refuses one that reads like a member of an action and is not. The signature folds case, so that
/// somebody between caller and server could rename `query` to `Query`, and the deletion of one document would become that of
/// all: the members of actions are accepted as their rows spell them.
pub(super) fn signed_name(name: &str, names: &ActionNames) -> Result<String> {
    let signed = canonical_name(name);
    match names.spelling(&signed) {
        Some(spelt) if spelt != name => {
            Err(refused(format!("the parameter {spelt} is spelt in another way")))
        }
        _ => Ok(signed),
    }
}

/// `encodeURIComponent` of the trimmed name in lower case, with `! ' ( ) *` escaped too.
pub(crate) fn canonical_name(name: &str) -> String {
    percent_encode(&trim(name).to_lowercase())
}

/// JavaScript's `trim`, which takes the byte-order mark and leaves U+0085; Rust's does the reverse.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}')
}

struct Text<'t>(Cow<'t, str>);

impl<'de> serde::Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Borrow)
    }
}

/// The members of the body's object in their order, values unread.
struct Members<'b>(Vec<(Cow<'b, str>, &'b RawValue)>);

impl<'de> serde::Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "an object of at most {NAMES_MAX} members")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    if members.len() == NAMES_MAX {
                        return Err(de::Error::invalid_length(NAMES_MAX + 1, &self));
                    }
                    members.push((name.0, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
