//! Several servers on one database: what one of them does alone, and who does it when that one dies or stands still.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::Value;
use yunzhan_base::Clock;
use yunzhan_base::event::Events;
use yunzhan_base::lease::{Claim, Claims};
use yunzhan_e2e::report::figure;
use yunzhan_e2e::{Answer, Options, Server};
use yunzhan_engine::lease::{self, Leases};
use yunzhan_engine::sql::Migrations;
use yunzhan_engine::sql::testing::Fresh;
use yunzhan_net::shutdown::Trigger;

/// The task of one node that every server has.
const TASK: &str = "nodes.tidy";
const LEASE: &str = "task/nodes.tidy";
/// Short, so that nobody waits long for a death; five heartbeats long, on a machine that may be busy.
const LIFE: &str = "3s";
/// What every server seals with, and proves by that it belongs to the others.
pub(super) const MASTER_KEY: [u8; 32] = [0x5a; 32];
/// How long anything is waited for.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How often it is looked for. The database's table of lock waits stays as it is for whoever asks again within 100 ms.
const LOOK_EVERY: Duration = Duration::from_millis(150);

/// Servers on one database.
pub(super) struct Cluster {
    pub(super) servers: Vec<Server>,
    pub(super) fresh: Fresh,
}

impl Cluster {
    /// So many servers, called `node-0` and so on; none where this machine has no MySQL, which was then reported.
    pub(super) async fn start(size: usize) -> Option<Self> {
        let mut fresh = Fresh::mysql().await?;
        let url = fresh.config().mysql_url.clone().unwrap();
        let mut servers = Vec::new();
        for number in 0..size {
            let options = Options::default()
                .with("sql.mysql_url", url.expose_str().unwrap())
                .with("sql.mysql_connections_max", "8")
                .with("server.master_key", hex::encode(MASTER_KEY))
                .with("cluster.session_life", LIFE)
                .with("cluster.node_name", format!("node-{number}"));
            servers.push(Server::start(options).await);
        }
        Some(Self { servers, fresh })
    }

    /// Asks these servers to run the task, all at once, and gives the nodes that did: whoever does not hold the lease calls
    /// the one that does.
    async fn who_runs(&self, asked: &[usize]) -> Vec<usize> {
        let asking = asked.iter().map(|&number| run_task(&self.servers[number]));
        let mut ran = Vec::new();
        for answer in all(asking).await {
            match answer.status.as_u16() {
                200 => {
                    let run = answer.value();
                    let node = run["node"].as_str().and_then(|node| node.strip_prefix("node-"));
                    ran.push(node.unwrap().parse().unwrap());
                }
                // It runs already; the owner died or cannot be reached; no living session at the moment, or a race lost.
                409 | 502 | 503 => {}
                _ => panic!("{answer:?}"),
            }
        }
        ran.sort_unstable();
        ran.dedup();
        ran
    }

    /// The node that holds the lease and its token, as this server sees it.
    async fn holder(&self, asked: usize) -> Option<(String, i64)> {
        let list = self.servers[asked].control(Method::GET, "/control/v1/nodes", &Value::Null);
        let list = list.await.with_status(200).value();
        let lease =
            list["leases"].as_array()?.iter().find(|lease| lease["lease"] == LEASE)?.clone();
        let nodes = list["nodes"].as_array()?;
        let node = nodes.iter().find(|node| node["session"] == lease["session"])?;
        Some((node["name"].as_str()?.to_owned(), lease["token"].as_i64()?))
    }
}

async fn run_task(server: &Server) -> Answer {
    let path = format!("/control/v1/tasks/{TASK}/run");
    server.control(Method::POST, &path, &Value::Null).await
}

/// Futures side by side.
async fn all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut answers: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, answer) in futures.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let std::task::Poll::Ready(ready) = future.as_mut().poll(context)
            {
                *answer = Some(ready);
            }
        }
        match answers.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    answers.into_iter().flatten().collect()
}

/// Looks until there is something, within a bound.
pub(super) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not happen in time");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[tokio::test]
async fn a_task_of_one_node_runs_on_one_and_on_another_when_that_one_is_killed() {
    let Some(mut cluster) = Cluster::start(3).await else { return };
    let first = until("a run", async || cluster.who_runs(&[0, 1, 2]).await.pop()).await;
    for _ in 0..5 {
        assert_eq!(cluster.who_runs(&[0, 1, 2]).await, [first]);
    }
    assert_eq!(cluster.holder((first + 1) % 3).await, Some((format!("node-{first}"), 1)));

    cluster.servers[first].kill();
    let others: Vec<_> = (0..3).filter(|number| *number != first).collect();
    let second = until("a run elsewhere", async || {
        let ran = cluster.who_runs(&others).await;
        assert!(ran.len() <= 1, "{ran:?}");
        ran.first().copied().filter(|node| *node != first)
    })
    .await;
    assert_eq!(cluster.holder(second).await, Some((format!("node-{second}"), 2)));

    // A server that ends in order gives its leases up: nobody waits for its session to die.
    let ended = cluster.servers[second].terminate().await;
    assert_eq!(ended.code(), Some(0));
    let third = *others.iter().find(|number| **number != second).unwrap();
    assert_eq!(cluster.who_runs(&[third]).await, [third]);

    // Who comes back asks like everybody.
    cluster.servers[first].restart().await;
    assert_eq!(cluster.who_runs(&[first]).await, [third]);
    let tasks = cluster.servers[first].control(Method::GET, "/control/v1/tasks", &Value::Null);
    let tasks = tasks.await.with_status(200).value();
    let task = tasks["tasks"].as_array().unwrap().iter().find(|task| task["name"] == TASK).unwrap();
    assert_eq!((&task["elsewhere"], &task["runs"]), (&format!("node-{third}").into(), &0.into()));
}

