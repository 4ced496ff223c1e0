//! One unit as one transaction.

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error as DriverError, Params, TxOpts};
use yunzhan_base::{Error, Result};

use super::{Shared, codes, values};
use crate::sql::dialect::Text;
use crate::sql::limits::{changed_from, changed_text, check_taken, heap_bytes, nothing_taken};
use crate::sql::rows_text::AT_ONCE;
use crate::sql::{Expect, Logical, Scope, Statement, Token, Value, WriteBatch, WriteStep, Written};

const TABLES: &[Logical] = &[Logical("idempotency")];
const FIND: &str = "SELECT changed FROM {idempotency} WHERE env = ? AND unit_key = ?";
const KEEP: &str =
    "INSERT INTO {idempotency} (env, unit_key, changed, committed_ms) VALUES (?, ?, ?, ?)";

/// Bytes of the rows that go in one statement: servers refuse packets over 16 MiB unless told otherwise, and a row alone
/// may have 8.
const STATEMENT_BYTES_MAX: usize = 1 << 20;

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
        ([step @ WriteStep { expect: Expect::Any, .. }], None) if step.rows.is_once() => {
            statement_alone(shared, connection, scope, step).await
        }
        _ => transaction(shared, connection, scope, env, unit).await,
    };
    match changed {
        Ok(changed) => {
            let token = token(shared, connection).await;
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
    step: &WriteStep,
) -> Result<Vec<u64>, Stop> {
    let text = shared.texts.of(scope, &step.statement)?;
    let params = values::params(&step.statement.params, &[])?;
    Ok(vec![change(connection, &text, &text.sql, params).await?])
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
    let (mut changed, mut taken) = (Vec::with_capacity(unit.steps.len()), Vec::new());
    for step in &unit.steps {
        let rows = run_step(shared, connection, scope, step, &mut taken).await?;
        step.expect.check(rows)?;
        changed.push(rows);
    }
    if let Some(key) = &unit.idempotency {
        let now_ms = Value::Integer(shared.clock.now_ms());
        let changed = Value::Text(changed_text(&changed));
        let params = vec![Value::Text(env.to_owned()), Value::Text(key.clone()), changed, now_ms];
        let keep = Statement { sql: KEEP, tables: TABLES, params };
        let text = shared.texts.of(scope, &keep)?;
        change(connection, &text, &text.sql, values::params(&keep.params, &[])?).await?;
    }
    Ok(changed)
}

/// Runs a step for all its rows, many at once where its text lets them be, and says how many rows it changed.
async fn run_step(
    shared: &Shared,
    connection: &mut impl Queryable,
    scope: Scope,
    step: &WriteStep,
    taken: &mut Vec<i64>,
) -> Result<u64, Stop> {
    let text = shared.texts.of(scope, &step.statement)?;
    let own = &step.statement.params;
    if text.takes {
        let (changed, number) = take(connection, &text, values::params(own, taken)?).await?;
        check_taken(changed)?;
        // A server, or a proxy before it, that does not tell the number must not be taken for one that said 0.
        let number =
            number.and_then(|number| i64::try_from(number).ok()).filter(|number| *number > 0);
        taken.push(number.ok_or_else(|| nothing_taken(taken.len()))?);
        return Ok(changed);
    }
    if step.rows.is_once() {
        return Ok(change(connection, &text, &text.sql, values::params(own, taken)?).await?);
    }
    let rows: Vec<&[Value]> = step.rows.iter().collect();
    let (mut rest, mut changed) = (rows.as_slice(), 0);
    while !rest.is_empty() {
        let (sql, count) = text_for(&text, own, rest);
        let (now, later) = rest.split_at(count);
        rest = later;
        let params = values::params(in_order(&text, own, now), taken)?;
        changed += change(connection, &text, sql, params).await?;
    }
    Ok(changed)
}

/// The text that takes the most of these rows at once, and how many it takes.
fn text_for<'t>(text: &'t Text, own: &[Value], rows: &[&[Value]]) -> (&'t str, usize) {
    let Some(place) = &text.rows else { return (&text.sql, 1) };
    let fits = |count: usize| {
        let values = rows[..count].iter().flat_map(|row| row.iter());
        values.map(heap_bytes).sum::<usize>() + count * own.iter().map(heap_bytes).sum::<usize>()
            <= STATEMENT_BYTES_MAX
    };
    let size = AT_ONCE.iter().position(|count| rows.len() >= *count && fits(*count));
    size.map_or((&text.sql, 1), |size| (place.many(&text.sql, size), AT_ONCE[size]))
}

/// The parameters of a text for these rows, in the order of its question marks.
fn in_order<'v>(
    text: &Text,
    own: &'v [Value],
    rows: &'v [&'v [Value]],
) -> Box<dyn Iterator<Item = &'v Value> + Send + 'v> {
    match &text.rows {
        Some(place) if !place.repeats_params => {
            let (before, after) = own.split_at(place.params_before);
            Box::new(before.iter().chain(rows.iter().copied().flatten()).chain(after))
        }
        _ => Box::new(rows.iter().flat_map(move |row| own.iter().chain(row.iter()))),
    }
}

/// Runs a statement that takes a number: how many rows it changed, and the number.
async fn take(
    connection: &mut impl Queryable,
    text: &Text,
    params: Params,
) -> Result<(u64, Option<u64>), Stop> {
    let result = connection.exec_iter(text.sql.as_str(), params).await?;
    let (changed, number) = (result.affected_rows(), result.last_insert_id());
    result.drop_result().await?;
    Ok((changed, number))
}

async fn change(
    connection: &mut impl Queryable,
    text: &Text,
    sql: &str,
    params: Params,
) -> Result<u64, DriverError> {
    match connection.exec_iter(sql, params).await {
        Ok(result) => {
            let changed = result.affected_rows();
            result.drop_result().await?;
            // An updated row counts as two here, and as one in SQLite. Of several rows nobody can tell.
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

/// A position that includes what was just committed on this connection; empty where nobody asks for one, where the server
/// keeps none, and where the question fails, for the unit is committed all the same. It is a round trip more: servers tell a
/// commit's GTID along with its acknowledgement only to clients that track sessions, and the driver does not.
async fn token(shared: &Shared, connection: &mut Conn) -> Token {
    let Some(question) = shared.token_question() else { return Token::default() };
    let told: Result<Option<Option<String>>, _> = connection.query_first(question).await;
    Token(told.ok().flatten().flatten().unwrap_or_default())
}
