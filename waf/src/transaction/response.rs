//! The response: from what is sent to the variables that rules look at.

use bytes::Bytes;

use super::held::Held;
use super::{Refusal, Transaction, Verdict};
use crate::rules::Settings;
use crate::seclang::ast::{EngineMode, Variable};

/// The status of a refusal of an answer beyond the bound.
const STATUS_BEYOND: u16 = 403;

/// The body of the response as it passes.
pub(super) struct AnswerState {
    pub(super) is_accessed: bool,
    pub(super) bytes_max: u64,
    pub(super) is_forced: bool,
    held: Held,
    is_cut: bool,
    is_wanted_type: bool,
}

impl AnswerState {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            is_accessed: settings.response_body_access,
            bytes_max: settings.response_body_max,
            is_forced: false,
            held: Held::default(),
            is_cut: false,
            is_wanted_type: false,
        }
    }

    /// Memory that the body takes.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.held_bytes()
    }
}

impl Transaction {
    /// One header of the response.
    pub fn response_header(&mut self, name: &[u8], value: &[u8]) {
        self.add(Variable::ResponseHeaders, name, value);
        self.add(Variable::ResponseHeadersNames, name, name);
        if name.eq_ignore_ascii_case(b"content-type") {
            let media = value.split(|&byte| byte == b';').next().unwrap_or_default();
            self.set(Variable::ResponseContentType, value);
            let media = media.trim_ascii().to_ascii_lowercase();
            let mut types = self.rules.settings.response_body_types.iter();
            self.answer.is_wanted_type = types.any(|wanted| wanted.as_bytes() == media);
        } else if name.eq_ignore_ascii_case(b"content-length") {
            self.set(Variable::ResponseContentLength, value);
        }
    }

    /// All headers are there: phase 3.
    pub fn response_headers_end(&mut self, status: u16, protocol: &[u8]) -> Verdict {
        self.set_number(Variable::ResponseStatus, u64::from(status));
        self.set_number(Variable::Status, u64::from(status));
        self.set(Variable::ResponseProtocol, protocol);
        self.run(3)
    }

    /// Whether the body is looked at, so that as much of it as is looked at must be held back until the verdict.
    pub fn wants_response_body(&self) -> bool {
        let is_meant = self.answer.is_wanted_type || self.answer.is_forced;
        self.answer.is_accessed
            && is_meant
            && self.mode != EngineMode::Off
            && !self.rules.phases[3].is_empty()
    }

    /// Bytes of the body that are looked at.
    pub fn response_body_bytes_max(&self) -> usize {
        usize::try_from(self.answer.bytes_max).unwrap_or(usize::MAX)
    }

    /// Whether further bytes of the body can matter: its bound is not reached, and nothing refused the answer.
    pub fn looks_at_more_response_body(&self) -> bool {
        self.wants_response_body() && !self.answer.is_cut && self.verdict == Verdict::Pass
    }

    /// The next chunk of the body, cut as it was sent. A single chunk is shared, not copied. What is beyond
    /// `SecResponseBodyLimit` is not looked at, or refuses the answer, as `SecResponseBodyLimitAction` says.
    pub fn response_body(&mut self, chunk: &Bytes) -> Verdict {
        if !self.looks_at_more_response_body() {
            return self.verdict.clone();
        }
        let room = self.answer.bytes_max.saturating_sub(self.answer.held.len() as u64);
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(chunk.len());
        self.answer.held.push(chunk.slice(..room), self.answer.bytes_max);
        self.answer.is_cut |= room < chunk.len();
        if self.answer.is_cut
            && self.rules.settings.response_body_limit_rejects
            && self.mode == EngineMode::On
        {
            let status = STATUS_BEYOND;
            let refusal = Refusal { status, location: None, rule: None, is_drop: false };
            self.verdict = Verdict::Refuse(refusal);
            self.answer.held = Held::default();
        }
        self.verdict.clone()
    }

    /// The body is complete, or as much of it as is looked at: phase 4.
    pub fn response_end(&mut self) -> Verdict {
        if self.answer.is_cut {
            self.set(Variable::OutboundDataError, b"1");
        }
        let bytes = std::mem::take(&mut self.answer.held).finish();
        if !bytes.is_empty() {
            self.store.keep_body(bytes.clone());
            self.set(Variable::ResponseBody, &bytes);
        }
        self.run(4)
    }

    /// Everything is said: phase 5, and collections are kept.
    pub fn log(&mut self) {
        self.run(5);
        self.store_collections();
    }
}
