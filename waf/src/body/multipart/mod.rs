//! `multipart/form-data` (RFC 7578), with the flags by which ModSecurity's reader says that another reader of the same
//! bytes might find other parts.
//!
//! Bytes are read as they arrive, a line at a time, and however they are cut into chunks the same is found. Kept are the
//! head of the part that is being read, the value of a field, the beginning of a file, and of a line that has not ended no
//! more than what tells whether it is a boundary. A part that cannot be read is left out and said so, and the parts behind
//! it are read all the same. `boundary.rs` reads the `Content-Type`, `disposition.rs` the `Content-Disposition` of a part,
//! `part.rs` is the part that is being read, `flags.rs` what was seen that a sound sender does not send.

mod boundary;
mod disposition;
mod flags;
mod part;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod tests;

use memchr::memmem::Finder;

use self::flags::Flags;
use self::part::{Content, Header, Part, State};
use super::Fill;
use crate::seclang::ast::Variable;

/// Parts of a body.
const PARTS_MAX: usize = 4096;
/// Headers of a part.
const HEADERS_MAX: usize = 32;
/// Bytes of a line of a header, and of a header of several lines, as in ModSecurity.
const HEADER_BYTES_MAX: usize = 4096;
/// Bytes of all headers of all parts, each with the name of its part, so that long names cost no more than they should.
const HEADERS_BYTES_MAX: usize = 1 << 20;
/// Bytes of a line that are looked at together. It is enough for every header that may be, and for every boundary, since
/// the header that names it has at most 1024 bytes.
const LINE_BYTES_MAX: usize = HEADER_BYTES_MAX + 1;

const DISPOSITION: &[u8] = b"content-disposition";

/// What a body may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Files, 0 being no bound.
    pub(crate) files_max: u64,
    /// Bytes that are not the content of a file. What is behind them is not read, and `is_cut` says so.
    pub(crate) no_files_bytes_max: u64,
    /// Bytes of the beginning of each file that are kept.
    pub(crate) file_beginning_bytes_max: usize,
    /// Bytes of the beginnings of all files together.
    pub(crate) file_beginnings_bytes_max: u64,
}

/// What is behind the bytes that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// More of the body.
    Reading,
    /// Nothing but what should not be there: the last boundary came.
    Ended,
    /// Nothing that matters.
    Done,
    /// More than a bound lets be read.
    Cut,
}

/// How a line ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ending {
    /// With the body.
    #[default]
    Body,
    Lf,
    CrLf,
}

impl Ending {
    fn of(line: &[u8]) -> Self {
        match line {
            [.., b'\r', b'\n'] => Self::CrLf,
            [.., b'\n'] => Self::Lf,
            _ => Self::Body,
        }
    }

    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Body => b"",
            Self::Lf => b"\n",
            Self::CrLf => b"\r\n",
        }
    }

    fn len(self) -> usize {
        self.bytes().len()
    }
}

/// What a line is, seen alone.
enum Line {
    Delimiter { is_final: bool },
    Other,
}

/// A line whose beginning was looked at and whose end has not come.
struct LongLine {
    /// Its last bytes, where the delimiter may have begun; none where nobody looks for it.
    tail: Option<Vec<u8>>,
    /// A carriage return that came last: the line may end with it.
    has_return: bool,
    /// It began among the headers of a part.
    is_header: bool,
}

/// A reader of one body.
pub(crate) struct Multipart {
    /// `--` and the boundary; none where the `Content-Type` has none that can be read.
    delimiter: Option<Finder<'static>>,
    /// What stands before a line that may be a boundary.
    line_start: Finder<'static>,
    bounds: Bounds,
    flags: Flags,
    progress: Progress,
    /// The beginning of a line that has not ended.
    line: Vec<u8>,
    long: Option<LongLine>,
    /// How the line before ends.
    before: Ending,
    part: Option<Part>,
    parts: usize,
    files: u64,
    files_bytes: u64,
    /// Bytes that are not the content of a file.
    others_bytes: u64,
    beginnings_bytes: u64,
    headers_bytes: usize,
    is_cut: bool,
    /// The first mistake.
    error: Option<String>,
    /// A bound that ended it.
    failure: Option<String>,
}

