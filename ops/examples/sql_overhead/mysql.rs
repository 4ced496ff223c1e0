//! MySQL: mysql_async beside our backend, each with a pool of its own to a schema of its own on one server.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use yunzhan_base::Clock;
use yunzhan_engine::config;
use yunzhan_engine::sql::dialect::Dialect;
use yunzhan_engine::sql::testing::Fresh;
use yunzhan_engine::sql::testing::mysql_async::prelude::Queryable;
use yunzhan_engine::sql::testing::mysql_async::{
    Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts,
};

use super::harness::{Effort, compare, open_loop};
use super::{
    CALLERS, ENV, Engine, GET, HOT_ROWS, Outcome, PUT, ROWS, bare_text, body, key, migrations,
};

/// Operations of a round at each number of callers.
const READS: [u64; 3] = [4_000, 15_000, 15_000];
const WRITES: [u64; 3] = [300, 3_000, 6_000];
/// Connections that the pool keeps.
const CONNECTIONS_MIN: usize = 1;

struct Bare {
    pool: Pool,
    get: String,
    put: String,
}

// === impl Bare ===

impl Bare {
    fn new(config: &config::Sql) -> Outcome<Self> {
        let url = config.mysql_url.as_ref().and_then(|url| url.expose_str()).ok_or("no address")?;
        let most = config.mysql_connections_max;
        let limits = PoolConstraints::new(CONNECTIONS_MIN, most).ok_or("no bounds of a pool")?;
        // As the engine opens it: a reset would cost a round trip and every prepared statement.
        let options = PoolOpts::default().with_constraints(limits).with_reset_connection(false);
        let options =
            OptsBuilder::from_opts(Opts::from_url(url)?).prefer_socket(false).pool_opts(options);
        Ok(Self {
            pool: Pool::new(options),
            get: bare_text(Dialect::MariaDb, GET),
            put: bare_text(Dialect::MariaDb, PUT),
        })
    }

    async fn read(self: Arc<Self>, number: u64) -> Outcome {
        let mut connection = self.pool.get_conn().await?;
        let params = (ENV, key(number % HOT_ROWS));
        let body: Option<Vec<u8>> = connection.exec_first(self.get.as_str(), params).await?;
        assert!(body.is_some_and(|body| !body.is_empty()));
        Ok(())
    }

    async fn write(self: Arc<Self>, number: u64) -> Outcome {
        let mut connection = self.pool.get_conn().await?;
        connection.exec_drop(self.put.as_str(), (ENV, key(number), body())).await?;
        Ok(())
    }
}

/// Measures all operations, or says that there is no server.
pub(super) async fn measure(divisor: u64) -> Outcome {
    let (Some(mut bare_schema), Some(mut schema)) = (Fresh::mysql().await, Fresh::mysql().await)
    else {
        return Ok(());
    };
    for fresh in [&mut bare_schema, &mut schema] {
        // Tests have few of them.
        fresh.config().mysql_connections_max = config::MYSQL_CONNECTIONS_MAX;
    }
    Engine::new(bare_schema.open(migrations()?, Clock::System).await)?.fill().await?;
    let bare = Arc::new(Bare::new(bare_schema.config())?);
    let backend = Engine::new(schema.open(migrations()?, Clock::System).await)?;
    backend.clone().fill().await?;
    let served = {
        let folder = tempfile::TempDir::new()?;
        backend.served(schema.config(), &folder)?
    };
    let first = AtomicU64::new(ROWS);
    let sides = (Arc::clone(&bare), backend.clone(), served.clone());
    for (callers, count) in CALLERS.into_iter().zip(READS) {
        let (bare, backend, served) = sides.clone();
        let effort = Effort { callers, count: count / divisor };
        let sides = (
            move |number| Arc::clone(&bare).read(number),
            move |number| backend.clone().read(number),
            move |number| served.clone().read(number),
        );
        compare(("mysql", "point read"), effort, &first, sides).await?;
    }
    for (callers, count) in CALLERS.into_iter().zip(WRITES) {
        let (bare, backend, served) = sides.clone();
        let effort = Effort { callers, count: count / divisor };
        let sides = (
            move |number| Arc::clone(&bare).write(number),
            move |number| backend.clone().write(number),
            move |number| served.clone().write(number),
        );
        compare(("mysql", "single write"), effort, &first, sides).await?;
    }
    let line = ("mysql", "point read");
    let asked = Arc::clone(&bare);
    open_loop(line, "bare", divisor, move |number| Arc::clone(&asked).read(number)).await?;
    open_loop(line, "served", divisor, move |number| served.clone().read(number)).await?;
    drop((sides, backend));
    bare.pool.clone().disconnect().await?;
    Ok(())
}
