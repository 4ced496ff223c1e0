//! Login codes of one app: given by `wx.login`, taken by `jscode2session`.

use std::collections::{HashMap, VecDeque};

use super::refusal::Refusal;

/// WeChat's documentation: a code is valid for five minutes.
const CODE_LIFE_MS: i64 = 5 * 60 * 1000;
/// WeChat's documentation: each user 100 times a minute.
const CALLS_PER_MINUTE_MAX: usize = 100;
const MINUTE_MS: i64 = 60 * 1000;

#[derive(Debug, Default)]
pub(super) struct Sessions {
    codes: HashMap<String, Code>,
    calls_ms: HashMap<String, VecDeque<i64>>,
}

#[derive(Debug)]
struct Code {
    user: String,
    given_ms: i64,
    used: bool,
}

impl Sessions {
    pub(super) fn give(&mut self, code: String, user: &str, now_ms: i64) {
        self.codes.insert(code, Code { user: user.to_owned(), given_ms: now_ms, used: false });
    }

    /// The user whose phone gave the code, once. Every call counts for the user's rate, a refused one too.
    pub(super) fn take(&mut self, code: &str, now_ms: i64) -> Result<String, Refusal> {
        let code = self.codes.get_mut(code).ok_or(Refusal::CODE)?;
        count(self.calls_ms.entry(code.user.clone()).or_default(), now_ms)?;
        if now_ms - code.given_ms >= CODE_LIFE_MS {
            return Err(Refusal::CODE);
        }
        if code.used {
            return Err(Refusal::CODE_USED);
        }
        code.used = true;
        Ok(code.user.clone())
    }
}

/// Admits the call unless the last minute is full. A refused call is not counted again, so the user recovers.
fn count(calls_ms: &mut VecDeque<i64>, now_ms: i64) -> Result<(), Refusal> {
    while calls_ms.front().is_some_and(|called_ms| now_ms - called_ms >= MINUTE_MS) {
        calls_ms.pop_front();
    }
    if calls_ms.len() >= CALLS_PER_MINUTE_MAX {
        return Err(Refusal::MINUTE_LIMIT);
    }
    calls_ms.push_back(now_ms);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_750_000_000_000;

    fn with_code() -> Sessions {
        let mut sessions = Sessions::default();
        sessions.give("c".to_owned(), "alice", NOW_MS);
        sessions
    }

    #[test]
    fn a_code_is_good_once() {
        let mut sessions = with_code();
        assert_eq!(sessions.take("c", NOW_MS), Ok("alice".to_owned()));
        assert_eq!(sessions.take("c", NOW_MS), Err(Refusal::CODE_USED));
        assert_eq!(sessions.take("never given", NOW_MS), Err(Refusal::CODE));
    }

    #[test]
    fn a_code_is_good_for_five_minutes() {
        assert_eq!(with_code().take("c", NOW_MS + CODE_LIFE_MS - 1), Ok("alice".to_owned()));
        assert_eq!(with_code().take("c", NOW_MS + CODE_LIFE_MS), Err(Refusal::CODE));
    }

    #[test]
    fn a_user_may_call_a_hundred_times_a_minute() {
        let mut sessions = with_code();
        sessions.give("of bob".to_owned(), "bob", NOW_MS);
        for _ in 0..CALLS_PER_MINUTE_MAX {
            assert_ne!(sessions.take("c", NOW_MS), Err(Refusal::MINUTE_LIMIT));
        }
        assert_eq!(sessions.take("c", NOW_MS + MINUTE_MS - 1), Err(Refusal::MINUTE_LIMIT));
        assert_eq!(
            sessions.take("of bob", NOW_MS),
            Ok("bob".to_owned()),
            "another user has a rate of their own"
        );
        assert_eq!(sessions.take("c", NOW_MS + MINUTE_MS), Err(Refusal::CODE_USED));
    }
}
