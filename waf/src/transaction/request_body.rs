//! The body of the request as it arrives: what is held of it, what is read as it passes, and where it is cut.

use bytes::Bytes;

use super::fill::{Counted, POST};
use super::held::Held;
use super::{Refusal, Transaction, Verdict};
use crate::body::{self, Bounds, Multipart};
use crate::rules::Settings;
use crate::seclang::ast::{BodyProcessor, EngineMode, Variable};

/// The status of a refusal of a body beyond the bound.
const STATUS_TOO_LARGE: u16 = 413;

/// Bytes of the beginning of each file that rules look at (`FILES_TMP_CONTENT`), where one does. What a file is and the
/// scripts that are hidden in pictures stand there; the rest of a file is neither held nor looked at.
pub const FILE_BEGINNING_BYTES: usize = 64 << 10;

/// What becomes of the bytes of a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyIntake {
    /// Rules look at nothing of it: it need not be fed.
    Ignored,
    /// They are held until the body is complete or its bound is reached: forms, JSON, XML, and text that a rule looks at.
    Held,
    /// They are read as they pass, and little of them is held: multipart bodies, and bytes of which rules ask no more than
    /// how many there are.
    Parsed,
}

/// The body of the request as it arrives.
pub(super) struct BodyState {
    pub(super) is_accessed: bool,
    pub(super) bytes_max: u64,
    pub(super) is_forced: bool,
    pub(super) processor: Option<BodyProcessor>,
    pub(super) content_type: Vec<u8>,
    pub(super) counted: Counted,
    pub(super) request_line_bytes: usize,
    intake: Intake,
    /// Bytes that were fed.
    fed_bytes: u64,
    /// There are more than are looked at.
    is_cut: bool,
    /// The held bytes, once the body is complete.
    held: Bytes,
}

/// Where the bytes go.
enum Intake {
    /// None has come.
    Waiting,
    Held(Held),
    Multipart(Box<Multipart>),
    /// They are counted.
    Counted,
}

impl BodyState {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            is_accessed: settings.request_body_access,
            bytes_max: settings.request_body_max,
            is_forced: false,
            processor: None,
            content_type: Vec::new(),
            counted: Counted::default(),
            request_line_bytes: 0,
            intake: Intake::Waiting,
            fed_bytes: 0,
            is_cut: false,
            held: Bytes::new(),
        }
    }
}

impl Transaction {
    /// Whether the body is looked at, so that it must be fed before the request may go on.
    pub fn wants_request_body(&self) -> bool {
        self.body.is_accessed && self.mode != EngineMode::Off
    }

    /// What becomes of the bytes of the body. Call it after [`Transaction::request_headers_end`], whose rules choose.
    pub fn request_body_intake(&self) -> BodyIntake {
        if !self.wants_request_body() {
            return BodyIntake::Ignored;
        }
        let lists = &self.rules.lists;
        let is_body_seen = lists.has(Variable::RequestBody);
        match self.body.processor {
            Some(BodyProcessor::UrlEncoded | BodyProcessor::Json | BodyProcessor::Xml) => {
                BodyIntake::Held
            }
            Some(BodyProcessor::Multipart) if self.body.is_forced && is_body_seen => {
                BodyIntake::Held
            }
            None if is_body_seen => BodyIntake::Held,
            Some(BodyProcessor::Multipart) => BodyIntake::Parsed,
            None if self.is_length_seen() || self.is_reject() => BodyIntake::Parsed,
            None => BodyIntake::Ignored,
        }
    }

    /// Whether further bytes of the body can matter. Once it says no it says no for good, and what is fed then is ignored:
    /// a bound is reached, a multipart body has ended, a rule or a bound has refused the request, or rules look at nothing.
    pub fn looks_at_more_request_body(&self) -> bool {
        if self.verdict != Verdict::Pass || self.request_body_intake() == BodyIntake::Ignored {
            return false;
        }
        // Who refuses what is too long, or counts, must see all.
        if self.is_reject() || self.is_length_seen() {
            return true;
        }
        match &self.body.intake {
            Intake::Waiting => true,
            Intake::Held(_) => !self.body.is_cut,
            Intake::Multipart(reader) => reader.looks_at_more(),
            Intake::Counted => false,
        }
    }

