//! One primary and its replicas: who is which, what each has, and which of them answers.
//!
//! Every server is asked on and on how it stands ([`member`]). A read goes to a replica that is known to have what the read
//! needs ([`reads`]), and to the primary where none is; a write goes to the primary, which one task finds again when it is
//! lost ([`primary`]). What a person wrote here is remembered in a bounded table ([`writers`]); what they wrote elsewhere is
//! covered by asking the primary how far it is, or by knowing that nobody else writes ([`alone`]). Decision 0025 has the
//! proof.

mod alone;
mod member;
mod position;
mod primary;
mod reads;
pub(crate) mod store;
#[cfg(test)]
#[allow(clippy::print_stderr, reason = "figures that the decision names")]
mod tests;
mod writers;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use yunzhan_base::event::Events;
use yunzhan_base::{Clock, Error, Kind, Result};

pub(crate) use self::position::Position;

use self::alone::Announced;
use self::member::{Asking, Member};
use self::writers::Writers;
use super::migrate::Migrations;
use super::storage_fault::StorageFault;
use super::{
    Consistency, Rows, ShardLocation, Sql, SqlFuture, Statement, Who, WriteBatch, Written, mysql,
};
use crate::config;

/// A primary and its replicas.
pub struct Split {
    shared: Arc<Shared>,
    tasks: Vec<AbortHandle>,
}

struct Shared {
    config: config::Sql,
    events: Events,
    /// The row of this process.
    id: String,
    /// Every server, in the order of the configuration.
    members: Vec<Arc<Member>>,
    /// Which of them is the primary, or was before it was lost.
    primary: AtomicUsize,
    /// Whether the primary refused a write as one that only reads.
    was_left: AtomicBool,
    writers: Mutex<Writers>,
    /// What this process acknowledged, with what was written on each server apart: a new primary must have it.
    acknowledged: Mutex<Position>,
    announced: watch::Sender<Option<Announced>>,
    /// Counts what was learnt of any server.
    moved: watch::Sender<u64>,
    /// Wakes whoever looks after the primary.
    wake: Notify,
    /// Where reads begin to look for a replica.
    turn: AtomicUsize,
}

/// How a server looks from here, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSeen {
    /// `host:port`.
    pub name: String,
    /// Whether writes go to it.
    pub is_primary: bool,
    /// Whether it answers.
    pub is_reached: bool,
    /// How old what it shows may be, in milliseconds. None for the primary, and where nobody can tell.
    pub lag_ms: Option<i64>,
    /// Reads that it was sent.
    pub reads: u64,
}

/// Says whether [`Split::open`] would refuse these servers, and changes nothing there.
pub(super) async fn inspect(config: &config::Sql, migrations: &Migrations) -> Result<()> {
    let migrations = migrations.clone().with(store::SERVICE, store::MIGRATIONS)?;
    let (addresses, primary) = primary::look_at_all(config).await?;
    mysql::inspect_at(&addresses[primary], config, &migrations).await
}

// === impl Split ===

impl Split {
    /// Looks at every server, takes the one that takes writes for the primary, migrates its tables, and begins to watch all.
    /// Fails as unavailable when none takes writes.
    pub async fn open(
        config: config::Sql,
        migrations: Migrations,
        clock: Clock,
        events: Events,
    ) -> Result<Self> {
        let migrations = migrations.with(store::SERVICE, store::MIGRATIONS)?;
        let (members, first) = primary::find_first(&config, &migrations, &clock).await?;
        let id = crate::lease::draw_id()?;
        let asking = Arc::new(Asking {
            config: config.clone(),
            clock,
            events: events.clone(),
            id: id.clone(),
            every: config.replica_heartbeat / 2,
            moved: watch::Sender::new(0),
        });
        let shared = Arc::new(Shared {
            config,
            events,
            id,
            members,
            primary: AtomicUsize::new(first),
            was_left: AtomicBool::new(false),
            writers: Mutex::default(),
            acknowledged: Mutex::default(),
            announced: watch::Sender::new(None),
            moved: asking.moved.clone(),
            wake: Notify::new(),
            turn: AtomicUsize::new(0),
        });
        let tasks = begin_tasks(&shared, &asking);
        let split = Self { shared, tasks };
        split.shared.ready().await?;
        Ok(split)
    }
}

