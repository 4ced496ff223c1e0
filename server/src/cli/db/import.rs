//! `yunzhan db import`: documents from a file of JSON Lines, with progress, and going on after an interruption.
//!
//! The import has a name on the server that follows from the file's path, so that the same command goes on where the last one
//! ended. That it is still the same file is seen by the last lines that are in. A file that is in already, or another one that
//! has its path now, is an import of its own, with a number behind the name.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use clap::Args;
use http::Method;
use http_body::{Frame, SizeHint};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc;
use yunzhan_base::body::BodyError;
use yunzhan_base::config::Lang;
use yunzhan_base::{Body, DataDir, Error, Kind, Result};

use super::place::{Place, advise, segment};
use crate::cli::context::{Context, Failure};
use crate::cli::output::complain;
use crate::control_client::{self, Connection};

/// How often the server is asked how far it is.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Bytes of the file that are read at once.
const READ_BYTES: usize = 256 << 10;

/// Bytes of a file that are looked at before it is sent.
const LOOK_BYTES: u64 = 4096;

/// Pieces that were read and are not sent yet.
const PIECES_MAX: usize = 4;

/// Imports of one file, or of files that had its path one after the other.
const NUMBERS_MAX: u32 = 10_000;

/// Which file to import, and how.
#[derive(Args)]
pub(in crate::cli) struct Import {
    #[command(flatten)]
    place: Place,
    /// The file: one document a line, as Extended JSON; '-' is the standard input, which no command can go on with
    #[arg(id = "import_file", value_name = "FILE")]
    file: PathBuf,
    /// Pass over documents whose ids are there already; without, the first of them ends the import
    #[arg(long)]
    keep_existing: bool,
    /// Import a file that was imported already
    #[arg(long)]
    again: bool,
    /// The import's name, where a file's path is not the same each time [default: made from the path]
    #[arg(long, id = "import_name", value_name = "NAME")]
    name: Option<String>,
}

/// What the server knows of an import.
#[derive(Clone, Deserialize)]
struct Known {
    bytes: u64,
    documents: u64,
    done: bool,
    tail: Tail,
}

/// The last bytes that are in.
#[derive(Clone, Deserialize)]
struct Tail {
    bytes: u64,
    sha256: String,
}

/// Imports the file and gives what came of it.
///
/// # Errors
/// Those of the server. What is in stays, and the same command goes on from there.
pub(super) fn run(context: &Context, import: &Import) -> Result<Value, Failure> {
    let begun = Instant::now();
    let mut teller = Teller::new(context, begun);
    let outcome = context.with_control(async |connection, dir: &DataDir| {
        import.send(connection, dir, &mut teller).await
    });
    teller.end();
    let mut outcome = outcome.map_err(|failure| advise(failure, &import.place.env))?;
    outcome["seconds"] = begun.elapsed().as_secs_f64().into();
    Ok(outcome)
}

/// What came of it, for people.
pub(super) fn text(outcome: &Value, lang: Lang) -> String {
    let number = |name: &str| outcome[name].as_u64().unwrap_or(0);
    let (documents, kept) = (number("documents"), number("kept"));
    let seconds = outcome["seconds"].as_f64().unwrap_or(0.0);
    match (lang, kept) {
        (Lang::En, 0) => format!("{documents} documents, in {seconds:.1} s\n"),
        (Lang::En, _) => {
            format!(
                "{documents} documents, in {seconds:.1} s; {kept} of them were there already and stayed\n"
            )
        }
        (Lang::Zh, 0) => format!("{documents} 个文档, 用时 {seconds:.1} 秒\n"),
        (Lang::Zh, _) => {
            format!("{documents} 个文档, 用时 {seconds:.1} 秒; 其中 {kept} 个早已存在, 保持原样\n")
        }
    }
}

// === impl Import ===

