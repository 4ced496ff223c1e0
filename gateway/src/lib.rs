//! From listener to upstream: what every request of Yunzhan passes.
//!
//! Read [`pipeline`] first: its list of stages is the order of execution. The gateway knows no service by name; a service is
//! a local upstream, reached by a function call, and a team's own server is a remote one.

mod activity;
mod body;
mod body_prefix;
mod bounds;
pub mod client_address;
pub mod config;
mod connection;
mod connection_counts;
pub mod descriptors;
pub mod exchange;
mod flight;
mod head_scan;
pub mod listener;
mod observed_stream;
pub mod pipeline;
pub mod proxy_protocol;
mod respond;
mod routes;
mod sockets;
pub mod stage;
mod stages;
mod stream_executor;
mod table;
#[cfg(test)]
mod testing;
pub mod tls;
pub mod tls_check;
mod turn;
mod upstream;
mod websocket;

pub use config::Config;
pub use pipeline::{Dependencies, FOLLOWED_KEYS, Gateway};
pub use sockets::Sockets;
pub use stages::waf::{Exclusion, ROUTE_FACT, Waf, WafPolicy};
pub use table::{is_catch_all, route_conflicts};
pub use upstream::files::{Asset, Files};
