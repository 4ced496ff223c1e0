//! Every name of the language: what is known, what is refused and why, and what may have been meant.

use super::ast::{Collection, Variable};
use crate::transformation::Transformation;

/// A variable by its name.
pub(super) struct Known {
    /// In capitals.
    pub(super) name: &'static str,
    pub(super) variable: Variable,
    /// Whether `NAME:member` means something.
    pub(super) has_members: bool,
}

/// A name that ModSecurity knows and nothing here offers, with the reason.
pub(super) type Refused = (&'static str, &'static str);

const fn single(name: &'static str, variable: Variable) -> Known {
    Known { name, variable, has_members: false }
}

const fn collection(name: &'static str, variable: Variable) -> Known {
    Known { name, variable, has_members: true }
}

/// The variables of ModSecurity 3, and where a name has two spellings, both.
pub(super) const VARIABLES: &[Known] = &[
    collection("ARGS", Variable::Args),
    collection("ARGS_NAMES", Variable::ArgsNames),
    collection("ARGS_GET", Variable::ArgsGet),
    collection("ARGS_GET_NAMES", Variable::ArgsGetNames),
    collection("ARGS_POST", Variable::ArgsPost),
    collection("ARGS_POST_NAMES", Variable::ArgsPostNames),
    single("ARGS_COMBINED_SIZE", Variable::ArgsCombinedSize),
    single("AUTH_TYPE", Variable::AuthType),
    single("DURATION", Variable::Duration),
    collection("ENV", Variable::Env),
    collection("FILES", Variable::Files),
    single("FILES_COMBINED_SIZE", Variable::FilesCombinedSize),
    collection("FILES_NAMES", Variable::FilesNames),
    collection("FILES_SIZES", Variable::FilesSizes),
    collection("FILES_TMP_CONTENT", Variable::FilesTmpContent),
    collection("FILES_TMPNAMES", Variable::FilesTmpNames),
    single("FULL_REQUEST", Variable::FullRequest),
    single("FULL_REQUEST_LENGTH", Variable::FullRequestLength),
    collection("GEO", Variable::Geo),
    collection("GLOBAL", Variable::Global),
    single("HIGHEST_SEVERITY", Variable::HighestSeverity),
    single("INBOUND_DATA_ERROR", Variable::InboundDataError),
    collection("IP", Variable::Ip),
    single("MATCHED_VAR", Variable::MatchedVar),
    single("MATCHED_VAR_NAME", Variable::MatchedVarName),
    collection("MATCHED_VARS", Variable::MatchedVars),
    collection("MATCHED_VARS_NAMES", Variable::MatchedVarsNames),
    single("MODSEC_BUILD", Variable::ModsecBuild),
    single("MSC_PCRE_ERROR", Variable::MscPcreError),
    single("MSC_PCRE_LIMITS_EXCEEDED", Variable::MscPcreLimitsExceeded),
    single("MULTIPART_BOUNDARY_QUOTED", Variable::MultipartBoundaryQuoted),
    single("MULTIPART_BOUNDARY_WHITESPACE", Variable::MultipartBoundaryWhitespace),
    single("MULTIPART_CRLF_LF_LINES", Variable::MultipartCrlfLfLines),
    single("MULTIPART_DATA_AFTER", Variable::MultipartDataAfter),
    single("MULTIPART_DATA_BEFORE", Variable::MultipartDataBefore),
    single("MULTIPART_FILE_LIMIT_EXCEEDED", Variable::MultipartFileLimitExceeded),
    collection("MULTIPART_FILENAME", Variable::MultipartFilename),
    single("MULTIPART_HEADER_FOLDING", Variable::MultipartHeaderFolding),
    single("MULTIPART_INVALID_HEADER_FOLDING", Variable::MultipartInvalidHeaderFolding),
    single("MULTIPART_INVALID_PART", Variable::MultipartInvalidPart),
    single("MULTIPART_INVALID_QUOTING", Variable::MultipartInvalidQuoting),
    single("MULTIPART_LF_LINE", Variable::MultipartLfLine),
    single("MULTIPART_MISSING_SEMICOLON", Variable::MultipartMissingSemicolon),
    single("MULTIPART_SEMICOLON_MISSING", Variable::MultipartMissingSemicolon),
    collection("MULTIPART_NAME", Variable::MultipartName),
    collection("MULTIPART_PART_HEADERS", Variable::MultipartPartHeaders),
    single("MULTIPART_STRICT_ERROR", Variable::MultipartStrictError),
    single("MULTIPART_UNMATCHED_BOUNDARY", Variable::MultipartUnmatchedBoundary),
    single("OUTBOUND_DATA_ERROR", Variable::OutboundDataError),
    single("PATH_INFO", Variable::PathInfo),
    single("QUERY_STRING", Variable::QueryString),
    single("REMOTE_ADDR", Variable::RemoteAddr),
    single("REMOTE_HOST", Variable::RemoteHost),
    single("REMOTE_PORT", Variable::RemotePort),
    single("REMOTE_USER", Variable::RemoteUser),
    single("REQBODY_ERROR", Variable::ReqbodyError),
    single("REQBODY_ERROR_MSG", Variable::ReqbodyErrorMsg),
    single("REQBODY_PROCESSOR", Variable::ReqbodyProcessor),
    single("REQBODY_PROCESSOR_ERROR", Variable::ReqbodyProcessorError),
    single("REQBODY_PROCESSOR_ERROR_MSG", Variable::ReqbodyProcessorErrorMsg),
    single("REQUEST_BASENAME", Variable::RequestBasename),
    single("REQUEST_BODY", Variable::RequestBody),
    single("REQUEST_BODY_LENGTH", Variable::RequestBodyLength),
    collection("REQUEST_COOKIES", Variable::RequestCookies),
    collection("REQUEST_COOKIES_NAMES", Variable::RequestCookiesNames),
    single("REQUEST_FILENAME", Variable::RequestFilename),
    collection("REQUEST_HEADERS", Variable::RequestHeaders),
    collection("REQUEST_HEADERS_NAMES", Variable::RequestHeadersNames),
    single("REQUEST_LINE", Variable::RequestLine),
    single("REQUEST_METHOD", Variable::RequestMethod),
    single("REQUEST_PROTOCOL", Variable::RequestProtocol),
    single("REQUEST_URI", Variable::RequestUri),
    single("REQUEST_URI_RAW", Variable::RequestUriRaw),
    collection("RESOURCE", Variable::Resource),
    single("RESPONSE_BODY", Variable::ResponseBody),
    single("RESPONSE_CONTENT_LENGTH", Variable::ResponseContentLength),
    single("RESPONSE_CONTENT_TYPE", Variable::ResponseContentType),
    collection("RESPONSE_HEADERS", Variable::ResponseHeaders),
    collection("RESPONSE_HEADERS_NAMES", Variable::ResponseHeadersNames),
    single("RESPONSE_PROTOCOL", Variable::ResponseProtocol),
    single("RESPONSE_STATUS", Variable::ResponseStatus),
    collection("RULE", Variable::Rule),
    single("SERVER_ADDR", Variable::ServerAddr),
    single("SERVER_NAME", Variable::ServerName),
    single("SERVER_PORT", Variable::ServerPort),
    collection("SESSION", Variable::Session),
    single("SESSIONID", Variable::SessionId),
    single("STATUS", Variable::Status),
    single("TIME", Variable::Time),
    single("TIME_DAY", Variable::TimeDay),
    single("TIME_EPOCH", Variable::TimeEpoch),
    single("TIME_HOUR", Variable::TimeHour),
    single("TIME_MIN", Variable::TimeMin),
    single("TIME_MON", Variable::TimeMon),
    single("TIME_SEC", Variable::TimeSec),
    single("TIME_WDAY", Variable::TimeWday),
    single("TIME_YEAR", Variable::TimeYear),
    collection("TX", Variable::Tx),
    single("UNIQUE_ID", Variable::UniqueId),
    single("URLENCODED_ERROR", Variable::UrlencodedError),
    collection("USER", Variable::User),
    single("USERID", Variable::UserId),
    single("WEBAPPID", Variable::WebAppId),
    collection("XML", Variable::Xml),
];

