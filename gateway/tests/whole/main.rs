//! The gateway as a client and an upstream see it: real sockets, a tiny service, raw bytes.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test may")]

mod bad_input;
mod carried;
mod files;
mod lifecycle;
mod proxied;
mod published;
mod remote;
mod streams;
mod support;
mod tls;
mod upgrades;
mod waf;
