//! From open doors to the last request: listening, the ready line, signals, and draining within a bound.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UnixListener;
use yunzhan_base::event::Level;
use yunzhan_base::{Error, Result};
use yunzhan_net::shutdown::{Shutdown, Trigger};

use crate::app::{App, has_demo};
use crate::control::ControlAuth;
use crate::listeners::{self, Door};
use crate::ready::{Page, Ready};
use crate::signals::{Asked, Signals};

/// Every door, open.
struct Doors {
    http: Option<Door>,
    https: Option<Door>,
    control: Option<Door>,
    socket: UnixListener,
}

impl Doors {
    async fn open(app: &App) -> Result<Self> {
        let config = &app.config;
        Ok(Self {
            http: listeners::open(config.http, "listen.http").await?,
            https: listeners::open(config.https, "listen.https").await?,
            control: listeners::open(config.control, "listen.control").await?,
            socket: listeners::open_control_socket(&app.data.dir)?,
        })
    }
}

/// Serves until told to stop. Says whether everything ended in order.
pub(crate) async fn run(app: App) -> Result<bool> {
    let mut signals =
        Signals::take().map_err(|error| Error::internal("taking signals over").because(error))?;
    let doors = Doors::open(&app).await?;
    let ready = describe(&app, &doors);
    // Control stays open while the others drain, so that an operator can watch.
    let (public, control) = (Trigger::default(), Trigger::default());
    // Tasks end with the clients' listeners: no run begins while they drain, and one in progress has as long as a request.
    let tasks = Trigger::default();
    serve_control(&app, doors.control, doors.socket, &control.watcher())?;
    serve_public(&app, doors.http, doors.https, &public.watcher())?;
    app.rooms.start(&app.config, control.watcher(), &tasks.watcher()).await?;
    app.phase.ready();
    ready.announce(app.json, app.lang);
    while signals.next().await == Asked::Reload {
        let reloader = Arc::clone(&app.reloader);
        // The outcome was told by the reloader itself.
        let _ = tokio::task::spawn_blocking(move || reloader.reload()).await;
    }
    let in_order = drain(&app, public, tasks, &mut signals).await;
    control.drain(std::time::Duration::from_secs(1)).await;
    listeners::close_control(&app.data.dir);
    if let Some(access_log) = &app.access_log {
        // Connections that outlived the drain still hold the log; its lines must not wait for them.
        access_log.end();
    }
    Ok(in_order)
}

fn serve_control(
    app: &App,
    door: Option<Door>,
    socket: UnixListener,
    shutdown: &Shutdown,
) -> Result<()> {
    let over_socket = app.control_gateway(ControlAuth::Socket)?;
    tokio::spawn(over_socket.serve_unix(socket, shutdown.clone()));
    if let Some(door) = door {
        let token = listeners::make_control_token(&app.data.dir)?;
        let over_tcp = app.control_gateway(ControlAuth::Token(token))?;
        tokio::spawn(over_tcp.serve_tcp(door.listener, None, shutdown.clone()));
    }
    Ok(())
}

fn serve_public(
    app: &App,
    http: Option<Door>,
    https: Option<Door>,
    shutdown: &Shutdown,
) -> Result<()> {
    if let Some(door) = http {
        let gateway = Arc::clone(&app.gateway);
        tokio::spawn(gateway.serve_tcp(door.listener, None, shutdown.clone()));
    }
    if let (Some(door), Some(certificate)) = (https, &app.certificate) {
        let gateway = Arc::clone(&app.gateway);
        let acceptor = certificate.acceptor()?;
        tokio::spawn(gateway.serve_tcp(door.listener, Some(acceptor), shutdown.clone()));
    }
    Ok(())
}

/// Lets requests in flight end, within the bound or until somebody asks a second time.
async fn drain(app: &App, public: Trigger, tasks: Trigger, signals: &mut Signals) -> bool {
    app.phase.draining();
    let bound = app.config.drain_timeout;
    let text = format!("stopping: requests and tasks in flight have {} s to end", bound.as_secs());
    app.events.notice(Level::Info, "draining", &text);
    let drained = tokio::select! {
        (requests, runs) = async { tokio::join!(public.drain(bound), tasks.drain(bound)) } => requests && runs,
        () = signals.stop() => false,
    };
    if drained {
        app.events.notice(Level::Info, "stopped", "stopped, every request ended");
    } else {
        app.events.notice(Level::Warn, "stopped_early", "stopped with requests or tasks in flight");
    }
    drained
}

fn describe(app: &App, doors: &Doors) -> Ready {
    let address = |door: &Option<Door>| door.as_ref().map(|door| door.address);
    let envs = app.rooms.envs.envs();
    let envs = envs.peek();
    let development_envs = envs.iter().filter(|env| env.development_login);
    Ready {
        http: address(&doors.http).map(|address| url("http", address)),
        https: address(&doors.https).map(|address| url("https", address)),
        development_certificate: app.config.certificate.is_none(),
        control: address(&doors.control).map(|address| url("http", address)),
        data: app.data.dir.root().to_owned(),
        development_envs: development_envs.map(|env| env.id.to_string()).collect(),
        has_env: envs.iter().next().is_some(),
        page: page(app),
        elapsed: app.started.elapsed(),
    }
}

/// What `/` shows.
fn page(app: &App) -> Option<Page> {
    match &app.config.site {
        Some(_) => Some(Page::Site),
        None => has_demo(&app.rooms).then_some(Page::Shop),
    }
}

/// What a browser on this machine opens.
fn url(scheme: &str, address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        return format!("{scheme}://localhost:{}", address.port());
    }
    format!("{scheme}://{address}")
}
