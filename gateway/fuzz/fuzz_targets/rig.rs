//! A gateway with the rules that ship, between a client and an upstream, all on loopback in one thread.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use yunzhan_base::env::Envs;
use yunzhan_base::event::Events;
use yunzhan_base::principal::{AuthVerdict, Authenticate, Claim};
use yunzhan_base::route::RouteScope;
use yunzhan_base::{Access, Live, Principal, RoutePolicy, WafMode};
use yunzhan_gateway::config::RemoteRoute;
use yunzhan_gateway::{Config, Dependencies, Gateway, HeldBodies, Sockets, Waf, WafPolicy};
use yunzhan_net::http::{Client, Target};
use yunzhan_net::shutdown::Trigger;
use yunzhan_waf::transaction::Limits;
use yunzhan_waf::{RuleSet, starter};

/// Whatever the bytes are, one exchange ends within this time.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client waits for the next bytes of an answer.
const SILENCE: Duration = Duration::from_millis(30);

struct Nobody;

impl Authenticate for Nobody {
    fn authenticate(&self, _: &Claim<'_>) -> AuthVerdict {
        AuthVerdict::Known(Principal::Nobody)
    }
}

pub struct Rig {
    runtime: Runtime,
    upstream: TcpListener,
    gateway: SocketAddr,
    _trigger: Trigger,
}

thread_local! {
    static RIG: RefCell<Rig> = RefCell::new(Rig::new());
}

impl Rig {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let trigger = Trigger::default();
        let (upstream, gateway) = runtime.block_on(async {
            let upstream = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = upstream.local_addr().expect("bound");
            let route = RemoteRoute {
                name: "up".into(),
                path: "/{*rest}".into(),
                upstream: Target::parse(&format!("http://{address}")).expect("an address"),
                scope: RouteScope::Everywhere,
                access: Access::Public,
                policy: RoutePolicy::ORDINARY.streaming(1 << 16).timeout(Duration::from_secs(2)),
            };
            let rules = RuleSet::load(starter::ROOT, &starter::BuiltIn).expect("the rules that ship");
            let gateway = Gateway::new(Dependencies {
                config: Config { routes: vec![route], ..Config::default() },
                routes: Vec::new(),
                files: None,
                authenticate: Arc::new(Nobody),
                envs: Live::new(Envs::default()),
                client: Client::new(yunzhan_net::http::Config::default()),
                waf: Waf::new(WafPolicy {
                    clock: yunzhan_base::Clock::System,
                    rules: Some(Arc::new(rules)),
                    mode: WafMode::Block,
                    limits: Limits::default(),
                    log_is_plain: false,
                    exclusions: Vec::new(),
                }),
                events: Events::default(),
                sockets: Sockets::default(),
                held_bodies: HeldBodies::default(),
                seed: [3; 16],
            });
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let bound = listener.local_addr().expect("bound");
            tokio::spawn(gateway.expect("a gateway").serve_tcp(listener, None, trigger.watcher()));
            (upstream, bound)
        });
        Self { runtime, upstream, gateway, _trigger: trigger }
    }
}

/// Sends `request` to the gateway; whoever it connects to upstream answers `answer` and closes. Gives what the upstream and
/// the client received.
pub fn exchange(request: &[u8], answer: &[u8]) -> (Vec<u8>, Vec<u8>) {
    RIG.with_borrow(|rig| {
        rig.runtime.block_on(async {
            let mut client = TcpStream::connect(rig.gateway).await.expect("the gateway listens");
            let mut seen_upstream = Vec::new();
            let mut seen_by_client = Vec::new();
            let whole = async {
                let _ = client.write_all(request).await;
                let upstream = async {
                    loop {
                        let (mut stream, _) = rig.upstream.accept().await.expect("accepting");
                        let mut buffer = [0; 4096];
                        while !has_head(&seen_upstream) {
                            match stream.read(&mut buffer).await {
                                Ok(0) | Err(_) => break,
                                Ok(count) => seen_upstream.extend_from_slice(&buffer[..count]),
                            }
                        }
                        let _ = stream.write_all(answer).await;
                    }
                };
                let mut buffer = [0; 4096];
                let reading = async {
                    // A request that is not whole is answered by silence; hanging up ends the wait for more of it.
                    while let Ok(Ok(count @ 1..)) = tokio::time::timeout(SILENCE, client.read(&mut buffer)).await {
                        seen_by_client.extend_from_slice(&buffer[..count]);
                    }
                };
                tokio::select! { () = reading => {}, () = upstream => {} }
            };
            tokio::time::timeout(EXCHANGE_TIMEOUT, whole).await.expect("an exchange that ends");
            (seen_upstream, seen_by_client)
        })
    })
}

fn has_head(bytes: &[u8]) -> bool {
    bytes.windows(4).any(|window| window == b"\r\n\r\n")
}
