//! Who waits for changes hears of them: of this server's at once, of others' by their wake-ups, and of all by looking now and
//! then.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use yunzhan_base::{EnvId, Result};

use crate::documents::logic::position::Position;
use crate::nodes::cluster::Cluster;

/// The topic of wake-ups between servers: the environments in which one has written, a line each.
const TOPIC: &str = "documents.changes";

/// How often somebody who waits looks at the tables, where another server may have written and its wake-up may be lost.
pub(super) const POLL: Duration = Duration::from_millis(25);

/// The same where nobody else writes to the tables.
const POLL_ALONE: Duration = Duration::from_secs(1);

/// Those who look at the same environment within this time look once, however many they are.
const POLL_SHARED: Duration = Duration::from_millis(15);

/// How long what was written is gathered before other servers are woken up: of a thousand writes, each hears once.
const GATHERED: Duration = Duration::from_millis(3);

/// Environments of one wake-up. Beyond it, other servers learn of the rest as they look.
const WAKE_ENVS_MAX: usize = 500;

/// What is known of the writing in each environment.
#[derive(Default)]
pub(in crate::documents) struct Signals {
    envs: Mutex<HashMap<EnvId, Signal>>,
    /// Environments of whose writing the other servers have not heard yet.
    untold: Mutex<HashSet<EnvId>>,
    cluster: OnceLock<Arc<Cluster>>,
}

/// One environment in which somebody has written, or waits.
#[derive(Default)]
struct Signal {
    /// Counts what was heard.
    changed: watch::Sender<u64>,
    /// Something was written here since the log was trimmed last.
    is_grown: bool,
    polled: Arc<tokio::sync::Mutex<Option<Polled>>>,
}

/// Where the log ended when somebody looked.
struct Polled {
    at: Instant,
    /// What had been heard by then.
    heard: u64,
    position: Position,
}

/// Hears of writing in one environment.
pub(super) struct Heard(watch::Receiver<u64>);

// === impl Heard ===

impl Heard {
    /// Takes what was heard until now for known.
    pub(super) fn mark_heard(&mut self) {
        self.0.mark_unchanged();
    }

    /// Waits until something is heard, or for so long.
    pub(super) async fn wait(&mut self, patience: Duration) {
        // The sender lives as long as somebody listens; if it were gone, the time would pass all the same.
        if let Ok(Err(_)) = tokio::time::timeout(patience, self.0.changed()).await {
            tokio::time::sleep(patience).await;
        }
    }
}

// === impl Signals ===

impl Signals {
    /// Tells other servers from now on, and hears of them. Ends when the documents do.
    pub(in crate::documents) fn join(self: &Arc<Self>, cluster: Arc<Cluster>) {
        let mut woken = cluster.listen();
        if self.cluster.set(cluster).is_err() {
            return;
        }
        let signals = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                let heard = woken.recv().await;
                let Some(signals) = signals.upgrade() else { return };
                match heard {
                    Ok(wake) if wake.topic == TOPIC => signals.hear(&wake.bytes),
                    Ok(_) => {}
                    // Of whom is not known any more.
                    Err(RecvError::Lagged(_)) => signals.envs().values().for_each(Signal::tell),
                    Err(RecvError::Closed) => return,
                }
            }
        });
    }

    /// Notes that this server has written in an environment.
    pub(in crate::documents) fn note(self: &Arc<Self>, env: &EnvId) {
        let mut envs = self.envs();
        if !envs.contains_key(env) {
            envs.insert(env.clone(), Signal::default());
        }
        let Some(signal) = envs.get_mut(env) else { return };
        signal.is_grown = true;
        signal.tell();
        drop(envs);
        if self.has_peers() {
            let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
            // Whoever is the first tells of all that come after it.
            let is_first = untold.is_empty();
            if !untold.contains(env) {
                untold.insert(env.clone());
            }
            if is_first {
                tokio::spawn(Arc::clone(self).tell_others());
            }
        }
    }

    async fn tell_others(self: Arc<Self>) {
        tokio::time::sleep(GATHERED).await;
        let untold = {
            let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *untold)
        };
        let names: Vec<&str> = untold.iter().map(EnvId::as_str).take(WAKE_ENVS_MAX).collect();
        if let Some(cluster) = self.cluster.get() {
            cluster.wake(TOPIC, Bytes::from(names.join("\n")));
        }
    }

    fn has_peers(&self) -> bool {
        self.cluster.get().is_some_and(|cluster| cluster.has_peers())
    }

    fn hear(&self, names: &[u8]) {
        let envs = self.envs();
        let names = names.split(|byte| *byte == b'\n').take(WAKE_ENVS_MAX);
        let known = names.filter_map(|name| std::str::from_utf8(name).ok()?.parse().ok());
        known.for_each(|env: EnvId| envs.get(&env).into_iter().for_each(Signal::tell));
    }

    /// Hears of what is written in an environment from now on.
    pub(super) fn listen(&self, env: &EnvId) -> Heard {
        let mut envs = self.envs();
        Heard(envs.entry(env.clone()).or_default().changed.subscribe())
    }

    /// Where the log ends: what somebody else read a moment ago, unless something was heard since, or else by `read`.
    pub(super) async fn poll(
        &self,
        env: &EnvId,
        read: impl Future<Output = Result<Position>>,
    ) -> Result<Position> {
        let (polled, changed) = {
            let mut envs = self.envs();
            let signal = envs.entry(env.clone()).or_default();
            (Arc::clone(&signal.polled), signal.changed.subscribe())
        };
        let mut last = polled.lock().await;
        let heard = *changed.borrow();
        if let Some(last) = &*last
            && last.heard == heard
            && last.at.elapsed() < POLL_SHARED
        {
            return Ok(last.position.clone());
        }
        let position = read.await?;
        *last = Some(Polled { at: Instant::now(), heard, position: position.clone() });
        Ok(position)
    }

    /// How long somebody waits who hears nothing.
    pub(super) fn pause(&self) -> Duration {
        let is_shared = self.cluster.get().is_some_and(|cluster| cluster.is_shared());
        if is_shared { POLL } else { POLL_ALONE }
    }

    /// The environments whose logs have grown since the last time. Forgets those in which nothing happens.
    pub(super) fn take_grown(&self) -> Vec<EnvId> {
        let mut grown = Vec::new();
        self.envs().retain(|env, signal| {
            let has_grown = std::mem::take(&mut signal.is_grown);
            if has_grown {
                grown.push(env.clone());
            }
            has_grown || signal.changed.receiver_count() > 0
        });
        grown
    }

    /// Lets a log be looked at the next time, too.
    pub(super) fn keep_grown(&self, env: &EnvId) {
        self.envs().entry(env.clone()).or_default().is_grown = true;
    }

    fn envs(&self) -> MutexGuard<'_, HashMap<EnvId, Signal>> {
        self.envs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Signal ===

impl Signal {
    fn tell(&self) {
        self.changed.send_modify(|heard| *heard += 1);
    }
}
