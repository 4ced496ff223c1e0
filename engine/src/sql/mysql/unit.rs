//! One unit as one transaction.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error as DriverError, SessionStateChange, TxOpts};
use yunzhan_base::{Error, Result};

use super::{Shared, codes, values};
use crate::sql::dialect::Text;
use crate::sql::limits::{changed_from, changed_text};
use crate::sql::{Expect, Logical, Scope, Statement, Token, Value, WriteBatch, WriteStep, Written};

const TABLES: &[Logical] = &[Logical("idempotency")];
const FIND: &str = "SELECT changed FROM {idempotency} WHERE env = ? AND unit_key = ?";
const KEEP: &str =
    "INSERT INTO {idempotency} (env, unit_key, changed, committed_ms) VALUES (?, ?, ?, ?)";

/// What a try came to.
pub(super) enum Tried {
    /// It was committed, now or before.
    Written(Written),
    /// It was undone by another transaction or lost with its connection; it may be tried again.
    Again(Error),
}

/// Tries a unit once.
pub(super) async fn run(
    shared: &Shared,
    connection: &mut Conn,
    scope: Scope,
    env: &str,
    unit: &WriteBatch,
) -> Result<Tried> {
    let changed = match (unit.steps.as_slice(), &unit.idempotency) {
        // The statement is a transaction by itself: two round trips less.
        ([WriteStep { statement, expect: Expect::Any }], None) => {
            statement_alone(shared, connection, scope, statement).await
        }
        _ => transaction(shared, connection, scope, env, unit).await,
    };
    match changed {
        Ok(changed) => {
            let token = token(connection);
            Ok(Tried::Written(Written { changed, token, repeated: false }))
        }
        Err(Stop::Undone(error)) => Ok(Tried::Again(codes::error(error))),
        // A key tells the next try whether this one was committed.
        Err(Stop::Driver(error)) if codes::is_broken(&error) && unit.idempotency.is_some() => {
            Ok(Tried::Again(codes::error(error)))
        }
        Err(stop) => remembered_or(shared, connection, scope, env, unit, stop).await,
    }
}

/// What ended a transaction early.
enum Stop {
    Driver(DriverError),
    /// Certainly nothing was committed, and another try may succeed: a deadlock, or a connection that broke before the
    /// commit was sent.
    Undone(DriverError),
    Refused(Error),
}

impl Stop {
    /// The commit has not been sent.
    fn before_commit(self) -> Self {
        match self {
            Self::Driver(error) if codes::is_broken(&error) => Self::Undone(error),
            other => other,
        }
    }
}

impl From<DriverError> for Stop {
    fn from(error: DriverError) -> Self {
        if codes::is_conflict(&error) { Self::Undone(error) } else { Self::Driver(error) }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

async fn statement_alone(
    shared: &Shared,
    connection: &mut Conn,
    scope: Scope,
    statement: &Statement,
) -> Result<Vec<u64>, Stop> {
    let text = shared.texts.of(scope, statement)?;
    Ok(vec![change(connection, &text, &statement.params).await?])
}

async fn transaction(
    shared: &Shared,
    connection: &mut Conn,
    scope: Scope,
    env: &str,
    unit: &WriteBatch,
) -> Result<Vec<u64>, Stop> {
    let begun = connection.start_transaction(TxOpts::default()).await;
    let mut transaction = begun.map_err(|error| Stop::from(error).before_commit())?;
    match steps(shared, &mut transaction, scope, env, unit).await {
        Ok(changed) => {
            transaction.commit().await?;
            Ok(changed)
        }
        Err(stop) => {
            // A transaction that cannot be rolled back is gone with its connection.
            let _ = transaction.rollback().await;
            Err(stop.before_commit())
        }
    }
}

async fn steps(
    shared: &Shared,
    connection: &mut impl Queryable,
    scope: Scope,
    env: &str,
    unit: &WriteBatch,
) -> Result<Vec<u64>, Stop> {
    let mut changed = Vec::with_capacity(unit.steps.len());
    for step in &unit.steps {
        let text = shared.texts.of(scope, &step.statement)?;
        let rows = change(connection, &text, &step.statement.params).await?;
        step.expect.check(rows)?;
        changed.push(rows);
    }
    if let Some(key) = &unit.idempotency {
        let now_ms = Value::Integer(shared.clock.now_ms());
        let changed = Value::Text(changed_text(&changed));
        let params = vec![Value::Text(env.to_owned()), Value::Text(key.clone()), changed, now_ms];
        let keep = Statement { sql: KEEP, tables: TABLES, params };
        let text = shared.texts.of(scope, &keep)?;
        change(connection, &text, &keep.params).await?;
    }
    Ok(changed)
}

async fn change(
    connection: &mut impl Queryable,
    text: &Text,
    params: &[Value],
) -> Result<u64, DriverError> {
    match connection.exec_iter(text.sql.as_str(), values::params(params)).await {
        Ok(result) => {
            let changed = result.affected_rows();
            result.drop_result().await?;
            // An updated row counts as two here, and as one in SQLite.
            Ok(if text.is_upsert { changed.min(1) } else { changed })
        }
        // The server undoes the statement alone.
        Err(error) if text.ignores_duplicates && codes::is_duplicate(&error) => Ok(0),
        Err(error) => Err(error),
    }
}

/// A unit that was committed before fails on its own rows or on its key; then its answer is remembered. Looking only
/// after a failure keeps the usual unit one round trip shorter.
async fn remembered_or(
    shared: &Shared,
    connection: &mut Conn,
    scope: Scope,
    env: &str,
    unit: &WriteBatch,
    stop: Stop,
) -> Result<Tried> {
    if let Some(key) = &unit.idempotency
        && !matches!(&stop, Stop::Driver(error) if codes::is_broken(error))
        && let Some(changed) = find(shared, connection, scope, env, key).await?
    {
        let written =
            Written { changed: changed_from(&changed)?, repeated: true, ..Written::default() };
        return Ok(Tried::Written(written));
    }
    Err(match stop {
        Stop::Driver(error) | Stop::Undone(error) => codes::error(error),
        Stop::Refused(error) => error,
    })
}

async fn find(
    shared: &Shared,
    connection: &mut Conn,
    scope: Scope,
    env: &str,
    key: &str,
) -> Result<Option<String>> {
    let find = Statement { sql: FIND, tables: TABLES, params: vec![] };
    let text = shared.texts.of(scope, &find)?;
    connection.exec_first(text.sql.as_str(), (env, key)).await.map_err(codes::error)
}

/// The transaction's GTID, when the server tells it; MariaDB and servers without GTIDs do not.
fn token(connection: &Conn) -> Token {
    let changes = connection.last_ok_packet().and_then(|ok| ok.session_state_info().ok());
    let gtid = changes.iter().flatten().find_map(|change| match change.decode() {
        Ok(SessionStateChange::Gtids(gtids)) => Some(gtids.as_str().into_owned()),
        _ => None,
    });
    Token(gtid.unwrap_or_default())
}
