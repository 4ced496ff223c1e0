//! What a transaction has to tell.

use crate::seclang::ast::SourceSpan;

/// Whether a request or a response goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It does not.
    Refuse(Refusal),
}

/// Why and how something is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Status of the answer.
    pub status: u16,
    /// Where a `redirect` leads.
    pub location: Option<String>,
    /// The rule that decided, where it has an id. None where a bound of the engine decided.
    pub rule: Option<u64>,
    /// `drop`: the connection ends without an answer.
    pub is_drop: bool,
}

/// A rule that matched and is to be told of.
#[derive(Clone, Debug)]
pub struct Event {
    /// The rule's id.
    pub rule: Option<u64>,
    /// Where it stands.
    pub place: SourceSpan,
    /// The phase in which it matched.
    pub phase: u8,
    /// `msg`.
    pub message: String,
    /// `logdata`. It quotes the request: whoever writes it down masks it.
    pub data: String,
    /// 0 (emergency) to 7 (debug).
    pub severity: Option<u8>,
    /// `tag`s.
    pub tags: Vec<String>,
    /// `rev`.
    pub revision: Option<String>,
    /// `ver`.
    pub version: Option<String>,
    /// The variable that matched last.
    pub variable: String,
    /// Its value, up to [`VALUE_BYTES_MAX`] bytes. It quotes the request: whoever writes it down masks it.
    pub value: Vec<u8>,
    /// Whether the rule wanted to refuse, also where the engine only detects.
    pub is_disruptive: bool,
    /// Whether it is for the audit log too.
    pub is_audited: bool,
}

/// Bytes of a value that an event quotes.
pub const VALUE_BYTES_MAX: usize = 256;
