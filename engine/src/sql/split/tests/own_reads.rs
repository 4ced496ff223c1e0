//! What a person wrote is what they read, through whichever server, while the replica falls behind and catches up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use mysql_async::prelude::Queryable;

use super::{Ours, config_of, make_shop};
use crate::sql::testing::{Pair, Server};
use crate::sql::{Consistency, Who};

/// People who write and read at a time.
const PEOPLE: u64 = 16;
/// Reads of a run in CI; `YUNZHAN_TEST_OWN_READS` sets another number.
const READS: u64 = 4_000;

fn reads_wanted() -> u64 {
    std::env::var("YUNZHAN_TEST_OWN_READS").ok().and_then(|text| text.parse().ok()).unwrap_or(READS)
}

/// Lets the replica fall behind in two ways, and catch up in between: its applying thread stops, and a lock of its own holds
/// up what is applied.
async fn trouble(replica: &Server, ends: &AtomicBool) {
    let mut admin = replica.connect("shop").await;
    let mut locker = replica.connect("shop").await;
    let mut turn = 0_u64;
    while !ends.load(Ordering::SeqCst) {
        turn += 1;
        let pause = Duration::from_millis(10 + turn * 37 % 90);
        if turn.is_multiple_of(2) {
            admin.query_drop("STOP SLAVE SQL_THREAD").await.expect("a right");
            tokio::time::sleep(pause).await;
            admin.query_drop("START SLAVE SQL_THREAD").await.expect("a right");
        } else {
            locker.query_drop("LOCK TABLES yz_env_items WRITE").await.expect("a right");
            tokio::time::sleep(pause).await;
            locker.query_drop("UNLOCK TABLES").await.expect("a right");
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
}

/// Writes through one server and reads through another, each by turns, and counts reads that did not see the last write.
async fn stale_of(
    servers: &[Arc<Ours>],
    replica: &Server,
    reads: u64,
    consistency: fn(Who) -> Consistency,
) -> u64 {
    let (ends, stale) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut people = Vec::new();
    for person in 0..PEOPLE {
        let (servers, stale) = (servers.to_vec(), Arc::clone(&stale));
        people.push(tokio::spawn(async move {
            let who = Who(person);
            let (mut number, mut done) = (0_i64, 0);
            while done < reads / PEOPLE {
                number += 1;
                let turn = usize::try_from(number).unwrap_or(0);
                let writer = &servers[turn % servers.len()];
                writer.put(Some(who), person, number).await.expect("a write");
                // The first read is at the other server, and as soon as it can be.
                for next in 1..=8 {
                    let reader = &servers[(turn + next) % servers.len()];
                    let found = reader.get(consistency(who), person).await.expect("a read");
                    stale.fetch_add(u64::from(found != number), Ordering::SeqCst);
                    done += 1;
                }
            }
        }));
    }
    let troubling = trouble(replica, &ends);
    let working = async {
        for person in people {
            person.await.expect("no panic");
        }
        ends.store(true, Ordering::SeqCst);
    };
    tokio::join!(troubling, working);
    stale.load(Ordering::SeqCst)
}

async fn run(count: usize) {
    let Some(pair) = Pair::start().await else { return };
    make_shop(&pair.primary).await;
    let config = config_of(&[&pair.primary, &pair.replica]);
    let mut servers = Vec::new();
    for _ in 0..count {
        servers.push(Arc::new(Ours::open(&config).await));
    }
    pair.replica.catch_up(&pair.primary).await;
    for server in &servers {
        server.until_replica_serves(1).await;
    }
    let begun = std::time::Instant::now();
    let wanted = reads_wanted();
    let stale = stale_of(&servers, &pair.replica, wanted, Consistency::Own).await;
    let all = servers.iter().map(|server| server.reads()).collect::<Vec<_>>();
    let at_replica: u64 = all.iter().map(|reads| reads[1]).sum();
    let took = begun.elapsed();
    eprintln!(
        "{count} servers: {wanted} own reads, {stale} stale, {at_replica} at the replica, {took:?}"
    );
    assert_eq!(stale, 0, "{all:?}");
    // Whoever does not ask for their own writes misses some: the replica was late.
    let whatever = |_| Consistency::Stale { max: Duration::from_secs(3600) };
    assert!(stale_of(&servers, &pair.replica, READS, whatever).await > 0);
    // Behind most of the time, and still not idle.
    assert!(at_replica > wanted / 50, "the replica served hardly any: {all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_reads_what_it_wrote() {
    run(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_read_what_either_wrote() {
    run(2).await;
}
