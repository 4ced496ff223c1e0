//! The clients' dialects: thin JSON fronts over the services.

pub mod action;
pub mod admin;
pub mod auth;
pub mod control;
pub mod gateway;
pub(crate) mod json;
pub(crate) mod members;
pub(crate) mod reply;
pub mod web;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod hostile;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod limits;

use yunzhan_base::{Error, Kind, Principal, Result};

/// The role in which a person may make collections.
const ADMIN: &str = "admin";

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
