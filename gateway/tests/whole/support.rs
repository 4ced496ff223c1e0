//! A gateway with a tiny service behind it, and the simplest possible clients and upstreams.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use http::{Method, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use yunzhan_base::env::{Env, Envs};
use yunzhan_base::event::{Event, Events, Observe};
use yunzhan_base::policy::Cors;
use yunzhan_base::principal::{AuthVerdict, Authenticate, Claim, User};
use yunzhan_base::route::{RouteScope, bind};
use yunzhan_base::socket::{Message, Socket};
use yunzhan_base::{
    Access, Body, Call, Endpoint, Error, Kind, Live, Principal, ResponseFuture, RoutePolicy,
    RouteSpec, Upgrade, WafMode,
};
use yunzhan_gateway::config::RemoteRoute;
use yunzhan_gateway::{Config, Dependencies, Files, Gateway, HeldBodies, Sockets, Waf, WafPolicy};
use yunzhan_net::http::{Client, Target};
use yunzhan_net::shutdown::Trigger;
use yunzhan_waf::transaction::Limits;
use yunzhan_waf::{RuleSet, starter};

/// The service's bound on bodies.
pub const BODY_BYTES_MAX: usize = 64 << 10;

struct Echo;

const ROUTES: &[Endpoint<Echo>] = &[
    Endpoint { spec: spec("echo.post", Method::POST, "/echo", Access::Public), handle: echo },
    Endpoint { spec: spec("echo.get", Method::GET, "/echo/{name}", Access::Public), handle: name },
    Endpoint { spec: spec("echo.busy", Method::GET, "/busy", Access::Public), handle: busy },
    Endpoint {
        spec: spec("echo.carried", Method::POST, "/carried", Access::UserInBody),
        handle: echo,
    },
    Endpoint {
        spec: spec("echo.keys", Method::POST, "/.well-known/keys", Access::Public),
        handle: echo,
    },
    Endpoint { spec: streaming("echo.upload", Method::POST, "/upload"), handle: upload },
    Endpoint { spec: spec("echo.events", Method::GET, "/events", Access::Public), handle: events },
    Endpoint { spec: spec("echo.socket", Method::GET, "/socket", Access::Public), handle: socket },
];

/// The service's bound on uploads.
pub const UPLOAD_BYTES_MAX: u64 = 2 << 30;

const fn streaming(name: &'static str, method: Method, path: &'static str) -> RouteSpec {
    let mut spec = spec(name, method, path, Access::Public);
    spec.policy = RoutePolicy::CORE.streaming(UPLOAD_BYTES_MAX);
    spec
}

const fn spec(name: &'static str, method: Method, path: &'static str, access: Access) -> RouteSpec {
    RouteSpec {
        name,
        method,
        path,
        access,
        policy: RoutePolicy::CORE.buffered(BODY_BYTES_MAX),
        render_error: |error, id| {
            let text =
                format!("{} {} {}", error.kind().name(), error.message(), id.to_string().len());
            let mut answer = Response::new(Body::from(text));
            *answer.status_mut() = error.kind().entry().status;
            answer
        },
    }
}

fn echo(_: Arc<Echo>, call: Call) -> ResponseFuture {
    Box::pin(async move { Ok(Response::new(call.body).into()) })
}

/// Counts the bytes of an upload, and says so once it is whole.
fn upload(_: Arc<Echo>, mut call: Call) -> ResponseFuture {
    Box::pin(async move {
        let mut bytes = 0;
        while let Some(piece) = call.body.next().await {
            bytes += piece.map_err(yunzhan_base::body::into_error)?.len();
        }
        Ok(Response::new(Body::from(bytes.to_string())).into())
    })
}

/// One event, and then silence.
fn events(_: Arc<Echo>, _: Call) -> ResponseFuture {
    struct OneEvent(bool);
    impl http_body::Body for OneEvent {
        type Data = bytes::Bytes;
        type Error = yunzhan_base::body::BodyError;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
            match std::mem::replace(&mut self.0, true) {
                true => std::task::Poll::Pending,
                false => {
                    std::task::Poll::Ready(Some(Ok(http_body::Frame::data("data: 1\n\n".into()))))
                }
            }
        }
    }
    Box::pin(async move {
        let mut response = Response::new(Body::streaming(OneEvent(false)));
        let headers = response.headers_mut();
        headers.insert("content-type", http::HeaderValue::from_static("text/event-stream"));
        Ok(response.into())
    })
}

