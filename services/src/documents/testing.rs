//! A small world for tests: one environment's documents on every engine that is there, and callers of all kinds.

use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, Uri};
use yunzhan_base::audit::{Appended, Ledger, Phase, Record};
use yunzhan_base::call::Params;
use yunzhan_base::env::{Env, Envs};
use yunzhan_base::event::Events;
use yunzhan_base::fault::Faults;
use yunzhan_base::principal::{ServerKey, User};
use yunzhan_base::{
    Body, Call, Clock, Context, Endpoint, EnvId, Error, Kind, Live, Principal, RequestId,
};
use yunzhan_engine::sql::testing::Fresh;
use yunzhan_engine::sql::{
    Consistency, Database, Expect, Faulty, Key, Logical, Migration, Migrations, Rows,
    ShardLocation, SharedSql, Sql, SqlFuture, Statement, Value, WriteBatch, WriteStep, Written,
    intern,
};

use super::{Caller, Config, Documents, Index, MIGRATIONS, Preset};
use crate::acts::Acts;

/// 2026-01-01T00:00:00Z: the time at which every test happens.
pub(crate) const NOW_MS: i64 = 1_767_225_600_000;

/// One environment named `demo`.
pub(crate) struct World {
    pub(crate) documents: Arc<Documents>,
    pub(crate) env: EnvId,
    sql: SharedSql,
    records: Arc<Records>,
    fresh: Fresh,
}

/// A ledger to look into.
#[derive(Default)]
struct Records(Mutex<String>);

/// A database that answers nothing but this.
struct Broken(Kind);

impl Sql for Broken {
    fn read<'a>(
        &'a self,
        _: Consistency,
        _: &'a ShardLocation,
        _: Statement,
    ) -> SqlFuture<'a, Rows> {
        Box::pin(async { Err(Error::new(self.0, self.0.entry().en)) })
    }

    fn write<'a>(&'a self, _: &'a ShardLocation, _: WriteBatch) -> SqlFuture<'a, Written> {
        Box::pin(async { Err(Error::new(self.0, self.0.entry().en)) })
    }
}

/// A database that counts who reads documents and collections, and is gone after so many writes.
pub(crate) struct Watched {
    sql: SharedSql,
    document_reads: AtomicUsize,
    collection_reads: AtomicUsize,
    writes_left: AtomicUsize,
}

impl Watched {
    /// How often documents were read since the last time.
    pub(crate) fn document_reads(&self) -> usize {
        self.document_reads.swap(0, Ordering::Relaxed)
    }

    /// How often collections were read since the last time.
    pub(crate) fn collection_reads(&self) -> usize {
        self.collection_reads.swap(0, Ordering::Relaxed)
    }
}

impl Sql for Watched {
    fn read<'a>(
        &'a self,
        how: Consistency,
        place: &'a ShardLocation,
        what: Statement,
    ) -> SqlFuture<'a, Rows> {
        if what.tables.contains(&Logical("documents")) {
            self.document_reads.fetch_add(1, Ordering::Relaxed);
        }
        if what.tables.contains(&Logical("collections")) {
            self.collection_reads.fetch_add(1, Ordering::Relaxed);
        }
        self.sql.read(how, place, what)
    }

    fn write<'a>(&'a self, place: &'a ShardLocation, batch: WriteBatch) -> SqlFuture<'a, Written> {
        let one_less = |left: usize| left.checked_sub(1);
        match self.writes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
            Ok(_) => self.sql.write(place, batch),
            Err(_) => Box::pin(async { Err(Error::new(Kind::Unavailable, "gone")) }),
        }
    }
}

impl Ledger for Records {
    fn append(&self, record: Record) -> Appended {
        if record.phase == Phase::Done {
            let failure = record.failure.map(|failure| format!(": {failure}")).unwrap_or_default();
            let mut text = self.0.lock().unwrap();
            let Record { actor, action, subject, .. } = record;
            writeln!(text, "{actor} {action} {subject}{failure}").unwrap();
        }
        Box::pin(async { Ok(()) })
    }
}

/// Runs a test on every engine: SQLite, and MySQL when there is one.
pub(crate) fn on_every_engine(config: &Config, test: impl AsyncFn(World)) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(async {
        test(World::new(Fresh::sqlite(), config.clone()).await).await;
        if let Some(fresh) = Fresh::mysql().await {
            test(World::new(fresh, config.clone()).await).await;
        }
    });
}

/// Runs a test on every engine, over tables that an earlier version made, which knew the first so many migrations, and rows
/// that it left there.
pub(crate) fn on_every_engine_grown_from(
    migrations: usize,
    rows: &[(&str, &[&str])],
    test: impl AsyncFn(World),
) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(async {
        let mut engines = vec![Fresh::sqlite()];
        engines.extend(Fresh::mysql().await);
        for fresh in engines {
            let old = World::over(fresh, &MIGRATIONS[..migrations], Config::default()).await;
            for (table, columns) in rows {
                old.put(table, columns).await;
            }
            test(World::new(old.into_fresh(), Config::default()).await).await;
        }
    });
}

