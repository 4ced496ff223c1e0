//! What documents were before they changed, kept in memory for as long as an open transaction may ask for it.
//!
//! A *fact* says: this unit of writing found the document so. Every writer of this process notes its facts before its unit
//! is committed, so whoever finds a document changed finds the fact too. Whether a unit came before or after a snapshot is
//! told by a clock that counts the beginnings and ends of both; where they overlap, by the versions; and where neither
//! tells, nobody guesses: the transaction is in conflict.
//!
//! While no transaction of an environment has a snapshot, nothing is noted there. A writer then only counts itself, for a
//! snapshot must not be taken before those are done that began without noting anything.
//!
//! Each environment has its own facts, clock of its own beginnings and ends, and bound: neither a slow writer nor a writer of
//! much is felt by the transactions of another one.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use yunzhan_base::{EnvId, Kind, Result};

use super::state::conflict;
use crate::documents::store::Stored;

/// Most bytes of facts of one environment. Beyond it they are forgotten, and its transactions that would need them are in
/// conflict: a writer of much must not be stopped by a reader who went away.
const ENV_FACT_BYTES_MAX: usize = 32 << 20;

/// Most bytes of facts of all environments. Beyond it those of the environment with the most are forgotten.
const FACT_BYTES_MAX: usize = 128 << 20;

/// What a fact takes besides its key and its body: two entries in maps.
const FACT_BYTES: usize = 200;

/// How long a snapshot waits for the writers that began before there was any: longer than a unit usually takes.
const QUIET_WAIT_MAX: Duration = Duration::from_secs(5);

/// How often a waiting snapshot looks: about the time of one commit.
const QUIET_PAUSE: Duration = Duration::from_millis(1);

/// How long a unit counts as going on when nobody hears of its end: the engine goes on when a caller goes away.
const UNHEARD: Duration = Duration::from_secs(5);

/// The facts of one process.
#[derive(Default)]
pub(in crate::documents) struct Past(Mutex<Envs>);

#[derive(Default)]
struct Envs {
    /// Counts beginnings and ends of units and snapshots.
    clock: u64,
    /// Those in which somebody writes or has a snapshot.
    by_env: HashMap<EnvId, Facts>,
    /// Of all facts.
    bytes: usize,
}

/// The facts of one environment.
#[derive(Default)]
struct Facts {
    /// By collection, then by key; the oldest fact of a document first.
    of: HashMap<i64, BTreeMap<Vec<u8>, VecDeque<Fact>>>,
    /// By their beginnings.
    units: BTreeMap<u64, Unit>,
    /// Units going on that noted nothing.
    silent: usize,
    /// The beginnings of the open snapshots, and of those that are about to be.
    snapshots: BTreeSet<u64>,
    bytes: usize,
    /// When facts were forgotten that somebody could have needed.
    lost_at: u64,
}

struct Fact {
    unit: u64,
    /// None when there was no document.
    before: Option<Arc<Stored>>,
    /// The unit removes it.
    goes: bool,
}

struct Unit {
    ended: Option<u64>,
    places: Vec<(i64, Vec<u8>)>,
    bytes: usize,
}

/// A document that a unit is about to write, as it is before.
pub(in crate::documents) struct Before {
    pub(in crate::documents) collection: i64,
    pub(in crate::documents) key: Vec<u8>,
    /// None when there is no document.
    pub(in crate::documents) stored: Option<Arc<Stored>>,
    /// Whether the unit removes it.
    pub(in crate::documents) goes: bool,
}

/// A unit that is going on. Without [`Writing::end`] it counts as going on for a while: nobody knows then what became of it.
pub(in crate::documents) struct Writing {
    past: Arc<Past>,
    env: EnvId,
    /// The beginning of a unit that noted facts.
    unit: Option<u64>,
    has_ended: bool,
}

/// A moment whose documents are kept.
pub(super) struct Moment {
    past: Arc<Past>,
    env: EnvId,
    /// When it was registered, which keeps the facts.
    kept_from: u64,
    /// Before the versions were read, and after.
    began: u64,
    ended: u64,
}

/// A document of a collection that changed, or is changing, since a moment.
pub(super) enum Candidate {
    /// It was this.
    Was(Arc<Stored>),
    /// The document with this key must be read to tell.
    Look(Vec<u8>),
}

