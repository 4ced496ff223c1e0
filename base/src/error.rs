//! One error for the whole house: a closed set of kinds, two messages, and the cause.
//!
//! The *message* goes to the caller; the *detail* and the source go to the log only. A kind decides the HTTP status, the
//! code of each client dialect and whether a retry may help, so no layer above ever guesses from text.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use http::StatusCode;

/// The result that the libraries of Yunzhan return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, where, and for whom.
pub struct Error(Box<Inner>);

struct Inner {
    kind: Kind,
    code: Option<&'static ErrorCode>,
    message: Cow<'static, str>,
    detail: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    retry_after: Option<Duration>,
}

/// Why a request, a statement or a start failed. Closed on purpose: every dialect maps every kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The bytes are not what they claim to be: framing, JSON, Extended JSON, a token's form.
    Malformed,
    /// Well formed, but a value is out of its bounds or missing.
    InvalidParameter,
    /// A query or update operator that does not exist or stands where it may not.
    InvalidOperator,
    /// A body, a key or a result is over its bound.
    TooLarge,
    /// Nobody said who they are, or said it in a way that cannot be verified.
    Unauthenticated,
    /// The token was good once; the client refreshes it and tries again.
    TokenExpired,
    /// A signature of the admin dialect that does not match.
    SignatureInvalid,
    /// A signature of the admin dialect that is outside its time window.
    SignatureExpired,
    /// A refresh token or code that was used, revoked, stolen or never issued: log in again.
    InvalidGrant,
    /// Known, but not allowed.
    PermissionDenied,
    /// No route has this path.
    NotFound,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// No such environment, or the request names two different ones.
    EnvNotFound,
    /// No such collection in this environment.
    CollectionNotFound,
    /// A unique value or a collection stands there already.
    AlreadyExists,
    /// Somebody else changed it first: read again, then retry.
    Conflict,
    /// A transaction that was committed, rolled back, or timed out, or never was.
    TransactionEnded,
    /// Too many requests; the caller waits.
    LimitExceeded,
    /// Too much is under way at this moment; the caller waits until some of it has ended.
    TooManyAtOnce,
    /// Work ran into its time bound.
    Timeout,
    /// An upstream, an engine or this server cannot serve now.
    Unavailable,
    /// The upstream broke the connection or the protocol.
    BadUpstream,
    /// Understood, and not offered by this server.
    NotImplemented,
    /// The client left before the answer.
    ClientGone,
    /// A fault of ours.
    Internal,
}

/// A code of a service's own, where clients tell more apart than kinds do. To everyone else (statuses, retries, the words of
/// the authentication dialect and of control, metrics) the error is one of its kind; between nodes the kind alone travels.
#[derive(Debug, PartialEq, Eq)]
pub struct ErrorCode {
    /// As the clients of the admin, gateway and web dialects spell it.
    pub code: &'static str,
    /// What it is one of.
    pub kind: Kind,
    /// One sentence for people, English.
    pub en: &'static str,
    /// One sentence for people, Chinese.
    pub zh: &'static str,
}

