//! Routes that a service adds and removes while the gateway serves.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response};
use yunzhan_base::config::Follow;
use yunzhan_base::route::{PublishRoutes, RouteScope};
use yunzhan_base::{
    Access, Body, Call, Endpoint, Kind, ResponseFuture, Result, Route, RoutePolicy, RouteSpec,
};
use yunzhan_gateway::{Config, Gateway};

use crate::support::{Served, raw, remote_route, serve_publishing, summary};

/// A function: it says its name and what stands behind its path.
struct Function(&'static str);

static ALL: Endpoint<Function> = endpoint("functions.all", Method::GET, "/{*rest}");
static SELF: Endpoint<Function> = endpoint("functions.self", Method::GET, "/");
static POST: Endpoint<Function> = endpoint("functions.post", Method::POST, "/");

const fn endpoint(name: &'static str, method: Method, path: &'static str) -> Endpoint<Function> {
    Endpoint {
        spec: RouteSpec {
            name,
            method,
            path,
            access: Access::Public,
            policy: RoutePolicy::ORDINARY,
            render_error: |error, _| {
                let mut answer = Response::new(Body::from(error.kind().name()));
                *answer.status_mut() = error.kind().entry().status;
                answer
            },
        },
        handle: answer,
    }
}

fn answer(function: Arc<Function>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        if function.0 == "never" {
            std::future::pending::<()>().await;
        }
        let env = call.context.env.map_or("-".to_owned(), |env| env.id.to_string());
        let text = format!("{} {env} {}", function.0, call.params.get("rest").unwrap_or("-"));
        Ok(Response::new(Body::from(text)).into())
    })
}

fn function(name: &'static str, endpoint: &'static Endpoint<Function>, path: &str) -> Route {
    Route::new(&Arc::new(Function(name)), endpoint).below(path).unwrap()
}

fn of_env(env: &str) -> RouteScope {
    RouteScope::Env(env.parse().unwrap())
}

fn of_host(host: &str) -> RouteScope {
    RouteScope::Host(host.into())
}

async fn ask(served: &Served, method: &str, target: &str, host: &str) -> String {
    let request =
        format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n");
    summary(&raw(served.address, request.as_bytes()).await)
}

async fn get(served: &Served, target: &str) -> String {
    ask(served, "GET", target, "a").await
}

#[tokio::test]
async fn a_route_is_there_once_it_is_published_and_gone_once_it_is_withdrawn() {
    let (served, gateway) = serve_publishing(None).await;
    assert!(get(&served, "/hello").await.starts_with("404"));
    let both = || vec![function("one", &SELF, "/hello"), function("one", &ALL, "/hello")];
    gateway.publish("functions", &RouteScope::Everywhere, both()).unwrap();
    assert_eq!(get(&served, "/hello").await, "200 one - -");
    assert_eq!(get(&served, "/hello/a/b").await, "200 one - a/b");
    served.seen.wait_for("functions.all 200 /hello/a/b").await;
    // What is published later takes the place of what was, as a whole.
    let other = vec![function("two", &SELF, "/hello"), function("two", &POST, "/hello")];
    gateway.publish("functions", &RouteScope::Everywhere, other).unwrap();
    assert_eq!(get(&served, "/hello").await, "200 two - -");
    assert_eq!(ask(&served, "POST", "/hello", "a").await, "200 two - -");
    assert!(get(&served, "/hello/a/b").await.starts_with("404"));
    gateway.publish("functions", &RouteScope::Everywhere, Vec::new()).unwrap();
    assert!(get(&served, "/hello").await.starts_with("404"));
    assert_eq!(get(&served, "/echo/a").await, "200 a");
}

#[tokio::test]
async fn two_environments_and_a_host_have_the_same_path_each_for_itself() {
    let (served, gateway) = serve_publishing(None).await;
    for (scope, name) in
        [(of_env("shop"), "shops"), (of_env("cafe"), "cafes"), (of_host("only.example"), "hosts")]
    {
        let routes = vec![function(name, &SELF, "/hello")];
        gateway.publish("functions", &scope, routes).unwrap();
    }
    for (target, host, expected) in [
        ("/hello", "shop.example", "200 shops shop -"),
        ("/hello", "cafe.example", "200 cafes cafe -"),
        // A link must not put an environment's page in the place of another host's own.
        ("/hello?env=shop", "a", "404"),
        ("/hello", "only.example", "200 hosts - -"),
        ("/hello", "a", "404"),
    ] {
        let answer = ask(&served, "GET", target, host).await;
        assert!(answer.starts_with(expected), "{target} {host} {answer}");
    }
    gateway.publish("functions", &of_env("shop"), Vec::new()).unwrap();
    assert!(ask(&served, "GET", "/hello", "shop.example").await.starts_with("404"));
    assert_eq!(ask(&served, "GET", "/hello", "cafe.example").await, "200 cafes cafe -");
}

