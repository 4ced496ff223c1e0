//! The configuration: one TOML file, overridden by environment variables, read with every mistake gathered.
//!
//! A [`Document`] holds the file and the variables; rooms walk it with a [`Reader`] and say for each key its type, its
//! default and what it is for. That one statement gives the value, the message when it is wrong, the refusal of keys
//! nobody reads, and the reference that `docs/configuration.md` is made from.
//!
//! ```
//! use std::time::Duration;
//! use yunzhan_base::config::{Document, Variables};
//!
//! let document = Document::parse("yunzhan.toml", "[gateway]\nidle_timeout = \"30s\"", Variables::default());
//! let mut gateway = document.root().table("gateway");
//! let idle = gateway.value("idle_timeout", Duration::from_secs(75), "when a silent connection is closed");
//! assert_eq!(idle, Duration::from_secs(30));
//! assert!(document.finish().is_ok());
//! ```
//!
//! Nothing here does input or output: the text, the variables and the files of secrets are handed in.

mod document;
mod follow;
mod problem;
mod reader;
mod reference;
mod settings;
mod suggest;
#[cfg(test)]
mod tests;
mod tree;
mod units;
mod value;
mod words;

pub use document::{DOCUMENT_BYTES_MAX, Document, Variables};
pub use follow::{Follow, Prepared, means, part};
pub use problem::{Problem, Problems, SourceSpan};
pub use reader::{Reader, TableOrList};
pub use reference::{Reference, markdown};
pub use settings::Settings;
pub use units::{ByteSize, parse_duration};
pub use value::{FromConfig, Given, Reason};
pub use words::{Lang, Words};
