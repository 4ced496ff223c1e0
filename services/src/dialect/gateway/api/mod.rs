//! The endpoints, one a file.

pub(super) mod aggregate;
pub(super) mod create_collection;
pub(super) mod get;
pub(super) mod insert;
pub(super) mod query;
pub(super) mod remove;
pub(super) mod transactions;
pub(super) mod update;