impl Multipart {
    /// A reader of a body with this `Content-Type`.
    pub(crate) fn new(content_type: &[u8], bounds: Bounds) -> Self {
        let mut flags = Flags::default();
        let found = boundary::find(content_type, &mut flags);
        let (delimiter, failure) = match found {
            Ok(boundary) => (Some(Finder::new(&[b"--", boundary].concat()).into_owned()), None),
            Err(why) => (None, Some(why.to_owned())),
        };
        Self {
            progress: if delimiter.is_some() { Progress::Reading } else { Progress::Done },
            delimiter,
            line_start: Finder::new(b"\n--"),
            bounds,
            flags,
            line: Vec::new(),
            long: None,
            before: Ending::Body,
            part: None,
            parts: 0,
            files: 0,
            files_bytes: 0,
            others_bytes: 0,
            beginnings_bytes: 0,
            headers_bytes: 0,
            is_cut: false,
            error: None,
            failure,
        }
    }

    /// Whether bytes that follow can still matter.
    pub(crate) fn looks_at_more(&self) -> bool {
        matches!(self.progress, Progress::Reading | Progress::Ended)
    }

    /// Whether a bound kept something from being looked at.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Bytes that are held.
    pub(crate) fn held_bytes(&self) -> usize {
        let tail = self.long.as_ref().and_then(|long| long.tail.as_ref()).map_or(0, Vec::capacity);
        self.line.capacity() + tail + self.part.as_ref().map_or(0, Part::held_bytes)
    }

