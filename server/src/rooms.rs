//! The services of this server: one list, from which everything else follows.

use std::path::PathBuf;
use std::sync::Arc;

use yunzhan_base::audit::Ledger;
use yunzhan_base::event::{Events, Level};
use yunzhan_base::fault::Faults;
use yunzhan_base::gauge::Gauge;
use yunzhan_base::route::PublishRoutes;
use yunzhan_base::{Clock, EnvId, Result, Route, RouteSpec, route};
use yunzhan_engine::lease::{self, Leases};
use yunzhan_engine::seal::MasterKey;
use yunzhan_engine::sql::migrate::Migrations;
use yunzhan_engine::sql::{self, Health, Wrapped};
use yunzhan_net::http::Client;
use yunzhan_net::peer::Peers;
use yunzhan_net::shutdown::Shutdown;
use yunzhan_net::task::{self, Tasks};
use yunzhan_services::acts::Acts;
use yunzhan_services::dialect;
use yunzhan_services::documents::Documents;
use yunzhan_services::envs::{self, EnvStore, NewEnv};
use yunzhan_services::identity::{self, Identity};
use yunzhan_services::nodes::cluster::Cluster;
use yunzhan_services::nodes::forward::{self, FORWARD};
use yunzhan_services::nodes::{self, Link, Nodes};
use yunzhan_services::published::{Introduction, Refused};
use yunzhan_services::service::{self, AnyService, Lifecycle, OpenService, Opening};

use crate::config::Config;
use crate::demo;

/// Every service, each after those that it needs. They are opened in this order and closed in the reverse one.
pub(crate) static SERVICES: &[&dyn AnyService] = &[
    &envs::SERVICE,
    &identity::SERVICE,
    &dialect::documents::SERVICE,
    #[cfg(test)]
    &crate::service_tests::SERVICE,
    // Last, as it answers with the actions that those above bring.
    &dialect::action::SERVICE,
];

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
    pub(crate) faults: Faults,
}

/// Every service, alive.
pub(crate) struct Rooms {
    /// What the clients' gateway and the server's own routes ask.
    pub(crate) envs: Arc<EnvStore>,
    /// Names the gateway's callers.
    pub(crate) identity: Arc<Identity>,
    /// What is under way and must end.
    pub(crate) acts: Acts,
    /// Whether the database takes writes.
    pub(crate) health: Arc<Health>,
    /// This node among others, and its tasks.
    pub(crate) nodes: Arc<Nodes>,
    /// Takes what they publish to the gateway.
    introduction: Introduction,
    /// In the order of the list.
    opened: Arc<[OpenService]>,
    events: Events,
    /// What this node shows to others.
    link: Option<Link>,
}

impl Rooms {
    /// Opens the engine, then the services.
    pub(crate) async fn open(parts: Parts<'_>) -> Result<Self> {
        let Parts { config, root, master_key, clock, client, ledger, events, faults } = parts;
        let Wrapped { sql, health } = open_sql(config, root, &clock, &events, faults).await?;
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
        let peers = link.as_ref().map(|link| Peers::new(&link.identity)).transpose()?;
        let cluster = Cluster::new(Arc::clone(&leases), peers);
        let acts = Acts::new(ledger, clock.clone(), events.clone());
        let introduction = Introduction::default();
        let opening = Opening {
            services: SERVICES,
            sql,
            master_key: MasterKey::from_bytes(master_key),
            leases: Arc::clone(&leases),
            cluster: Arc::clone(&cluster),
            clock: clock.clone(),
            http: client,
            events: events.clone(),
            acts: acts.clone(),
            lifecycle: Lifecycle::default(),
            introduction: introduction.clone(),
            sections: config.services.clone(),
            opened: Vec::new(),
        };
        let opened: Arc<[OpenService]> = opening.open_all().await?.into();
        let (envs, identity) = (service::find::<EnvStore>(&opened)?, service::find(&opened)?);
        let routes = opened.iter().flat_map(|service| service.routes.clone());
        cluster.register(FORWARD, forward::handler(&cluster, routes, envs.envs()));
        let claims = Some(Arc::clone(&leases) as _);
        let parts = task::Parts { clock: clock.clone(), events: events.clone(), claims };
        let tasks = opened.iter().flat_map(|service| service.tasks.iter().cloned());
        let own = nodes::tasks(&leases, link.as_ref(), &clock);
        let tasks = Tasks::new(&parts, tasks.chain(own).collect())?;
        let nodes = Arc::new(Nodes { tasks, leases, cluster, clock });
        Ok(Self { envs, identity, acts, health, nodes, introduction, opened, events, link })
    }

