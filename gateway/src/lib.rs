//! From listener to upstream: what every request of Yunzhan passes.
//!
//! Read [`pipeline`] first: its list of stages is the order of execution. The gateway knows no service by name; a service is
//! a local upstream, reached by a function call, and a team's own server is a remote one.

pub mod config;
mod connection;
pub mod exchange;
mod head_scan;
mod held;
mod hold_back;
pub mod listener;
pub mod pipeline;
mod respond;
mod stages;
mod table;
pub mod tls;
mod upstream;

pub use config::Config;
pub use pipeline::{Dependencies, FOLLOWED_KEYS, Gateway};
pub use stages::waf::{Exclusion, ROUTE_FACT, Waf, WafPolicy};
pub use table::{is_catch_all, route_conflicts};
pub use upstream::files::{Asset, Files};