impl Import {
    async fn send(
        &self,
        connection: Connection,
        dir: &DataDir,
        teller: &mut Teller,
    ) -> Result<Value> {
        let mut input = Input::open(&self.file)?;
        let base = match &self.name {
            Some(name) => name.clone(),
            None => input.name(&self.file)?,
        };
        let (name, known) = match self.choose(dir, &base, &mut input).await? {
            Chosen::Going { name, known } => (name, known),
            Chosen::Done(answer) => return Ok(answer),
        };
        let state = self.state(&name);
        let from_bytes = known.map_or(0, |known| known.bytes);
        let target = format!("{state}?from={from_bytes}&keep_existing={}", self.keep_existing);
        let length = input.length;
        let body = input.body(from_bytes)?;
        let sending = connection.send(Method::POST, &target, "application/x-ndjson", body);
        let mut sending = std::pin::pin!(sending);
        loop {
            tokio::select! {
                answer = &mut sending => {
                    return match answer {
                        Ok(answer) => Ok(answer),
                        Err(error) => Err(self.with_state(error, dir, &state).await),
                    };
                }
                () = tokio::time::sleep(LOOK_PERIOD) => {
                    // What cannot be seen now is seen later; the answer says what came of it.
                    if let Ok(Some(known)) = look::<Known>(dir, &state).await {
                        teller.tell(&known, length);
                    }
                }
            }
        }
    }

    /// Which import it is: the first of its name and numbers that is not another file's.
    async fn choose(&self, dir: &DataDir, base: &str, input: &mut Input) -> Result<Chosen> {
        for number in 1..=NUMBERS_MAX {
            let name = if number == 1 { base.to_owned() } else { format!("{base}-{number}") };
            let state = self.state(&name);
            let Some(known) = look::<Known>(dir, &state).await? else {
                return Ok(Chosen::Going { name, known: None });
            };
            match (known.done, input.is_of(&known)?) {
                (true, true) if !self.again => {
                    let answer: Option<Value> = look(dir, &state).await?;
                    return Ok(Chosen::Done(answer.unwrap_or_default()));
                }
                (true, _) => {}
                (false, true) => return Ok(Chosen::Going { name, known: Some(known) }),
                (false, false) => {
                    let message = format!(
                        "{} documents of this import are in, and the file is another one before that place; finish it with the file that it began with, or name an import of its own with --name",
                        known.documents
                    );
                    return Err(Error::new(Kind::Conflict, message));
                }
            }
        }
        Err(Error::new(Kind::LimitExceeded, "this file was imported too often; use --name"))
    }

    /// The refusal, with what is in all the same.
    async fn with_state(&self, error: Error, dir: &DataDir, state: &str) -> Error {
        let known: Option<Known> = look(dir, state).await.ok().flatten();
        let Some(known) = known.filter(|known| known.documents > 0) else { return error };
        let go_on = match self.file == Path::new("-") {
            true => "the standard input cannot be gone on with",
            false => "the same command goes on behind them",
        };
        let message = format!("{}; {} documents are in, {go_on}", error.message(), known.documents);
        Error::new(error.kind(), message).because(error)
    }

    /// The path of an import.
    fn state(&self, name: &str) -> String {
        self.place.path(&format!("/imports/{}", segment(name)))
    }
}

/// What is to be done.
enum Chosen {
    /// This import begins, or goes on.
    Going { name: String, known: Option<Known> },
    /// Nothing: the file is in. That is the answer which was given, or got lost.
    Done(Value),
}

/// How far the import is; none when there is none.
async fn look<A: DeserializeOwned>(dir: &DataDir, path: &str) -> Result<Option<A>> {
    let closed = || Error::new(Kind::Unavailable, "the serving process is gone; try again");
    let connection = control_client::connect(dir).await.ok_or_else(closed)?;
    match connection.call(Method::GET, path, &Value::Null).await {
        Ok(known) => Ok(Some(known)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the documents come from.
struct Input {
    /// None for the standard input.
    file: Option<File>,
    /// Bytes of the file, where that is known.
    length: Option<u64>,
}

// === impl Input ===

impl Input {
    fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self { file: None, length: None });
        }
        let unreadable = |error: io::Error| {
            let message = format!("cannot read {}: {error}", path.display());
            Error::new(Kind::InvalidParameter, message)
        };
        let mut file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut beginning = Vec::new();
        file.by_ref().take(LOOK_BYTES).read_to_end(&mut beginning).map_err(unreadable)?;
        if let Some((what, convert)) = is_other(&beginning) {
            let path = path.display();
            let message = format!(
                "{path} is {what}, and one document a line is wanted; `{convert} {path}` makes that, and `-` takes it from there"
            );
            return Err(Error::new(Kind::InvalidParameter, message));
        }
        Ok(Self { file: Some(file), length: Some(length) })
    }

    /// The import's name on the server: that of the path, and of the standard input one that nobody else has.
    fn name(&self, path: &Path) -> Result<String> {
        if self.file.is_none() {
            let mut random = [0; 12];
            aws_lc_rs::rand::fill(&mut random).expect("the system's random numbers are there");
            return Ok(hex(&random));
        }
        let whole = path.canonicalize().map_err(|error| {
            let message = format!("cannot find {}", path.display());
            Error::new(Kind::InvalidParameter, message).because(error)
        })?;
        Ok(hex(&digest(&SHA256, whole.as_os_str().as_encoded_bytes()).as_ref()[..12]))
    }

    /// Whether what is in came from this file: it ends where its last lines end here, and a whole one has no more.
    fn is_of(&mut self, known: &Known) -> Result<bool> {
        let (Some(file), Some(length)) = (&mut self.file, self.length) else { return Ok(false) };
        if known.bytes > length || (known.done && known.bytes != length) {
            return Ok(false);
        }
        let mut tail = vec![0; usize::try_from(known.tail.bytes.min(known.bytes)).unwrap_or(0)];
        let begin = known.bytes - tail.len() as u64;
        file.seek(SeekFrom::Start(begin)).and_then(|_| file.read_exact(&mut tail)).map_err(
            |error| Error::new(Kind::InvalidParameter, "the file cannot be read").because(error),
        )?;
        Ok(tail.is_empty() || hex(digest(&SHA256, &tail).as_ref()) == known.tail.sha256)
    }

    /// What is sent, from that byte on.
    fn body(self, from_bytes: u64) -> Result<Body> {
        let Some(mut file) = self.file else { return Ok(sending(io::stdin(), None)) };
        file.seek(SeekFrom::Start(from_bytes)).map_err(|error| {
            Error::new(Kind::InvalidParameter, "the file cannot be read from the middle")
                .because(error)
        })?;
        Ok(sending(file, self.length.map(|length| length.saturating_sub(from_bytes))))
    }
}

