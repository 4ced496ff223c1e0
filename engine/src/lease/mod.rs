//! Nodes of a cluster, and leases for what only one of them may do.
//!
//! Each process has one *session*: a row in the system database that it renews, and that is dead when it was not renewed for
//! the length of its *life*. A *lease* is a row that names the session of its holder and counts its holders; it is free when
//! that session is dead. So a node renews one row, however many leases it holds. Whether a session lives is said by the
//! database's clock alone; a node's own clock only tells it when to stop trusting its session, and that is a good while before
//! the session can die. A process that was stopped in between learns it late, so that a write which only the holder may make
//! shows its [`Fence`] ([`Leases::fenced`]), and the database refuses it.
//!
//! Where the database belongs to this process alone (SQLite, whose folder is locked), the same rows are kept, and the session
//! lives until it ends.
//!
//! Read [`Leases`] first, then [`store`], which has all the SQL, and [`session`], which says when a session is trusted.

mod session;
mod store;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Mutex, watch};
use yunzhan_base::event::{Events, Level};
use yunzhan_base::lease::{Claim, ClaimFuture, Claims, Fence};
use yunzhan_base::{Clock, Error, Kind, Result};
use yunzhan_net::shutdown::Shutdown;
use yunzhan_net::time;

pub use self::store::{MIGRATIONS, NAME_CHARS_MAX};
use crate::sql::{Database, SharedSql, WriteBatch, WriteStep};

use self::session::Session;
use self::store::{FORGOTTEN_MAX, NewSession, Store};

/// A heartbeat comes this often in a life, and takes as long at the most: one that hangs leaves time for another before the
/// session is no longer trusted.
const HEARTBEATS: u32 = 5;
/// After one that failed, the next one comes this part of a life later.
const AGAIN: u32 = 20;
/// How often a lease is looked at again after a race for it.
const TRIES: u32 = 3;

/// What leases are kept with.
pub struct Parts {
    /// The database. Its system tables have [`MIGRATIONS`].
    pub sql: SharedSql,
    /// Tells when this node's session is no longer trusted.
    pub clock: Clock,
    /// Who hears of lost sessions.
    pub events: Events,
    /// The node's name; people read it, and nothing goes by it.
    pub name: String,
    /// The program's version.
    pub version: &'static str,
    /// How long a session lives without a heartbeat. None where the database belongs to this process alone.
    pub life: Option<Duration>,
}

/// This node's session, and the leases that hang on it.
pub struct Leases {
    store: Store,
    parts: Parts,
    session: watch::Sender<Option<Session>>,
    /// One heartbeat at a time.
    beating: Mutex<Beats>,
    /// Where the node's internal listener can be reached, once heartbeats go on by themselves; empty when there is none.
    address: OnceLock<String>,
}

#[derive(Default)]
struct Beats {
    /// Whether the last heartbeat failed, and that was told.
    is_failing: bool,
    /// The session to forget when the next one begins.
    before: Option<String>,
}

/// A node as its row tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// The session of its process.
    pub session: String,
    /// Where its internal listener can be reached; empty when there is none.
    pub address: String,
    /// The program's version.
    pub version: String,
    /// When the session began, by the database's clock in milliseconds since 1970.
    pub started_ms: i64,
    /// When it was last renewed, likewise.
    pub heartbeat_ms: i64,
    /// Whether the session lives.
    pub is_alive: bool,
    /// When this was read, likewise.
    pub now_ms: i64,
}

/// A lease that somebody holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// Its name.
    pub lease: String,
    /// The session that holds it.
    pub session: String,
    /// Counts its holders.
    pub token: i64,
    /// Since when, by the database's clock in milliseconds since 1970.
    pub acquired_ms: i64,
}

// === impl Leases: the session ===

impl Leases {
    /// Leases without a session yet.
    pub fn new(parts: Parts) -> Self {
        let store = Store::new(Arc::clone(&parts.sql));
        let (session, beating) = (watch::Sender::new(None), Mutex::default());
        Self { store, parts, session, beating, address: OnceLock::new() }
    }

    /// Begins the session and goes on renewing it until the shutdown begins, which then ends it: whoever works under a lease
    /// has to be told to stop before. `address` is where the node's internal listener can be reached, as `host:port`; empty
    /// when there is none. Fails when the database does not answer; what fails later is told and tried again.
    pub async fn start(self: &Arc<Self>, address: String, mut shutdown: Shutdown) -> Result<()> {
        self.address.set(address).map_err(|_| Error::internal("a session is begun once"))?;
        self.beat().await?;
        let leases = Arc::clone(self);
        tokio::spawn(async move {
            tokio::select! {
                () = leases.beat_on() => {}
                () = shutdown.triggered() => leases.end().await,
            }
        });
        Ok(())
    }

