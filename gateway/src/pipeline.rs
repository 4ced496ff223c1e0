//! The gateway: its stages in the order of execution, and what they share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::request;
use yunzhan_base::config::{Follow, Prepared};
use yunzhan_base::env::Envs;
use yunzhan_base::event::Events;
use yunzhan_base::ids::RequestIds;
use yunzhan_base::principal::Authenticate;
use yunzhan_base::route::{PublishRoutes, RouteScope};
use yunzhan_base::{Body, Live, Result, Route, WafMode};
use yunzhan_net::http::Client;

use crate::body::Budget;
use crate::bounds::Bounds;
use crate::client_address::{self, TrustedProxies};
use crate::config::Config;
use crate::connection_counts::ConnectionCounts;
use crate::exchange::{ConnectionFacts, Exchange};
use crate::flight::{Course, Departure, Flight};
use crate::head_scan::Lengths;
use crate::respond;
use crate::routes::{Routes, Shared};
use crate::sockets::Sockets;
use crate::stage::Stage;
use crate::stages::waf::{Waf, WafStage};
use crate::stages::{auth, cors, framing, route};
use crate::table::{Destination, Table};
use crate::upstream::files::Files;

/// What a gateway is made of.
pub struct Dependencies {
    /// Bounds, remote routes, time-outs.
    pub config: Config,
    /// The services' routes.
    pub routes: Vec<Route>,
    /// What is served where no route matches: a page.
    pub files: Option<Files>,
    /// Authenticates requests.
    pub authenticate: Arc<dyn Authenticate>,
    /// The environments, for hosts and ids.
    pub envs: Live<Envs>,
    /// The client of remote upstreams.
    pub client: Client,
    /// The rules that requests pass.
    pub waf: Waf,
    /// The observers of what happens.
    pub events: Events,
    /// The open sockets; they observe the events by which some of them end.
    pub sockets: Sockets,
    /// 16 random bytes from which request ids are made.
    pub seed: [u8; 16],
}

/// Everything alive between a listener and whoever answers.
pub struct Gateway {
    course: Arc<Course>,
    table: Live<Table>,
    /// What the table is built of. Whoever changes the table holds it.
    routes: Mutex<Routes>,
    ids: RequestIds,
    pub(crate) events: Events,
    pub(crate) bounds: Live<Bounds>,
    /// Who may say who the client is.
    pub(crate) trusted_proxies: Live<TrustedProxies>,
    /// Connections by the client's address, over all listeners.
    pub(crate) connection_counts: ConnectionCounts,
}

impl Gateway {
    /// Builds the table and the stages. Refuses two routes that claim one method and path.
    pub fn new(given: Dependencies) -> Result<Arc<Self>> {
        let files = given.files.map(Arc::new);
        let bounds = Live::new(given.config.bounds());
        let budget = Budget::new(given.config.held_bytes_max);
        let trusted_proxies = Live::new(given.config.trusted_proxies);
        let shared = Shared {
            client: given.client,
            budget: budget.clone(),
            bounds: bounds.clone(),
            trusted_proxies: trusted_proxies.clone(),
        };
        let routes = Routes::new(given.routes, given.config.routes, files, shared);
        let table = Live::new(Table::build(&routes, &routes.remote)?);
        // In the order of execution. Room is kept, in this order, for: guard, limit (before auth), quota,
        // experiment, cache, shape, fault. Whoever answers is no stage: it always answers.
        let stages: Vec<Box<dyn Stage>> = vec![
            // Framing that two readers could read differently ends here, before anyone interprets a path.
            Box::new(framing::Framing),
            // Before the route, so that refusals of every later stage can be read by the page that asked.
            Box::new(cors::CorsStage::new(table.clone(), given.envs.clone())),
            // A table look-up; from here on every refusal speaks the route's dialect.
            Box::new(route::RouteStage::new(table.clone(), given.envs.clone())),
            // Unauthenticated callers leave before their bodies are read.
            Box::new(auth::AuthStage::new(given.authenticate, given.envs, budget.clone())),
            // Before business code parses anything, and once it is known who asks and which route's rules hold.
            Box::new(WafStage::new(given.waf, budget, given.events.clone())),
        ];
        Ok(Arc::new(Self {
            course: Arc::new(Course {
                stages,
                events: given.events.clone(),
                sockets: given.sockets,
                bounds: bounds.clone(),
                trusted_proxies: trusted_proxies.clone(),
            }),
            table,
            routes: Mutex::new(routes),
            ids: RequestIds::new(given.seed),
            events: given.events,
            bounds,
            trusted_proxies,
            connection_counts: ConnectionCounts::new(given.config.connections_per_address_max),
        }))
    }

