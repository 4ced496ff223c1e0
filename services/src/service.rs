//! What a service is: one value with everything that others must know of it.
//!
//! A service is a `static` of [`Service`], begun with [`Service::new`] and filled where it has something to say. The server
//! has one list of them and derives the rest from it: the routing table, the metrics' labels, the database's formats, the
//! configuration's sections, background tasks, readiness, the order of ending, the actions of the dialects and the names that
//! a signature may cover. Nothing of a service is listed a second time.
//!
//! ```text
//! pub static SERVICE: Service<EnvStore> = Service {
//!     control: control::CONTROL,
//!     migrations: MIGRATIONS,
//!     tables: TABLES,
//!     ..Service::new("envs", open)
//! };
//! ```

use std::any::{Any, type_name};
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use yunzhan_base::config::Reader;
use yunzhan_base::event::Events;
use yunzhan_base::{
    Clock, Endpoint, EnvId, Error, ErrorCode, Result, Route, RouteSpec, gauge, route,
};
use yunzhan_engine::lease::Leases;
use yunzhan_engine::seal::MasterKey;
use yunzhan_engine::sql::SharedSql;
use yunzhan_engine::sql::migrate::{Migration, Scope};
use yunzhan_net::http::Client;
use yunzhan_net::task::{self, On, Run};

use crate::acts::Acts;
use crate::dialect::action::{Action, ActionSpec, OpenAction};
use crate::nodes::cluster::Cluster;
use crate::published::{Introduction, PublishedRoutes};
use crate::verbs::Family;

/// Work of a service that ends with nothing but success or an error.
pub type Work = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Work of a service that is open.
type Bound = Arc<dyn Fn() -> Work + Send + Sync>;

/// What a service that is open does when an environment comes or goes.
type Hears = Arc<dyn Fn(EnvChange) -> Work + Send + Sync>;

/// A service that is being opened.
pub type Opened<'a, S> = Pin<Box<dyn Future<Output = Result<Arc<S>>> + Send + 'a>>;

/// One service, `S` being its live form.
pub struct Service<S: 'static> {
    /// Its name: of its migrations, and the beginning of its routes', tasks' and metrics' names.
    pub name: &'static str,
    /// Opens it. Services are opened in the order of the list, so that one finds those before it with [`Opening::service`].
    pub open: for<'a> fn(&'a Opening) -> Opened<'a, S>,
    /// What clients may call.
    pub routes: &'static [&'static [Endpoint<S>]],
    /// What it publishes while it serves, below prefixes that it chooses then ([`Opening::published_routes`]).
    pub published: &'static [&'static RouteSpec],
    /// What operators may call.
    pub control: &'static [Endpoint<S>],
    /// What it answers in the dialects that name the action in the body.
    pub actions: &'static [Action<S>],
    /// The steps of its tables.
    pub migrations: &'static [Migration],
    /// Its tables: what is exported, moved, erased and compared, and by which key.
    pub tables: &'static [Table],
    /// Its work outside requests.
    pub tasks: &'static [Task<S>],
    /// How much it has of what operators watch.
    pub gauges: &'static [Gauge<S>],
    /// Hears that an environment was made or deleted.
    pub env_changed: Option<fn(Arc<S>, EnvChange) -> Work>,
    /// Whether it can serve: part of `/readyz`.
    pub ready: Option<fn(Arc<S>) -> Work>,
    /// Ends it, after the last request and before the services that stand earlier in the list.
    pub close: Option<fn(Arc<S>) -> Work>,
    /// Its section of the configuration.
    pub section: Option<Section>,
    /// Its verbs on the command line.
    pub verbs: &'static [Family],
    /// Codes that clients know of its errors beside those of the kinds ([`Error::coded`]).
    pub codes: &'static [&'static ErrorCode],
}

/// A table, as whoever copies, moves, compares or erases data must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Logical name, as in `{name}` of a statement.
    pub name: &'static str,
    /// In which databases it lies.
    pub scope: Scope,
    /// The columns of its primary key, in order.
    pub key: &'static [&'static str],
    /// Whose its rows are.
    pub owner: Owner,
    /// What becomes of it when data is copied elsewhere.
    pub copied: Copied,
}