/// Runs a test on SQLite alone: one that is about something else than engines, and long.
pub(crate) fn on_sqlite(config: &Config, test: impl AsyncFn(World)) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.unwrap().block_on(async {
        test(World::new(Fresh::sqlite(), config.clone()).await).await;
    });
}

pub(crate) fn user(openid: &str) -> Principal {
    user_with(openid, &[])
}

pub(crate) fn user_with(openid: &str, roles: &[&str]) -> Principal {
    Principal::User(Arc::new(User {
        env: "demo".parse().unwrap(),
        uid: format!("uid-of-{openid}"),
        openid: Some(openid.into()),
        roles: roles.iter().map(ToString::to_string).collect(),
        session: "s1".into(),
        anonymous: false,
        expires_s: i64::MAX,
    }))
}

pub(crate) fn server() -> Principal {
    server_with("k1")
}

pub(crate) fn server_with(key_id: &str) -> Principal {
    Principal::Server(Arc::new(ServerKey { env: "demo".parse().unwrap(), key_id: key_id.into() }))
}

/// A request as the gateway hands it over.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) route: &'a str,
    pub(crate) params: &'a [(&'static str, &'a str)],
    pub(crate) query: &'a str,
    pub(crate) headers: &'a [(&'static str, &'a str)],
    pub(crate) body: &'a str,
    pub(crate) principal: &'a Principal,
}

impl World {
    pub(crate) async fn new(fresh: Fresh, config: Config) -> Self {
        Self::over(fresh, MIGRATIONS, config).await
    }

    /// The same over the tables of these migrations.
    pub(crate) async fn over(
        fresh: Fresh,
        migrations: &'static [Migration],
        config: Config,
    ) -> Self {
        let clock = Clock::manual(NOW_MS);
        let migrations = Migrations::new(vec![("documents", migrations)]).unwrap();
        let sql = fresh.open(migrations, clock.clone()).await;
        let env: EnvId = "demo".parse().unwrap();
        let envs = Live::new(Envs::new([demo(&env)]).unwrap());
        let records = Arc::new(Records::default());
        let ledger = Arc::clone(&records) as Arc<dyn Ledger>;
        let acts = Acts::new(ledger, clock.clone(), Events::default());
        let documents = Documents::new(Arc::clone(&sql), envs, clock, config);
        let documents = Arc::new(documents.recorded_by(acts));
        Self { documents, env, sql, records, fresh }
    }

    /// The place of its database, for the next server there.
    pub(crate) fn into_fresh(self) -> Fresh {
        self.fresh
    }

    pub(crate) async fn with_collections(self, collections: &[(&str, Preset)]) -> Self {
        for (name, preset) in collections {
            self.documents.create_collection(self.caller(&server()), name, *preset).await.unwrap();
        }
        self
    }

    /// The service as another server on the same database has it.
    pub(crate) fn other_server(&self) -> Documents {
        let envs = Live::new(Envs::new([demo(&self.env)]).unwrap());
        Documents::new(Arc::clone(&self.sql), envs, Clock::manual(NOW_MS), Config::default())
    }

    /// The service over this database, on whose way these faults strike.
    pub(crate) fn over_faulty_database(&self, faults: Faults) -> Documents {
        let envs = Live::new(Envs::new([demo(&self.env)]).unwrap());
        let sql = Arc::new(Faulty::new(Arc::clone(&self.sql), faults));
        Documents::new(sql, envs, Clock::manual(NOW_MS), Config::default())
    }

    /// The service over this database as long as it makes no more than so many writes, and the view of who reads.
    pub(crate) fn over_watched_database(&self, writes: usize) -> (Documents, Arc<Watched>) {
        let envs = Live::new(Envs::new([demo(&self.env)]).unwrap());
        let sql = Arc::new(Watched {
            sql: Arc::clone(&self.sql),
            document_reads: AtomicUsize::new(0),
            collection_reads: AtomicUsize::new(0),
            writes_left: AtomicUsize::new(writes),
        });
        let clock = Clock::manual(NOW_MS);
        (Documents::new(Arc::clone(&sql) as SharedSql, envs, clock, Config::default()), sql)
    }

    /// The service over a database that answers nothing but this.
    pub(crate) fn over_broken_database(&self, kind: Kind) -> Arc<Documents> {
        let envs = Live::new(Envs::new([demo(&self.env)]).unwrap());
        let clock = Clock::manual(NOW_MS);
        Arc::new(Documents::new(Arc::new(Broken(kind)), envs, clock, Config::default()))
    }

    /// Lets time go by.
    pub(crate) fn wait(&self, time: Duration) {
        self.documents.clock.advance(time);
    }

    /// What the ledger holds.
    pub(crate) fn recorded(&self) -> String {
        self.records.0.lock().unwrap().clone()
    }

