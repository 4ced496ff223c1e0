//! Leases on both databases: nodes that die, are late, are partitioned, or have clocks of their own.
//!
//! Where a test says that a session's life is over, it ages the session's row; the database's clock cannot be moved.

use std::sync::atomic::{AtomicU64, Ordering};

use yunzhan_net::shutdown::Trigger;

use super::*;
use crate::sql::testing::Fresh;
use crate::sql::{
    Consistency, Expect, Key, Logical, Migration, Migrations, Rows, Scope, ShardLocation, Sql,
    SqlFuture, Statement, Value, Written,
};

/// Long enough that no session of a test dies by itself.
const LIFE: Duration = Duration::from_secs(600);
const LEASE: &str = "task/shop.tidy";

/// A table for what holders write, of the system and of environments.
const NOTES: &[Migration] = &[
    Migration { version: 1, name: "notes", database: Scope::System, statements: &[NOTES_TABLE] },
    Migration { version: 1, name: "notes", database: Scope::Env, statements: &[NOTES_TABLE] },
];
const NOTES_TABLE: &str =
    "CREATE TABLE {notes} (env {env} NOT NULL, text {name:100} NOT NULL, PRIMARY KEY (env, text))";

/// A database and the nodes on it.
struct Cluster {
    sql: SharedSql,
    _fresh: Fresh,
}

impl Cluster {
    async fn on(fresh: Fresh) -> Self {
        let services = vec![("nodes", MIGRATIONS), ("notes", NOTES)];
        let migrations = Migrations::new(services).unwrap();
        Self { sql: fresh.open(migrations, Clock::System).await, _fresh: fresh }
    }

    /// Every backend that this machine has.
    async fn all() -> Vec<Self> {
        let mut all = vec![Self::on(Fresh::sqlite()).await];
        if let Some(fresh) = Fresh::mysql().await {
            all.push(Self::on(fresh).await);
        }
        all
    }

    fn parts(&self, name: &str, clock: &Clock) -> Parts {
        Parts {
            sql: Arc::clone(&self.sql),
            clock: clock.clone(),
            events: Events::default(),
            name: name.into(),
            version: "0",
            life: Some(LIFE),
        }
    }

    /// A node with a session.
    async fn node(&self, name: &str) -> Arc<Leases> {
        self.node_at(name, &Clock::System).await
    }

    async fn node_at(&self, name: &str, clock: &Clock) -> Arc<Leases> {
        let leases = Arc::new(Leases::new(self.parts(name, clock)));
        leases.beat().await.unwrap();
        leases
    }

    /// Ends the life of a session, as time without heartbeats does.
    async fn age(&self, leases: &Leases) {
        let session = leases.session().unwrap();
        let params = vec![Value::Text(session.to_string())];
        let sql = "UPDATE {nodes} SET expires_ms = {now_ms} - 1 WHERE id = ?";
        self.write(&Database::System, sql, &[Logical("nodes")], params).await.unwrap();
    }

    async fn write(
        &self,
        database: &Database,
        sql: &'static str,
        tables: &'static [Logical],
        params: Vec<Value>,
    ) -> Result<Written> {
        let statement = Statement { sql, tables, params };
        let unit = unit(WriteStep::once(statement, Expect::Rows(1)));
        self.sql.write(&location(database), unit).await
    }

    /// What holders wrote.
    async fn notes(&self, database: &Database) -> Vec<Value> {
        let sql = "SELECT text FROM {notes} WHERE env = ? ORDER BY text";
        let params = vec![Value::Text(database.env_column().to_owned())];
        let statement = Statement { sql, tables: &[Logical("notes")], params };
        let rows = self.sql.read(Consistency::Primary, &location(database), statement).await;
        rows.unwrap().0.into_iter().flat_map(|row| row.0).collect()
    }

