//! Any bytes as a body of `multipart/form-data`: nothing panics, and the pieces in which it arrives do not matter.

#![no_main]

use libfuzzer_sys::fuzz_target;
use yunzhan_waf_fuzz::body;

fuzz_target!(|bytes: &[u8]| body("multipart/form-data; boundary=B", bytes));
