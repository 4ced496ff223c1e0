//! What a unit of writing does, alone and among others.

use std::time::Duration;

use yunzhan_base::Kind;

use super::{
    Subject, all, blob, demo, expecting, keyed, kind_of, place, put, set_number, step, text, unit,
};
use crate::sql::limits::{IDEMPOTENCY_AGE_MS, SWEEP_ROWS_MAX};
use crate::sql::{Consistency, Expect, Logical, Statement, StepRows, Value, WriteStep, intern};

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

/// After a sweep that left some the next comes soon.
pub async fn many_remembered_answers_are_forgotten_soon(subject: &Subject) {
    const DIGITS: &str =
        "(SELECT 0 AS n UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4
        UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)";
    const TABLES: &[Logical] = &[Logical("idempotency")];
    let fill = format!(
        "INSERT INTO {{idempotency}} (env, unit_key, changed, committed_ms)
         SELECT 'demo', a.n * 1000 + b.n * 100 + c.n * 10 + d.n, '', 1
         FROM {DIGITS} a, {DIGITS} b, {DIGITS} c, {DIGITS} d"
    );
    let filling = Statement { sql: intern(&fill).expect("room"), tables: TABLES, params: vec![] };
    // One more than a sweep takes.
    let more = "INSERT INTO {idempotency} (env, unit_key, changed, committed_ms) VALUES ('demo', 'x', '', 1)";
    let more = Statement { sql: more, tables: TABLES, params: vec![] };
    let step = |statement| WriteStep::once(statement, Expect::Any);
    let filled = subject.write(unit(vec![step(filling), step(more)])).await.expect("a write");
    assert_eq!(filled.changed, [u64::from(SWEEP_ROWS_MAX), 1]);
    let sql = "SELECT COUNT(*) FROM {idempotency}";
    let count = Statement { sql, tables: TABLES, params: vec![] };
    let mut left = Vec::new();
    for (id, after_ms) in [(b"a", 60_000), (b"b", 999), (b"c", 1)] {
        subject.clock.advance(Duration::from_millis(after_ms));
        subject.put(id, 1).await.expect("a write");
        let found = subject.sql.read(Consistency::Primary, &place(&demo()), count.clone()).await;
        left.push(found.expect("a count").0[0].0[0].clone());
    }
    assert_eq!(left, [1, 1, 0].map(Value::Integer));
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

const PUT_ROWS: &str = "INSERT INTO {items} (env, id, number) VALUES {rows:3}";

/// Rows of a step that share the environment: ids from `from` on, each with its number.
fn rows(sql: &'static str, from: i64, count: i64) -> WriteStep {
    let mut step = WriteStep { rows: StepRows::new(2), ..step(sql, vec![text("demo")]) };
    for number in from..from + count {
        step.rows.push([blob(&number.to_be_bytes()), Value::Integer(number)]);
    }
    step
}

/// As many as one statement takes, more, fewer and none; with a text that takes many at once and with one that does not.
pub async fn a_step_writes_many_rows(subject: &Subject) {
    const SET_ROWS: &str =
        "UPDATE {items} SET number = -number WHERE env = ? AND id = ? AND number = ?";
    let mut from = 0;
    for count in [1, 8, 64, 155, 0] {
        let put = unit(vec![rows(PUT_ROWS, from, count)]);
        let changed = subject.write(put).await.expect("a write").changed;
        assert_eq!(changed, [u64::try_from(count).expect("positive")]);
        from += count;
    }
    for number in [0, 9, 227] {
        assert_eq!(subject.number(&i64::to_be_bytes(number)).await, Some(number));
    }
    let set = expecting(70, rows(SET_ROWS, 100, 70));
    assert_eq!(subject.write(unit(vec![set])).await.expect("a write").changed, [70]);
    assert_eq!(subject.number(&i64::to_be_bytes(169)).await, Some(-169));
    let too_many = expecting(71, rows(SET_ROWS, 170, 70));
    assert_eq!(kind_of(subject.write(unit(vec![too_many])).await), Kind::Conflict);
    assert_eq!(subject.number(&i64::to_be_bytes(170)).await, Some(170));
}

/// A duplicate among many rows.
pub async fn a_row_that_fails_takes_all_along(subject: &Subject) {
    subject.put(&i64::to_be_bytes(99), 1).await.expect("a write");
    let put = unit(vec![put(b"a", 1), rows(PUT_ROWS, 0, 100)]);
    assert_eq!(kind_of(subject.write(put).await), Kind::AlreadyExists);
    assert_eq!(subject.number(b"a").await, None);
    assert_eq!(subject.number(&i64::to_be_bytes(0)).await, None);
}

