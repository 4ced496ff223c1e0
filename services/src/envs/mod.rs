//! Environments: the mini-programs that live on this server.

mod server_keys;

pub use server_keys::{NewKey, ServerKeys, StoredKey};
