//! What the process remembers so that a token costs a look-up and not a signature: verified tokens, ended sessions.
//!
//! A verified token is found by the SHA-256 of its text. A faster keyed hash would do for finding, but then two tokens that
//! collide must be told apart by comparing them, and the memory would hold people's tokens; 32 bytes hold nothing.
//!
//! Ending a session takes effect at once: the session joins the ended ones, and the generation moves on. A remembered token
//! that was checked in an older generation is checked against the ended sessions again before it counts.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use yunzhan_base::principal::User;

use crate::crypto::sha256;

/// Verified tokens remembered: about 100 bytes each beside the user, so some 20 MB when full. A token that falls out is
/// verified again.
const VERIFIED_MAX: usize = 1 << 16;

/// Ended sessions remembered, each until its last access token has run out (two hours by default). When more end in that
/// time, every access token issued so far is refused once instead, and clients renew theirs: nothing is ever forgotten.
const ENDED_MAX: usize = 1 << 18;

/// Verified tokens and ended sessions of this process.
pub(crate) struct Memory {
    verified: quick_cache::sync::Cache<[u8; 32], Arc<Verified>>,
    ended: RwLock<Ended>,
    ended_max: usize,
    generation: AtomicU64,
}

/// A token whose signature was checked.
pub(crate) struct Verified {
    /// Whom it names.
    pub(crate) user: Arc<User>,
    /// When it was issued, in seconds since 1970.
    issued_s: i64,
    /// In which generation its session was last seen alive.
    checked: AtomicU64,
}

#[derive(Default)]
struct Ended {
    /// Until when each ended session matters, in seconds since 1970.
    sessions: HashMap<Box<str>, i64>,
    /// Tokens issued before this moment are refused, whatever their session; in seconds since 1970.
    floor_s: i64,
}

// === impl Memory ===

impl Default for Memory {
    fn default() -> Self {
        Self::with_bounds(VERIFIED_MAX, ENDED_MAX)
    }
}

impl Memory {
    fn with_bounds(verified_max: usize, ended_max: usize) -> Self {
        Self {
            verified: quick_cache::sync::Cache::new(verified_max),
            ended: RwLock::default(),
            ended_max,
            generation: AtomicU64::new(0),
        }
    }

    /// The key under which a token is remembered.
    pub(crate) fn key(token: &str) -> [u8; 32] {
        sha256(token.as_bytes())
    }

    /// A token that was verified before and whose session is alive. The caller checks its end.
    pub(crate) fn recall(&self, key: &[u8; 32]) -> Option<Arc<Verified>> {
        let verified = self.verified.get(key)?;
        let generation = self.generation.load(Ordering::Acquire);
        if verified.checked.load(Ordering::Relaxed) == generation {
            return Some(verified);
        }
        if !self.is_alive(&verified.user.session, verified.issued_s) {
            self.verified.remove(key);
            return None;
        }
        verified.checked.store(generation, Ordering::Relaxed);
        Some(verified)
    }

    /// Remembers a token whose signature was just checked; `None` when its session has ended.
    pub(crate) fn remember(
        &self,
        key: [u8; 32],
        user: Arc<User>,
        issued_s: i64,
    ) -> Option<Arc<Verified>> {
        // The generation is read first: a session that ends in between is noticed at the next recall.
        let generation = self.generation.load(Ordering::Acquire);
        if !self.is_alive(&user.session, issued_s) {
            return None;
        }
        let checked = AtomicU64::new(generation);
        let verified = Arc::new(Verified { user, issued_s, checked });
        self.verified.insert(key, Arc::clone(&verified));
        Some(verified)
    }

    /// Forgets every verified token: the keys that signed them are trusted no longer.
    pub(crate) fn forget_verified(&self) {
        self.verified.clear();
    }

    /// Refuses the tokens of a session from now on. `until_s` is when the last of them ends.
    pub(crate) fn end_session(&self, session: &str, until_s: i64, now_s: i64) {
        self.end_sessions([(session.to_owned(), until_s)], now_s);
    }

    /// The same for many, as read from the store.
    pub(crate) fn end_sessions(
        &self,
        sessions: impl IntoIterator<Item = (String, i64)>,
        now_s: i64,
    ) {
        {
            let mut ended = self.ended.write().unwrap_or_else(PoisonError::into_inner);
            for (session, until_s) in sessions {
                if until_s > now_s {
                    ended.sessions.insert(session.into(), until_s);
                }
            }
            ended.bound(self.ended_max, now_s);
        }
        // After the set was changed: whoever sees the new generation sees the set.
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn is_alive(&self, session: &str, issued_s: i64) -> bool {
        let ended = self.ended.read().unwrap_or_else(PoisonError::into_inner);
        issued_s >= ended.floor_s && !ended.sessions.contains_key(session)
    }
}

impl Ended {
    fn bound(&mut self, ended_max: usize, now_s: i64) {
        if self.sessions.len() <= ended_max {
            return;
        }
        self.sessions.retain(|_, until_s| *until_s > now_s);
        if self.sessions.len() > ended_max {
            // Tokens of this very second may belong to sessions that are about to be forgotten.
            self.floor_s = now_s + 1;
            self.sessions = HashMap::new();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn user(session: &str) -> Arc<User> {
        Arc::new(User {
            env: "shop".parse().unwrap(),
            uid: "u".into(),
            openid: None,
            roles: Vec::new(),
            session: session.into(),
            anonymous: false,
            expires_s: 1000,
        })
    }

    #[test]
    fn a_session_ends_at_once_and_alone() {
        let memory = Memory::default();
        let (one, two) = (Memory::key("one"), Memory::key("two"));
        assert!(memory.recall(&one).is_none());
        assert!(memory.remember(one, user("s1"), 10).is_some());
        assert!(memory.remember(two, user("s2"), 10).is_some());
        memory.end_session("s1", 500, 20);
        assert!(memory.recall(&one).is_none());
        assert!(memory.recall(&two).is_some());
        // Verifying the token anew does not bring the session back.
        assert!(memory.remember(one, user("s1"), 10).is_none());
    }

    #[test]
    fn more_endings_than_fit_refuse_every_older_token_once() {
        let memory = Memory::with_bounds(16, 2);
        assert!(memory.remember(Memory::key("t"), user("alive"), 10).is_some());
        for session in ["a", "b", "c"] {
            memory.end_session(session, 500, 20);
        }
        assert!(memory.recall(&Memory::key("t")).is_none());
        assert!(memory.remember(Memory::key("a"), user("a"), 20).is_none());
        assert!(memory.remember(Memory::key("t2"), user("alive"), 21).is_some());
    }

    #[test]
    fn endings_that_no_longer_matter_make_room() {
        let memory = Memory::with_bounds(16, 2);
        memory.end_session("a", 30, 20);
        memory.end_session("b", 30, 20);
        memory.end_session("c", 500, 40);
        assert!(memory.remember(Memory::key("t"), user("alive"), 10).is_some());
        assert!(memory.remember(Memory::key("c"), user("c"), 10).is_none());
    }
}
