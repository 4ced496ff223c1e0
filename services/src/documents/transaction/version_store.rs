//! What documents were before they changed, kept in memory for as long as an open transaction may ask for it.
//!
//! A *before-image* says: this write batch found the document so. Every writer of this process notes its before-images
//! before its write batch is committed, so whoever finds a document changed finds the before-image too. Whether a write
//! batch came before or after a snapshot is told by a clock that counts the beginnings and ends of both; where they
//! overlap, by the versions; and where neither tells, nobody guesses: the transaction is in conflict.
//!
//! While no transaction of an environment has a snapshot, nothing is noted there. A writer then only counts itself, for
//! a snapshot must not be taken before those are done that began without noting anything.
//!
//! Each environment has its own before-images, clock of its own beginnings and ends, and bound: neither a slow writer
//! nor a writer of much is felt by the transactions of another one.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use yunzhan_base::{EnvId, Kind, Result};

use super::state::conflict;
use crate::documents::store::Stored;

/// Most bytes of before-images of one environment. Beyond it they are forgotten, and its transactions that would need
/// them are in conflict: a writer of much must not be stopped by a reader who went away.
const ENV_IMAGE_BYTES_MAX: usize = 32 << 20;

/// Most bytes of before-images of all environments. Beyond it those of the environment with the most are forgotten.
const IMAGE_BYTES_MAX: usize = 128 << 20;

/// What a before-image takes besides its key and its body: two entries in maps.
const IMAGE_BYTES: usize = 200;

/// How long a snapshot waits for the writers that began before there was any: longer than a write batch usually takes.
const QUIET_WAIT_MAX: Duration = Duration::from_secs(5);

/// How often a waiting snapshot looks: about the time of one commit.
const QUIET_PAUSE: Duration = Duration::from_millis(1);

/// How long a write batch counts as going on when nobody hears of its end: the engine goes on when a caller goes away.
const UNHEARD: Duration = Duration::from_secs(5);

/// The before-images of one process.
#[derive(Default)]
pub(in crate::documents) struct VersionStore(Mutex<Envs>);

#[derive(Default)]
struct Envs {
    /// Counts beginnings and ends of write batches and snapshots.
    clock: u64,
    /// Those in which somebody writes or has a snapshot.
    by_env: HashMap<EnvId, Images>,
    /// Of all before-images.
    bytes: usize,
}

/// The before-images of one environment.
#[derive(Default)]
struct Images {
    /// By collection, then by key; the oldest before-image of a document first.
    of: HashMap<i64, BTreeMap<Vec<u8>, VecDeque<Image>>>,
    /// By their beginnings.
    batches: BTreeMap<u64, Batch>,
    /// Write batches going on that noted nothing.
    silent: usize,
    /// The beginnings of the open snapshots, and of those that are about to be.
    snapshots: BTreeSet<u64>,
    bytes: usize,
    /// When before-images were forgotten that somebody could have needed.
    lost_at: u64,
}

struct Image {
    batch: u64,
    /// None when there was no document.
    before: Option<Arc<Stored>>,
    /// The write batch removes it.
    deletes: bool,
}

struct Batch {
    ended: Option<u64>,
    places: Vec<(i64, Vec<u8>)>,
    bytes: usize,
}

/// A document that a write batch is about to write, as it is before.
pub(in crate::documents) struct BeforeImage {
    pub(in crate::documents) collection: i64,
    pub(in crate::documents) key: Vec<u8>,
    /// None when there is no document.
    pub(in crate::documents) stored: Option<Arc<Stored>>,
    /// Whether the write batch removes it.
    pub(in crate::documents) deletes: bool,
}

/// A write batch that is going on. Without [`Writing::end`] it counts as going on for a while: nobody knows then what
/// became of it.
pub(in crate::documents) struct Writing {
    version_store: Arc<VersionStore>,
    env: EnvId,
    /// The beginning of a write batch that noted before-images.
    batch: Option<u64>,
    has_ended: bool,
}

/// The timestamp of a snapshot, whose documents are kept for as long as it lives.
pub(super) struct SnapshotTimestamp {
    version_store: Arc<VersionStore>,
    env: EnvId,
    /// When it was registered, which keeps the before-images.
    kept_from: u64,
    /// Before the versions were read, and after.
    began: u64,
    ended: u64,
}

