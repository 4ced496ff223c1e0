//! What every SQL engine does, told as tests: one list of behaviours, run on each backend and each wrapper.
//!
//! A backend's tests are [`sql_suite!`](crate::sql_suite) with a function that makes a [`Subject`].

mod reads;
mod units;
mod values;

use std::future::Future;
use std::time::Duration;

use yunzhan_base::{Clock, Kind, Result};

pub use self::reads::*;
pub use self::units::*;
pub use self::values::*;
use super::testing::Fresh;
use super::{
    Consistency, Database, Expect, Key, Logical, Migration, Migrations, Rows, Scope, ShardLocation,
    SharedSql, Statement, Value, WriteBatch, WriteStep, Written,
};

/// How long a read of a subject may run: long enough for 8 MiB on a busy machine, short enough for a test.
pub const READ_TIMEOUT: Duration = Duration::from_secs(3);
/// When the clock of a subject stands at the beginning.
const BEGIN_MS: i64 = 1_700_000_000_000;

/// An engine under test, its clock, and what must live as long as it.
pub struct Subject {
    /// The engine.
    pub sql: SharedSql,
    /// The clock that it was opened with.
    pub clock: Clock,
    _fresh: Fresh,
    _kept: Vec<Box<dyn std::any::Any + Send + Sync>>,
}

/// Makes the tests of one subject: `sql_suite!(open)` where `open` is an async function without arguments that gives an
/// `Option<Subject>`, `None` when the backend is absent.
#[macro_export]
macro_rules! sql_suite {
    ($open:path) => {
        $crate::sql_suite! { $open =>
            committed_units_are_visible
            units_are_all_or_nothing
            unmet_expectations_change_nothing
            repeated_units_answer_what_they_answered
            failed_units_leave_no_answer
            one_of_many_repetitions_writes
            remembered_answers_are_forgotten
            many_remembered_answers_are_forgotten_soon
            duplicates_have_their_own_kind
            upserts_and_ignored_duplicates_count_alike
            a_step_writes_many_rows
            a_row_that_fails_takes_all_along
            rows_stand_as_a_table
            rows_that_are_there_stay
            a_number_is_taken_and_bound
            writers_take_numbers_in_the_order_of_their_commits
            updates_count_the_rows_they_match
            text_is_exact
            bytes_are_exact
            large_values_survive
            numbers_are_exact
            numbers_that_do_not_exist_are_refused
            binary_keys_sort_as_bytes
            sums_are_whole_numbers
            optimistic_writers_lose_nothing
            environments_are_apart
            a_token_reads_its_own_write
            a_dropped_write_still_happens
            the_database_tells_the_time
            merges_are_cut_at_their_limit
            long_reads_end_in_time
            broken_statements_are_faults_of_ours
        }
    };
    ($open:path => $($behaviour:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                if let Some(subject) = $open().await {
                    $crate::sql::suite::$behaviour(&subject).await;
                }
            }
        )*
    };
}

const ITEMS: &[Logical] = &[Logical("items")];

/// The tables that the behaviours use.
pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "items", database: Scope::Env, statements: TABLES },
    Migration { version: 1, name: "items", database: Scope::System, statements: TABLES },
];

const TABLES: &[&str] = &[
    "CREATE TABLE {items} (env {env} NOT NULL, id {key:64} NOT NULL, number BIGINT NOT NULL,
     name {name:100}, body {blob}, note {text}, share DOUBLE, PRIMARY KEY (env, id)) {clustered}",
    "CREATE UNIQUE INDEX items_name ON {items} (env, name)",
];

const PUT: &str = "INSERT INTO {items} (env, id, number) VALUES (?, ?, ?)";
const GET: &str = "SELECT number FROM {items} WHERE env = ? AND id = ?";

