//! Directives that set an option of the engine, or one that means nothing here.

use super::ast::Setting;
use super::control::{engine_mode, switch};
use super::directive::{one, one_word};
use super::target::shown;
use super::{BODY_BYTES_MAX, number, utf8};

/// Settings that are no number, for the nearest name.
pub(super) const SETTINGS: &[&str] = &[
    "SecArgumentSeparator",
    "SecRequestBodyAccess",
    "SecRequestBodyLimitAction",
    "SecResponseBodyAccess",
    "SecResponseBodyLimitAction",
    "SecResponseBodyMimeType",
    "SecResponseBodyMimeTypesClear",
    "SecRuleEngine",
    "SecUnicodeMapFile",
    "SecWebAppId",
];

/// A setting that is a number: its name, its bound, what it becomes.
type Number = (&'static str, u64, fn(u64) -> Setting);

/// Settings that are a number.
pub(super) const NUMBERS: &[Number] = &[
    ("SecArgumentsLimit", 1_000_000, Setting::ArgumentsLimit),
    ("SecCollectionTimeout", 366 * 86_400, Setting::CollectionTimeout),
    ("SecRequestBodyJsonDepthLimit", 10_000, Setting::JsonDepthLimit),
    ("SecRequestBodyLimit", BODY_BYTES_MAX, Setting::RequestBodyLimit),
    ("SecRequestBodyNoFilesLimit", BODY_BYTES_MAX, Setting::RequestBodyNoFilesLimit),
    ("SecResponseBodyLimit", BODY_BYTES_MAX, Setting::ResponseBodyLimit),
    ("SecUploadFileLimit", 100_000, Setting::UploadFileLimit),
];

/// A directive that means nothing here.
pub(super) struct Elsewhere {
    pub(super) name: &'static str,
    /// The only argument, in small letters, with which it means nothing; with another it would ask for what is not
    /// offered. None: with every argument.
    pub(super) only: Option<&'static str>,
    /// Why it means nothing, or why more is not offered.
    pub(super) reason: &'static str,
}

const fn always(name: &'static str, reason: &'static str) -> Elsewhere {
    Elsewhere { name, only: None, reason }
}

const fn only(name: &'static str, argument: &'static str, reason: &'static str) -> Elsewhere {
    Elsewhere { name, only: Some(argument), reason }
}

const LOG: &str = "events are written as the product's configuration says";
const BODIES_IN_MEMORY: &str = "bodies are kept in memory, within the limits of the configuration";
const NO_REWRITING: &str = "answers are not rewritten by rules";
const LINEAR: &str = "patterns match in linear time and need no limit";

/// Directives of servers that write files of their own, or that are switched off.
pub(super) const ELSEWHERE: &[Elsewhere] = &[
    always("SecAuditEngine", LOG),
    always("SecAuditLog", LOG),
    always("SecAuditLog2", LOG),
    always("SecAuditLogDirMode", LOG),
    always("SecAuditLogFileMode", LOG),
    always("SecAuditLogFormat", LOG),
    always("SecAuditLogParts", LOG),
    always("SecAuditLogPrefix", LOG),
    always("SecAuditLogRelevantStatus", LOG),
    always("SecAuditLogStorageDir", LOG),
    always("SecAuditLogType", LOG),
    always("SecCacheTransformations", "what a transformation yields is always remembered"),
    only("SecConnEngine", "off", "connections are bounded by the listener's options"),
    only("SecContentInjection", "off", NO_REWRITING),
    only(
        "SecCookieFormat",
        "0",
        "cookies are read as browsers write them; version 1 was never in use",
    ),
    always("SecDataDir", "collections are kept by the program, not in a folder"),
    always("SecDebugLog", LOG),
    always("SecDebugLogLevel", LOG),
    only("SecDisableBackendCompression", "off", "what is asked of an upstream its route says"),
    only("SecHashEngine", "off", NO_REWRITING),
    only("SecInterceptOnError", "off", "what an exceeded bound does the configuration says"),
    only("SecParseXmlIntoArgs", "off", "XML does not become arguments; look at XML:/* instead"),
    always("SecPcreMatchLimit", LINEAR),
    always("SecPcreMatchLimitRecursion", LINEAR),
    always("SecRemoteRulesFailAction", "no rules are fetched"),
    always("SecRequestBodyInMemoryLimit", BODIES_IN_MEMORY),
    only("SecRuleInheritance", "off", "a route's rules are a set of their own"),
    always("SecRulePerfTime", "the time that rules take is told by the product's metrics"),
    always("SecSensorId", LOG),
    always("SecStatusEngine", "nobody is told of a start"),
    only("SecStreamInBodyInspection", "off", "bodies are not rewritten by rules"),
    only("SecStreamOutBodyInspection", "off", "bodies are not rewritten by rules"),
    always("SecTmpDir", BODIES_IN_MEMORY),
    always("SecTmpSaveUploadedFiles", BODIES_IN_MEMORY),
    always("SecUploadDir", BODIES_IN_MEMORY),
    always("SecUploadFileMode", BODIES_IN_MEMORY),
    always("SecUploadKeepFiles", BODIES_IN_MEMORY),
    only("SecXmlExternalEntity", "off", "external entities are never loaded"),
];

/// The code page of `SecUnicodeMapFile` that is carried: US-ASCII.
const CODE_PAGE: u32 = 20127;

/// A setting, if the directive is one.
pub(super) fn setting(name: &str, arguments: &[Vec<u8>]) -> Option<Result<Setting, String>> {
    if let Some((_, max, setting)) =
        NUMBERS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name))
    {
        return Some(one(arguments).and_then(|word| number(word, *max)).map(setting));
    }
    if let Some(elsewhere) = ELSEWHERE.iter().find(|known| known.name.eq_ignore_ascii_case(name)) {
        return Some(elsewhere.setting(arguments));
    }
    let word = || one_word(arguments);
    Some(match name.to_ascii_lowercase().as_str() {
        "secargumentseparator" => separator(arguments),
        "secrequestbodyaccess" => word().and_then(switch).map(Setting::RequestBodyAccess),
        "secrequestbodylimitaction" => {
            word().and_then(rejects).map(Setting::RequestBodyLimitRejects)
        }
        "secresponsebodyaccess" => word().and_then(switch).map(Setting::ResponseBodyAccess),
        "secresponsebodylimitaction" => {
            word().and_then(rejects).map(Setting::ResponseBodyLimitRejects)
        }
        "secresponsebodymimetype" => mime_types(arguments),
        "secresponsebodymimetypesclear" if arguments.is_empty() => {
            Ok(Setting::ResponseBodyMimeTypesClear)
        }
        "secresponsebodymimetypesclear" => Err("takes no argument".into()),
        "secruleengine" => word().and_then(engine_mode).map(Setting::RuleEngine),
        "secunicodemapfile" => code_page(arguments),
        "secwebappid" => word().map(|word| Setting::WebAppId(word.to_owned())),
        _ => return None,
    })
}

