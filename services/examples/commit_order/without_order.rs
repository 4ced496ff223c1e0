//! The same units with other counters, or none.

use std::sync::atomic::{AtomicI64, Ordering};

use yunzhan_engine::sql::{
    Consistency, Rows, ShardLocation, SharedSql, Sql, SqlFuture, Statement, Value, WriteBatch,
    Written,
};

/// By what documents get their versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counters {
    /// By the counters of their slot groups, as the service does.
    Many,
    /// By a single one.
    One,
    /// By a number of this process, with no row at all.
    None,
}

/// A database to which units come with other counters.
pub(crate) struct Recounted {
    sql: SharedSql,
    counters: Counters,
    next: AtomicI64,
}

impl Recounted {
    pub(crate) fn new(sql: SharedSql, counters: Counters) -> Self {
        Self { sql, counters, next: AtomicI64::new(1_000_000) }
    }

    fn recount(&self, unit: &mut WriteBatch) {
        let takes = |sql: &str| sql.contains("{take:");
        match self.counters {
            Counters::Many => {}
            // The group is the third parameter of the step.
            Counters::One => {
                for step in &mut unit.steps {
                    if takes(step.statement.sql) {
                        step.statement.params[2] = Value::Integer(0);
                    }
                }
            }
            Counters::None => {
                unit.steps.retain(|step| !takes(step.statement.sql));
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                let values = unit.steps.iter_mut().flat_map(|step| step.values_mut());
                values
                    .filter(|value| matches!(value, Value::Taken(_)))
                    .for_each(|value| *value = Value::Integer(number));
            }
        }
    }
}

impl Sql for Recounted {
    fn read<'a>(
        &'a self,
        consistency: Consistency,
        place: &'a ShardLocation,
        statement: Statement,
    ) -> SqlFuture<'a, Rows> {
        self.sql.read(consistency, place, statement)
    }

    fn write<'a>(
        &'a self,
        place: &'a ShardLocation,
        mut unit: WriteBatch,
    ) -> SqlFuture<'a, Written> {
        self.recount(&mut unit);
        self.sql.write(place, unit)
    }
}