/// Where a unit lies in time, as a moment sees it.
#[derive(PartialEq, Eq)]
enum When {
    Before,
    Around,
    After,
}

// === impl Past ===

impl Past {
    /// Whether facts of an environment are noted at this moment.
    pub(super) fn is_asked(&self, env: &EnvId) -> bool {
        self.envs().by_env.get(env).is_some_and(|facts| !facts.snapshots.is_empty())
    }

    /// Begins a unit. What it is about to write is asked for only when somebody may want to know.
    pub(in crate::documents) fn begin(
        self: &Arc<Self>,
        env: &EnvId,
        before: impl FnOnce() -> Vec<Before>,
    ) -> Writing {
        let unit = match self.is_asked(env) {
            // Copied before the others are kept out.
            true => {
                let noted = before();
                self.envs().begin(env, || noted)
            }
            false => self.envs().begin(env, before),
        };
        Writing { past: Arc::clone(self), env: env.clone(), unit, has_ended: false }
    }

    /// Keeps the facts of an environment from now on, and waits until no writer is left there that notes none.
    ///
    /// # Errors
    /// `Conflict` when one of them does not come to its end.
    pub(super) async fn open(self: &Arc<Self>, env: &EnvId) -> Result<Moment> {
        let kept_from = self.envs().keep(env);
        let (past, env) = (Arc::clone(self), env.clone());
        let mut moment = Moment { past, env, kept_from, began: kept_from, ended: kept_from };
        let quiet = async {
            while self.envs().by_env.get(&moment.env).is_some_and(|facts| facts.silent > 0) {
                tokio::time::sleep(QUIET_PAUSE).await;
            }
        };
        tokio::time::timeout(QUIET_WAIT_MAX, quiet).await.map_err(|_| conflict())?;
        moment.began = self.envs().tick();
        Ok(moment)
    }

    fn envs(&self) -> MutexGuard<'_, Envs> {
        self.0.lock().expect("no panic while held")
    }
}

// === impl Writing ===

impl Writing {
    /// Says what became of the unit.
    pub(in crate::documents) fn end<T>(mut self, result: &Result<T>) {
        let is_done = match result {
            Ok(_) => true,
            // It may have been committed, or may yet be.
            Err(error) if matches!(error.kind(), Kind::Timeout | Kind::Unavailable) => return,
            Err(_) => false,
        };
        self.has_ended = true;
        self.past.envs().settle(&self.env, self.unit, is_done);
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let (past, env, unit) = (Arc::clone(&self.past), self.env.clone(), self.unit);
        match tokio::runtime::Handle::try_current() {
            Err(_) => past.envs().settle(&env, unit, true),
            Ok(runtime) => drop(runtime.spawn(async move {
                tokio::time::sleep(UNHEARD).await;
                past.envs().settle(&env, unit, true);
            })),
        }
    }
}

// === impl Moment ===

impl Moment {
    /// Says that the versions of the moment have been read.
    pub(super) fn end(&mut self) {
        self.ended = self.past.envs().tick();
    }

    /// What a document was at this moment, when the tables have none with this key any more, or one that is newer than
    /// `version`, the collection's at the moment.
    ///
    /// # Errors
    /// `Conflict` when nobody knows.
    pub(super) fn recall(
        &self,
        (collection, key): (i64, &[u8]),
        version: i64,
        is_there: bool,
    ) -> Result<Option<Arc<Stored>>> {
        // The collection had no document, or there was none.
        if version == 0 {
            return Ok(None);
        }
        let envs = self.past.envs();
        let facts = self.facts(&envs)?;
        let of = facts.of.get(&collection).and_then(|of| of.get(key));
        let Some(of) = of.filter(|of| !of.is_empty()) else {
            return if is_there { Err(conflict()) } else { Ok(None) };
        };
        if let Some(before) = newest(of, version) {
            return match self.fate(facts, of, before.version) {
                (When::After, _) => Ok(Some(before)),
                // Between an end that is not known to be over and the moment, a removal leaves no trace.
                (When::Around, false) => Ok(Some(before)),
                (When::Before, true) => Ok(None),
                (When::Around, true) | (When::Before, false) => Err(conflict()),
            };
        }
        let was_absent = of
            .iter()
            .any(|fact| fact.before.is_none() && self.when(facts, fact.unit) != When::Before);
        // Without its birth, somebody else wrote it.
        if was_absent { Ok(None) } else { Err(conflict()) }
    }

