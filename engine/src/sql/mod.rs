//! The SQL engine: SQLite inside the process, MySQL or MariaDB when an address is given.
//!
//! Callers say *where* ([`ShardLocation`]), *what* ([`Statement`], [`WriteBatch`]) and *how fresh* ([`Consistency`]); table names are
//! logical (`{documents}`), so that sharding and read/write splitting can be wrappers that never parse SQL, and
//! read-your-writes has its [`Token`] from the first day.
//!
//! Read first: [`Sql`] (the contract), [`dialect`] (how statements are spelt), [`migrate`] (how tables come to be),
//! [`open()`] (how the server gets one).

pub mod dialect;
mod faulty;
mod health;
mod intern;
pub mod limits;
mod metered;
pub mod migrate;
pub mod mysql;
mod open;
mod rows_text;
mod split;
pub mod sqlite;
mod storage_fault;
#[cfg(any(test, feature = "testsuite"))]
pub mod suite;
#[cfg(any(test, feature = "testsuite"))]
pub mod testing;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use yunzhan_base::{EnvId, Result};

pub use self::faulty::Faulty;
pub use self::health::{Health, Refused};
pub use self::intern::intern;
pub use self::metered::Metered;
pub use self::migrate::{Migration, Migrations, Scope};
pub use self::mysql::Mysql;
pub use self::open::{Opening, Wrapped, inspect, open, wrap};
pub use self::split::{ServerSeen, Split};
pub use self::sqlite::Sqlite;
pub use self::storage_fault::StorageFault;

/// A future of the engine.
pub type SqlFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// A database. Object-safe, so that rooms hold `Arc<dyn Sql>` and wrappers stack.
///
/// - A read sees a state that was committed at some moment; `Primary` sees every unit acknowledged before it began.
/// - A unit is all or nothing, and durable before it is acknowledged: after a crash every acknowledged unit is there.
/// - A unit whose idempotency key was committed before answers what it answered then, and writes nothing.
/// - A unit that fails in the database has changed nothing, unless its error is `Timeout` or `Unavailable`: then it may
///   have been committed, and only the idempotency key tells.
pub trait Sql: Send + Sync {
    /// Reads rows.
    fn read<'a>(
        &'a self,
        consistency: Consistency,
        place: &'a ShardLocation,
        statement: Statement,
    ) -> SqlFuture<'a, Rows>;

    /// Writes a unit, detached from the caller: dropping the future does not undo or cancel it.
    fn write<'a>(&'a self, place: &'a ShardLocation, unit: WriteBatch) -> SqlFuture<'a, Written>;

    /// Writes a unit of somebody, who then finds it with [`Consistency::Own`]. What is written without saying whose it is
    /// counts as everybody's: nobody's reads are stale for it, and all of them wait for it.
    fn write_by<'a>(
        &'a self,
        _who: Who,
        place: &'a ShardLocation,
        unit: WriteBatch,
    ) -> SqlFuture<'a, Written> {
        self.write(place, unit)
    }

    /// The servers behind it as they look from here. None where it is one, or none.
    fn servers(&self) -> Vec<ServerSeen> {
        Vec::new()
    }
}

/// A shared database.
pub type SharedSql = Arc<dyn Sql>;

/// Where rows live.
#[derive(Clone, Debug)]
pub struct ShardLocation {
    /// The environment, or the system's own tables.
    pub database: Database,
    /// One slot, or all of them with a merge order and a limit.
    pub key: Key,
}

/// Which set of tables.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Database {
    /// Tables of the server itself: environments, keys, sessions.
    System,
    /// Tables of one environment.
    Env(EnvId),
}

impl Database {
    /// Which migrations and physical names its tables have.
    pub fn scope(&self) -> Scope {
        match self {
            Self::System => Scope::System,
            Self::Env(_) => Scope::Env,
        }
    }

    /// What the column `env` of its rows holds: every statement on an environment's tables filters by it, because some
    /// backends keep all environments in one schema.
    pub fn env_column(&self) -> &str {
        match self {
            Self::System => "",
            Self::Env(env) => env.as_str(),
        }
    }
}

/// One slot of the sharded key space, or all.
#[derive(Clone, Debug)]
pub enum Key {
    /// One of [`SLOTS`]; unsharded engines ignore it.
    Slot(u16),
    /// Every slot; the rows are merged in this order and cut at the limit.
    All(Merge),
}

/// How rows of several slots become one answer: by these result columns (ascending unless said), at most `limit` rows.
#[derive(Clone, Debug, Default)]
pub struct Merge {
    /// Columns of the result by position, and whether each descends.
    pub by: Vec<(usize, bool)>,
    /// Rows at the most.
    pub limit: Option<u64>,
}

/// Logical slots that keys are hashed to (mission row P4).
pub const SLOTS: u16 = 1024;

/// Logical tables; the engine knows the physical ones. `{name}` in a statement's text stands for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Logical(pub &'static str);

