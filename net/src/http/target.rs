//! Where a request goes: scheme, host, port and a path that stands before the request's own.

use std::fmt;

use http::{HeaderValue, Uri};
use yunzhan_base::{Error, Kind, Result};

/// The base address of a server we call.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Target {
    tls: bool,
    host: String,
    port: u16,
    path_prefix: String,
}

impl Target {
    /// Reads `http://host[:port][/prefix]` or `https://…`. User names, queries and fragments are refused.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            Error::new(
                Kind::InvalidParameter,
                format!("{text:?} is not the address of a server: {why}"),
            )
        };
        let uri: Uri =
            text.parse().map_err(|_| refuse("write http://host:port or https://host"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(refuse("it begins with neither http:// nor https://")),
        };
        let authority = uri.authority().ok_or_else(|| refuse("it names no host"))?;
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(refuse("a user name or a query has no place in it"));
        }
        Ok(Self {
            tls,
            host: authority.host().trim_matches(['[', ']']).to_ascii_lowercase(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            path_prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Whether connections are encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Host name or address, in lower case, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What stands before every path; empty, or beginning with `/` and not ending with one.
    pub fn path_prefix(&self) -> &str {
        &self.path_prefix
    }

    /// Value of the `Host` header.
    pub(super) fn authority(&self) -> HeaderValue {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let standard_port = if self.tls { 443 } else { 80 };
        let text = if self.port == standard_port { host } else { format!("{host}:{}", self.port) };
        HeaderValue::from_str(&text).expect("a host that parsed as an authority")
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}{}", self.host, self.port, self.path_prefix)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |text: &str| match Target::parse(text) {
            Ok(target) => format!("{target} host={}", target.authority().to_str().unwrap()),
            Err(error) => error.to_string(),
        };
        assert_eq!(
            check("https://api.weixin.qq.com"),
            "https://api.weixin.qq.com:443 host=api.weixin.qq.com"
        );
        assert_eq!(
            check("http://LOCALHOST:3000/api/"),
            "http://localhost:3000/api host=localhost:3000"
        );
        assert_eq!(check("http://[::1]:80"), "http://::1:80 host=[::1]");
        for bad in ["", "localhost", "ftp://x", "http://", "http://u:p@x", "http://x?y", "/path"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }
}
