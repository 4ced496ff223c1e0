//! What happens, told once: one struct per event, from whose fields the log line and the counters are both made.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, StatusCode};

use crate::error::{Error, Kind};
use crate::ids::{EnvId, RequestId};

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A request ended, in whatever way.
    RequestEnded(RequestEnded<'a>),
    /// Rules saw what looks like an attack in a request or its answer.
    AttackSuspected(AttackSuspected<'a>),
    /// A connection ended before it carried a request, or broke between two.
    ConnectionFailed(ConnectionFailed<'a>),
    /// A database statement or unit ended.
    SqlEnded(SqlEnded),
    /// A run of a background task ended.
    TaskEnded(TaskEnded<'a>),
    /// The server's own life: started, draining, configuration taken over or refused.
    Notice(Notice<'a>),
}

/// One request from its first byte to its last.
#[derive(Debug)]
pub struct RequestEnded<'a> {
    /// The id that the client saw.
    pub request_id: RequestId,
    /// The route's name, or `none` when no route matched.
    pub route: &'static str,
    /// The environment, when known.
    pub env: Option<&'a EnvId>,
    /// The user's id, when known.
    pub user: Option<&'a str>,
    /// The method.
    pub method: &'a Method,
    /// The path without its query: queries hold people's data.
    pub path: &'a str,
    /// The status sent; 499 when the client left first.
    pub status: StatusCode,
    /// Bytes of the answer's body that were handed to the connection.
    pub body_bytes_sent: u64,
    /// From the parsed head to the last byte handed over, in microseconds.
    pub duration_us: u64,
    /// The client's address.
    pub remote: SocketAddr,
    /// `http/1.1`, `h2`.
    pub protocol: &'static str,
    /// Whether it came over TLS.
    pub tls: bool,
    /// Why it was refused, when it was.
    pub error: Option<&'a Error>,
    /// Whether the client saw the whole answer.
    pub outcome: Outcome,
}

/// A request in which rules saw what looks like an attack (mission rows A3 and O3).
#[derive(Debug)]
pub struct AttackSuspected<'a> {
    /// The id that the client saw.
    pub request_id: RequestId,
    /// The route's name, or `none` when no route matched.
    pub route: &'static str,
    /// The environment, when known.
    pub env: Option<&'a EnvId>,
    /// The user's id, when known.
    pub user: Option<&'a str>,
    /// The method.
    pub method: &'a Method,
    /// The path without its query.
    pub path: &'a str,
    /// The client's address.
    pub remote: SocketAddr,
    /// What matched, in the order of matching.
    pub matches: &'a [SuspectedMatch<'a>],
    /// What the rules count together, where they count.
    pub score: Option<i64>,
    /// Whether the request was refused for it.
    pub is_refused: bool,
    /// Whether rules ended at their bound, without having seen everything.
    pub is_exhausted: bool,
}

/// One rule that matched.
#[derive(Debug)]
pub struct SuspectedMatch<'a> {
    /// The rule's id, where it has one.
    pub rule: Option<u64>,
    /// What it says.
    pub message: &'a str,
    /// What kind of attack it is for, from a closed set.
    pub attack: AttackKind,
    /// Which part of the request.
    pub variable: &'a str,
    /// The part's value, masked unless the operator wants it plain.
    pub value: String,
    /// What the rule quotes of the request, likewise.
    pub data: String,
}

/// What kind of attack a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttackKind {
    /// SQL injection.
    SqlInjection,
    /// Cross-site scripting.
    Scripting,
    /// Files of the server.
    FileInclusion,
    /// Commands and code.
    CodeExecution,
    /// Scanners.
    Scanner,
    /// Misuse of the protocol.
    Protocol,
    /// What an answer must not tell.
    Leak,
    /// Anything else.
    Other,
}

impl AttackKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::SqlInjection,
        Self::Scripting,
        Self::FileInclusion,
        Self::CodeExecution,
        Self::Scanner,
        Self::Protocol,
        Self::Leak,
        Self::Other,
    ];

    /// Its name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SqlInjection => "sql_injection",
            Self::Scripting => "cross_site_scripting",
            Self::FileInclusion => "file_inclusion",
            Self::CodeExecution => "code_execution",
            Self::Scanner => "scanner",
            Self::Protocol => "protocol",
            Self::Leak => "leak",
            Self::Other => "other",
        }
    }
}

/// How a request's answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole answer was handed to the connection.
    Complete,
    /// The client went away first.
    ClientGone,
    /// The answer's body broke while it streamed.
    BodyBroke,
}

/// A connection that failed.
#[derive(Debug)]
pub struct ConnectionFailed<'a> {
    /// The client's address.
    pub remote: SocketAddr,
    /// Whether it is the TLS listener.
    pub tls: bool,
    /// What stopped it, from a closed set: `tls_handshake`, `header_timeout`, `malformed`, `too_many`, `io`.
    pub reason: &'static str,
    /// For the log.
    pub detail: &'a str,
}

/// A statement or unit of the SQL engine.
#[derive(Clone, Copy, Debug)]
pub struct SqlEnded {
    /// `read` or `write`.
    pub operation: &'static str,
    /// How long the caller waited, in microseconds.
    pub duration_us: u64,
    /// How it failed, if it did.
    pub failed: Option<Kind>,
}

/// One run of a background task.
#[derive(Debug)]
pub struct TaskEnded<'a> {
    /// The task's name.
    pub name: &'static str,
    /// How it ended.
    pub outcome: TaskOutcome,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// Why it failed, if it did.
    pub error: Option<&'a Error>,
}

/// How a run of a background task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskOutcome {
    /// As it should.
    Done,
    /// With an error.
    Failed,
    /// With a panic.
    Panicked,
    /// It was stopped, because its node lost the lease under which it ran.
    LeaseLost,
}

impl TaskOutcome {
    /// Its name in logs, metrics and the control API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::LeaseLost => "lease_lost",
        }
    }
}

/// A line for the operator.
#[derive(Debug)]
pub struct Notice<'a> {
    /// How serious.
    pub level: Level,
    /// Stable name, e.g. `config_reloaded`.
    pub name: &'static str,
    /// One sentence.
    pub text: &'a str,
}

/// How serious a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// All is well.
    Info,
    /// Somebody should look at it.
    Warn,
    /// Something failed.
    Error,
}

/// Sees events. Called where they happen, so it must not block.
pub trait Observe: Send + Sync {
    /// Takes note.
    fn observe(&self, event: &Event<'_>);
}

/// Everyone who observes; cheap to clone and to pass around.
#[derive(Clone, Default)]
pub struct Events(Option<Arc<[Arc<dyn Observe>]>>);

impl Events {
    /// These observers, called in this order.
    pub fn to(observers: Vec<Arc<dyn Observe>>) -> Self {
        Self(Some(observers.into()))
    }

    /// Tells everyone.
    pub fn emit(&self, event: &Event<'_>) {
        for observer in self.0.iter().flat_map(|observers| observers.iter()) {
            observer.observe(event);
        }
    }

    /// Tells everyone of something in the server's own life.
    pub fn notice(&self, level: Level, name: &'static str, text: &str) {
        self.emit(&Event::Notice(Notice { level, name, text }));
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Events({})", self.0.as_ref().map_or(0, |observers| observers.len()))
    }
}