/// What joins rows of a step with rows of a table, its own parameters on both sides of them.
pub async fn rows_stand_as_a_table(subject: &Subject) {
    const COPY: &str = "INSERT INTO {items} (env, id, number)
         SELECT i.env, r.new_id, i.number + ? FROM ({rows_as:new_id key, old_id key}) r
         JOIN {items} i ON i.env = ? AND i.id = r.old_id";
    subject.write(unit(vec![rows(PUT_ROWS, 0, 80)])).await.expect("a write");
    let mut copy = step(COPY, vec![Value::Integer(1000), text("demo")]);
    copy.rows = StepRows::new(2);
    for number in 0..100_i64 {
        copy.rows.push([blob(&(number + 500).to_be_bytes()), blob(&number.to_be_bytes())]);
    }
    // Twenty of them are not there.
    assert_eq!(subject.write(unit(vec![copy])).await.expect("a write").changed, [80]);
    assert_eq!(subject.number(&i64::to_be_bytes(579)).await, Some(1079));
    assert_eq!(subject.number(&i64::to_be_bytes(580)).await, None);
}

/// An insert that keeps what is there.
pub async fn rows_that_are_there_stay(subject: &Subject) {
    const KEEP: &str = "INSERT INTO {items} (env, id, number) VALUES {rows:3} {or_keep:env, id}";
    subject.put(&i64::to_be_bytes(5), -5).await.expect("a write");
    subject.write(unit(vec![rows(KEEP, 0, 10)])).await.expect("a write");
    assert_eq!(subject.number(&i64::to_be_bytes(5)).await, Some(-5));
    assert_eq!(subject.number(&i64::to_be_bytes(9)).await, Some(9));
}

/// Two counters, and rows that carry what they gave.
pub async fn a_number_is_taken_and_bound(subject: &Subject) {
    const TAKE: &str = "UPDATE {items} SET {take:number} WHERE env = ? AND id = ?";
    subject.put(b"one", 6).await.expect("a write");
    subject.put(b"two", 0).await.expect("a write");
    let take = |id: &[u8]| step(TAKE, vec![text("demo"), blob(id)]);
    let put =
        |id: &[u8], counter| step(super::PUT, vec![text("demo"), blob(id), Value::Taken(counter)]);
    let mut many = rows("INSERT INTO {items} (env, number, id) VALUES {rows:3}", 0, 0);
    (many.statement.params, many.rows) = (vec![text("demo"), Value::Taken(0)], StepRows::new(1));
    (0..9_i64).for_each(|number| many.rows.push([blob(&number.to_be_bytes())]));
    let steps = vec![take(b"one"), take(b"two"), put(b"a", 1), put(b"b", 0), many];
    let written = subject.write(unit(steps)).await.expect("a write");
    assert_eq!(written.changed, [1, 1, 1, 1, 9]);
    assert_eq!((subject.number(b"a").await, subject.number(b"b").await), (Some(1), Some(7)));
    assert_eq!(subject.number(b"one").await, Some(7));
    assert_eq!(subject.number(&i64::to_be_bytes(8)).await, Some(7));
    // A counter that is not there gives nothing.
    let missing = unit(vec![take(b"nobody"), put(b"c", 0)]);
    assert_eq!(kind_of(subject.write(missing).await), Kind::Conflict);
    assert_eq!(kind_of(subject.write(unit(vec![put(b"c", 0)])).await), Kind::Internal);
}

/// No number comes twice, and none is left out.
pub async fn writers_take_numbers_in_the_order_of_their_commits(subject: &Subject) {
    const TAKE: &str = "UPDATE {items} SET {take:number} WHERE env = 'demo' AND id = ?";
    subject.put(b"counter", 0).await.expect("a write");
    let write = |id: i64| {
        let take = expecting(1, step(TAKE, vec![blob(b"counter")]));
        let put = step(super::PUT, vec![text("demo"), blob(&id.to_be_bytes()), Value::Taken(0)]);
        subject.write(unit(vec![take, put]))
    };
    for written in all((0..32).map(write)).await {
        written.expect("a write");
    }
    let mut numbers = Vec::new();
    for id in 0..32_i64 {
        numbers.extend(subject.number(&id.to_be_bytes()).await);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=32).collect::<Vec<_>>());
}

/// Also when the new value is the old one: "one row changed" means "the version was right".
pub async fn updates_count_the_rows_they_match(subject: &Subject) {
    subject.put(b"a", 1).await.expect("a write");
    let same = unit(vec![expecting(1, set_number(b"a", 1))]);
    assert_eq!(subject.write(same).await.expect("a match").changed, [1]);
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