/// Rows with every kind of value, for the sample of the file format and the test that reads it.
pub fn sample_unit() -> WriteBatch {
    const ALL: &str = "INSERT INTO {items} (env, id, number, name, body, note, share)
        VALUES (?, ?, ?, ?, ?, ?, ?)";
    let row = |id: &[u8], number, rest: [Value; 4]| {
        let mut params = vec![text("demo"), blob(id), Value::Integer(number)];
        params.extend(rest);
        step(ALL, params)
    };
    let full = [text("云栈"), blob(&[0, 255]), text("a note"), Value::Real(0.5)];
    let empty = [Value::Null, Value::Null, Value::Null, Value::Null];
    keyed("sample", vec![row(b"\0\x01", i64::MIN, full), row(b"b", 7, empty)])
}

// === impl Subject ===

impl Subject {
    /// Opens a fresh database with a clock that stands still; `wrap` may put wrappers around it.
    pub async fn of(mut fresh: Fresh, wrap: impl FnOnce(SharedSql) -> SharedSql) -> Self {
        fresh.config().read_timeout = READ_TIMEOUT;
        let clock = Clock::manual(BEGIN_MS);
        let migrations = Migrations::new(vec![("suite", MIGRATIONS)]).expect("good numbers");
        let sql = wrap(fresh.open(migrations, clock.clone()).await);
        Self { sql, clock, _fresh: fresh, _kept: Vec::new() }
    }

    /// The same with something that must live as long: the server, for one.
    pub fn keeping(mut self, kept: impl std::any::Any + Send + Sync) -> Self {
        self._kept.push(Box::new(kept));
        self
    }

    async fn put(&self, id: &[u8], number: i64) -> Result<Written> {
        self.write(unit(vec![put(id, number)])).await
    }

    async fn write(&self, unit: WriteBatch) -> Result<Written> {
        self.sql.write(&place(&demo()), unit).await
    }

    async fn number(&self, id: &[u8]) -> Option<i64> {
        let found = self.read(GET, vec![text("demo"), blob(id)]).await;
        match found.expect("a read").0.first().map(|row| row.0.clone()).as_deref() {
            None => None,
            Some([Value::Integer(number)]) => Some(*number),
            Some(other) => panic!("{other:?} is not a number"),
        }
    }

    async fn read(&self, sql: &'static str, params: Vec<Value>) -> Result<Rows> {
        let statement = Statement { sql, tables: ITEMS, params };
        self.sql.read(Consistency::Primary, &place(&demo()), statement).await
    }
}

fn demo() -> Database {
    Database::Env("demo".parse().expect("a name"))
}

fn place(database: &Database) -> ShardLocation {
    ShardLocation { database: database.clone(), key: Key::Slot(0) }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn blob(bytes: &[u8]) -> Value {
    Value::Blob(bytes.to_vec())
}

fn unit(steps: Vec<WriteStep>) -> WriteBatch {
    WriteBatch { steps, idempotency: None }
}

fn keyed(key: &str, steps: Vec<WriteStep>) -> WriteBatch {
    WriteBatch { steps, idempotency: Some(key.to_owned()) }
}

fn step(sql: &'static str, params: Vec<Value>) -> WriteStep {
    WriteStep::once(Statement { sql, tables: ITEMS, params }, Expect::Any)
}

fn expecting(rows: u64, step: WriteStep) -> WriteStep {
    WriteStep { expect: Expect::Rows(rows), ..step }
}

fn put(id: &[u8], number: i64) -> WriteStep {
    step(PUT, vec![text("demo"), blob(id), Value::Integer(number)])
}

fn set_number(id: &[u8], number: i64) -> WriteStep {
    const SET: &str = "UPDATE {items} SET number = ? WHERE env = ? AND id = ?";
    step(SET, vec![Value::Integer(number), text("demo"), blob(id)])
}

fn kind_of<T: std::fmt::Debug>(result: Result<T>) -> Kind {
    result.expect_err("a refusal").kind()
}

/// Runs futures side by side on this task.
async fn all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(move |context| {
        for (future, answer) in &mut running {
            if answer.is_none()
                && let std::task::Poll::Ready(ready) = future.as_mut().poll(context)
            {
                *answer = Some(ready);
            }
        }
        if running.iter().any(|(_, answer)| answer.is_none()) {
            return std::task::Poll::Pending;
        }
        let answers = running.iter_mut().map(|(_, answer)| answer.take().expect("ready once"));
        std::task::Poll::Ready(answers.collect())
    })
    .await
}
