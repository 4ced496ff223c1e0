//! Every transformation of any bytes: what it may not change it leaves be, and what it makes is bounded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use yunzhan_waf::transformation::Transformation;

/// What a transformation makes of a byte at the most, and of nothing.
const GROWTH: usize = 8;
const OF_NOTHING: usize = 64;

fuzz_target!(|bytes: &[u8]| {
    let mut out = Vec::new();
    for step in Transformation::all() {
        let has_trigger = bytes.iter().any(|&byte| step.triggers().has(byte));
        let is_changed = step.apply(bytes, &mut out);
        let may_change = has_trigger || (bytes.is_empty() && step.changes_empty());
        assert!(may_change || !is_changed, "{step:?} changes what holds none of its triggers");
        assert!(!is_changed || out != bytes, "{step:?} says that it changes what it does not");
        assert!(
            !is_changed || out.len() <= bytes.len() * GROWTH + OF_NOTHING,
            "{step:?} makes too much"
        );
    }
});
