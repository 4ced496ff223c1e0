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
    /// Somebody may no longer do what they are doing: whoever serves them goes on no longer.
    AccessEnded(AccessEnded<'a>),
    /// A database began to refuse writes, or takes them again.
    StorageChanged(StorageChanged<'a>),
    /// The server's own life: started, draining, configuration taken over or refused.
    Notice(Notice<'a>),
}

/// Which request an event is about; every event of one request carries the same facts.
#[derive(Clone, Copy, Debug)]
pub struct RequestFacts<'a> {
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
    /// The client's address.
    pub remote: SocketAddr,
}

/// One request from its first byte to its last.
#[derive(Debug)]
pub struct RequestEnded<'a> {
    /// Which request.
    pub facts: RequestFacts<'a>,
    /// The status sent; 499 when the client left first.
    pub status: StatusCode,
    /// Bytes of the answer's body that were handed to the connection.
    pub body_bytes_sent: u64,
    /// From the parsed head to the last byte handed over, in microseconds.
    pub duration_us: u64,
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
    /// Which request.
    pub facts: RequestFacts<'a>,
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

impl Outcome {
    /// Its name in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::BodyBroke => "body_broke",
        }
    }
}

/// A connection that failed.
#[derive(Debug)]
pub struct ConnectionFailed<'a> {
    /// The client's address.
    pub remote: SocketAddr,
    /// Whether it is the TLS listener.
    pub tls: bool,
    /// What stopped it.
    pub reason: ConnectionFailureReason,
    /// For the log.
    pub detail: &'a str,
}

/// What stopped a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionFailureReason {
    /// The TLS handshake failed, or took too long.
    TlsHandshake,
    /// A request's head did not arrive in time.
    HeadTimeout,
    /// The client did not take the bytes of an answer in time.
    WriteTimeout,
    /// A bound of the HTTP library on time was overrun.
    Timeout,
    /// What arrived is not HTTP.
    Malformed,
    /// Every permit for a connection was in use.
    TooMany,
    /// The client's address had as many connections as it may.
    TooManyOfAddress,
    /// The process had no file descriptor left.
    NoDescriptor,
    /// A PROXY header came from an address that is no trusted proxy.
    ProxyUntrusted,
    /// The PROXY header was missing, late or malformed.
    ProxyHeader,
    /// The client left in the middle of a message.
    ClientGone,
    /// The connection broke.
    Io,
}

impl ConnectionFailureReason {
    /// Its name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TlsHandshake => "tls_handshake",
            Self::HeadTimeout => "head_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::Timeout => "timeout",
            Self::Malformed => "malformed",
            Self::TooMany => "too_many",
            Self::TooManyOfAddress => "too_many_of_address",
            Self::NoDescriptor => "no_descriptor",
            Self::ProxyUntrusted => "proxy_untrusted",
            Self::ProxyHeader => "proxy_header",
            Self::ClientGone => "client_gone",
            Self::Io => "io",
        }
    }
}

/// A statement or unit of the SQL engine.
#[derive(Clone, Copy, Debug)]
pub struct SqlEnded {
    /// What was asked of the engine.
    pub operation: SqlOperation,
    /// How long the caller waited, in microseconds.
    pub duration_us: u64,
    /// How it failed, if it did.
    pub failed: Option<Kind>,
}

/// What is asked of the SQL engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SqlOperation {
    /// A statement that reads.
    Read,
    /// A unit of statements that write.
    Write,
}

impl SqlOperation {
    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Who may no longer be served. Open sockets and streams of events end at once; requests are refused by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessEnded<'a> {
    /// A session was signed out, revoked, or has run out.
    Session {
        /// The session's environment.
        env: &'a EnvId,
        /// The session's id.
        session: &'a str,
    },
    /// Every session of a person was revoked.
    User {
        /// The person's environment.
        env: &'a EnvId,
        /// The person's id.
        user: &'a str,
    },
    /// The environment was deleted.
    Env(&'a EnvId),
    /// The address was banned.
    Address(std::net::IpAddr),
}

/// A database that began to refuse writes, or that takes them again. Told once for each, not once a request.
#[derive(Clone, Copy, Debug)]
pub struct StorageChanged<'a> {
    /// `sqlite` or `mysql`.
    pub engine: &'static str,
    /// Why writes are refused, or were, from a closed set: `disk_full`, `read_only`, `io_error`, `gone`, `away`.
    pub fault: &'static str,
    /// Whether they are refused now.
    pub refuses: bool,
    /// One sentence for the operator.
    pub text: &'a str,
}

impl<'a> StorageChanged<'a> {
    /// As a line for the operator.
    pub fn notice(&self) -> Notice<'a> {
        let (level, name) = match self.refuses {
            true => (Level::Error, "storage_refuses_writes"),
            false => (Level::Info, "storage_takes_writes"),
        };
        Notice { level, name, text: self.text }
    }
}

/// A line for the operator.
#[derive(Debug)]
pub struct Notice<'a> {
    /// How serious.
    pub level: Level,
    /// Stable name, e.g. `config_reloaded`. The set is open, since no metric has it as a label.
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

impl Level {
    /// Its name in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
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
