//! The access token of one app, as `stable_token` gives it.

use super::refusal::Refusal;

/// A token lives two hours.
const LIFE_MS: i64 = 7200 * 1000;
/// In its last five minutes the platform gives the next one; the old one stays good until its end.
const RENEWED_EARLY_MS: i64 = 5 * 60 * 1000;
/// A forced refresh sooner than this after the last one gives the token that is there.
const FORCED_APART_MS: i64 = 30 * 1000;
const FORCED_PER_DAY_MAX: u32 = 20;
const DAY_MS: i64 = 24 * 3600 * 1000;

#[derive(Debug, Default)]
pub(super) struct Tokens {
    current: Option<Token>,
    previous: Option<Token>,
    forced: Forced,
}

#[derive(Clone, Debug)]
struct Token {
    text: String,
    until_ms: i64,
}

#[derive(Debug, Default)]
struct Forced {
    last_ms: Option<i64>,
    day: i64,
    today: u32,
}

impl Tokens {
    /// The token to use now and the seconds it is still good. `fresh` is the next one, should one be due.
    pub(super) fn get(
        &mut self,
        force: bool,
        fresh: String,
        now_ms: i64,
    ) -> Result<(String, i64), Refusal> {
        if force && self.forced.take(now_ms)? {
            self.current = None;
            self.previous = None;
        }
        let due =
            self.current.as_ref().is_none_or(|token| now_ms >= token.until_ms - RENEWED_EARLY_MS);
        if due {
            self.previous = self.current.replace(Token { text: fresh, until_ms: now_ms + LIFE_MS });
        }
        let token = self.current.as_ref().expect("one was made when none was there");
        Ok((token.text.clone(), (token.until_ms - now_ms) / 1000))
    }

    pub(super) fn accepts(&self, text: &str, now_ms: i64) -> bool {
        [&self.current, &self.previous]
            .into_iter()
            .flatten()
            .any(|token| token.text == text && now_ms < token.until_ms)
    }
}

impl Forced {
    /// Whether this forced refresh happens: not within 30 s of the last one, and refused beyond the day's number.
    fn take(&mut self, now_ms: i64) -> Result<bool, Refusal> {
        let day = now_ms.div_euclid(DAY_MS);
        if day != self.day {
            (self.day, self.today) = (day, 0);
        }
        if self.last_ms.is_some_and(|last_ms| now_ms - last_ms < FORCED_APART_MS) {
            return Ok(false);
        }
        if self.today >= FORCED_PER_DAY_MAX {
            return Err(Refusal::DAY_LIMIT);
        }
        self.last_ms = Some(now_ms);
        self.today += 1;
        Ok(true)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_750_000_000_000;

    /// Asks for tokens in turn; the next new one would be called by its turn's number.
    fn ask(turns: &[(bool, i64)]) -> Vec<String> {
        let mut tokens = Tokens::default();
        let ask = |(turn, (force, after_ms)): (usize, &(bool, i64))| {
            let (token, seconds) = tokens.get(*force, turn.to_string(), NOW_MS + after_ms).unwrap();
            format!("{token} for {seconds}")
        };
        turns.iter().enumerate().map(ask).collect()
    }

    #[test]
    fn the_same_token_is_given_until_five_minutes_before_its_end() {
        let early_ms = LIFE_MS - RENEWED_EARLY_MS;
        assert_eq!(
            ask(&[(false, 0), (false, 60_000), (false, early_ms - 1000), (false, early_ms)]),
            ["0 for 7200", "0 for 7140", "0 for 301", "3 for 7200"]
        );
    }

    #[test]
    fn a_forced_refresh_happens_at_most_every_thirty_seconds() {
        assert_eq!(
            ask(&[(false, 0), (true, 1000), (true, 30_999), (true, 31_000)]),
            ["0 for 7200", "1 for 7200", "1 for 7170", "3 for 7200"]
        );
    }

    #[test]
    fn a_forced_refresh_happens_twenty_times_a_day() {
        let mut tokens = Tokens::default();
        let mut force = |turn: i64| {
            tokens.get(true, turn.to_string(), NOW_MS + turn * FORCED_APART_MS).map(|_| ())
        };
        for turn in 0..i64::from(FORCED_PER_DAY_MAX) {
            assert_eq!(force(turn), Ok(()));
        }
        assert_eq!(force(20), Err(Refusal::DAY_LIMIT));
        assert_eq!(force(DAY_MS / FORCED_APART_MS), Ok(()));
    }

    #[test]
    fn a_renewed_token_lives_on_beside_its_successor_and_a_forced_out_one_does_not() {
        let mut tokens = Tokens::default();
        tokens.get(false, "first".to_owned(), NOW_MS).unwrap();
        let renewed_ms = NOW_MS + LIFE_MS - RENEWED_EARLY_MS;
        tokens.get(false, "second".to_owned(), renewed_ms).unwrap();
        assert!(tokens.accepts("first", NOW_MS + LIFE_MS - 1));
        assert!(!tokens.accepts("first", NOW_MS + LIFE_MS));
        assert!(tokens.accepts("second", NOW_MS + LIFE_MS));
        tokens.get(true, "third".to_owned(), renewed_ms + 1).unwrap();
        assert!(!tokens.accepts("first", renewed_ms + 1));
        assert!(!tokens.accepts("second", renewed_ms + 1));
        assert!(tokens.accepts("third", renewed_ms + 1));
    }
}
