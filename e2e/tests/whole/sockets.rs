//! WebSockets with clients that others wrote: to a service behind the gateway's own framing, and through the real server to
//! an upstream. What the steps are stands in `node/sockets.js` and `python/sockets.py`.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use http::{Method, Response};
use tokio::net::TcpListener;
use yunzhan_base::env::Envs;
use yunzhan_base::event::Events;
use yunzhan_base::principal::{AuthVerdict, Authenticate, Claim};
use yunzhan_base::route::bind;
use yunzhan_base::socket::{Message, Socket};
use yunzhan_base::{
    Access, Body, Call, Endpoint, Live, Principal, ResponseFuture, RoutePolicy, RouteSpec, Upgrade,
};
use yunzhan_e2e::node::{Packages, Score, failures};
use yunzhan_e2e::requirement::{self, Requirement};
use yunzhan_e2e::shell::Output;
use yunzhan_e2e::{Options, Server};
use yunzhan_gateway::{Config, Dependencies, Gateway, HeldBodies, Sockets, Waf};
use yunzhan_net::http::Client;
use yunzhan_net::shutdown::Trigger;

/// The largest message that the echo takes.
const MESSAGE_BYTES_MAX: usize = 2 << 20;
/// Steps of each driver.
const STEPS: u32 = 8;

struct Echo;

const ROUTES: &[Endpoint<Echo>] = &[Endpoint {
    spec: RouteSpec {
        name: "echo.socket",
        method: Method::GET,
        path: "/socket",
        access: Access::Public,
        policy: RoutePolicy::CORE,
        render_error: |error, _| Response::new(Body::from(error.message().to_owned())),
    },
    handle: socket,
}];

/// Says every message again, until it is told to go.
fn socket(_: Arc<Echo>, _: Call) -> ResponseFuture {
    let echo = |mut socket: Socket| async move {
        while let Some(message) = socket.receive().await {
            if message == Message::Text("go".into()) || socket.send(message).await.is_err() {
                return;
            }
        }
    };
    let upgrade = Upgrade { message_bytes_max: MESSAGE_BYTES_MAX, ..Upgrade::to(echo) };
    Box::pin(async move { Ok(upgrade.into()) })
}

struct Nobody;

impl Authenticate for Nobody {
    fn authenticate(&self, _: &Claim<'_>) -> AuthVerdict {
        AuthVerdict::Known(Principal::Nobody)
    }
}

/// A gateway of this process whose service is the echo.
async fn served() -> (SocketAddr, Trigger) {
    let gateway = Gateway::new(Dependencies {
        config: Config::default(),
        routes: bind(&Arc::new(Echo), ROUTES),
        files: None,
        authenticate: Arc::new(Nobody),
        envs: Live::new(Envs::default()),
        client: Client::new(yunzhan_net::http::Config::default()),
        waf: Waf::off(),
        events: Events::default(),
        sockets: Sockets::default(),
        held_bodies: HeldBodies::default(),
        seed: [1; 16],
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let trigger = Trigger::default();
    tokio::spawn(gateway.unwrap().serve_tcp(listener, None, trigger.watcher()));
    (address, trigger)
}

/// The addresses of the echo: at once, and through the real server with the rules on that ship.
async fn addresses(served: SocketAddr) -> (Server, [String; 2]) {
    let config = format!(
        "[[gateway.route]]\npath = \"/socket\"\nupstream = \"http://{served}\"\naccess = \"public\"\n"
    );
    let server = Server::start(Options::default().configured(&config)).await;
    let passed = format!("ws://{}/socket", server.http().address());
    (server, [format!("ws://{served}/socket"), passed])
}

fn check(url: &str, output: &Output) {
    let expected = Some(Score { passed: STEPS, failed: 0 });
    assert_eq!(Score::of(output), expected, "{url}\n{}", failures(output));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_node_is_understood() {
    let Some(packages) = Packages::install().await else { return };
    let (echo, _trigger) = served().await;
    let (_server, urls) = addresses(echo).await;
    let bytes_max = MESSAGE_BYTES_MAX.to_string();
    for url in &urls {
        let variables = [("WS_URL", url.as_str()), ("WS_BYTES_MAX", &bytes_max)];
        check(url, &packages.drive(&["sockets.js"], &variables).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_python_is_understood() {
    if !Requirement::PythonWebSockets.is_met() {
        return;
    }
    let (echo, _trigger) = served().await;
    let (_server, urls) = addresses(echo).await;
    let python = requirement::python_with_websockets().expect("it was there a moment ago");
    for url in &urls {
        let mut command = Command::new(python);
        command
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/python/sockets.py"))
            .env("WS_URL", url)
            .env("WS_BYTES_MAX", MESSAGE_BYTES_MAX.to_string());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
        check(url, &Output::from(output.unwrap()));
    }
}
