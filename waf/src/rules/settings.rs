//! What directives set for the whole engine.

use crate::seclang::ast::{EngineMode, Setting};

/// Options of the engine, with the defaults that hold where no directive speaks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether rules run and may refuse.
    pub mode: EngineMode,
    /// Whether bodies of requests are looked at.
    pub request_body_access: bool,
    /// Bytes of a request's body that are looked at.
    pub request_body_max: u64,
    /// The same without files of a multipart body: a longer one is an error. There is no such bound unless a directive
    /// sets one, as in ModSecurity 3.
    pub request_body_no_files_max: u64,
    /// Whether a longer body is refused rather than looked at in part.
    pub request_body_limit_rejects: bool,
    /// Nesting of JSON and XML.
    pub depth_max: u64,
    /// Arguments of a request.
    pub arguments_max: u64,
    /// What stands between two arguments.
    pub argument_separator: u8,
    /// Whether bodies of responses are looked at.
    pub response_body_access: bool,
    /// Bytes of a response's body that are looked at.
    pub response_body_max: u64,
    /// Whether a longer body is refused.
    pub response_body_limit_rejects: bool,
    /// Media types of responses whose bodies are looked at, lowercase.
    pub response_body_types: Vec<String>,
    /// Seconds that a collection is kept after its last change.
    pub collection_timeout_s: u64,
    /// Files in a multipart body.
    pub upload_files_max: u64,
    /// `WEBAPPID`.
    pub web_app_id: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: EngineMode::On,
            request_body_access: true,
            request_body_max: 13_107_200,
            request_body_no_files_max: u64::MAX,
            request_body_limit_rejects: true,
            depth_max: 512,
            arguments_max: 1000,
            argument_separator: b'&',
            response_body_access: false,
            response_body_max: 524_288,
            response_body_limit_rejects: false,
            response_body_types: ["text/plain", "text/html", "text/xml"]
                .map(str::to_owned)
                .to_vec(),
            collection_timeout_s: 3600,
            upload_files_max: 100,
            web_app_id: String::new(),
        }
    }
}

impl Settings {
    pub(super) fn apply(&mut self, setting: Setting) {
        match setting {
            Setting::RuleEngine(mode) => self.mode = mode,
            Setting::RequestBodyAccess(is_on) => self.request_body_access = is_on,
            Setting::RequestBodyLimit(bytes) => self.request_body_max = bytes,
            Setting::RequestBodyNoFilesLimit(bytes) => self.request_body_no_files_max = bytes,
            Setting::RequestBodyLimitRejects(rejects) => self.request_body_limit_rejects = rejects,
            Setting::JsonDepthLimit(depth) => self.depth_max = depth,
            Setting::ArgumentsLimit(count) => self.arguments_max = count,
            Setting::ArgumentSeparator(byte) => self.argument_separator = byte,
            Setting::ResponseBodyAccess(is_on) => self.response_body_access = is_on,
            Setting::ResponseBodyLimit(bytes) => self.response_body_max = bytes,
            Setting::ResponseBodyLimitRejects(rejects) => {
                self.response_body_limit_rejects = rejects;
            }
            Setting::ResponseBodyMimeTypes(types) => {
                self.response_body_types.extend(types.iter().map(|name| name.to_ascii_lowercase()));
            }
            Setting::ResponseBodyMimeTypesClear => self.response_body_types.clear(),
            Setting::CollectionTimeout(seconds) => self.collection_timeout_s = seconds,
            Setting::UploadFileLimit(count) => self.upload_files_max = count,
            Setting::WebAppId(id) => self.web_app_id = id,
            Setting::UnicodeCodePage(_) | Setting::Elsewhere(_) => {}
        }
    }
}
