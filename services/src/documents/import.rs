//! Adding many documents from JSON Lines as they stream in.
//!
//! An import is a row: how many bytes of its file are in, and how many documents. Each write batch moves it on together with
//! the documents that it adds, so that an import that was cut off anywhere goes on where it was, and adds nothing twice.
//! While one batch is written the next is read and prepared; no more than the two of them is held.

use std::collections::HashSet;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::{Bytes, BytesMut};
use yunzhan_base::{Body, EnvId, Error, Kind, Result, body};
use yunzhan_query::ejson::{self, ReadOptions};

use super::edit::{ATTEMPTS_MAX, contended};
use super::logic::batch::BatchSize;
use super::logic::id::Ids;
use super::logic::index::keys_of;
use super::logic::permission::{Operation, Reach};
use super::logic::shape::{Prepared, decode, prepare_insert};
use super::store::{Batch, Collection, DOCUMENTS_OF_KEYS_MAX, Table};
use super::{Caller, Documents};
use crate::offload;

/// Longest line in bytes: a document of the largest size, as Extended JSON spells it.
const LINE_BYTES_MAX: usize = 16 << 20;

/// Bytes of the lines of one write batch, and so what waits in memory: large enough that the sync at its end is a small
/// part of it, small enough that whoever else writes hardly waits.
const PIECE_BYTES: usize = 1 << 20;

/// Documents of one write batch.
const PIECE_LINES_MAX: usize = 4000;

/// Longest name of an import.
const NAME_BYTES_MAX: usize = 64;

/// Bytes by which a file is known again: some lines, which no other file has at this place.
const TAIL_BYTES: usize = 4096;

/// How long an import that is over is remembered.
const REMEMBERED_MS: i64 = 30 * 24 * 60 * 60 * 1000;

/// What to import.
#[derive(Clone, Copy, Debug)]
pub struct Import<'a> {
    /// Names the import among those of the collection: 1 to 64 of A-Z, a-z, 0-9, `-` and `_`. The same name goes on with it.
    pub name: &'a str,
    /// Where in the file the body begins: 0, or the bytes that are in already.
    pub from_bytes: u64,
    /// Whether documents whose ids are there already stay as they are; else the first of them ends the import.
    pub keeps_existing: bool,
}

/// How far an import is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Bytes of the file that are in.
    pub bytes: u64,
    /// Lines of it that are in.
    pub lines: u64,
    /// How many of them were documents.
    pub documents: u64,
    /// Of these, how many were there already and stayed.
    pub kept: u64,
    /// Whether the end of the file was reached.
    pub is_done: bool,
    /// The last bytes that are in, by which whoever goes on sees that it is the same file.
    pub tail: Tail,
}

/// The last bytes of what is in: how many, and their SHA-256.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// How many bytes before [`Imported::bytes`].
    pub bytes: u64,
    /// Their SHA-256; of no bytes, zeros.
    pub sha256: [u8; 32],
}

/// Whole lines, and where they begin in the file.
struct Piece {
    lines: Bytes,
    begin_bytes: u64,
    /// How many lines of the file stand before them.
    lines_before: u64,
    is_last: bool,
}

/// A piece that can be written.
struct Ready {
    /// By whose indexes the documents have their keys.
    schema_epoch: i64,
    documents: Vec<Line>,
    lines: Bytes,
    begin_bytes: u64,
    end: End,
}

/// A document and where its line is.
struct Line {
    document: Prepared,
    number: u64,
    end_bytes: u64,
}

/// Where a write batch ends in the file.
#[derive(Clone, Copy)]
struct End {
    bytes: u64,
    lines: u64,
    is_done: bool,
}

/// Cuts a body into pieces of whole lines.
struct Pieces {
    body: Body,
    held: BytesMut,
    is_over: bool,
    /// Where the held bytes begin in the file.
    at_bytes: u64,
    /// Lines before the held bytes.
    lines: u64,
    /// Of the held bytes: how many were looked at, the lines among them, and where the last of these ends.
    seen: usize,
    seen_lines: usize,
    line_end: usize,
}

/// An import that goes on.
struct Going<'a> {
    documents: &'a Documents,
    table: Table<'a>,
    import: Import<'a>,
    state: Imported,
}

impl Documents {
    /// How far an import of this name is; none when there is none.
    ///
    /// # Errors
    /// `CollectionNotFound`.
    pub async fn imported(
        &self,
        env: &EnvId,
        collection: &str,
        name: &str,
    ) -> Result<Option<Imported>> {
        let found = self.collection(env, collection).await?;
        self.table(env, found).import(name).await
    }

