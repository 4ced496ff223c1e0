//! Measures what the order of commits costs on MariaDB: inserts of 64 writers, each a person of their own, as the service makes
//! them (64 counters in an environment), with a single counter for all, and without any.
//!
//! `cargo run --release -p yunzhan-services --example commit_order [DOCUMENTS]` starts a `mariadbd` of its own for each setting
//! of the binary log and prints an object a line.
#![allow(clippy::print_stdout, reason = "a measurement prints")]

mod server;
mod without_order;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bson::{Document, doc};
use tempfile::TempDir;
use tokio::runtime::Builder;
use yunzhan_base::env::{Env, Envs};
use yunzhan_base::principal::User;
use yunzhan_base::{Clock, EnvId, Live, Principal, Secret};
use yunzhan_engine::config;
use yunzhan_engine::sql::{Migrations, Opening, SharedSql, open};
use yunzhan_services::documents::{Caller, Config, Documents, MIGRATIONS, Preset};

use self::server::{Binlog, Server};
use self::without_order::{Counters, Recounted};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Documents of each measurement when nothing else is said.
const DOCUMENTS: u64 = 12_000;
const WRITERS: u64 = 64;
const COLLECTION: &str = "orders";

fn main() -> Outcome {
    let documents = std::env::args().nth(1).map_or(Ok(DOCUMENTS), |count| count.parse())?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for binlog in [Binlog::Off, Binlog::Synced] {
        let server = Server::start(binlog)?;
        let mut rates = Vec::new();
        // Each way first and last, so that a server that warms up or fills favours none.
        let ways = [Counters::None, Counters::Many, Counters::One];
        for (round, counters) in ways.iter().chain(ways.iter().rev()).enumerate() {
            let rate = runtime.block_on(measure(&server, round, *counters, documents))?;
            rates.push((*counters, rate));
        }
        let mean = |wanted: Counters| {
            let of = rates.iter().filter(|(counters, _)| *counters == wanted);
            of.clone().map(|(_, rate)| rate).sum::<f64>() / of.count() as f64
        };
        let (none, many, one) = (mean(Counters::None), mean(Counters::Many), mean(Counters::One));
        let line = serde_json::json!({
            "binlog": binlog.name(),
            "units_per_s_without_order": none.round(),
            "units_per_s": many.round(),
            "units_per_s_one_counter": one.round(),
            "to_without_order": many / none,
            "to_one_counter": many / one,
        });
        println!("{line}");
    }
    Ok(())
}

/// Units a second of one way.
async fn measure(
    server: &Server,
    round: usize,
    counters: Counters,
    documents: u64,
) -> Outcome<f64> {
    let schema = format!("round_{round}");
    server.create(&schema)?;
    let folder = TempDir::new()?;
    let config = config::Sql {
        mysql_url: Some(Secret::from(server.url(&schema).as_str())),
        mysql_connections_max: WRITERS as usize,
        ..config::Sql::default()
    };
    let migrations = Migrations::new(vec![("documents", MIGRATIONS)])?;
    let root = folder.path().to_owned();
    let sql = open(Opening { config, root, migrations, clock: Clock::System }).await?;
    let sql: SharedSql = Arc::new(Recounted::new(sql, counters));
    let env: EnvId = "shop".parse()?;
    let envs = Live::new(Envs::new([Env::new(env.clone())])?);
    let service = Arc::new(Documents::new(sql, envs, Clock::System, Config::default()));
    let operator = Principal::Operator;
    let caller = Caller { env: &env, principal: &operator };
    service.create_collection(caller, COLLECTION, Preset::Private).await?;
    write(&service, &env, 20 * WRITERS).await?;
    let begun = Instant::now();
    write(&service, &env, documents).await?;
    Ok(documents as f64 / begun.elapsed().as_secs_f64())
}

async fn write(service: &Arc<Documents>, env: &EnvId, documents: u64) -> Outcome {
    let next = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (service, env, next) = (Arc::clone(service), env.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                let principal = person(&env, writer);
                let caller = Caller { env: &env, principal: &principal };
                while next.fetch_add(1, Ordering::Relaxed) < documents {
                    service.insert(caller, COLLECTION, vec![order()], None).await?;
                }
                Ok::<_, yunzhan_base::Error>(())
            })
        })
        .collect();
    for writer in writers {
        writer.await??;
    }
    Ok(())
}

fn person(env: &EnvId, number: u64) -> Principal {
    Principal::User(Arc::new(User {
        env: env.clone(),
        uid: format!("u{number}"),
        openid: Some(format!("o{number:027}")),
        roles: Vec::new(),
        session: "s1".into(),
        anonymous: false,
        expires_s: i64::MAX,
    }))
}

fn order() -> Document {
    doc! { "status": "open", "total": 12_800, "remark": "请放在门口。".repeat(32) }
}
