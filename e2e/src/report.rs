//! Lines that a reader of CI's log wants to see of tests that pass. The test runner hides what they print; this does not.

use std::io::Write as _;

/// Says that a test did not run, and why.
pub fn skipped(why: &str) {
    say("skipped", why);
}

/// Says what a test measured.
pub fn figure(text: &str) {
    say("figure", text);
}

fn say(kind: &str, text: &str) {
    // Nobody is left to tell when the standard error is gone.
    let _ = writeln!(std::io::stderr(), "{kind}: {text}");
}
