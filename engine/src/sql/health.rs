//! Whether the database takes writes: what became of the last ones, and a look at it when they failed or none came.
//!
//! A wrapper sees how every write ends. The first that the storage refuses begins a fault, which is told once; from then on
//! the refused databases are tried every few seconds, and when they all take writes again that is told once, too. Whoever
//! asks for [`Health::check`] waits for a write only when the last good one is a while ago.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use yunzhan_base::event::{Event, Events, StorageChanged};
use yunzhan_base::gauge::Gauge;
use yunzhan_base::{Clock, Kind, Result};

use super::storage_fault::StorageFault;
use super::{
    Consistency, Database, Expect, Key, Logical, Rows, ServerSeen, ShardLocation, SharedSql, Sql,
    SqlFuture, Statement, Value, Who, WriteBatch, WriteStep, Written,
};

/// A good write that is no older says enough; health checks come every few seconds, and each would cost a sync.
const GOOD_FOR_MS: i64 = 10_000;
/// How often a database that refuses writes is tried again.
const TRY_EVERY: Duration = Duration::from_secs(2);
/// A fault is over when a write succeeds this long after the last refusal: a full disk still takes a small write now and
/// then, and nobody wants to be told of each.
const QUIET_MS: i64 = 3_000;
/// How long a health check waits for a write: less than the usual time-out of probes (Kubernetes: 1 s by default, most set
/// more), and more than a sync of a busy disk.
const PROBE_WAIT_MAX: Duration = Duration::from_secs(2);
/// Databases whose refusals are remembered by name; that one more refuses changes nothing.
const REFUSING_MAX: usize = 64;
/// The row that a probe replaces; no caller's idempotency key can be it, for those are read with their unit.
const PROBE_KEY: &str = "health probe";

/// What is known of a database engine's writes.
pub struct Health {
    sql: SharedSql,
    engine: &'static str,
    clock: Clock,
    events: Events,
    state: Mutex<State>,
    /// One probe at a time; whoever asks meanwhile gets its outcome.
    probing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// When any write last succeeded.
    good_ms: Option<i64>,
    refusing: HashMap<Database, Refusing>,
}

#[derive(Clone, Copy)]
struct Refusing {
    fault: StorageFault,
    /// The last refusal.
    at_ms: i64,
}

/// Where writes are refused, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// `sqlite` or `mysql`.
    pub engine: &'static str,
    /// The only environment that it concerns; none when it concerns the engine as a whole.
    pub only: Option<yunzhan_base::EnvId>,
    /// Why.
    pub fault: StorageFault,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(env) = &self.only {
            write!(f, "environment {env}: ")?;
        }
        write!(f, "database ({}): {}", self.engine, self.fault)
    }
}

/// An engine whose writes are watched.
pub(super) struct Watched(Arc<Health>);

// === impl Health ===

impl Health {
    /// Watches the writes of `sql`; whoever uses [`Watched`] is seen.
    pub(super) fn new(
        sql: SharedSql,
        engine: &'static str,
        clock: Clock,
        events: Events,
    ) -> Arc<Self> {
        let (state, probing) = (Mutex::default(), tokio::sync::Mutex::default());
        Arc::new(Self { sql, engine, clock, events, state, probing })
    }

