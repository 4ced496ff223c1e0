//! The primary dies, only reads, is replaced, or comes back.

use std::time::{Duration, Instant};

use yunzhan_base::Kind;

use super::{Ours, STALE, config_of, eventually, make_shop};
use crate::config::{self, FailoverLoss};
use crate::sql::testing::{Pair, Server};
use crate::sql::{Consistency, Sql, StorageFault, Who};

async fn pair() -> Option<(Pair, config::Sql)> {
    let pair = Pair::start().await?;
    make_shop(&pair.primary).await;
    let config = config_of(&[&pair.primary, &pair.replica]);
    Some((pair, config))
}

/// A server of ours that wrote something which the replica has.
async fn ours_with_a_row(pair: &Pair, config: &config::Sql) -> Ours {
    let ours = Ours::open(config).await;
    ours.put(Some(Who(1)), 1, 1).await.expect("a write");
    pair.replica.catch_up(&pair.primary).await;
    ours.until_replica_serves(1).await;
    ours
}

/// Writes until one succeeds; how many failed before, each of them clearly and soon.
async fn failures_before_a_write(ours: &Ours, number: i64) -> usize {
    let begun = Instant::now();
    for failures in 0.. {
        let tried = Instant::now();
        match ours.put(Some(Who(1)), 1, number).await {
            Ok(_) => return failures,
            Err(error) => {
                assert_eq!(error.kind(), Kind::Unavailable, "{error:?}");
                assert!(StorageFault::of(&error).is_some(), "{error:?}");
                assert!(tried.elapsed() < Duration::from_secs(4), "{:?}", tried.elapsed());
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", ours.told.0);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    unreachable!("it ends with a write")
}

async fn promote(server: &Server) {
    server.promote().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_primary_writes_fail_and_reads_go_on_until_one_is_promoted() {
    let Some((pair, config)) = pair().await else { return };
    let ours = ours_with_a_row(&pair, &config).await;
    pair.primary.kill();
    let error = ours.put(Some(Who(1)), 1, 2).await.expect_err("no primary");
    assert_eq!(error.kind(), Kind::Unavailable);
    ours.until_told("primary_lost").await;
    for _ in 0..50 {
        let begun = Instant::now();
        let error = ours.put(Some(Who(1)), 1, 2).await.expect_err("no primary");
        assert!(error.to_string().contains("nothing was written"), "{error}");
        assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
        for consistency in [STALE, Consistency::Own(Who(1)), Consistency::Own(Who(2))] {
            assert_eq!(ours.get(consistency, 1).await.expect("a read"), 1);
        }
        let error = ours.get(Consistency::Primary, 1).await.expect_err("no primary");
        assert_eq!(error.kind(), Kind::Unavailable);
    }
    promote(&pair.replica).await;
    failures_before_a_write(&ours, 3).await;
    assert_eq!(ours.get(Consistency::Primary, 1).await.expect("a read"), 3);
    assert!(ours.told("is the primary of the database now"), "{:?}", ours.told.0);
    // The old one is back, takes writes, and gets none: not from who was there, and not from who begins.
    pair.primary.run().await;
    eventually(|| ours.split.servers()[0].is_reached, || format!("{:?}", ours.split.servers()))
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(failures_before_a_write(&ours, 4).await, 0);
    let begins = Ours::open(&config).await;
    assert_eq!(failures_before_a_write(&begins, 5).await, 0);
    assert_eq!(pair.replica.ask("SELECT CAST(number AS CHAR) FROM shop.yz_env_items").await, "5");
    assert_eq!(pair.primary.ask("SELECT CAST(number AS CHAR) FROM shop.yz_env_items").await, "1");
    // Nor is it read: what it shows is of an earlier term.
    assert_eq!(ours.get(STALE, 1).await.expect("a read"), 5);
    // As a replica of the new one it is read from.
    pair.primary.follow(&pair.replica).await;
    eventually(
        || ours.split.servers()[0].lag_ms.is_some_and(|lag_ms| lag_ms < 50),
        || format!("{:?}", ours.split.servers()),
    )
    .await;
    let before = ours.reads()[0];
    assert_eq!(ours.get(Consistency::Own(Who(1)), 1).await.expect("a read"), 5);
    assert_eq!(ours.get(STALE, 1).await.expect("a read"), 5);
    assert!(ours.reads()[0] > before, "{:?}", ours.split.servers());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_only_reads_is_left_at_once() {
    let Some((pair, config)) = pair().await else { return };
    let ours = ours_with_a_row(&pair, &config).await;
    pair.primary.run_sql(&["SET GLOBAL read_only = 1"]).await;
    let error = ours.put(Some(Who(1)), 1, 2).await.expect_err("it only reads");
    assert_eq!(StorageFault::of(&error), Some(StorageFault::ReadOnly), "{error:?}");
    for consistency in [STALE, Consistency::Own(Who(1)), Consistency::Primary] {
        assert_eq!(ours.get(consistency, 1).await.expect("a read"), 1);
    }
    pair.replica.catch_up(&pair.primary).await;
    promote(&pair.replica).await;
    pair.primary.follow(&pair.replica).await;
    failures_before_a_write(&ours, 3).await;
    assert_eq!(ours.get(Consistency::Own(Who(1)), 1).await.expect("a read"), 3);
    assert_eq!(pair.replica.ask("SELECT CAST(number AS CHAR) FROM shop.yz_env_items").await, "3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_may_write_again_is_written_to_again() {
    let Some((pair, config)) = pair().await else { return };
    let ours = ours_with_a_row(&pair, &config).await;
    pair.primary.run_sql(&["SET GLOBAL read_only = 1"]).await;
    ours.put(Some(Who(1)), 1, 2).await.expect_err("it only reads");
    // A replica that takes writes by mistake while it follows is no primary.
    pair.replica.run_sql(&["SET GLOBAL read_only = 0"]).await;
    ours.until_told("primary_refused").await;
    assert!(ours.told("it follows another server"), "{:?}", ours.told.0);
    pair.primary.run_sql(&["SET GLOBAL read_only = 0"]).await;
    failures_before_a_write(&ours, 3).await;
    assert_eq!(pair.primary.ask("SELECT CAST(number AS CHAR) FROM shop.yz_env_items").await, "3");
}

/// Promotes a replica that lacks an acknowledged write.
async fn lose_a_write(pair: &Pair, ours: &Ours) {
    pair.replica.run_sql(&["STOP SLAVE"]).await;
    ours.put(Some(Who(1)), 1, 2).await.expect("a write");
    pair.primary.kill();
    promote(&pair.replica).await;
    // It goes on by itself, so that its numbers alone hide what it lacks.
    for _ in 0..200 {
        pair.replica.run_sql(&["UPDATE shop.yz_env_items SET number = number + 1"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_lacks_an_acknowledged_write_is_not_written_to() {
    let Some((pair, config)) = pair().await else { return };
    let ours = ours_with_a_row(&pair, &config).await;
    lose_a_write(&pair, &ours).await;
    ours.until_told("lacks acknowledged writes").await;
    let error = ours.put(Some(Who(1)), 1, 3).await.expect_err("nobody to write to");
    assert!(error.to_string().contains("nothing was written"), "{error}");
    // The old primary comes back with it.
    pair.primary.run().await;
    failures_before_a_write(&ours, 4).await;
    assert_eq!(pair.primary.ask("SELECT CAST(number AS CHAR) FROM shop.yz_env_items").await, "4");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_that_is_accepted_is_told() {
    let Some((pair, config)) = pair().await else { return };
    let config = config::Sql { failover_loss: FailoverLoss::Accept, ..config };
    let ours = ours_with_a_row(&pair, &config).await;
    lose_a_write(&pair, &ours).await;
    failures_before_a_write(&ours, 3).await;
    assert!(ours.told("acknowledged_writes_lost"), "{:?}", ours.told.0);
    assert_eq!(ours.get(Consistency::Primary, 1).await.expect("a read"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_finds_the_primary_wherever_it_is_and_says_what_is_wrong_where_there_is_none() {
    let Some((pair, config)) = pair().await else { return };
    drop(ours_with_a_row(&pair, &config).await);
    pair.primary.kill();
    let refused = Ours::try_open(&config).await.err().expect("a refusal").to_string();
    assert!(refused.contains("no answer from the database server"), "{refused}");
    assert!(refused.contains("only reads"), "{refused}");
    promote(&pair.replica).await;
    let ours = Ours::open(&config).await;
    ours.put(Some(Who(1)), 1, 2).await.expect("a write");
    assert!(ours.split.servers()[1].is_primary);
}
