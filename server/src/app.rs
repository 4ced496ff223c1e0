//! Everything alive, and who knows whom: the one place where the rooms of Yunzhan meet.
//!
//! `Config -> App -> serve`: [`App::open`] opens things in the order in which they need one another, [`App::serve`] opens
//! the doors and waits for the end.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use yunzhan_base::config::{Lang, part};
use yunzhan_base::event::{Events, Level};
use yunzhan_base::fault::Faults;
use yunzhan_base::gauge::Gauge;
use yunzhan_base::{Clock, DataDir, Error, Kind, Result, Route, route};
use yunzhan_gateway::{Dependencies, Files, Gateway, HeldBodies, Sockets, Waf};
use yunzhan_net::http::Client;
use yunzhan_net::shutdown::Trigger;
use yunzhan_ops::{FileLedger, Ops};

use crate::config::{Config, Loaded, Source};
use crate::control::{self, Control, ControlAuth, Phase};
use crate::control_client;
use crate::data::{self, OpenData};
use crate::demo;
use crate::listeners::{self, Certificates};
use crate::preflight;
use crate::reload::{self, Reloader};
use crate::rooms::{self, Rooms};
use crate::serve;
use crate::signals::Signals;
use crate::waf::RuleSetManager;

/// What a server is started with.
pub(crate) struct Start {
    /// The data folder.
    pub(crate) dir: DataDir,
    /// Where the configuration came from, and comes from again.
    pub(crate) source: Source,
    /// What was read.
    pub(crate) loaded: Loaded,
    /// The rules against attacks that it names, compiled.
    pub(crate) rule_sets: RuleSetManager,
    /// The language of people here.
    pub(crate) lang: Lang,
    /// Whether programs read what is printed.
    pub(crate) json: bool,
    /// When the process began.
    pub(crate) started: Instant,
    /// Whether this start may make the demo: one that serves may, one for a single command may not.
    pub(crate) demo: bool,
}

/// Everything alive.
pub(crate) struct App {
    pub(crate) data: OpenData,
    pub(crate) config: Config,
    pub(crate) lang: Lang,
    pub(crate) json: bool,
    pub(crate) started: Instant,
    pub(crate) events: Events,
    pub(crate) ops: Arc<Ops>,
    pub(crate) phase: Arc<Phase>,
    pub(crate) reloader: Arc<Reloader>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) rooms: Rooms,
    control: Vec<Route>,
    client: Client,
}

/// How long a file that an operator sends may pause. Whoever reaches the control listener and is no operator is refused before
/// a body is read.
const OPERATORS_BODY_TIMEOUT: Duration = Duration::from_secs(60 * 60);

impl App {
    /// Opens everything but the doors.
    pub(crate) async fn open(start: Start) -> Result<Self> {
        let Start { dir, source, loaded, rule_sets, lang, json, started, demo } = start;
        let Loaded { config, settings } = loaded;
        let clock = Clock::System;
        let data = data::open(dir, config.master_key.as_ref(), clock.now_ms())?;
        let faults = Faults::none(clock.clone(), u64::from_le_bytes(random()?));
        let seen = Seen::default();
        let ops = open_ops(&data, &config, json, &clock, &faults, &seen)?;
        let events = ops.events();
        for warning in &data.warnings {
            events.notice(Level::Warn, warning.name, &warning.text);
        }
        let client = Client::with_faults(yunzhan_net::http::Config::default(), faults.clone());
        let rooms = open_rooms(&config, &data, clock, &client, &events, faults).await?;
        ops.show(seen.gauges());
        ops.show(rooms.gauges());
        data.keep_key_check()?;
        if demo && config.demo {
            rooms.make_demo().await?;
        }
        let rule_sets = Arc::new(rule_sets);
        let gateway = open_gateway(&config, &rooms, &client, &events, rule_sets.waf(), seen)?;
        rooms.introduce(&(Arc::clone(&gateway) as _));
        let certificates = Arc::new(Certificates::open(&data.dir, &config)?);
        let phase = Arc::new(Phase::default());
        let reloader = Arc::new(Reloader::new(reload::Parts {
            source,
            lang,
            settings,
            events: events.clone(),
            followers: vec![
                part(|config: &Config| &config.waf, Arc::clone(&rule_sets)),
                part(|config: &Config| config, Arc::clone(&certificates)),
                // Last: what is published waits for it, and must not wait while rules are compiled.
                part(|config: &Config| &config.gateway, Arc::clone(&gateway)),
            ],
            warnings: certificate_warnings(&certificates, &rooms),
        }));
        let own = Arc::new(Control {
            reloader: Arc::clone(&reloader),
            phase: Arc::clone(&phase),
            services: rooms.opened(),
            health: Arc::clone(&rooms.health),
            data: data.dir.root().to_owned(),
            started,
            gateway: Arc::clone(&gateway),
            rule_sets,
        });
        Ok(Self {
            certificates,
            control: [
                route::bind(&own, control::CONTROL),
                route::bind(&ops, yunzhan_ops::control::CONTROL),
                rooms.control(),
            ]
            .concat(),
            rooms,
            data,
            config,
            lang,
            json,
            started,
            events,
            ops,
            phase,
            reloader,
            gateway,
            client,
        })
    }

    /// Opens the doors, serves until told to stop, and drains. Says whether everything ended in order.
    pub(crate) async fn serve(self, signals: Signals) -> Result<bool> {
        serve::run(self, signals).await
    }

