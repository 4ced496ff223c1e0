//! An import of JSON Lines through the service, beside bare SQLite that writes the same rows: a document, its entry in the
//! owner's index, and one in each of two indexes more. The bare side gets finished keys and bodies in the order of the
//! lines, and commits as many documents at once as the service does.

use std::fs;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use yunzhan_base::Body;
use yunzhan_base::body::BodyError;
use yunzhan_query::ejson::{Mode, write_document};
use yunzhan_services::documents::{Import, Keys, NewIndex};

use super::{
    Bare, COLLECTION, COLLECTION_NUMBER, OWNER_INDEX, Outcome, PUT, PUT_ENTRY, Service, created,
    doc, key, order, owner, print, text, times,
};

/// Documents that are imported when nothing else is said.
pub(super) const DOCUMENTS: u64 = 200_000;

/// Documents of one commit of the bare side: a mebibyte of lines, as the service takes them.
const COMMIT_DOCUMENTS: u64 = 900;

/// Lines that are made at once.
const CHUNK_LINES: u64 = 64;

/// Lines of JSON that are made as they are sent.
struct Lines {
    next: u64,
    end: u64,
}

impl http_body::Body for Lines {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let numbers = self.next..(self.next + CHUNK_LINES).min(self.end);
        self.next = numbers.end;
        let text: String = numbers.map(line).collect();
        Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(text.into()))))
    }
}

fn line(number: u64) -> String {
    let mut document = doc! { "_id": text(&key(number)), "no": no(number) };
    document.extend(order(number));
    format!("{}\n", write_document(&document, Mode::Relaxed))
}

/// A number in no order, as that of a payment is.
fn no(number: u64) -> i64 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12) as i64
}

/// Measures both sides on fresh folders.
pub(super) fn measure(runtime: &Runtime, documents: u64) -> Outcome {
    let (bare_folder, folder) = (TempDir::new()?, TempDir::new()?);
    let bare = Bare::in_folder(&bare_folder, runtime)?;
    let bare_times = times(documents, || bare.import(documents))?;
    drop((bare, bare_folder));
    let service = Service::in_folder(&folder, runtime)?;
    for (name, fields) in
        [("by_no", doc! { "no": 1 }), ("by_created", doc! { "status": 1, "created": -1 })]
    {
        let new = NewIndex { name: Some(name.into()), keys: Keys::parse(&fields)?, unique: false };
        runtime.block_on(service.documents.create_index(service.caller(), COLLECTION, new))?;
    }
    while runtime
        .block_on(service.documents.indexes(&service.env, COLLECTION))?
        .iter()
        .any(|index| !index.is_ready())
    {
        runtime.block_on(service.documents.work_on_indexes())?;
    }
    let before_mib = peak_mib(true)?;
    let service_times = times(documents, || {
        let import = Import { name: "orders", from_bytes: 0, keeps_existing: false };
        let body = Body::streaming(Lines { next: 0, end: documents });
        let imported = service.documents.import(service.caller(), COLLECTION, import, body);
        assert_eq!(runtime.block_on(imported)?.documents, documents);
        Ok(())
    })?;
    let grown_mib = peak_mib(false)? - before_mib;
    print("import, 1 KB with two indexes", bare_times, service_times, Some(grown_mib));
    Ok(())
}

/// The most memory that the process held, counted anew from now on if that is wanted.
fn peak_mib(anew: bool) -> Outcome<f64> {
    if anew {
        fs::write("/proc/self/clear_refs", "5")?;
    }
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}

impl Bare {
    fn import(&self, documents: u64) -> Outcome {
        let body = {
            let mut document = doc! { "_id": text(&key(0)), "no": no(0) };
            document.extend(order(0));
            document.to_vec()?
        };
        for number in 0..documents {
            if number.is_multiple_of(COMMIT_DOCUMENTS) {
                let turn = if number == 0 { "BEGIN" } else { "COMMIT; BEGIN" };
                self.connection.execute_batch(turn)?;
            }
            let key = key(number);
            let row = ("shop", COLLECTION_NUMBER, &key, &body);
            self.connection.prepare_cached(PUT)?.execute(row)?;
            let entries = [
                [b"\x20", owner(number).as_bytes(), b"\0"].concat(),
                [b"\x10".as_slice(), &no(number).to_be_bytes()].concat(),
                [b"\x20open\0\x10".as_slice(), &created(number).to_be_bytes()].concat(),
            ];
            for (index, entry) in (OWNER_INDEX..).zip(entries) {
                let row = ("shop", COLLECTION_NUMBER, index, entry, &key);
                self.connection.prepare_cached(PUT_ENTRY)?.execute(row)?;
            }
        }
        Ok(self.connection.execute_batch("COMMIT")?)
    }
}
