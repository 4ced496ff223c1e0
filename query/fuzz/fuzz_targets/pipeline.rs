//! A pipeline (an array), and documents, one line each: nothing panics, and the budget bounds what a run takes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use yunzhan_query::ejson::{Mode, ReadOptions, read, read_document, write_document};
use yunzhan_query::pipeline::Limits;
use yunzhan_query::{Bson, Budget, Document, Pipeline};

const NOW_MS: i64 = 1_700_000_000_000;

const STEPS_MAX: u64 = 200_000;

const BYTES_MAX: u64 = 4 << 20;

fuzz_target!(|bytes: &[u8]| {
    let options = ReadOptions::at(NOW_MS);
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let stages = lines.next().and_then(|line| read(line, &options).ok());
    let Some(Bson::Array(stages)) = stages else { return };
    let stages: Option<Vec<Document>> = stages.iter().map(|stage| stage.as_document().cloned()).collect();
    let documents: Vec<Document> =
        lines.take(4).filter_map(|line| read_document(line, &options).ok()).collect();
    let Some(Ok(pipeline)) = stages.map(|stages| Pipeline::parse(&stages, &Limits::default())) else { return };
    assert!(pipeline.collections().iter().all(|name| !name.is_empty()));
    let source = pipeline.source();
    assert!(source.limit.is_none_or(|limit| limit > 0));
    let budget = Budget::new(STEPS_MAX, BYTES_MAX);
    let foreign = |_: &str| documents.clone();
    let Ok(results) = pipeline.run_plain(documents.clone(), &foreign, NOW_MS, &budget) else { return };
    budget.keep(BYTES_MAX).expect("a run gives all bytes back");
    for result in results {
        write_document(&result, Mode::Canonical);
    }
});