    /// The next chunk of the body, cut as it arrived; the same is found however a body is cut. A single chunk that is held
    /// is shared, not copied.
    ///
    /// What is beyond `SecRequestBodyLimit` and `SecRequestBodyNoFilesLimit` is refused with 413 where
    /// `SecRequestBodyLimitAction` is `Reject` and rules may refuse; otherwise it is not looked at, and
    /// `INBOUND_DATA_ERROR` says so.
    pub fn request_body(&mut self, chunk: &Bytes) -> Verdict {
        if chunk.is_empty() || !self.looks_at_more_request_body() {
            return self.verdict.clone();
        }
        if matches!(self.body.intake, Intake::Waiting) {
            self.body.intake = self.begin_body();
        }
        // What is refused in any case is looked at no further, so that chunks make no difference.
        let room = match self.is_reject() {
            true => self.body.bytes_max.saturating_sub(self.body.fed_bytes),
            false => u64::MAX,
        };
        let chunk_bytes = chunk.len() as u64;
        self.body.fed_bytes += chunk_bytes;
        self.take_chunk(&chunk.slice(..room.min(chunk_bytes) as usize));
        self.refuse_too_large();
        self.verdict.clone()
    }

    /// The body is complete, or no more of it is looked at: phase 2.
    pub fn request_end(&mut self) -> Verdict {
        if self.mode == EngineMode::Off {
            return Verdict::Pass;
        }
        let intake = std::mem::replace(&mut self.body.intake, Intake::Counted);
        let fed_bytes = self.body.fed_bytes;
        if fed_bytes > 0 && self.verdict == Verdict::Pass {
            self.set_number(Variable::RequestBodyLength, fed_bytes);
            self.read_body(intake);
            self.refuse_too_large();
        }
        if self.body.is_cut {
            self.set(Variable::InboundDataError, b"1");
        }
        self.set_number(Variable::ArgsCombinedSize, self.body.counted.bytes);
        // How much of a refused body was fed depends on the chunks.
        if self.verdict == Verdict::Pass {
            let line_bytes = self.body.request_line_bytes as u64;
            self.set_number(Variable::FullRequestLength, line_bytes + fed_bytes);
        }
        self.run(2)
    }

    /// The bytes of the body that are held, once [`Transaction::request_end`] was called: all of it or its beginning, and
    /// nothing where it was read as it passed. Whoever forwards these need hold no copy of its own.
    pub fn held_request_body(&self) -> Bytes {
        self.body.held.clone()
    }

    /// Memory that the transaction takes now for bodies and for all that rules look at, in bytes. A shared chunk counts in
    /// full.
    pub fn held_bytes(&self) -> usize {
        let body = match &self.body.intake {
            Intake::Held(held) => held.held_bytes(),
            Intake::Multipart(reader) => reader.held_bytes(),
            Intake::Waiting | Intake::Counted => 0,
        };
        body + self.answer.held_bytes() + self.store.held_bytes()
    }

    fn begin_body(&mut self) -> Intake {
        match (self.request_body_intake(), self.body.processor) {
            (BodyIntake::Held, _) => Intake::Held(Held::default()),
            (BodyIntake::Parsed, Some(BodyProcessor::Multipart)) => {
                let content_type = std::mem::take(&mut self.body.content_type);
                Intake::Multipart(Box::new(Multipart::new(&content_type, self.multipart_bounds())))
            }
            (BodyIntake::Parsed | BodyIntake::Ignored, _) => Intake::Counted,
        }
    }

    fn take_chunk(&mut self, chunk: &Bytes) {
        match std::mem::replace(&mut self.body.intake, Intake::Counted) {
            Intake::Held(mut held) => {
                let bytes_max = self.held_bytes_max();
                let room = bytes_max.saturating_sub(held.len() as u64);
                let room = usize::try_from(room).unwrap_or(usize::MAX).min(chunk.len());
                held.push(chunk.slice(..room), bytes_max);
                self.body.is_cut |= room < chunk.len();
                self.body.intake = Intake::Held(held);
            }
            Intake::Multipart(mut reader) => {
                reader.feed(chunk, &mut self.filler(&POST));
                self.body.is_cut |= reader.is_cut();
                self.body.intake = Intake::Multipart(reader);
            }
            Intake::Waiting | Intake::Counted => {}
        }
    }