/// Says every message again, until it is told to go.
fn socket(_: Arc<Echo>, _: Call) -> ResponseFuture {
    Box::pin(async {
        let upgrade = Upgrade::to(|mut socket: Socket| async move {
            while let Some(message) = socket.receive().await {
                if message == Message::Text("go".into()) || socket.send(message).await.is_err() {
                    return;
                }
            }
        });
        Ok(upgrade.into())
    })
}

fn name(_: Arc<Echo>, call: Call) -> ResponseFuture {
    Box::pin(
        async move { Ok(Response::new(Body::from(call.params.get("name")?.to_owned())).into()) },
    )
}

fn busy(_: Arc<Echo>, _: Call) -> ResponseFuture {
    let error = Error::new(Kind::LimitExceeded, "too many requests");
    Box::pin(async { Err(error.retry_after(Duration::from_millis(1500))) })
}

/// Knows one person, by the token `小明`; where it comes in the body, it is the whole of it.
struct OnePerson;

impl Authenticate for OnePerson {
    fn authenticate(&self, claim: &Claim<'_>) -> AuthVerdict {
        let claimed = claim.headers.get("authorization").map(http::HeaderValue::as_bytes);
        let is_known = match (claim.access, claim.body) {
            (Access::UserInBody, None) => return AuthVerdict::NeedsBody,
            (Access::UserInBody, Some(body)) => body == "小明",
            _ => claimed == Some("Bearer 小明".as_bytes()),
        };
        if !is_known {
            return AuthVerdict::Known(Principal::Nobody);
        }
        AuthVerdict::Known(Principal::User(Arc::new(User {
            env: "shop".parse().unwrap(),
            uid: "u1".into(),
            openid: Some("dev-小明".into()),
            roles: Vec::new(),
            session: "s".into(),
            anonymous: false,
            expires_s: i64::MAX,
        })))
    }
}

fn env(id: &str, appid: Option<&str>, hosts: &[&str]) -> Env {
    let hosts = hosts.iter().map(|&host| host.into()).collect();
    Env { appid: appid.map(Into::into), hosts, ..Env::new(id.parse().unwrap()) }
}

/// Remembers every event as a short line.
#[derive(Default)]
pub struct Seen(Mutex<Vec<String>>);

