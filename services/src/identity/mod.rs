//! Identity: who asks, and how they prove it.

mod logic;
mod memory;
mod refresh;
mod tc3;
mod token;
