//! What documents were before they changed, kept in memory for as long as an open transaction may ask for it.
//!
//! A *fact* says: this unit of writing found the document so. Every writer of this process notes its facts before its unit
//! is committed, so whoever finds a document changed finds the fact too. Whether a unit came before or after a snapshot is
//! told by a clock that counts the beginnings and ends of both; where they overlap, by the versions; and where neither
//! tells, nobody guesses: the transaction is in conflict.
//!
//! While no transaction has a snapshot, nothing is noted. A writer then only counts itself, for a snapshot must not be taken
//! before those are done that began without noting anything.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use yunzhan_base::{EnvId, Kind, Result};

use super::state::conflict;
use crate::documents::store::Stored;

/// Most bytes of facts. Beyond it all are forgotten, and transactions that would need them are in conflict: a writer of
/// much must not be stopped by a reader who went away.
const FACT_BYTES_MAX: usize = 64 << 20;

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
pub(in crate::documents) struct Past {
    /// Snapshots that are open or about to be.
    snapshots: AtomicUsize,
    /// Units going on that noted nothing.
    silent: AtomicUsize,
    facts: Mutex<Facts>,
}

#[derive(Default)]
struct Facts {
    /// Counts beginnings and ends of units and snapshots.
    clock: u64,
    /// By environment and collection, then by key; the oldest fact of a document first.
    of: HashMap<(EnvId, i64), BTreeMap<Vec<u8>, VecDeque<Fact>>>,
    /// By their beginnings.
    units: BTreeMap<u64, Unit>,
    /// The beginnings of the open snapshots.
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
    env: EnvId,
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
    /// The beginning of a unit that noted facts.
    unit: Option<u64>,
    has_ended: bool,
}

/// A moment whose documents are kept.
pub(super) struct Moment {
    past: Arc<Past>,
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
    /// Whether facts are noted at this moment.
    pub(super) fn is_asked(&self) -> bool {
        self.snapshots.load(SeqCst) > 0
    }

    /// Begins a unit. What it is about to write is asked for only when somebody may want to know.
    pub(in crate::documents) fn begin(
        self: &Arc<Self>,
        env: &EnvId,
        before: impl FnOnce() -> Vec<Before>,
    ) -> Writing {
        // First counted and then looked, while a snapshot is first announced and then looks at the count: one of the two
        // sees the other.
        self.silent.fetch_add(1, SeqCst);
        let unit = self.is_asked().then(|| self.facts().note(env, before()));
        if unit.is_some() {
            self.silent.fetch_sub(1, SeqCst);
        }
        Writing { past: Arc::clone(self), unit, has_ended: false }
    }

    /// Keeps facts from now on, and waits until no writer is left that notes none.
    ///
    /// # Errors
    /// `Conflict` when one of them does not come to its end.
    pub(super) async fn open(self: &Arc<Self>) -> Result<Moment> {
        self.snapshots.fetch_add(1, SeqCst);
        let kept_from = self.facts().keep();
        let mut moment =
            Moment { past: Arc::clone(self), kept_from, began: kept_from, ended: kept_from };
        let quiet = async {
            while self.silent.load(SeqCst) > 0 {
                tokio::time::sleep(QUIET_PAUSE).await;
            }
        };
        tokio::time::timeout(QUIET_WAIT_MAX, quiet).await.map_err(|_| conflict())?;
        moment.began = self.facts().tick();
        Ok(moment)
    }

    fn settle(&self, unit: Option<u64>, is_done: bool) {
        match unit {
            None => drop(self.silent.fetch_sub(1, SeqCst)),
            Some(unit) => self.facts().end(unit, is_done),
        }
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().expect("no panic while held")
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
        self.past.settle(self.unit, is_done);
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let (past, unit) = (Arc::clone(&self.past), self.unit);
        match tokio::runtime::Handle::try_current() {
            Err(_) => past.settle(unit, true),
            Ok(runtime) => drop(runtime.spawn(async move {
                tokio::time::sleep(UNHEARD).await;
                past.settle(unit, true);
            })),
        }
    }
}

// === impl Moment ===

