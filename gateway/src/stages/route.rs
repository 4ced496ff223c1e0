//! Host, path and method → route, parameters, environment.

use std::sync::Arc;

use http::header::HOST;
use http::request;
use yunzhan_base::env::{Env, Envs};
use yunzhan_base::{EnvId, Error, Kind, Live, Result, call};

use crate::exchange::Exchange;
use crate::stage::{Stage, Step};
use crate::table::{Destination, Table};

/// Query parameters that may name the environment, in the order in which they count.
const ENV_PARAMETERS: [&str; 2] = ["env", "client_id"];

/// The stage.
pub(crate) struct RouteStage {
    table: Live<Table>,
    envs: Live<Envs>,
}

impl RouteStage {
    pub(crate) fn new(table: Live<Table>, envs: Live<Envs>) -> Self {
        Self { table, envs }
    }

    fn route(&self, exchange: &mut Exchange) -> Result<()> {
        let (head, path) = (&exchange.head, exchange.head.uri.path());
        let (table, envs) = (self.table.peek(), self.envs.peek());
        let addressed = Addressed::of(&table, &envs, head);
        let found = table.find(addressed.destination(), &head.method, path);
        if found.as_ref().is_err_and(|error| error.kind() == Kind::MethodNotAllowed) {
            exchange.allow = table.allowed(addressed.destination(), path);
        }
        exchange.render_error = match &found {
            Ok(matched) => matched.rule.render_error,
            Err(_) => table.dialect(path),
        };
        let matched = found?;
        exchange.env = host_env(&envs, head);
        if matched.rule.env_in_query {
            exchange.env = queried_env(&envs, head, exchange.env.take())?;
        }
        exchange.matched = Some(matched);
        Ok(())
    }

    /// A path among files refuses a method only where there is a file.
    fn refuse<'x>(&self, exchange: &'x mut Exchange, error: Error) -> Step<'x> {
        let (table, envs) = (self.table.peek(), self.envs.peek());
        let addressed = Addressed::of(&table, &envs, &exchange.head);
        let files = table.files(addressed.destination(), exchange.head.uri.path());
        let Some(files) = files else { return Step::Refuse(error) };
        Step::Wait(Box::pin(async move {
            let refusal = files.refusal(exchange.head.uri.path());
            let error = match refusal {
                Some(refusal) => refusal.await,
                None => error,
            };
            if error.kind() != Kind::MethodNotAllowed {
                exchange.allow = None;
            }
            Step::Refuse(error)
        }))
    }
}

impl Stage for RouteStage {
    fn request<'x>(&'x self, exchange: &'x mut Exchange) -> Step<'x> {
        match self.route(exchange) {
            Ok(()) => Step::Next,
            Err(error) if error.kind() == Kind::MethodNotAllowed => self.refuse(exchange, error),
            Err(error) => Step::Refuse(error),
        }
    }
}

/// Where a request wants to go, as far as that makes a difference to the table.
#[derive(Default)]
pub(crate) struct Addressed {
    host: Option<String>,
    env: Option<Arc<Env>>,
    is_env_queried: bool,
}

impl Addressed {
    pub(crate) fn of(table: &Table, envs: &Envs, head: &request::Parts) -> Self {
        if !table.is_scoped() {
            return Self::default();
        }
        // Two environments are refused by whoever asks for one; no route of either answers then.
        let of_host = host_env(envs, head);
        let is_env_queried = of_host.is_none();
        let env = queried_env(envs, head, of_host).ok().flatten();
        Self { host: host(head), env, is_env_queried }
    }

    pub(crate) fn destination(&self) -> Destination<'_> {
        let (host, env) = (self.host.as_deref(), self.env.as_ref().map(|env| &env.id));
        Destination { host, env, is_env_queried: self.is_env_queried }
    }
}

/// The environment that host and query name.
pub(crate) fn named_env(envs: &Envs, head: &request::Parts) -> Result<Option<Arc<Env>>> {
    queried_env(envs, head, host_env(envs, head))
}

