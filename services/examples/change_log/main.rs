//! Measures what the change log and the order of commits cost: the same inserts and updates as the service makes them, without
//! the log, and on MariaDB with a single counter for all and without any.
//!
//! `cargo run --release -p yunzhan-services --example change_log sqlite|mariadb [DOCUMENTS]` prints an object a line: of SQLite the processor
//! time of a document in microseconds, of MariaDB the write batches a second of 64 writers, each a person of their own. It starts
//! a `mariadbd` for each setting of the binary log.
#![allow(clippy::print_stdout, reason = "a measurement prints")]

mod server;
mod without;

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bson::{Bson, Document, doc};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Builder;
use yunzhan_base::env::{Env, Envs};
use yunzhan_base::event::Events;
use yunzhan_base::principal::User;
use yunzhan_base::{Clock, EnvId, Live, Principal, Secret};
use yunzhan_engine::config;
use yunzhan_engine::sql::{Migrations, Opening, SharedSql, open};
use yunzhan_services::documents::{Caller, Change, Config, Documents, MIGRATIONS, Preset, Which};

use self::server::{Binlog, Server};
use self::without::{Left, Without};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Documents of each measurement when nothing else is said.
const DOCUMENTS: u64 = 8_000;
const WRITERS: u64 = 64;
const COLLECTION: &str = "orders";
/// Times that each way is measured on SQLite, in turns; the least counts, for whatever else runs only adds.
const ROUNDS: usize = 5;

/// What writers do.
#[derive(Clone, Copy)]
enum What {
    Insert,
    Update,
}

const WHATS: [What; 2] = [What::Insert, What::Update];

fn main() -> Outcome {
    let engine = std::env::args().nth(1).ok_or("name the engine: sqlite or mariadb")?;
    let documents = std::env::args().nth(2).map_or(Ok(DOCUMENTS), |count| count.parse())?;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if engine == "sqlite" {
        return runtime.block_on(on_sqlite(documents));
    }
    for binlog in [Binlog::Off, Binlog::Synced] {
        runtime.block_on(on_mariadb(binlog, documents))?;
    }
    Ok(())
}

async fn on_sqlite(documents: u64) -> Outcome {
    let mut least = [[f64::INFINITY; 2]; 2];
    for _ in 0..ROUNDS {
        for (way, left) in [Left::Nothing, Left::Log].into_iter().enumerate() {
            let folder = TempDir::new()?;
            let shop = Shop::open(config::Sql::default(), &folder, left).await?;
            shop.write(What::Insert, 20 * WRITERS).await?;
            for (what, least) in least[way].iter_mut().enumerate() {
                let begun = cpu_us()?;
                shop.write(WHATS[what], documents).await?;
                *least = least.min((cpu_us()? - begun) / documents as f64);
            }
        }
    }
    let [[insert, update], [insert_without, update_without]] = least;
    println!(
        "{}",
        json!({
            "engine": "sqlite",
            "insert_cpu_us": insert,
            "insert_cpu_us_without_log": insert_without,
            "insert_log_share": insert / insert_without - 1.0,
            "update_cpu_us": update,
            "update_cpu_us_without_log": update_without,
            "update_log_share": update / update_without - 1.0,
        })
    );
    Ok(())
}