/// Whose the rows of a table are: what is erased with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The server's own.
    Server,
    /// The environment's that the column `env` names.
    Env,
    /// A person's in that environment: the column holds the person's id.
    Person(&'static str),
}

/// What becomes of a table's rows when an environment is exported or moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// They go along: nobody could make them again.
    Along,
    /// They are made again from others.
    Rebuilt,
    /// They stay: secrets and sessions of this server, worth nothing elsewhere.
    Never,
}

/// Work that is done again and again.
pub struct Task<S: 'static> {
    /// Name in notices, metrics and control.
    pub name: &'static str,
    /// From the beginning of one run to the beginning of the next.
    pub period: Duration,
    /// Which nodes do it. What a task of one node tends lies in the database: another node's memory it does not reach.
    pub on: On,
    /// One run. That of a task of one node has a fence, which its writes show ([`yunzhan_engine::lease`]).
    pub work: fn(Arc<S>, Run) -> Work,
}

/// A number in the metrics, such as how many transactions are open.
pub struct Gauge<S> {
    /// Begins with the service's name; its unit stands last where it has one. Never renamed.
    pub name: &'static str,
    /// One sentence for people, without a stop.
    pub help: &'static str,
    /// The present value, which the service has at hand.
    pub read: fn(&S) -> f64,
}

/// What happened to an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvChange {
    /// It was made.
    Created(EnvId),
    /// It was deleted, with everything that it held.
    Deleted(EnvId),
}

/// A section of the configuration.
#[derive(Clone, Copy)]
pub struct Section {
    /// Its name in brackets.
    pub name: &'static str,
    /// Reads its keys into the service's own type.
    pub read: fn(&mut Reader<'_>) -> Arc<dyn Any + Send + Sync>,
}

/// What services are opened with.
pub struct Opening {
    /// Every service of this server, open or not yet.
    pub services: &'static [&'static dyn AnyService],
    /// The database.
    pub sql: SharedSql,
    /// Seals what is stored and must stay secret.
    pub master_key: MasterKey,
    /// The leases of this node: what only their holder may write is fenced by them.
    pub leases: Arc<Leases>,
    /// The other nodes on the same database.
    pub cluster: Arc<Cluster>,
    /// Tells the time.
    pub clock: Clock,
    /// Calls other servers.
    pub http: Client,
    /// Hears what an operator should know.
    pub events: Events,
    /// Does what must end and stay on record.
    pub acts: Acts,
    /// Tells the services of environments that come and go.
    pub lifecycle: Lifecycle,
    /// Takes the routes that services publish to the gateway.
    pub introduction: Introduction,
    /// The sections of the configuration.
    pub sections: Sections,
    /// The services that are open already.
    pub opened: Vec<OpenService>,
}

/// The sections of the configuration that services brought, by type.
#[derive(Clone, Default)]
pub struct Sections(HashMap<&'static str, Arc<dyn Any + Send + Sync>>);

/// Tells every service of environments that come and go. Clones tell the same services.
#[derive(Clone, Default)]
pub struct Lifecycle(Arc<OnceLock<Vec<Hears>>>);

/// A service that is open, whatever its type.
pub struct OpenService {
    /// Its name.
    pub name: &'static str,
    /// What clients may call.
    pub routes: Vec<Route>,
    /// What operators may call.
    pub control: Vec<Route>,
    /// What it answers in the dialects that name the action in the body.
    pub(crate) actions: Vec<OpenAction>,
    /// Its work outside requests.
    pub tasks: Vec<task::Task>,
    /// How much it has of what operators watch.
    pub gauges: Vec<gauge::Gauge>,
    /// Hears of environments.
    env_changed: Option<Hears>,
    ready: Option<Bound>,
    close: Option<Bound>,
    service: Arc<dyn Any + Send + Sync>,
}

/// A service whatever its type: what the server's list holds.
pub trait AnyService: Sync {
    /// Its name.
    fn name(&self) -> &'static str;
    /// What clients may call.
    fn routes(&self) -> Vec<&'static RouteSpec>;
    /// What it publishes while it serves.
    fn published(&self) -> &'static [&'static RouteSpec];
    /// What operators may call.
    fn control(&self) -> Vec<&'static RouteSpec>;
    /// What it answers in the dialects that name the action in the body.
    fn actions(&self) -> Vec<&'static ActionSpec>;
    /// The steps of its tables.
    fn migrations(&self) -> &'static [Migration];
    /// Its tables.
    fn tables(&self) -> &'static [Table];
    /// Its section of the configuration.
    fn section(&self) -> Option<Section>;
    /// Its verbs on the command line.
    fn verbs(&self) -> &'static [Family];
    /// Codes of its errors beside those of the kinds.
    fn codes(&self) -> &'static [&'static ErrorCode];
    /// Opens it.
    fn open<'a>(
        &'a self,
        opening: &'a Opening,
    ) -> Pin<Box<dyn Future<Output = Result<OpenService>> + Send + 'a>>;
}

