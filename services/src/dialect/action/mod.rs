//! The dialects that have one address and name the action in the body: tables of actions that the services bring.
//!
//! [`super::admin`] and [`super::web`] are two [`Dialect`]s. A business error is an answer of status 200 with a
//! `code`: the SDKs report any other status as a generic failure. A service brings its actions as rows of
//! [`Service::actions`](crate::service::Service::actions); [`Actions`] is what comes of all of them, and answers clients and
//! callers inside this server alike. What the SDKs send and nobody brings is refused by name ([`known`]).

mod known;
mod request;
pub mod spec;

use std::pin::Pin;
use std::sync::Arc;

use http::Response;
use yunzhan_base::{
    Body, Call, Clock, Context, Error, Kind, Principal, RequestId, ResponseFuture, Result,
};
use yunzhan_query::Bson;

pub(crate) use self::request::Request;
use self::request::{Asked, Unbound};
pub(crate) use self::spec::{ActionNames, ActionSpec, DialectName};
use super::reply::{self, Object};
use super::{admin, gateway, transactions, web};
use crate::nodes::cluster::Cluster;
use crate::offload::{self, LONG_BYTES};
use crate::service::{Opened, Opening, Service};

/// The front of the services' actions. It stands after all that bring some.
pub static SERVICE: Service<Actions> = Service {
    routes: &[admin::ROUTES, web::ROUTES, gateway::not_offered::ROUTES],
    ..Service::new("actions", open)
};

/// In what one of these dialects differs from the other.
pub(super) struct Dialect {
    pub(super) name: DialectName,
    /// The member that names the environment.
    pub(super) env_member: &'static str,
    /// What the environment is taken from, in a word.
    pub(super) credential: &'static str,
    /// How an id is written.
    pub(super) write_id: fn(&Bson) -> String,
    /// The members of an answer that name the document which an update added.
    pub(super) upserted_members: &'static [&'static str],
}

/// One action of a service.
pub struct Action<S: 'static> {
    /// What others must know of it.
    pub spec: ActionSpec,
    /// What answers it.
    pub(crate) handle: Handle<S>,
}

/// Answers a call of an action.
pub(crate) type Handle<S> = for<'c> fn(Request<'c, S>) -> Reply<'c>;

/// What an action answers: it writes its fields into an object that names the request already.
pub(crate) type Reply<'c> = Pin<Box<dyn Future<Output = Result<Object>> + Send + 'c>>;

/// An action whose service is open.
#[derive(Clone)]
pub struct OpenAction {
    spec: &'static ActionSpec,
    answer: Arc<dyn Answer>,
}

trait Answer: Send + Sync {
    fn answer<'c>(&'c self, request: Unbound<'c>) -> Reply<'c>;
}

struct Bound<S: 'static> {
    service: Arc<S>,
    handle: Handle<S>,
}

impl<S: Send + Sync + 'static> Answer for Bound<S> {
    fn answer<'c>(&'c self, request: Unbound<'c>) -> Reply<'c> {
        (self.handle)(request.of(&self.service))
    }
}

/// The actions of all services, by dialect.
pub struct Actions {
    /// By name, in the order of [`DialectName::ALL`].
    tables: [Vec<Row>; 2],
    clock: Clock,
    cluster: Option<Arc<Cluster>>,
}

/// An action of a dialect, and who answers it where somebody does.
struct Row {
    spec: &'static ActionSpec,
    answer: Option<Arc<dyn Answer>>,
}

// === impl Action ===

impl<S: Send + Sync + 'static> Action<S> {
    /// An action.
    pub(crate) const fn new(
        name: &'static str,
        dialects: &'static [DialectName],
        members: &'static [&'static str],
        handle: Handle<S>,
    ) -> Self {
        Self { spec: ActionSpec::new(name, dialects, members), handle }
    }

    /// The action with the service that answers it.
    pub(crate) fn bind(&'static self, service: &Arc<S>) -> OpenAction {
        let bound = Bound { service: Arc::clone(service), handle: self.handle };
        OpenAction { spec: &self.spec, answer: Arc::new(bound) }
    }
}

// === impl Actions ===

