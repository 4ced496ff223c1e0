//! Which server answers a read while the primary is well.

use std::time::{Duration, Instant};

use super::{Ours, STALE, config_of, eventually, make_shop};
use crate::config;
use crate::sql::testing::Pair;
use crate::sql::{Consistency, Sql, Token, Who};

async fn pair() -> Option<(Pair, config::Sql)> {
    let pair = Pair::start().await?;
    make_shop(&pair.primary).await;
    let config = config_of(&[&pair.primary, &pair.replica]);
    Some((pair, config))
}

async fn ready(pair: &Pair, ours: &Ours) {
    pair.replica.catch_up(&pair.primary).await;
    ours.until_replica_serves(1).await;
}

/// Which server answered: its number in the configuration.
async fn who_answers(ours: &Ours, consistency: Consistency, id: u64) -> (i64, usize) {
    let before = ours.reads();
    let found = ours.get(consistency, id).await.expect("a read");
    let after = ours.reads();
    let more: Vec<usize> =
        (0..after.len()).filter(|index| after[*index] > before[*index]).collect();
    (found, *more.last().expect("somebody answered"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_falls_behind_is_not_read_and_one_that_catches_up_is() {
    let Some((pair, config)) = pair().await else { return };
    let ours = Ours::open(&config).await;
    let written = ours.put(Some(Who(1)), 1, 1).await.expect("a write");
    ready(&pair, &ours).await;
    assert_eq!(who_answers(&ours, Consistency::Primary, 1).await, (1, 0));
    assert_eq!(who_answers(&ours, Consistency::After(written.token), 1).await, (1, 1));
    assert_eq!(who_answers(&ours, Consistency::Own(Who(1)), 1).await, (1, 1));
    pair.replica.run_sql(&["STOP SLAVE SQL_THREAD"]).await;
    let written = ours.put(Some(Who(1)), 1, 2).await.expect("a write");
    assert_eq!(who_answers(&ours, Consistency::After(written.token.clone()), 1).await, (2, 0));
    assert_eq!(who_answers(&ours, Consistency::Own(Who(1)), 1).await, (2, 0));
    // Who knows no position gets what has it for certain.
    assert_eq!(who_answers(&ours, Consistency::After(Token::default()), 1).await, (2, 0));
    eventually(
        || ours.split.servers()[1].lag_ms.is_some_and(|lag_ms| lag_ms > 60),
        || "late".into(),
    )
    .await;
    assert_eq!(who_answers(&ours, STALE, 1).await, (2, 0));
    // Whoever can wait longer is still answered by it.
    let hour = Consistency::Stale { max: Duration::from_secs(3600) };
    assert_eq!(who_answers(&ours, hour, 1).await, (1, 1));
    pair.replica.run_sql(&["START SLAVE SQL_THREAD"]).await;
    ready(&pair, &ours).await;
    assert_eq!(who_answers(&ours, Consistency::After(written.token), 1).await, (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_dies_is_left_and_one_that_is_back_waits_until_it_caught_up() {
    let Some((pair, config)) = pair().await else { return };
    let ours = Ours::open(&config).await;
    ours.put(Some(Who(1)), 1, 1).await.expect("a write");
    ready(&pair, &ours).await;
    pair.replica.kill();
    // Not one read fails, not even the first after the death.
    for number in 2..200 {
        ours.put(Some(Who(1)), 1, number).await.expect("a write");
        for consistency in [Consistency::Own(Who(1)), STALE] {
            assert_eq!(ours.get(consistency, 1).await.expect("a read"), number);
        }
    }
    ours.until_told("database_server_left_out").await;
    // It comes back without following: what it shows is old, though nothing else is wrong with it.
    pair.replica.run().await;
    pair.replica.run_sql(&["STOP SLAVE"]).await;
    ours.put(Some(Who(1)), 1, 500).await.expect("a write");
    ours.until_told("database_server_back").await;
    eventually(|| ours.split.servers()[1].is_reached, || "reached".into()).await;
    let late = || ours.split.servers()[1].lag_ms.is_none_or(|lag_ms| lag_ms > 50);
    eventually(late, || format!("{:?}", ours.split.servers())).await;
    for consistency in [Consistency::Own(Who(1)), STALE] {
        assert_eq!(who_answers(&ours, consistency, 1).await, (500, 0));
    }
    pair.replica.run_sql(&["START SLAVE", "SET GLOBAL read_only = 1"]).await;
    ready(&pair, &ours).await;
    assert_eq!(who_answers(&ours, STALE, 1).await, (500, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_stopped_where_it_is_holds_nobody_up_for_long() {
    let Some((pair, config)) = pair().await else { return };
    let ours = Ours::open(&config).await;
    ours.put(Some(Who(1)), 1, 1).await.expect("a write");
    ready(&pair, &ours).await;
    pair.replica.freeze();
    let begun = Instant::now();
    while ours.split.servers()[1].is_reached {
        assert_eq!(ours.get(Consistency::Own(Who(1)), 1).await.expect("a read"), 1);
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
    let begun = Instant::now();
    assert_eq!(who_answers(&ours, STALE, 1).await, (1, 0));
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    pair.replica.thaw();
    ready(&pair, &ours).await;
    assert_eq!(who_answers(&ours, STALE, 1).await, (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replica_cannot_answer_the_primary_does() {
    let Some((pair, config)) = pair().await else { return };
    let ours = Ours::open(&config).await;
    ours.put(Some(Who(1)), 1, 1).await.expect("a write");
    ready(&pair, &ours).await;
    let drop_there = ["SET sql_log_bin = 0", "DROP TABLE shop.yz_env_items"];
    pair.replica.run_sql(&drop_there).await;
    let before = ours.reads();
    assert_eq!(ours.get(STALE, 1).await.expect("a read"), 1);
    assert_eq!(ours.reads(), [before[0] + 1, before[1] + 1], "the replica was asked first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_ends_being_alone_before_it_acknowledges_anything() {
    let Some((pair, config)) = pair().await else { return };
    let first = Ours::open(&config).await;
    first.put(None, 1, 1).await.expect("a write");
    ready(&pair, &first).await;
    eventually(|| first.split.shared.is_alone(), || "alone".into()).await;
    let second = Ours::open(&config).await;
    pair.replica.run_sql(&["STOP SLAVE SQL_THREAD"]).await;
    second.put(Some(Who(1)), 1, 2).await.expect("a write");
    assert!(!first.split.shared.is_alone());
    assert_eq!(who_answers(&first, Consistency::Own(Who(1)), 1).await, (2, 0));
    // Its row outlives it, and is no longer counted then.
    drop(second);
    eventually(|| first.split.shared.is_alone(), || "alone again".into()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_a_repetition_answers_is_seen_by_its_writer() {
    use crate::sql::Statement;
    use crate::sql::suite::sample_unit;
    let Some((pair, config)) = pair().await else { return };
    let ours = Ours::open(&config).await;
    ready(&pair, &ours).await;
    pair.replica.run_sql(&["STOP SLAVE SQL_THREAD"]).await;
    let place = super::demo();
    for is_repeated in [false, true] {
        let written = ours.split.write_by(Who(1), &place, sample_unit()).await.expect("a write");
        assert_eq!(written.repeated, is_repeated);
        let sql = "SELECT COUNT(*) FROM {items}";
        let count = Statement { sql, tables: super::ITEMS, params: vec![] };
        let rows = ours.split.read(Consistency::Own(Who(1)), &place, count).await.expect("a read");
        assert_eq!(rows.0[0].0, [crate::sql::Value::Integer(2)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_cost_what_the_decision_says() {
    let Some((pair, config)) = pair().await else { return };
    let first = Ours::open(&config).await;
    let _second = Ours::open(&config).await;
    first.put(None, 1, 1).await.expect("a write");
    let before = (written(&pair).await, Instant::now());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = written(&pair).await;
    let seconds = before.1.elapsed().as_secs_f64();
    let per_second = |what: fn(&(u64, u64)) -> u64| {
        #[expect(clippy::cast_precision_loss, reason = "small numbers of a test")]
        let more = (what(&after) - what(&before.0)) as f64;
        more / seconds
    };
    let (beats, bytes) = (per_second(|it| it.0), per_second(|it| it.1));
    eprintln!("{beats:.0} commits and {bytes:.0} bytes of binary log a second");
    // Of both servers together one heartbeat in 15 to 35 ms, and two rows that are renewed now and then.
    assert!((15.0..=75.0).contains(&beats), "{beats}");
    assert!(bytes < beats * 400.0, "{bytes} bytes for {beats}");
}

/// Commits and bytes that the primary's binary log holds.
async fn written(pair: &Pair) -> (u64, u64) {
    let commits = pair.primary.ask("SELECT SUBSTRING_INDEX(@@gtid_binlog_pos, '-', -1)").await;
    let bytes = "SELECT CAST(VARIABLE_VALUE AS CHAR) FROM information_schema.GLOBAL_STATUS
        WHERE VARIABLE_NAME = 'BINLOG_BYTES_WRITTEN'";
    (number(&commits), number(&pair.primary.ask(bytes).await))
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}
