//! The words everyone in Yunzhan uses.
//!
//! This crate does no input or output, starts no task and knows no runtime: `cargo xtask tidy` keeps tokio, hyper and
//! every driver out of its manifest. Rooms above share these types so that they can meet without naming one another.
//!
//! Read first: [`route`] (what a service offers), [`call`] (what one request gives it), [`error`] (what it may refuse).

pub mod audit;
pub mod body;
pub mod call;
pub mod clock;
pub mod config;
pub mod data_dir;
pub mod env;
pub mod error;
pub mod event;
pub mod fault;
pub mod ids;
pub mod live;
pub mod mask;
pub mod principal;
pub mod route;
pub mod secret;

pub use body::Body;
pub use call::{Answer, Call};
pub use clock::Clock;
pub use data_dir::DataDir;
pub use error::{Error, Kind, Result};
pub use ids::{EnvId, RequestId};
pub use live::Live;
pub use principal::Principal;
pub use route::{Access, Endpoint, Route, RouteSpec, Tier};
pub use secret::Secret;