/// A task of every node with a long period, which no server runs by itself during a test.
const SELDOM: &str = "nodes.certificate";
/// How often a wake-up is measured.
const WAKES: usize = 10;
/// How fast a wake-up is at its best; a busy machine is slower.
const WAKE_GOAL_MS: i64 = 50;

#[tokio::test]
async fn a_wake_up_reaches_the_other_two_at_once() {
    let Some(cluster) = Cluster::start(3).await else { return };
    // A node that was asked before the others had started may take its list of nodes for true for a second.
    until("the first wake-up", async || {
        cluster.wake().await;
        let runs = all((1..3).map(|number| cluster.seldom(number))).await;
        runs.iter().all(Option::is_some).then_some(())
    })
    .await;
    let mut delays_ms = Vec::new();
    for _ in 0..WAKES {
        let begun_ms = cluster.wake().await;
        for number in [1, 2] {
            let heard_ms = until("a wake-up", async || {
                cluster.seldom(number).await.filter(|started_ms| *started_ms >= begun_ms)
            });
            delays_ms.push(heard_ms.await - begun_ms);
        }
    }
    delays_ms.sort_unstable();
    let median_ms = delays_ms[delays_ms.len() / 2];
    figure(&format!("a wake-up reaches the other nodes after {median_ms} ms (median)"));
    assert!(delays_ms[0] <= WAKE_GOAL_MS, "{delays_ms:?}");
}

impl Cluster {
    /// Runs the task on the first server and on all others, and says when it began on the first.
    async fn wake(&self) -> i64 {
        let path = format!("/control/v1/tasks/{SELDOM}/run?everywhere=true");
        let run = self.servers[0].control(Method::POST, &path, &Value::Null).await;
        run.with_status(200).value()["started_ms"].as_i64().unwrap()
    }

    /// When a server began its last run.
    async fn seldom(&self, number: usize) -> Option<i64> {
        let tasks = self.servers[number].control(Method::GET, "/control/v1/tasks", &Value::Null);
        let tasks = tasks.await.with_status(200).value();
        let task = tasks["tasks"].as_array()?.iter().find(|task| task["name"] == SELDOM)?;
        task["last"]["started_ms"].as_i64()
    }
}

/// The row of a node that died long ago, which the task deletes.
const DEAD: &str = "INSERT INTO yz_system_nodes VALUES ('dead', 'dead', '', '0', 0, 0, 0)";
const LOCK_DEAD: &str = "SELECT id FROM yz_system_nodes WHERE id = 'dead' FOR UPDATE";
/// Whoever waits for a lock of the transaction that asks.
const WAITING: &str = "SELECT 1 FROM information_schema.innodb_lock_waits WHERE blocking_trx_id =
    (SELECT trx_id FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = CONNECTION_ID())";

/// The server is stopped in the middle of a unit, so that its late step reaches the database after somebody else took over.
#[tokio::test]
async fn a_stopped_holder_is_replaced_and_its_late_write_is_refused() {
    let Some(cluster) = Cluster::start(1).await else { return };
    let server = &cluster.servers[0];
    until("a run", async || cluster.who_runs(&[0]).await.pop()).await;
    cluster.fresh.hold(DEAD).await.commit().await;
    let mut locked = cluster.fresh.hold(LOCK_DEAD).await;
    let (trigger, other) = other_node(&cluster.fresh).await;
    let check = async {
        until("the holder's write", async || (locked.rows(WAITING).await > 0).then_some(())).await;
        server.signal("STOP");
        assert_eq!(other.claim(LEASE).await.unwrap(), Claim::Elsewhere { node: "node-0".into() });
        let fence = until("another holder", async || match other.claim(LEASE).await {
            Ok(Claim::Held(fence)) => Some(fence),
            _ => None,
        })
        .await;
        assert_eq!(fence.token, 2);
        // The step that waited goes through, and the process that would end the unit stands still.
        locked.commit().await;
        server.signal("CONT");
        fence
    };
    let (answer, fence) = tokio::join!(run_task(server), check);
    let run = answer.with_status(200).value();
    assert_ne!(run["outcome"], "done", "{run}");
    // This waits for the unit's end; a unit that had been committed would have taken the row away.
    let mut after = cluster.fresh.hold(LOCK_DEAD).await;
    assert_eq!(after.rows(LOCK_DEAD).await, 1, "a stale holder's write was accepted");
    assert!(other.is_held(&fence).await.unwrap());
    server.said(0, "\"session_lost\"").await;
    let refused = until("the truth", async || {
        let message = run_task(server).await.json()["message"].clone();
        (message == "node test cannot be reached; try again").then_some(())
    });
    refused.await;
    drop(trigger);
}

/// A node without a server: only its session and its leases.
async fn other_node(fresh: &Fresh) -> (Trigger, Arc<Leases>) {
    let migrations = Migrations::new(vec![("nodes", lease::MIGRATIONS)]).unwrap();
    let leases = Arc::new(Leases::new(lease::Parts {
        sql: fresh.open(migrations, Clock::System).await,
        clock: Clock::System,
        events: Events::default(),
        name: "test".into(),
        version: "0",
        life: Some(Duration::from_secs(60)),
    }));
    let trigger = Trigger::default();
    leases.start(String::new(), trigger.watcher()).await.unwrap();
    (trigger, leases)
}
