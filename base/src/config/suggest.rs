//! "Did you mean …": the nearest known name to a name that is not known.

/// Below this likeness a suggestion confuses more than it helps.
const LIKENESS_MIN: f64 = 0.75;

/// The known name most like `given`, if one is like it at all.
pub(super) fn nearest<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let scored = known.into_iter().map(|name| (strsim::jaro_winkler(given, name), name));
    let best = scored.max_by(|left, right| left.0.total_cmp(&right.0))?;
    (best.0 >= LIKENESS_MIN).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_likely_names_are_suggested() {
        let known = ["http_listen", "https_listen", "idle_timeout"];
        assert_eq!(nearest("htp_listen", known), Some("http_listen"));
        assert_eq!(nearest("timeout_idle", known), None);
        assert_eq!(nearest("x", []), None);
    }
}