    fn multipart_bounds(&self) -> Bounds {
        let settings = &self.rules.settings;
        let is_content_seen = self.rules.lists.has(Variable::FilesTmpContent);
        Bounds {
            files_max: settings.upload_files_max,
            no_files_bytes_max: settings.request_body_no_files_max.min(self.body.bytes_max),
            file_beginning_bytes_max: if is_content_seen { FILE_BEGINNING_BYTES } else { 0 },
            file_beginnings_bytes_max: self.body.bytes_max,
        }
    }

    /// Bytes of a body that are held.
    fn held_bytes_max(&self) -> u64 {
        match self.body.processor {
            // Only where there may be files is there another bound for what is no file.
            Some(BodyProcessor::Multipart) | None => self.body.bytes_max,
            Some(_) => self.body.bytes_max.min(self.rules.settings.request_body_no_files_max),
        }
    }

    /// Whether a body beyond the bound is refused.
    fn is_reject(&self) -> bool {
        self.rules.settings.request_body_limit_rejects && self.mode == EngineMode::On
    }

    fn is_length_seen(&self) -> bool {
        let lists = &self.rules.lists;
        lists.has(Variable::RequestBodyLength) || lists.has(Variable::FullRequestLength)
    }

    /// Refuses a body beyond the bound, where that is asked for. The length of a body is that of all of it, files included.
    fn refuse_too_large(&mut self) {
        let is_beyond = self.body.is_cut || self.body.fed_bytes > self.body.bytes_max;
        if is_beyond && self.is_reject() && self.verdict == Verdict::Pass {
            let refusal =
                Refusal { status: STATUS_TOO_LARGE, location: None, rule: None, is_drop: false };
            self.verdict = Verdict::Refuse(refusal);
            (self.body.intake, self.body.is_cut) = (Intake::Counted, true);
        }
    }

    fn read_body(&mut self, intake: Intake) {
        let read = match intake {
            Intake::Waiting | Intake::Counted => Ok(()),
            Intake::Held(held) => {
                self.body.held = held.finish();
                self.read_held()
            }
            Intake::Multipart(mut reader) => {
                let read = reader.end(false, &mut self.filler(&POST));
                self.body.is_cut |= reader.is_cut();
                read
            }
        };
        if let Err(message) = read {
            self.set(Variable::ReqbodyError, b"1");
            self.set(Variable::ReqbodyErrorMsg, message.as_bytes());
            self.set(Variable::ReqbodyProcessorError, b"1");
            self.set(Variable::ReqbodyProcessorErrorMsg, message.as_bytes());
        }
    }

    fn read_held(&mut self) -> Result<(), String> {
        let (bytes, is_cut) = (self.body.held.clone(), self.body.is_cut);
        self.store.keep_body(bytes.clone());
        // Files and documents are no text: rules see what their readers make of them, unless a rule insists.
        let processor = self.body.processor;
        let is_text = !matches!(processor, Some(BodyProcessor::Multipart | BodyProcessor::Xml));
        if self.body.is_forced || is_text {
            self.set(Variable::RequestBody, &bytes);
        }
        let depth_max = self.rules.settings.depth_max;
        match processor {
            Some(BodyProcessor::UrlEncoded) => {
                let separator = self.rules.settings.argument_separator;
                body::url_encoded(&bytes, separator, is_cut, &mut self.filler(&POST))
            }
            Some(BodyProcessor::Json) => {
                body::json(&bytes, depth_max, is_cut, &mut self.filler(&POST))
            }
            Some(BodyProcessor::Xml) => {
                body::xml(&bytes, depth_max, is_cut, &mut self.filler(&POST))
            }
            Some(BodyProcessor::Multipart) => {
                let content_type = std::mem::take(&mut self.body.content_type);
                let (bounds, filler) = (self.multipart_bounds(), &mut self.filler(&POST));
                let (is_more_cut, read) =
                    body::multipart(&bytes, &content_type, bounds, is_cut, filler);
                self.body.is_cut |= is_more_cut;
                read
            }
            None => Ok(()),
        }
    }
}
