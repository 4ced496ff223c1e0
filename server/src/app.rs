//! Everything alive, and who knows whom: the one place where the rooms of Yunzhan meet.
//!
//! `Config -> App -> serve`: [`App::open`] opens things in the order in which they need one another, [`App::serve`] opens
//! the doors and waits for the end.

use std::sync::Arc;
use std::time::Instant;

use serde::de::DeserializeOwned;
use serde_json::Value;
use yunzhan_base::config::Lang;
use yunzhan_base::event::{Events, Level, Observe};
use yunzhan_base::{Clock, DataDir, Error, Kind, Result, Route, route};
use yunzhan_gateway::tls::{Certificate, CertificateFiles};
use yunzhan_gateway::{Dependencies, Files, Gateway, Waf};
use yunzhan_net::http::Client;
use yunzhan_net::shutdown::Trigger;

use crate::config::{Config, Loaded, Source};
use crate::control::{self, Control, ControlAuth, Phase};
use crate::control_client;
use crate::data::{self, OpenData};
use crate::demo;
use crate::ledger::FileLedger;
use crate::listeners;
use crate::observe::access_log::AccessLog;
use crate::observe::attempts::Attempts;
use crate::observe::metrics::Metrics;
use crate::observe::notices::Notices;
use crate::reload::{self, Reloader};
use crate::rooms::{self, Rooms};
use crate::serve;
use crate::waf::RuleSetManager;

/// What a server is started with.
pub(crate) struct Start {
    /// The data folder.
    pub(crate) dir: DataDir,
    /// Where the configuration came from, and comes from again.
    pub(crate) source: Source,
    /// What was read.
    pub(crate) loaded: Loaded,
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
    pub(crate) access_log: Option<Arc<AccessLog>>,
    pub(crate) phase: Arc<Phase>,
    pub(crate) reloader: Arc<Reloader>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) certificate: Option<Certificate>,
    pub(crate) rooms: Rooms,
    control: Vec<Route>,
    client: Client,
}

impl App {
    /// Opens everything but the doors.
    pub(crate) async fn open(start: Start) -> Result<Self> {
        let Start { dir, source, loaded, lang, json, started, demo } = start;
        let Loaded { config, settings } = loaded;
        let clock = Clock::System;
        let data = data::open(dir, config.master_key.as_ref(), clock.now_ms())?;
        let metrics = Arc::new(Metrics::new(rooms::public_specs()));
        let access_log = open_access_log(&data, &config, &clock)?;
        let attempts = Arc::new(Attempts::new(clock.clone()));
        let events = tell(json, &clock, &metrics, &attempts, access_log.as_ref());
        for warning in &data.warnings {
            events.notice(Level::Warn, warning.name, &warning.text);
        }
        let client = Client::new(yunzhan_net::http::Config::default());
        let rooms = open_rooms(&config, &data, clock, &client, &events).await?;
        if demo && config.demo {
            rooms.make_demo().await?;
        }
        let rule_sets = Arc::new(RuleSetManager::open(data.dir.clone(), &config.waf)?);
        let gateway = open_gateway(&config, &rooms, &client, &events, rule_sets.waf())?;
        let certificate = open_certificate(&data, &config)?;
        let phase = Arc::new(Phase::default());
        let reloader = Arc::new(Reloader::new(reload::Parts {
            source,
            lang,
            settings,
            events: events.clone(),
            gateway: Arc::clone(&gateway),
            rule_sets: Arc::clone(&rule_sets),
            certificate: certificate.clone(),
        }));
        let own = Arc::new(Control {
            metrics,
            reloader: Arc::clone(&reloader),
            phase: Arc::clone(&phase),
            envs: Arc::clone(&rooms.envs),
            data: data.dir.root().to_owned(),
            started,
            gateway: Arc::clone(&gateway),
            rule_sets,
            attempts,
        });
        Ok(Self {
            control: [route::bind(&own, control::CONTROL), rooms.control()].concat(),
            certificate: certificate.map(|(certificate, _)| certificate),
            rooms,
            data,
            config,
            lang,
            json,
            started,
            events,
            access_log,
            phase,
            reloader,
            gateway,
            client,
        })
    }