    /// Adds the documents of a body with one of them a line, as Extended JSON; empty lines are passed over. What was added
    /// before an error stays, and the import goes on from there when it is asked again with the rest.
    ///
    /// # Errors
    /// `CollectionNotFound`, `PermissionDenied`; `InvalidParameter` with the number of the line that is no document;
    /// `AlreadyExists` for an id that is taken, or an import that is over; `Conflict` when it is not so far as the caller
    /// thinks, or somebody else goes on with it.
    pub async fn import(
        &self,
        caller: Caller<'_>,
        collection: &str,
        import: Import<'_>,
        body: Body,
    ) -> Result<Imported> {
        check_name(import.name)?;
        let (table, reach, _) = self.open_ruled(caller, collection, Operation::Insert).await?;
        if reach != Reach::All {
            let message = "only servers and operators import documents";
            return Err(Error::new(Kind::PermissionDenied, message));
        }
        let state = self.begin_import(&table, import).await?;
        let mut pieces = Pieces::new(body, state);
        let first = pieces.next().await?;
        let mut ready = self.prepare_import(&table, first).await?;
        let mut going = Going { documents: self, table, import, state };
        loop {
            if ready.end.is_done {
                going.write(ready).await?;
                return Ok(going.state);
            }
            // The same indexes serve for the next piece; where they change meanwhile, whoever writes looks again.
            let table = going.table.clone();
            let next = async { self.prepare_import(&table, pieces.next().await?).await };
            let (written, next) = tokio::join!(going.write(ready), next);
            written?;
            ready = next?;
        }
    }

    /// Reads the documents of a piece, on a thread that may take its time.
    async fn prepare_import(&self, table: &Table<'_>, piece: Piece) -> Result<Ready> {
        let (collection, now_ms) = (Arc::clone(&table.collection), self.now_ms());
        let mut ids = self.ids(Reach::All, None);
        let prepared = tokio::task::spawn_blocking(move || {
            piece.prepare(&collection, &mut ids, &ReadOptions::at(now_ms))
        });
        prepared
            .await
            .map_err(|error| Error::internal("reading an import panicked").because(error))?
    }

    /// Finds the import, or makes it.
    async fn begin_import(&self, table: &Table<'_>, import: Import<'_>) -> Result<Imported> {
        let found = table.import(import.name).await?;
        let state = match found {
            Some(state) => state,
            None => {
                let now_ms = self.now_ms();
                match table.begin_import(import.name, now_ms, now_ms - REMEMBERED_MS).await {
                    // Somebody else began it a moment ago.
                    Err(error) if error.kind() == Kind::AlreadyExists => {
                        table.import(import.name).await?.unwrap_or_default()
                    }
                    begun => begun.map(|()| Imported::default())?,
                }
            }
        };
        if state.is_done {
            let message = "this import is done; give it another name to do it once more";
            return Err(Error::new(Kind::AlreadyExists, message));
        }
        if state.bytes != import.from_bytes {
            let message = format!("{} bytes of this import are in; go on from there", state.bytes);
            return Err(Error::new(Kind::Conflict, message));
        }
        Ok(state)
    }
}

fn check_name(name: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    let message = "the name of an import has 1 to 64 of A-Z, a-z, 0-9, '_' and '-'";
    Err(Error::new(Kind::InvalidParameter, message))
}

// === impl Piece ===

impl Piece {
    fn prepare(
        &self,
        collection: &Collection,
        ids: &mut Ids,
        options: &ReadOptions,
    ) -> Result<Ready> {
        let mut documents = Vec::new();
        let mut end =
            End { bytes: self.begin_bytes, lines: self.lines_before, is_done: self.is_last };
        for whole in self.lines.split_inclusive(|byte| *byte == b'\n') {
            end.bytes += whole.len() as u64;
            end.lines += 1;
            let number = end.lines;
            let line = whole.trim_ascii();
            let line = match number == 1 && self.begin_bytes == 0 {
                // Editors of Windows mark the encoding at the beginning of a file.
                true => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line),
                false => line,
            };
            if line.is_empty() {
                continue;
            }
            let read = ejson::read_document(line, options).map_err(Error::from);
            let prepared =
                read.and_then(|read| prepare_insert(read, Reach::All, ids, &collection.indexes));
            let document = prepared.map_err(|error| at_line(number, &error))?;
            documents.push(Line { document, number, end_bytes: end.bytes });
        }
        let schema_epoch = collection.schema_epoch;
        let (lines, begin_bytes) = (self.lines.clone(), self.begin_bytes);
        Ok(Ready { schema_epoch, documents, lines, begin_bytes, end })
    }
}

