//! The services and who introduces them: the one list of what this server offers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use yunzhan_base::audit::Ledger;
use yunzhan_base::event::{Events, Level};
use yunzhan_base::fault::Faults;
use yunzhan_base::{Clock, EnvId, Result, Route, RouteSpec, route};
use yunzhan_engine::seal::MasterKey;
use yunzhan_engine::sql::migrate::Migrations;
use yunzhan_engine::sql::{self, Health, Opening, Wrapped};
use yunzhan_net::http::Client;
use yunzhan_net::shutdown::Shutdown;
use yunzhan_net::task;
use yunzhan_services::dialect::{admin, gateway, web};
use yunzhan_services::documents::{self, Documents};
use yunzhan_services::envs::{self, EnvStore, NewEnv};
use yunzhan_services::identity::{self, Identity};

use crate::app::random;
use crate::config::Config;
use crate::demo;

/// What the services are opened with.
pub(crate) struct Parts<'a> {
    pub(crate) config: &'a Config,
    /// The data folder, for the embedded engine.
    pub(crate) root: PathBuf,
    pub(crate) master_key: [u8; 32],
    pub(crate) clock: Clock,
    pub(crate) client: Client,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) events: Events,
}

/// Every service, alive.
pub(crate) struct Rooms {
    pub(crate) envs: Arc<EnvStore>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) documents: Arc<Documents>,
    /// Whether the database takes writes.
    pub(crate) health: Arc<Health>,
    events: Events,
}

impl Rooms {
    /// Opens the engine, then the services in the order in which they need one another.
    pub(crate) async fn open(parts: Parts<'_>) -> Result<Self> {
        let Parts { config, root, master_key, clock, client, ledger, events } = parts;
        let Wrapped { sql, health } = open_sql(config, root, &clock, &events).await?;
        let envs = EnvStore::open(
            Arc::clone(&sql),
            MasterKey::from_bytes(master_key),
            clock.clone(),
            Arc::clone(&ledger),
        )
        .await?;
        let identity = Identity::open(identity::Parts {
            sql: Arc::clone(&sql),
            master_key: MasterKey::from_bytes(master_key),
            config: config.identity.clone(),
            clock: clock.clone(),
            envs: envs.envs(),
            server_keys: envs.server_keys(),
            http: client,
            ledger: Arc::clone(&ledger),
            events: events.clone(),
        })
        .await?;
        let documents = Documents::new(sql, envs.envs(), clock, config.documents.clone());
        let documents = Arc::new(documents.recorded_by(ledger));
        Ok(Self { envs, identity, documents, health, events })
    }

    /// What clients may call.
    pub(crate) fn routes(&self) -> Vec<Route> {
        let routes = [
            route::bind(&self.identity, identity::ROUTES),
            route::bind(&self.documents, gateway::ROUTES),
            route::bind(&self.documents, admin::ROUTES),
            route::bind(&self.documents, web::ROUTES),
        ]
        .concat();
        debug_assert!(
            are_listed(&routes, public_specs()),
            "a route is served and not in public_specs"
        );
        routes
    }

    /// What operators may call.
    pub(crate) fn control(&self) -> Vec<Route> {
        let routes = [
            route::bind(&self.envs, envs::control::CONTROL),
            route::bind(&self.identity, identity::control::CONTROL),
            route::bind(&self.documents, documents::CONTROL),
        ]
        .concat();
        debug_assert!(
            are_listed(&routes, control_specs()),
            "a route is served and not in control_specs"
        );
        routes
    }