    async fn beat_on(&self) {
        let Some(life) = self.parts.life else { return std::future::pending().await };
        let mut pause = life / HEARTBEATS;
        loop {
            // A span of time, and not a time of day: a clock that is set back must not hold a heartbeat up.
            time::sleep(&self.parts.clock, pause).await;
            // A failure was told where it happened.
            pause = life / if self.beat().await.is_ok() { HEARTBEATS } else { AGAIN };
        }
    }

    /// One heartbeat: renews the session, or begins another where it is over.
    pub async fn beat(&self) -> Result<()> {
        let mut beats = self.beating.lock().await;
        let outcome = self.try_beat(&mut beats).await;
        match &outcome {
            Ok(()) => beats.is_failing = false,
            Err(error) if !beats.is_failing => {
                beats.is_failing = true;
                let text = format!(
                    "the session of this node could not be renewed and will be tried again: {}",
                    error.log_text()
                );
                self.parts.events.notice(Level::Warn, "heartbeat_failed", &text);
            }
            Err(_) => {}
        }
        outcome
    }

    async fn try_beat(&self, beats: &mut Beats) -> Result<()> {
        // Before the statement is sent: the database counts from when it arrives, which is later.
        let sent = Session::begin(&self.parts.clock, self.parts.life);
        let current = self.session.borrow().clone();
        if let Some(session) = current {
            let lives = session.is_trusted(&self.parts.clock)
                && self.bounded(self.renew(&session.id)).await?;
            if lives {
                self.session.send_replace(Some(sent.named(session.id)));
                return Ok(());
            }
            self.lose(&session.id);
            beats.before = Some(session.id.to_string());
        }
        let id = draw_id()?;
        let new = NewSession {
            id: &id,
            name: &self.parts.name,
            address: self.address.get().map_or("", String::as_str),
            version: self.parts.version,
            life: self.parts.life,
        };
        self.bounded(self.store.begin(&new, beats.before.as_deref())).await?;
        beats.before = None;
        self.session.send_replace(Some(sent.named(id)));
        Ok(())
    }

    async fn renew(&self, id: &str) -> Result<bool> {
        match self.parts.life {
            Some(life) => self.store.renew(id, life).await,
            None => Ok(true),
        }
    }

    /// A heartbeat that hangs must not keep the next one from being tried.
    async fn bounded<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let Some(life) = self.parts.life else { return work.await };
        let late = |_| Error::new(Kind::Timeout, "the database did not answer a heartbeat in time");
        tokio::time::timeout(life / HEARTBEATS, work).await.map_err(late)?
    }

    /// Lets go of a session; whoever works under one of its leases hears of it.
    fn lose(&self, id: &str) {
        let was_lost = self.session.send_if_modified(|session| {
            let is_this = session.as_ref().is_some_and(|session| *session.id == *id);
            is_this && session.take().is_some()
        });
        if was_lost {
            let text = "this node could not renew its session in time: what it did alone has stopped, and it begins another session";
            self.parts.events.notice(Level::Warn, "session_lost", text);
        }
    }

    /// Ends the session: its leases are free at once. Without an answer of the database they are free when it dies.
    pub async fn end(&self) {
        let _beating = self.beating.lock().await;
        if let Some(session) = self.session.send_replace(None) {
            let _ = self.bounded(self.store.end(&session.id)).await;
        }
    }

    /// The session that this node counts on now.
    fn trusted(&self) -> Option<Session> {
        let session = self.session.borrow().clone();
        session.filter(|session| session.is_trusted(&self.parts.clock))
    }

    /// This node's session, while it counts on it.
    pub fn session(&self) -> Option<Arc<str>> {
        self.trusted().map(|session| session.id)
    }

    /// Whether other nodes may use the same database, so that sessions have an end.
    pub fn is_shared(&self) -> bool {
        self.parts.life.is_some()
    }

    /// This node's name.
    pub fn name(&self) -> &str {
        &self.parts.name
    }
}

// === impl Leases: leases ===

impl Claims for Leases {
    fn claim<'a>(&'a self, lease: &'a str) -> ClaimFuture<'a, Result<Claim>> {
        Box::pin(self.try_claim(lease))
    }

    fn lost<'a>(&'a self, fence: &'a Fence) -> ClaimFuture<'a, ()> {
        Box::pin(async {
            let mut sessions = self.session.subscribe();
            loop {
                let session = sessions.borrow_and_update().clone();
                let trusted = session.filter(|session| {
                    *session.id == *fence.session && session.is_trusted(&self.parts.clock)
                });
                let Some(session) = trusted else { return };
                tokio::select! {
                    changed = sessions.changed() => if changed.is_err() { return },
                    () = session.wait_until_untrusted(&self.parts.clock) => {}
                }
            }
        })
    }
}

