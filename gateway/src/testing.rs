//! Exchanges made by hand, for the tests of stages.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;

use http::Request;
use yunzhan_base::env::Env;
use yunzhan_base::route::{RouteScope, bind};
use yunzhan_base::{Access, Body, Endpoint, Live, RequestId, Route, RoutePolicy, RouteSpec};

use yunzhan_net::http::Client;

use crate::body::Budget;
use crate::client_address::TrustedProxies;
use crate::config::Config;
use crate::exchange::{
    Answered, ConnectionFacts, Exchange, Matched, Rule, Upstream, UpstreamFuture,
};
use crate::respond;
use crate::routes::{Routes, Shared};
use crate::stage::{Stage, Step};
use crate::table::Table;

/// A request that came from 127.0.0.1 over HTTP/1.1, and that no stage has seen.
pub(crate) fn exchange(method: &str, uri: &str) -> Exchange {
    exchange_of(Request::builder().method(method).uri(uri).header("host", "a"), Body::Empty)
}

/// The same with a head and a body.
pub(crate) fn exchange_of(head: http::request::Builder, body: Body) -> Exchange {
    let (head, ()) = head.body(()).unwrap().into_parts();
    let remote = std::net::SocketAddr::from(([127, 0, 0, 1], 4711));
    let connection = Arc::new(ConnectionFacts::new(remote, false, "http/1.1"));
    Exchange::new(RequestId::NONE, head, body, connection, respond::plain)
}

/// An environment that permits nothing beyond what every environment does.
pub(crate) fn env(id: &str) -> Arc<Env> {
    Arc::new(Env::new(id.parse().unwrap()))
}

/// Lets the exchange have matched a route with this policy, which answers nothing.
pub(crate) fn matched(exchange: &mut Exchange, access: Access, policy: RoutePolicy) {
    let rule = Rule {
        name: "test",
        access,
        policy,
        render_error: respond::plain,
        env_in_query: true,
        parameter_names: Vec::new(),
        upstream: Arc::new(Nobody),
    };
    exchange.matched = Some(Matched { rule: Arc::new(rule), params: Default::default() });
}

struct Things;

const THINGS: &[Endpoint<Things>] = &[thing("/things/{id}")];

const OWN: &[Endpoint<Things>] = &[thing("/own"), thing("/of-env")];

const fn thing(path: &'static str) -> Endpoint<Things> {
    Endpoint {
        spec: RouteSpec {
            name: "test.thing",
            method: http::Method::GET,
            path,
            access: Access::Public,
            policy: RoutePolicy::CORE,
            render_error: respond::plain,
        },
        handle: |_, _| Box::pin(async { Ok(http::Response::new(Body::Empty).into()) }),
    }
}

/// A table of a service with a route, which stands under other paths for one host and one environment.
pub(crate) fn table() -> Table {
    let things = bind(&Arc::new(Things), THINGS);
    let own = bind(&Arc::new(Things), OWN)
        .into_iter()
        .zip([RouteScope::Host("only.example".into()), RouteScope::Env("other".parse().unwrap())]);
    let own: Vec<Route> = own.map(|(route, scope)| route.in_scope(scope)).collect();
    let shared = Shared {
        client: Client::new(yunzhan_net::http::Config::default()),
        budget: Budget::new(0),
        bounds: Live::new(Config::default().bounds()),
        trusted_proxies: Live::new(TrustedProxies::default()),
    };
    let routes = Routes::new([things, own].concat(), Vec::new(), None, shared);
    Table::build(&routes, &[]).unwrap()
}

/// What a stage decides, in words.
pub(crate) async fn decide(stage: &dyn Stage, exchange: &mut Exchange) -> String {
    let mut step = stage.request(exchange);
    while let Step::Wait(future) = step {
        step = future.await;
    }
    match step {
        Step::Next | Step::Wait(_) => "next".into(),
        Step::Reply(response) => format!("reply {}", response.status().as_u16()),
        Step::Refuse(error) => format!("refuse {}: {error}", error.kind().name()),
    }
}

struct Nobody;

impl Upstream for Nobody {
    fn answer<'x>(&'x self, _: &'x mut Exchange) -> UpstreamFuture<'x> {
        Box::pin(async { Ok(Answered::Response(http::Response::new(Body::Empty))) })
    }
}
