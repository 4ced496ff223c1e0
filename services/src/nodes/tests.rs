//! Nodes that speak to each other, on one database.

use tokio::net::TcpListener;
use yunzhan_base::RequestId;
use yunzhan_base::event::Events;
use yunzhan_engine::lease;
use yunzhan_engine::sql::testing::Fresh;
use yunzhan_engine::sql::{Migrations, SharedSql};
use yunzhan_net::peer::{self, Peers};
use yunzhan_net::shutdown::Trigger;
use yunzhan_net::task;

use super::cluster::Wake;
use super::*;

const HOST: &str = "127.0.0.1";
const WAIT_MAX: Duration = Duration::from_secs(30);

struct Member {
    nodes: Nodes,
    _trigger: Trigger,
}

async fn database() -> (Fresh, SharedSql) {
    let fresh = Fresh::sqlite();
    let migrations = Migrations::new(vec![("nodes", lease::MIGRATIONS)]).unwrap();
    let sql = fresh.open(migrations, Clock::System).await;
    (fresh, sql)
}

async fn member(sql: &SharedSql, name: &str) -> Member {
    let authority = Authority::from_seed(&[1; 32]).unwrap();
    let identity = authority.identity(HOST, Clock::System.now_ms()).unwrap();
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let leases = Arc::new(Leases::new(lease::Parts {
        sql: Arc::clone(sql),
        clock: Clock::System,
        events: Events::default(),
        name: name.into(),
        version: "0",
        life: Some(Duration::from_secs(600)),
    }));
    let claims = Some(Arc::clone(&leases) as _);
    let parts = task::Parts { clock: Clock::System, events: Events::default(), claims };
    let day = Duration::from_secs(86_400);
    let look = Task::every("shop.look", day, |_| async { Ok(()) });
    let tasks = Tasks::new(&parts, vec![look.clone(), sell()]).unwrap();
    let cluster = Cluster::new(Arc::clone(&leases), Some(Peers::new(&identity).unwrap()));
    let trigger = Trigger::default();
    leases.start(address, trigger.watcher()).await.unwrap();
    tasks.start(&trigger.watcher());
    peer::serve(listener, &identity, Arc::clone(&cluster) as _, trigger.watcher()).unwrap();
    let nodes = Nodes { tasks, leases, cluster, clock: Clock::System };
    nodes.start(trigger.watcher());
    Member { nodes, _trigger: trigger }
}

fn sell() -> Task {
    Task::every("shop.sell", Duration::from_secs(86_400), |_| async { Ok(()) }).on_one_node()
}

fn context(principal: Principal) -> Context {
    Context { principal, ..Context::internal(RequestId::NONE, None, WAIT_MAX) }
}

#[tokio::test]
async fn a_task_of_one_node_is_run_by_its_owner_whoever_is_asked() {
    let (_fresh, sql) = database().await;
    let (a, b) = (member(&sql, "a").await, member(&sql, "b").await);
    for node in [&a, &b] {
        let run = node.nodes.run("shop.sell", &context(Principal::Operator)).await.unwrap();
        assert_eq!((&run["node"], &run["outcome"]), (&"a".into(), &"done".into()));
    }
    let refused = b.nodes.run("shop.sell", &context(Principal::Nobody)).await.unwrap_err();
    assert_eq!(refused.kind(), Kind::PermissionDenied);
    // What every node does, each does by itself.
    let run = b.nodes.run("shop.look", &context(Principal::Operator)).await.unwrap();
    assert_eq!(run["node"], "b");
    let context = context(Principal::Operator);
    let call = |lease: &'static str, name: &'static str| {
        b.nodes.cluster.call_owner(lease, name, &context, Bytes::new())
    };
    assert_eq!(call("sale/1", RUN).await.unwrap_err().kind(), Kind::Unavailable);
    assert_eq!(call("task/shop.sell", "paint").await.unwrap_err().kind(), Kind::NotImplemented);
}

#[tokio::test]
async fn a_wake_up_reaches_every_other_node() {
    let (_fresh, sql) = database().await;
    let (a, b, c) = (member(&sql, "a").await, member(&sql, "b").await, member(&sql, "c").await);
    let mut heard = [&a, &b, &c].map(|node| node.nodes.cluster.listen());
    a.nodes.cluster.wake("stock", Bytes::from_static(b"tea"));
    let wake = Wake { topic: "stock".into(), bytes: Bytes::from_static(b"tea") };
    for other in &mut heard[1..] {
        assert_eq!(tokio::time::timeout(WAIT_MAX, other.recv()).await.unwrap().unwrap(), wake);
    }
    assert!(heard[0].try_recv().is_err());
    // A wake-up by a task's name brings its run forward.
    a.nodes.run_on_others("shop.look");
    for node in [&b, &c] {
        let looked = async {
            while node.nodes.tasks.list()[0].runs == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(WAIT_MAX, looked).await.unwrap();
    }
    assert_eq!(a.nodes.tasks.list()[0].runs, 0);
}

#[tokio::test]
async fn a_node_that_cannot_be_reached_is_named_and_misses_wake_ups() {
    let (_fresh, sql) = database().await;
    let a = member(&sql, "a").await;
    let alone = Arc::new(Leases::new(lease::Parts {
        sql: Arc::clone(&sql),
        clock: Clock::System,
        events: Events::default(),
        name: "b".into(),
        version: "0",
        life: Some(Duration::from_secs(600)),
    }));
    let trigger = Trigger::default();
    alone.start(String::new(), trigger.watcher()).await.unwrap();
    let session = alone.session().unwrap();
    let context = context(Principal::Operator);
    let said = a.nodes.cluster.call_node(&session, RUN, &context, Bytes::new()).await.unwrap_err();
    assert_eq!(said.message(), "node b cannot be reached; try again");
    a.nodes.cluster.wake("stock", Bytes::new());
}