impl Leases {
    async fn try_claim(&self, lease: &str) -> Result<Claim> {
        if lease.is_empty() || lease.chars().count() > NAME_CHARS_MAX {
            let text = format!("a lease's name has 1 to {NAME_CHARS_MAX} characters");
            return Err(Error::new(Kind::InvalidParameter, text));
        }
        for _ in 0..TRIES {
            let session = self.session_for_claims().await?;
            let Some(found) = self.store.find(lease).await? else {
                self.store.create(lease).await?;
                continue;
            };
            let fence =
                |token| Fence { lease: lease.to_owned(), session: session.id.to_string(), token };
            match found.living {
                Some(_) if found.holder == *session.id => {
                    return Ok(Claim::Held(fence(found.token)));
                }
                Some(node) => return Ok(Claim::Elsewhere { node }),
                None => {}
            }
            match self.store.take(lease, found.token, &session.id).await {
                Ok(()) => return Ok(Claim::Held(fence(found.token + 1))),
                // Somebody else was faster, or this session is dead: the next look tells which.
                Err(error) if error.kind() == Kind::Conflict => {}
                Err(error) => return Err(error),
            }
        }
        Err(no_session())
    }

    /// The session, which begins here where nothing was started: a single command of an operator claims a lease too.
    async fn session_for_claims(&self) -> Result<Session> {
        if self.address.get().is_none() && self.trusted().is_none() {
            self.beat().await?;
        }
        self.trusted().ok_or_else(no_session)
    }

    /// Gives a lease up before the session ends. One that was lost meanwhile stays with its new holder.
    pub async fn release(&self, fence: &Fence) -> Result<()> {
        self.store.release(fence).await
    }

    /// The same unit of `database` with a step at its end that fails, and with it the whole unit as a conflict, unless this
    /// lease is still held under this session and token, and the session lives by the database's clock. At the end, so that
    /// the lease's row is locked no longer than it must be; [`crate::sql::Written::changed`] has one count more at its end.
    ///
    /// Refused at once where this node knows already that it lost the lease. An environment's own file on SQLite cannot see
    /// the lease; there the lock of the data folder says the same.
    pub fn fenced(
        &self,
        fence: &Fence,
        database: &Database,
        mut unit: WriteBatch,
    ) -> Result<WriteBatch> {
        if self.session().is_none_or(|session| *session != *fence.session) {
            return Err(lease_lost(fence));
        }
        if self.parts.life.is_some() || *database == Database::System {
            unit.steps.push(Self::guard(fence));
        }
        Ok(unit)
    }

    /// The step that [`Self::fenced`] adds, for whoever builds units by hand; only for databases that see the system's tables.
    pub fn guard(fence: &Fence) -> WriteStep {
        Store::guard(fence)
    }

    /// Whether the lease is still held under this fence, as the database says.
    pub async fn is_held(&self, fence: &Fence) -> Result<bool> {
        let found = self.store.find(&fence.lease).await?;
        Ok(found.is_some_and(|found| {
            found.living.is_some() && found.holder == fence.session && found.token == fence.token
        }))
    }

    /// Every node that is known, dead ones for an hour.
    pub async fn nodes(&self) -> Result<Vec<Node>> {
        self.store.nodes().await
    }

    /// Every lease that a living node holds.
    pub async fn held(&self) -> Result<Vec<Held>> {
        self.store.held().await
    }

    /// Forgets nodes that died and were last heard of `dead` ago. One node does it, under `fence`.
    pub async fn forget_dead(&self, fence: &Fence, dead: Duration) -> Result<()> {
        let nodes = self.store.nodes().await?;
        let is_old = |node: &&Node| {
            let silent_ms = u64::try_from(node.now_ms - node.heartbeat_ms).unwrap_or(0);
            !node.is_alive && Duration::from_millis(silent_ms) >= dead
        };
        let steps: Vec<_> =
            nodes.iter().filter(is_old).take(FORGOTTEN_MAX).map(Store::forget).collect();
        if steps.is_empty() {
            return Ok(());
        }
        let unit = WriteBatch { steps, idempotency: None };
        let unit = self.fenced(fence, &Database::System, unit)?;
        let written = self.store.write(unit.steps).await;
        written.map(drop).map_err(|error| match error.kind() {
            Kind::Conflict => lease_lost(fence).because(error),
            _ => error,
        })
    }
}

impl std::fmt::Debug for Leases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Leases({}, {:?})", self.parts.name, self.session())
    }
}

/// How long dead nodes are shown, so that an operator sees who died.
pub const DEAD_SHOWN: Duration = Duration::from_secs(3600);

fn lease_lost(fence: &Fence) -> Error {
    Error::new(
        Kind::Conflict,
        format!("this node no longer holds the lease {}; nothing was written", fence.lease),
    )
}

fn no_session() -> Error {
    Error::new(
        Kind::Unavailable,
        "this node has no living session at the moment, without which it holds no lease; try again",
    )
}

/// 128 random bits: two processes never share a session, whatever they share besides.
pub(crate) fn draw_id() -> Result<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Error::internal("the system gives no random bytes"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