impl Moment {
    /// Says that the versions of the moment have been read.
    pub(super) fn end(&mut self) {
        self.ended = self.past.facts().tick();
    }

    /// What a document was at this moment, when the tables have none with this key any more, or one that is newer than
    /// `version`, the collection's at the moment.
    ///
    /// # Errors
    /// `Conflict` when nobody knows.
    pub(super) fn recall(
        &self,
        place: (&EnvId, i64, &[u8]),
        version: i64,
        is_there: bool,
    ) -> Result<Option<Arc<Stored>>> {
        let (env, collection, key) = place;
        // The collection had no document, or there was none.
        if version == 0 {
            return Ok(None);
        }
        let facts = self.past.facts();
        self.check(&facts)?;
        let of = facts.of.get(&(env.clone(), collection)).and_then(|of| of.get(key));
        let Some(of) = of.filter(|of| !of.is_empty()) else {
            return if is_there { Err(conflict()) } else { Ok(None) };
        };
        if let Some(before) = newest(of, version) {
            return match self.fate(&facts, of, before.version) {
                (When::After, _) => Ok(Some(before)),
                // Between an end that is not known to be over and the moment, a removal leaves no trace.
                (When::Around, false) => Ok(Some(before)),
                (When::Before, true) => Ok(None),
                (When::Around, true) | (When::Before, false) => Err(conflict()),
            };
        }
        let was_absent = of
            .iter()
            .any(|fact| fact.before.is_none() && self.when(&facts, fact.unit) != When::Before);
        // Without its birth, somebody else wrote it.
        if was_absent { Ok(None) } else { Err(conflict()) }
    }

    /// The documents of a collection that are, or may be, others now than they were at this moment.
    ///
    /// # Errors
    /// `Conflict` when nobody knows.
    pub(super) fn candidates(
        &self,
        env: &EnvId,
        collection: i64,
        version: i64,
    ) -> Result<Vec<Candidate>> {
        if version == 0 {
            return Ok(Vec::new());
        }
        let facts = self.past.facts();
        self.check(&facts)?;
        let Some(all) = facts.of.get(&(env.clone(), collection)) else { return Ok(Vec::new()) };
        let mut candidates = Vec::new();
        for (key, of) in all {
            let Some(before) = newest(of, version) else { continue };
            match self.fate(&facts, of, before.version).0 {
                // What it was afterwards is in the tables, or has a fact of its own.
                When::Before => {}
                When::After if is_settled(&facts, of, before.version) => {
                    candidates.push(Candidate::Was(before));
                }
                When::After | When::Around => candidates.push(Candidate::Look(key.clone())),
            }
        }
        Ok(candidates)
    }

