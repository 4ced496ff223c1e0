//! libinjection's two detectors.

use libinjectionrs::{SqliFlags, SqliState, XssDetector};

/// The fingerprint of what would be an injection of SQL: one to five letters.
pub(super) fn sql(value: &[u8]) -> Option<Vec<u8>> {
    let mut state = SqliState::new(value, SqliFlags::FLAG_NONE);
    state.detect().then(|| state.fingerprint_string().into_bytes())
}

/// Whether a browser would run a script in it.
pub(super) fn script(value: &[u8]) -> bool {
    XssDetector::new().detect(value).is_injection()
}