// === impl Service ===

impl<S> Service<S> {
    /// A service that has nothing yet but a name and a way to open it.
    pub const fn new(name: &'static str, open: for<'a> fn(&'a Opening) -> Opened<'a, S>) -> Self {
        Self {
            name,
            open,
            routes: &[],
            published: &[],
            control: &[],
            actions: &[],
            migrations: &[],
            tables: &[],
            tasks: &[],
            gauges: &[],
            env_changed: None,
            ready: None,
            close: None,
            section: None,
            verbs: &[],
            codes: &[],
        }
    }
}

impl<S: Send + Sync + 'static> AnyService for Service<S> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn routes(&self) -> Vec<&'static RouteSpec> {
        self.routes.iter().flat_map(|list| specs(list)).collect()
    }

    fn published(&self) -> &'static [&'static RouteSpec] {
        self.published
    }

    fn control(&self) -> Vec<&'static RouteSpec> {
        specs(self.control).collect()
    }

    fn actions(&self) -> Vec<&'static ActionSpec> {
        self.actions.iter().map(|action| &action.spec).collect()
    }

    fn migrations(&self) -> &'static [Migration] {
        self.migrations
    }

    fn tables(&self) -> &'static [Table] {
        self.tables
    }

    fn section(&self) -> Option<Section> {
        self.section
    }

    fn verbs(&self) -> &'static [Family] {
        self.verbs
    }

    fn codes(&self) -> &'static [&'static ErrorCode] {
        self.codes
    }

    fn open<'a>(
        &'a self,
        opening: &'a Opening,
    ) -> Pin<Box<dyn Future<Output = Result<OpenService>> + Send + 'a>> {
        Box::pin(async move {
            let service = (self.open)(opening).await?;
            Ok(self.bind(&service))
        })
    }
}

impl<S: Send + Sync + 'static> Service<S> {
    /// The declaration with the service that it is about.
    pub fn bind(&self, service: &Arc<S>) -> OpenService {
        let work = |work: fn(Arc<S>) -> Work| -> Bound {
            let service = Arc::clone(service);
            Arc::new(move || work(Arc::clone(&service)))
        };
        let task = |task: &Task<S>| {
            let (service, work) = (Arc::clone(service), task.work);
            let open = task::Task::every(task.name, task.period, move |run| {
                work(Arc::clone(&service), run)
            });
            match task.on {
                On::EveryNode => open,
                On::OneNode => open.on_one_node(),
            }
        };
        let gauge = |gauge: &Gauge<S>| {
            let (service, read) = (Arc::clone(service), gauge.read);
            let read = Arc::new(move || read(&service));
            gauge::Gauge { name: gauge.name, help: gauge.help, read }
        };
        let hears = |hear: fn(Arc<S>, EnvChange) -> Work| -> Hears {
            let service = Arc::clone(service);
            Arc::new(move |change| hear(Arc::clone(&service), change))
        };
        OpenService {
            name: self.name,
            routes: self.routes.iter().flat_map(|list| route::bind(service, list)).collect(),
            control: route::bind(service, self.control),
            actions: self.actions.iter().map(|action| action.bind(service)).collect(),
            tasks: self.tasks.iter().map(task).collect(),
            gauges: self.gauges.iter().map(gauge).collect(),
            env_changed: self.env_changed.map(hears),
            ready: self.ready.map(work),
            close: self.close.map(work),
            service: Arc::clone(service) as _,
        }
    }
}