impl Elsewhere {
    fn setting(&self, arguments: &[Vec<u8>]) -> Result<Setting, String> {
        let is_only =
            |only: &str| matches!(arguments, [word] if word.eq_ignore_ascii_case(only.as_bytes()));
        match self.only {
            _ if arguments.is_empty() => Err("an argument is missing".into()),
            Some(only) if !is_only(only) => {
                Err(format!("not offered with another argument than `{only}`: {}", self.reason))
            }
            _ => Ok(Setting::Elsewhere(self.name)),
        }
    }
}

fn separator(arguments: &[Vec<u8>]) -> Result<Setting, String> {
    match one(arguments)? {
        [byte] => Ok(Setting::ArgumentSeparator(*byte)),
        word => Err(format!("`{}` is not one byte", shown(word))),
    }
}

/// Whether what is longer than a limit is refused.
fn rejects(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "reject" => Ok(true),
        "processpartial" => Ok(false),
        _ => Err(format!("`{}` is neither Reject nor ProcessPartial", shown(value.as_bytes()))),
    }
}

fn mime_types(arguments: &[Vec<u8>]) -> Result<Setting, String> {
    if arguments.is_empty() {
        return Err("a type is missing".into());
    }
    let types = arguments.iter().map(|word| utf8(word).map(str::to_owned));
    types.collect::<Result<_, _>>().map(Setting::ResponseBodyMimeTypes)
}

fn code_page(arguments: &[Vec<u8>]) -> Result<Setting, String> {
    let [_, page] = arguments else {
        return Err(format!("takes a file and a code page, not {} arguments", arguments.len()));
    };
    match number(page, u64::from(u32::MAX))? {
        page if page == u64::from(CODE_PAGE) => Ok(Setting::UnicodeCodePage(CODE_PAGE)),
        page => Err(format!("code page {page} is not carried; {CODE_PAGE} is")),
    }
}