/// A document of a collection that changed, or is changing, since a snapshot.
pub(super) enum Candidate {
    /// It was this.
    Was(Arc<Stored>),
    /// The document with this key must be read to tell.
    Look(Vec<u8>),
}

/// Where a write batch lies in time, as a snapshot sees it.
#[derive(PartialEq, Eq)]
enum When {
    Before,
    Around,
    After,
}

// === impl Past ===

impl VersionStore {
    /// Whether before-images of an environment are noted now.
    pub(super) fn is_asked(&self, env: &EnvId) -> bool {
        self.envs().by_env.get(env).is_some_and(|images| !images.snapshots.is_empty())
    }

    /// Begins a write batch. What it is about to write is asked for only when somebody may want to know.
    pub(in crate::documents) fn begin(
        self: &Arc<Self>,
        env: &EnvId,
        before: impl FnOnce() -> Vec<BeforeImage>,
    ) -> Writing {
        let batch = match self.is_asked(env) {
            // Copied before the others are kept out.
            true => {
                let noted = before();
                self.envs().begin(env, || noted)
            }
            false => self.envs().begin(env, before),
        };
        Writing { version_store: Arc::clone(self), env: env.clone(), batch, has_ended: false }
    }

    /// Keeps the before-images of an environment from now on, and waits until no writer is left there that notes none.
    ///
    /// # Errors
    /// `Conflict` when one of them does not come to its end.
    pub(super) async fn open(self: &Arc<Self>, env: &EnvId) -> Result<SnapshotTimestamp> {
        let kept_from = self.envs().keep(env);
        let (version_store, env) = (Arc::clone(self), env.clone());
        let mut timestamp =
            SnapshotTimestamp { version_store, env, kept_from, began: kept_from, ended: kept_from };
        let quiet = async {
            while self.envs().by_env.get(&timestamp.env).is_some_and(|images| images.silent > 0) {
                tokio::time::sleep(QUIET_PAUSE).await;
            }
        };
        tokio::time::timeout(QUIET_WAIT_MAX, quiet).await.map_err(|_| conflict())?;
        timestamp.began = self.envs().tick();
        Ok(timestamp)
    }

    fn envs(&self) -> MutexGuard<'_, Envs> {
        self.0.lock().expect("no panic while held")
    }
}

// === impl Writing ===

impl Writing {
    /// Says what became of the write batch.
    pub(in crate::documents) fn end<T>(mut self, result: &Result<T>) {
        let is_done = match result {
            Ok(_) => true,
            // It may have been committed, or may yet be.
            Err(error) if matches!(error.kind(), Kind::Timeout | Kind::Unavailable) => return,
            Err(_) => false,
        };
        self.has_ended = true;
        self.version_store.envs().settle(&self.env, self.batch, is_done);
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let (version_store, env, batch) =
            (Arc::clone(&self.version_store), self.env.clone(), self.batch);
        match tokio::runtime::Handle::try_current() {
            Err(_) => version_store.envs().settle(&env, batch, true),
            Ok(runtime) => drop(runtime.spawn(async move {
                tokio::time::sleep(UNHEARD).await;
                version_store.envs().settle(&env, batch, true);
            })),
        }
    }
}

// === impl Moment ===

impl SnapshotTimestamp {
    /// Says that the versions of the snapshot have been read.
    pub(super) fn end(&mut self) {
        self.ended = self.version_store.envs().tick();
    }