fn at_line(number: u64, error: &Error) -> Error {
    Error::new(error.kind(), format!("line {number}: {}", error.message()))
}

// === impl Pieces ===

impl Pieces {
    fn new(body: Body, from: Imported) -> Self {
        Self {
            body,
            held: BytesMut::new(),
            is_over: false,
            at_bytes: from.bytes,
            lines: from.lines,
            seen: 0,
            seen_lines: 0,
            line_end: 0,
        }
    }

    /// The next lines; the last piece may be empty.
    async fn next(&mut self) -> Result<Piece> {
        let end = loop {
            if let Some(end) = self.end()? {
                break end;
            }
            match self.body.next().await {
                Some(bytes) => self.held.extend_from_slice(&bytes.map_err(body::into_error)?),
                None => {
                    self.is_over = true;
                    break self.held.len();
                }
            }
        };
        let lines = self.held.split_to(end).freeze();
        let (begin_bytes, lines_before) = (self.at_bytes, self.lines);
        self.at_bytes += end as u64;
        self.lines += self.seen_lines as u64;
        (self.seen, self.seen_lines, self.line_end) = (0, 0, 0);
        Ok(Piece { lines, begin_bytes, lines_before, is_last: self.is_over })
    }

    /// Where a piece ends in the held bytes, if there are enough for one.
    fn end(&mut self) -> Result<Option<usize>> {
        while let Some(length) = self.held[self.seen..].iter().position(|byte| *byte == b'\n') {
            self.seen += length + 1;
            self.seen_lines += 1;
            self.line_end = self.seen;
            if self.seen >= PIECE_BYTES || self.seen_lines >= PIECE_LINES_MAX {
                return Ok(Some(self.seen));
            }
        }
        self.seen = self.held.len();
        if self.seen - self.line_end <= LINE_BYTES_MAX {
            return Ok(None);
        }
        let message = format!("a line has at most {} MiB", LINE_BYTES_MAX >> 20);
        let number = self.lines + self.seen_lines as u64 + 1;
        Err(at_line(number, &Error::new(Kind::TooLarge, message)))
    }
}

// === impl Ready ===

impl Ready {
    /// The last bytes before `end_bytes`, as far as they are of this piece.
    fn tail(&self, end_bytes: u64) -> Option<Tail> {
        let end = usize::try_from(end_bytes.saturating_sub(self.begin_bytes)).ok()?;
        let bytes = end.min(TAIL_BYTES);
        let tail = self.lines.get(end - bytes..end).filter(|tail| !tail.is_empty())?;
        let sha256 = digest(&SHA256, tail).as_ref().try_into().ok()?;
        Some(Tail { bytes: bytes as u64, sha256 })
    }
}

// === impl Going ===