    /// Reads what comes next.
    pub(crate) fn feed(&mut self, bytes: &[u8], fill: &mut dyn Fill) {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.progress {
                Progress::Reading => {}
                Progress::Ended => {
                    self.flags.raise(Variable::MultipartDataAfter);
                    self.progress = Progress::Done;
                    return;
                }
                Progress::Done | Progress::Cut => return,
            }
            let taken = self.take(rest, fill);
            rest = &rest[taken..];
        }
    }

    /// Everything has come, or as much as is looked at (`is_cut`): then nobody asks whether it is complete.
    pub(crate) fn end(&mut self, is_cut: bool, fill: &mut dyn Fill) -> Result<(), String> {
        if self.progress == Progress::Reading {
            self.last_line(is_cut, fill);
        }
        if self.progress == Progress::Reading {
            let missing =
                if self.parts == 0 { "no boundary in the body" } else { "no final boundary" };
            self.mistake(missing.to_owned());
        }
        if matches!(self.progress, Progress::Reading | Progress::Cut) {
            self.end_part(fill);
        }
        let error = self.failure.take().or(self.error.take());
        self.flags.tell(fill, error.is_some(), self.progress != Progress::Cut);
        error.map_or(Ok(()), |why| Err(format!("multipart: {why}")))
    }

    /// Takes one line, or as much of it as is there, and says how much that was.
    fn take(&mut self, rest: &[u8], fill: &mut dyn Fill) -> usize {
        if self.long.is_none() {
            let lines_bytes = self.file_lines(rest);
            if lines_bytes > 0 {
                return lines_bytes;
            }
        }
        let len = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
        if self.long.is_some() {
            self.long_piece(&rest[..len]);
            return len;
        }
        let len = len.min(LINE_BYTES_MAX - self.line.len());
        let piece = &rest[..len];
        let is_whole = piece.ends_with(b"\n");
        if self.line.is_empty() && (is_whole || len == LINE_BYTES_MAX) {
            self.beginning(piece, is_whole, fill);
            return len;
        }
        self.line.extend_from_slice(piece);
        if is_whole || self.line.len() == LINE_BYTES_MAX {
            let line = std::mem::take(&mut self.line);
            self.beginning(&line, is_whole, fill);
            self.line = line;
            self.line.clear();
        }
        len
    }

    /// Takes all lines of a file up to one that begins as boundaries do, and says how much that was. Most of what passes is
    /// taken here, and the work does not grow with the number of lines.
    fn file_lines(&mut self, rest: &[u8]) -> usize {
        let is_begun = !self.line.is_empty() || rest.starts_with(b"--");
        if is_begun || !self.is_file() {
            return 0;
        }
        let next = self.line_start.find(rest).or_else(|| memchr::memrchr(b'\n', rest));
        let lines = &rest[..next.map_or(0, |end| end + 1)];
        if lines.is_empty() {
            return 0;
        }
        if let Some(delimiter) = &self.delimiter
            && self.flags.unmatched != 1
            && delimiter.find(lines).is_some()
        {
            self.flags.unmatched = 1;
        }
        self.before = Ending::of(lines);
        self.push(&lines[..lines.len() - self.before.len()]);
        if let Some(part) = &mut self.part {
            part.content.ending = self.before;
        }
        lines.len()
    }

    /// A line, or the beginning of one that is longer than what is looked at together.
    fn beginning(&mut self, line: &[u8], is_whole: bool, fill: &mut dyn Fill) {
        let is_file = self.is_file();
        if !is_file {
            let room = self.room_for(line);
            if room < line.len() {
                return self.cut(&line[..room]);
            }
        }
        let is_header = self.part.as_ref().is_some_and(|part| part.state == State::Headers);
        match self.classify(line) {
            Line::Delimiter { is_final } => self.delimiter(line, is_final, is_file, fill),
            Line::Other => self.line(line, is_whole, fill),
        }
        if is_whole {
            self.before = Ending::of(line);
        } else if self.progress == Progress::Reading {
            let needle = self.delimiter.as_ref().map_or(0, |finder| finder.needle().len());
            // A line that begins as boundaries do is one or none, and is not searched for another.
            let tail = (!line.starts_with(b"--"))
                .then(|| line[line.len() - (needle.max(1) - 1).min(line.len())..].to_vec());
            let has_return = line.ends_with(b"\r");
            self.long = Some(LongLine { tail, has_return, is_header });
        }
    }

    /// A further piece of a long line.
    fn long_piece(&mut self, piece: &[u8]) {
        let Some(mut long) = self.long.take() else { return };
        let room = if self.is_file() { piece.len() } else { self.room_for(piece) };
        let is_cut = room < piece.len();
        let piece = &piece[..room];
        if let (Some(tail), Some(finder)) = (&mut long.tail, &self.delimiter)
            && search(finder, tail, piece)
        {
            self.flags.unmatched = 1;
        }
        let (text, ending) = match piece {
            b"\n" if long.has_return => (&piece[..0], Ending::CrLf),
            _ => {
                let ending = Ending::of(piece);
                (&piece[..piece.len() - ending.len()], ending)
            }
        };
        let returned: &[u8] = if long.has_return && piece != b"\n" { b"\r" } else { b"" };
        long.has_return = ending == Ending::Body && text.ends_with(b"\r");
        let text = if long.has_return { &text[..text.len() - 1] } else { text };
        self.push(returned);
        self.push(text);
        if is_cut {
            self.end_of_long(&long, Ending::Body);
            self.cut(b"");
        } else if ending == Ending::Body {
            self.long = Some(long);
        } else {
            self.end_of_long(&long, ending);
        }
    }

    fn end_of_long(&mut self, long: &LongLine, ending: Ending) {
        if long.has_return {
            self.push(b"\r");
        }
        self.before = ending;
        if long.is_header {
            self.flags.line_end(ending);
        } else if let Some(part) = &mut self.part {
            part.content.ending = ending;
        }
    }

    /// What stands behind the last line end.
    fn last_line(&mut self, is_cut: bool, fill: &mut dyn Fill) {
        let (long, line) = (self.long.take(), std::mem::take(&mut self.line));
        if let Some(long) = long {
            self.end_of_long(&long, Ending::Body);
        }
        if is_cut {
            self.cut(&line);
        } else if !line.is_empty() {
            self.beginning(&line, true, fill);
        }
    }

    /// Counts bytes that are not the content of a file, and says how many of them may be looked at.
    fn room_for(&mut self, bytes: &[u8]) -> usize {
        let room = self.bounds.no_files_bytes_max.saturating_sub(self.others_bytes);
        self.others_bytes += bytes.len() as u64;
        usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len())
    }

    /// Ends with the beginning of a line, unless it may be that of a boundary.
    fn cut(&mut self, seen: &[u8]) {
        let delimiter = self.delimiter.as_ref().map_or(&[][..], |finder| finder.needle());
        if !delimiter.starts_with(seen) && !seen.starts_with(delimiter) {
            self.push(seen);
        }
        self.is_cut = true;
        self.progress = Progress::Cut;
    }

    fn is_file(&self) -> bool {
        self.part.as_ref().is_some_and(|part| part.state == State::Content && part.is_file())
    }

    /// Says whether a line is one of ours between parts, and flags what looks like one.
    fn classify(&mut self, line: &[u8]) -> Line {
        let Some(delimiter) = &self.delimiter else { return Line::Other };
        if !line.starts_with(b"--") || line.len() < 4 {
            if self.flags.unmatched != 1 && delimiter.find(line).is_some() {
                self.flags.unmatched = 1;
            }
            return Line::Other;
        }
        let Some(tail) = line.strip_prefix(delimiter.needle()) else {
            self.resembling(line);
            return Line::Other;
        };
        self.flags.raise_if(self.before == Ending::Lf, Variable::MultipartLfLine);
        let is_early = self.part.as_ref().is_some_and(|part| match part.state {
            State::Headers => true,
            State::Content => part.content.is_fresh(),
            State::Broken => false,
        });
        if is_early {
            self.flags.raise(Variable::MultipartInvalidPart);
            return Line::Other;
        }
        if self.parts > 0 {
            self.flags.unmatched = 2;
        }
        let is_final = tail.starts_with(b"--");
        match if is_final { &tail[2..] } else { tail } {
            b"\r\n" => self.flags.has_crlf = true,
            b"\n" => self.flags.raise(Variable::MultipartLfLine),
            b"" if is_final && self.parts > 0 => {}
            _ => {
                self.mistake("bytes behind a boundary".to_owned());
                return Line::Other;
            }
        }
        Line::Delimiter { is_final }
    }

    /// Looks at a line that begins as boundaries do and is none of ours.
    fn resembling(&mut self, line: &[u8]) {
        let delimiter = self.delimiter.as_ref().map_or(&b"--"[..], |finder| finder.needle());
        let (text, boundary) = (&line[2..], &delimiter[2..]);
        let space = text.iter().take_while(|&&byte| is_space(byte)).count();
        let is_quoted = text.strip_prefix(b"\"").is_some_and(|it| it.starts_with(boundary))
            && self.flags.has(Variable::MultipartBoundaryQuoted);
        let is_spaced = space > 0 && text[space..].starts_with(boundary);
        if is_quoted {
            self.mistake("a boundary in quotes".to_owned());
        } else if is_spaced {
            self.mistake("whitespace before a boundary".to_owned());
        }
        self.flags.unmatched = 1;
    }

    /// A boundary: the part before it ends, and another may begin.
    fn delimiter(&mut self, line: &[u8], is_final: bool, is_counted: bool, fill: &mut dyn Fill) {
        if is_counted {
            self.others_bytes += line.len() as u64;
        }
        self.end_part(fill);
        if self.failure.is_some() {
            return;
        }
        if is_final {
            self.progress = Progress::Ended;
            return;
        }
        self.parts += 1;
        if self.parts > PARTS_MAX {
            self.fail(format!("there are more than {PARTS_MAX} parts"));
            return;
        }
        self.part = Some(Part::default());
    }

    /// A line that is no boundary.
    fn line(&mut self, line: &[u8], is_whole: bool, fill: &mut dyn Fill) {
        let Some(part) = &mut self.part else {
            self.flags.raise(Variable::MultipartDataBefore);
            return;
        };
        let ending = Ending::of(line);
        let text = &line[..line.len() - ending.len()];
        match part.state {
            State::Broken => {}
            State::Content => {
                // A return may yet turn out to be half of the line's end.
                let text = if is_whole { text } else { text.strip_suffix(b"\r").unwrap_or(text) };
                self.push(text);
                if let Some(part) = &mut self.part {
                    part.content.ending = ending;
                }
            }
            State::Headers => self.header_line(line, text, ending, is_whole, fill),
        }
    }

    fn header_line(
        &mut self,
        line: &[u8],
        text: &[u8],
        ending: Ending,
        is_whole: bool,
        fill: &mut dyn Fill,
    ) {
        if is_whole {
            self.flags.line_end(ending);
        }
        let read = if line.len() > HEADER_BYTES_MAX {
            Err(format!("a header of more than {HEADER_BYTES_MAX} bytes"))
        } else if text.is_empty() {
            self.headers_end(fill)
        } else if is_space(text[0]) {
            self.folded(text)
        } else {
            self.header(text, fill)
        };
        if let Err(why) = read {
            if let Some(part) = &mut self.part {
                part.state = State::Broken;
            }
            self.mistake(why);
        }
    }

    fn header(&mut self, line: &[u8], fill: &mut dyn Fill) -> Result<(), String> {
        let Some(part) = &mut self.part else { return Ok(()) };
        if line.contains(&0) {
            return Err("a null byte in a header".to_owned());
        }
        let colon = memchr::memchr(b':', line).ok_or("a header without a colon")?;
        let name = &line[..colon];
        if name.is_empty() {
            return Err("a header without a name".to_owned());
        }
        if !name.iter().all(u8::is_ascii_graphic) {
            // The part is lost, and its name with it; rules that ask which character it was see the line.
            fill.add(Variable::MultipartPartHeaders, b"", line);
            return Err("a character in the name of a header that may not be there".to_owned());
        }
        if part.headers.iter().any(|header| header.name().eq_ignore_ascii_case(name)) {
            return Err("a header twice".to_owned());
        }
        if part.headers.len() >= HEADERS_MAX {
            return Err(format!("more than {HEADERS_MAX} headers"));
        }
        part.headers.push(Header { line: line.to_vec(), colon, folded: None });
        Ok(())
    }

    /// A line that continues the header before it.
    fn folded(&mut self, line: &[u8]) -> Result<(), String> {
        self.flags.raise(Variable::MultipartHeaderFolding);
        let len = line.iter().take_while(|&&byte| is_space(byte)).count();
        let (space, text) = line.split_at(len);
        let is_odd = space.iter().any(|&byte| byte != b' ' && byte != b'\t');
        self.flags.raise_if(is_odd, Variable::MultipartInvalidHeaderFolding);
        let header = self.part.as_mut().and_then(|part| part.headers.last_mut());
        let header = header.ok_or("a line that continues no header")?;
        if text.contains(&0) {
            return Err("a null byte in a header".to_owned());
        }
        header.fold(text);
        if header.value().len() > HEADER_BYTES_MAX {
            return Err(format!("a header of more than {HEADER_BYTES_MAX} bytes"));
        }
        Ok(())
    }

    /// The empty line before the content of a part.
    fn headers_end(&mut self, fill: &mut dyn Fill) -> Result<(), String> {
        let Some(part) = &mut self.part else { return Ok(()) };
        let mut headers = part.headers.iter();
        let header = headers.find(|header| header.name().eq_ignore_ascii_case(DISPOSITION));
        let header = header.ok_or("a part without Content-Disposition")?;
        part.disposition = disposition::read(header.value(), &mut self.flags, fill)?;
        part.state = State::Content;
        Ok(())
    }

    /// Content of the part, behind the end of its line before.
    fn push(&mut self, bytes: &[u8]) {
        let Some(part) = self.part.as_mut().filter(|part| part.state == State::Content) else {
            return;
        };
        let ending = std::mem::take(&mut part.content.ending).bytes();
        if !part.is_file() {
            part.content.push(ending, usize::MAX);
            part.content.push(bytes, usize::MAX);
            return;
        }
        let room = self.bounds.file_beginnings_bytes_max.saturating_sub(self.beginnings_bytes);
        let wanted = self.bounds.file_beginning_bytes_max;
        let kept = usize::try_from(room).unwrap_or(usize::MAX).min(wanted);
        for piece in [ending, bytes] {
            let content = &mut part.content;
            self.is_cut |= content.missing(piece, wanted) > content.missing(piece, kept);
            content.push(piece, kept);
        }
    }

    /// Tells what is in the part that has ended.
    fn end_part(&mut self, fill: &mut dyn Fill) {
        let Some(part) = self.part.take().filter(|part| part.state == State::Content) else {
            return;
        };
        let Part { headers, disposition, content, .. } = part;
        let name = disposition.name.as_slice();
        for header in &headers {
            let line = header.whole();
            self.headers_bytes += name.len() + line.len();
            if self.headers_bytes > HEADERS_BYTES_MAX {
                self.fail(format!("headers of more than {HEADERS_BYTES_MAX} bytes"));
                return;
            }
            fill.add(Variable::MultipartPartHeaders, name, &line);
        }
        if disposition.filename.is_empty() {
            if let Err(why) = fill.argument_owned(name, content.bytes) {
                self.fail(why);
            }
            return;
        }
        self.others_bytes += content.ending.len() as u64;
        self.beginnings_bytes += content.bytes.len() as u64;
        self.file(&disposition, content, fill);
    }

    fn file(
        &mut self,
        disposition: &disposition::Disposition,
        content: Content,
        fill: &mut dyn Fill,
    ) {
        let disposition::Disposition { name, filename, filename_decoded } = disposition;
        self.files += 1;
        self.files_bytes += content.len;
        fill.add(Variable::Files, name, filename);
        if filename_decoded.as_ref().is_some_and(|decoded| decoded != filename) {
            fill.add(Variable::Files, name, filename_decoded.as_deref().unwrap_or_default());
        }
        fill.add(Variable::FilesNames, name, name);
        fill.add(Variable::FilesSizes, name, content.len.to_string().as_bytes());
        fill.set(Variable::FilesCombinedSize, self.files_bytes.to_string().as_bytes());
        let files_max = self.bounds.files_max;
        if files_max > 0 && self.files > files_max {
            self.flags.raise(Variable::MultipartFileLimitExceeded);
            self.mistake(format!("there are more than {files_max} files"));
        } else {
            fill.add_owned(Variable::FilesTmpContent, name, content.bytes);
        }
    }

    fn mistake(&mut self, why: String) {
        self.error.get_or_insert(why);
    }

    fn fail(&mut self, why: String) {
        self.failure.get_or_insert(why);
        self.progress = Progress::Done;
    }
}

/// Looks for the delimiter in a piece and where it meets what came before, whose last bytes are `tail`.
fn search(delimiter: &Finder<'_>, tail: &mut Vec<u8>, piece: &[u8]) -> bool {
    let overlap = delimiter.needle().len() - 1;
    tail.extend_from_slice(&piece[..overlap.min(piece.len())]);
    let is_there = delimiter.find(tail).is_some() || delimiter.find(piece).is_some();
    if piece.len() > overlap {
        tail.clear();
        tail.extend_from_slice(&piece[piece.len() - overlap..]);
    }
    tail.drain(..tail.len().saturating_sub(overlap));
    is_there
}

/// Reads a whole body, or the beginning of one that was cut.
pub(crate) fn multipart(
    body: &[u8],
    content_type: &[u8],
    bounds: Bounds,
    is_cut: bool,
    fill: &mut dyn Fill,
) -> (bool, Result<(), String>) {
    let mut reader = Multipart::new(content_type, bounds);
    reader.feed(body, fill);
    let read = reader.end(is_cut, fill);
    (reader.is_cut(), read)
}

/// What C calls a space.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}
