//! Any bytes: the reader never panics, and what it accepts survives a round trip in every writer.

#![no_main]

use libfuzzer_sys::fuzz_target;
use yunzhan_query::Bson;
use yunzhan_query::ejson::{Mode, ReadOptions, read, write, write_document, write_raw_document};

fuzz_target!(|bytes: &[u8]| {
    let _ = write_raw_document(bytes, Mode::Relaxed);
    let options = ReadOptions::at(1_700_000_000_000);
    let Ok(value) = read(bytes, &options) else { return };
    let text = write(&value, Mode::Canonical);
    // A canonical text is longer and nests deeper than the relaxed one it was read from.
    let roomy = ReadOptions { depth_max: 300, bytes_max: usize::MAX, values_max: usize::MAX, ..options };
    let again = read(text.as_bytes(), &roomy).expect("canonical text is readable");
    assert_eq!(write(&again, Mode::Canonical), text, "canonical text reads back as the same value");
    for mode in [Mode::Relaxed, Mode::Client] {
        read(write(&value, mode).as_bytes(), &roomy).expect("every mode writes readable text");
    }
    if let Bson::Document(document) = value {
        let stored = document.to_vec().expect("what was read can be stored");
        let raw = write_raw_document(&stored, Mode::Canonical).expect("what was stored can be written");
        assert_eq!(raw, write_document(&document, Mode::Canonical));
    }
});
