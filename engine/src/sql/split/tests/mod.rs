//! A primary and a replica that the test starts: who answers what, and what happens when one of them fails.

mod failover;
mod own_reads;
mod routes;
mod tls;

mod suite {
    use crate::sql::suite::Subject;
    use crate::sql::testing::{Fresh, Pair};

    async fn open() -> Option<Subject> {
        let pair = Pair::shared().await?;
        let fresh = Fresh::replicated(&pair).await;
        Some(Subject::of(fresh, |sql| sql).await.keeping(pair))
    }

    crate::sql_suite!(open);
}

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use yunzhan_base::event::{Event, Events, Observe};
use yunzhan_base::{Clock, Result, Secret};

use super::Split;
use crate::config::{self, HostPort};
use crate::sql::suite::MIGRATIONS;
use crate::sql::testing::Server;
use crate::sql::{
    Consistency, Database, Expect, Key, Logical, Migrations, ShardLocation, Sql, Statement, Value,
    Who, WriteBatch, WriteStep, Written,
};

const ITEMS: &[Logical] = &[Logical("items")];
const PUT: &str = "INSERT INTO {items} (env, id, number) VALUES ('demo', ?, ?)
    {on_conflict:env, id} SET number = {new:number}";
const GET: &str = "SELECT number FROM {items} WHERE env = 'demo' AND id = ?";

/// A server of ours over databases that the test started, and what it told its operator.
struct Ours {
    split: Split,
    told: Arc<Told>,
}

#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Observe for Told {
    fn observe(&self, event: &Event<'_>) {
        if let Event::Notice(notice) = event {
            let line = format!("{}: {}", notice.name, notice.text);
            self.0.lock().expect("no panic").push(line);
        }
    }
}

/// Makes the schema, and a user who has all rights on it and none beside.
async fn make_shop(primary: &Server) {
    primary
        .run_sql(&[
            "CREATE DATABASE shop",
            "CREATE USER shop IDENTIFIED BY 'a password'",
            "GRANT ALL ON shop.* TO shop",
        ])
        .await;
}

/// The configuration that leads to these servers.
fn config_of(servers: &[&Server]) -> config::Sql {
    let url = format!("mysql://shop:a%20password@127.0.0.1:{}/shop", servers[0].port());
    let replicas = servers[1..].iter();
    config::Sql {
        mysql_url: Some(Secret::from(url.as_str())),
        mysql_replicas: replicas
            .map(|server| HostPort { name: "127.0.0.1".into(), port: server.port() })
            .collect(),
        mysql_connections_max: 16,
        mysql_connect_timeout: Duration::from_secs(1),
        ..config::Sql::default()
    }
}

// === impl Ours ===

impl Ours {
    async fn open(config: &config::Sql) -> Self {
        Self::try_open(config).await.expect("a primary")
    }

    async fn try_open(config: &config::Sql) -> Result<Self> {
        let told = Arc::new(Told::default());
        let migrations = Migrations::new(vec![("suite", MIGRATIONS)]).expect("good numbers");
        let events = Events::to(vec![Arc::clone(&told) as _]);
        let split = Split::open(config.clone(), migrations, Clock::System, events).await?;
        Ok(Self { split, told })
    }

    async fn put(&self, who: Option<Who>, id: u64, number: i64) -> Result<Written> {
        let params = vec![Value::Blob(id.to_be_bytes().to_vec()), Value::Integer(number)];
        let statement = Statement { sql: PUT, tables: ITEMS, params };
        let steps = vec![WriteStep::once(statement, Expect::Any)];
        let unit = WriteBatch { steps, idempotency: None };
        match who {
            Some(who) => self.split.write_by(who, &demo(), unit).await,
            None => self.split.write(&demo(), unit).await,
        }
    }

    async fn get(&self, consistency: Consistency, id: u64) -> Result<i64> {
        let params = vec![Value::Blob(id.to_be_bytes().to_vec())];
        let statement = Statement { sql: GET, tables: ITEMS, params };
        let rows = self.split.read(consistency, &demo(), statement).await?;
        Ok(match rows.0.first().map(|row| &row.0[0]) {
            Some(Value::Integer(number)) => *number,
            _ => 0,
        })
    }

    /// Reads that each server was sent, in the order of the configuration.
    fn reads(&self) -> Vec<u64> {
        self.split.servers().iter().map(|server| server.reads).collect()
    }

    fn told(&self, what: &str) -> bool {
        self.told.0.lock().expect("no panic").iter().any(|line| line.contains(what))
    }

    /// Waits until something was told.
    async fn until_told(&self, what: &str) {
        let all = || self.told.0.lock().expect("no panic").clone();
        eventually(|| self.told(what), || format!("{what} in {:?}", all())).await;
    }

    async fn until_replica_serves(&self, index: usize) {
        let is_young = || {
            let lag_ms = self.split.servers()[index].lag_ms;
            lag_ms.is_some_and(|lag_ms| lag_ms < 50)
        };
        eventually(is_young, || format!("{:?}", self.split.servers())).await;
    }
}

fn demo() -> ShardLocation {
    ShardLocation { database: Database::Env("demo".parse().expect("a name")), key: Key::Slot(0) }
}

const STALE: Consistency = Consistency::Stale { max: Duration::from_millis(50) };

async fn eventually(is_so: impl Fn() -> bool, what: impl Fn() -> String) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "never: {}", what());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
