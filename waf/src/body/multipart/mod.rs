//! `multipart/form-data` (RFC 7578), with the flags by which ModSecurity's reader says that another reader of the same
//! bytes might find other parts.
//!
//! One pass, a line at a time; names, lines and contents are slices of the body. A part that cannot be read is left out and
//! said so, and the parts behind it are read all the same. `boundary.rs` reads the `Content-Type`, `disposition.rs` the
//! `Content-Disposition` of a part.

mod boundary;
mod disposition;
#[cfg(test)]
mod tests;

use memchr::memmem::Finder;

use self::disposition::Disposition;
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

const DISPOSITION: &[u8] = b"content-disposition";

/// What a body may hold.
pub(crate) struct Bounds {
    /// Files, 0 being no bound.
    pub(crate) files_max: u64,
    /// Bytes that are not the content of a file.
    pub(crate) no_files_bytes_max: u64,
}

/// Reads a body.
pub(crate) fn multipart(
    body: &[u8],
    content_type: &[u8],
    bounds: &Bounds,
    fill: &mut dyn Fill,
) -> Result<(), String> {
    let mut flags = Flags::default();
    let read = match boundary::find(content_type, &mut flags) {
        Ok(boundary) => {
            let mut delimiter = b"--".to_vec();
            delimiter.extend_from_slice(boundary);
            let mut reader = Reader {
                body,
                delimiter: Finder::new(&delimiter),
                bounds,
                fill,
                flags: &mut flags,
                part: None,
                parts: 0,
                files: 0,
                files_bytes: 0,
                headers_bytes: 0,
                error: None,
            };
            let end = reader.run();
            end.and(reader.error.map_or(Ok(()), Err))
        }
        Err(why) => Err(why.to_owned()),
    };
    flags.tell(fill, read.is_err());
    read.map_err(|why| format!("multipart: {why}"))
}

/// What was seen that a sound sender does not send.
#[derive(Default)]
struct Flags {
    raised: Vec<Variable>,
    /// `MULTIPART_UNMATCHED_BOUNDARY`: 1 where a line looked like another boundary and none of ours came behind it, 2
    /// where one of ours came behind another.
    unmatched: u8,
    has_crlf: bool,
}

impl Flags {
    fn raise(&mut self, flag: Variable) {
        if !self.raised.contains(&flag) {
            self.raised.push(flag);
        }
    }

    fn raise_if(&mut self, is_seen: bool, flag: Variable) {
        if is_seen {
            self.raise(flag);
        }
    }

    fn tell(&self, fill: &mut dyn Fill, is_error: bool) {
        for &flag in &self.raised {
            fill.set(flag, b"1");
        }
        if self.has_crlf && self.raised.contains(&Variable::MultipartLfLine) {
            fill.set(Variable::MultipartCrlfLfLines, b"1");
        }
        if self.unmatched > 0 {
            fill.set(Variable::MultipartUnmatchedBoundary, &[b'0' + self.unmatched]);
        }
        if is_error || !self.raised.is_empty() {
            fill.set(Variable::MultipartStrictError, b"1");
        }
    }
}

/// How a line ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// With the body.
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

    fn len(self) -> usize {
        match self {
            Self::Body => 0,
            Self::Lf => 1,
            Self::CrLf => 2,
        }
    }
}

/// A header of a part.
struct Header<'b> {
    /// The first line, without its end.
    line: &'b [u8],
    name: &'b [u8],
    value: &'b [u8],
    /// The value where further lines continue it.
    folded: Option<Vec<u8>>,
}

impl Header<'_> {
    fn value(&self) -> &[u8] {
        self.folded.as_deref().unwrap_or(self.value)
    }
}

#[derive(Default)]
struct Part<'b> {
    headers: Vec<Header<'b>>,
    disposition: Disposition,
    state: State,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Headers,
    /// The content begins here.
    Content(usize),
    /// The part cannot be read.
    Broken,
}

/// What a line is, seen alone.
enum Line {
    Delimiter { is_final: bool },
    Other,
}

