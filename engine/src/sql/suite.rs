//! What every SQL engine does, told as tests: one list of behaviours, run on each backend and each wrapper.
//!
//! A backend's tests are [`sql_suite!`](crate::sql_suite) with a function that makes a [`Subject`].

use std::future::Future;
use std::time::{Duration, Instant};

use yunzhan_base::{Clock, Kind, Result};

use super::limits::IDEMPOTENCY_AGE_MS;
use super::testing::Fresh;
use super::{
    Consistency, Database, Expect, Key, Logical, Merge, Migration, Migrations, Place, Rows, Scope,
    SharedSql, Statement, Step, Unit, Value, Written,
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
            duplicates_have_their_own_kind
            upserts_and_ignored_duplicates_count_alike
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
pub fn sample_unit() -> Unit {
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
        Self { sql, clock, _fresh: fresh }
    }

    async fn put(&self, id: &[u8], number: i64) -> Result<Written> {
        self.write(unit(vec![put(id, number)])).await
    }

    async fn write(&self, unit: Unit) -> Result<Written> {
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

fn place(database: &Database) -> Place {
    Place { database: database.clone(), key: Key::Slot(0) }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn blob(bytes: &[u8]) -> Value {
    Value::Blob(bytes.to_vec())
}

fn unit(steps: Vec<Step>) -> Unit {
    Unit { steps, idempotency: None }
}

fn keyed(key: &str, steps: Vec<Step>) -> Unit {
    Unit { steps, idempotency: Some(key.to_owned()) }
}

fn step(sql: &'static str, params: Vec<Value>) -> Step {
    Step { statement: Statement { sql, tables: ITEMS, params }, expect: Expect::Any }
}

fn expecting(rows: u64, step: Step) -> Step {
    Step { expect: Expect::Rows(rows), ..step }
}

fn put(id: &[u8], number: i64) -> Step {
    step(PUT, vec![text("demo"), blob(id), Value::Integer(number)])
}

fn set_number(id: &[u8], number: i64) -> Step {
    const SET: &str = "UPDATE {items} SET number = ? WHERE env = ? AND id = ?";
    step(SET, vec![Value::Integer(number), text("demo"), blob(id)])
}

fn kind_of<T: std::fmt::Debug>(result: Result<T>) -> Kind {
    result.expect_err("a refusal").kind()
}

/// What was acknowledged is there, also for a reader that looks at once.
pub async fn committed_units_are_visible(subject: &Subject) {
    assert_eq!(subject.number(b"a").await, None);
    for number in 0..50_i64 {
        let id = number.to_be_bytes();
        assert_eq!(subject.put(&id, number).await.expect("a write").changed, [1]);
        assert_eq!(subject.number(&id).await, Some(number));
    }
}

/// A step that fails takes the steps before it along.
pub async fn units_are_all_or_nothing(subject: &Subject) {
    subject.put(b"taken", 1).await.expect("a write");
    let broken = unit(vec![put(b"new", 1), set_number(b"taken", 7), put(b"taken", 2)]);
    assert_eq!(kind_of(subject.write(broken).await), Kind::AlreadyExists);
    assert_eq!(subject.number(b"new").await, None);
    assert_eq!(subject.number(b"taken").await, Some(1));
    let whole = unit(vec![put(b"new", 1), set_number(b"taken", 7)]);
    assert_eq!(subject.write(whole).await.expect("a write").changed, [1, 1]);
    assert_eq!(subject.number(b"taken").await, Some(7));
}

/// A step that changes more or fewer rows than its unit counts on is a conflict.
pub async fn unmet_expectations_change_nothing(subject: &Subject) {
    subject.put(b"a", 1).await.expect("a write");
    let missing = unit(vec![put(b"b", 1), expecting(1, set_number(b"nobody", 2))]);
    assert_eq!(kind_of(subject.write(missing).await), Kind::Conflict);
    let too_many = unit(vec![expecting(0, set_number(b"a", 2))]);
    assert_eq!(kind_of(subject.write(too_many).await), Kind::Conflict);
    assert_eq!(subject.number(b"b").await, None);
    assert_eq!(subject.number(b"a").await, Some(1));
    let met = unit(vec![expecting(1, set_number(b"a", 2))]);
    assert_eq!(subject.write(met).await.expect("a write").changed, [1]);
}

/// A unit with a known key writes nothing and answers what it answered.
pub async fn repeated_units_answer_what_they_answered(subject: &Subject) {
    let order = || keyed("order-1", vec![put(b"a", 1), set_number(b"nobody", 1)]);
    let first = subject.write(order()).await.expect("a write");
    assert_eq!((first.changed.as_slice(), first.repeated), ([1, 0].as_slice(), false));
    let again = subject.write(order()).await.expect("the same answer");
    assert_eq!((again.changed.as_slice(), again.repeated), ([1, 0].as_slice(), true));
    // Another unit under the same key is the same unit: the key decides.
    let other = subject.write(keyed("order-1", vec![put(b"b", 1)])).await.expect("the old answer");
    assert!(other.repeated);
    assert_eq!(subject.number(b"b").await, None);
}

/// A key is remembered only with the unit's success.
pub async fn failed_units_leave_no_answer(subject: &Subject) {
    let wrong = keyed("order-1", vec![put(b"a", 1), expecting(1, set_number(b"nobody", 1))]);
    assert_eq!(kind_of(subject.write(wrong).await), Kind::Conflict);
    let right = subject.write(keyed("order-1", vec![put(b"a", 1)])).await.expect("a write");
    assert!(!right.repeated);
}

/// Repetitions that arrive together write once.
pub async fn one_of_many_repetitions_writes(subject: &Subject) {
    const ADD: &str = "UPDATE {items} SET number = number + 1 WHERE env = 'demo'";
    subject.put(b"a", 0).await.expect("a write");
    let add = || subject.write(keyed("add", vec![step(ADD, vec![])]));
    let answers = all((0..8).map(|_| add())).await;
    let fresh = answers.into_iter().filter(|answer| !answer.as_ref().expect("a write").repeated);
    assert_eq!(fresh.count(), 1);
    assert_eq!(subject.number(b"a").await, Some(1));
}

/// After their age the answers are swept, and the key is free.
pub async fn remembered_answers_are_forgotten(subject: &Subject) {
    let order = || keyed("order-1", vec![set_number(b"nobody", 1)]);
    subject.write(order()).await.expect("a write");
    let age_ms = u64::try_from(IDEMPOTENCY_AGE_MS).expect("positive");
    subject.clock.advance(Duration::from_millis(age_ms / 2));
    assert!(subject.write(order()).await.expect("an answer").repeated);
    subject.clock.advance(Duration::from_millis(age_ms));
    // Sweeping goes with any unit; the one after it finds nothing.
    subject.put(b"a", 1).await.expect("a write");
    assert!(!subject.write(order()).await.expect("a write").repeated);
}

/// Primary keys and unique indexes refuse with the same kind.
pub async fn duplicates_have_their_own_kind(subject: &Subject) {
    const NAMED: &str = "INSERT INTO {items} (env, id, number, name) VALUES ('demo', ?, 0, ?)";
    let named = |id: &[u8], name| unit(vec![step(NAMED, vec![blob(id), text(name)])]);
    subject.write(named(b"a", "tea")).await.expect("a write");
    assert_eq!(kind_of(subject.write(named(b"a", "cup")).await), Kind::AlreadyExists);
    assert_eq!(kind_of(subject.write(named(b"b", "tea")).await), Kind::AlreadyExists);
    let nameless = unit(vec![put(b"c", 0), put(b"d", 0)]);
    assert_eq!(subject.write(nameless).await.expect("nulls are no duplicates").changed, [1, 1]);
}

/// The two ways around a duplicate.
pub async fn upserts_and_ignored_duplicates_count_alike(subject: &Subject) {
    const UPSERT: &str = "INSERT INTO {items} (env, id, number) VALUES (?, ?, ?)
        {on_conflict:env, id} SET number = number + {new:number}";
    const IGNORE: &str = "{insert_or_ignore} INTO {items} (env, id, number) VALUES (?, ?, ?)";
    let run = |sql, number| {
        let params = vec![text("demo"), blob(b"a"), Value::Integer(number)];
        subject.write(unit(vec![step(sql, params), set_number(b"nobody", 0)]))
    };
    assert_eq!(run(UPSERT, 5).await.expect("an insert").changed, [1, 0]);
    assert_eq!(run(UPSERT, 6).await.expect("an update").changed, [1, 0]);
    assert_eq!(subject.number(b"a").await, Some(11));
    assert_eq!(run(UPSERT, 0).await.expect("an update to the same").changed, [1, 0]);
    assert_eq!(run(IGNORE, 9).await.expect("nothing").changed, [0, 0]);
    assert_eq!(subject.number(b"a").await, Some(11));
}

/// Also when the new value is the old one: "one row changed" means "the version was right".
pub async fn updates_count_the_rows_they_match(subject: &Subject) {
    subject.put(b"a", 1).await.expect("a write");
    let same = unit(vec![expecting(1, set_number(b"a", 1))]);
    assert_eq!(subject.write(same).await.expect("a match").changed, [1]);
}

/// Every character comes back, and comparing sees every difference.
pub async fn text_is_exact(subject: &Subject) {
    const NAMED: &str =
        "INSERT INTO {items} (env, id, number, name, note) VALUES ('demo', ?, 0, ?, ?)";
    const FIND: &str = "SELECT note FROM {items} WHERE env = 'demo' AND name = ?";
    let names =
        ["tea", "Tea", "tea ", "téa", "te\u{301}a", "茶", "🍵", "te\u{0}a", "it's \\ \"%_", ""];
    for (number, name) in names.iter().enumerate() {
        let note = format!("<{name}>");
        let params = vec![blob(&[u8::try_from(number).expect("few")]), text(name), text(&note)];
        subject.write(unit(vec![step(NAMED, params)])).await.expect("no two are equal");
    }
    for name in names {
        let found = subject.read(FIND, vec![text(name)]).await.expect("a read");
        let notes: Vec<&Value> = found.0.iter().flat_map(|row| &row.0).collect();
        assert_eq!(notes, [&text(&format!("<{name}>"))]);
    }
}

/// All bytes come back, and an empty value is not null.
pub async fn bytes_are_exact(subject: &Subject) {
    const PUT_BODY: &str = "INSERT INTO {items} (env, id, number, body) VALUES ('demo', ?, 0, ?)";
    const GET_BODY: &str = "SELECT id, body FROM {items} WHERE env = 'demo' AND id = ?";
    let all: Vec<u8> = (0..=255).collect();
    for (id, body) in [
        (&all[..64], blob(&all)),
        (&all[192..], blob(&[])),
        (&b"\0"[..], Value::Null),
        (&b"\0\0"[..], blob(b"\0")),
    ] {
        let params = vec![blob(id), body.clone()];
        subject.write(unit(vec![step(PUT_BODY, params)])).await.expect("a write");
        let found = subject.read(GET_BODY, vec![blob(id)]).await.expect("a read");
        assert_eq!(found.0[0].0, [blob(id), body]);
    }
}

/// A value of 8 MiB, the largest body that the server takes, fits.
pub async fn large_values_survive(subject: &Subject) {
    const PUT_BODY: &str = "INSERT INTO {items} (env, id, number, body) VALUES ('demo', ?, 0, ?)";
    let body: Vec<u8> = (0..8_u32 << 20).map(|index| (index % 251) as u8).collect();
    let params = vec![blob(b"a"), blob(&body)];
    subject.write(unit(vec![step(PUT_BODY, params)])).await.expect("a write");
    let found = subject.read("SELECT body FROM {items} WHERE env = 'demo'", vec![]).await;
    let rows = found.expect("a read").0;
    assert!(matches!(rows[0].0.as_slice(), [Value::Blob(found)] if *found == body));
}

/// Whole numbers of 64 bits and floating-point numbers keep their last bit.
pub async fn numbers_are_exact(subject: &Subject) {
    const PUT_SHARE: &str = "INSERT INTO {items} (env, id, number, share) VALUES ('demo', ?, ?, ?)";
    const GET_SHARE: &str = "SELECT number, share FROM {items} WHERE env = 'demo' AND id = ?";
    let shares = [0.1, -1.0e-300, f64::MAX, 5.0, 1.0 / 3.0];
    let numbers = [i64::MIN, i64::MAX, 0, -1, 1 << 53];
    for (index, (number, share)) in numbers.into_iter().zip(shares).enumerate() {
        let id = blob(&[u8::try_from(index).expect("few")]);
        let (number, share) = (Value::Integer(number), Value::Real(share));
        let params = vec![id.clone(), number.clone(), share.clone()];
        subject.write(unit(vec![step(PUT_SHARE, params)])).await.expect("a write");
        let found = subject.read(GET_SHARE, vec![id]).await.expect("a read");
        assert_eq!(found.0[0].0, [number, share]);
    }
}

/// What one backend cannot keep, none takes; and null stays out where it is forbidden.
pub async fn numbers_that_do_not_exist_are_refused(subject: &Subject) {
    const SHARE: &str = "INSERT INTO {items} (env, id, number, share) VALUES ('demo', 'a', 0, ?)";
    for share in [f64::NAN, f64::INFINITY] {
        let unit = unit(vec![step(SHARE, vec![Value::Real(share)])]);
        assert_eq!(kind_of(subject.write(unit).await), Kind::InvalidParameter);
    }
    let null = unit(vec![step(PUT, vec![text("demo"), blob(b"a"), Value::Null])]);
    assert_eq!(kind_of(subject.write(null).await), Kind::InvalidParameter);
}

/// Index entries rely on it: keys compare as `memcmp` does.
pub async fn binary_keys_sort_as_bytes(subject: &Subject) {
    const RANGE: &str =
        "SELECT id FROM {items} WHERE env = ? AND id >= ? AND id < ? ORDER BY id DESC";
    let ids: [&[u8]; 7] = [b"", b"\0", b"\0\0", b"A", b"a", b"\x7f", b"\xff"];
    for id in ids.iter().rev() {
        subject.put(id, 0).await.expect("a write");
    }
    let all = subject.read("SELECT id FROM {items} WHERE env = 'demo' ORDER BY id", vec![]).await;
    let all: Vec<Value> = all.expect("a read").0.into_iter().flat_map(|row| row.0).collect();
    assert_eq!(all, ids.map(blob));
    let range = subject.read(RANGE, vec![text("demo"), blob(b"\0\0"), blob(b"\x7f")]).await;
    let range: Vec<Value> = range.expect("a read").0.into_iter().flat_map(|row| row.0).collect();
    assert_eq!(range, [b"a", b"A", b"\0\0".as_slice()].map(blob));
}

/// Counting and adding give numbers, whatever the database calls them.
pub async fn sums_are_whole_numbers(subject: &Subject) {
    subject.write(unit(vec![put(b"a", 2), put(b"b", 40)])).await.expect("a write");
    const SUM: &str = "SELECT COUNT(*), SUM(number), MAX(number), SUM(share) FROM {items}
        WHERE env = 'demo'";
    let found = subject.read(SUM, vec![]).await.expect("a read");
    let [two, sum, most] = [2, 42, 40].map(Value::Integer);
    assert_eq!(found.0[0].0, [two, sum, most, Value::Null]);
}

/// 32 clients that read a number and write the next one if nobody else did.
pub async fn optimistic_writers_lose_nothing(subject: &Subject) {
    const NEXT: &str = "UPDATE {items} SET number = ? WHERE env = ? AND id = ? AND number = ?";
    subject.put(b"a", 0).await.expect("a write");
    let increment = || async {
        loop {
            let seen = subject.number(b"a").await.expect("the row");
            let [next, seen] = [seen + 1, seen].map(Value::Integer);
            let next = step(NEXT, vec![next, text("demo"), blob(b"a"), seen]);
            match subject.write(unit(vec![expecting(1, next)])).await {
                Ok(_) => return,
                Err(error) => assert_eq!(error.kind(), Kind::Conflict, "{error:?}"),
            }
        }
    };
    all((0..32).map(|_| increment())).await;
    assert_eq!(subject.number(b"a").await, Some(32));
}

/// The same key in two environments and in the system's tables is three rows; and each sees its own.
pub async fn environments_are_apart(subject: &Subject) {
    let other = Database::Env("other".parse().expect("a name"));
    for (database, number) in [(&demo(), 1), (&other, 2), (&Database::System, 3)] {
        let params = vec![text(database.env_column()), blob(b"a"), Value::Integer(number)];
        let put = keyed("the same key", vec![step(PUT, params)]);
        let written = subject.sql.write(&place(database), put).await.expect("a write");
        assert!(!written.repeated, "{database:?}");
    }
    for (database, number) in [(&demo(), 1), (&other, 2), (&Database::System, 3)] {
        let params = vec![text(database.env_column()), blob(b"a")];
        let get = Statement { sql: GET, tables: ITEMS, params };
        let found = subject.sql.read(Consistency::Primary, &place(database), get).await;
        assert_eq!(found.expect("a read").0[0].0, [Value::Integer(number)], "{database:?}");
    }
}

/// Read-your-writes, and a bounded staleness that is kept.
pub async fn a_token_reads_its_own_write(subject: &Subject) {
    for number in 0..20_i64 {
        let id = number.to_be_bytes();
        let written = subject.put(&id, number).await.expect("a write");
        let params = vec![text("demo"), blob(&id)];
        let get = Statement { sql: GET, tables: ITEMS, params };
        let after = Consistency::After(written.token);
        let found = subject.sql.read(after, &place(&demo()), get.clone()).await.expect("a read");
        assert_eq!(found.0[0].0, [Value::Integer(number)]);
        let stale = Consistency::Stale { max: Duration::from_millis(50) };
        subject.sql.read(stale, &place(&demo()), get).await.expect("a read");
    }
}

/// A caller that goes away after its unit was sent does not undo it.
pub async fn a_dropped_write_still_happens(subject: &Subject) {
    subject.put(b"warm", 1).await.expect("a write");
    let mut write = Box::pin(subject.put(b"a", 7));
    let begun = std::future::poll_fn(|context| {
        std::task::Poll::Ready(write.as_mut().poll(context).map(drop).is_ready())
    });
    begun.await;
    drop(write);
    let seen = async { while subject.number(b"a").await != Some(7) {} };
    tokio::time::timeout(Duration::from_secs(10), seen).await.expect("the row comes");
}

/// Over all slots, an answer has no more rows than asked for.
pub async fn merges_are_cut_at_their_limit(subject: &Subject) {
    for number in 0..5 {
        subject.put(&[number], i64::from(number)).await.expect("a write");
    }
    let merge = Merge { by: vec![(0, true)], limit: Some(3) };
    let place = Place { database: demo(), key: Key::All(merge) };
    let sql = "SELECT number FROM {items} WHERE env = 'demo' ORDER BY number DESC";
    let statement = Statement { sql, tables: ITEMS, params: vec![] };
    let found = subject.sql.read(Consistency::Primary, &place, statement).await.expect("a read");
    let numbers: Vec<Value> = found.0.into_iter().flat_map(|row| row.0).collect();
    assert_eq!(numbers, [4, 3, 2].map(Value::Integer));
}

/// A read that would run for hours is stopped, and the engine serves on.
pub async fn long_reads_end_in_time(subject: &Subject) {
    const HOURS: &str = "SELECT COUNT(*) FROM {items} a, {items} b, {items} c, {items} d, {items} e
        WHERE a.number + b.number + c.number + d.number + e.number = -1";
    let steps = (0..200_u8).map(|number| put(&[number], i64::from(number))).collect();
    subject.write(unit(steps)).await.expect("a write");
    let started = Instant::now();
    let (first, second) = tokio::join!(subject.read(HOURS, vec![]), subject.read(HOURS, vec![]));
    assert_eq!(kind_of(first), Kind::Timeout);
    assert_eq!(kind_of(second), Kind::Timeout);
    assert!(started.elapsed() < 3 * READ_TIMEOUT, "{:?}", started.elapsed());
    assert_eq!(subject.number(&[7]).await, Some(7));
}

/// Wrong SQL, a table that is not listed, a parameter too few: the program is wrong, not the caller.
pub async fn broken_statements_are_faults_of_ours(subject: &Subject) {
    for (sql, params) in [
        ("SELEC number FROM {items}", vec![]),
        ("SELECT number FROM {missing}", vec![]),
        ("SELECT number FROM {items} WHERE number = ?", vec![]),
        ("SELECT nothing FROM {items}", vec![]),
    ] {
        assert_eq!(kind_of(subject.read(sql, params.clone()).await), Kind::Internal, "{sql}");
        let unit = unit(vec![put(b"a", 1), step(sql, params)]);
        assert_eq!(kind_of(subject.write(unit).await), Kind::Internal, "{sql}");
    }
    assert_eq!(subject.number(b"a").await, None);
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
