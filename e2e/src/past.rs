//! Access tokens of another time, for tests of what time does to them.
//!
//! They are issued by the real service on a server's own data folder, with the server's own keys, under a clock that
//! stands elsewhere. The server must not run meanwhile.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use hyper::{Method, Uri};
use serde_json::{Value, json};
use yunzhan_base::call::Params;
use yunzhan_base::context::Context as CallContext;
use yunzhan_base::event::Events;
use yunzhan_base::{Call, Clock, DataDir, Principal, RequestId, route};
use yunzhan_engine::config;
use yunzhan_engine::lease::{self, Leases};
use yunzhan_engine::seal::MasterKey;
use yunzhan_engine::sql::{self, Migrations};
use yunzhan_net::http::Client;
use yunzhan_services::acts::Acts;
use yunzhan_services::identity::{self, Identity};
use yunzhan_services::nodes::cluster::Cluster;
use yunzhan_services::published::Introduction;
use yunzhan_services::service::{self, AnyService, Lifecycle, Opening, Sections};
use yunzhan_services::{dialect, envs};

/// As the server has them: a database that was made by all is opened by all.
static SERVICES: &[&dyn AnyService] =
    &[&envs::SERVICE, &identity::SERVICE, &dialect::documents::SERVICE, &dialect::action::SERVICE];

const ISSUE: &str = "identity.control.issue";

/// The access token that somebody got who logged in under this name at this time.
///
/// # Errors
/// When the folder cannot be opened, or the service refuses.
pub async fn access_token_of(data: &DataDir, env: &str, name: &str, at_ms: i64) -> Result<String> {
    let identity = open(data, Clock::manual(at_ms)).await?;
    let routes = route::bind(&identity, identity::control::CONTROL);
    let issue = routes.iter().find(|route| route.spec.name == ISSUE).context(ISSUE)?;
    let answer = issue.call(call(env, name)).await?;
    let response = answer.into_response().context("a response")?;
    let credentials: Value = serde_json::from_slice(response.body().held())?;
    Ok(credentials["access_token"].as_str().context("an access token")?.to_owned())
}

async fn open(data: &DataDir, clock: Clock) -> Result<Arc<Identity>> {
    let migrations = SERVICES.iter().map(|service| (service.name(), service.migrations()));
    let opening = sql::Opening {
        config: config::Sql::default(),
        root: data.root().to_owned(),
        migrations: Migrations::new(migrations.collect())?,
        clock: clock.clone(),
        events: Events::default(),
    };
    let (sql, events) = (sql::open(opening).await?, Events::to(Vec::new()));
    let leases = Arc::new(Leases::new(lease::Parts {
        sql: Arc::clone(&sql),
        clock: clock.clone(),
        events: events.clone(),
        name: "past".to_owned(),
        version: env!("CARGO_PKG_VERSION"),
        life: None,
    }));
    let opening = Opening {
        services: SERVICES,
        sql,
        master_key: master_key(data)?,
        cluster: Cluster::new(Arc::clone(&leases), None),
        leases,
        clock,
        http: Client::new(yunzhan_net::http::Config::default()),
        events,
        acts: Acts::unrecorded(),
        lifecycle: Lifecycle::default(),
        introduction: Introduction::default(),
        sections: Sections::default(),
        opened: Vec::new(),
    };
    Ok(service::find(&opening.open_all().await?)?)
}

fn master_key(data: &DataDir) -> Result<MasterKey> {
    let mut bytes = [0; yunzhan_engine::seal::KEY_BYTES];
    hex::decode_to_slice(std::fs::read_to_string(data.master_key())?.trim(), &mut bytes)?;
    Ok(MasterKey::from_bytes(bytes))
}

/// As the gateway would hand it over.
fn call(env: &str, name: &str) -> Call {
    let mut params = Params::default();
    params.push("env", env.to_owned());
    let context = CallContext {
        principal: Principal::Operator,
        ..CallContext::internal(RequestId::NONE, None, Duration::from_secs(10))
    };
    let body = json!({ "name": name }).to_string().into();
    Call { body, params, ..Call::new(Method::POST, Uri::from_static("/"), context) }
}