fn begin_tasks(shared: &Arc<Shared>, asking: &Arc<Asking>) -> Vec<AbortHandle> {
    let mut tasks = Vec::with_capacity(shared.members.len() + 1);
    for member in &shared.members {
        let (member, asking) = (Arc::clone(member), Arc::clone(asking));
        let task = tokio::spawn(async move { member.watch(&asking).await });
        tasks.push(task.abort_handle());
    }
    let shared = Arc::clone(shared);
    let task = tokio::spawn(async move { shared.look_after_primary().await });
    tasks.push(task.abort_handle());
    tasks
}

impl Drop for Split {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Sql for Split {
    fn read<'a>(
        &'a self,
        consistency: Consistency,
        place: &'a ShardLocation,
        statement: Statement,
    ) -> SqlFuture<'a, Rows> {
        Box::pin(self.shared.read(consistency, place, statement))
    }

    fn write<'a>(&'a self, place: &'a ShardLocation, unit: WriteBatch) -> SqlFuture<'a, Written> {
        Box::pin(self.write_for(None, place, unit))
    }

    fn write_by<'a>(
        &'a self,
        who: Who,
        place: &'a ShardLocation,
        unit: WriteBatch,
    ) -> SqlFuture<'a, Written> {
        Box::pin(self.write_for(Some(who), place, unit))
    }

    fn servers(&self) -> Vec<ServerSeen> {
        let primary = self.shared.primary_index();
        let members = self.shared.members.iter().enumerate();
        let seen = members.map(|(index, member)| ServerSeen {
            name: member.name.clone(),
            is_primary: index == primary && !self.shared.is_lost(),
            is_reached: member.seen().is_some(),
            lag_ms: (index != primary).then(|| self.shared.lag_ms(member)).flatten(),
            reads: member.reads.load(Ordering::Relaxed),
        });
        seen.collect()
    }
}

impl Split {
    /// In a task of its own, so that a write whose caller goes away is remembered too.
    async fn write_for(
        &self,
        who: Option<Who>,
        place: &ShardLocation,
        unit: WriteBatch,
    ) -> Result<Written> {
        let (shared, place) = (Arc::clone(&self.shared), place.clone());
        let task = tokio::spawn(async move { shared.write(who, &place, unit).await });
        task.await.map_err(|error| Error::internal("a unit panicked").because(error))?
    }
}

// === impl Shared ===

impl Shared {
    fn primary_index(&self) -> usize {
        self.primary.load(Ordering::SeqCst)
    }

    fn primary(&self) -> &Member {
        &self.members[self.primary_index()]
    }

    /// Whether there is no server to write to, as far as this one knows.
    fn is_lost(&self) -> bool {
        let primary = self.primary();
        let only_reads = primary.seen().is_some_and(|seen| seen.status.is_read_only);
        self.was_left.load(Ordering::SeqCst) || only_reads || primary.is_away()
    }

    async fn write(
        &self,
        who: Option<Who>,
        place: &ShardLocation,
        unit: WriteBatch,
    ) -> Result<Written> {
        if self.is_lost() {
            self.wake.notify_one();
            return Err(self.nothing_written());
        }
        let index = self.primary_index();
        let written = self.members[index].mysql()?.write(place, unit).await;
        let written = written.inspect_err(|error| self.note_failure(index, error))?;
        self.note(who, &written);
        self.wait_until_announced(index).await?;
        Ok(written)
    }

    fn nothing_written(&self) -> Error {
        let (fault, why) = match self.primary().is_away() {
            true => (StorageFault::Away, "cannot be reached"),
            false => (StorageFault::ReadOnly, "only reads"),
        };
        let text = "no database server takes writes now; nothing was written; try again later";
        let detail = format!("{} {why}, and no other is the primary", self.primary().name);
        Error::new(Kind::Unavailable, text).because(fault).with_detail(detail)
    }

    /// A server that only reads is left at once, and so are the connections to it: its name may lead elsewhere by now.
    fn note_failure(&self, index: usize, error: &Error) {
        match StorageFault::of(error) {
            Some(StorageFault::ReadOnly) if index == self.primary_index() => {
                self.was_left.store(true, Ordering::SeqCst);
                if let Some(mysql) = self.members[index].mysql.get() {
                    mysql.renew_connections();
                }
                self.members.iter().for_each(|member| member.demand());
                self.wake.notify_one();
            }
            Some(StorageFault::Away) => self.members[index].demand(),
            _ => {}
        }
    }

    fn note(&self, who: Option<Who>, written: &Written) {
        if let Some(position) = Position::parse_by_server(&written.token.0) {
            self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner).raise(&position);
        }
        self.writers().note(who, &written.token);
    }

    fn writers(&self) -> MutexGuard<'_, Writers> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