    /// A write that only the holder may make.
    async fn write_as(
        &self,
        leases: &Leases,
        fence: &Fence,
        database: &Database,
        text: &str,
    ) -> Result<Written> {
        let unit = leases.fenced(fence, database, note(database, text))?;
        self.sql.write(&location(database), unit).await
    }
}

fn location(database: &Database) -> ShardLocation {
    ShardLocation { database: database.clone(), key: Key::Slot(0) }
}

fn unit(step: WriteStep) -> WriteBatch {
    WriteBatch { steps: vec![step], idempotency: None }
}

fn note(database: &Database, text: &str) -> WriteBatch {
    let params = vec![Value::Text(database.env_column().to_owned()), Value::Text(text.to_owned())];
    let sql = "INSERT INTO {notes} (env, text) VALUES (?, ?)";
    let statement = Statement { sql, tables: &[Logical("notes")], params };
    unit(WriteStep::once(statement, Expect::Rows(1)))
}

fn shop() -> Database {
    Database::Env("shop".parse().unwrap())
}

async fn claim(leases: &Leases) -> Claim {
    leases.claim(LEASE).await.unwrap()
}

async fn hold(leases: &Leases) -> Fence {
    match claim(leases).await {
        Claim::Held(fence) => fence,
        Claim::Elsewhere { node } => panic!("{node} holds it"),
    }
}

fn elsewhere(node: &str) -> Claim {
    Claim::Elsewhere { node: node.into() }
}

#[tokio::test]
async fn one_node_holds_a_lease_until_its_session_dies() {
    for cluster in Cluster::all().await {
        let (a, b) = (cluster.node("a").await, cluster.node("b").await);
        let first = hold(&a).await;
        assert_eq!((first.token, hold(&a).await), (1, first.clone()));
        // Asked for between two short runs too: a lease outlives the run, so that no task runs on two nodes in turn.
        assert_eq!(claim(&b).await, elsewhere("a"));
        cluster.age(&a).await;
        let second = hold(&b).await;
        assert_eq!(second.token, 2);
        assert_eq!(
            (a.is_held(&first).await.unwrap(), b.is_held(&second).await.unwrap()),
            (false, true)
        );
        // A dead session is not revived by a late heartbeat: the node begins another, and asks like everybody.
        let dead = a.session();
        a.beat().await.unwrap();
        assert_ne!(a.session(), dead);
        assert_eq!(claim(&a).await, elsewhere("b"));
    }
}

#[tokio::test]
async fn a_stale_holder_s_write_is_refused_whole() {
    for cluster in Cluster::all().await {
        let (a, b) = (cluster.node("a").await, cluster.node("b").await);
        let (stale, system) = (hold(&a).await, Database::System);
        let written = cluster.write_as(&a, &stale, &system, "1 by a").await.unwrap();
        assert_eq!(written.changed, [1, 1]);
        // Nobody took over yet, and all the same: the session is dead.
        cluster.age(&a).await;
        let refused = cluster.write_as(&a, &stale, &system, "2 by a, late").await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Conflict);
        let good = hold(&b).await;
        let refused = cluster.write_as(&a, &stale, &system, "3 by a, late").await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Conflict);
        cluster.write_as(&b, &good, &system, "4 by b").await.unwrap();
        let notes = ["1 by a", "4 by b"].map(|text| Value::Text(text.into()));
        assert_eq!(cluster.notes(&system).await, notes);
        // A node that came back with a new session knows the old fence for what it is, without asking.
        a.beat().await.unwrap();
        let refused = cluster.write_as(&a, &stale, &system, "5 by a, late").await.unwrap_err();
        assert_eq!(
            refused.message(),
            "this node no longer holds the lease task/shop.tidy; nothing was written"
        );
    }
}