    /// Opens the doors, serves until told to stop, and drains. Says whether everything ended in order.
    pub(crate) async fn serve(self) -> Result<bool> {
        serve::run(self).await
    }

    /// A gateway of the control routes, for callers whom `authenticate` names.
    pub(crate) fn control_gateway(&self, authenticate: ControlAuth) -> Result<Arc<Gateway>> {
        Gateway::new(Dependencies {
            config: yunzhan_gateway::Config::default(),
            routes: self.control.clone(),
            files: None,
            authenticate: Arc::new(authenticate),
            envs: self.rooms.envs.envs(),
            client: self.client.clone(),
            // Operators are not guarded against: what they write is meant.
            waf: Waf::off(),
            events: self.events.clone(),
            seed: random()?,
        })
    }

    /// Calls one control route of this app without serving anybody else: the same socket, stages and handler as when a
    /// server runs.
    pub(crate) async fn control_call<A: DeserializeOwned>(
        &self,
        method: http::Method,
        path: &str,
        body: &Value,
    ) -> Result<A> {
        let gateway = self.control_gateway(ControlAuth::Socket)?;
        let listener = listeners::open_control_socket(&self.data.dir)?;
        let trigger = Trigger::default();
        let serving = tokio::spawn(gateway.serve_unix(listener, trigger.watcher()));
        let answer = match control_client::connect(&self.data.dir).await {
            Some(connection) => connection.call(method, path, body).await,
            None => {
                Err(Error::new(Kind::Unavailable, "the control socket closed at once; try again"))
            }
        };
        trigger.drain(self.config.drain_timeout).await;
        serving.abort();
        // A command that claimed a lease gives it back.
        self.rooms.nodes.leases.end().await;
        listeners::close_control(&self.data.dir);
        answer
    }
}

async fn open_rooms(
    config: &Config,
    data: &OpenData,
    clock: Clock,
    client: &Client,
    events: &Events,
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
        seed: random()?,
    })
}

fn open_access_log(
    data: &OpenData,
    config: &Config,
    clock: &Clock,
) -> Result<Option<Arc<AccessLog>>> {
    let Some(keep) = config.access_log else { return Ok(None) };
    let path = data.dir.access_log();
    let log = AccessLog::open(&path, keep, clock.clone());
    log.map(|log| Some(Arc::new(log))).map_err(|error| data::failed("open", &path, error))
}

/// Everyone who hears of events.
fn tell(
    json: bool,
    clock: &Clock,
    metrics: &Arc<Metrics>,
    attempts: &Arc<Attempts>,
    access_log: Option<&Arc<AccessLog>>,
) -> Events {
    let notices = Arc::new(Notices::new(json, clock.clone()));
    let log = access_log.map(|log| Arc::clone(log) as Arc<dyn Observe>);
    let always: [Arc<dyn Observe>; 3] =
        [notices, Arc::clone(metrics) as _, Arc::clone(attempts) as _];
    Events::to(always.into_iter().chain(log).collect())
}

/// The configured pages, or the demo's shop where there is a demo.
fn open_site(config: &Config, rooms: &Rooms) -> Result<Option<Files>> {
    if let Some(folder) = &config.site {
        return Files::folder(folder).map(Some);
    }
    Ok(has_demo(rooms).then(demo::page))
}

/// Whether the shop's page would find its environment, and could log in to it.
pub(crate) fn has_demo(rooms: &Rooms) -> bool {
    let envs = rooms.envs.envs();
    envs.peek().iter().any(|env| env.id.as_str() == demo::ENV && env.development_login)
}

fn open_certificate(
    data: &OpenData,
    config: &Config,
) -> Result<Option<(Certificate, CertificateFiles)>> {
    if config.https.address().is_none() {
        return Ok(None);
    }
    listeners::open_certificate(&data.dir, config.certificate.as_ref()).map(Some)
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::internal(format!("no randomness: {error}")))?;
    Ok(bytes)
}