/// What a file is that begins so, if it is none of lines, and what makes lines of it.
fn is_other(beginning: &[u8]) -> Option<(&'static str, &'static str)> {
    let text = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning).trim_ascii_start();
    let first_line = text.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    match (beginning, text) {
        ([0x1f, 0x8b, ..], _) => Some(("compressed", "gunzip -c")),
        ([0xfd, b'7', b'z', ..], _) => Some(("compressed", "xz -dc")),
        ([0x28, 0xb5, 0x2f, 0xfd, ..], _) => Some(("compressed", "zstd -dc")),
        ([0xff, 0xfe, ..] | [0xfe, 0xff, ..], _) => Some(("UTF-16", "iconv -f UTF-16 -t UTF-8")),
        (_, [b'[', ..]) => Some(("one array", "jq -c '.[]'")),
        (_, [b'{', ..]) if first_line == b"{" => Some(("spread over lines", "jq -c .")),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A body of what a thread of its own reads: a disk, or whoever types, may take its time. `left` are the bytes to come, where
/// that is known: a file that grows meanwhile is sent as it was.
fn sending(mut input: impl Read + Send + 'static, mut left: Option<u64>) -> Body {
    let (pieces, arriving) = mpsc::channel(PIECES_MAX);
    let length = left;
    std::thread::spawn(move || {
        loop {
            let room = left.map_or(READ_BYTES as u64, |left| left.min(READ_BYTES as u64));
            let mut piece = vec![0; usize::try_from(room).unwrap_or(READ_BYTES)];
            let read = input.read(&mut piece).map(|read| {
                piece.truncate(read);
                Bytes::from(piece)
            });
            let is_over = read.as_ref().map_or(true, Bytes::is_empty);
            if let (Some(left), Ok(read)) = (&mut left, &read) {
                *left -= read.len() as u64;
            }
            let is_end = matches!(&read, Ok(read) if read.is_empty());
            // A connection that broke takes no more.
            if is_end || pieces.blocking_send(read).is_err() || is_over {
                return;
            }
        }
    });
    Body::streaming(Sending { arriving, length })
}

/// What was read, as the connection takes it.
struct Sending {
    arriving: mpsc::Receiver<io::Result<Bytes>>,
    length: Option<u64>,
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = ready!(self.arriving.poll_recv(context));
        if let (Some(length), Some(Ok(piece))) = (&mut self.length, &piece) {
            *length = length.saturating_sub(piece.len() as u64);
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data).map_err(Into::into)))
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Tells people how far it is. Programs hear nothing before the end.
struct Teller {
    lang: Lang,
    is_silent: bool,
    is_terminal: bool,
    begun: Instant,
    /// Documents that were in when this command began: they count for the progress, not for the rate.
    before: Option<u64>,
    has_told: bool,
}