fn specs<S>(endpoints: &'static [Endpoint<S>]) -> impl Iterator<Item = &'static RouteSpec> {
    endpoints.iter().map(|endpoint| &endpoint.spec)
}

// === impl Opening ===

impl Opening {
    /// Opens every service of the list, in its order.
    ///
    /// # Errors
    /// Those of the first service that does not open.
    pub async fn open_all(mut self) -> Result<Vec<OpenService>> {
        for service in self.services {
            let opened = service.open(&self).await?;
            self.opened.push(opened);
        }
        let heard = self.opened.iter().filter_map(|service| service.env_changed.clone());
        self.lifecycle.begin(heard.collect());
        Ok(self.opened)
    }

    /// A service that stands earlier in the list.
    ///
    /// # Errors
    /// `Internal` when there is none, as the list is ours.
    pub fn service<S: Send + Sync + 'static>(&self) -> Result<Arc<S>> {
        find(&self.opened)
    }

    /// By which a service publishes what it declares. Others it cannot speak for.
    pub fn published_routes<S>(&self, service: &Service<S>) -> PublishedRoutes {
        PublishedRoutes::new(service.name, service.published, &self.introduction)
    }

    /// A service's own section of the configuration; its defaults where none was read.
    pub fn section<C: Clone + Default + Send + Sync + 'static>(&self) -> C {
        self.sections.get()
    }
}

/// The service of this type among those that are open.
///
/// # Errors
/// `Internal` when there is none.
pub fn find<S: Send + Sync + 'static>(opened: &[OpenService]) -> Result<Arc<S>> {
    let mut found =
        opened.iter().filter_map(|service| Arc::clone(&service.service).downcast().ok());
    found.next().ok_or_else(|| {
        Error::internal(format!("no {} is open; it stands later in the list", type_name::<S>()))
    })
}

// === impl OpenService ===

impl OpenService {
    /// Whether it can serve.
    ///
    /// # Errors
    /// Why it cannot.
    pub async fn ready(&self) -> Result<()> {
        match &self.ready {
            Some(ready) => ready().await,
            None => Ok(()),
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// What it could not finish.
    pub async fn close(&self) -> Result<()> {
        match &self.close {
            Some(close) => close().await,
            None => Ok(()),
        }
    }
}

impl fmt::Debug for OpenService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenService({})", self.name)
    }
}

// === impl Sections ===

impl Sections {
    /// Reads the section of every service that has one.
    pub fn read(services: &[&dyn AnyService], root: &mut Reader<'_>) -> Self {
        let sections = services.iter().filter_map(|service| service.section());
        Self(
            sections
                .map(|section| (section.name, (section.read)(&mut root.table(section.name))))
                .collect(),
        )
    }

    /// The section of this type; its defaults where none was read.
    pub fn get<C: Clone + Default + Send + Sync + 'static>(&self) -> C {
        let found = self.0.values().find_map(|section| section.downcast_ref::<C>());
        found.cloned().unwrap_or_default()
    }
}

impl fmt::Debug for Sections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

// === impl Lifecycle ===

impl Lifecycle {
    fn begin(&self, heard: Vec<Hears>) {
        // Set once: every server opens its services once.
        let _ = self.0.set(heard);
    }

    /// Tells every service, one after the other.
    ///
    /// # Errors
    /// The first that a service has; those after it have not heard then.
    pub async fn tell(&self, change: &EnvChange) -> Result<()> {
        for hear in self.0.get().into_iter().flatten() {
            hear(change.clone()).await?;
        }
        Ok(())
    }
}
