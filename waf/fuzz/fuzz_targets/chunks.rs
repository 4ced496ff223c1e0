//! The first line says by its bytes how the body is cut, the second line is the media type, the rest is the body. However it
//! is cut, verdict, rules and variables are the same, with bounds and without, and no more is held than there is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use yunzhan_waf_fuzz::{Bound, chunks, split};

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut next = || lines.next().unwrap_or_default();
    let (steps, content_type, body) = (next(), next(), next());
    for bound in [Bound::Wide, Bound::Reject, Bound::ProcessPartial] {
        let whole = chunks(bound, content_type, &[body]);
        assert_eq!(whole, chunks(bound, content_type, &split(body, steps)), "chunks do not matter");
        let each: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(whole, chunks(bound, content_type, &each), "single bytes do not matter");
    }
});