/// One statement. Its text is written once, in the common subset of the dialects.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The text, with `?` parameters and `{table}` names.
    pub sql: &'static str,
    /// The tables it touches.
    pub tables: &'static [Logical],
    /// The parameters, in order.
    pub params: Vec<Value>,
}

/// A value of a column or parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
    /// In a unit: the number that its counter at this place took, counted from 0 over the steps whose text has
    /// `{take:…}`. No row ever holds one.
    Taken(usize),
}

/// The rows of a read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows(pub Vec<Row>);

/// One row: its columns in the order of the statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Row(pub Vec<Value>);

/// How fresh a read must be.
#[derive(Clone, Debug)]
pub enum Consistency {
    /// Everything that was acknowledged.
    Primary,
    /// At least what this token's unit wrote.
    After(Token),
    /// Everything that was acknowledged to this person, through whichever server; what others wrote may be missing for as
    /// long as `sql.replica_lag_max` says.
    Own(Who),
    /// At most this old (mission row P6: 50 ms).
    Stale {
        /// The greatest age.
        max: Duration,
    },
}

/// Whose reads and writes belong together, as a number: people of all environments share the numbers, and two who share one
/// by chance wait for each other's writes and see nothing of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Who(pub u64);

/// A causal mark of a committed unit: on one server a sequence number, on MySQL a position in its GTIDs that includes the
/// unit. Empty where there is nothing to compare it with, and then nothing but the primary has it for certain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token(pub String);

/// A unit of writing: steps that happen all or not at all.
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    /// The steps in order.
    pub steps: Vec<WriteStep>,
    /// Remembers this unit's answer, so that a repetition answers the same.
    pub idempotency: Option<String>,
}

/// One step of a unit.
#[derive(Clone, Debug)]
pub struct WriteStep {
    /// What to do.
    pub statement: Statement,
    /// What it is done for. The statement's own parameters are the same for each of them, and are held once.
    pub rows: StepRows,
    /// What must come of it, else the whole unit fails with [`yunzhan_base::Kind::Conflict`].
    pub expect: Expect,
}

/// The rows of one step: as many parameters of each, one after the other in one allocation.
///
/// A text with `{rows:N}` or `{rows_as:…}` takes many at once where that saves round trips; any other runs once for each.
#[derive(Clone, Debug, Default)]
pub struct StepRows {
    /// Parameters of one row; 0 where the statement runs once and has all that it needs.
    width: usize,
    values: Vec<Value>,
}

/// What a step must change, in all its rows together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Whatever it changes.
    Any,
    /// Exactly this many rows.
    Rows(u64),
}

// === impl Who ===

impl Who {
    /// The number of somebody in an environment.
    pub fn of(env: &EnvId, person: &str) -> Self {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        // The same on every server of one build, and nothing depends on that: servers tell each other positions, not people.
        Self(BuildHasherDefault::<DefaultHasher>::default().hash_one((env.as_str(), person)))
    }
}

// === impl WriteStep ===

impl WriteStep {
    /// A step that is done once.
    pub const fn once(statement: Statement, expect: Expect) -> Self {
        Self { statement, rows: StepRows { width: 0, values: Vec::new() }, expect }
    }

    /// How many rows the step is done for.
    pub fn row_count(&self) -> usize {
        self.rows.values.len().checked_div(self.rows.width).unwrap_or(1)
    }

    /// Every value that it holds.
    pub fn values(&self) -> impl Iterator<Item = &Value> {
        self.statement.params.iter().chain(&self.rows.values)
    }

    /// Every value that it holds, to change it.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        self.statement.params.iter_mut().chain(&mut self.rows.values)
    }
}

// === impl StepRows ===

impl StepRows {
    /// No row yet, with `width` parameters each.
    pub const fn new(width: usize) -> Self {
        Self { width, values: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// When the row has another width: texts and rows stand side by side in a store.
    pub fn push<const N: usize>(&mut self, row: [Value; N]) {
        assert_eq!(N, self.width, "a row with {N} parameters for one with {}", self.width);
        self.values.extend(row);
    }

    /// Sorts the rows: a tree of keys takes them faster in its own order than in that in which they came.
    pub fn sort_by(&mut self, compare: impl Fn(&[Value], &[Value]) -> Ordering) {
        let rows: Vec<&[Value]> = self.iter().collect();
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by(|one, other| compare(rows[*one], rows[*other]));
        let mut sorted = Vec::with_capacity(self.values.len());
        for row in order {
            let values = &mut self.values[row * self.width..][..self.width];
            sorted.extend(values.iter_mut().map(|value| std::mem::replace(value, Value::Null)));
        }
        self.values = sorted;
    }

    /// The parameters of each row.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &[Value]> {
        self.values.chunks_exact(self.width.max(1))
    }

    /// Whether the statement runs once and has all that it needs.
    pub(crate) const fn is_once(&self) -> bool {
        self.width == 0
    }
}

/// What a unit did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// Rows changed by each step.
    pub changed: Vec<u64>,
    /// For [`Consistency::After`].
    pub token: Token,
    /// Whether this is the remembered answer of an earlier unit with the same idempotency key.
    pub repeated: bool,
}
