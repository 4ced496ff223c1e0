//! Refuses what two HTTP readers could understand differently, so that nothing smuggled ever reaches an upstream.
//!
//! hyper has refused malformed lengths and unknown final codings already (RFC 9112 section 6); what it repairs in silence is
//! refused here.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Uri, Version};
use yunzhan_base::{Error, Kind, Result};

use crate::exchange::Exchange;
use crate::head_scan::Lengths;
use crate::stage::{Stage, Step};

/// The stage. It has no state.
pub(crate) struct Framing;

impl Stage for Framing {
    fn request<'x>(&'x self, exchange: &'x mut Exchange) -> Step<'x> {
        let head = &exchange.head;
        let counts = match exchange.lengths {
            Some(lengths) => check_counts(lengths),
            None => check_unseen(&head.headers, head.version),
        };
        // What was seen as it was sent and has neither, has neither in the map.
        let has_none = exchange
            .lengths
            .is_some_and(|seen| seen.content_length == 0 && seen.transfer_encoding == 0);
        debug_assert!(!has_none || check_lengths(&head.headers).is_ok());
        // Where a body without a declared length ended is hyper's word alone; the connection carries nothing after it.
        exchange.close |= !has_none && head.headers.contains_key(TRANSFER_ENCODING);
        match counts
            .and_then(|()| if has_none { Ok(()) } else { check_lengths(&head.headers) })
            .and_then(|()| check_target(&head.uri, &head.headers, head.version))
        {
            Ok(()) => Step::Next,
            Err(error) => {
                exchange.close = true;
                Step::Refuse(error)
            }
        }
    }
}

fn check_counts(lengths: Lengths) -> Result<()> {
    if lengths.has_fragment {
        return Err(Error::new(
            Kind::Malformed,
            "a target has no fragment; a # in it is written %23",
        ));
    }
    match (lengths.content_length, lengths.transfer_encoding) {
        (0 | 1, 0) | (0, 1) => Ok(()),
        (_, 0) => Err(Error::new(Kind::Malformed, "content-length is given twice")),
        (0, _) => Err(Error::new(Kind::Malformed, "transfer-encoding is given twice")),
        _ => Err(Error::new(
            Kind::Malformed,
            "content-length and transfer-encoding exclude one another",
        )),
    }
}

/// A head that arrived together with the request before it was not seen as it was sent. Without a body nothing about it can
/// be ambiguous; with one it might have been repaired.
fn check_unseen(headers: &HeaderMap, version: Version) -> Result<()> {
    let has_body = headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING);
    if has_body && version <= Version::HTTP_11 {
        return Err(Error::new(
            Kind::Malformed,
            "a request with a body is sent after the answer to the one before it",
        ));
    }
    Ok(())
}

fn check_lengths(headers: &HeaderMap) -> Result<()> {
    let Some(coding) = headers.get(TRANSFER_ENCODING) else {
        return match headers.get_all(CONTENT_LENGTH).iter().count() {
            0 | 1 => Ok(()),
            _ => Err(Error::new(Kind::Malformed, "content-length is given twice")),
        };
    };
    if headers.contains_key(CONTENT_LENGTH) {
        return Err(Error::new(
            Kind::Malformed,
            "content-length and transfer-encoding exclude one another",
        ));
    }
    let single = headers.get_all(TRANSFER_ENCODING).iter().count() == 1;
    if !single || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        return Err(Error::new(
            Kind::Malformed,
            "the only transfer-encoding understood here is one \"chunked\"",
        ));
    }
    Ok(())
}