    /// `sqlite` or `mysql`.
    pub fn engine(&self) -> &'static str {
        self.engine
    }

    /// The servers of a primary and its replicas, as they look from here; none for another engine.
    pub fn servers(&self) -> Vec<ServerSeen> {
        self.sql.servers()
    }

    /// What operators watch of replicas; nothing where there are none.
    pub fn gauges(self: &Arc<Self>) -> Vec<Gauge> {
        if self.servers().is_empty() {
            return Vec::new();
        }
        let read = |count: fn(&[ServerSeen]) -> i64| {
            let health = Arc::clone(self);
            #[expect(clippy::cast_precision_loss, reason = "a gauge, far below 2^53")]
            Arc::new(move || count(&health.servers()) as f64)
        };
        vec![
            Gauge {
                name: "sql_primaries",
                help: "Database servers that writes go to: 1, and 0 while there is none",
                read: read(|servers| {
                    servers.iter().map(|server| i64::from(server.is_primary)).sum()
                }),
            },
            Gauge {
                name: "sql_replicas_reached",
                help: "Replicas that answer",
                read: read(|servers| {
                    let replicas = servers.iter().filter(|server| !server.is_primary);
                    replicas.map(|server| i64::from(server.is_reached)).sum()
                }),
            },
            Gauge {
                name: "sql_replica_lag_ms",
                help: "How far the replica is behind that is behind furthest, of those that answer and tell",
                read: read(|servers| {
                    servers.iter().filter_map(|server| server.lag_ms).max().unwrap_or(0)
                }),
            },
            Gauge {
                name: "sql_replica_reads",
                help: "Reads that were sent to replicas since the start",
                read: read(|servers| {
                    let replicas = servers.iter().filter(|server| !server.is_primary);
                    let reads =
                        replicas.map(|server| i64::try_from(server.reads).unwrap_or(i64::MAX));
                    reads.fold(0, i64::saturating_add)
                }),
            },
        ]
    }

    /// Whether writes are refused now, and where. Writes a row when nothing was written for a while, and waits for it no
    /// longer than two seconds.
    pub async fn check(self: &Arc<Self>) -> Option<Refused> {
        if self.knows_enough() {
            return self.refused();
        }
        let _one = self.probing.lock().await;
        // Whoever came while another one probed has its outcome.
        if !self.knows_enough() {
            let probed = tokio::time::timeout(PROBE_WAIT_MAX, self.probe(&Database::System)).await;
            let is_late =
                probed.map_or(true, |done| done.is_err_and(|error| error.kind() == Kind::Timeout));
            if is_late {
                return Some(Refused {
                    engine: self.engine,
                    only: None,
                    fault: StorageFault::NoAnswer,
                });
            }
        }
        self.refused()
    }

    /// Whether what the last writes became tells how the engine is: a good one that is young, or a refusal of all.
    fn knows_enough(&self) -> bool {
        let (state, now_ms) = (self.state(), self.clock.now_ms());
        let is_fresh = state.good_ms.is_some_and(|good_ms| now_ms - good_ms < GOOD_FOR_MS);
        is_fresh
            || state.refusing.iter().any(|(database, refusing)| refusing.concerns_all(database))
    }

    fn refused(&self) -> Option<Refused> {
        let state = self.state();
        let all =
            state.refusing.iter().find(|(database, refusing)| refusing.concerns_all(database));
        let (database, refusing) = all.or_else(|| state.refusing.iter().next())?;
        let only = match database {
            Database::Env(env) if all.is_none() => Some(env.clone()),
            _ => None,
        };
        Some(Refused { engine: self.engine, only, fault: refusing.fault })
    }

    /// Takes note of how a write ended.
    fn note<T>(self: &Arc<Self>, database: &Database, outcome: &Result<T>) {
        match outcome {
            Ok(_) => self.note_good(database),
            Err(error) => {
                if let Some(fault) = StorageFault::of(error) {
                    self.note_refusal(database, fault);
                }
            }
        }
    }

    fn note_good(&self, database: &Database) {
        let mut state = self.state();
        let now_ms = self.clock.now_ms();
        state.good_ms = Some(now_ms);
        let Some(refusing) = state.refusing.get(database).copied() else { return };
        if now_ms - refusing.at_ms < QUIET_MS {
            return;
        }
        state.refusing.remove(database);
        if state.refusing.is_empty() {
            drop(state);
            self.tell(database, refusing.fault, false);
        }
    }

    fn note_refusal(self: &Arc<Self>, database: &Database, fault: StorageFault) {
        let mut state = self.state();
        let begins = state.refusing.is_empty();
        if begins || state.refusing.contains_key(database) || state.refusing.len() < REFUSING_MAX {
            let refusing = Refusing { fault, at_ms: self.clock.now_ms() };
            state.refusing.insert(database.clone(), refusing);
        }
        drop(state);
        if begins {
            self.tell(database, fault, true);
            self.try_until_good();
        }
    }

    /// Tries the databases that refuse until none does.
    fn try_until_good(self: &Arc<Self>) {
        let watching = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(TRY_EVERY).await;
                let Some(health) = watching.upgrade() else { return };
                let refusing: Vec<Database> = health.state().refusing.keys().cloned().collect();
                for database in &refusing {
                    // Its outcome is noted.
                    let _ = health.probe(database).await;
                }
                if health.state().refusing.is_empty() {
                    return;
                }
            }
        });
    }

    /// Writes one row, always the same one.
    async fn probe(self: &Arc<Self>, database: &Database) -> Result<()> {
        let env = Value::Text(database.env_column().to_owned());
        let key = Value::Text(PROBE_KEY.to_owned());
        let step = |sql, params| {
            let statement = Statement { sql, tables: &[Logical("idempotency")], params };
            WriteStep::once(statement, Expect::Any)
        };
        let now_ms = Value::Integer(self.clock.now_ms());
        let steps = vec![
            step(
                "DELETE FROM {idempotency} WHERE env = ? AND unit_key = ?",
                vec![env.clone(), key.clone()],
            ),
            step(
                "INSERT INTO {idempotency} (env, unit_key, changed, committed_ms) VALUES (?, ?, '', ?)",
                vec![env, key, now_ms],
            ),
        ];
        let place = ShardLocation { database: database.clone(), key: Key::Slot(0) };
        let written = self.sql.write(&place, WriteBatch { steps, idempotency: None }).await;
        self.note(database, &written);
        written.map(drop)
    }

    fn tell(&self, database: &Database, fault: StorageFault, refuses: bool) {
        let database = match database {
            Database::System => "system".to_owned(),
            Database::Env(env) => format!("environment {env}"),
        };
        let engine = self.engine;
        let text = if refuses {
            let advice = fault.advice();
            format!(
                "the database ({engine}) takes no writes: {fault} ({database}); reads go on where they can; {advice}"
            )
        } else {
            format!("the database ({engine}) takes writes again; it refused them before: {fault}")
        };
        let fault = fault.name();
        let changed = StorageChanged { engine, fault, refuses, text: &text };
        self.events.emit(&Event::StorageChanged(changed));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Refusing {
    /// Whether other databases of the engine refuse too, as far as one can tell: all lie on one disk or server.
    fn concerns_all(self, database: &Database) -> bool {
        *database == Database::System
            || matches!(self.fault, StorageFault::DiskFull | StorageFault::Away)
    }
}

// === impl Watched ===

impl Watched {
    pub(super) fn new(health: Arc<Health>) -> Self {
        Self(health)
    }
}

impl Sql for Watched {
    fn read<'a>(
        &'a self,
        consistency: Consistency,
        place: &'a ShardLocation,
        statement: Statement,
    ) -> SqlFuture<'a, Rows> {
        self.0.sql.read(consistency, place, statement)
    }

    fn write<'a>(&'a self, place: &'a ShardLocation, unit: WriteBatch) -> SqlFuture<'a, Written> {
        Box::pin(async move {
            let written = self.0.sql.write(place, unit).await;
            self.0.note(&place.database, &written);
            written
        })
    }

    fn servers(&self) -> Vec<ServerSeen> {
        self.0.sql.servers()
    }

    fn write_by<'a>(
        &'a self,
        who: Who,
        place: &'a ShardLocation,
        unit: WriteBatch,
    ) -> SqlFuture<'a, Written> {
        Box::pin(async move {
            let written = self.0.sql.write_by(who, place, unit).await;
            self.0.note(&place.database, &written);
            written
        })
    }
}
