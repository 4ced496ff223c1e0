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
mod ledger;
mod listeners;
mod nodes;
mod observe;
mod process;
mod ready;
mod reload;
mod rooms;
mod serve;
mod signals;
mod waf;

use yunzhan_base::RouteSpec;

/// Every route that this program has, for clients and for operators: the table of what strangers are answered is held
/// against it.
pub fn routes() -> impl Iterator<Item = &'static RouteSpec> {
    let own = control::CONTROL.iter().map(|endpoint| &endpoint.spec);
    rooms::public_specs().chain(rooms::control_specs()).chain(own)
}