    fn check(&self, facts: &Facts) -> Result<()> {
        if facts.lost_at >= self.kept_from { Err(conflict()) } else { Ok(()) }
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
        let mut facts = self.past.facts();
        facts.snapshots.remove(&self.kept_from);
        facts.forget_old();
        drop(facts);
        self.past.snapshots.fetch_sub(1, SeqCst);
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

// === impl Facts ===

impl Facts {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Registers a snapshot.
    fn keep(&mut self) -> u64 {
        let from = self.tick();
        self.snapshots.insert(from);
        from
    }

    fn note(&mut self, env: &EnvId, before: Vec<Before>) -> u64 {
        let unit = self.tick();
        let (mut places, mut bytes) = (Vec::with_capacity(before.len()), 0);
        for Before { collection, key, stored, goes } in before {
            let body = stored.as_ref().map_or(0, |stored| stored.key.len() + stored.body.len());
            bytes += FACT_BYTES + 2 * key.len() + body;
            let of = self.of.entry((env.clone(), collection)).or_default();
            of.entry(key.clone()).or_default().push_back(Fact { unit, before: stored, goes });
            places.push((collection, key));
        }
        self.bytes += bytes;
        self.units.insert(unit, Unit { env: env.clone(), ended: None, places, bytes });
        if self.bytes > FACT_BYTES_MAX {
            self.of.clear();
            self.units.clear();
            self.bytes = 0;
            self.lost_at = self.tick();
        }
        unit
    }

    /// A unit that failed has changed nothing, and what it found may be outdated.
    fn end(&mut self, unit: u64, is_done: bool) {
        let now = self.tick();
        // It may have been forgotten with all the others.
        if let Some(found) = self.units.get_mut(&unit) {
            found.ended = Some(now);
            if !is_done {
                self.forget(unit);
            }
            self.forget_old();
        }
    }

    /// Forgets what was over before the oldest snapshot.
    fn forget_old(&mut self) {
        let oldest = self.snapshots.first().copied().unwrap_or(u64::MAX);
        while let Some((&first, unit)) = self.units.first_key_value()
            && unit.ended.is_some_and(|ended| ended < oldest)
        {
            self.forget(first);
        }
    }

    fn forget(&mut self, unit: u64) {
        let Some(gone) = self.units.remove(&unit) else { return };
        self.bytes -= gone.bytes;
        for (collection, key) in gone.places {
            let place = (gone.env.clone(), collection);
            let Some(of) = self.of.get_mut(&place) else { continue };
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
                self.of.remove(&place);
            }
        }
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

    fn write(past: &Arc<Past>, version: i64, bytes: usize) -> Writing {
        past.begin(&env(), || {
            let stored = Stored { key: KEY.to_vec(), version, body: vec![0; bytes] };
            let stored = Some(Arc::new(stored));
            vec![Before { collection: 1, key: KEY.to_vec(), stored, goes: false }]
        })
    }

    async fn moment(past: &Arc<Past>) -> Moment {
        let mut moment = past.open().await.unwrap();
        moment.end();
        moment
    }

    fn recall(moment: &Moment, version: i64) -> Option<i64> {
        let found = moment.recall((&env(), 1, KEY), version, true);
        found.ok().flatten().map(|stored| stored.version)
    }

    #[tokio::test]
    async fn facts_are_kept_as_long_as_somebody_may_ask() {
        let past = Arc::new(Past::default());
        write(&past, 1, 10).end(&Ok(()));
        assert_eq!(past.facts().bytes, 0);
        let first = moment(&past).await;
        write(&past, 2, 10).end(&Ok(()));
        let second = moment(&past).await;
        write(&past, 3, 10).end(&Ok(()));
        write(&past, 4, 10).end(&Err::<(), _>(conflict()));
        assert_eq!((recall(&first, 2), recall(&second, 3)), (Some(2), Some(3)));
        let both = past.facts().bytes;
        drop(first);
        assert!(past.facts().bytes < both);
        assert_eq!(recall(&second, 3), Some(3));
        drop(second);
        assert_eq!(past.facts().bytes, 0);
        assert!(past.facts().of.is_empty());
        assert!(!past.is_asked());
    }

    #[tokio::test]
    async fn too_many_facts_are_forgotten_and_those_who_need_them_told() {
        let past = Arc::new(Past::default());
        let first = moment(&past).await;
        write(&past, 2, 10).end(&Ok(()));
        assert_eq!(recall(&first, 2), Some(2));
        let large = write(&past, 3, FACT_BYTES_MAX);
        assert_eq!(past.facts().bytes, 0);
        assert!(first.recall((&env(), 1, KEY), 2, true).is_err());
        assert!(first.candidates(&env(), 1, 2).is_err());
        large.end(&Ok(()));
        let next = moment(&past).await;
        write(&past, 4, 10).end(&Ok(()));
        assert_eq!(recall(&next, 4), Some(4));
    }

    #[tokio::test]
    async fn a_snapshot_waits_for_those_who_began_before_there_was_any() {
        let past = Arc::new(Past::default());
        let silent = write(&past, 1, 10);
        assert!(tokio::time::timeout(20 * QUIET_PAUSE, past.open()).await.is_err());
        assert!(!past.is_asked());
        let opening = tokio::spawn({
            let past = Arc::clone(&past);
            async move { past.open().await.is_ok() }
        });
        tokio::task::yield_now().await;
        silent.end(&Ok(()));
        assert!(opening.await.unwrap());
    }
}
