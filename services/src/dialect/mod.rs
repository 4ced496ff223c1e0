//! The clients' dialects: thin JSON fronts over the services.

pub mod admin;
pub mod auth;
pub mod control;
pub mod gateway;
pub(crate) mod json;
pub(crate) mod members;
pub(crate) mod reply;
pub mod web;