pub(super) const VARIABLES_REFUSED: &[Refused] = &[
    ("PERF_ALL", "the time that rules take is told by the product's metrics"),
    ("PERF_COMBINED", "the time that rules take is told by the product's metrics"),
    ("PERF_GC", "the time that rules take is told by the product's metrics"),
    ("PERF_LOGGING", "the time that rules take is told by the product's metrics"),
    ("PERF_PHASE1", "the time that rules take is told by the product's metrics"),
    ("PERF_PHASE2", "the time that rules take is told by the product's metrics"),
    ("PERF_PHASE3", "the time that rules take is told by the product's metrics"),
    ("PERF_PHASE4", "the time that rules take is told by the product's metrics"),
    ("PERF_PHASE5", "the time that rules take is told by the product's metrics"),
    ("PERF_RULES", "the time that rules take is told by the product's metrics"),
    ("PERF_SREAD", "the time that rules take is told by the product's metrics"),
    ("PERF_SWRITE", "the time that rules take is told by the product's metrics"),
    ("SCRIPT_BASENAME", "no file of a script answers a request"),
    ("SCRIPT_FILENAME", "no file of a script answers a request"),
    ("SCRIPT_GID", "no file of a script answers a request"),
    ("SCRIPT_GROUPNAME", "no file of a script answers a request"),
    ("SCRIPT_MODE", "no file of a script answers a request"),
    ("SCRIPT_UID", "no file of a script answers a request"),
    ("SCRIPT_USERNAME", "no file of a script answers a request"),
    ("SDBM_DELETE_ERROR", "collections are not kept in SDBM files"),
    (
        "STATUS_LINE",
        "an answer has no status line here; RESPONSE_PROTOCOL and RESPONSE_STATUS are its parts",
    ),
    ("STREAM_INPUT_BODY", "bodies are not rewritten; REQUEST_BODY is the body"),
    ("STREAM_OUTPUT_BODY", "bodies are not rewritten; RESPONSE_BODY is the body"),
    ("USERAGENT_IP", "REMOTE_ADDR is the client's address behind trusted proxies too"),
    ("WEBSERVER_ERROR_LOG", "there is no error log of a web server around the rules"),
];