/// One line of the error catalogue.
pub struct Entry {
    /// The kind that this line describes.
    pub kind: Kind,
    /// Stable name: metric label, `code` of the control API.
    pub name: &'static str,
    /// Status where the dialect uses HTTP statuses.
    pub status: StatusCode,
    /// Code of the admin, gateway and web dialects, spelt as their clients spell it.
    pub code: &'static str,
    /// `error` and `error_code` of the authentication dialect (gRPC's canonical names and numbers).
    pub auth: (&'static str, u16),
    /// Whether the same request may succeed later.
    pub retry: bool,
    /// One sentence for people, English.
    pub en: &'static str,
    /// One sentence for people, Chinese.
    pub zh: &'static str,
}

macro_rules! catalogue {
    ($($kind:ident $name:literal $status:literal $code:literal $auth:literal $number:literal $retry:literal $en:literal $zh:literal;)*) => {
        /// Every kind with its mappings, in one place.
        pub const CATALOGUE: &[Entry] = &[$(Entry {
            kind: Kind::$kind,
            name: $name,
            status: match StatusCode::from_u16($status) { Ok(status) => status, Err(_) => panic!("a status of the catalogue") },
            code: $code,
            auth: ($auth, $number),
            retry: $retry,
            en: $en,
            zh: $zh,
        }),*];
    };
}

// kind, name, status, code of the SDKs, gRPC name and number, retry, English, Chinese. In the order of `Kind`.
catalogue! {
    Malformed "malformed" 400 "INVALID_PARAM" "invalid_argument" 3 false "the request is malformed" "请求格式错误";
    InvalidParameter "invalid_parameter" 400 "INVALID_PARAM" "invalid_argument" 3 false "a parameter is invalid" "参数无效";
    InvalidOperator "invalid_operator" 400 "DATABASE_INVALID_OPERRATOR" "invalid_argument" 3 false "the operator is invalid" "操作符无效";
    TooLarge "too_large" 413 "INVALID_PARAM" "out_of_range" 11 false "the request is over its size bound" "请求超出大小限制";
    Unauthenticated "unauthenticated" 401 "CHECK_LOGIN_FAILED" "unauthenticated" 16 false "log in first" "请先登录";
    TokenExpired "token_expired" 401 "ACCESS_TOKEN_EXPIRED" "unauthenticated" 16 true "the access token has expired" "访问令牌已过期";
    SignatureInvalid "signature_invalid" 401 "SIGN_PARAM_INVALID" "unauthenticated" 16 false "the signature does not match" "签名不匹配";
    SignatureExpired "signature_expired" 401 "SIGN_EXPIRED_ERROR" "unauthenticated" 16 true "the signature has expired" "签名已过期";
    InvalidGrant "invalid_grant" 400 "CHECK_LOGIN_FAILED" "invalid_grant" 3 false "log in again" "请重新登录";
    PermissionDenied "permission_denied" 403 "DATABASE_PERMISSION_DENIED" "permission_denied" 7 false "permission denied" "没有权限";
    NotFound "not_found" 404 "NOT_FOUND" "not_found" 5 false "there is nothing at this address" "地址不存在";
    MethodNotAllowed "method_not_allowed" 405 "METHOD_NOT_ALLOWED" "unimplemented" 12 false "the method is not allowed here" "此地址不支持该方法";
    EnvNotFound "env_not_found" 404 "INVALIID_ENV" "not_found" 5 false "there is no such environment" "环境不存在";
    CollectionNotFound "collection_not_found" 404 "DATABASE_COLLECTION_NOT_EXIST" "not_found" 5 false "there is no such collection" "集合不存在";
    AlreadyExists "already_exists" 409 "DATABASE_REQUEST_FAILED" "already_exists" 6 false "it exists already" "已存在";
    Conflict "conflict" 409 "DATABASE_TRANSACTION_CONFLICT" "aborted" 10 true "somebody else changed it first" "数据已被他人修改";
    TransactionEnded "transaction_ended" 409 "DATABASE_TRANSACTION_FAIL" "aborted" 10 false "the transaction is over" "事务已结束";
    LimitExceeded "limit_exceeded" 429 "EXCEED_REQUEST_LIMIT" "resource_exhausted" 8 true "too many requests" "请求过于频繁";
    TooManyAtOnce "too_many_at_once" 429 "EXCEED_CONCURRENT_REQUEST_LIMIT" "resource_exhausted" 8 true "too many requests at once" "同时进行的请求过多";
    Timeout "timeout" 504 "SERVER_TIMEOUT" "deadline_exceeded" 4 true "the time bound was reached" "处理超时";
    Unavailable "unavailable" 503 "SYS_ERR" "unavailable" 14 true "the service is unavailable" "服务暂不可用";
    BadUpstream "bad_upstream" 502 "SYS_ERR" "unavailable" 14 true "the upstream failed" "上游服务异常";
    NotImplemented "not_implemented" 501 "NOT_IMPLEMENTED" "unimplemented" 12 false "not offered by this server" "暂不支持";
    ClientGone "client_gone" 499 "SYS_ERR" "cancelled" 1 true "the client went away" "客户端已断开";
    Internal "internal" 500 "SYS_ERR" "internal" 13 true "an internal error" "内部错误";
}

// === impl Kind ===

impl Kind {
    /// The catalogue's line for this kind.
    pub const fn entry(self) -> &'static Entry {
        // The catalogue stands in the order of `Kind`; a test holds it to that.
        &CATALOGUE[self as usize]
    }

