//! The clients' dialects: thin JSON fronts over the services.

pub mod action;
pub mod admin;
pub mod auth;
pub mod control;
pub mod documents;
pub mod gateway;
pub(crate) mod json;
pub(crate) mod members;
pub(crate) mod reply;
mod transactions;
pub mod web;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod hostile;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod limits;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod once;

#[cfg(test)]
mod testing;

use http::{HeaderMap, HeaderName};
use yunzhan_base::{Error, Kind, Principal, Result};

/// The header of draft-ietf-httpapi-idempotency-key-header.
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The role in which a person may make collections.
const ADMIN: &str = "admin";

/// The key that makes a repetition harmless; the draft wants it in quotes, most clients send it without.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>> {
    let Some(value) = headers.get(&IDEMPOTENCY_KEY) else { return Ok(None) };
    let text = value
        .to_str()
        .map_err(|_| members::refused("Idempotency-Key", "visible ASCII characters"))?;
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    Ok(Some(quoted.unwrap_or(text)))
}

/// Lets servers and administrators make collections, and nobody else.
fn may_make_collections(principal: &Principal) -> Result<()> {
    let is_allowed = match principal {
        Principal::Server(_) => true,
        Principal::User(user) => user.roles.iter().any(|role| role == ADMIN),
        Principal::Nobody | Principal::Operator => false,
    };
    match is_allowed {
        true => Ok(()),
        false => Err(Error::new(Kind::PermissionDenied, "only an administrator makes collections")),
    }
}
