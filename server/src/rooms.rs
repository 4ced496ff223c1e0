//! The services and who introduces them: the one list of what this server offers.

use std::path::PathBuf;
use std::sync::Arc;

use yunzhan_base::audit::Ledger;
use yunzhan_base::event::Events;
use yunzhan_base::fault::Faults;
use yunzhan_base::{Clock, EnvId, Result, Route, RouteSpec, route};
use yunzhan_engine::lease::{self, Leases};
use yunzhan_engine::seal::MasterKey;
use yunzhan_engine::sql::migrate::Migrations;
use yunzhan_engine::sql::{self, Opening, SharedSql};
use yunzhan_net::http::Client;
use yunzhan_net::peer::Peers;
use yunzhan_net::shutdown::Shutdown;
use yunzhan_net::task::{self, Task, Tasks};
use yunzhan_services::dialect::{admin, gateway, web};
use yunzhan_services::documents::{self, Documents};
use yunzhan_services::envs::{self, EnvStore, NewEnv};
use yunzhan_services::identity::{self, Identity};
use yunzhan_services::nodes::cluster::Cluster;
use yunzhan_services::nodes::{self, Link, Nodes};

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
    pub(crate) nodes: Arc<Nodes>,
    /// What this node shows to others.
    link: Option<Link>,
}

impl Rooms {
    /// Opens the engine, then the services in the order in which they need one another.
    pub(crate) async fn open(parts: Parts<'_>) -> Result<Self> {
        let Parts { config, root, master_key, clock, client, ledger, events } = parts;
        let sql = open_sql(config, root, &clock, &events).await?;
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
        let database = config.shared_database();
        let link = config.cluster.link(database, &master_key, &clock)?;
        let leases = Arc::new(Leases::new(lease::Parts {
            sql: Arc::clone(&sql),
            clock: clock.clone(),
            events: events.clone(),
            name: config.cluster.node_name(),
            version: env!("CARGO_PKG_VERSION"),
            life: database.map(|_| config.cluster.session_life),
        }));
        let documents = Documents::new(sql, envs.envs(), clock.clone(), config.documents.clone());
        let documents = Arc::new(documents.recorded_by(ledger));
        let claims = Some(Arc::clone(&leases) as _);
        let parts = task::Parts { clock: clock.clone(), events, claims };
        let own = nodes::tasks(&leases, link.as_ref(), &clock);
        let tasks = Tasks::new(&parts, [tasks(&envs, &identity, &documents), own].concat())?;
        let peers = link.as_ref().map(|link| Peers::new(&link.identity)).transpose()?;
        let cluster = Cluster::new(Arc::clone(&leases), peers);
        let nodes = Arc::new(Nodes { tasks, leases, cluster, clock });
        Ok(Self { envs, identity, documents, nodes, link })
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
            route::bind(&self.nodes, nodes::control::CONTROL),
        ]
        .concat();
        debug_assert!(
            are_listed(&routes, control_specs()),
            "a route is served and not in control_specs"
        );
        routes
    }

    /// Begins this node's session, which `session` ends, and the work outside requests, which `tasks` ends before.
    pub(crate) async fn start(
        &self,
        config: &Config,
        session: Shutdown,
        tasks: &Shutdown,
    ) -> Result<()> {
        let Nodes { leases, cluster, .. } = &*self.nodes;
        let is_shared = config.shared_database().is_some();
        let address = match &self.link {
            Some(link) => {
                let answer = Arc::clone(cluster) as _;
                config.cluster.open(is_shared, link, answer, session.clone()).await?
            }
            None => String::new(),
        };
        self.nodes.start(tasks.clone());
        leases.start(address, session).await?;
        self.nodes.tasks.start(tasks);
        Ok(())
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

/// Work outside requests: what other replicas changed, and what has run out.
fn tasks(envs: &Arc<EnvStore>, identity: &Arc<Identity>, documents: &Arc<Documents>) -> Vec<Task> {
    let envs = Arc::clone(envs);
    let (keys, expired) = (Arc::clone(identity), Arc::clone(identity));
    let documents = Arc::clone(documents);
    vec![
        Task::every("envs.refresh", identity::REFRESH_PERIOD, move |_| {
            let envs = Arc::clone(&envs);
            async move { envs.refresh().await }
        }),
        Task::every("identity.refresh", identity::REFRESH_PERIOD, move |_| {
            let identity = Arc::clone(&keys);
            async move { identity.refresh().await }
        }),
        Task::every("documents.indexes", documents::WORK_PERIOD, move |_| {
            let documents = Arc::clone(&documents);
            async move { documents.work_on_indexes().await }
        }),
        Task::every("identity.tidy", identity::TIDY_PERIOD, move |_| {
            let identity = Arc::clone(&expired);
            async move { identity.tidy().await }
        })
        .on_one_node(),
    ]
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
    let nodes = nodes::control::CONTROL.iter().map(|endpoint| &endpoint.spec);
    envs.chain(identity).chain(documents).chain(nodes)
}

async fn open_sql(
    config: &Config,
    root: PathBuf,
    clock: &Clock,
    events: &Events,
) -> Result<SharedSql> {
    let migrations = Migrations::new(vec![
        ("envs", envs::MIGRATIONS),
        ("identity", identity::MIGRATIONS),
        ("documents", documents::MIGRATIONS),
        ("nodes", lease::MIGRATIONS),
    ])?;
    let (config, seed) = (config.engine.sql.clone(), u64::from_le_bytes(random()?));
    let opened = sql::open(Opening { config, root, migrations, clock: clock.clone() }).await?;
    Ok(sql::wrap(opened, events.clone(), Faults::none(clock.clone(), seed)))
}
