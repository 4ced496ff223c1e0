//! Pages of other origins (the Fetch standard, CORS protocol): preflights are answered before anybody asks for a login, and
//! answers and refusals alike say which page may read them.
//!
//! Which origins are permitted says the environment (安全域名). A preflight carries no token, so that where neither host nor
//! query names the environment, an origin that any environment permits is let through; the request itself then names its
//! environment, and only its origins may read the answer.

use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode, response};
use yunzhan_base::env::Envs;
use yunzhan_base::policy::Cors;
use yunzhan_base::{Body, Live};

use crate::exchange::Exchange;
use crate::stage::{BodyPlan, Stage, Step};
use crate::stages::route::{Addressed, named_env};
use crate::table::Table;

/// For how long browsers may remember a preflight: as long as Chromium does at most.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// What pages may read of an answer beside what they always may.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("x-request-id, retry-after, etag, content-range");

const VARY_PREFLIGHT: HeaderValue = HeaderValue::from_static(
    "origin, access-control-request-method, access-control-request-headers",
);

/// The stage.
pub(crate) struct CorsStage {
    table: Live<Table>,
    envs: Live<Envs>,
}

impl CorsStage {
    pub(crate) fn new(table: Live<Table>, envs: Live<Envs>) -> Self {
        Self { table, envs }
    }

    /// The answer to a preflight, where the gateway gives it.
    fn preflight(&self, exchange: &mut Exchange) -> Option<Response<Body>> {
        let head = &exchange.head;
        let asked = head.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        let method = Method::from_bytes(asked.as_bytes()).ok()?;
        let envs = self.envs.peek();
        let (env, table) = (named_env(&envs, head).ok()?, self.table.peek());
        let addressed = Addressed::of(&table, &envs, head);
        let found = table.find(addressed.destination(), &method, head.uri.path()).ok()?;
        exchange.is_preflight = true;
        if found.rule.policy.cors == Cors::PassedOn {
            return None;
        }
        exchange.env = env;
        let mut answer = Response::new(Body::Empty);
        *answer.status_mut() = StatusCode::NO_CONTENT;
        let headers = answer.headers_mut();
        headers.insert(header::VARY, VARY_PREFLIGHT);
        if self.permitted(exchange) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, asked.clone());
            if let Some(names) = exchange.head.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
            }
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        }
        Some(answer)
    }

    /// Whether the page may read the answer.
    fn permitted(&self, exchange: &Exchange) -> bool {
        let Some(origin) = origin(exchange).and_then(|origin| origin.to_str().ok()) else {
            return false;
        };
        match &exchange.env {
            Some(env) => env.permits_origin(origin),
            None => self.envs.peek().iter().any(|env| env.permits_origin(origin)),
        }
    }
}

impl Stage for CorsStage {
    fn request<'x>(&'x self, exchange: &'x mut Exchange) -> Step<'x> {
        if exchange.head.method != Method::OPTIONS || origin(exchange).is_none() {
            return Step::Next;
        }
        match self.preflight(exchange) {
            Some(answer) => Step::Reply(Box::new(answer)),
            None => Step::Next,
        }
    }

    fn response(&self, exchange: &mut Exchange, head: &mut response::Parts) -> BodyPlan {
        if exchange.policy().is_some_and(|policy| policy.cors == Cors::PassedOn) {
            return BodyPlan::Pass;
        }
        // Also without an origin: a cache must not give this answer to a page.
        let varies = |value: &HeaderValue| {
            value.to_str().is_ok_and(|text| text.to_ascii_lowercase().contains("origin"))
        };
        if !head.headers.get_all(header::VARY).iter().any(varies) {
            head.headers.append(header::VARY, HeaderValue::from_static("origin"));
        }
        let Some(origin) = origin(exchange) else { return BodyPlan::Pass };
        if self.permitted(exchange) {
            head.headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            head.headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
        BodyPlan::Pass
    }
}

fn origin(exchange: &Exchange) -> Option<&HeaderValue> {
    const NULL: &str = "null";
    let name: HeaderName = header::ORIGIN;
    exchange.head.headers.get(name).filter(|origin| *origin != NULL)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use yunzhan_base::env::Env;

    use super::*;
    use crate::testing::{self, decide, exchange_of};

    fn stage() -> CorsStage {
        let shop = Env {
            hosts: vec!["shop.example".into()],
            origins: vec!["https://h5.shop.example".into()],
            ..Env::clone(&testing::env("shop"))
        };
        let dev = Env { development_login: true, ..Env::clone(&testing::env("dev")) };
        let envs = Live::new(Envs::new([shop, dev]).unwrap());
        CorsStage::new(Live::new(testing::table()), envs)
    }

    /// What the stage decides, and whom it then permits to read the answer.
    async fn check(method: &str, uri: &str, origin: &str) -> String {
        let head = http::Request::builder()
            .method(method)
            .uri(uri)
            .header("host", "a")
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "authorization");
        let mut exchange = exchange_of(head, Body::Empty);
        let stage = stage();
        let decided = decide(&stage, &mut exchange).await;
        exchange.env = named_env(&stage.envs.peek(), &exchange.head).ok().flatten();
        let (mut head, ()) = Response::new(()).into_parts();
        stage.response(&mut exchange, &mut head);
        let allowed = head.headers.get("access-control-allow-origin");
        format!("{decided} for {}", allowed.map_or("nobody", |allowed| allowed.to_str().unwrap()))
    }

    #[tokio::test]
    async fn preflights_are_answered_and_only_permitted_pages_may_read() {
        let ours = "https://h5.shop.example";
        assert_eq!(check("OPTIONS", "/things/1", ours).await, format!("reply 204 for {ours}"));
        assert_eq!(check("GET", "/things/1?env=shop", ours).await, format!("next for {ours}"));
        assert_eq!(check("GET", "/things/1?env=dev", ours).await, "next for nobody");
        assert_eq!(
            check("OPTIONS", "/things/1", "https://evil.example").await,
            "reply 204 for nobody"
        );
        assert_eq!(check("GET", "/things/1", "null").await, "next for nobody");
        // A page under development, which this machine serves.
        let local = "http://localhost:5173";
        assert_eq!(check("GET", "/things/1?env=dev", local).await, format!("next for {local}"));
        assert_eq!(check("GET", "/things/1?env=shop", local).await, "next for nobody");
    }

    #[tokio::test]
    async fn what_is_not_there_has_no_preflight() {
        let ours = "https://h5.shop.example";
        assert_eq!(check("OPTIONS", "/nothing", ours).await, format!("next for {ours}"));
    }
}
