//! The head of the request: from what arrives to the variables that rules look at.

use super::fill::GET;
use super::{Transaction, Verdict};
use crate::body;
use crate::seclang::ast::{BodyProcessor, Variable};

/// Variables that have a value before anything is read, so that rules which ask for another one see it.
const BEGINNINGS: &[(Variable, &str)] = &[
    (Variable::ReqbodyProcessor, ""),
    (Variable::ReqbodyError, "0"),
    (Variable::ReqbodyProcessorError, "0"),
    (Variable::UrlencodedError, "0"),
    (Variable::InboundDataError, "0"),
    (Variable::OutboundDataError, "0"),
    (Variable::MultipartStrictError, "0"),
    (Variable::MultipartUnmatchedBoundary, "0"),
    (Variable::MultipartBoundaryQuoted, "0"),
    (Variable::MultipartBoundaryWhitespace, "0"),
    (Variable::MultipartCrlfLfLines, "0"),
    (Variable::MultipartDataAfter, "0"),
    (Variable::MultipartDataBefore, "0"),
    (Variable::MultipartFileLimitExceeded, "0"),
    (Variable::MultipartHeaderFolding, "0"),
    (Variable::MultipartInvalidHeaderFolding, "0"),
    (Variable::MultipartInvalidPart, "0"),
    (Variable::MultipartInvalidQuoting, "0"),
    (Variable::MultipartLfLine, "0"),
    (Variable::MultipartMissingSemicolon, "0"),
    (Variable::FilesCombinedSize, "0"),
    (Variable::ArgsCombinedSize, "0"),
    (Variable::MscPcreError, "0"),
    (Variable::MscPcreLimitsExceeded, "0"),
];

impl Transaction {
    /// Who speaks to whom: addresses as text, ports.
    pub fn connection(&mut self, client: (&str, u16), server: (&str, u16)) {
        for &(variable, value) in BEGINNINGS {
            self.set(variable, value.as_bytes());
        }
        self.set(Variable::RemoteAddr, client.0.as_bytes());
        self.set(Variable::RemoteHost, client.0.as_bytes());
        self.set_number(Variable::RemotePort, u64::from(client.1));
        self.set(Variable::ServerAddr, server.0.as_bytes());
        self.set_number(Variable::ServerPort, u64::from(server.1));
    }

    /// The request's line: method, target as it was sent, and protocol such as `HTTP/1.1`.
    pub fn request_line(&mut self, method: &[u8], target: &[u8], protocol: &[u8]) {
        let line = [method, b" ", target, b" ", protocol].concat();
        self.set(Variable::RequestLine, &line);
        self.set(Variable::RequestMethod, method);
        self.set(Variable::RequestProtocol, protocol);
        self.set(Variable::RequestUriRaw, target);
        let uri = without_origin(target);
        self.set(Variable::RequestUri, uri);
        let at = memchr::memchr(b'?', uri).unwrap_or(uri.len());
        let (path, query) = (&uri[..at], uri.get(at + 1..).unwrap_or_default());
        self.set(Variable::QueryString, query);
        let mut decoded = Vec::new();
        decode_path(path, &mut decoded);
        self.set(Variable::RequestFilename, &decoded);
        self.set(Variable::PathInfo, &decoded);
        let base =
            decoded.iter().rposition(|&byte| byte == b'/' || byte == b'\\').map_or(0, |at| at + 1);
        self.set(Variable::RequestBasename, &decoded[base..]);
        let separator = self.rules.settings.argument_separator;
        // Too many arguments are told by the rules that count them.
        let _ = body::url_encoded(query, separator, false, &mut self.filler(&GET));
        self.body.request_line_bytes = line.len();
    }

    /// One header of the request, in the order of arrival.
    pub fn request_header(&mut self, name: &[u8], value: &[u8]) {
        self.add(Variable::RequestHeaders, name, value);
        self.add(Variable::RequestHeadersNames, name, name);
        if name.eq_ignore_ascii_case(b"cookie") {
            self.cookies(value);
        } else if name.eq_ignore_ascii_case(b"content-type") {
            self.body.content_type = value.to_vec();
            let lower = value.to_ascii_lowercase();
            if lower.starts_with(b"application/x-www-form-urlencoded") {
                self.choose_processor(BodyProcessor::UrlEncoded);
            } else if lower.starts_with(b"multipart/form-data") {
                self.choose_processor(BodyProcessor::Multipart);
            }
        } else if name.eq_ignore_ascii_case(b"host") {
            let host = value.split(|&byte| byte == b':').next().unwrap_or_default();
            self.set(Variable::ServerName, host);
        } else if name.eq_ignore_ascii_case(b"authorization") {
            let scheme = value.split(|&byte| byte == b' ').next().unwrap_or_default();
            self.set(Variable::AuthType, scheme);
        }
    }

    fn cookies(&mut self, header: &[u8]) {
        for cookie in
            header.split(|&byte| byte == b';').map(<[u8]>::trim_ascii).filter(|it| !it.is_empty())
        {
            let at = memchr::memchr(b'=', cookie).unwrap_or(cookie.len());
            let (name, value) = (&cookie[..at], cookie.get(at + 1..).unwrap_or_default());
            self.add(Variable::RequestCookies, name, value);
            self.add(Variable::RequestCookiesNames, name, name);
        }
    }

    /// All headers have arrived: phase 1.
    pub fn request_headers_end(&mut self) -> Verdict {
        self.set_number(Variable::ArgsCombinedSize, self.body.counted.bytes);
        self.run(1)
    }
}

/// A target without scheme and host, where it has any.
fn without_origin(target: &[u8]) -> &[u8] {
    if target.first() == Some(&b'/') {
        return target;
    }
    let Some(at) = memchr::memmem::find(target, b"://") else { return target };
    if !target[..at].iter().all(u8::is_ascii_alphabetic) {
        return target;
    }
    let rest = &target[at + 3..];
    rest.iter().position(|&byte| byte == b'/' || byte == b'?').map_or(b"/", |at| &rest[at..])
}

/// Decodes `%XX`; a `+` is a `+` in a path.
fn decode_path(path: &[u8], out: &mut Vec<u8>) {
    let mut piece = Vec::new();
    for (at, part) in path.split(|&byte| byte == b'+').enumerate() {
        if at > 0 {
            out.push(b'+');
        }
        body::decode(part, &mut piece);
        out.extend_from_slice(&piece);
    }
}