    /// A gateway of the control routes, for callers whom `authenticate` names.
    pub(crate) fn control_gateway(&self, authenticate: ControlAuth) -> Result<Arc<Gateway>> {
        Gateway::new(Dependencies {
            config: yunzhan_gateway::Config {
                // What an operator sends may come from another program that thinks meanwhile.
                body_timeout: OPERATORS_BODY_TIMEOUT,
                body_rate_min_bytes: 0,
                ..yunzhan_gateway::Config::default()
            },
            routes: self.control.clone(),
            files: None,
            authenticate: Arc::new(authenticate),
            envs: self.rooms.envs.envs(),
            client: self.client.clone(),
            // Operators are not guarded against: what they write is meant.
            waf: Waf::off(),
            events: self.events.clone(),
            sockets: Sockets::default(),
            held_bodies: HeldBodies::default(),
            seed: random()?,
        })
    }

    /// Does work over a connection to this app's control socket without serving anybody else: the same socket, stages and
    /// handlers as when a server runs.
    pub(crate) async fn with_control<A>(
        &self,
        work: impl AsyncFnOnce(control_client::Connection) -> Result<A>,
    ) -> Result<A> {
        let gateway = self.control_gateway(ControlAuth::Socket)?;
        let listener = listeners::open_control_socket(&self.data.dir)?;
        let trigger = Trigger::default();
        let serving = tokio::spawn(gateway.serve_unix(listener, trigger.watcher()));
        let answer = match control_client::connect(&self.data.dir).await {
            Some(connection) => work(connection).await,
            None => {
                Err(Error::new(Kind::Unavailable, "the control socket closed at once; try again"))
            }
        };
        trigger.drain(self.config.drain_timeout).await;
        self.rooms.acts.drain(self.config.drain_timeout).await;
        serving.abort();
        // A command that claimed a lease gives it back.
        self.rooms.nodes.leases.end().await;
        listeners::close_control(&self.data.dir);
        answer
    }
}

/// What clients will not like about the certificates, for the hosts that environments answer for.
fn certificate_warnings(
    certificates: &Arc<Certificates>,
    rooms: &Rooms,
) -> Box<dyn Fn() -> Vec<String> + Send + Sync> {
    let (certificates, envs) = (Arc::clone(certificates), rooms.envs.envs());
    Box::new(move || {
        let envs = envs.peek();
        let hosts = envs.iter().flat_map(|env| env.hosts.iter().map(String::as_str));
        let now_s = u64::try_from(Clock::System.now_s()).unwrap_or(0);
        certificates.warnings(hosts, now_s)
    })
}

async fn open_rooms(
    config: &Config,
    data: &OpenData,
    clock: Clock,
    client: &Client,
    events: &Events,
    faults: Faults,
) -> Result<Rooms> {
    let ledger = FileLedger::open(&data.dir, events.clone())?;
    Rooms::open(rooms::Parts {
        config,
        root: data.dir.root().to_owned(),
        master_key: data.master_key,
        clock,
        client: client.clone(),
        ledger: Arc::new(ledger),
        events: events.clone(),
        faults,
    })
    .await
}

/// The clients' gateway: identity names its callers, the services answer them.
fn open_gateway(
    config: &Config,
    rooms: &Rooms,
    client: &Client,
    events: &Events,
    waf: &Waf,
    seen: Seen,
) -> Result<Arc<Gateway>> {
    Gateway::new(Dependencies {
        config: config.gateway.clone(),
        routes: rooms.routes(),
        files: open_site(config, rooms)?,
        authenticate: Arc::clone(&rooms.identity) as _,
        envs: rooms.envs.envs(),
        client: client.clone(),
        waf: waf.clone(),
        events: events.clone(),
        sockets: seen.sockets,
        held_bodies: seen.held_bodies,
        seed: random()?,
    })
}

/// Everyone who hears of events.
fn open_ops(
    data: &OpenData,
    config: &Config,
    json: bool,
    clock: &Clock,
    faults: &Faults,
    seen: &Seen,
) -> Result<Arc<Ops>> {
    Ops::open(yunzhan_ops::Parts {
        config: config.ops,
        access_log: data.dir.access_log(),
        json,
        clock: clock.clone(),
        faults: faults.clone(),
        routes: rooms::public_specs().chain(rooms::published_specs()),
        others: vec![Arc::new(seen.sockets.clone())],
    })
}

/// What the clients' gateway counts and operators see.
#[derive(Default)]
struct Seen {
    sockets: Sockets,
    held_bodies: HeldBodies,
}

impl Seen {
    fn gauges(&self) -> Vec<Gauge> {
        let (sockets, held, peak) =
            (self.sockets.clone(), self.held_bodies.clone(), self.held_bodies.clone());
        vec![
            Gauge {
                name: "sockets_open",
                help: "WebSockets, tunnels to upstreams and streams of events that are open",
                read: Arc::new(move || sockets.count() as f64),
            },
            Gauge {
                name: "held_body_bytes",
                help: "Memory that held request bodies take of gateway.held_bytes_max; those up to 16 KiB do not count",
                read: Arc::new(move || held.bytes() as f64),
            },
            Gauge {
                name: "held_body_peak_bytes",
                help: "The most that held request bodies took at once since the start",
                read: Arc::new(move || peak.peak_bytes() as f64),
            },
        ]
    }
}

/// The configured pages, or the demo's shop where there is a demo.
fn open_site(config: &Config, rooms: &Rooms) -> Result<Option<Files>> {
    if let Some(folder) = &config.site {
        return preflight::open_site(folder).map(Some);
    }
    Ok(has_demo(rooms).then(demo::page))
}

/// Whether the shop's page would find its environment, and could log in to it.
pub(crate) fn has_demo(rooms: &Rooms) -> bool {
    let envs = rooms.envs.envs();
    envs.peek().iter().any(|env| env.id.as_str() == demo::ENV && env.development_login)
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::internal(format!("no randomness: {error}")))?;
    Ok(bytes)
}
