//! MongoDB-shaped documents without a database: Extended JSON, filters, updates, index keys.
//!
//! Everything here is a function from values to values: no I/O, no clock, no storage. Values are [`bson::Bson`]. All input
//! is taken for hostile: every recursion, list and pattern has a named bound, and no input panics.
//!
//! Modules in reading order: text becomes values in [`ejson`]; [`compare`] orders them; [`key`] turns that order into
//! bytes; [`path`] walks into documents; [`filter`] and [`update`] are the two languages of the clients, with [`geo`] for
//! places; [`order`] and [`projection`] shape results; [`expression`] and [`pipeline`] are aggregation; [`plan`] says which
//! part of a filter an index can serve; [`rule`] says who may.

pub mod ejson;

pub mod compare;
pub mod key;
pub mod path;

pub mod filter;
pub mod geo;
pub mod update;

pub mod expression;
pub mod pipeline;

pub mod order;
pub mod plan;
pub mod projection;
pub mod rule;

mod budget;
mod document;
mod error;
mod needs;
mod number;
mod search;

#[cfg(any(test, feature = "testsuite"))]
pub mod generate;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod testing;

pub use bson::{Bson, Document};

pub use crate::budget::{Budget, MemoryPool};
pub use crate::document::{DOCUMENT_DEPTH_MAX, check_insert, depth};
pub use crate::error::{Error, Kind, Result};
pub use crate::expression::Expression;
pub use crate::filter::Filter;
pub use crate::needs::Needs;
pub use crate::order::{Direction, Order};
pub use crate::path::Path;
pub use crate::pipeline::Pipeline;
pub use crate::plan::{Access, Index, Plan};
pub use crate::projection::Projection;
pub use crate::update::Update;