    /// What a document was at this snapshot, when the tables have none with this key any more, or one that is newer
    /// than `version`, the collection's at the snapshot.
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
        let envs = self.version_store.envs();
        let images = self.images(&envs)?;
        let of = images.of.get(&collection).and_then(|of| of.get(key));
        let Some(of) = of.filter(|of| !of.is_empty()) else {
            return if is_there { Err(conflict()) } else { Ok(None) };
        };
        if let Some(before) = newest(of, version) {
            return match self.outcome(images, of, before.version) {
                (When::After, _) => Ok(Some(before)),
                // Between an end that is not known to be over and the snapshot, a removal leaves no trace.
                (When::Around, false) => Ok(Some(before)),
                (When::Before, true) => Ok(None),
                (When::Around, true) | (When::Before, false) => Err(conflict()),
            };
        }
        let was_absent = of
            .iter()
            .any(|image| image.before.is_none() && self.when(images, image.batch) != When::Before);
        // Without its birth, somebody else wrote it.
        if was_absent { Ok(None) } else { Err(conflict()) }
    }

    /// The documents of a collection that are, or may be, others now than they were at this snapshot.
    ///
    /// # Errors
    /// `Conflict` when nobody knows.
    pub(super) fn candidates(&self, collection: i64, version: i64) -> Result<Vec<Candidate>> {
        if version == 0 {
            return Ok(Vec::new());
        }
        let envs = self.version_store.envs();
        let images = self.images(&envs)?;
        let Some(all) = images.of.get(&collection) else { return Ok(Vec::new()) };
        let mut candidates = Vec::new();
        for (key, of) in all {
            let Some(before) = newest(of, version) else { continue };
            match self.outcome(images, of, before.version).0 {
                // What it was afterwards is in the tables, or has a before-image of its own.
                When::Before => {}
                When::After if is_settled(images, of, before.version) => {
                    candidates.push(Candidate::Was(before));
                }
                When::After | When::Around => candidates.push(Candidate::Look(key.clone())),
            }
        }
        Ok(candidates)
    }

    /// What is known of its environment, unless some of it was forgotten.
    fn images<'e>(&self, envs: &'e Envs) -> Result<&'e Images> {
        let images = envs.by_env.get(&self.env);
        images.filter(|images| images.lost_at < self.kept_from).ok_or_else(conflict)
    }

    /// When the document was written at this version for the last time, and whether that removed it. Of several write
    /// batches that tried, the one that does not lie after the snapshot counts, for it may be the one that did.
    fn outcome(&self, images: &Images, of: &VecDeque<Image>, version: i64) -> (When, bool) {
        let mut outcome = (When::After, false);
        for image in of.iter().filter(|image| image.version() == Some(version)) {
            match self.when(images, image.batch) {
                When::Before => return (When::Before, image.deletes),
                When::Around => outcome = (When::Around, image.deletes || outcome.1),
                When::After => {}
            }
        }
        outcome
    }

    fn when(&self, images: &Images, batch: u64) -> When {
        match images.batches.get(&batch).and_then(|batch| batch.ended) {
            Some(ended) if ended < self.began => When::Before,
            _ if batch > self.ended => When::After,
            _ => When::Around,
        }
    }
}

impl Drop for SnapshotTimestamp {
    fn drop(&mut self) {
        self.version_store.envs().let_go(&self.env, self.kept_from);
    }
}

/// The newest that the document is known to have been up to a version.
fn newest(of: &VecDeque<Image>, version: i64) -> Option<Arc<Stored>> {
    let known = of.iter().filter_map(|image| image.before.as_ref());
    known.filter(|before| before.version <= version).max_by_key(|before| before.version).cloned()
}

/// Whether a write batch that found the document at this version has come to its end, and so has changed it.
fn is_settled(images: &Images, of: &VecDeque<Image>, version: i64) -> bool {
    let mut same = of.iter().filter(|image| image.version() == Some(version));
    same.any(|image| images.batches.get(&image.batch).is_some_and(|batch| batch.ended.is_some()))
}

// === impl Envs ===

