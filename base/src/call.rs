//! One request as a service sees it: already routed, authenticated and bounded.

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use std::borrow::Cow;

use crate::body::Body;
use crate::context::Context;
use crate::error::{Error, Kind, Result};

/// The most path parameters that a route of ours has.
pub const PATH_PARAMS_MAX: usize = 4;

/// One request of one caller in one environment.
#[derive(Debug)]
pub struct Call {
    /// The method as it was sent; `HEAD` reaches a route of `GET`.
    pub method: Method,
    /// The target as sent.
    pub uri: Uri,
    /// The headers as sent.
    pub headers: HeaderMap,
    /// The body, as the route's policy accepts it: held whole, or still arriving.
    pub body: Body,
    /// Values of the path's `{name}` segments, decoded.
    pub params: Params,
    /// Who asks, in which environment, until when.
    pub context: Context,
}

/// Path parameters by name, in the order of the path.
#[derive(Debug, Default, Clone)]
pub struct Params(Vec<(&'static str, String)>);

// === impl Call ===

impl Call {
    /// A call without headers, body and parameters, as work from inside makes it ([`Context::internal`]) and tests do:
    /// `Call { params, ..Call::new(method, uri, context) }`.
    pub fn new(method: Method, uri: Uri, context: Context) -> Self {
        let (headers, body, params) = (HeaderMap::new(), Body::Empty, Params::default());
        Self { method, uri, headers, body, params, context }
    }

    /// The bytes of a body that is held whole. Empty for a route that takes none; a streaming route takes [`Call::body`].
    pub fn bytes(&self) -> &Bytes {
        self.body.held()
    }

    /// The first query parameter of this name, percent-decoded, with `+` as a space.
    pub fn query(&self, name: &str) -> Result<Option<Cow<'_, str>>> {
        match self.uri.query().and_then(|query| find_query(query, name)) {
            None => Ok(None),
            Some(raw) => decode(raw, true).map(Some),
        }
    }
}

/// The raw value of the first query parameter of this name.
pub fn find_query<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}

/// Percent-decodes one component. Refuses broken escapes, bytes that are not UTF-8, and NUL.
pub fn decode(raw: &str, plus_is_space: bool) -> Result<Cow<'_, str>> {
    if !raw.bytes().any(|byte| byte == b'%' || (plus_is_space && byte == b'+')) {
        return Ok(Cow::Borrowed(raw));
    }
    let malformed = || Error::new(Kind::Malformed, "a percent escape in the address is malformed");
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                let (high, low) = (digit(bytes.next()), digit(bytes.next()));
                let value =
                    high.zip(low).map(|(high, low)| high * 16 + low).ok_or_else(malformed)?;
                u8::try_from(value).expect("two hexadecimal digits")
            }
            b'+' if plus_is_space => b' ',
            plain => plain,
        });
    }
    match String::from_utf8(decoded) {
        Ok(text) if !text.contains('\0') => Ok(Cow::Owned(text)),
        _ => Err(malformed()),
    }
}

// === impl Params ===

impl Params {
    /// Adds the next value.
    pub fn push(&mut self, name: &'static str, value: String) {
        debug_assert!(self.0.len() < PATH_PARAMS_MAX);
        self.0.push((name, value));
    }

    /// Every parameter, in the order of the path.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The value of `{name}`; asking for a name that the route's path does not have is a fault of ours.
    pub fn get(&self, name: &str) -> Result<&str> {
        let found = self.0.iter().find(|(key, _)| *key == name);
        found
            .map(|(_, value)| value.as_str())
            .ok_or_else(|| Error::internal(format!("no path parameter {name}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_escapes_are_strict() {
        let check =
            |raw: &str| decode(raw, true).map_or_else(|error| error.to_string(), Cow::into_owned);
        assert_eq!(check("a%20b+c"), "a b c");
        assert_eq!(check("%E4%BA%91"), "云");
        for bad in ["%", "%4", "%zz", "%00", "%ff", "%+1"] {
            assert_eq!(check(bad), "a percent escape in the address is malformed", "{bad}");
        }
    }

    #[test]
    fn the_first_parameter_of_a_name_counts() {
        assert_eq!(find_query("&eventId=1&env=a&env=b", "env"), Some("a"));
        assert_eq!(find_query("environment=a", "env"), None);
    }
}
