//! Tests of the whole server, in one program so that they share one build and one installation of the published clients.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod bad_input;
mod certificates;
mod cluster;
mod cluster_changes;
mod cluster_transactions;
mod demo;
mod durability;
mod faults;
mod hostile;
mod imports;
mod isolation;
mod lifecycle;
mod neighbours;
mod proxied;
mod sdk;
mod secrets;
mod sockets;
mod strangers;
mod streams;
mod tokens;
mod tour;
mod waf;
mod wechat_login;