#[tokio::test]
async fn a_path_of_a_service_is_never_taken() {
    let (served, gateway) = serve_publishing(None).await;
    let scopes =
        [(RouteScope::Everywhere, "a"), (of_env("shop"), "shop.example"), (of_host("a"), "a")];
    for (scope, host) in scopes {
        for path in ["/echo", "/echo/free", "/busy/sub"] {
            let refused = gateway.publish("functions", &scope, vec![function("x", &SELF, path)]);
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidParameter, "{path}");
            assert!(error.message().starts_with("this server answers below /"), "{error}");
        }
        // Hosting takes everything, but among the services' paths it answers nothing.
        let everything = Route::new(&Arc::new(Function("all")), &ALL);
        gateway.publish("hosting", &scope, vec![everything]).unwrap();
        assert_eq!(ask(&served, "GET", "/echo/a", host).await, "200 a");
        let mistyped = ask(&served, "GET", "/echo/a/mistyped", host).await;
        assert!(mistyped.starts_with("404 not_found"), "{mistyped}");
        assert!(ask(&served, "GET", "/page", host).await.starts_with("200 all"), "{scope:?}");
        gateway.publish("hosting", &scope, Vec::new()).unwrap();
    }
}

#[tokio::test]
async fn a_conflict_is_an_error_and_changes_nothing() {
    let (served, gateway) = serve_publishing(Some(([127, 0, 0, 1], 1).into())).await;
    let publish = |owner: &'static str, path: &str| -> Result<()> {
        let routes = vec![function(owner, &SELF, "/also"), function(owner, &SELF, path)];
        gateway.publish(owner, &RouteScope::Everywhere, routes)
    };
    publish("first", "/hello").unwrap();
    let post = vec![function("second", &POST, "/hello")];
    for refused in [
        publish("second", "/hello"),
        gateway.publish("second", &RouteScope::Everywhere, post),
        publish("first", "/also"),
    ] {
        assert_eq!(refused.unwrap_err().kind(), Kind::AlreadyExists);
    }
    let below_configured = vec![Route::new(&Arc::new(Function("x")), &UP)];
    let refused = gateway.publish("second", &RouteScope::Everywhere, below_configured);
    assert_eq!(refused.unwrap_err().kind(), Kind::InvalidParameter);
    assert_eq!(get(&served, "/hello").await, "200 first - -");
    assert_eq!(get(&served, "/also").await, "200 first - -");
}

/// What the configuration names too, in other words.
static UP: Endpoint<Function> = endpoint("functions.up", Method::GET, "/up/{*all}");

#[tokio::test]
async fn what_is_published_outlives_a_new_configuration_and_one_that_meets_it_is_refused() {
    let (served, gateway) = serve_publishing(None).await;
    let routes = vec![function("one", &SELF, "/hello"), function("one", &ALL, "/hello")];
    gateway.publish("functions", &RouteScope::Everywhere, routes).unwrap();
    let configured = |path: &str| Config {
        routes: vec![remote_route(path, ([127, 0, 0, 1], 1).into())],
        ..Config::default()
    };
    assert!(gateway.prepare(&configured("/hello/{*rest}")).is_err());
    gateway.prepare(&configured("/other")).unwrap().commit();
    assert_eq!(get(&served, "/hello").await, "200 one - -");
    assert!(get(&served, "/other").await.starts_with("50"));
}

#[tokio::test]
async fn a_route_has_a_time_out_of_its_own() {
    let (served, gateway) = serve_publishing(None).await;
    let policy = RoutePolicy::ORDINARY.timeout(Duration::from_millis(20));
    let routes = vec![function("never", &SELF, "/slow").with_policy(policy)];
    gateway.publish("functions", &of_env("shop"), routes).unwrap();
    assert_eq!(ask(&served, "GET", "/slow", "shop.example").await, "504 timeout");
}

fn numbered(gateway: &Gateway, scope: &RouteScope, count: usize) -> Result<()> {
    let routes = (0..count).map(|number| function("f", &SELF, &format!("/f{number}")));
    gateway.publish("functions", scope, routes.collect())
}

#[tokio::test]
async fn the_routes_of_a_scope_and_of_an_owner_are_bounded() {
    let (served, gateway) = serve_publishing(None).await;
    let shop = of_env("shop");
    gateway.publish("hosting", &shop, vec![function("page", &SELF, "/page")]).unwrap();
    assert_eq!(numbered(&gateway, &shop, 1000).unwrap_err().kind(), Kind::LimitExceeded);
    numbered(&gateway, &shop, 999).unwrap();
    for number in 0..19 {
        numbered(&gateway, &of_env(&format!("e{number}")), 1000).unwrap();
    }
    assert_eq!(numbered(&gateway, &of_env("last"), 2).unwrap_err().kind(), Kind::LimitExceeded);
    numbered(&gateway, &of_env("last"), 1).unwrap();
    // A smaller list in the place of a larger one counts once.
    numbered(&gateway, &shop, 999).unwrap();
    assert_eq!(ask(&served, "GET", "/f998", "shop.example").await, "200 f shop -");
}
