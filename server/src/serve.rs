//! From open doors to the last request: listening, the ready line, signals, and draining within a bound.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UnixListener;
use yunzhan_base::Result;
use yunzhan_base::event::Level;
use yunzhan_gateway::listener::Listener;
use yunzhan_gateway::proxy_protocol::ProxyProtocol;
use yunzhan_gateway::tls::Certificate;
use yunzhan_net::shutdown::{Shutdown, Trigger};

use crate::app::{App, has_demo};
use crate::config::Protocol;
use crate::control::ControlAuth;
use crate::listeners::{self, Opened};
use crate::ready::{Page, Ready, ReadyListener};
use crate::signals::{Asked, Signals};

/// What acts get to end in, also where the requests took all the time that there was: each is a few statements.
const ACTS_END_MIN: Duration = Duration::from_secs(1);

/// Every listener, open.
struct Listeners {
    public: Vec<Opened>,
    control: Vec<Opened>,
    socket: UnixListener,
}

impl Listeners {
    async fn open(app: &App) -> Result<Self> {
        let (mut public, mut control) = (Vec::new(), Vec::new());
        for listen in &app.config.listeners {
            let of_kind =
                if listen.protocol == Protocol::Control { &mut control } else { &mut public };
            of_kind.push(listeners::open(listen).await?);
        }
        Ok(Self { public, control, socket: listeners::open_control_socket(&app.data.dir)? })
    }

    fn all(&self) -> impl Iterator<Item = &Opened> {
        self.public.iter().chain(&self.control)
    }
}

/// Serves until told to stop. Says whether everything ended in order.
pub(crate) async fn run(app: App, mut signals: Signals) -> Result<bool> {
    if let Some(text) = listeners::raise_open_files(&app.config) {
        app.events.notice(Level::Warn, "open_files_low", &text);
    }
    app.reloader.warn();
    let listeners = Listeners::open(&app).await?;
    let ready = describe(&app, &listeners);
    // Control stays open while the others drain, so that an operator can watch.
    let (public, control) = (Trigger::default(), Trigger::default());
    serve_control(&app, listeners.control, listeners.socket, &control.watcher())?;
    serve_public(&app, listeners.public, &public.watcher())?;
    // Tasks end with the clients' listeners: no run begins while they drain, and one in progress has as long as a request.
    let tasks = Trigger::default();
    app.rooms.start(&app.config, control.watcher(), &tasks.watcher()).await?;
    app.phase.ready();
    ready.announce(app.json, app.lang);
    while signals.next().await == Asked::Reload {
        let reloader = Arc::clone(&app.reloader);
        let reloading = tokio::task::spawn_blocking(move || reloader.reload());
        tokio::select! {
            // The outcome was told by the reloader itself.
            _ = reloading => {}
            () = signals.stop() => break,
        }
    }
    let in_order = drain(&app, public, tasks, &mut signals).await;
    app.rooms.close().await;
    control.drain(Duration::from_secs(1)).await;
    listeners::close_control(&app.data.dir);
    app.ops.end();
    Ok(in_order)
}

fn serve_control(
    app: &App,
    opened: Vec<Opened>,
    socket: UnixListener,
    shutdown: &Shutdown,
) -> Result<()> {
    let over_socket = app.control_gateway(ControlAuth::Socket)?;
    tokio::spawn(over_socket.serve_unix(socket, shutdown.clone()));
    if opened.is_empty() {
        return Ok(());
    }
    let token = listeners::make_control_token(&app.data.dir)?;
    let over_tcp = app.control_gateway(ControlAuth::Token(token))?;
    for Opened { tcp, .. } in opened {
        let listener = Listener::new(tcp).for_operators();
        tokio::spawn(Arc::clone(&over_tcp).serve_listener(listener, shutdown.clone()));
    }
    Ok(())
}

fn serve_public(app: &App, opened: Vec<Opened>, shutdown: &Shutdown) -> Result<()> {
    for Opened { tcp, listen, .. } in opened {
        let certificate = app.certificates.of(&listen);
        let tls = certificate.map(Certificate::acceptor).transpose()?;
        let listener = Listener::new(tcp).with_tls(tls).with_proxy_protocol(listen.proxy_protocol);
        tokio::spawn(Arc::clone(&app.gateway).serve_listener(listener, shutdown.clone()));
    }
    Ok(())
}

/// Lets requests in flight end, within the bound or until somebody asks a second time.
async fn drain(app: &App, public: Trigger, tasks: Trigger, signals: &mut Signals) -> bool {
    app.phase.draining();
    let bound = app.config.drain_timeout;
    let text = format!("stopping: requests and tasks in flight have {} s to end", bound.as_secs());
    app.events.notice(Level::Info, "draining", &text);
    // Acts go on without their clients: they end after the last request, within the same bound.
    let all = async {
        let begun = Instant::now();
        let (requests, runs) = tokio::join!(public.drain(bound), tasks.drain(bound));
        let left = bound.saturating_sub(begun.elapsed()).max(ACTS_END_MIN);
        app.rooms.acts.drain(left).await && requests && runs
    };
    let drained = tokio::select! {
        drained = all => drained,
        () = signals.stop() => false,
    };
    if drained {
        app.events.notice(Level::Info, "stopped", "stopped, every request ended");
    } else {
        app.events.notice(Level::Warn, "stopped_early", "stopped with requests or tasks in flight");
    }
    drained
}

fn describe(app: &App, listeners: &Listeners) -> Ready {
    let envs = app.rooms.envs.envs();
    let envs = envs.peek();
    let development_envs = envs.iter().filter(|env| env.development_login);
    Ready {
        listeners: listeners.all().map(|opened| ready_listener(app, opened)).collect(),
        data: app.data.dir.root().to_owned(),
        development_envs: development_envs.map(|env| env.id.to_string()).collect(),
        has_env: envs.iter().next().is_some(),
        page: page(app),
        elapsed: app.started.elapsed(),
    }
}

fn ready_listener(app: &App, opened: &Opened) -> ReadyListener {
    let Opened { address, listen, .. } = opened;
    let is_https = listen.protocol == Protocol::Https;
    let scheme = if is_https { "https" } else { "http" };
    let has_certificate = app.config.certificate.is_some() || listen.certificate.is_some();
    ReadyListener {
        protocol: listen.protocol,
        url: url(scheme, *address),
        is_behind_proxy: listen.proxy_protocol != ProxyProtocol::Off,
        has_development_certificate: is_https && !has_certificate,
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
