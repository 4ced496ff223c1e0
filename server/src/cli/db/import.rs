//! `yunzhan db import`: documents from a file of JSON Lines, with progress, and going on after an interruption.
//!
//! The import has a name on the server that follows from the file, so that the same command goes on where the last one ended.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use clap::Args;
use http::Method;
use http_body::{Frame, SizeHint};
use serde_json::Value;
use yunzhan_base::body::BodyError;
use yunzhan_base::config::Lang;
use yunzhan_base::{Body, DataDir, Error, Kind, Result};

use super::place::{Place, advise};
use crate::cli::context::{Context, Failure};
use crate::cli::output::complain;
use crate::control_client::{self, Connection};

/// How often the server is asked how far it is.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Bytes of the file that are read at once.
const READ_BYTES: usize = 256 << 10;

/// Bytes at the beginning of a file that tell it from another one of the same length.
const TOLD_APART_BYTES: u64 = 1 << 20;

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
        let path = |name: &str| self.place.path(&format!("/imports/{name}"));
        let mut from_bytes = 0;
        match look(dir, &path(&input.name)).await? {
            Some(known) if known["done"] == true && self.again => input.name = random_name(),
            Some(known) if known["done"] == true => {
                let message = "this file is imported already; --again imports it once more";
                return Err(Error::new(Kind::AlreadyExists, message));
            }
            Some(known) => from_bytes = known["bytes"].as_u64().unwrap_or(0),
            None => {}
        }
        let state = path(&input.name);
        let target = format!("{state}?from={from_bytes}&keep_existing={}", self.keep_existing);
        let length = input.length;
        let body = input.body(from_bytes)?;
        let sending = connection.send(Method::POST, &target, "application/x-ndjson", body);
        let mut sending = std::pin::pin!(sending);
        loop {
            tokio::select! {
                answer = &mut sending => return answer,
                () = tokio::time::sleep(LOOK_PERIOD) => {
                    // What cannot be seen now is seen later; the answer says what came of it.
                    if let Ok(Some(known)) = look(dir, &state).await {
                        teller.tell(&known, length);
                    }
                }
            }
        }
    }
}

/// How far the import is; none when there is none.
async fn look(dir: &DataDir, path: &str) -> Result<Option<Value>> {
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
    /// The import's name on the server.
    name: String,
    /// None for the standard input.
    file: Option<File>,
    /// Bytes of the file, where that is known.
    length: Option<u64>,
}

impl Input {
    fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Ok(Self { name: random_name(), file: None, length: None });
        }
        let unreadable = |error: io::Error| {
            let message = format!("cannot read {}: {error}", path.display());
            Error::new(Kind::InvalidParameter, message)
        };
        let mut file = File::open(path).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        let mut beginning = Vec::new();
        file.by_ref().take(TOLD_APART_BYTES).read_to_end(&mut beginning).map_err(unreadable)?;
        let name = format!("{length}-{}", hex(&digest(&SHA256, &beginning).as_ref()[..12]));
        Ok(Self { name, file: Some(file), length: Some(length) })
    }

    /// What is sent, from that byte on.
    fn body(self, from_bytes: u64) -> Result<Body> {
        let Some(mut file) = self.file else {
            return Ok(Body::streaming(Sending { input: io::stdin(), left: None }));
        };
        file.seek(SeekFrom::Start(from_bytes)).map_err(|error| {
            Error::new(Kind::InvalidParameter, "the file cannot be read from the middle")
                .because(error)
        })?;
        let left = self.length.map(|length| length.saturating_sub(from_bytes));
        Ok(Body::streaming(Sending { input: file, left }))
    }
}

fn random_name() -> String {
    let mut random = [0; 12];
    aws_lc_rs::rand::fill(&mut random).expect("the system's random numbers are there");
    hex(&random)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads as the connection takes it. Reading waits for the disk, or for whoever types; nothing else is done meanwhile that
/// could wait for it.
struct Sending<R> {
    input: R,
    /// Bytes that are still to come, where that is known: a file that grows meanwhile is sent as it was.
    left: Option<u64>,
}

impl<R: Read + Unpin> http_body::Body for Sending<R> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let bytes_max = self.left.map_or(READ_BYTES as u64, |left| left.min(READ_BYTES as u64));
        let mut piece = vec![0; usize::try_from(bytes_max).unwrap_or(READ_BYTES)];
        let read = match self.input.read(&mut piece) {
            Ok(read) => read,
            Err(error) => return Poll::Ready(Some(Err(error.into()))),
        };
        if let Some(left) = &mut self.left {
            *left -= read as u64;
        }
        piece.truncate(read);
        Poll::Ready((read > 0).then(|| Ok(Frame::data(piece.into()))))
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
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

    fn tell(&mut self, known: &Value, length: Option<u64>) {
        if self.is_silent {
            return;
        }
        let documents = known["documents"].as_u64().unwrap_or(0);
        let before = *self.before.get_or_insert(documents);
        let rate = documents.saturating_sub(before) as f64 / self.begun.elapsed().as_secs_f64();
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

fn progress(known: &Value, length: Option<u64>, rate: f64, lang: Lang) -> String {
    let number = |name: &str| known[name].as_u64().unwrap_or(0);
    let (documents, bytes) = (number("documents"), number("bytes"));
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

    #[test]
    fn people_read_how_far_it_is_and_what_came_of_it() {
        let known = json!({ "documents": 412_000, "bytes": 30, "kept": 0 });
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
    fn a_file_is_known_by_its_length_and_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let name = |content: &str| {
            let path = folder.path().join("orders.jsonl");
            std::fs::write(&path, content).unwrap();
            Input::open(&path).unwrap().name
        };
        assert_eq!(name("{}"), name("{}"));
        assert_ne!(name("{}"), name("{ }"));
        assert_ne!(name("{}"), name("[]"));
        assert!(name("").len() <= 64, "a name of an import has an end");
        assert!(Input::open(&folder.path().join("nothing")).is_err());
    }
}
