//! The stages, one file each. [`crate::pipeline`] lists them in order and says why they stand where they do.

pub(crate) mod auth;
pub(crate) mod cors;
pub(crate) mod framing;
pub(crate) mod memory_collections;
pub(crate) mod route;
pub(crate) mod waf;