    /// The documents of a collection that are, or may be, others now than they were at this moment.
    ///
    /// # Errors
    /// `Conflict` when nobody knows.
    pub(super) fn candidates(&self, collection: i64, version: i64) -> Result<Vec<Candidate>> {
        if version == 0 {
            return Ok(Vec::new());
        }
        let envs = self.past.envs();
        let facts = self.facts(&envs)?;
        let Some(all) = facts.of.get(&collection) else { return Ok(Vec::new()) };
        let mut candidates = Vec::new();
        for (key, of) in all {
            let Some(before) = newest(of, version) else { continue };
            match self.fate(facts, of, before.version).0 {
                // What it was afterwards is in the tables, or has a fact of its own.
                When::Before => {}
                When::After if is_settled(facts, of, before.version) => {
                    candidates.push(Candidate::Was(before));
                }
                When::After | When::Around => candidates.push(Candidate::Look(key.clone())),
            }
        }
        Ok(candidates)
    }

    /// What is known of its environment, unless some of it was forgotten.
    fn facts<'e>(&self, envs: &'e Envs) -> Result<&'e Facts> {
        let facts = envs.by_env.get(&self.env);
        facts.filter(|facts| facts.lost_at < self.kept_from).ok_or_else(conflict)
    }

    /// When the document was written at this version for the last time, and whether that removed it. Of several units that
    /// tried, the one that does not lie after the moment counts, for it may be the one that did.
    fn fate(&self, facts: &Facts, of: &VecDeque<Fact>, version: i64) -> (When, bool) {
        let mut fate = (When::After, false);
        for fact in of.iter().filter(|fact| fact.version() == Some(version)) {
            match self.when(facts, fact.unit) {
                When::Before => return (When::Before, fact.goes),
                When::Around => fate = (When::Around, fact.goes || fate.1),
                When::After => {}
            }
        }
        fate
    }

    fn when(&self, facts: &Facts, unit: u64) -> When {
        match facts.units.get(&unit).and_then(|unit| unit.ended) {
            Some(ended) if ended < self.began => When::Before,
            _ if unit > self.ended => When::After,
            _ => When::Around,
        }
    }
}

impl Drop for Moment {
    fn drop(&mut self) {
        self.past.envs().let_go(&self.env, self.kept_from);
    }
}

/// The newest that the document is known to have been up to a version.
fn newest(of: &VecDeque<Fact>, version: i64) -> Option<Arc<Stored>> {
    let known = of.iter().filter_map(|fact| fact.before.as_ref());
    known.filter(|before| before.version <= version).max_by_key(|before| before.version).cloned()
}

/// Whether a unit that found the document at this version has come to its end, and so has changed it.
fn is_settled(facts: &Facts, of: &VecDeque<Fact>, version: i64) -> bool {
    let mut same = of.iter().filter(|fact| fact.version() == Some(version));
    same.any(|fact| facts.units.get(&fact.unit).is_some_and(|unit| unit.ended.is_some()))
}

// === impl Envs ===

impl Envs {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Begins a unit; gives its beginning if it noted facts.
    fn begin(&mut self, env: &EnvId, before: impl FnOnce() -> Vec<Before>) -> Option<u64> {
        let now = self.tick();
        let facts = self.by_env.entry(env.clone()).or_default();
        if facts.snapshots.is_empty() {
            facts.silent += 1;
            return None;
        }
        let noted = facts.note(now, before());
        self.bytes += noted;
        if facts.bytes > ENV_FACT_BYTES_MAX {
            self.lose(env.clone());
        }
        while self.bytes > FACT_BYTES_MAX {
            let most = self.by_env.iter().max_by_key(|(_, facts)| facts.bytes);
            let Some(most) = most.map(|(env, _)| env.clone()) else { break };
            self.lose(most);
        }
        Some(now)
    }

    /// Registers a snapshot.
    fn keep(&mut self, env: &EnvId) -> u64 {
        let now = self.tick();
        self.by_env.entry(env.clone()).or_default().snapshots.insert(now);
        now
    }