/// The environment that host and query name, when they name one. Two different names are refused: one of them is wrong,
/// and guessing which would let one environment's page act in another.
fn queried_env(
    envs: &Envs,
    head: &request::Parts,
    mut named: Option<Arc<Env>>,
) -> Result<Option<Arc<Env>>> {
    let Some(query) = head.uri.query() else { return Ok(named) };
    for parameter in ENV_PARAMETERS {
        let Some(raw) = call::find_query(query, parameter).filter(|raw| !raw.is_empty()) else {
            continue;
        };
        let id: EnvId = call::decode(raw, true)?.parse()?;
        let env = envs.get(&id).ok_or_else(|| {
            Error::new(
                Kind::EnvNotFound,
                format!("there is no environment {id}; `yunzhan env list` shows them"),
            )
        })?;
        match &named {
            Some(other) if other.id != env.id => {
                return Err(Error::new(
                    Kind::EnvNotFound,
                    format!("the request names two environments, {} and {id}", other.id),
                ));
            }
            _ => named = Some(Arc::clone(env)),
        }
    }
    Ok(named)
}

fn host_env(envs: &Envs, head: &request::Parts) -> Option<Arc<Env>> {
    // Most servers name no hosts: nothing is then made of the header.
    if !envs.has_hosts() {
        return None;
    }
    let id = envs.by_host(&host(head)?)?;
    envs.get(id).cloned()
}

/// The host's name, in lower case, without its port.
fn host(head: &request::Parts) -> Option<String> {
    let host = match head.uri.authority() {
        Some(authority) => authority.as_str(),
        None => head.headers.get(HOST)?.to_str().ok()?,
    };
    // An IPv6 address has colons of its own, in brackets.
    let end = host
        .rfind(']')
        .map_or_else(|| host.find(':'), |end| host[end..].find(':').map(|at| end + at));
    Some(host[..end.unwrap_or(host.len())].to_ascii_lowercase())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;
    use crate::testing::{self, decide, exchange_of};

    fn stage() -> RouteStage {
        let table = testing::table();
        let named = Env { hosts: vec!["shop.example".into()], ..Env::clone(&testing::env("shop")) };
        let envs = Envs::new([named, Env::clone(&testing::env("other"))]).unwrap();
        RouteStage::new(Live::new(table), Live::new(envs))
    }

    async fn check(method: &str, uri: &str, host: &str) -> String {
        let head = http::Request::builder().method(method).uri(uri).header("host", host);
        let mut exchange = exchange_of(head, yunzhan_base::Body::Empty);
        let decided = decide(&stage(), &mut exchange).await;
        let env = exchange.env.as_ref().map_or("-", |env| env.id.as_str());
        format!("{decided} {} {env}", exchange.route_name())
    }

    #[tokio::test]
    async fn host_and_query_name_the_environment_and_the_path_the_route() {
        assert_eq!(check("GET", "/things/1", "a").await, "next test.thing -");
        assert_eq!(check("HEAD", "/things/1", "a").await, "next test.thing -");
        assert_eq!(check("GET", "/things/1", "Shop.Example:8080").await, "next test.thing shop");
        assert_eq!(check("GET", "/things/1?env=other", "a").await, "next test.thing other");
        let two = check("GET", "/things/1?env=other", "shop.example").await;
        assert!(two.starts_with("refuse env_not_found: the request names two"), "{two}");
        assert!(check("GET", "/things/1?env=none", "a").await.starts_with("refuse env_not_found"));
    }

    #[tokio::test]
    async fn a_route_may_stand_for_one_host_or_one_environment_alone() {
        assert_eq!(check("GET", "/own", "only.example:80").await, "next test.thing -");
        assert_eq!(check("GET", "/of-env?env=other", "a").await, "next test.thing other");
        for (uri, host) in [("/own", "a"), ("/of-env", "a"), ("/of-env", "shop.example")] {
            assert!(check("GET", uri, host).await.starts_with("refuse not_found"), "{uri} {host}");
        }
    }

    #[tokio::test]
    async fn what_is_not_there_is_told_from_what_is_not_answered() {
        assert!(check("GET", "/nothing", "a").await.starts_with("refuse not_found"));
        let wrong = check("POST", "/things/1", "a").await;
        assert!(
            wrong.starts_with("refuse method_not_allowed: this path answers GET, HEAD only"),
            "{wrong}"
        );
    }
}
