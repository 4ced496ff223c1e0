//! What a read sees, and when it ends.

use std::time::{Duration, Instant};

use yunzhan_base::Kind;

use super::{
    GET, ITEMS, PUT, READ_TIMEOUT, Subject, blob, demo, keyed, kind_of, place, put, step, text,
    unit,
};
use crate::sql::{Consistency, Database, Key, Merge, ShardLocation, Statement, Value};

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

/// Over all slots, an answer has no more rows than asked for.
pub async fn merges_are_cut_at_their_limit(subject: &Subject) {
    for number in 0..5 {
        subject.put(&[number], i64::from(number)).await.expect("a write");
    }
    let merge = Merge { by: vec![(0, true)], limit: Some(3) };
    let place = ShardLocation { database: demo(), key: Key::All(merge) };
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

/// The database tells the time by its own clock, and it does not go back between two statements.
pub async fn the_database_tells_the_time(subject: &Subject) {
    let mut before_ms = 1_700_000_000_000;
    for _ in 0..3 {
        let now = subject.read("SELECT {now_ms}", vec![]).await.expect("a read").0;
        let [Value::Integer(now_ms)] = now[0].0[..] else { panic!("{now:?} is no whole number") };
        assert!(now_ms >= before_ms, "{now_ms} after {before_ms}");
        before_ms = now_ms;
    }
}