    fn lock_routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of the route that would answer, and what rules against attacks may do there, where that differs from
    /// everywhere; `none` where no route does.
    pub fn route_of(&self, method: &http::Method, path: &str) -> (&'static str, Option<WafMode>) {
        let found = self.table.peek().find(Destination::default(), method, path);
        found.map_or(("none", None), |matched| (matched.rule.name, matched.rule.policy.waf))
    }

    /// Answers one request. The exchange exists before the future is first polled, so that a client who leaves at once is
    /// finished like any other.
    pub(crate) fn serve(
        &self,
        head: request::Parts,
        body: Body,
        lengths: Option<Lengths>,
        connection: Arc<ConnectionFacts>,
    ) -> impl Future<Output = Departure> + use<> {
        let id = self.ids.next();
        let mut exchange = Exchange::new(id, head, body, connection, respond::plain);
        exchange.lengths = lengths;
        let trusted = self.trusted_proxies.peek();
        if !trusted.is_empty() {
            let (peer, headers) = (exchange.connection.remote, &exchange.head.headers);
            let client = client_address::client(peer, headers, &trusted);
            exchange.client = client.address;
            exchange.is_https = client.is_https.unwrap_or(exchange.is_https);
        }
        Flight::new(Arc::clone(&self.course), exchange).run()
    }
}

/// What [`Gateway`] takes over while it serves; open connections keep the bounds they began with.
pub const FOLLOWED_KEYS: &[&str] = &[
    "gateway.head_timeout",
    "gateway.idle_timeout",
    "gateway.body_timeout",
    "gateway.body_rate_min",
    "gateway.event_stream_timeout",
    "gateway.socket_idle_timeout",
    "gateway.sockets_max",
    "gateway.sockets_per_env_max",
    "gateway.sockets_per_address_max",
    "gateway.head_bytes_max",
    "gateway.headers_max",
    "gateway.trusted_proxies",
    "gateway.connections_per_address_max",
    "gateway.route[].path",
    "gateway.route[].upstream",
    "gateway.route[].access",
    "gateway.route[].body_bytes_max",
    "gateway.route[].timeout",
    "gateway.route[].name",
    "gateway.route[].host",
    "gateway.route[].env",
    "gateway.route[].waf",
];

impl Follow<Config> for Gateway {
    fn keys(&self) -> &'static [&'static str] {
        FOLLOWED_KEYS
    }

    fn prepare<'f>(&'f self, config: &Config) -> Result<Prepared<'f>> {
        let routes = self.lock_routes();
        let table = Table::build(&routes, &config.routes)?;
        let remote = config.routes.clone();
        // How many connections there may be is decided when a listener opens.
        let connections_max = self.bounds.peek().connections_max;
        let bounds = Bounds { connections_max, ..config.bounds() };
        let trusted_proxies = config.trusted_proxies.clone();
        let per_address_max = config.connections_per_address_max;
        // Held until the commit: what is published meanwhile waits.
        let mut routes = routes;
        Ok(Prepared::new(move || {
            routes.remote = remote;
            self.table.store(table);
            self.bounds.store(bounds);
            self.trusted_proxies.store(trusted_proxies);
            self.connection_counts.set_max(per_address_max);
        }))
    }
}

impl PublishRoutes for Gateway {
    fn publish(&self, owner: &'static str, scope: &RouteScope, routes: Vec<Route>) -> Result<()> {
        let mut known = self.lock_routes();
        let before = known.replace(owner, scope, routes)?;
        match self.table.peek().rebuilt(&known, scope) {
            Ok(table) => self.table.store(table),
            Err(error) => {
                known.put(owner, scope, before);
                return Err(error);
            }
        }
        Ok(())
    }
}
