//! Host, path and method → route, parameters, environment.

use std::sync::Arc;

use http::header::HOST;
use http::request;
use yunzhan_base::env::{Env, Envs};
use yunzhan_base::{EnvId, Error, Kind, Live, Result, call};

use crate::exchange::Exchange;
use crate::stage::{Stage, Step};
use crate::table::Table;

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
        let head = &exchange.head;
        let table = self.table.peek();
        exchange.render_error = table.dialect(head.uri.path());
        let found = table.find(&head.method, head.uri.path());
        if found.as_ref().is_err_and(|error| error.kind() == Kind::MethodNotAllowed) {
            exchange.allow = table.allowed(exchange.head.uri.path());
        }
        let matched = found?;
        exchange.render_error = matched.rule.render_error;
        let envs = self.envs.peek();
        exchange.env = host_env(&envs, &exchange.head);
        if matched.rule.env_in_query {
            exchange.env = queried_env(&envs, &exchange.head, exchange.env.take())?;
        }
        exchange.matched = Some(matched);
        Ok(())
    }

    /// A path among files refuses a method only where there is a file.
    fn refuse<'x>(&self, exchange: &'x mut Exchange, error: Error) -> Step<'x> {
        let Some(files) = self.table.peek().files(exchange.head.uri.path()) else {
            return Step::Refuse(error);
        };
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

/// The environment that host and query name, when they name one. Two different names are refused: one of them is wrong,
/// and guessing which would let one environment's page act in another.
fn queried_env(
    envs: &Envs,
    head: &request::Parts,
    mut named: Option<Arc<Env>>,
) -> Result<Option<Arc<Env>>> {
    let query = head.uri.query().unwrap_or("");
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
    let host = match head.uri.authority() {
        Some(authority) => authority.as_str(),
        None => head.headers.get(HOST)?.to_str().ok()?,
    };
    let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
    let id = envs.by_host(&name.to_ascii_lowercase())?;
    envs.get(id).cloned()
}
