//! The program as people and scripts use it: arguments in, text and exit code out.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod check;
mod db;
mod help;
mod open_files;
mod program;
mod serving;
mod starting;
mod storage;