    /// Work outside requests: what other replicas changed, and what has run out.
    pub(crate) fn start(&self, shutdown: &Shutdown) {
        let (envs, identity) = (Arc::clone(&self.envs), Arc::clone(&self.identity));
        self.repeat("envs.refresh", identity::REFRESH_PERIOD, shutdown, move || {
            let envs = Arc::clone(&envs);
            async move { envs.refresh().await }
        });
        self.repeat("identity.refresh", identity::REFRESH_PERIOD, shutdown, move || {
            let identity = Arc::clone(&identity);
            async move { identity.refresh().await }
        });
        let documents = Arc::clone(&self.documents);
        self.repeat("documents.indexes", documents::WORK_PERIOD, shutdown, move || {
            let documents = Arc::clone(&documents);
            async move { documents.work_on_indexes().await }
        });
        let identity = Arc::clone(&self.identity);
        self.repeat("identity.tidy", identity::TIDY_PERIOD, shutdown, move || {
            let identity = Arc::clone(&identity);
            async move { identity.tidy().await }
        });
    }

    /// Runs one piece of work every period. A failure is told, and tried again at the next.
    fn repeat<W, F>(&self, name: &'static str, period: Duration, shutdown: &Shutdown, work: W)
    where
        W: Fn() -> F + Send + 'static,
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let events = self.events.clone();
        task::every(name, period, shutdown.clone(), move || {
            let (events, done) = (events.clone(), work());
            async move {
                if let Err(error) = done.await {
                    let text =
                        format!("{name} failed and will be tried again: {}", error.log_text());
                    events.notice(Level::Error, "background_failed", &text);
                }
            }
        });
    }

    /// Makes the demo's environment with its shop, unless there is an environment already.
    pub(crate) async fn make_demo(&self) -> Result<()> {
        if self.envs.envs().peek().iter().next().is_some() {
            return Ok(());
        }
        let id: EnvId = demo::ENV.parse()?;
        // The goods first: when a start is cut short, the next one finds no environment and begins again.
        self.documents.seed(&id, demo::SEED).await?;
        let demo = NewEnv {
            id,
            appid: None,
            app_secret: None,
            hosts: Vec::new(),
            development_login: true,
        };
        self.envs.add(demo).await.map(drop)
    }
}

/// Whether what is served is what the metrics and the stranger test know of.
fn are_listed(routes: &[Route], specs: impl Iterator<Item = &'static RouteSpec>) -> bool {
    routes.iter().map(|route| route.spec.name).eq(specs.map(|spec| spec.name))
}

/// Every public route, known before any service is open.
pub(crate) fn public_specs() -> impl Iterator<Item = &'static RouteSpec> {
    let identity = identity::ROUTES.iter().map(|endpoint| &endpoint.spec);
    let gateway = gateway::ROUTES.iter().map(|endpoint| &endpoint.spec);
    let admin = admin::ROUTES.iter().map(|endpoint| &endpoint.spec);
    let web = web::ROUTES.iter().map(|endpoint| &endpoint.spec);
    identity.chain(gateway).chain(admin).chain(web)
}

/// Every control route of the services.
pub(crate) fn control_specs() -> impl Iterator<Item = &'static RouteSpec> {
    let envs = envs::control::CONTROL.iter().map(|endpoint| &endpoint.spec);
    let identity = identity::control::CONTROL.iter().map(|endpoint| &endpoint.spec);
    let documents = documents::CONTROL.iter().map(|endpoint| &endpoint.spec);
    envs.chain(identity).chain(documents)
}

/// What the SQL engine is opened with.
pub(crate) fn opening(config: &Config, root: PathBuf, clock: Clock) -> Result<Opening> {
    let migrations = Migrations::new(vec![
        ("envs", envs::MIGRATIONS),
        ("identity", identity::MIGRATIONS),
        ("documents", documents::MIGRATIONS),
    ])?;
    Ok(Opening { config: config.engine.sql.clone(), root, migrations, clock })
}

async fn open_sql(
    config: &Config,
    root: PathBuf,
    clock: &Clock,
    events: &Events,
) -> Result<Wrapped> {
    let seed = u64::from_le_bytes(random()?);
    let opened = sql::open(opening(config, root, clock.clone())?).await?;
    let faults = Faults::none(clock.clone(), seed);
    Ok(sql::wrap(opened, &config.engine.sql, events.clone(), faults, clock.clone()))
}