impl Envs {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// Begins a write batch; gives its beginning if it noted before-images.
    fn begin(&mut self, env: &EnvId, before: impl FnOnce() -> Vec<BeforeImage>) -> Option<u64> {
        let now = self.tick();
        let images = self.by_env.entry(env.clone()).or_default();
        if images.snapshots.is_empty() {
            images.silent += 1;
            return None;
        }
        let noted = images.note(now, before());
        self.bytes += noted;
        if images.bytes > ENV_IMAGE_BYTES_MAX {
            self.lose(env.clone());
        }
        while self.bytes > IMAGE_BYTES_MAX {
            let most = self.by_env.iter().max_by_key(|(_, images)| images.bytes);
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
        let Some(images) = self.by_env.get_mut(env) else { return };
        images.snapshots.remove(&kept_from);
        self.bytes -= images.forget_old();
        self.drop_unused(env);
    }

    /// Ends a write batch.
    fn settle(&mut self, env: &EnvId, batch: Option<u64>, is_done: bool) {
        let now = self.tick();
        let Some(images) = self.by_env.get_mut(env) else { return };
        match batch {
            None => images.silent = images.silent.saturating_sub(1),
            Some(batch) => self.bytes -= images.end(batch, now, is_done),
        }
        self.drop_unused(env);
    }

    /// Forgets all before-images of an environment, and when that was.
    fn lose(&mut self, env: EnvId) {
        let now = self.tick();
        let images = self.by_env.entry(env).or_default();
        self.bytes -= std::mem::take(&mut images.bytes);
        images.of.clear();
        images.batches.clear();
        images.lost_at = now;
    }

    fn drop_unused(&mut self, env: &EnvId) {
        let is_used = |images: &Images| {
            images.silent > 0 || !images.snapshots.is_empty() || !images.batches.is_empty()
        };
        if self.by_env.get(env).is_some_and(|images| !is_used(images)) {
            self.by_env.remove(env);
        }
    }
}

// === impl Images ===

impl Images {
    /// Notes what a write batch that begins now is about to write; gives the bytes of that.
    fn note(&mut self, batch: u64, before: Vec<BeforeImage>) -> usize {
        let (mut places, mut bytes) = (Vec::with_capacity(before.len()), 0);
        for BeforeImage { collection, key, stored, deletes } in before {
            let body = stored.as_ref().map_or(0, |stored| stored.key.len() + stored.body.len());
            bytes += IMAGE_BYTES + 2 * key.len() + body;
            let of = self.of.entry(collection).or_default();
            of.entry(key.clone()).or_default().push_back(Image { batch, before: stored, deletes });
            places.push((collection, key));
        }
        self.bytes += bytes;
        self.batches.insert(batch, Batch { ended: None, places, bytes });
        bytes
    }

    /// Ends a write batch; gives the bytes that were forgotten. One that failed has changed nothing, and what it found
    /// may be outdated.
    fn end(&mut self, batch: u64, now: u64, is_done: bool) -> usize {
        // It may have been forgotten with all the others.
        let Some(found) = self.batches.get_mut(&batch) else { return 0 };
        found.ended = Some(now);
        let failed = if is_done { 0 } else { self.forget(batch) };
        failed + self.forget_old()
    }

    /// Forgets what was over before the oldest snapshot; gives the bytes of that.
    fn forget_old(&mut self) -> usize {
        let oldest = self.snapshots.first().copied().unwrap_or(u64::MAX);
        let mut bytes = 0;
        while let Some((&first, batch)) = self.batches.first_key_value()
            && batch.ended.is_some_and(|ended| ended < oldest)
        {
            bytes += self.forget(first);
        }
        bytes
    }

