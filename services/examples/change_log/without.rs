//! The same units without a part of them.

use std::sync::atomic::{AtomicI64, Ordering};

use yunzhan_engine::sql::{
    Consistency, Rows, ShardLocation, SharedSql, Sql, SqlFuture, Statement, Value, WriteBatch,
    WriteStep, Written,
};

/// What is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing: as the service writes.
    Nothing,
    /// The counters of the slot groups, but for one that serves all.
    Counters,
    /// Every counter: numbers come from this process, and no row is held.
    Order,
    /// The rows of the change log.
    Log,
}

/// A database to which units come without that part.
pub(crate) struct Without {
    sql: SharedSql,
    left: Left,
    next: AtomicI64,
}

impl Without {
    pub(crate) fn new(sql: SharedSql, left: Left) -> Self {
        Self { sql, left, next: AtomicI64::new(1_000_000) }
    }

    fn cut(&self, unit: &mut WriteBatch) {
        let takes = |sql: &str| sql.contains("{take:");
        match self.left {
            Left::Nothing => {}
            Left::Log => {
                unit.steps.retain(|step| !step.statement.sql.starts_with("INSERT INTO {changes}"));
            }
            // The group is the third parameter of the step.
            Left::Counters => {
                for step in &mut unit.steps {
                    if takes(step.statement.sql) {
                        step.statement.params[2] = Value::Integer(0);
                    }
                }
            }
            Left::Order => {
                unit.steps.retain(|step| !takes(step.statement.sql));
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                let values = unit.steps.iter_mut().flat_map(WriteStep::values_mut);
                values
                    .filter(|value| matches!(value, Value::Taken(_)))
                    .for_each(|value| *value = Value::Integer(number));
            }
        }
    }
}

impl Sql for Without {
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
        self.cut(&mut unit);
        self.sql.write(place, unit)
    }
}
