//! An update, a document, a filter that is an array filter too, one line each: nothing panics, no document outgrows its bounds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use yunzhan_query::ejson::{Mode, ReadOptions, read_document, write_document};
use yunzhan_query::filter::{Filter, Limits};
use yunzhan_query::update::Options;
use yunzhan_query::{Bson, DOCUMENT_DEPTH_MAX, Document, Update, depth};

fn check(document: Document) {
    let stored = document.to_vec().expect("a changed document can be stored");
    let text = write_document(&document, Mode::Canonical);
    assert!(stored.len() < 64 << 20, "document has {} bytes", stored.len());
    assert!(depth(&Bson::Document(document)) <= DOCUMENT_DEPTH_MAX);
    let roomy =
        ReadOptions { depth_max: 300, bytes_max: usize::MAX, values_max: usize::MAX, ..ReadOptions::at(0) };
    read_document(text.as_bytes(), &roomy).expect("a changed document can be read back");
}

fuzz_target!(|bytes: &[u8]| {
    let options = ReadOptions::at(1_700_000_000_000);
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut next = || lines.next().and_then(|line| read_document(line, &options).ok());
    let (Some(update), Some(document)) = (next(), next()) else { return };
    let filter = next();
    let filters = filter.as_slice();
    let array_filters = if bytes.windows(3).any(|part| part == b"$[x") { filters } else { &[] };
    let options = Options { array_filters, now_ms: Some(1_700_000_000_000) };
    let Ok(update) = Update::parse_with(update, &options) else { return };
    assert!(update.fields().all(|field| !field.is_empty()) || update.is_replacement());
    let mut changed = document.clone();
    match update.apply(&mut changed, Some(1)) {
        Ok(true) => check(changed),
        Ok(false) => assert_eq!(write_document(&changed, Mode::Canonical), write_document(&document, Mode::Canonical)),
        Err(_) => {}
    }
    let filter = filter.and_then(|filter| Filter::parse(&filter, &Limits::default()).ok());
    if let Some(Ok(inserted)) = filter.map(|filter| update.upsert(&filter)) {
        check(inserted);
    }
});
