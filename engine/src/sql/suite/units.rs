//! What a unit of writing does, alone and among others.

use std::time::Duration;

use yunzhan_base::Kind;

use super::{
    Subject, all, blob, demo, expecting, keyed, kind_of, place, put, set_number, step, text, unit,
};
use crate::sql::limits::{IDEMPOTENCY_AGE_MS, SWEEP_ROWS_MAX};
use crate::sql::{Consistency, Expect, Logical, Statement, Value, WriteStep, intern};

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
    let step = |statement| WriteStep { statement, expect: Expect::Any };
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
