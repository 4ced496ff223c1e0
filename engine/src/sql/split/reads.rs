//! Which server a read goes to.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use yunzhan_base::{Kind, Result};

use super::Shared;
use super::member::{Member, Seen};
use super::position::Position;
use super::writers::Needs;
use crate::sql::{Consistency, Rows, ShardLocation, Sql, Statement, Who};

/// What a replica must show.
#[derive(Clone, Debug)]
pub(super) struct Freshness {
    /// What it must have applied.
    position: Option<Position>,
    /// How old what it shows may be.
    lag_max: Option<Duration>,
}

impl Shared {
    pub(super) async fn read(
        &self,
        consistency: Consistency,
        place: &ShardLocation,
        statement: Statement,
    ) -> Result<Rows> {
        let deadline = Instant::now() + self.config.replica_wait;
        let freshness = match &consistency {
            Consistency::Primary => None,
            Consistency::Stale { max } => Some(Freshness { position: None, lag_max: Some(*max) }),
            Consistency::After(token) => Position::parse(&token.0)
                .map(|position| Freshness { position: Some(position), lag_max: None }),
            Consistency::Own(who) => self.freshness_of(*who, deadline).await,
        };
        let Some(freshness) = freshness else { return self.read_primary(place, statement).await };
        let Some(replica) = self.replica_with(&freshness, deadline).await else {
            return self.read_primary(place, statement).await;
        };
        match self.read_replica(replica, consistency, place, statement.clone()).await {
            // What the caller did is the same everywhere, and so is a statement that takes too long.
            Err(error)
                if !matches!(
                    error.kind(),
                    Kind::InvalidParameter | Kind::TooLarge | Kind::Timeout
                ) =>
            {
                replica.demand();
                self.read_primary(place, statement).await
            }
            other => other,
        }
    }

    async fn read_primary(&self, place: &ShardLocation, statement: Statement) -> Result<Rows> {
        let primary = self.primary();
        if primary.is_away() {
            return Err(self.nothing_read());
        }
        primary.reads.fetch_add(1, Ordering::Relaxed);
        primary.mysql()?.read(Consistency::Primary, place, statement).await
    }

    fn nothing_read(&self) -> yunzhan_base::Error {
        use crate::sql::StorageFault;
        let text =
            "the database cannot be reached, and no replica of it is fresh enough; try again later";
        yunzhan_base::Error::new(Kind::Unavailable, text)
            .because(StorageFault::Away)
            .with_detail(format!("{} cannot be reached", self.primary().name))
    }

    /// Fails as soon as the replica cannot be asked any more how it stands: one that is stopped would hold the read for as
    /// long as a statement may take.
    async fn read_replica(
        &self,
        replica: &Member,
        consistency: Consistency,
        place: &ShardLocation,
        statement: Statement,
    ) -> Result<Rows> {
        replica.reads.fetch_add(1, Ordering::Relaxed);
        let read = replica.mysql()?.read(consistency, place, statement);
        tokio::select! {
            rows = read => rows,
            () = replica.gone() => Err(self.nothing_read()),
        }
    }
}

impl Shared {
    /// A replica that shows what is needed, now or before the deadline.
    async fn replica_with(&self, needed: &Freshness, deadline: Instant) -> Option<&Member> {
        let mut moved = self.moved.subscribe();
        loop {
            moved.borrow_and_update();
            if let Some(replica) = self.replicas().find(|replica| self.shows(replica, needed)) {
                return Some(replica);
            }
            if Instant::now() >= deadline {
                return None;
            }
            self.replicas().for_each(Member::demand);
            tokio::time::timeout_at(deadline, moved.changed()).await.ok()?.ok()?;
        }
    }

    /// Every server but the primary, each read beginning at another one.
    fn replicas(&self) -> impl Iterator<Item = &Member> {
        let (count, primary) = (self.members.len(), self.primary_index());
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let indexes = (0..count).map(move |index| (turn.wrapping_add(index)) % count);
        indexes.filter(move |index| *index != primary).map(|index| &*self.members[index])
    }

    fn shows(&self, replica: &Member, needed: &Freshness) -> bool {
        let Some(seen) = replica.seen() else { return false };
        let has_position = needed.position.as_ref().is_none_or(|position| {
            seen.status.applied.as_ref().is_some_and(|applied| applied.includes(position))
        });
        let is_young = needed.lag_max.is_none_or(|max| {
            self.lag_ms_of(&seen).is_some_and(|lag_ms| i128::from(lag_ms) <= max_ms(max))
        });
        has_position && is_young
    }

    /// How old what a replica shows may be, in milliseconds.
    pub(super) fn lag_ms(&self, replica: &Member) -> Option<i64> {
        self.lag_ms_of(&replica.seen()?)
    }

    /// The age of the heartbeat that it shows, by the clock of the primary that wrote it. One of another term was written by
    /// another clock, and one from the future by a clock that was set back since: they tell nothing.
    ///
    /// While there is no primary nothing new comes into being, and the age stays what it was when it was lost.
    fn lag_ms_of(&self, seen: &Arc<Seen>) -> Option<i64> {
        let primary = self.primary().last_seen()?;
        let beat = seen.status.beat.as_ref().filter(|beat| beat.term == primary.term())?;
        let now_ms = match self.is_lost() {
            true => primary.status.now_ms.max(beat.at_ms),
            false => primary.now_ms(),
        };
        now_ms.checked_sub(beat.at_ms).filter(|lag_ms| *lag_ms >= 0)
    }

    /// What a person's read needs. None where only the primary has it for certain.
    ///
    /// A position that the primary tells after the read began has everything that was acknowledged before, by whichever
    /// server. Where nobody else writes, what this server acknowledged to the person is enough.
    async fn freshness_of(&self, who: Who, deadline: Instant) -> Option<Freshness> {
        let lag_max = Some(self.config.replica_lag_max);
        let needs = self.writers().needs(who);
        if let Needs::Position(position) = needs
            && (self.is_alone() || self.is_lost())
        {
            return Some(Freshness { position: Some(position), lag_max });
        }
        if self.is_lost() {
            return None;
        }
        let position = self.position_after_now(deadline).await?;
        Some(Freshness { position: Some(position), lag_max: None })
    }

    async fn position_after_now(&self, deadline: Instant) -> Option<Position> {
        let index = self.primary_index();
        let unknown = self.writers().unknown();
        let asked = tokio::time::timeout_at(deadline, self.members[index].ask()).await;
        let position = asked.ok()??.status.executed.clone()?;
        self.writers().settle(unknown, &position);
        // One that was left meanwhile may lack what its successor took.
        (index == self.primary_index() && !self.is_lost()).then_some(position)
    }
}

fn max_ms(max: Duration) -> i128 {
    i128::try_from(max.as_millis()).unwrap_or(i128::MAX)
}
