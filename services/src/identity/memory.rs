//! What the process remembers so that a token costs a look-up and not a signature: verified tokens, ended sessions.
//!
//! A verified token is found by the SHA-256 of its text. A faster keyed hash would do for finding, but then two tokens that
//! collide must be told apart by comparing them, and the memory would hold people's tokens; 32 bytes hold nothing.
//!
//! Ending a session takes effect at once: the session joins the ended ones, and the generation moves on. A remembered token
//! that was checked in an older generation is checked against the ended sessions again before it counts. A session whose
//! tokens merely say something outdated (a role was taken away) joins them up to now: its client renews and goes on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use yunzhan_base::EnvId;
use yunzhan_base::principal::User;

use crate::crypto::sha256;

/// Verified tokens remembered: about 100 bytes each beside the user, so some 20 MB when full. A token that falls out is
/// verified again.
const VERIFIED_MAX: usize = 1 << 16;

/// Ended and outdated sessions of one environment that are remembered, each until its last access token has run out (two
/// hours by default). When more end in that time, every access token of the environment issued so far is refused once
/// instead, and clients renew theirs: nothing is ever forgotten.
const ENV_ENDED_MAX: usize = 1 << 16;

/// Those of all environments, some 20 MB. When more end, the environment with the most makes room.
const ENDED_MAX: usize = 1 << 18;

/// Verified tokens and ended sessions of this process.
pub(crate) struct Memory {
    verified: quick_cache::sync::Cache<[u8; 32], Arc<Verified>>,
    ended: RwLock<Ended>,
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

/// What the memory knows of a token's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Nothing against it.
    Alive,
    /// The token says something that is no longer so; the client renews it.
    Outdated,
    /// The session is over; the client logs in again.
    Ended,
}

/// One session whose tokens, or some of them, are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    /// Whose it is. Endings that were stored by an older server do not say, and count everywhere.
    pub(crate) env: Option<EnvId>,
    /// Which.
    pub(crate) session: String,
    /// Tokens issued up to this second are refused; [`EVER`] when the session is over.
    pub(crate) issued_s_max: i64,
    /// When the last such token runs out, in seconds since 1970.
    pub(crate) until_s: i64,
}

/// The session is over.
pub(crate) const EVER: i64 = i64::MAX;

struct Ended {
    env_max: usize,
    max: usize,
    by_env: HashMap<EnvId, EndedOfEnv>,
    /// Those that do not say their environment.
    anywhere: EndedOfEnv,
}

/// The ended sessions of one environment.
#[derive(Default)]
struct EndedOfEnv {
    sessions: HashMap<Box<str>, Bounds>,
    /// Tokens issued before this second are refused, whatever their session.
    floor_s: i64,
}

#[derive(Clone, Copy)]
struct Bounds {
    issued_s_max: i64,
    until_s: i64,
}

// === impl Memory ===

impl Default for Memory {
    fn default() -> Self {
        Self::with_bounds(VERIFIED_MAX, ENV_ENDED_MAX, ENDED_MAX)
    }
}