struct Reader<'r> {
    body: &'r [u8],
    /// `--` and the boundary.
    delimiter: Finder<'r>,
    bounds: &'r Bounds,
    fill: &'r mut dyn Fill,
    flags: &'r mut Flags,
    part: Option<Part<'r>>,
    parts: usize,
    files: u64,
    files_bytes: u64,
    headers_bytes: usize,
    /// The first mistake.
    error: Option<String>,
}

impl<'r> Reader<'r> {
    /// Reads everything. What ends it early are bounds alone.
    fn run(&mut self) -> Result<(), String> {
        let (mut at, mut before) = (0, Ending::Body);
        while at < self.body.len() {
            let rest = &self.body[at..];
            let line = &rest[..memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1)];
            match self.classify(at, line, before) {
                Line::Delimiter { is_final } => {
                    self.end_part(at)?;
                    if is_final {
                        let is_more = at + line.len() < self.body.len();
                        self.flags.raise_if(is_more, Variable::MultipartDataAfter);
                        return self.weigh();
                    }
                    self.parts += 1;
                    if self.parts > PARTS_MAX {
                        return Err(format!("there are more than {PARTS_MAX} parts"));
                    }
                    self.part = Some(Part::default());
                }
                Line::Other => self.line(at, line),
            }
            before = Ending::of(line);
            at += line.len();
        }
        let missing = if self.parts == 0 { "no boundary in the body" } else { "no final boundary" };
        self.mistake(missing.to_owned());
        self.end_part(at)
    }

    /// Says whether a line is one of ours between parts, and flags what looks like one.
    fn classify(&mut self, at: usize, line: &[u8], before: Ending) -> Line {
        if !line.starts_with(b"--") || line.len() < 4 {
            if self.delimiter.find(line).is_some() {
                self.flags.unmatched = 1;
            }
            return Line::Other;
        }
        let Some(tail) = line.strip_prefix(self.delimiter.needle()) else {
            self.resembling(line);
            return Line::Other;
        };
        self.flags.raise_if(before == Ending::Lf, Variable::MultipartLfLine);
        let is_early = match self.part.as_ref().map(|part| part.state) {
            Some(State::Headers) => true,
            Some(State::Content(start)) => start == at,
            Some(State::Broken) | None => false,
        };
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
        let (text, boundary) = (&line[2..], &self.delimiter.needle()[2..]);
        let space = text.iter().take_while(|&&byte| is_space(byte)).count();
        let is_quoted = text.strip_prefix(b"\"").is_some_and(|it| it.starts_with(boundary))
            && self.flags.raised.contains(&Variable::MultipartBoundaryQuoted);
        let is_spaced = space > 0 && text[space..].starts_with(boundary);
        if is_quoted {
            self.mistake("a boundary in quotes".to_owned());
        } else if is_spaced {
            self.mistake("whitespace before a boundary".to_owned());
        }
        self.flags.unmatched = 1;
    }

    /// A line that is no boundary.
    fn line(&mut self, at: usize, line: &'r [u8]) {
        let Some(part) = &mut self.part else {
            self.flags.raise(Variable::MultipartDataBefore);
            return;
        };
        if part.state != State::Headers {
            return;
        }
        let ending = Ending::of(line);
        self.flags.has_crlf |= ending == Ending::CrLf;
        self.flags.raise_if(ending == Ending::Lf, Variable::MultipartLfLine);
        let text = &line[..line.len() - ending.len()];
        let read = if line.len() > HEADER_BYTES_MAX {
            Err(format!("a header of more than {HEADER_BYTES_MAX} bytes"))
        } else if text.is_empty() {
            self.headers_end(at + line.len())
        } else if is_space(text[0]) {
            self.folded(text)
        } else {
            self.header(text)
        };
        if let Err(why) = read {
            if let Some(part) = &mut self.part {
                part.state = State::Broken;
            }
            self.mistake(why);
        }
    }

    fn header(&mut self, line: &'r [u8]) -> Result<(), String> {
        let Some(part) = &mut self.part else { return Ok(()) };
        if line.contains(&0) {
            return Err("a null byte in a header".to_owned());
        }
        let colon = memchr::memchr(b':', line).ok_or("a header without a colon")?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii_start());
        if name.is_empty() {
            return Err("a header without a name".to_owned());
        }
        if !name.iter().all(u8::is_ascii_graphic) {
            // The part is lost, and its name with it; rules that ask which character it was see the line.
            self.fill.add(Variable::MultipartPartHeaders, b"", line);
            return Err("a character in the name of a header that may not be there".to_owned());
        }
        if part.headers.iter().any(|header| header.name.eq_ignore_ascii_case(name)) {
            return Err("a header twice".to_owned());
        }
        if part.headers.len() >= HEADERS_MAX {
            return Err(format!("more than {HEADERS_MAX} headers"));
        }
        part.headers.push(Header { line, name, value, folded: None });
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
        let value = header.folded.get_or_insert_with(|| header.value.to_vec());
        value.push(b' ');
        value.extend_from_slice(text);
        if value.len() > HEADER_BYTES_MAX {
            return Err(format!("a header of more than {HEADER_BYTES_MAX} bytes"));
        }
        Ok(())
    }

    /// The empty line before the content of a part.
    fn headers_end(&mut self, content: usize) -> Result<(), String> {
        let Some(part) = &mut self.part else { return Ok(()) };
        let mut headers = part.headers.iter();
        let header = headers.find(|header| header.name.eq_ignore_ascii_case(DISPOSITION));
        let header = header.ok_or("a part without Content-Disposition")?;
        part.disposition = disposition::read(header.value(), self.flags, self.fill)?;
        part.state = State::Content(content);
        Ok(())
    }

    /// Tells what is in the part that ends before a place.
    fn end_part(&mut self, end: usize) -> Result<(), String> {
        let Some(part) = self.part.take() else { return Ok(()) };
        let State::Content(start) = part.state else { return Ok(()) };
        let content = &self.body[start..end];
        let content = &content[..content.len() - Ending::of(content).len()];
        let name = part.disposition.name.as_slice();
        for header in &part.headers {
            let lines = match &header.folded {
                Some(value) => &[header.name, b": ", value].concat(),
                None => header.line,
            };
            self.headers_bytes += name.len() + lines.len();
            if self.headers_bytes > HEADERS_BYTES_MAX {
                return Err(format!("headers of more than {HEADERS_BYTES_MAX} bytes"));
            }
            self.fill.add(Variable::MultipartPartHeaders, name, lines);
        }
        if part.disposition.filename.is_empty() {
            return self.fill.argument(name, content);
        }
        self.file(&part.disposition, content);
        Ok(())
    }

    fn file(&mut self, disposition: &Disposition, content: &[u8]) {
        let Disposition { name, filename, filename_decoded } = disposition;
        self.files += 1;
        self.files_bytes += content.len() as u64;
        self.fill.add(Variable::Files, name, filename);
        if filename_decoded.as_ref().is_some_and(|decoded| decoded != filename) {
            self.fill.add(Variable::Files, name, filename_decoded.as_deref().unwrap_or_default());
        }
        self.fill.add(Variable::FilesNames, name, name);
        self.fill.add(Variable::FilesSizes, name, content.len().to_string().as_bytes());
        self.fill.set(Variable::FilesCombinedSize, self.files_bytes.to_string().as_bytes());
        let files_max = self.bounds.files_max;
        if files_max > 0 && self.files > files_max {
            self.flags.raise(Variable::MultipartFileLimitExceeded);
            self.mistake(format!("there are more than {files_max} files"));
        } else {
            self.fill.add(Variable::FilesTmpContent, name, content);
        }
    }

    /// Holds what is no file against its bound.
    fn weigh(&mut self) -> Result<(), String> {
        let (bytes, bytes_max) = (self.body.len() as u64, self.bounds.no_files_bytes_max);
        if bytes - self.files_bytes <= bytes_max {
            return Ok(());
        }
        self.fill.set(Variable::InboundDataError, b"1");
        Err(format!("more than {bytes_max} bytes beside files"))
    }

    fn mistake(&mut self, why: String) {
        self.error.get_or_insert(why);
    }
}

/// What C calls a space.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}
