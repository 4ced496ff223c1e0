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
mod observe;
mod process;
mod ready;
mod reload;
mod rooms;
mod serve;
mod signals;
