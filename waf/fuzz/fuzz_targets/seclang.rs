//! Any text: the reader never panics, tells a mistake where there is a line, and reads the same alone and included.

#![no_main]

use libfuzzer_sys::fuzz_target;
use yunzhan_waf::seclang::ast::{SourceSpan, Problem};
use yunzhan_waf::seclang::{PROBLEMS_MAX, Sources, load, parse};

/// A folder in which one file has the text and every other includes it.
struct Folder<'a>(&'a [u8]);

impl Sources for Folder<'_> {
    fn list(&self, _folder: &str) -> Result<Vec<String>, String> {
        Ok(["a.conf", "b.conf", "c.conf"].map(str::to_owned).into())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        match path {
            "a.conf" => Ok(self.0.to_vec()),
            _ => Ok(b"Include a.conf".to_vec()),
        }
    }
}

fn check_places<'a>(places: impl Iterator<Item = &'a SourceSpan>, text: &[u8]) {
    let lines = text.iter().filter(|byte| **byte == b'\n').count() + 1;
    for place in places {
        assert!((1..=lines).contains(&(place.line as usize)), "{place} of {lines} lines");
    }
}

fn check_problems(problems: &[Problem], text: &[u8]) {
    assert!((1..=PROBLEMS_MAX + 1).contains(&problems.len()));
    check_places(problems.iter().map(|problem| &problem.place), text);
    assert!(problems.iter().all(|problem| !problem.message.is_empty()));
}

fuzz_target!(|text: &[u8]| {
    let alone = parse("a.conf", text);
    match &alone {
        Ok(directives) => check_places(directives.iter().map(|directive| &directive.place), text),
        Err(problems) => check_problems(problems, text),
    }
    match load("b.conf", &Folder(text)) {
        Ok(directives) => {
            // What a file reads alone is what it reads where another includes it. Alone it includes nothing.
            if let Ok(alone) = alone {
                assert_eq!(format!("{alone:?}"), format!("{directives:?}"));
            }
        }
        Err(problems) => check_problems(&problems, text),
    }
});
