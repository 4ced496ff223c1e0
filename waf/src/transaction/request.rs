//! The request: from what arrives to the variables that rules look at.

use super::store::Store;
use super::{Refusal, Transaction, Verdict};
use crate::body::{self, Fill};
use crate::rules::{RuleSet, Settings};
use crate::seclang::ast::{BodyProcessor, EngineMode, Variable};

/// The status of a refusal of a body beyond the bound.
const STATUS_TOO_LARGE: u16 = 413;

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

/// The body of the request as it arrives.
pub(super) struct BodyState {
    pub(super) is_accessed: bool,
    pub(super) bytes_max: u64,
    pub(super) is_forced: bool,
    pub(super) processor: Option<BodyProcessor>,
    bytes: Vec<u8>,
    is_cut: bool,
    content_type: Vec<u8>,
    arguments: u64,
    arguments_bytes: u64,
    request_line: Vec<u8>,
}

impl BodyState {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            is_accessed: settings.request_body_access,
            bytes_max: settings.request_body_max,
            is_forced: false,
            processor: None,
            bytes: Vec::new(),
            is_cut: false,
            content_type: Vec::new(),
            arguments: 0,
            arguments_bytes: 0,
            request_line: Vec::new(),
        }
    }
}

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
        let _ = body::url_encoded(query, separator, &mut self.filler(&GET));
        self.body.request_line = line;
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
        self.set_number(Variable::ArgsCombinedSize, self.body.arguments_bytes);
        self.run(1)
    }

    /// A piece of the body.
    pub fn request_body(&mut self, piece: &[u8]) -> Verdict {
        if !self.body.is_accessed || self.mode == EngineMode::Off {
            return Verdict::Pass;
        }
        let room = self.body.bytes_max.saturating_sub(self.body.bytes.len() as u64);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let fitting = piece.get(..room).unwrap_or(piece);
        self.body.bytes.extend_from_slice(fitting);
        if fitting.len() < piece.len() {
            self.body.is_cut = true;
            if self.rules.settings.request_body_limit_rejects && self.mode == EngineMode::On {
                let status = STATUS_TOO_LARGE;
                let refusal = Refusal { status, location: None, rule: None, is_drop: false };
                self.verdict = Verdict::Refuse(refusal);
            }
        }
        self.verdict.clone()
    }

    /// Bytes of the body that it keeps.
    pub fn held_bytes(&self) -> usize {
        0
    }

    /// Whether the body is looked at, so that it must be fed before the request may go on.
    pub fn wants_request_body(&self) -> bool {
        self.body.is_accessed && self.mode != EngineMode::Off
    }

    /// The body is complete: phase 2.
    pub fn request_end(&mut self) -> Verdict {
        if self.mode == EngineMode::Off {
            return Verdict::Pass;
        }
        let bytes = std::mem::take(&mut self.body.bytes);
        if self.body.is_cut {
            self.set(Variable::InboundDataError, b"1");
        }
        if !bytes.is_empty() {
            self.set_number(Variable::RequestBodyLength, bytes.len() as u64);
            self.read_body(&bytes);
        }
        self.set_number(Variable::ArgsCombinedSize, self.body.arguments_bytes);
        self.set_number(
            Variable::FullRequestLength,
            (self.body.request_line.len() + bytes.len()) as u64,
        );
        self.run(2)
    }

    fn read_body(&mut self, bytes: &[u8]) {
        let processor = self.body.processor;
        let no_files_bytes_max = self.rules.settings.request_body_no_files_max;
        let read = match processor {
            // Files alone may be longer, and only the reader of those knows which bytes they are.
            Some(BodyProcessor::UrlEncoded | BodyProcessor::Json | BodyProcessor::Xml)
                if bytes.len() as u64 > no_files_bytes_max =>
            {
                self.set(Variable::InboundDataError, b"1");
                Err(format!("the body has more than {no_files_bytes_max} bytes"))
            }
            Some(BodyProcessor::UrlEncoded) => {
                let separator = self.rules.settings.argument_separator;
                body::url_encoded(bytes, separator, &mut self.filler(&POST))
            }
            Some(BodyProcessor::Json) => {
                let depth_max = self.rules.settings.depth_max;
                body::json(bytes, depth_max, &mut self.filler(&POST))
            }
            Some(BodyProcessor::Multipart) => {
                let content_type = std::mem::take(&mut self.body.content_type);
                let files_max = self.rules.settings.upload_files_max;
                let bounds = body::Bounds { files_max, no_files_bytes_max };
                body::multipart(bytes, &content_type, &bounds, &mut self.filler(&POST))
            }
            Some(BodyProcessor::Xml) => {
                let depth_max = self.rules.settings.depth_max;
                body::xml(bytes, depth_max, &mut self.filler(&POST))
            }
            None => Ok(()),
        };
        // Files and documents are no text: rules see what their readers make of them, unless a rule insists.
        let is_text = !matches!(processor, Some(BodyProcessor::Multipart | BodyProcessor::Xml));
        if self.body.is_forced || is_text {
            self.set(Variable::RequestBody, bytes);
        }
        if let Err(message) = read {
            self.set(Variable::ReqbodyError, b"1");
            self.set(Variable::ReqbodyErrorMsg, message.as_bytes());
            self.set(Variable::ReqbodyProcessorError, b"1");
            self.set(Variable::ReqbodyProcessorErrorMsg, message.as_bytes());
        }
    }

    fn filler(&mut self, arguments: &'static Arguments) -> Filler<'_> {
        let Self { rules, store, body, world, .. } = self;
        let arguments_max = rules.settings.arguments_max;
        Filler {
            rules,
            store,
            arguments,
            arguments_max,
            body,
            kept_bytes_max: world.limits.kept_bytes_max,
        }
    }
}

/// The collections that an argument goes into.
struct Arguments {
    values: [Variable; 2],
    names: [Variable; 2],
}

const GET: Arguments = Arguments {
    values: [Variable::Args, Variable::ArgsGet],
    names: [Variable::ArgsNames, Variable::ArgsGetNames],
};
const POST: Arguments = Arguments {
    values: [Variable::Args, Variable::ArgsPost],
    names: [Variable::ArgsNames, Variable::ArgsPostNames],
};

/// Puts what readers find into variables.
struct Filler<'f> {
    rules: &'f RuleSet,
    store: &'f mut Store,
    arguments: &'static Arguments,
    arguments_max: u64,
    body: &'f mut BodyState,
    kept_bytes_max: usize,
}

impl Fill for Filler<'_> {
    fn argument(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        if self.body.arguments >= self.arguments_max {
            return Err(format!("there are more than {} arguments", self.arguments_max));
        }
        if self.store.len() > self.kept_bytes_max {
            return Err(format!("arguments take more than {} bytes", self.kept_bytes_max));
        }
        self.body.arguments += 1;
        self.body.arguments_bytes += (name.len() + value.len()) as u64;
        self.store.add_all(self.rules, &self.arguments.values, name, value);
        self.store.add_all(self.rules, &self.arguments.names, name, name);
        Ok(())
    }

    fn add(&mut self, variable: Variable, name: &[u8], value: &[u8]) {
        self.store.add(self.rules, variable, name, value);
    }

    fn set(&mut self, variable: Variable, value: &[u8]) {
        self.store.set(self.rules, variable, value);
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
