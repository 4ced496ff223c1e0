//! Whole-server tests of Yunzhan: the harness that they stand on, and the stand-ins that they need.
//!
//! A test in `tests/whole` starts the real program with [`Server::start`], speaks to it over the network as a phone, a
//! cloud function or an operator would, and reads like the sentence that it proves. Read [`server`] first, then [`people`].

pub mod change_log;
pub mod environment;
pub mod http;
pub mod key;
pub mod node;
pub mod past;
pub mod people;
mod program;
pub mod replay;
pub mod report;
pub mod requirement;
pub mod seed;
pub mod server;
pub mod shell;
pub mod wechat;

pub use environment::Environment;
pub use http::{Answer, Http};
pub use key::Key;
pub use people::Person;
pub use seed::{Random, Seed};
pub use server::{Backend, Options, Server};
pub use wechat::WeChat;