impl Actions {
    /// The actions of these services.
    pub(crate) fn new<'a>(offered: impl Iterator<Item = &'a OpenAction>, clock: Clock) -> Self {
        let offered: Vec<_> = offered.collect();
        let table = |dialect| {
            let row = |action: &&OpenAction| Row {
                spec: action.spec,
                answer: Some(Arc::clone(&action.answer)),
            };
            let mut rows: Vec<_> = offered.iter().map(row).collect();
            rows.extend(known::NOT_OFFERED.iter().map(|spec| Row { spec, answer: None }));
            rows.retain(|row| row.spec.dialects.contains(&dialect));
            // Stable, so that of two with one name the service's stays.
            rows.sort_by_key(|row| row.spec.name);
            rows.dedup_by_key(|row| row.spec.name);
            rows
        };
        Self { tables: DialectName::ALL.map(table), clock, cluster: None }
    }

    /// Calls an action from inside: on behalf of whoever the context names, under the checks that a client of theirs meets.
    /// People speak the web dialect, servers and operators the admin dialect; `members` is the JSON object that a client would
    /// send, without `action`. Gives the JSON text of the answer.
    ///
    /// # Errors
    /// Those of the action; `Unauthenticated` for nobody; `EnvNotFound` without an environment, or with one that is not the
    /// caller's; `Timeout` at the deadline of the context.
    pub async fn call(&self, context: &Context, action: &str, members: &[u8]) -> Result<String> {
        let dialect = match &context.principal {
            Principal::User(_) => &web::DIALECT,
            Principal::Server(_) | Principal::Operator => &admin::DIALECT,
            Principal::Nobody => {
                let message = format!("{action} is called on nobody's behalf; name a caller");
                return Err(Error::new(Kind::Unauthenticated, message));
            }
        };
        let env = context.env()?;
        if context.principal.env().is_some_and(|own| *own != env.id) {
            let message = format!("the caller is not of environment {}", env.id);
            return Err(Error::new(Kind::EnvNotFound, message));
        }
        let asked = Asked { dialect, context, env: &env.id, headers: None, body: members };
        let is_long = members.len() >= LONG_BYTES;
        let work = offload::run(is_long, self.answer(asked, Some(action)));
        match tokio::time::timeout_at(context.deadline.into(), work).await {
            Ok(answer) => answer.map(Object::close),
            Err(_) => {
                Err(Error::new(Kind::Timeout, format!("{action} did not end before its deadline")))
            }
        }
    }

    /// Reads the body, finds the action that is meant, and has it answered.
    async fn answer(&self, asked: Asked<'_>, action: Option<&str>) -> Result<Object> {
        let (named, mut request) = asked.read(self.clock.now_ms(), action)?;
        let row = self.find(asked.dialect.name, &named)?;
        let Some(answer) = &row.answer else { return Err(row.spec.not_offered()) };
        request.declare(row.spec.members);
        answer.answer(request).await
    }

    /// The transaction that a body is about, if its action is one of transactions, and whether it commits it.
    fn transaction_of(&self, dialect: DialectName, body: &[u8]) -> Option<(String, bool)> {
        let (action, id) = transactions::Named::in_body(body)?;
        let row = self.find(dialect, &action?).ok()?;
        let is_commit = row.spec.name == transactions::COMMIT_ACTION;
        row.spec.members.contains(&"transactionId").then_some((id, is_commit))
    }

    fn find(&self, dialect: DialectName, name: &str) -> Result<&Row> {
        let rows = &self.tables[dialect as usize];
        let place = rows.binary_search_by_key(&name, |row| row.spec.name).map_err(|_| {
            Error::new(Kind::InvalidParameter, "action names nothing that this dialect knows")
        })?;
        Ok(&rows[place])
    }

    /// The refusal of an action, where it is one that this dialect knows and nobody answers.
    pub(super) fn refusal(&self, dialect: DialectName, name: &str) -> Option<Error> {
        let row = self.find(dialect, name).ok().filter(|row| row.answer.is_none())?;
        Some(row.spec.not_offered())
    }
}

fn open(opening: &Opening) -> Opened<'_, Actions> {
    Box::pin(async move {
        let offered = opening.opened.iter().flat_map(|service| &service.actions);
        let actions = Actions::new(offered, opening.clock.clone());
        Ok(Arc::new(Actions { cluster: Some(Arc::clone(&opening.cluster)), ..actions }))
    })
}

/// Answers a client's call in this dialect.
pub(super) fn call(
    dialect: &'static Dialect,
    route: &'static str,
    actions: Arc<Actions>,
    call: Call,
) -> ResponseFuture {
    let is_long = call.bytes().len() >= LONG_BYTES;
    Box::pin(offload::run(is_long, async move {
        if let Some(cluster) = actions.cluster.as_ref().filter(|cluster| cluster.has_peers()) {
            let id = actions.transaction_of(dialect.name, call.bytes());
            if let Some(reply) = transactions::answer_elsewhere(cluster, route, &call, id).await? {
                return Ok(reply);
            }
        }
        let asked = Asked {
            dialect,
            context: &call.context,
            env: &call.context.env()?.id,
            headers: Some(&call.headers),
            body: call.bytes(),
        };
        let object = actions.answer(asked, None).await?;
        Ok(reply::json(object.close()))
    }))
}

/// A refusal of these dialects, always of status 200.
pub(super) fn render_error(error: &Error, request_id: RequestId) -> Response<Body> {
    reply::refusal(error, request_id)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;
