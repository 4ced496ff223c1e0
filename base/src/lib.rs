//! The words everyone in Yunzhan uses.
//!
//! This crate does no input or output, starts no task and knows no runtime: `cargo xtask tidy` keeps tokio, hyper and
//! every driver out of its manifest. Rooms above share these types so that they can meet without naming one another.
//!
//! Read first: [`route`] (what a service offers), [`call`] (what one request gives it), [`error`] (what it may refuse).

pub mod access;
pub mod act;
pub mod audit;
pub mod body;
pub mod call;
pub mod clock;
pub mod config;
pub mod context;
pub mod control;
pub mod data_dir;
pub mod env;
pub mod error;
pub mod event;
pub mod fault;
pub mod gauge;
pub mod ids;
pub mod lease;
pub mod live;
pub mod mask;
pub mod policy;
pub mod principal;
pub mod reply;
pub mod representation;
pub mod route;
pub mod secret;
pub mod socket;
pub mod window;

pub use access::Access;
pub use act::Act;
pub use body::Body;
pub use call::Call;
pub use clock::Clock;
pub use context::Context;
pub use data_dir::DataDir;
pub use error::{Error, ErrorCode, Kind, Result};
pub use ids::{EnvId, RequestId};
pub use live::Live;
pub use policy::{Accepts, Goal, RoutePolicy, WafMode};
pub use principal::Principal;
pub use reply::{Reply, ResponseFuture, Upgrade};
pub use route::{Endpoint, Route, RouteSpec};
pub use secret::Secret;
pub use window::RateWindow;