    /// Ends a snapshot.
    fn let_go(&mut self, env: &EnvId, kept_from: u64) {
        let Some(facts) = self.by_env.get_mut(env) else { return };
        facts.snapshots.remove(&kept_from);
        self.bytes -= facts.forget_old();
        self.drop_unused(env);
    }

    /// Ends a unit.
    fn settle(&mut self, env: &EnvId, unit: Option<u64>, is_done: bool) {
        let now = self.tick();
        let Some(facts) = self.by_env.get_mut(env) else { return };
        match unit {
            None => facts.silent = facts.silent.saturating_sub(1),
            Some(unit) => self.bytes -= facts.end(unit, now, is_done),
        }
        self.drop_unused(env);
    }

    /// Forgets all facts of an environment, and when that was.
    fn lose(&mut self, env: EnvId) {
        let now = self.tick();
        let facts = self.by_env.entry(env).or_default();
        self.bytes -= std::mem::take(&mut facts.bytes);
        facts.of.clear();
        facts.units.clear();
        facts.lost_at = now;
    }

    fn drop_unused(&mut self, env: &EnvId) {
        let is_used = |facts: &Facts| {
            facts.silent > 0 || !facts.snapshots.is_empty() || !facts.units.is_empty()
        };
        if self.by_env.get(env).is_some_and(|facts| !is_used(facts)) {
            self.by_env.remove(env);
        }
    }
}

// === impl Facts ===

impl Facts {
    /// Notes what a unit that begins now is about to write; gives the bytes of that.
    fn note(&mut self, unit: u64, before: Vec<Before>) -> usize {
        let (mut places, mut bytes) = (Vec::with_capacity(before.len()), 0);
        for Before { collection, key, stored, goes } in before {
            let body = stored.as_ref().map_or(0, |stored| stored.key.len() + stored.body.len());
            bytes += FACT_BYTES + 2 * key.len() + body;
            let of = self.of.entry(collection).or_default();
            of.entry(key.clone()).or_default().push_back(Fact { unit, before: stored, goes });
            places.push((collection, key));
        }
        self.bytes += bytes;
        self.units.insert(unit, Unit { ended: None, places, bytes });
        bytes
    }

    /// Ends a unit; gives the bytes that were forgotten. One that failed has changed nothing, and what it found may be
    /// outdated.
    fn end(&mut self, unit: u64, now: u64, is_done: bool) -> usize {
        // It may have been forgotten with all the others.
        let Some(found) = self.units.get_mut(&unit) else { return 0 };
        found.ended = Some(now);
        let failed = if is_done { 0 } else { self.forget(unit) };
        failed + self.forget_old()
    }

    /// Forgets what was over before the oldest snapshot; gives the bytes of that.
    fn forget_old(&mut self) -> usize {
        let oldest = self.snapshots.first().copied().unwrap_or(u64::MAX);
        let mut bytes = 0;
        while let Some((&first, unit)) = self.units.first_key_value()
            && unit.ended.is_some_and(|ended| ended < oldest)
        {
            bytes += self.forget(first);
        }
        bytes
    }

    fn forget(&mut self, unit: u64) -> usize {
        let Some(gone) = self.units.remove(&unit) else { return 0 };
        self.bytes -= gone.bytes;
        for (collection, key) in gone.places {
            let Some(of) = self.of.get_mut(&collection) else { continue };
            if let Some(facts) = of.get_mut(&key) {
                // The oldest unit goes first, so its fact is the first one.
                match facts.front().is_some_and(|fact| fact.unit == unit) {
                    true => drop(facts.pop_front()),
                    false => facts.retain(|fact| fact.unit != unit),
                }
                if facts.is_empty() {
                    of.remove(&key);
                }
            }
            if of.is_empty() {
                self.of.remove(&collection);
            }
        }
        gone.bytes
    }
}

// === impl Fact ===