    /// Puts a row into a table, past the service. Columns are whole numbers, `0x` and bytes, or text.
    pub(crate) async fn put(&self, table: &str, columns: &[&str]) {
        const TABLES: &[Logical] =
            &[Logical("collections"), Logical("documents"), Logical("index_entries")];
        let marks = vec!["?"; columns.len()].join(", ");
        // The columns of the first format, with a version, or of the present one; what came later has its default.
        let named = match (table, columns.len()) {
            ("collections", 7) => "(env, name, id, permission, id_mode, version, created_ms)",
            ("collections", _) => "(env, name, id, permission, id_mode, created_ms)",
            _ => "",
        };
        let sql = intern(&format!("INSERT INTO {{{table}}} {named} VALUES ({marks})")).unwrap();
        let params =
            columns.iter().map(|column| match (column.strip_prefix("0x"), column.parse()) {
                (Some(digits), _) => Value::Blob(hex::decode(digits).unwrap()),
                (None, Ok(number)) => Value::Integer(number),
                (None, Err(_)) => Value::Text((*column).to_owned()),
            });
        let statement = Statement { sql, tables: TABLES, params: params.collect() };
        let step = WriteStep::once(statement, Expect::Rows(1));
        let place = ShardLocation { database: Database::Env(self.env.clone()), key: Key::Slot(0) };
        self.sql.write(&place, WriteBatch { steps: vec![step], idempotency: None }).await.unwrap();
    }

    /// Runs a statement as a unit, past the service.
    pub(crate) async fn run(&self, sql: &'static str, tables: &'static [Logical]) {
        let step = WriteStep::once(Statement { sql, tables, params: Vec::new() }, Expect::Any);
        let place = ShardLocation { database: Database::Env(self.env.clone()), key: Key::Slot(0) };
        self.sql.write(&place, WriteBatch { steps: vec![step], idempotency: None }).await.unwrap();
    }

    /// The entries of an index as they are stored, and those that may stand once.
    pub(crate) async fn entries(&self, index: &Index) -> [Rows; 2] {
        const TABLES: &[Logical] = &[Logical("index_entries"), Logical("unique_entries")];
        let place = ShardLocation { database: Database::Env(self.env.clone()), key: Key::Slot(0) };
        let read = async |table: &str| {
            let sql = format!(
                "SELECT entry, document FROM {{{table}}} WHERE index_id = ? ORDER BY entry, document"
            );
            let params = vec![Value::Integer(index.id)];
            let statement = Statement { sql: intern(&sql).unwrap(), tables: TABLES, params };
            self.sql.read(Consistency::Primary, &place, statement).await.unwrap()
        };
        [read("index_entries").await, read("unique_entries").await]
    }

    /// Loses what calls with an idempotency key came to, but not that they were made.
    pub(crate) async fn lose_answers(&self) {
        let sql = "DELETE FROM {idempotency} WHERE unit_key LIKE '%:request'";
        self.run(sql, &[Logical("idempotency")]).await;
    }

    pub(crate) fn caller<'a>(&'a self, principal: &'a Principal) -> Caller<'a> {
        Caller { env: &self.env, principal }
    }

    /// Asks a service and gives status and body as text.
    pub(crate) async fn ask<S: Send + Sync + 'static>(
        &self,
        service: &Arc<S>,
        endpoints: &'static [Endpoint<S>],
        asked: Asked<'_>,
    ) -> String {
        let endpoint = endpoints.iter().find(|endpoint| endpoint.spec.name == asked.route).unwrap();
        let answer =
            (endpoint.handle)(Arc::clone(service), self.call(&endpoint.spec.method, asked)).await;
        let response = match answer {
            Ok(reply) => reply.into_response().expect("no route of these upgrades"),
            Err(error) => (endpoint.spec.render_error)(&error, RequestId::NONE),
        };
        show(&response)
    }

    fn call(&self, method: &http::Method, asked: Asked<'_>) -> Call {
        let mut params = Params::default();
        for (name, value) in asked.params {
            params.push(name, (*value).to_owned());
        }
        let mut headers = HeaderMap::new();
        for (name, value) in asked.headers {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        Call {
            method: method.clone(),
            uri: Uri::try_from(format!("/?{}", asked.query)).unwrap(),
            headers,
            body: Bytes::copy_from_slice(asked.body.as_bytes()).into(),
            params,
            context: Context {
                principal: asked.principal.clone(),
                ..Context::internal(
                    RequestId::NONE,
                    Some(Arc::new(demo(&self.env))),
                    Duration::from_secs(5),
                )
            },
        }
    }
}

fn demo(env: &EnvId) -> Env {
    Env { development_login: true, ..Env::new(env.clone()) }
}

fn show(response: &Response<Body>) -> String {
    let body: &[u8] = match response.body() {
        Body::Held(bytes) => bytes,
        _ => b"",
    };
    let text = String::from_utf8_lossy(body).replace(&"0".repeat(32), "<id>");
    format!("{} {text}", response.status().as_u16())
}