impl Memory {
    fn with_bounds(verified_max: usize, env_max: usize, max: usize) -> Self {
        let (by_env, anywhere) = (HashMap::new(), EndedOfEnv::default());
        Self {
            verified: quick_cache::sync::Cache::new(verified_max),
            ended: RwLock::new(Ended { env_max, max, by_env, anywhere }),
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
        if self.life(&verified.user, verified.issued_s) != Life::Alive {
            self.verified.remove(key);
            return None;
        }
        verified.checked.store(generation, Ordering::Relaxed);
        Some(verified)
    }

    /// Remembers a token whose signature was just checked, unless its session says otherwise.
    pub(crate) fn remember(&self, key: [u8; 32], user: &Arc<User>, issued_s: i64) -> Life {
        // The generation is read first: a session that ends in between is noticed at the next recall.
        let generation = self.generation.load(Ordering::Acquire);
        let life = self.life(user, issued_s);
        if life == Life::Alive {
            let checked = AtomicU64::new(generation);
            self.verified
                .insert(key, Arc::new(Verified { user: Arc::clone(user), issued_s, checked }));
        }
        life
    }

    /// Forgets every verified token: the keys that signed them are trusted no longer.
    pub(crate) fn forget_verified(&self) {
        self.verified.clear();
    }

    /// Forgets one verified token.
    pub(crate) fn forget(&self, key: &[u8; 32]) {
        self.verified.remove(key);
    }

    /// Refuses these sessions' tokens from now on.
    pub(crate) fn end(&self, endings: impl IntoIterator<Item = Ending>, now_s: i64) {
        {
            let mut ended = self.ended.write().unwrap_or_else(PoisonError::into_inner);
            for ending in endings {
                ended.add(ending, now_s);
            }
            ended.bound(now_s);
        }
        // After the set was changed: whoever sees the new generation sees the set.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// How many verified tokens are remembered.
    pub(crate) fn verified(&self) -> usize {
        self.verified.len()
    }

    /// How many ended sessions are.
    pub(crate) fn ended(&self) -> usize {
        let ended = self.ended.read().unwrap_or_else(PoisonError::into_inner);
        let of_envs = ended.by_env.values().chain([&ended.anywhere]);
        of_envs.map(|of_env| of_env.sessions.len()).sum()
    }

    fn life(&self, user: &User, issued_s: i64) -> Life {
        let ended = self.ended.read().unwrap_or_else(PoisonError::into_inner);
        let own = ended.by_env.get(&user.env).map(|of| of.life(&user.session, issued_s));
        match own {
            None | Some(Life::Alive) => ended.anywhere.life(&user.session, issued_s),
            Some(refused) => refused,
        }
    }
}

impl Ended {
    fn add(&mut self, ending: Ending, now_s: i64) {
        if ending.until_s <= now_s {
            return;
        }
        let of = match ending.env {
            Some(env) => self.by_env.entry(env).or_default(),
            None => &mut self.anywhere,
        };
        let new = Bounds { issued_s_max: ending.issued_s_max, until_s: ending.until_s };
        let bounds = of.sessions.entry(ending.session.into()).or_insert(new);
        // An ended session stays ended, in whatever order the news arrive.
        bounds.issued_s_max = bounds.issued_s_max.max(new.issued_s_max);
        bounds.until_s = bounds.until_s.max(new.until_s);
    }

    /// First each environment keeps to its part, and then all together to the whole.
    fn bound(&mut self, now_s: i64) {
        let env_max = self.env_max;
        for of in self.by_env.values_mut().chain([&mut self.anywhere]) {
            of.bound(env_max, now_s);
        }
        while self.count() > self.max {
            let all = self.by_env.values_mut().chain([&mut self.anywhere]);
            let Some(most) = all.max_by_key(|of| of.sessions.len()) else { return };
            let before = most.sessions.len();
            most.drop_outlived(now_s);
            if most.sessions.len() == before {
                most.raise_floor(now_s);
            }
        }
    }

    fn count(&self) -> usize {
        let all = self.by_env.values().chain([&self.anywhere]);
        all.map(|of| of.sessions.len()).sum()
    }
}

impl EndedOfEnv {
    fn life(&self, session: &str, issued_s: i64) -> Life {
        match self.sessions.get(session) {
            Some(bounds) if bounds.issued_s_max == EVER => Life::Ended,
            Some(bounds) if issued_s <= bounds.issued_s_max => Life::Outdated,
            _ if issued_s < self.floor_s => Life::Outdated,
            _ => Life::Alive,
        }
    }

    fn bound(&mut self, max: usize, now_s: i64) {
        if self.sessions.len() <= max {
            return;
        }
        self.drop_outlived(now_s);
        if self.sessions.len() > max {
            self.raise_floor(now_s);
        }
    }

    fn drop_outlived(&mut self, now_s: i64) {
        self.sessions.retain(|_, bounds| bounds.until_s > now_s);
    }

    /// Refuses every token issued so far, and so need not know the sessions any more.
    fn raise_floor(&mut self, now_s: i64) {
        // Tokens of this very second may belong to sessions that are about to be forgotten.
        self.floor_s = now_s + 1;
        self.sessions = HashMap::new();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn user(session: &str) -> Arc<User> {
        user_in("shop", session)
    }

    fn user_in(env: &str, session: &str) -> Arc<User> {
        Arc::new(User {
            env: env.parse().unwrap(),
            uid: "u".into(),
            openid: None,
            roles: Vec::new(),
            session: session.into(),
            anonymous: false,
            expires_s: 1000,
        })
    }

    fn over(session: &str, until_s: i64) -> [Ending; 1] {
        over_in("shop", session, until_s)
    }

    fn over_in(env: &str, session: &str, until_s: i64) -> [Ending; 1] {
        let env = Some(env.parse().unwrap());
        [Ending { env, session: session.into(), issued_s_max: EVER, until_s }]
    }

    fn outdated(session: &str, issued_s_max: i64) -> [Ending; 1] {
        over(session, 500).map(|ending| Ending { issued_s_max, ..ending })
    }

    #[test]
    fn a_session_ends_at_once_and_alone() {
        let memory = Memory::default();
        let (one, two) = (Memory::key("one"), Memory::key("two"));
        assert!(memory.recall(&one).is_none());
        assert_eq!(memory.remember(one, &user("s1"), 10), Life::Alive);
        assert_eq!(memory.remember(two, &user("s2"), 10), Life::Alive);
        memory.end(over("s1", 500), 20);
        assert!(memory.recall(&one).is_none());
        assert!(memory.recall(&two).is_some());
        // Verifying the token anew does not bring the session back, nor does older news.
        assert_eq!(memory.remember(one, &user("s1"), 10), Life::Ended);
        memory.end(outdated("s1", 15), 20);
        assert_eq!(memory.remember(one, &user("s1"), 30), Life::Ended);
    }

    #[test]
    fn an_outdated_token_is_refused_and_its_successor_is_not() {
        let memory = Memory::default();
        let (old, new) = (Memory::key("old"), Memory::key("new"));
        memory.remember(old, &user("s"), 20);
        memory.end(outdated("s", 20), 20);
        assert!(memory.recall(&old).is_none());
        assert_eq!(memory.remember(old, &user("s"), 20), Life::Outdated);
        assert_eq!(memory.remember(new, &user("s"), 21), Life::Alive);
        assert!(memory.recall(&new).is_some());
    }

    #[test]
    fn more_endings_than_fit_refuse_every_older_token_once() {
        let memory = Memory::with_bounds(16, 2, 4);
        memory.remember(Memory::key("t"), &user("alive"), 10);
        for session in ["a", "b", "c"] {
            memory.end(over(session, 500), 20);
        }
        assert!(memory.recall(&Memory::key("t")).is_none());
        assert_eq!(memory.remember(Memory::key("a"), &user("a"), 20), Life::Outdated);
        assert_eq!(memory.remember(Memory::key("t2"), &user("alive"), 21), Life::Alive);
    }

    #[test]
    fn one_environment_s_endings_are_felt_in_no_other() {
        let memory = Memory::with_bounds(16, 3, 4);
        let alive = |env: &str| {
            memory.remember(Memory::key(env), &user_in(env, "alive"), 10) == Life::Alive
        };
        for session in ["a", "b", "c", "d"] {
            memory.end(over_in("loud", session, 500), 20);
        }
        memory.end(over_in("quiet", "a", 500), 20);
        assert!(!alive("loud") && alive("quiet"), "its part is used up");
        let ended = memory.remember(Memory::key("q"), &user_in("quiet", "a"), 10);
        assert_eq!(ended, Life::Ended, "another one's sessions are still ended");
        // All together are too many: who has the most makes room.
        for session in ["a", "b", "c"] {
            memory.end(over_in("third", session, 500), 20);
        }
        memory.end(over_in("fourth", "a", 500), 20);
        assert!(!alive("third") && alive("quiet") && alive("fourth"));
    }

    #[test]
    fn endings_that_no_longer_matter_make_room() {
        let memory = Memory::with_bounds(16, 2, 4);
        memory.end(over("a", 30), 20);
        memory.end(over("b", 30), 20);
        memory.end(over("c", 500), 40);
        assert_eq!(memory.remember(Memory::key("t"), &user("alive"), 10), Life::Alive);
        assert_eq!(memory.remember(Memory::key("c"), &user("c"), 10), Life::Ended);
    }
}