impl Going<'_> {
    /// Writes a piece, in one write batch unless it would be too large.
    async fn write(&mut self, mut ready: Ready) -> Result<()> {
        if ready.schema_epoch != self.table.collection.schema_epoch {
            self.find_keys(&mut ready.documents)?;
        }
        // Documents that were there already, which the next write batch counts.
        let (mut left_out, mut attempts) = (0, 0);
        loop {
            let count = self.fitting(&ready.documents);
            let end = match ready.documents.get(..count).and_then(<[Line]>::last) {
                Some(last) if count < ready.documents.len() => {
                    End { bytes: last.end_bytes, lines: last.number, is_done: false }
                }
                _ => ready.end,
            };
            let state = Imported {
                bytes: end.bytes,
                lines: end.lines,
                documents: self.state.documents + count as u64 + left_out,
                kept: self.state.kept + left_out,
                is_done: end.is_done,
                tail: ready.tail(end.bytes).unwrap_or(self.state.tail),
            };
            match self.commit(&ready.documents[..count], state).await {
                Ok(()) => {
                    let written = ready.documents[..count].iter();
                    self.documents.note_kinds(&self.table, written.map(|line| &line.document.keys));
                    ready.documents.drain(..count);
                    self.state = state;
                    if ready.documents.is_empty() {
                        return Ok(());
                    }
                    (left_out, attempts) = (0, 0);
                    continue;
                }
                Err(error) if error.kind() == Kind::Conflict => {
                    self.go_on_after(error, &mut ready.documents).await?;
                }
                Err(error) if error.kind() == Kind::AlreadyExists => {
                    left_out += self.leave_out_existing(&mut ready.documents, count, error).await?;
                }
                Err(error) => return Err(error),
            }
            attempts += 1;
            if attempts == ATTEMPTS_MAX {
                return Err(contended());
            }
        }
    }

    /// How many of these documents one write batch takes.
    fn fitting(&self, documents: &[Line]) -> usize {
        let mut size = BatchSize::default();
        let indexes = &self.table.collection.indexes;
        let fits = |line: &&Line| size.insert(indexes, &line.document).is_ok();
        // One alone always fits: it has bounds of its own.
        documents.iter().take_while(fits).count().max(1).min(documents.len())
    }

    /// The collection's indexes may be others now, unless somebody else goes on with the same import.
    async fn go_on_after(&mut self, error: Error, documents: &mut [Line]) -> Result<()> {
        if self.table.import(self.import.name).await? != Some(self.state) {
            let message = "somebody else goes on with this import at the same time";
            return Err(Error::new(Kind::Conflict, message).because(error));
        }
        self.table = self.documents.renewed(&self.table).await?;
        self.find_keys(documents)
    }

    /// Finds the keys of documents that were prepared by other indexes.
    fn find_keys(&self, documents: &mut [Line]) -> Result<()> {
        let indexes = &self.table.collection.indexes;
        offload::run_now(true, || {
            for Line { document, number, .. } in documents {
                let keys = decode(&document.body).and_then(|body| keys_of(indexes, &body));
                document.keys = keys.map_err(|error| at_line(*number, &error))?;
            }
            Ok(())
        })
    }

    /// Adds documents and moves the import on, together. That it stands where it is thought is asked first: whoever is too
    /// late must not hear that documents are there which the other one has just added.
    async fn commit(&self, documents: &[Line], state: Imported) -> Result<()> {
        let table = &self.table;
        let now_ms = self.documents.now_ms();
        let mut batch = Batch::load_at(now_ms);
        batch.push(table.advance_import(self.import.name, self.state.bytes, state, now_ms));
        for Line { document, .. } in documents {
            batch.insert(table, document);
        }
        table.write(None, batch, None).await.map(drop)
    }

    /// Takes those of the first `count` documents away whose ids are there, if they may stay, and says how many; else the
    /// refusal names the first line. It names the line, too, whose value in a unique index is taken.
    async fn leave_out_existing(
        &self,
        documents: &mut Vec<Line>,
        count: usize,
        error: Error,
    ) -> Result<u64> {
        let mut taken = HashSet::new();
        for lines in documents[..count].chunks(DOCUMENTS_OF_KEYS_MAX) {
            let keys: Vec<_> = lines.iter().map(|line| line.document.key.clone()).collect();
            taken.extend(self.table.keys_of(&keys).await?);
        }
        // The same id may stand twice in the file, too: the first line counts.
        let mut is_taken = |line: &Line| !taken.insert(line.document.key.clone());
        let marks: Vec<bool> = documents[..count].iter().map(&mut is_taken).collect();
        match marks.iter().position(|is_taken| *is_taken) {
            Some(_) if self.import.keeps_existing => {
                let mut marks = marks.into_iter();
                let before = documents.len();
                documents.retain(|_| !marks.next().unwrap_or(false));
                Ok((before - documents.len()) as u64)
            }
            Some(first) => {
                let message = "a document with this _id exists already";
                Err(at_line(documents[first].number, &Error::new(Kind::AlreadyExists, message)))
            }
            None => match self.unique_line(&documents[..count]).await? {
                Some(refusal) => Err(refusal.because(error)),
                // Whoever had the id or the value is gone.
                None => Ok(0),
            },
        }
    }

    /// The refusal of the first line whose value in a unique index is another document's; none when all are free.
    async fn unique_line(&self, documents: &[Line]) -> Result<Option<Error>> {
        let indexes = self.table.collection.indexes.iter().enumerate();
        let unique: Vec<_> = indexes.filter(|(_, index)| index.unique && index.is_kept()).collect();
        let mut seen = HashSet::new();
        for Line { document, number, .. } in documents {
            for (place, index) in &unique {
                for entry in document.keys.0.get(*place).into_iter().flat_map(|keys| &keys.keys) {
                    let is_twice = !seen.insert((index.id, entry.as_slice()));
                    if is_twice || self.table.unique_holder(index.id, entry).await?.is_some() {
                        let message = format!("duplicate value for unique index {}", index.name);
                        let refusal = Error::new(Kind::AlreadyExists, message);
                        return Ok(Some(at_line(*number, &refusal)));
                    }
                }
            }
        }
        Ok(None)
    }
}
