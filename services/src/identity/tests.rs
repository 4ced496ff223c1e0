//! Identity over a real database, by a clock that the test moves, behind a door that does what the gateway does.

mod backends;
mod house;
mod keys;
mod logins;
mod paused;
mod races;
mod refresh;
mod strangers;