    fn forget(&mut self, batch: u64) -> usize {
        let Some(gone) = self.batches.remove(&batch) else { return 0 };
        self.bytes -= gone.bytes;
        for (collection, key) in gone.places {
            let Some(of) = self.of.get_mut(&collection) else { continue };
            if let Some(images) = of.get_mut(&key) {
                // The oldest write batch goes first, so its before-image is the first one.
                match images.front().is_some_and(|image| image.batch == batch) {
                    true => drop(images.pop_front()),
                    false => images.retain(|image| image.batch != batch),
                }
                if images.is_empty() {
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

impl Image {
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

    fn write_in(
        version_store: &Arc<VersionStore>,
        env: &EnvId,
        version: i64,
        bytes: usize,
    ) -> Writing {
        version_store.begin(env, || {
            let stored = Stored { key: KEY.to_vec(), version, body: vec![0; bytes] };
            let stored = Some(Arc::new(stored));
            vec![BeforeImage { collection: 1, key: KEY.to_vec(), stored, deletes: false }]
        })
    }

    fn write(version_store: &Arc<VersionStore>, version: i64, bytes: usize) -> Writing {
        write_in(version_store, &env(), version, bytes)
    }

    async fn moment_in(version_store: &Arc<VersionStore>, env: &EnvId) -> SnapshotTimestamp {
        let mut timestamp = version_store.open(env).await.unwrap();
        timestamp.end();
        timestamp
    }

    async fn timestamp(version_store: &Arc<VersionStore>) -> SnapshotTimestamp {
        moment_in(version_store, &env()).await
    }

    fn recall(timestamp: &SnapshotTimestamp, version: i64) -> Option<i64> {
        let found = timestamp.recall((1, KEY), version, true);
        found.ok().flatten().map(|stored| stored.version)
    }

    #[tokio::test]
    async fn facts_are_kept_as_long_as_somebody_may_ask() {
        let version_store = Arc::new(VersionStore::default());
        write(&version_store, 1, 10).end(&Ok(()));
        assert_eq!(version_store.envs().bytes, 0);
        let first = timestamp(&version_store).await;
        write(&version_store, 2, 10).end(&Ok(()));
        let second = timestamp(&version_store).await;
        write(&version_store, 3, 10).end(&Ok(()));
        write(&version_store, 4, 10).end(&Err::<(), _>(conflict()));
        assert_eq!((recall(&first, 2), recall(&second, 3)), (Some(2), Some(3)));
        let both = version_store.envs().bytes;
        drop(first);
        assert!(version_store.envs().bytes < both);
        assert_eq!(recall(&second, 3), Some(3));
        drop(second);
        assert_eq!(version_store.envs().bytes, 0);
        assert!(version_store.envs().by_env.is_empty());
        assert!(!version_store.is_asked(&env()));
    }

    #[tokio::test]
    async fn too_many_facts_are_forgotten_and_those_who_need_them_told() {
        let version_store = Arc::new(VersionStore::default());
        let first = timestamp(&version_store).await;
        write(&version_store, 2, 10).end(&Ok(()));
        assert_eq!(recall(&first, 2), Some(2));
        let large = write(&version_store, 3, ENV_IMAGE_BYTES_MAX);
        assert_eq!(version_store.envs().bytes, 0);
        assert!(first.recall((1, KEY), 2, true).is_err());
        assert!(first.candidates(1, 2).is_err());
        large.end(&Ok(()));
        let next = timestamp(&version_store).await;
        write(&version_store, 4, 10).end(&Ok(()));
        assert_eq!(recall(&next, 4), Some(4));
    }

    #[tokio::test]
    async fn a_writer_of_much_and_a_slow_one_are_felt_in_their_environment_alone() {
        let version_store = Arc::new(VersionStore::default());
        let envs: Vec<EnvId> = (0..5).map(|n| format!("e{n}").parse().unwrap()).collect();
        let slow = write_in(&version_store, &envs[0], 1, 10);
        let quiet = moment_in(&version_store, &envs[1]).await;
        assert!(version_store.is_asked(&envs[1]) && !version_store.is_asked(&envs[0]));
        write_in(&version_store, &envs[1], 2, 10).end(&Ok(()));
        slow.end(&Ok(()));
        // Each of them loses its own before-images, and nobody else's.
        for env in [&envs[0], &envs[2], &envs[3], &envs[4]] {
            let loud = moment_in(&version_store, env).await;
            let large = write_in(&version_store, env, 2, ENV_IMAGE_BYTES_MAX - 1000);
            assert_eq!(recall(&loud, 2), Some(2));
            let more = write_in(&version_store, env, 3, 1000);
            assert_eq!(recall(&loud, 2), None);
            large.end(&Ok(()));
            more.end(&Ok(()));
        }
        assert_eq!(recall(&quiet, 2), Some(2));
    }

    #[tokio::test]
    async fn a_snapshot_waits_for_those_who_began_before_there_was_any() {
        let version_store = Arc::new(VersionStore::default());
        let silent = write(&version_store, 1, 10);
        assert!(tokio::time::timeout(20 * QUIET_PAUSE, version_store.open(&env())).await.is_err());
        assert!(!version_store.is_asked(&env()));
        let opening = tokio::spawn({
            let version_store = Arc::clone(&version_store);
            async move { version_store.open(&env()).await.is_ok() }
        });
        tokio::task::yield_now().await;
        silent.end(&Ok(()));
        assert!(opening.await.unwrap());
    }
}