impl Observe for Seen {
    fn observe(&self, event: &Event<'_>) {
        let line = match event {
            Event::RequestEnded(ended) => {
                format!(
                    "{} {} {} {:?}",
                    ended.facts.route,
                    ended.status.as_u16(),
                    ended.facts.path,
                    ended.outcome
                )
            }
            Event::ConnectionFailed(failed) => format!("connection {}", failed.reason.name()),
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

impl Seen {
    /// Waits until an event whose line begins so was seen, and gives it.
    pub async fn wait_for(&self, beginning: &str) -> String {
        let found = async {
            loop {
                if let Some(line) =
                    self.0.lock().unwrap().iter().find(|line| line.starts_with(beginning))
                {
                    return line.clone();
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), found).await.unwrap_or_else(|_| {
            panic!("no event begins with {beginning:?}: {:?}", self.0.lock().unwrap());
        })
    }
}

/// A serving gateway.
pub struct Served {
    pub address: SocketAddr,
    pub seen: Arc<Seen>,
    pub trigger: Trigger,
    pub events: Events,
}

/// Serves the echo service, and what `upstream` names under `/up/`.
pub async fn serve(change: impl FnOnce(&mut Config), upstream: Option<SocketAddr>) -> Served {
    open(guarded(change, upstream, shipped_rules(), None)).await
}

/// Serves the echo service behind these rules.
pub async fn serve_behind(waf: Waf) -> Served {
    open(guarded(|_| {}, None, waf, None)).await
}

/// Serves the echo service, and these files where it has nothing.
pub async fn serve_files(files: Files) -> Served {
    open(guarded(|_| {}, None, shipped_rules(), Some(files))).await
}

/// Serves the echo service, what `upstream` names under `/up/`, and whatever is published meanwhile.
pub async fn serve_publishing(upstream: Option<SocketAddr>) -> (Served, Arc<Gateway>) {
    let files = Files::carried(&[]);
    let (gateway, seen, events) = guarded(|_| {}, upstream, shipped_rules(), Some(files));
    (open((Arc::clone(&gateway), seen, events)).await, gateway)
}

async fn open((gateway, seen, events): (Arc<Gateway>, Arc<Seen>, Events)) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let trigger = Trigger::default();
    tokio::spawn(gateway.serve_tcp(listener, None, trigger.watcher()));
    Served { address, seen, trigger, events }
}

pub fn gateway(
    change: impl FnOnce(&mut Config),
    upstream: Option<SocketAddr>,
) -> (Arc<Gateway>, Arc<Seen>) {
    let (gateway, seen, _) = guarded(change, upstream, shipped_rules(), None);
    (gateway, seen)
}

/// The rules that ship, compiled once.
fn shipped_rules() -> Waf {
    static RULES: LazyLock<Arc<RuleSet>> = LazyLock::new(|| {
        Arc::new(RuleSet::load(starter::ROOT, &starter::BuiltIn).expect("built-in rules load"))
    });
    Waf::new(WafPolicy {
        clock: yunzhan_base::Clock::System,
        rules: Some(Arc::clone(&RULES)),
        mode: WafMode::Block,
        limits: Limits::default(),
        log_is_plain: false,
        exclusions: Vec::new(),
    })
}

/// A configured route to another server.
pub fn remote_route(path: &str, address: SocketAddr) -> RemoteRoute {
    RemoteRoute {
        name: "up".into(),
        path: path.into(),
        scope: RouteScope::Everywhere,
        upstream: Target::parse(&format!("http://{address}")).unwrap(),
        access: Access::Public,
        policy: RoutePolicy {
            cors: Cors::PassedOn,
            ..RoutePolicy::ORDINARY.streaming(1 << 20).timeout(Duration::from_secs(20))
        },
    }
}

fn guarded(
    change: impl FnOnce(&mut Config),
    upstream: Option<SocketAddr>,
    waf: Waf,
    files: Option<Files>,
) -> (Arc<Gateway>, Arc<Seen>, Events) {
    let mut config = Config::default();
    config.routes.extend(upstream.map(|address| remote_route("/up/{*rest}", address)));
    change(&mut config);
    let (seen, sockets) = (Arc::new(Seen::default()), Sockets::default());
    let events = Events::to(vec![Arc::clone(&seen) as Arc<dyn Observe>, Arc::new(sockets.clone())]);
    let dependencies = Dependencies {
        config,
        routes: bind(&Arc::new(Echo), ROUTES),
        files,
        authenticate: Arc::new(OnePerson),
        envs: Live::new(
            Envs::new([
                env("shop", Some("wx1"), &["shop.example"]),
                env("cafe", None, &["cafe.example"]),
            ])
            .unwrap(),
        ),
        client: Client::new(yunzhan_net::http::Config::default()),
        waf,
        events: events.clone(),
        sockets,
        held_bodies: HeldBodies::default(),
        seed: [1; 16],
    };
    (Gateway::new(dependencies).unwrap(), seen, events)
}

/// Sends raw bytes and reads until the server closes, or until it has been silent although a whole answer arrived.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    read_answer(&mut stream).await
}

/// Reads one answer with a declared length, or everything until the end.
pub async fn read_answer<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    let reading = async {
        while !is_whole(&read) {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => read.extend_from_slice(&buffer[..count]),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("an answer or a close");
    String::from_utf8_lossy(&read).into_owned()
}

fn is_whole(read: &[u8]) -> bool {
    let text = String::from_utf8_lossy(read).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    if head.contains("transfer-encoding: chunked") {
        return body.ends_with("0\r\n\r\n");
    }
    let length =
        head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}

/// Status line's code and the body of an answer, or what was read instead.
pub fn summary(answer: &str) -> String {
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) => format!("{} {body}", head.split(' ').nth(1).unwrap_or("?")),
        None if answer.is_empty() => "closed".into(),
        None => format!("broken: {answer}"),
    }
}
