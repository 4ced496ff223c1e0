//! What a service is in a server: what it publishes and shows, through everything that stands between.

mod declared;

use std::sync::Arc;

use expect_test::expect;
use http::{Method, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use yunzhan_base::control::render_error;
use yunzhan_base::route::RouteScope;
use yunzhan_base::{Access, Body, Call, Endpoint, ResponseFuture, Route, RoutePolicy, RouteSpec};
use yunzhan_net::shutdown::Trigger;
use yunzhan_services::envs::NewEnv;
use yunzhan_services::published::PublishedRoutes;
use yunzhan_services::service::{self, Opened, Opening, Service};

use crate::app::App;
use crate::cli::start_for_tests;

/// Has one path from its beginning and others when it is told.
pub(crate) struct Greeter {
    routes: PublishedRoutes,
}

/// It stands in the server's list, in tests alone.
pub(crate) static SERVICE: Service<Greeter> =
    Service { published: &[&GREET.spec], ..Service::new("greeter", open) };

static GREET: Endpoint<String> = Endpoint {
    spec: RouteSpec {
        name: "greeter.greet",
        method: Method::GET,
        path: "/{*rest}",
        access: Access::Public,
        policy: RoutePolicy::ORDINARY,
        render_error,
    },
    handle: greet,
};

fn open(opening: &Opening) -> Opened<'_, Greeter> {
    Box::pin(async {
        let routes = opening.published_routes(&SERVICE);
        routes.publish(&RouteScope::Everywhere, vec![greeting("early", "/early")?])?;
        Ok(Arc::new(Greeter { routes }))
    })
}

fn greeting(text: &str, path: &str) -> yunzhan_base::Result<Route> {
    Route::new(&Arc::new(text.to_owned()), &GREET).below(path)
}

fn greet(text: Arc<String>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let text = format!("{text} {}", call.params.get("rest")?);
        Ok(Response::new(Body::from(text)).into())
    })
}

async fn get(listener: std::net::SocketAddr, target: &str) -> String {
    get_of("a", listener, target).await
}

async fn get_of(host: &str, listener: std::net::SocketAddr, target: &str) -> String {
    let mut stream = TcpStream::connect(listener).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    format!("{} {body}", head.split(' ').nth(1).unwrap())
}

/// Names are read by people's dashboards: they are added to, never renamed.
#[tokio::test]
async fn gauges_of_services_keep_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::open(start_for_tests(folder.path()).await).await.unwrap();
    for service in &*app.rooms.opened() {
        for gauge in &service.gauges {
            let begins =
                gauge.name.strip_prefix(service.name).is_some_and(|it| it.starts_with('_'));
            assert!(begins && !gauge.help.ends_with('.'), "{gauge:?} of {}", service.name);
        }
    }
    let gauges: Vec<_> = app.rooms.gauges().iter().map(|gauge| format!("{gauge:?}")).collect();
    expect![[r#"
        Gauge(envs_known 0)
        Gauge(identity_verified_tokens 0)
        Gauge(identity_ended_sessions 0)
        Gauge(documents_open_transactions 0)
        Gauge(documents_transaction_bytes 0)"#]]
    .assert_eq(&gauges.join("\n"));
}

#[tokio::test]
async fn a_service_publishes_while_it_serves_and_withdraws() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::open(start_for_tests(folder.path()).await).await.unwrap();
    let shop = NewEnv {
        id: "shop".parse().unwrap(),
        appid: None,
        app_secret: None,
        hosts: vec!["shop.example".to_owned()],
        origins: Vec::new(),
        development_login: true,
    };
    app.rooms.envs.add(shop).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, trigger) = (listener.local_addr().unwrap(), Trigger::default());
    tokio::spawn(Arc::clone(&app.gateway).serve_tcp(listener, None, trigger.watcher()));

    assert_eq!(get(address, "/early/bird").await, "200 early bird");
    let greeter: Arc<Greeter> = service::find(&app.rooms.opened()).unwrap();
    let scope = RouteScope::Env("shop".parse().unwrap());
    greeter.routes.publish(&scope, vec![greeting("shop", "/hello").unwrap()]).unwrap();
    assert_eq!(get_of("shop.example", address, "/hello/a").await, "200 shop a");
    assert!(get(address, "/hello/a").await.starts_with("404"));
    let taken = vec![greeting("mine", "/auth/v1").unwrap()];
    let refused = greeter.routes.publish(&scope, taken).unwrap_err();
    assert_eq!(refused.message(), "this server answers below /auth itself");
    assert_eq!(get_of("shop.example", address, "/hello/a").await, "200 shop a");
    // Keys of ours stand below the same first segment as the challenges of a certificate's issuer.
    let challenge = greeting("proof", "/.well-known/acme-challenge").unwrap();
    let host = RouteScope::Host("a".into());
    greeter.routes.publish(&host, vec![challenge]).unwrap();
    assert_eq!(get(address, "/.well-known/acme-challenge/1").await, "200 proof 1");
    assert!(get(address, "/.well-known/jwks.json").await.starts_with("200 {"));
    greeter.routes.publish(&scope, Vec::new()).unwrap();
    assert!(get_of("shop.example", address, "/hello/a").await.starts_with("404"));
    assert_eq!(get_of("shop.example", address, "/early/bird").await, "200 early bird");
}