impl Variable {
    /// The name in capitals, as ModSecurity spells it.
    pub fn name(self) -> &'static str {
        VARIABLES.iter().find(|known| known.variable == self).map_or("", |known| known.name)
    }
}

/// The variable of a name in any case.
pub(super) fn variable(name: &str) -> Option<&'static Known> {
    VARIABLES.iter().find(|known| known.name.eq_ignore_ascii_case(name))
}

/// Why a name is no variable.
pub(super) fn unknown_variable(name: &str) -> String {
    let known = VARIABLES.iter().map(|known| known.name);
    unknown("variable", name, VARIABLES_REFUSED, known)
}

/// The collection that a rule writes, of a name in any case.
pub(super) fn writable(name: &str) -> Result<Collection, String> {
    const COLLECTIONS: [(&str, Collection); 6] = [
        ("tx", Collection::Tx),
        ("ip", Collection::Ip),
        ("global", Collection::Global),
        ("resource", Collection::Resource),
        ("session", Collection::Session),
        ("user", Collection::User),
    ];
    let found = COLLECTIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let known = COLLECTIONS.iter().map(|(known, _)| *known);
    found
        .map(|(_, found)| *found)
        .ok_or_else(|| unknown("collection that rules write", name, &[], known))
}

/// The transformation of a name in any case, `none` being another matter.
pub(super) fn transformation(name: &str) -> Result<Transformation, String> {
    let found = TRANSFORMATIONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let known = TRANSFORMATIONS.iter().map(|(known, _)| *known);
    found.map(|(_, found)| *found).ok_or_else(|| unknown("transformation", name, &[], known))
}

/// Both spellings of `normalisePath`.
const TRANSFORMATIONS: &[(&str, Transformation)] = &[
    ("base64Decode", Transformation::Base64Decode),
    ("base64DecodeExt", Transformation::Base64DecodeExt),
    ("base64Encode", Transformation::Base64Encode),
    ("cmdLine", Transformation::CmdLine),
    ("compressWhitespace", Transformation::CompressWhitespace),
    ("cssDecode", Transformation::CssDecode),
    ("escapeSeqDecode", Transformation::EscapeSeqDecode),
    ("hexDecode", Transformation::HexDecode),
    ("hexEncode", Transformation::HexEncode),
    ("htmlEntityDecode", Transformation::HtmlEntityDecode),
    ("jsDecode", Transformation::JsDecode),
    ("length", Transformation::Length),
    ("lowercase", Transformation::Lowercase),
    ("md5", Transformation::Md5),
    ("normalisePath", Transformation::NormalisePath),
    ("normalizePath", Transformation::NormalisePath),
    ("normalisePathWin", Transformation::NormalisePathWin),
    ("normalizePathWin", Transformation::NormalisePathWin),
    ("parityEven7bit", Transformation::ParityEven7bit),
    ("parityOdd7bit", Transformation::ParityOdd7bit),
    ("parityZero7bit", Transformation::ParityZero7bit),
    ("removeComments", Transformation::RemoveComments),
    ("removeCommentsChar", Transformation::RemoveCommentsChar),
    ("removeNulls", Transformation::RemoveNulls),
    ("removeWhitespace", Transformation::RemoveWhitespace),
    ("replaceComments", Transformation::ReplaceComments),
    ("replaceNulls", Transformation::ReplaceNulls),
    ("sha1", Transformation::Sha1),
    ("sqlHexDecode", Transformation::SqlHexDecode),
    ("trim", Transformation::Trim),
    ("trimLeft", Transformation::TrimLeft),
    ("trimRight", Transformation::TrimRight),
    ("uppercase", Transformation::Uppercase),
    ("urlDecode", Transformation::UrlDecode),
    ("urlDecodeUni", Transformation::UrlDecodeUni),
    ("urlEncode", Transformation::UrlEncode),
    ("utf8toUnicode", Transformation::Utf8ToUnicode),
];

/// Says that a name of some kind is not known or not offered, with the name nearest to it.
pub(super) fn unknown<'a>(
    kind: &str,
    name: &str,
    refused: &[Refused],
    known: impl Iterator<Item = &'a str>,
) -> String {
    if let Some((name, why)) = refused.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        return format!("{name} is not offered: {why}");
    }
    let shown = super::target::shown(name.as_bytes());
    match nearest(name, known) {
        Some(nearest) => format!("unknown {kind} `{shown}`; did you mean `{nearest}`?"),
        None => format!("unknown {kind} `{shown}`"),
    }
}

/// The name that most resembles another, if one does.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer ones are no slip of the hand, and comparing them takes time.
    const LENGTH_MAX: usize = 64;
    if name.len() > LENGTH_MAX {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let distance = |known: &str| strsim::osa_distance(&name, &known.to_ascii_lowercase());
    let (distance, nearest) =
        known.map(|known| (distance(known), known)).min_by_key(|pair| pair.0)?;
    (distance * 3 <= name.len().max(nearest.len())).then_some(nearest)
}
