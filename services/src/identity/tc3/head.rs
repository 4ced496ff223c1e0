//! The `Authorization` header of a signed request: everything that can be refused before the body is read.

use http::{HeaderMap, header};
use jiff::Timestamp;
use jiff::tz::Offset;
use yunzhan_base::{Error, Kind, Result};

use super::refused;

/// The scheme, which is also the first line of the text to sign.
pub(super) const SCHEME: &str = "TC3-HMAC-SHA256";
/// What stands behind the day.
pub(super) const SCOPE: &str = "tcb/tc3_request";

/// How long a signature lives, in seconds: what the SDKs state in `X-Signature-Expires`, which is not signed, so only a
/// constant of ours may count.
const SIGNATURE_AGE_S_MAX: i64 = 600;
/// How far a caller's clock may be ahead of ours, in seconds.
const SIGNATURE_AHEAD_S_MAX: i64 = 60;
/// The longest header in bytes: key id, day, names and signature need about 500.
const HEADER_BYTES_MAX: usize = 8 << 10;
/// The longest key id in bytes.
const KEY_ID_BYTES_MAX: usize = 128;
/// The most names in one list; the SDKs list about ten.
pub(super) const NAMES_MAX: usize = 128;
/// Headers without which a signature binds too little; every SDK signs them.
const HEADERS_REQUIRED: [&str; 2] = ["content-type", "host"];

/// A well-formed header, with the time of its signature.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    /// Which key signed.
    pub(crate) key_id: &'a str,
    pub(super) day: &'a str,
    pub(super) timestamp_s: i64,
    pub(super) params: &'a str,
    pub(super) headers: &'a str,
    pub(super) signature: [u8; 32],
}

// === impl Head ===

impl<'a> Head<'a> {
    /// Whether this request claims to be signed at all.
    pub(crate) fn is_claimed(authorization: &str) -> bool {
        authorization.split(' ').next() == Some(SCHEME)
    }

    /// Reads the header and `X-Timestamp`. Errors: `SignatureInvalid`.
    pub(crate) fn read(headers: &'a HeaderMap) -> Result<Self> {
        let authorization = super::single(headers, header::AUTHORIZATION.as_str())?;
        let timestamp = super::single(headers, "x-timestamp")?;
        Self::parse(authorization, timestamp)
    }

    pub(crate) fn parse(authorization: &'a str, timestamp: &str) -> Result<Self> {
        let malformed = || {
            refused(
                "the Authorization header is not of the form TC3-HMAC-SHA256 Credential=…, SignedParams=…, \
                 SignedHeaders=…, Signature=…",
            )
        };
        if authorization.len() > HEADER_BYTES_MAX {
            return Err(malformed());
        }
        let head = parse_parts(authorization, parse_seconds(timestamp)?).ok_or_else(malformed)?;
        head.check_lists()?;
        head.check_day()?;
        Ok(head)
    }

    /// Refuses a signature outside its window. Errors: `SignatureExpired`.
    pub(crate) fn check_time(&self, now_s: i64) -> Result<()> {
        let age_s = now_s.saturating_sub(self.timestamp_s);
        if (-SIGNATURE_AHEAD_S_MAX..=SIGNATURE_AGE_S_MAX).contains(&age_s) {
            return Ok(());
        }
        let side = if age_s < 0 { "in the future" } else { "too long ago" };
        Err(Error::new(
            Kind::SignatureExpired,
            format!(
                "the signature was made {side} by this server's clock; check the caller's clock"
            ),
        ))
    }

    pub(super) fn param_names(&self) -> impl Iterator<Item = &'a str> {
        self.params.split(';').filter(|name| !name.is_empty())
    }

    pub(super) fn header_names(&self) -> impl Iterator<Item = &'a str> {
        self.headers.split(';')
    }

    fn check_lists(&self) -> Result<()> {
        if self.param_names().count() > NAMES_MAX || self.header_names().count() > NAMES_MAX {
            return Err(refused(format!("at most {NAMES_MAX} parameters and headers are signed")));
        }
        if self
            .header_names()
            .any(|name| name.is_empty() || name.bytes().any(|byte| !is_header_byte(byte)))
        {
            return Err(refused("SignedHeaders lists names in lower case, with ';' between them"));
        }
        for required in HEADERS_REQUIRED {
            if !self.header_names().any(|name| name == required) {
                return Err(refused(format!("the signature must cover the header {required}")));
            }
        }
        Ok(())
    }

    /// The day of the credential must be the day of the time stamp, in UTC.
    fn check_day(&self) -> Result<()> {
        let stamp = Timestamp::from_second(self.timestamp_s).ok();
        let day = stamp.map(|stamp| Offset::UTC.to_datetime(stamp).date().to_string());
        if day.as_deref() == Some(self.day) {
            return Ok(());
        }
        Err(refused("the day of the credential is not the day of X-Timestamp in UTC"))
    }
}

/// `Credential=id/day/tcb/tc3_request, SignedParams=a;b, SignedHeaders=c;d, Signature=hex`, and nothing else.
fn parse_parts(text: &str, timestamp_s: i64) -> Option<Head<'_>> {
    let mut parts = text.strip_prefix(SCHEME)?.strip_prefix(' ')?.split(", ");
    let mut part = |name: &str| parts.next()?.strip_prefix(name)?.strip_prefix('=');
    let (credential, params) = (part("Credential")?, part("SignedParams")?);
    let (headers, signature) = (part("SignedHeaders")?, part("Signature")?);
    let (key_id, scope) = credential.split_once('/')?;
    let day = scope.strip_suffix(SCOPE)?.strip_suffix('/')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let key_id_fits = (1..=KEY_ID_BYTES_MAX).contains(&key_id.len()) && key_id.bytes().all(plain);
    if parts.next().is_some() || !key_id_fits || signature.len() != 64 {
        return None;
    }
    let signature = hex::decode(signature).ok()?.try_into().ok()?;
    Some(Head { key_id, day, timestamp_s, params, headers, signature })
}

/// Decimal digits without a sign, so that what is signed is what is compared.
fn parse_seconds(text: &str) -> Result<i64> {
    let canonical = (1..=12).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && !text.starts_with('0');
    let seconds = canonical.then(|| text.parse().ok()).flatten();
    seconds.ok_or_else(|| refused("X-Timestamp must hold whole seconds since 1970"))
}

fn is_header_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
}