#[tokio::test]
async fn a_unit_of_an_environment_can_demand_a_lease_of_the_system() {
    let Some(fresh) = Fresh::mysql().await else { return };
    let cluster = Cluster::on(fresh).await;
    let (a, b) = (cluster.node("a").await, cluster.node("b").await);
    let stale = hold(&a).await;
    cluster.write_as(&a, &stale, &shop(), "1 by a").await.unwrap();
    cluster.age(&a).await;
    hold(&b).await;
    let refused = cluster.write_as(&a, &stale, &shop(), "2 by a, late").await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict);
    assert_eq!(cluster.notes(&shop()).await, [Value::Text("1 by a".into())]);
}

#[tokio::test]
async fn nothing_of_a_stale_holder_lands_after_the_next_one_holds_the_lease() {
    for cluster in Cluster::all().await {
        let cluster = Arc::new(cluster);
        let (a, b) = (cluster.node("a").await, cluster.node("b").await);
        let (stale, written) = (hold(&a).await, watch::Sender::new(0));
        let mut seen = written.subscribe();
        let writing = tokio::spawn({
            let (a, cluster) = (Arc::clone(&a), Arc::clone(&cluster));
            async move {
                loop {
                    let text = written.borrow().to_string();
                    let done = cluster.write_as(&a, &stale, &Database::System, &text).await;
                    match done {
                        Ok(_) => written.send_modify(|count| *count += 1),
                        Err(refused) => return refused.kind(),
                    }
                }
            }
        });
        seen.wait_for(|count| *count >= 5).await.unwrap();
        cluster.age(&a).await;
        hold(&b).await;
        let landed = cluster.notes(&Database::System).await;
        assert_eq!(writing.await.unwrap(), Kind::Conflict);
        assert_eq!(cluster.notes(&Database::System).await, landed);
    }
}