    /// Stable name, fit for a metric label.
    pub const fn name(self) -> &'static str {
        self.entry().name
    }
}

// === impl Error ===

impl Error {
    /// An error with a message for the caller: lower case, concrete, no final stop, naming the thing and the next step.
    pub fn new(kind: Kind, message: impl Into<Cow<'static, str>>) -> Self {
        let message = message.into();
        let (code, detail, source, retry_after) = (None, None, None, None);
        Self(Box::new(Inner { kind, code, message, detail, source, retry_after }))
    }

    /// An error with a code of a service's own, which the service declares.
    pub fn coded(code: &'static ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        let mut error = Self::new(code.kind, message);
        error.0.code = Some(code);
        error
    }

    /// A fault of ours: the caller reads the catalogue's sentence, the log reads `detail`.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(Kind::Internal, Kind::Internal.entry().en).with_detail(detail)
    }

    /// Adds what only the log may see; later details stand before earlier ones.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        self.0.detail = Some(match self.0.detail.take() {
            Some(earlier) => format!("{detail}: {earlier}"),
            None => detail,
        });
        self
    }

    /// Adds the cause, for the log only.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Says when the same request may succeed; the answer carries it as `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// The wait of [`Error::retry_after`] in whole seconds, rounded up and at least 1: a client that comes back a moment
    /// too early is refused again.
    pub fn retry_after_s(&self) -> Option<u64> {
        let wait = self.0.retry_after?;
        Some(wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1))
    }

    /// Why.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// As the clients of the admin, gateway and web dialects spell it: its own code, or else that of its kind.
    pub fn code(&self) -> &'static str {
        self.0.code.map_or(self.0.kind.entry().code, |code| code.code)
    }

    /// What the caller may read.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Message and detail, for an operator at the command line of this machine: it names files and addresses.
    pub fn operator_text(&self) -> String {
        match &self.0.detail {
            Some(detail) => format!("{}: {detail}", self.0.message),
            None => self.0.message.to_string(),
        }
    }

    /// What the log reads: message, detail and the chain of causes. May name addresses; never secrets.
    pub fn log_text(&self) -> String {
        let mut text = self.0.message.to_string();
        if let Some(detail) = &self.0.detail {
            text.push_str(": ");
            text.push_str(detail);
        }
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind.name(), self.log_text())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_stands_in_the_order_of_kinds() {
        for (position, entry) in CATALOGUE.iter().enumerate() {
            assert_eq!(entry.kind as usize, position, "{}", entry.name);
        }
        assert_eq!(CATALOGUE.len(), Kind::Internal as usize + 1);
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_and_never_too_short() {
        let wait = |ms| {
            let error = Error::new(Kind::LimitExceeded, "too many requests");
            error.retry_after(Duration::from_millis(ms)).retry_after_s()
        };
        assert_eq!([0, 1, 1000, 1001, 59_999].map(wait), [1, 1, 1, 2, 60].map(Some));
        assert_eq!(Error::internal("x").retry_after_s(), None);
    }

    #[test]
    fn an_error_has_the_code_of_its_kind_or_one_of_its_own() {
        static OWN: ErrorCode = ErrorCode {
            code: "FUNCTIONS_TIME_LIMIT_EXCEEDED",
            kind: Kind::Timeout,
            en: "the function took too long",
            zh: "函数执行超时",
        };
        let error = Error::coded(&OWN, "the function took longer than 3 s").with_detail("f1");
        assert_eq!((error.code(), error.kind()), ("FUNCTIONS_TIME_LIMIT_EXCEEDED", Kind::Timeout));
        assert_eq!(Error::new(Kind::Timeout, "late").code(), "SERVER_TIMEOUT");
    }

    #[test]
    fn the_caller_never_sees_the_detail() {
        let error = Error::internal("table documents is gone")
            .because(std::io::Error::other("disk on fire"));
        assert_eq!(error.to_string(), "an internal error");
        assert_eq!(error.operator_text(), "an internal error: table documents is gone");
        assert_eq!(error.log_text(), "an internal error: table documents is gone: disk on fire");
    }
}
