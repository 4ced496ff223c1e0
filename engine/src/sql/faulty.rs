//! A wrapper that lets a plan of faults strike: slow and failing reads and writes, and answers that are lost.
//!
//! Without a plan it costs a load and a length check.

use yunzhan_base::fault::{Effect, Faults, Point};
use yunzhan_base::{Error, Kind, Result};

use super::{
    Consistency, Rows, ServerSeen, ShardLocation, SharedSql, Sql, SqlFuture, Statement, Who,
    WriteBatch, Written,
};

/// An engine that may fail on purpose.
pub struct Faulty {
    inner: SharedSql,
    faults: Faults,
}

// === impl Faulty ===

impl Faulty {
    /// Lets `faults` strike at `inner`.
    pub fn new(inner: SharedSql, faults: Faults) -> Self {
        Self { inner, faults }
    }

    async fn strike(&self, point: Point) -> Result<()> {
        match self.faults.at(point) {
            None => Ok(()),
            Some(Effect::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                Ok(())
            }
            Some(Effect::Fail) => Err(Error::new(Kind::Unavailable, Kind::Unavailable.entry().en)
                .with_detail(format!("a fault on purpose at {point:?}"))),
        }
    }
}

impl Sql for Faulty {
    fn read<'a>(
        &'a self,
        consistency: Consistency,
        place: &'a ShardLocation,
        statement: Statement,
    ) -> SqlFuture<'a, Rows> {
        Box::pin(async move {
            self.strike(Point::SqlRead).await?;
            self.inner.read(consistency, place, statement).await
        })
    }

    fn write<'a>(&'a self, place: &'a ShardLocation, unit: WriteBatch) -> SqlFuture<'a, Written> {
        Box::pin(async move {
            self.strike(Point::SqlWrite).await?;
            let written = self.inner.write(place, unit).await?;
            self.strike(Point::SqlWriteAnswer).await?;
            Ok(written)
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
            self.strike(Point::SqlWrite).await?;
            let written = self.inner.write_by(who, place, unit).await?;
            self.strike(Point::SqlWriteAnswer).await?;
            Ok(written)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use yunzhan_base::Clock;
    use yunzhan_base::fault::{Plan, Rule};

    use super::*;
    use crate::sql::testing::Fresh;
    use crate::sql::{Database, Expect, Key, Logical, Migrations, WriteStep};

    const TABLES: &[Logical] = &[Logical("idempotency")];
    const PUT: &str = "INSERT INTO {idempotency} (env, unit_key, changed, committed_ms) VALUES ('', 'mark', '', ?)";
    const COUNT: &str = "SELECT COUNT(*) FROM {idempotency} WHERE unit_key = 'mark'";

    fn statement(sql: &'static str, params: Vec<crate::sql::Value>) -> Statement {
        Statement { sql, tables: TABLES, params }
    }

    async fn struck(point: Point) -> (Result<Written>, Result<Rows>, Result<Written>) {
        let fresh = Fresh::sqlite();
        let clock = Clock::manual(0);
        let inner = fresh.open(Migrations::new(vec![]).unwrap(), clock.clone()).await;
        let faults = Faults::none(clock.clone(), 1);
        let rules = vec![Rule { point, per_mille: 1000, effect: Effect::Fail }];
        faults.set(Plan { rules, until_ms: 1 });
        let faulty = Faulty::new(inner, faults);
        let place = ShardLocation { database: Database::System, key: Key::Slot(0) };
        let unit = || {
            let put = statement(PUT, vec![crate::sql::Value::Integer(i64::MAX)]);
            let steps = vec![WriteStep::once(put, Expect::Any)];
            WriteBatch { steps, idempotency: Some("a".into()) }
        };
        let first = faulty.write(&place, unit()).await;
        let count = statement(COUNT, vec![]);
        let read = faulty.read(Consistency::Primary, &place, count).await;
        clock.advance(std::time::Duration::from_millis(1));
        (first, read, faulty.write(&place, unit()).await)
    }

    #[tokio::test]
    async fn a_fault_before_a_write_leaves_nothing() {
        let (first, read, second) = struck(Point::SqlWrite).await;
        assert_eq!(first.unwrap_err().kind(), Kind::Unavailable);
        assert_eq!(read.unwrap().0[0].0, [crate::sql::Value::Integer(0)]);
        assert!(!second.unwrap().repeated);
    }

    #[tokio::test]
    async fn a_lost_answer_is_found_again_by_its_key() {
        let (first, read, second) = struck(Point::SqlWriteAnswer).await;
        assert_eq!(first.unwrap_err().kind(), Kind::Unavailable);
        assert_eq!(read.unwrap().0[0].0, [crate::sql::Value::Integer(1)]);
        assert!(second.unwrap().repeated);
    }

    #[tokio::test]
    async fn a_fault_at_reads_lets_writes_pass() {
        let (first, read, second) = struck(Point::SqlRead).await;
        assert!(!first.unwrap().repeated);
        assert_eq!(read.unwrap_err().kind(), Kind::Unavailable);
        assert!(second.unwrap().repeated);
    }
}
