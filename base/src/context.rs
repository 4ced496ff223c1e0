//! On whose behalf something is done, and until when: one value from the request to engines, queues, functions and upstreams.
//!
//! The gateway makes one for every request. A timer, a queue's consumer or a function that calls a service makes one too, so
//! that the same checks hold and the same log lines come of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderValue;

use crate::env::Env;
use crate::error::{Error, Kind, Result};
use crate::ids::RequestId;
use crate::policy::Priority;
use crate::principal::Principal;

/// On whose behalf, in which environment, until when.
#[derive(Clone, Debug)]
pub struct Context {
    /// Names the request in answers and logs.
    pub request_id: RequestId,
    /// The distributed trace that it belongs to.
    pub trace: Trace,
    /// Who asks; at least what the route's access demands.
    pub principal: Principal,
    /// The environment that the request is in.
    pub env: Option<Arc<Env>>,
    /// The variant of an experiment or release that the caller is assigned to.
    pub variant: Option<Arc<str>>,
    /// When nobody waits for the answer any more.
    pub deadline: Instant,
    /// Who gives way when there is more work than time.
    pub priority: Priority,
    /// The client's address, behind trusted proxies.
    pub remote: SocketAddr,
}

/// A position in a distributed trace: the text of a `traceparent` header (W3C Trace Context, version 00).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Trace([u8; 55]);

// === impl Context ===

impl Context {
    /// For work that no client asked for: a timer, a consumer. It has no caller and an address of its own machine.
    pub fn internal(request_id: RequestId, env: Option<Arc<Env>>, timeout: Duration) -> Self {
        Self {
            request_id,
            trace: Trace::begin(request_id),
            principal: Principal::Nobody,
            env,
            variant: None,
            deadline: Instant::now() + timeout,
            priority: Priority::Normal,
            remote: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
        }
    }

    /// The environment, or the refusal for a request that named none.
    pub fn env(&self) -> Result<&Arc<Env>> {
        self.env.as_ref().ok_or_else(|| {
            Error::new(
                Kind::EnvNotFound,
                "the request names no environment; send ?env=, client_id= or a token",
            )
        })
    }
}

// === impl Trace ===

impl Trace {
    /// A trace that begins here: the request's id as the trace, its second half as the span, sampled.
    pub fn begin(id: RequestId) -> Self {
        let id = id.hex();
        let mut text = [0; 55];
        text[..3].copy_from_slice(b"00-");
        text[3..35].copy_from_slice(&id);
        text[35] = b'-';
        text[36..52].copy_from_slice(&id[16..]);
        text[52..].copy_from_slice(b"-01");
        Self(text)
    }

    /// The trace that a caller began, if its header is one.
    pub fn parse(header: &[u8]) -> Option<Self> {
        let text: [u8; 55] = header.try_into().ok()?;
        let is_hex = |range: std::ops::Range<usize>| {
            text[range].iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_zero = |range: std::ops::Range<usize>| text[range].iter().all(|byte| *byte == b'0');
        let is_shaped = text.starts_with(b"00-") && text[35] == b'-' && text[52] == b'-';
        let is_valid = is_shaped && is_hex(3..35) && is_hex(36..52) && is_hex(53..55);
        (is_valid && !is_zero(3..35) && !is_zero(36..52)).then_some(Self(text))
    }

    /// The header's text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits and dashes")
    }

    /// The header's value.
    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).expect("hexadecimal digits and dashes")
    }
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_begins_with_the_request_id_and_is_read_again() {
        let begun = Trace::begin(RequestId::NONE);
        assert_eq!(begun.as_str(), format!("00-{}-{}-01", "0".repeat(32), "0".repeat(16)));
        let text = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(Trace::parse(text).map(|trace| trace.as_str().len()), Some(55));
        for bad in [
            &b""[..],
            b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(Trace::parse(bad), None);
        }
    }
}
