//! A database that stops at a statement until the test lets it go on, so that races are steps in order.

use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;
use yunzhan_base::{Error, Kind, Result};
use yunzhan_engine::sql::{
    Consistency, Rows, ShardLocation, SharedSql, Sql, SqlFuture, Statement, WriteBatch, Written,
};

/// The database of a test.
pub(super) struct Paused {
    inner: SharedSql,
    stop: Mutex<Option<Stop>>,
}

/// Where the next statement that begins so stops: a read after it was done, a write before it is done.
struct Stop {
    start: &'static str,
    reached: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
}

/// A statement that stops, or will. It fails when this is dropped.
pub(super) struct Stopped {
    reached: oneshot::Receiver<()>,
    go_on: oneshot::Sender<()>,
}

impl Paused {
    pub(super) fn new(inner: SharedSql) -> Arc<Self> {
        Arc::new(Self { inner, stop: Mutex::default() })
    }

    /// The next statement that begins so stops, once.
    pub(super) fn stop_at(&self, start: &'static str) -> Stopped {
        let (reached, has_reached) = oneshot::channel();
        let (go_on, may_go_on) = oneshot::channel();
        *self.stop.lock().unwrap() = Some(Stop { start, reached, go_on: may_go_on });
        Stopped { reached: has_reached, go_on }
    }

    async fn pass(&self, sql: &str) -> Result<()> {
        let stop = self.stop.lock().unwrap().take_if(|stop| sql.starts_with(stop.start));
        let Some(stop) = stop else { return Ok(()) };
        let _ = stop.reached.send(());
        let failed = |_| Error::new(Kind::Unavailable, "the test let this statement fail");
        stop.go_on.await.map_err(failed)
    }
}

impl Stopped {
    /// Waits until the statement has come.
    pub(super) async fn reached(&mut self) {
        (&mut self.reached).await.expect("a statement that begins so");
    }

    pub(super) fn go_on(self) {
        self.go_on.send(()).expect("the statement still waits");
    }
}

impl Sql for Paused {
    fn read<'a>(
        &'a self,
        consistency: Consistency,
        place: &'a ShardLocation,
        statement: Statement,
    ) -> SqlFuture<'a, Rows> {
        Box::pin(async move {
            let sql = statement.sql;
            let rows = self.inner.read(consistency, place, statement).await?;
            self.pass(sql).await?;
            Ok(rows)
        })
    }

    fn write<'a>(&'a self, place: &'a ShardLocation, unit: WriteBatch) -> SqlFuture<'a, Written> {
        Box::pin(async move {
            for step in &unit.steps {
                self.pass(step.statement.sql).await?;
            }
            self.inner.write(place, unit).await
        })
    }
}
