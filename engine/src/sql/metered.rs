//! A wrapper that tells everyone who observes how long each statement and unit took and how it ended.

use std::time::Instant;

use yunzhan_base::Result;
use yunzhan_base::event::{Event, Events, SqlEnded, SqlOperation};

use super::{
    Consistency, Rows, ServerSeen, ShardLocation, SharedSql, Sql, SqlFuture, Statement, Who,
    WriteBatch, Written,
};

/// An engine that is watched.
pub struct Metered {
    inner: SharedSql,
    events: Events,
}

/// Tells of the end of one operation, also when its caller leaves before it: an operation that nobody waits for any
/// longer is told with the time until then and without a failure.
struct Watch<'a> {
    events: &'a Events,
    started: Instant,
    ended: SqlEnded,
}

// === impl Metered ===

impl Metered {
    /// Watches `inner`.
    pub fn new(inner: SharedSql, events: Events) -> Self {
        Self { inner, events }
    }

    fn watch(&self, operation: SqlOperation) -> Watch<'_> {
        let ended = SqlEnded { operation, duration_us: 0, failed: None };
        Watch { events: &self.events, started: Instant::now(), ended }
    }
}

impl Sql for Metered {
    fn read<'a>(
        &'a self,
        consistency: Consistency,
        place: &'a ShardLocation,
        statement: Statement,
    ) -> SqlFuture<'a, Rows> {
        Box::pin(async move {
            let watch = self.watch(SqlOperation::Read);
            watch.end(self.inner.read(consistency, place, statement).await)
        })
    }

    fn write<'a>(&'a self, place: &'a ShardLocation, unit: WriteBatch) -> SqlFuture<'a, Written> {
        Box::pin(async move {
            let watch = self.watch(SqlOperation::Write);
            watch.end(self.inner.write(place, unit).await)
        })
    }

    fn servers(&self) -> Vec<ServerSeen> {
        self.inner.servers()
    }

    fn write_by<'a>(
        &'a self,
        who: Who,
        place: &'a ShardLocation,
        unit: WriteBatch,
    ) -> SqlFuture<'a, Written> {
        Box::pin(async move {
            let watch = self.watch(SqlOperation::Write);
            watch.end(self.inner.write_by(who, place, unit).await)
        })
    }
}

// === impl Watch ===

impl Watch<'_> {
    fn end<T>(mut self, result: Result<T>) -> Result<T> {
        self.ended.failed = result.as_ref().err().map(yunzhan_base::Error::kind);
        result
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let duration_us = self.started.elapsed().as_micros();
        self.ended.duration_us = u64::try_from(duration_us).unwrap_or(u64::MAX);
        self.events.emit(&Event::SqlEnded(self.ended));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::sync::{Arc, Mutex};

    use yunzhan_base::event::Observe;
    use yunzhan_base::{Clock, Kind};

    use super::*;
    use crate::sql::testing::Fresh;
    use crate::sql::{Database, Expect, Key, Migrations, WriteStep};

    #[derive(Default)]
    struct Seen(Mutex<Vec<(SqlOperation, Option<Kind>)>>);

    impl Observe for Seen {
        fn observe(&self, event: &Event<'_>) {
            if let Event::SqlEnded(ended) = event {
                self.0.lock().unwrap().push((ended.operation, ended.failed));
            }
        }
    }

    #[tokio::test]
    async fn every_operation_is_told_once_with_its_end() {
        let fresh = Fresh::sqlite();
        let inner = fresh.open(Migrations::new(vec![]).unwrap(), Clock::System).await;
        let seen = Arc::new(Seen::default());
        let metered = Metered::new(inner, Events::to(vec![Arc::clone(&seen) as Arc<dyn Observe>]));
        let place = ShardLocation { database: Database::System, key: Key::Slot(0) };
        let statement = |sql| Statement { sql, tables: &[], params: vec![] };
        metered.read(Consistency::Primary, &place, statement("SELECT 1")).await.unwrap();
        let wrong = WriteStep::once(statement("DELETE"), Expect::Any);
        let unit = WriteBatch { steps: vec![wrong], idempotency: None };
        metered.write(&place, unit).await.unwrap_err();
        let seen = seen.0.lock().unwrap().clone();
        assert_eq!(seen, [(SqlOperation::Read, None), (SqlOperation::Write, Some(Kind::Internal))]);
    }
}
