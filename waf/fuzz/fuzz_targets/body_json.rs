//! Any bytes as a body of JSON: nothing panics, and the pieces in which it arrives do not matter.

#![no_main]

use libfuzzer_sys::fuzz_target;
use yunzhan_waf_fuzz::body;

fuzz_target!(|bytes: &[u8]| body("application/json", bytes));
