//! ModSecurity's rule language as a pure library: SecLang in, verdicts out.
//!
//! Read first: [`seclang`] (text to directives), `rules` (directives to a compiled rule set), `transaction` (what one
//! request and its response go through). [`transformation`] and [`operator`] are functions of bytes.
//!
//! [`starter`] carries the rules that are built in; they are text like anybody's.
//!
//! Nothing here does input or output, knows a clock or holds state beyond a transaction: rule files, time, collections
//! that outlive a request and the names of addresses are passed in. Nothing here knows a rule by its id.

mod body;
pub mod bytes;
mod gate;
pub mod operator;
pub mod rules;
pub mod seclang;
mod signature;
pub mod starter;
pub mod transaction;
pub mod transformation;

pub use rules::RuleSet;
pub use transaction::{BodyIntake, HostContext, Transaction, Verdict};