    /// What clients may call.
    pub(crate) fn routes(&self) -> Vec<Route> {
        self.opened.iter().flat_map(|service| service.routes.clone()).collect()
    }

    /// How much the services and the database have of what operators watch.
    pub(crate) fn gauges(&self) -> Vec<Gauge> {
        let services = self.opened.iter().flat_map(|service| service.gauges.iter().cloned());
        services.chain(self.health.gauges()).collect()
    }

    /// Introduces the services to the clients' gateway, so that what they publish stands there. What cannot is told.
    pub(crate) fn introduce(&self, gateway: &Arc<dyn PublishRoutes>) {
        for refused in self.introduction.begin(gateway) {
            let Refused { owner, scope, error } = refused;
            let text = format!("routes of {owner}, {scope:?}: {}", error.operator_text());
            self.events.notice(Level::Error, "routes_not_published", &text);
        }
    }

    /// What operators may call.
    pub(crate) fn control(&self) -> Vec<Route> {
        let services = self.opened.iter().flat_map(|service| service.control.clone());
        services.chain(route::bind(&self.nodes, nodes::control::CONTROL)).collect()
    }

    /// The services, for whoever asks each of them something.
    pub(crate) fn opened(&self) -> Arc<[OpenService]> {
        Arc::clone(&self.opened)
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

    /// Ends the services, the last one of the list first. What one could not finish is told.
    pub(crate) async fn close(&self) {
        for service in self.opened.iter().rev() {
            if let Err(error) = service.close().await {
                let text = format!("{} did not end in order: {}", service.name, error.log_text());
                self.events.notice(Level::Error, "service_close_failed", &text);
            }
        }
    }

    /// Makes the demo's environment with its shop, unless there is an environment already.
    pub(crate) async fn make_demo(&self) -> Result<()> {
        if self.envs.envs().peek().iter().next().is_some() {
            return Ok(());
        }
        let id: EnvId = demo::ENV.parse()?;
        let documents: Arc<Documents> = service::find(&self.opened)?;
        // The goods first: when a start is cut short, the next one finds no environment and begins again.
        documents.seed(&id, demo::SEED).await?;
        let demo = NewEnv {
            id,
            appid: None,
            app_secret: None,
            hosts: Vec::new(),
            origins: Vec::new(),
            development_login: true,
        };
        self.envs.add(demo).await.map(drop)
    }
}

/// Every public route, known before any service is open.
pub(crate) fn public_specs() -> impl Iterator<Item = &'static RouteSpec> {
    SERVICES.iter().flat_map(|service| service.routes())
}

/// What services publish while they serve.
pub(crate) fn published_specs() -> impl Iterator<Item = &'static RouteSpec> {
    SERVICES.iter().flat_map(|service| service.published().iter().copied())
}

/// Every control route of the services.
pub(crate) fn control_specs() -> impl Iterator<Item = &'static RouteSpec> {
    let nodes = nodes::control::CONTROL.iter().map(|endpoint| &endpoint.spec);
    SERVICES.iter().flat_map(|service| service.control()).chain(nodes)
}

/// What the SQL engine is opened with.
pub(crate) fn opening(config: &Config, root: PathBuf, clock: Clock) -> Result<sql::Opening> {
    let migrations = SERVICES.iter().map(|service| (service.name(), service.migrations()));
    let nodes = ("nodes", lease::MIGRATIONS);
    let migrations = Migrations::new(migrations.chain([nodes]).collect())?;
    let (config, events) = (config.engine.sql.clone(), Events::default());
    Ok(sql::Opening { config, root, migrations, clock, events })
}

async fn open_sql(
    config: &Config,
    root: PathBuf,
    clock: &Clock,
    events: &Events,
    faults: Faults,
) -> Result<Wrapped> {
    let opening = sql::Opening { events: events.clone(), ..opening(config, root, clock.clone())? };
    let opened = sql::open(opening).await?;
    Ok(sql::wrap(opened, &config.engine.sql, events.clone(), faults, clock.clone()))
}