#[tokio::test]
async fn of_many_that_ask_at_once_one_gets_it() {
    for cluster in Cluster::all().await {
        let mut asking = tokio::task::JoinSet::new();
        for name in ["a", "b", "c", "d", "e", "f"] {
            let node = cluster.node(name).await;
            asking.spawn(async move { (name, node.claim(LEASE).await) });
        }
        let answers: Vec<_> = asking.join_all().await;
        let held: Vec<_> = answers
            .iter()
            .filter(|(_, claim)| matches!(claim, Ok(Claim::Held(fence)) if fence.token == 1))
            .collect();
        assert_eq!(held.len(), 1, "{answers:?}");
        for (name, claim) in &answers {
            if *name != held[0].0 {
                // Three lost races in a row are an error that says to try again; a node that was told names the holder.
                assert!(
                    matches!(claim, Ok(Claim::Elsewhere { node }) if node == held[0].0)
                        || claim.is_err(),
                    "{answers:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn nodes_of_one_name_are_two_nodes() {
    for cluster in Cluster::all().await {
        let (one, other) = (cluster.node("shop-1").await, cluster.node("shop-1").await);
        hold(&one).await;
        assert_eq!(claim(&other).await, elsewhere("shop-1"));
        one.beat().await.unwrap();
        other.beat().await.unwrap();
        assert_eq!(claim(&other).await, elsewhere("shop-1"));
        assert_eq!(hold(&one).await.token, 1);
    }
}

#[tokio::test]
async fn a_node_s_own_clock_gives_it_nothing_and_takes_nothing_from_others() {
    for cluster in Cluster::all().await {
        let ahead = Clock::manual(Clock::System.now_ms() + 86_400_000);
        let behind = Clock::manual(Clock::System.now_ms() - 86_400_000);
        let (a, b) = (cluster.node_at("a", &behind).await, cluster.node_at("b", &ahead).await);
        hold(&a).await;
        assert_eq!(claim(&b).await, elsewhere("a"));
        ahead.advance(LIFE / 2);
        assert_eq!(claim(&b).await, elsewhere("a"));
        cluster.age(&a).await;
        hold(&b).await;
    }
}

#[tokio::test]
async fn each_session_has_the_life_that_its_own_node_chose() {
    for cluster in Cluster::all().await {
        let a = cluster.node("a").await;
        hold(&a).await;
        // This one would give up after a hundredth of a's life; that is no reason to take a's lease.
        let parts = Parts { life: Some(LIFE / 100), ..cluster.parts("b", &Clock::System) };
        let b = Leases::new(parts);
        b.beat().await.unwrap();
        assert_eq!(claim(&b).await, elsewhere("a"));
        let lives: Vec<_> = cluster.lives().await;
        assert_eq!(lives, [LIFE, LIFE / 100]);
    }
}

impl Cluster {
    async fn lives(&self) -> Vec<Duration> {
        let sql = "SELECT expires_ms - heartbeat_ms FROM {nodes} ORDER BY name";
        let statement = Statement { sql, tables: &[Logical("nodes")], params: vec![] };
        let rows =
            self.sql.read(Consistency::Primary, &location(&Database::System), statement).await;
        let life = |value| match value {
            Value::Integer(life_ms) => Duration::from_millis(life_ms.try_into().unwrap()),
            other => panic!("{other:?}"),
        };
        rows.unwrap().0.into_iter().flat_map(|row| row.0).map(life).collect()
    }
}

#[tokio::test]
async fn a_lease_that_was_released_is_free_and_one_that_was_taken_stays_taken() {
    for cluster in Cluster::all().await {
        let (a, b) = (cluster.node("a").await, cluster.node("b").await);
        let first = hold(&a).await;
        a.release(&first).await.unwrap();
        let second = hold(&b).await;
        assert_eq!(second.token, 2);
        a.release(&first).await.unwrap();
        assert!(b.is_held(&second).await.unwrap());
        // A session that ends frees all of its leases, and their tokens go on counting.
        b.end().await;
        assert_eq!(hold(&a).await.token, 3);
        assert_eq!(a.held().await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn nodes_are_listed_with_their_state_and_the_dead_are_forgotten() {
    for cluster in Cluster::all().await {
        let (a, b) = (cluster.node("a").await, cluster.node("b").await);
        cluster.age(&b).await;
        let list: Vec<_> =
            a.nodes().await.unwrap().into_iter().map(|node| (node.name, node.is_alive)).collect();
        assert_eq!(list, [("a".to_owned(), true), ("b".to_owned(), false)]);
        let fence = hold(&a).await;
        a.forget_dead(&fence, DEAD_SHOWN).await.unwrap();
        assert_eq!(a.nodes().await.unwrap().len(), 2);
        a.forget_dead(&fence, Duration::ZERO).await.unwrap();
        assert_eq!(a.nodes().await.unwrap().len(), 1);
        // A server that starts again and again leaves one row.
        for _ in 0..3 {
            let again = cluster.node("c").await;
            cluster.age(&again).await;
        }
        assert_eq!(a.nodes().await.unwrap().len(), 2);
    }
}

#[tokio::test]
async fn on_a_database_of_its_own_a_node_begins_anew_at_once() {
    let cluster = Cluster::on(Fresh::sqlite()).await;
    let start = || async {
        let parts = Parts { life: None, ..cluster.parts("a", &Clock::System) };
        let leases = Arc::new(Leases::new(parts));
        let trigger = Trigger::default();
        leases.start(String::new(), trigger.watcher()).await.unwrap();
        (leases, trigger)
    };
    let (killed, trigger) = start().await;
    assert_eq!(hold(&killed).await.token, 1);
    std::mem::forget(trigger);
    let (leases, trigger) = start().await;
    assert_eq!(hold(&leases).await.token, 2);
    cluster.write_as(&leases, &hold(&leases).await, &shop(), "in a file of its own").await.unwrap();
    assert_eq!(leases.nodes().await.unwrap().len(), 1);
    assert!(trigger.drain(Duration::from_secs(60)).await);
    assert_eq!(leases.nodes().await.unwrap().len(), 0);
    // A process that stops claims nothing any more.
    assert_eq!(leases.claim(LEASE).await.unwrap_err().kind(), Kind::Unavailable);
}

/// A database that stops answering, as behind a link that drops every packet.
struct Partition {
    inner: SharedSql,
    is_cut: watch::Sender<bool>,
    asked: AtomicU64,
}

impl Partition {
    async fn pass(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let _ = self.is_cut.subscribe().wait_for(|is_cut| !is_cut).await;
    }
}

impl Sql for Partition {
    fn read<'a>(
        &'a self,
        consistency: Consistency,
        place: &'a ShardLocation,
        statement: Statement,
    ) -> SqlFuture<'a, Rows> {
        Box::pin(async move {
            self.pass().await;
            self.inner.read(consistency, place, statement).await
        })
    }

    fn write<'a>(&'a self, place: &'a ShardLocation, unit: WriteBatch) -> SqlFuture<'a, Written> {
        Box::pin(async move {
            self.pass().await;
            self.inner.write(place, unit).await
        })
    }
}

#[tokio::test]
async fn a_heartbeat_that_hangs_does_not_keep_a_lost_session_trusted() {
    for cluster in Cluster::all().await {
        let clock = Clock::manual(0);
        let (is_cut, asked) = (watch::Sender::new(false), AtomicU64::new(0));
        let partition = Arc::new(Partition { inner: Arc::clone(&cluster.sql), is_cut, asked });
        let parts = Parts { sql: Arc::clone(&partition) as _, ..cluster.parts("a", &clock) };
        let leases = Arc::new(Leases::new(parts));
        leases.address.set(String::new()).unwrap();
        leases.beat().await.unwrap();
        let fence = hold(&leases).await;
        partition.is_cut.send_replace(true);
        let asked = partition.asked.load(Ordering::SeqCst);
        let working = tokio::spawn({
            let (leases, fence) = (Arc::clone(&leases), fence.clone());
            async move { leases.lost(&fence).await }
        });
        let beating = tokio::spawn({
            let leases = Arc::clone(&leases);
            async move { leases.beat().await }
        });
        while partition.asked.load(Ordering::SeqCst) == asked {
            tokio::task::yield_now().await;
        }
        clock.advance(LIFE * 2 / 3 - Duration::from_millis(1));
        tokio::task::yield_now().await;
        assert!(!working.is_finished());
        clock.advance(Duration::from_millis(1));
        working.await.unwrap();
        // A third of the life is left: nobody else can hold the lease yet, and this node claims and writes nothing more.
        assert_eq!(leases.claim(LEASE).await.unwrap_err().kind(), Kind::Unavailable);
        assert!(leases.fenced(&fence, &Database::System, WriteBatch::default()).is_err());
        let other = cluster.node("b").await;
        assert_eq!(claim(&other).await, elsewhere("a"));
        beating.abort();
    }
}

#[tokio::test]
async fn a_node_that_lost_the_database_comes_back_by_itself() {
    let cluster = Cluster::on(Fresh::sqlite()).await;
    let clock = Clock::manual(0);
    let leases = cluster.node_at("a", &clock).await;
    let fence = hold(&leases).await;
    clock.advance(LIFE);
    leases.beat().await.unwrap();
    assert_eq!(leases.nodes().await.unwrap().len(), 1, "the session before went with it");
    let again = hold(&leases).await;
    assert_eq!((again.token, again.session != fence.session), (2, true));
    leases.lost(&fence).await;
}

#[tokio::test]
async fn names_of_leases_are_bounded() {
    let cluster = Cluster::on(Fresh::sqlite()).await;
    let node = cluster.node("a").await;
    for bad in ["", &"é".repeat(NAME_CHARS_MAX + 1)] {
        assert_eq!(node.claim(bad).await.unwrap_err().kind(), Kind::InvalidParameter);
    }
    assert!(node.claim(&"é".repeat(NAME_CHARS_MAX)).await.is_ok());
}