async fn on_mariadb(binlog: Binlog, documents: u64) -> Outcome {
    let server = Server::start(binlog)?;
    let ways = [Left::Order, Left::Nothing, Left::Counters, Left::Log];
    let mut rates = [[0.0; 2]; 4];
    // Each way first and last, so that a server that warms up or fills favours none.
    for (round, way) in (0..4).chain((0..4).rev()).enumerate() {
        let schema = format!("round_{round}");
        server.create(&schema)?;
        let config = config::Sql {
            mysql_url: Some(Secret::from(server.url(&schema).as_str())),
            mysql_connections_max: WRITERS as usize,
            ..config::Sql::default()
        };
        let shop = Shop::open(config, &TempDir::new()?, ways[way]).await?;
        shop.write(What::Insert, 20 * WRITERS).await?;
        for (what, rate) in rates[way].iter_mut().enumerate() {
            let begun = Instant::now();
            shop.write(WHATS[what], documents).await?;
            *rate += documents as f64 / begun.elapsed().as_secs_f64() / 2.0;
        }
    }
    let [none, many, one, unlogged] = rates;
    println!(
        "{}",
        json!({
            "engine": "mariadb",
            "binlog": binlog.name(),
            "inserts_per_s": many[0].round(),
            "inserts_per_s_without_order": none[0].round(),
            "inserts_per_s_one_counter": one[0].round(),
            "inserts_per_s_without_log": unlogged[0].round(),
            "updates_per_s": many[1].round(),
            "updates_per_s_without_log": unlogged[1].round(),
            "to_without_order": many[0] / none[0],
            "to_one_counter": many[0] / one[0],
            "to_without_log": many[0] / unlogged[0],
            "updates_to_without_log": many[1] / unlogged[1],
        })
    );
    Ok(())
}

/// The documents service on one database.
struct Shop {
    documents: Arc<Documents>,
    env: EnvId,
    /// The documents of each writer.
    ids: Vec<Mutex<Vec<Bson>>>,
}

impl Shop {
    async fn open(config: config::Sql, folder: &TempDir, left: Left) -> Outcome<Arc<Self>> {
        let migrations = Migrations::new(vec![("documents", MIGRATIONS)])?;
        let root = folder.path().to_owned();
        let (clock, events) = (Clock::System, Events::default());
        let sql = open(Opening { config, root, migrations, clock, events }).await?;
        let sql: SharedSql = Arc::new(Without::new(sql, left));
        let env: EnvId = "shop".parse()?;
        let envs = Live::new(Envs::new([Env::new(env.clone())])?);
        let documents = Documents::new(sql, envs, Clock::System, Config::default());
        let operator = Principal::Operator;
        let caller = Caller { env: &env, principal: &operator };
        documents.create_collection(caller, COLLECTION, Preset::Private).await?;
        let ids = (0..WRITERS).map(|_| Mutex::default()).collect();
        Ok(Arc::new(Self { documents: Arc::new(documents), env, ids }))
    }

    /// As many writers at a time, each of which adds or changes one document after the other.
    async fn write(self: &Arc<Self>, what: What, documents: u64) -> Outcome {
        let each = usize::try_from(documents / WRITERS)?;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let shop = Arc::clone(self);
                tokio::spawn(async move {
                    match what {
                        What::Insert => shop.insert_by(writer, each).await,
                        What::Update => shop.update_by(writer, each).await,
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await??;
        }
        Ok(())
    }

    async fn insert_by(&self, writer: u64, documents: usize) -> yunzhan_base::Result<()> {
        let principal = person(&self.env, writer);
        let caller = Caller { env: &self.env, principal: &principal };
        for _ in 0..documents {
            let added = vec![order()];
            let ids = self.documents.insert(caller, COLLECTION, added, None).await?;
            self.ids[writer as usize].lock().expect("no panic").extend(ids);
        }
        Ok(())
    }

    /// Changes the last that it added.
    async fn update_by(&self, writer: u64, documents: usize) -> yunzhan_base::Result<()> {
        let principal = person(&self.env, writer);
        let caller = Caller { env: &self.env, principal: &principal };
        let ids = self.ids[writer as usize].lock().expect("no panic").clone();
        for id in ids.into_iter().rev().take(documents) {
            let (which, update) = (Which::One(id), doc! { "$inc": { "total": 1 } });
            let change = Change { which, update, replace: false, multi: false, upsert: false };
            self.documents.update(caller, COLLECTION, change, None).await?;
        }
        Ok(())
    }
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

/// An order of a small shop, 1 KB.
fn order() -> Document {
    doc! { "status": "open", "total": 12_800, "remark": "请放在门口。".repeat(54) }
}

/// Processor time of all living threads of this process, in microseconds.
fn cpu_us() -> Outcome<f64> {
    let mut nanos = 0;
    for thread in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(nanos as f64 / 1000.0)
}
