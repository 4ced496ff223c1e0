//! A server without a socket: environments, identity and a door that routes and authenticates as the gateway does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use serde_json::Value;
use yunzhan_base::audit::{Appended, Ledger, Phase, Record};
use yunzhan_base::call::{Params, find_query};
use yunzhan_base::event::Events;
use yunzhan_base::principal::{AuthVerdict, Authenticate, Claim};
use yunzhan_base::route::bind;
use yunzhan_base::{
    Access, Body, Call, Clock, Context, Error, Kind, Principal, RequestId, Result, Route, Secret,
};
use yunzhan_engine::sql::Migrations;
use yunzhan_engine::sql::testing::Fresh;
use yunzhan_net::http::Client;

use super::paused::Paused;
use crate::acts::Acts;
use crate::dialect::action::ActionNames;
use crate::envs::{self, EnvStore, NewEnv, NewKey};
use crate::identity::memory::Ending;
use crate::identity::store::EndingsSince;
use crate::identity::{self, Config, Identity, Parts};
use crate::service::Lifecycle;
use yunzhan_engine::seal::MasterKey;

/// When the tests begin.
pub(super) const START_MS: i64 = 1_750_000_000_000;

pub(super) struct House {
    pub(super) clock: Clock,
    pub(super) envs: Arc<EnvStore>,
    pub(super) identity: Arc<Identity>,
    pub(super) ledger: Arc<Records>,
    pub(super) config: Config,
    pub(super) sql: Arc<Paused>,
    routes: Vec<Route>,
    _fresh: Fresh,
}

/// A request as a client writes it.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) target: &'a str,
    pub(super) authorization: Option<&'a str>,
    pub(super) body: &'a str,
}

#[derive(Default)]
pub(super) struct Records(Mutex<Vec<String>>);

impl Ledger for Records {
    fn append(&self, record: Record) -> Appended {
        if record.phase == Phase::Done {
            let who = record.actor.split(':').next().unwrap();
            let failure = record.failure.map(|failure| format!(": {failure}")).unwrap_or_default();
            self.0.lock().unwrap().push(format!("{who} {}{failure}", record.action));
        }
        Box::pin(async { Ok(()) })
    }
}

