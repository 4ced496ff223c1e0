//! Statement texts that are put together at run time, kept for the life of the process.

use std::collections::HashSet;
use std::sync::{LazyLock, RwLock};

use yunzhan_base::{Error, Kind, Result};

/// Different texts at the most. A planner that needs more puts values into its texts, which belong into parameters.
const TEXTS_MAX: usize = 4096;

static TEXTS: LazyLock<RwLock<HashSet<&'static str>>> = LazyLock::new(RwLock::default);

/// The one static copy of `text`, for [`super::Statement::sql`]. The number of *shapes* must be small by construction
/// (round the length of lists up, put every value into a parameter); beyond 4,096 of them this fails as unavailable.
pub fn intern(text: &str) -> Result<&'static str> {
    if let Some(known) = TEXTS.read().expect("no panic while held").get(text) {
        return Ok(known);
    }
    let mut texts = TEXTS.write().expect("no panic while held");
    if let Some(known) = texts.get(text) {
        return Ok(known);
    }
    if texts.len() >= TEXTS_MAX {
        return Err(Error::new(Kind::Unavailable, "too many different shapes of statements"));
    }
    let text: &'static str = Box::leak(text.into());
    texts.insert(text);
    Ok(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once() {
        let first = intern("SELECT 1").unwrap();
        let second = intern(&String::from("SELECT 1")).unwrap();
        assert!(std::ptr::eq(first, second));
    }
}
