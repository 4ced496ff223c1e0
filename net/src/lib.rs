//! What every room needs to act in time: the one outbound HTTP client, bodies that may not stall, shutdown, and background
//! tasks. This crate knows no vendor; whoever calls WeChat, a bank or a team's own service names the address.

pub mod http;
pub mod peer;
pub mod shutdown;
pub mod task;
pub mod time;
pub mod timed;