impl Records {
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl House {
    /// Every ending that is stored.
    pub(super) async fn endings(&self) -> Vec<Ending> {
        let (mut all, mut next) = (Vec::new(), Some(EndingsSince::default()));
        while let Some(since) = next {
            let page = self.identity.store.endings_since(&since, 0).await.unwrap();
            all.extend(page.0);
            next = page.1;
        }
        all
    }

    /// A server with the development environments `shop` and `other`.
    pub(super) async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub(super) async fn with(config: Config) -> Self {
        Self::on(Fresh::sqlite(), config).await
    }

    pub(super) async fn on(fresh: Fresh, config: Config) -> Self {
        let clock = Clock::manual(START_MS);
        let migrations = vec![("envs", envs::MIGRATIONS), ("identity", identity::MIGRATIONS)];
        let sql = fresh.open(Migrations::new(migrations).unwrap(), clock.clone()).await;
        let sql = Paused::new(sql);
        let ledger = Arc::new(Records::default());
        let parts = envs::Parts {
            sql: sql.clone(),
            master_key: master_key(),
            clock: clock.clone(),
            acts: acts(&ledger, &clock),
            lifecycle: Lifecycle::default(),
        };
        let envs = EnvStore::open(parts).await.unwrap();
        for env in ["shop", "other"] {
            envs.add(development(env)).await.unwrap();
        }
        let identity = replica(&sql, &config, &clock, &envs, &ledger).await;
        let routes = routes(&identity, &envs);
        Self { clock, envs, identity, ledger, config, sql, routes, _fresh: fresh }
    }

    /// A second server on the same database takes this one's place, as after a restart.
    pub(super) async fn restart(&mut self) {
        self.identity = self.replica().await;
        self.routes = routes(&self.identity, &self.envs);
    }

    /// Another server on the same database.
    pub(super) async fn replica(&self) -> Arc<Identity> {
        replica(&self.sql, &self.config, &self.clock, &self.envs, &self.ledger).await
    }

    pub(super) fn later(&self, by: Duration) {
        self.clock.advance(by);
    }

    pub(super) async fn post(&self, target: &str, body: &str) -> (u16, Value) {
        self.ask(Ask { method: Method::POST, target, authorization: None, body }).await
    }

    pub(super) async fn get(&self, target: &str, token: &str) -> (u16, Value) {
        let authorization = format!("Bearer {token}");
        let authorization = Some(authorization.as_str());
        self.ask(Ask { method: Method::GET, target, authorization, body: "" }).await
    }

    /// What a client gets: status and JSON.
    pub(super) async fn ask(&self, ask: Ask<'_>) -> (u16, Value) {
        let uri: Uri = ask.target.parse().unwrap();
        let (route, params) = self.route(&ask.method, uri.path());
        let answer = match self.admit(route, &ask, &uri) {
            Ok((principal, env)) => route.call(self.call(&ask, uri, params, principal, env)).await,
            Err(refusal) => Err(refusal),
        };
        let response = answer
            .unwrap_or_else(|error| (route.spec.render_error)(&error, RequestId::NONE).into());
        let response = response.into_response().expect("no route of identity upgrades");
        let status = response.status().as_u16();
        let body = match response.into_body() {
            Body::Held(bytes) => serde_json::from_slice(&bytes).unwrap(),
            other => panic!("a held body, not {other:?}"),
        };
        (status, body)
    }

    fn route(&self, method: &Method, path: &str) -> (&Route, Params) {
        let fits =
            |route: &&Route| route.spec.method == *method && segments_fit(route.spec.path, path);
        let route =
            self.routes.iter().find(fits).unwrap_or_else(|| panic!("no route {method} {path}"));
        let mut params = Params::default();
        for (name, value) in route.spec.path.split('/').zip(path.split('/')) {
            if let Some(name) = name.strip_prefix('{') {
                params.push(name.strip_suffix('}').unwrap(), value.to_owned());
            }
        }
        (route, params)
    }

    fn admit(
        &self,
        route: &Route,
        ask: &Ask<'_>,
        uri: &Uri,
    ) -> Result<(Principal, Option<Arc<yunzhan_base::env::Env>>)> {
        if route.spec.access == Access::Operator {
            return Ok((Principal::Operator, None));
        }
        let named = uri.query().and_then(|query| find_query(query, "client_id"));
        let named = named.map(|id| self.envs.get(&id.parse()?)).transpose()?;
        let headers = headers(ask);
        let claim = Claim {
            access: route.spec.access,
            method: &ask.method,
            uri,
            headers: &headers,
            body: None,
            env: named.as_ref().map(|env| &env.id),
        };
        let principal = match self.identity.authenticate(&claim) {
            AuthVerdict::Known(principal) => principal,
            AuthVerdict::Refused(error) => return Err(error),
            AuthVerdict::NeedsBody | AuthVerdict::Wait(_) => {
                return Err(Error::new(
                    Kind::Internal,
                    "an identity route needs no body to know its caller",
                ));
            }
        };
        let env = match principal.env() {
            Some(env) => Some(self.envs.get(env)?),
            None => named,
        };
        Ok((principal, env))
    }

    fn call(
        &self,
        ask: &Ask<'_>,
        uri: Uri,
        params: Params,
        principal: Principal,
        env: Option<Arc<yunzhan_base::env::Env>>,
    ) -> Call {
        Call {
            method: ask.method.clone(),
            uri,
            headers: headers(ask),
            body: Bytes::copy_from_slice(ask.body.as_bytes()).into(),
            params,
            context: Context {
                principal,
                ..Context::internal(RequestId::NONE, env, Duration::from_secs(5))
            },
        }
    }

    /// A new key of an environment.
    pub(super) async fn add_key(&self, env: &str) -> NewKey {
        let key = NewKey::generate().unwrap();
        self.envs.add_key(&env.parse().unwrap(), key).await.unwrap()
    }

    /// A development login; gives the credentials.
    pub(super) async fn log_in(&self, env: &str, name: &str) -> Value {
        let body = format!(r#"{{"provider_id":"development","provider_code":"{name}"}}"#);
        let (status, first) =
            self.post(&format!("/auth/v1/provider/token?client_id={env}"), &body).await;
        assert_eq!(status, 200, "{first}");
        let body = serde_json::json!({ "provider_token": first["provider_token"] }).to_string();
        let (status, second) =
            self.post(&format!("/auth/v1/signin/with/provider?client_id={env}"), &body).await;
        assert_eq!(status, 200, "{second}");
        second
    }

    pub(super) async fn renew(&self, env: &str, refresh_token: &str) -> (u16, Value) {
        let body = serde_json::json!({
            "client_id": env, "client_secret": "", "grant_type": "refresh_token", "refresh_token": refresh_token,
        });
        self.post(&format!("/auth/v1/token?client_id={env}"), &body.to_string()).await
    }

    /// Status of a request with this access token.
    pub(super) async fn me(&self, token: &str) -> u16 {
        self.get("/auth/v1/user/me", token).await.0
    }
}

fn headers(ask: &Ask<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(value) = ask.authorization {
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn segments_fit(pattern: &str, path: &str) -> bool {
    pattern.split('/').count() == path.split('/').count()
        && pattern
            .split('/')
            .zip(path.split('/'))
            .all(|(pattern, part)| pattern.starts_with('{') || pattern == part)
}

fn routes(identity: &Arc<Identity>, envs: &Arc<EnvStore>) -> Vec<Route> {
    let mut routes = bind(identity, identity::ROUTES);
    routes.extend(bind(identity, identity::control::CONTROL));
    routes.extend(bind(envs, envs::control::CONTROL));
    routes
}

async fn replica(
    sql: &Arc<Paused>,
    config: &Config,
    clock: &Clock,
    envs: &Arc<EnvStore>,
    ledger: &Arc<Records>,
) -> Arc<Identity> {
    let parts = Parts {
        sql: sql.clone(),
        master_key: master_key(),
        config: config.clone(),
        clock: clock.clone(),
        envs: envs.envs(),
        server_keys: envs.server_keys(),
        actions: ActionNames::of(&[]),
        http: Client::new(yunzhan_net::http::Config::default()),
        acts: acts(ledger, clock),
        events: Events::default(),
    };
    Identity::open(parts).await.unwrap()
}

fn acts(ledger: &Arc<Records>, clock: &Clock) -> Acts {
    Acts::new(Arc::clone(ledger) as Arc<dyn Ledger>, clock.clone(), Events::default())
}

fn master_key() -> MasterKey {
    MasterKey::from_bytes([7; 32])
}

pub(super) fn development(env: &str) -> NewEnv {
    NewEnv {
        id: env.parse().unwrap(),
        appid: None,
        app_secret: None,
        hosts: Vec::new(),
        origins: Vec::new(),
        development_login: true,
    }
}

/// An environment of a real mini-program.
pub(super) async fn add_mini_program(house: &House) -> NewKey {
    let new = NewEnv {
        id: "real".parse().unwrap(),
        appid: Some("wx0123456789abcdef".into()),
        app_secret: Some(Secret::from("app&secret")),
        hosts: Vec::new(),
        origins: Vec::new(),
        development_login: false,
    };
    house.envs.add(new).await.unwrap().1
}

/// The text of a member.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}"))
}