impl Fact {
    fn version(&self) -> Option<i64> {
        self.before.as_ref().map(|before| before.version)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    const KEY: &[u8] = b"k";

    fn env() -> EnvId {
        "demo".parse().unwrap()
    }

    fn write_in(past: &Arc<Past>, env: &EnvId, version: i64, bytes: usize) -> Writing {
        past.begin(env, || {
            let stored = Stored { key: KEY.to_vec(), version, body: vec![0; bytes] };
            let stored = Some(Arc::new(stored));
            vec![Before { collection: 1, key: KEY.to_vec(), stored, goes: false }]
        })
    }

    fn write(past: &Arc<Past>, version: i64, bytes: usize) -> Writing {
        write_in(past, &env(), version, bytes)
    }

    async fn moment_in(past: &Arc<Past>, env: &EnvId) -> Moment {
        let mut moment = past.open(env).await.unwrap();
        moment.end();
        moment
    }

    async fn moment(past: &Arc<Past>) -> Moment {
        moment_in(past, &env()).await
    }

    fn recall(moment: &Moment, version: i64) -> Option<i64> {
        let found = moment.recall((1, KEY), version, true);
        found.ok().flatten().map(|stored| stored.version)
    }

    #[tokio::test]
    async fn facts_are_kept_as_long_as_somebody_may_ask() {
        let past = Arc::new(Past::default());
        write(&past, 1, 10).end(&Ok(()));
        assert_eq!(past.envs().bytes, 0);
        let first = moment(&past).await;
        write(&past, 2, 10).end(&Ok(()));
        let second = moment(&past).await;
        write(&past, 3, 10).end(&Ok(()));
        write(&past, 4, 10).end(&Err::<(), _>(conflict()));
        assert_eq!((recall(&first, 2), recall(&second, 3)), (Some(2), Some(3)));
        let both = past.envs().bytes;
        drop(first);
        assert!(past.envs().bytes < both);
        assert_eq!(recall(&second, 3), Some(3));
        drop(second);
        assert_eq!(past.envs().bytes, 0);
        assert!(past.envs().by_env.is_empty());
        assert!(!past.is_asked(&env()));
    }

    #[tokio::test]
    async fn too_many_facts_are_forgotten_and_those_who_need_them_told() {
        let past = Arc::new(Past::default());
        let first = moment(&past).await;
        write(&past, 2, 10).end(&Ok(()));
        assert_eq!(recall(&first, 2), Some(2));
        let large = write(&past, 3, ENV_FACT_BYTES_MAX);
        assert_eq!(past.envs().bytes, 0);
        assert!(first.recall((1, KEY), 2, true).is_err());
        assert!(first.candidates(1, 2).is_err());
        large.end(&Ok(()));
        let next = moment(&past).await;
        write(&past, 4, 10).end(&Ok(()));
        assert_eq!(recall(&next, 4), Some(4));
    }

    #[tokio::test]
    async fn a_writer_of_much_and_a_slow_one_are_felt_in_their_environment_alone() {
        let past = Arc::new(Past::default());
        let envs: Vec<EnvId> = (0..5).map(|n| format!("e{n}").parse().unwrap()).collect();
        let slow = write_in(&past, &envs[0], 1, 10);
        let quiet = moment_in(&past, &envs[1]).await;
        assert!(past.is_asked(&envs[1]) && !past.is_asked(&envs[0]));
        write_in(&past, &envs[1], 2, 10).end(&Ok(()));
        slow.end(&Ok(()));
        // Each of them loses its own facts, and nobody else's.
        for env in [&envs[0], &envs[2], &envs[3], &envs[4]] {
            let loud = moment_in(&past, env).await;
            let large = write_in(&past, env, 2, ENV_FACT_BYTES_MAX - 1000);
            assert_eq!(recall(&loud, 2), Some(2));
            let more = write_in(&past, env, 3, 1000);
            assert_eq!(recall(&loud, 2), None);
            large.end(&Ok(()));
            more.end(&Ok(()));
        }
        assert_eq!(recall(&quiet, 2), Some(2));
    }

    #[tokio::test]
    async fn a_snapshot_waits_for_those_who_began_before_there_was_any() {
        let past = Arc::new(Past::default());
        let silent = write(&past, 1, 10);
        assert!(tokio::time::timeout(20 * QUIET_PAUSE, past.open(&env())).await.is_err());
        assert!(!past.is_asked(&env()));
        let opening = tokio::spawn({
            let past = Arc::clone(&past);
            async move { past.open(&env()).await.is_ok() }
        });
        tokio::task::yield_now().await;
        silent.end(&Ok(()));
        assert!(opening.await.unwrap());
    }
}
