//! The signature of the admin dialect, TC3-HMAC-SHA256, as `wx-server-sdk` and `@cloudbase/node-sdk` make it.
//!
//! ```text
//! signature  = hex hmac(hmac(hmac(hmac("TC3" + secret key, day), "tcb"), "tc3_request"), text)
//! text       = "TC3-HMAC-SHA256" \n X-Timestamp \n day/tcb/tc3_request \n hex sha256(canonical request)
//! canonical  = method \n //host path \n query \n (name:value\n)* \n names of headers \n hex sha256(parameters)
//! parameters = (&name=value\r\n)*
//! ```
//!
//! The reading is held to requests that the published packages really sent (`testdata/tc3.json`). Where the signature is lax
//! we are not: a body member that is not signed is refused, and so are names that it cannot tell apart. What stays, and is why
//! the outside world comes by TLS: a signature may be used again within its window, for nothing in it is unique; and the list
//! of parameters is itself not signed, so that text with line ends in it could be cut into parameters in another way.

mod form;
mod head;
mod params;

use aws_lc_rs::hmac;
use http::{HeaderMap, Method, Uri, header};
use yunzhan_base::{Error, Kind, Result};

pub(crate) use head::Head;
pub(crate) use params::canonical_name;

use crate::crypto::{equal, sha256};
use crate::dialect::action::ActionNames;

/// The signed request, as it arrived.
#[derive(Clone, Copy)]
pub(crate) struct Signed<'a> {
    /// The method; the SDKs sign it in lower case.
    pub(crate) method: &'a Method,
    /// The raw target.
    pub(crate) uri: &'a Uri,
    /// The headers.
    pub(crate) headers: &'a HeaderMap,
    /// The raw body.
    pub(crate) body: &'a [u8],
}

/// Holds the signature against the request and the secret key. Errors: `SignatureInvalid`, with the reason in the message
/// where it helps a developer and tells an attacker nothing.
pub(crate) fn verify(
    head: &Head<'_>,
    request: Signed<'_>,
    secret_key: &[u8],
    names: &ActionNames,
) -> Result<()> {
    let payload = params::payload_hash(head, request.headers, request.body, names)?;
    let rest = canonical_rest(head, request, &hex::encode(payload))?;
    let key = signing_key(secret_key, head.day);
    let spelt = request.method.as_str();
    // The SDKs sign "post"; their bare signer signs what it is given.
    let matches = [spelt.to_ascii_lowercase().as_str(), spelt].iter().any(|method| {
        let text = text_to_sign(head, &sha256(format!("{method}\n{rest}").as_bytes()));
        equal(hmac::sign(&key, text.as_bytes()).as_ref(), &head.signature)
    });
    if matches {
        return Ok(());
    }
    Err(refused(
        "the signature does not match; check the secret key, and that no proxy changes the host, path or body",
    ))
}

/// The text of one field of a form, where the body is one as the SDKs write it.
pub(crate) fn form_field<'b>(content_type: &str, body: &'b [u8], name: &str) -> Option<&'b str> {
    let fields = form::read(content_type, body).ok()?;
    let field = fields.into_iter().find(|field| field.name == name)?;
    std::str::from_utf8(field.value).ok()
}

/// Everything of the canonical request after the method.
fn canonical_rest(head: &Head<'_>, request: Signed<'_>, payload_hash: &str) -> Result<String> {
    let host = host(request)?;
    let path = request.uri.path();
    let query = request.uri.query().unwrap_or_default();
    let mut text = format!("//{host}{path}\n{query}\n");
    for name in head.header_names() {
        let value = if name == "host" { host } else { single(request.headers, name)? };
        push_header(&mut text, name, value);
    }
    Ok(text + "\n" + head.headers + "\n" + payload_hash)
}

/// The host as the client wrote it: HTTP/1.1 has a header for it, HTTP/2 a part of the target.
fn host<'a>(request: Signed<'a>) -> Result<&'a str> {
    match request.uri.authority() {
        Some(authority) if !request.headers.contains_key(header::HOST) => Ok(authority.as_str()),
        _ => single(request.headers, "host"),
    }
}

/// A form's random boundary is not signed; every other value is signed in lower case.
fn push_header(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push(':');
    match name {
        "content-type" if value.starts_with(form::CONTENT_TYPE) => {
            text.push_str(form::CONTENT_TYPE);
        }
        "content-type" => text.push_str(value),
        _ => text.push_str(&params::trim(value).to_lowercase()),
    }
    text.push('\n');
}

/// The one value of a signed header. One that comes twice could be read differently by whoever acts on it.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none());
    value.and_then(|value| value.to_str().ok()).ok_or_else(|| {
        refused(format!("the signed header {name} must come once, in plain characters"))
    })
}

fn text_to_sign(head: &Head<'_>, canonical_hash: &[u8; 32]) -> String {
    let hash = hex::encode(canonical_hash);
    format!("{}\n{}\n{}/{}\n{hash}", head::SCHEME, head.timestamp_s, head.day, head::SCOPE)
}

fn signing_key(secret_key: &[u8], day: &str) -> hmac::Key {
    let key = |bytes: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, bytes);
    let first = key(&[b"TC3", secret_key].concat());
    [day, "tcb", "tc3_request"]
        .iter()
        .fold(first, |by, part| key(hmac::sign(&by, part.as_bytes()).as_ref()))
}

fn refused(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Kind::SignatureInvalid, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;
