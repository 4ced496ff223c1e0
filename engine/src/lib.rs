//! The data engines. This is the only crate that names a database, cache, broker or object-store driver.
//!
//! Each engine is one trait whose documentation is the contract, backends that keep it, wrappers that add one behaviour,
//! and one conformance suite that runs on all of them. Today: [`sql`]; [`seal`] for the secrets that they keep, and
//! [`lease`] for what only one node of a cluster may do.

pub mod config;
pub mod lease;
pub mod seal;
pub mod sql;