impl Teller {
    fn new(context: &Context, begun: Instant) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let (lang, is_silent) = (context.lang, context.json);
        Self { lang, is_silent, is_terminal, begun, before: None, has_told: false }
    }

    fn tell(&mut self, known: &Known, length: Option<u64>) {
        if self.is_silent {
            return;
        }
        let before = *self.before.get_or_insert(known.documents);
        let rate =
            known.documents.saturating_sub(before) as f64 / self.begun.elapsed().as_secs_f64();
        let line = progress(known, length, rate, self.lang);
        // On a terminal the line is written over.
        match self.is_terminal {
            true => complain(&format!("\r\x1b[K{line}")),
            false => complain(&format!("{line}\n")),
        }
        self.has_told = true;
    }

    fn end(&self) {
        if self.has_told && self.is_terminal {
            complain("\r\x1b[K");
        }
    }
}

fn progress(known: &Known, length: Option<u64>, rate: f64, lang: Lang) -> String {
    let Known { documents, bytes, .. } = *known;
    let share = length.map(|length| bytes.min(length) * 100 / length.max(1));
    let share = share.map_or_else(String::new, |share| format!(" ({share} %)"));
    match lang {
        Lang::En => format!("{documents} documents{share}, {rate:.0} a second"),
        Lang::Zh => format!("{documents} 个文档{share}, 每秒 {rate:.0} 个"),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use serde_json::json;

    use super::*;

    fn known(documents: u64, bytes: u64, done: bool, tail: &[u8]) -> Known {
        let sha256 = hex(digest(&SHA256, tail).as_ref());
        Known { bytes, documents, done, tail: Tail { bytes: tail.len() as u64, sha256 } }
    }

    #[test]
    fn people_read_how_far_it_is_and_what_came_of_it() {
        let known = known(412_000, 30, false, b"");
        let said = |lang| {
            let told = progress(&known, Some(90), 40_999.7, lang);
            let endless = progress(&known, None, 0.0, lang);
            let done = json!({ "documents": 3, "kept": 1, "seconds": 0.25 });
            format!("{told}\n{endless}\n{}", text(&done, lang))
        };
        expect![[r#"
            412000 documents (33 %), 41000 a second
            412000 documents, 0 a second
            3 documents, in 0.2 s; 1 of them were there already and stayed
        "#]]
        .assert_eq(&said(Lang::En));
        expect![[r#"
            412000 个文档 (33 %), 每秒 41000 个
            412000 个文档, 每秒 0 个
            3 个文档, 用时 0.2 秒; 其中 1 个早已存在, 保持原样
        "#]]
        .assert_eq(&said(Lang::Zh));
    }

    #[test]
    fn what_is_no_file_of_lines_is_told_with_what_makes_one() {
        let told = |beginning: &[u8]| is_other(beginning).map(|(what, _)| what);
        for (beginning, what) in [
            (&b"[{\"a\":1}]"[..], "one array"),
            (b"\xef\xbb\xbf \n[", "one array"),
            (b"{\r\n  \"a\": 1\r\n}\r\n", "spread over lines"),
            (b"\x1f\x8b\x08\x00", "compressed"),
            (b"\xff\xfe{\x00", "UTF-16"),
        ] {
            assert_eq!(told(beginning), Some(what));
        }
        for beginning in [&b""[..], b"{\"a\":1}\n", b"\xef\xbb\xbf{}\n", b"\n\n{}", b"oops"] {
            assert_eq!(told(beginning), None);
        }
    }

    #[test]
    fn a_file_is_known_again_by_the_lines_that_are_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.jsonl");
        let is_of = |content: &str, known: &Known| {
            std::fs::write(&path, content).unwrap();
            Input::open(&path).unwrap().is_of(known).unwrap()
        };
        let half = known(1, 8, false, b"{\"n\":1}\n"[1..].as_ref());
        assert!(is_of("{\"n\":1}\n{\"n\":2}\n", &half));
        assert!(is_of("{\"n\":1}\n", &half), "what comes behind may change");
        assert!(!is_of("{\"n\":7}\n{\"n\":2}\n", &half));
        assert!(!is_of("{}\n", &half));
        let done = Known { done: true, ..half };
        assert!(is_of("{\"n\":1}\n", &done));
        assert!(!is_of("{\"n\":1}\n{}", &done), "there is more of it now");
        let name = || Input::open(&path).unwrap().name(&path).unwrap();
        assert_eq!(name(), name());
        assert!(Input::open(&folder.path().join("nothing")).is_err());
    }
}
