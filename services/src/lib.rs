//! Yunzhan's built-in services, and the client dialects that speak for them.
//!
//! Every service is a folder of the same shape: `mod.rs` (what it is, as a value of [`service::Service`]), `api/` (one endpoint
//! a file), `logic.rs` (pure decisions), `store.rs` (all its SQL), `control.rs` (its control routes), `verbs.rs` (its command
//! line), `tests.rs`. Know one, know all. No service knows a listener, a stage of the gateway or TLS.

pub mod acts;
mod columns;
mod crypto;
pub mod dialect;
pub mod documents;
pub mod envs;
pub mod identity;
pub mod nodes;
mod offload;
pub mod published;
pub mod service;
pub mod verbs;
