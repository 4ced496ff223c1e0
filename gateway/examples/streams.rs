//! A gateway whose own service takes sockets and uploads, behind the rules that ship: for measurements.
//!
//! `cargo run --release -p yunzhan-gateway --example streams -- [CHAIN KEY]` serves until SIGTERM, and then drains. It prints
//! one line with its addresses, as `yunzhan --json serve` does. `cargo xtask bench gateway` starts it: no service of the
//! program takes sockets or streamed uploads yet. `/socket` says every message again, `/upload` counts bytes, `/metrics`
//! has what the program's control shows of sockets and held bodies. It runs on the program's allocator.
#![allow(clippy::print_stdout, reason = "the ready line")]

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use yunzhan_base::body::into_error;
use yunzhan_base::env::Envs;
use yunzhan_base::event::Events;
use yunzhan_base::principal::{AuthVerdict, Authenticate, Claim};
use yunzhan_base::route::bind;
use yunzhan_base::socket::Socket;
use yunzhan_base::{
    Access, Body, Call, Clock, Endpoint, Live, Principal, ResponseFuture, RoutePolicy, RouteSpec,
    Upgrade, WafMode,
};
use yunzhan_gateway::tls::{Certificate, CertificateFiles};
use yunzhan_gateway::{Config, Dependencies, Gateway, HeldBodies, Sockets, Waf, WafPolicy};
use yunzhan_net::http::Client;
use yunzhan_net::shutdown::Trigger;
use yunzhan_waf::transaction::Limits;
use yunzhan_waf::{RuleSet, starter};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Far more than is measured: the bounds are not what is measured.
const MANY: usize = 100_000;
/// Clients that only wait answer no pings.
const SOCKET_IDLE_TIMEOUT: Duration = Duration::from_secs(600);
const UPLOAD_BYTES_MAX: u64 = 4 << 30;
/// As the program's default.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);

/// What the service can tell of its gateway.
struct Streams {
    sockets: Sockets,
    held_bodies: HeldBodies,
}

const ROUTES: &[Endpoint<Streams>] = &[
    Endpoint { spec: spec("streams.socket", Method::GET, "/socket"), handle: socket },
    Endpoint { spec: spec("streams.upload", Method::POST, "/upload"), handle: upload },
    Endpoint { spec: spec("streams.metrics", Method::GET, "/metrics"), handle: metrics },
];

const fn spec(name: &'static str, method: Method, path: &'static str) -> RouteSpec {
    RouteSpec {
        name,
        method,
        path,
        access: Access::Public,
        policy: RoutePolicy::CORE.streaming(UPLOAD_BYTES_MAX),
        render_error: |error, _| {
            let mut answer = Response::new(Body::from(error.message().to_owned()));
            *answer.status_mut() = error.kind().entry().status;
            answer
        },
    }
}

/// Says every message again.
fn socket(_: Arc<Streams>, _: Call) -> ResponseFuture {
    let echo = |mut socket: Socket| async move {
        while let Some(message) = socket.receive().await {
            if socket.send(message).await.is_err() {
                return;
            }
        }
    };
    Box::pin(async move { Ok(Upgrade::to(echo).into()) })
}

/// Counts the bytes of an upload, and says so once it is whole.
fn upload(_: Arc<Streams>, mut call: Call) -> ResponseFuture {
    Box::pin(async move {
        let mut bytes = 0;
        while let Some(piece) = call.body.next().await {
            bytes += piece.map_err(into_error)?.len();
        }
        Ok(Response::new(Body::from(bytes.to_string())).into())
    })
}

fn metrics(streams: Arc<Streams>, _: Call) -> ResponseFuture {
    Box::pin(async move {
        let text = format!(
            "yunzhan_sockets_open {}\nyunzhan_held_body_bytes {}\nyunzhan_held_body_peak_bytes {}\n",
            streams.sockets.count(),
            streams.held_bodies.bytes(),
            streams.held_bodies.peak_bytes()
        );
        Ok(Response::new(Body::from(text)).into())
    })
}

/// Everybody is nobody here.
struct Nobody;

impl Authenticate for Nobody {
    fn authenticate(&self, _: &Claim<'_>) -> AuthVerdict {
        AuthVerdict::Known(Principal::Nobody)
    }
}

fn main() -> Outcome {
    let files: Vec<String> = std::env::args().skip(1).collect();
    yunzhan_gateway::descriptors::raise_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(&files))
}

async fn serve(files: &[String]) -> Outcome {
    let gateway = gateway()?;
    let trigger = Trigger::default();
    let http = TcpListener::bind("127.0.0.1:0").await?;
    let https = TcpListener::bind("127.0.0.1:0").await?;
    let (plain, secure) = (http.local_addr()?, https.local_addr()?);
    tokio::spawn(Arc::clone(&gateway).serve_tcp(http, None, trigger.watcher()));
    if let [chain, key] = files {
        let files = CertificateFiles { chain: chain.into(), key: key.into() };
        let acceptor = Certificate::load(&files)?.acceptor()?;
        tokio::spawn(gateway.serve_tcp(https, Some(acceptor), trigger.watcher()));
    }
    // The metrics stand where the program's control has them.
    println!(
        r#"{{"http":"http://{plain}","https":"https://{secure}","control":"http://{plain}"}}"#
    );
    signal(SignalKind::terminate())?.recv().await;
    trigger.drain(DRAIN_TIMEOUT).await;
    Ok(())
}

fn gateway() -> Outcome<Arc<Gateway>> {
    let streams = Streams { sockets: Sockets::default(), held_bodies: HeldBodies::default() };
    let (sockets, held_bodies) = (streams.sockets.clone(), streams.held_bodies.clone());
    let rules = RuleSet::load(starter::ROOT, &starter::BuiltIn)
        .map_err(|_| "the rules that ship do not load")?;
    let waf = WafPolicy {
        clock: Clock::System,
        rules: Some(Arc::new(rules)),
        mode: WafMode::Block,
        limits: Limits::default(),
        log_is_plain: false,
        exclusions: Vec::new(),
    };
    let config = Config {
        connections_max: MANY,
        connections_per_address_max: MANY,
        sockets_max: [MANY; 3],
        socket_idle_timeout: SOCKET_IDLE_TIMEOUT,
        ..Config::default()
    };
    Ok(Gateway::new(Dependencies {
        config,
        routes: bind(&Arc::new(streams), ROUTES),
        files: None,
        authenticate: Arc::new(Nobody),
        envs: Live::new(Envs::default()),
        client: Client::new(yunzhan_net::http::Config::default()),
        waf: Waf::new(waf),
        events: Events::to(vec![Arc::new(sockets.clone())]),
        sockets,
        held_bodies,
        seed: [1; 16],
    })?)
}