/// The bytes of a host's name.
const IN_NAMES: [bool; 256] = {
    let mut allowed = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        allowed[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"-._~!$&'()*+,;=";
    let mut place = 0;
    while place < marks.len() {
        allowed[marks[place] as usize] = true;
        place += 1;
    }
    allowed
};

/// A name, an IPv4 address or an IPv6 address in brackets, and perhaps a port (RFC 9110 section 7.2). Percent escapes, which
/// the grammar has, no name needs: two readers could take them for two hosts.
fn is_host(host: &[u8]) -> bool {
    let is_name =
        |name: &[u8]| !name.is_empty() && name.iter().all(|byte| IN_NAMES[usize::from(*byte)]);
    let is_port = |port: &[u8]| port.len() <= 5 && port.iter().all(u8::is_ascii_digit);
    if let Some(bracketed) = host.strip_prefix(b"[") {
        let Some(end) = bracketed.iter().position(|byte| *byte == b']') else { return false };
        let address = std::str::from_utf8(&bracketed[..end]).map(str::parse::<std::net::Ipv6Addr>);
        let port = &bracketed[end + 1..];
        return matches!(address, Ok(Ok(_)))
            && (port.is_empty() || port.strip_prefix(b":").is_some_and(is_port));
    }
    match host.iter().position(|byte| *byte == b':') {
        Some(colon) => is_name(&host[..colon]) && is_port(&host[colon + 1..]),
        None => is_name(host),
    }
}

fn check_target(uri: &Uri, headers: &HeaderMap, version: Version) -> Result<()> {
    let mut hosts = headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
    let host = hosts.next();
    if hosts.next().is_some() || (host.is_none() && version == Version::HTTP_11) {
        return Err(Error::new(Kind::Malformed, "a request names exactly one host"));
    }
    let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
    if [authority, host].into_iter().flatten().any(|host| !is_host(host)) {
        return Err(Error::new(Kind::Malformed, "the host is not the name of one"));
    }
    // The route goes by the one, and rules and upstreams look at the other (RFC 9113 section 8.3.1).
    if let (Some(authority), Some(host)) = (authority, host)
        && !authority.eq_ignore_ascii_case(host)
    {
        return Err(Error::new(Kind::Malformed, "the target and the header name different hosts"));
    }
    let path = uri.path();
    if !path.starts_with('/') {
        return Err(Error::new(
            Kind::Malformed,
            "the target is a path; this server is no forward proxy",
        ));
    }
    // One pass tells most paths apart from those worth a closer look.
    let bytes = path.as_bytes();
    if is_plain(bytes) {
        return Ok(());
    }
    let refuse = |why| Err(Error::new(Kind::Malformed, why));
    if path.split('/').any(is_dot_segment) {
        return refuse("a path with . or .. segments has no single meaning; send it resolved");
    }
    if path.contains("//") || path.contains('\\') {
        return refuse("a path has no empty segments and no backslashes");
    }
    if bytes.windows(3).any(escapes_plain) {
        return refuse("letters, digits, - . _ and ~ are written without an escape in a path");
    }
    Ok(())
}

/// Whether a path has no escapes and no backslashes, and none of its segments is empty or means "here" or "above".
fn is_plain(path: &[u8]) -> bool {
    let is_named = |slash: usize| {
        let rest = &path[slash + 1..];
        let ends = |dots: usize| matches!(rest.get(dots), None | Some(b'/'));
        match rest {
            [b'.', b'.', ..] => !ends(2),
            [b'.', ..] => !ends(1),
            // The path itself may end with a slash.
            [] => true,
            _ => !ends(0),
        }
    };
    memchr::memchr2(b'%', b'\\', path).is_none() && memchr::memchr_iter(b'/', path).all(is_named)
}

/// Whether an escape stands for a character that needs none (RFC 3986 section 2.3). Such a path is another text with the same
/// meaning, so a rule for the one would not hold for the other.
fn escapes_plain(bytes: &[u8]) -> bool {
    let [b'%', digits @ ..] = bytes else { return false };
    let value = std::str::from_utf8(digits).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok());
    value.is_some_and(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// Whether a segment means "here" or "above", also when it is written with escapes, or hides a slash.
fn is_dot_segment(segment: &str) -> bool {
    if !segment.contains('%') {
        return matches!(segment, "." | "..");
    }
    let lower = segment.to_ascii_lowercase();
    let plain = lower.replace("%2e", ".");
    matches!(plain.as_str(), "." | "..")
        || lower.contains("%2f")
        || lower.contains("%5c")
        || lower.contains("%00")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn plain_paths_need_no_closer_look() {
        for path in ["/", "/a", "/a/", "/a.b/.c/..d/e..", "/.well-known/jwks.json", "/..."] {
            assert!(is_plain(path.as_bytes()), "{path}");
        }
        for path in ["//", "/a//b", "/.", "/..", "/a/./b", "/a/../b", "/a/..", "/%61", "/a\\b"] {
            assert!(!is_plain(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn lengths() {
        let check = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, value.parse().unwrap());
            }
            check_lengths(&headers).map_or_else(|error| error.to_string(), |()| "fine".into())
        };
        assert_eq!(check(&[]), "fine");
        assert_eq!(check(&[("content-length", "1")]), "fine");
        assert_eq!(check(&[("transfer-encoding", "Chunked")]), "fine");
        assert_eq!(
            check(&[("content-length", "1"), ("content-length", "1")]),
            "content-length is given twice"
        );
        let both = "content-length and transfer-encoding exclude one another";
        assert_eq!(check(&[("content-length", "1"), ("transfer-encoding", "chunked")]), both);
        for codings in
            [&["gzip, chunked"][..], &["chunked", "chunked"], &["identity"], &["\u{b}chunked"]]
        {
            let mut headers = HeaderMap::new();
            for coding in codings {
                let Ok(value) = http::HeaderValue::from_str(coding) else { continue };
                headers.append(TRANSFER_ENCODING, value);
            }
            assert!(headers.is_empty() || check_lengths(&headers).is_err(), "{codings:?}");
        }
    }

    #[test]
    fn a_request_has_one_host() {
        let check = |target: &str, host: &'static str| {
            let headers = HeaderMap::from_iter([(HOST, host.parse().unwrap())]);
            check_target(&target.parse().unwrap(), &headers, Version::HTTP_2).is_ok()
        };
        assert!(check("https://a.example:8443/x", "A.example:8443"));
        assert!(check("/x", "b.example"));
        assert!(!check("https://a.example/x", "b.example"));
        assert!(!check("https://a.example:8443/x", "a.example"));
    }

    #[test]
    fn targets() {
        let check = |target: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "a".parse().unwrap());
            check_target(&target.parse().unwrap(), &headers, Version::HTTP_11).is_ok()
        };
        for good in ["/", "/a.b/.well-known/x", "/v1/(default)/%E4%BA%91", "/...", "/a/%25", "/a/"]
        {
            assert!(check(good), "{good}");
        }
        for bad in [
            "/..",
            "/a/../b",
            "/a/./b",
            "/a/%2e%2E/b",
            "/.%2e",
            "/a%2fb",
            "/a%5cb",
            "/a%00",
            "//a",
            "/a//b",
            "/%61",
            "/a/%2D",
            "/%7e",
        ] {
            assert!(!check(bad), "{bad}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for good in [
            "a",
            "shop.example",
            "shop.example:8080",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:80",
            "a_b",
            "shop.example:",
            "xn--a",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "a b",
            "shop.example/evil",
            "shop.example:80:81",
            "x\"><script>",
            ":80",
            "[::1",
            "[x]:80",
            "a:http",
            "a%2eb",
            "a@b",
            "a#b",
            "a?b",
            "[::1]80",
            "a\\b",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
