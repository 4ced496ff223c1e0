//! Wiring: every room of Yunzhan meets here, behind one command line.
//!
//! Read [`app`] first: it says who knows whom. `cli` has one file for each verb.

mod app;
pub mod cli;
mod config;
mod control;
mod control_client;
mod data;
mod demo;
mod listeners;
mod nodes;
mod preflight;
mod ready;
mod reload;
mod rooms;
mod serve;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod service_tests;
mod signals;
mod waf;

use yunzhan_base::RouteSpec;
use yunzhan_services::dialect::action::spec::{ActionSpec, DialectName, Listed};

/// Every route that this program has, for clients and for operators: the table of what strangers are answered is held
/// against it.
pub fn routes() -> impl Iterator<Item = &'static RouteSpec> {
    let own = control::CONTROL.iter().map(|endpoint| &endpoint.spec);
    let ops = yunzhan_ops::control::CONTROL.iter().map(|endpoint| &endpoint.spec);
    rooms::public_specs().chain(rooms::control_specs()).chain(own).chain(ops)
}

/// Every action of a dialect that names them in the body, for the same table.
pub fn actions(dialect: DialectName) -> Vec<Listed> {
    ActionSpec::all(rooms::SERVICES, dialect)
}
