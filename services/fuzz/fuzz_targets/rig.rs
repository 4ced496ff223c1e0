//! An identity service over a fresh database, with one person logged in and one server key.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use yunzhan_base::call::Params;
use yunzhan_base::event::Events;
use yunzhan_base::principal::{Authenticate, Claim, AuthVerdict};
use yunzhan_base::{Access, Call, Clock, Context, Principal, RequestId};
use yunzhan_engine::seal::MasterKey;
use yunzhan_engine::sql::Migrations;
use yunzhan_engine::sql::testing::Fresh;
use yunzhan_net::http::Client;
use yunzhan_services::acts::Acts;
use yunzhan_services::dialect::action::spec::ActionNames;
use yunzhan_services::dialect::documents;
use yunzhan_services::envs::{self, EnvStore, NewEnv, NewKey};
use yunzhan_services::identity::{self, Config, Identity, Parts};
use yunzhan_services::service::Lifecycle;

/// When everything happens, in seconds since 1970.
pub const NOW_S: i64 = 1_750_000_000;

pub struct Rig {
    pub identity: Arc<Identity>,
    /// An access token that is valid.
    pub token: String,
    pub key: NewKey,
    // Closed last.
    _fresh: Fresh,
}

impl Rig {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(Self::open())
    }

    async fn open() -> Self {
        let fresh = Fresh::sqlite();
        let clock = Clock::manual(NOW_S * 1000);
        let migrations = vec![("envs", envs::MIGRATIONS), ("identity", identity::MIGRATIONS)];
        let migrations = Migrations::new(migrations).expect("numbered migrations");
        let sql = fresh.open(migrations, clock.clone()).await;
        let master_key = MasterKey::from_bytes([7; 32]);
        let opened = EnvStore::open(envs::Parts {
            sql: sql.clone(),
            master_key: master_key.clone(),
            clock: clock.clone(),
            acts: Acts::unrecorded(),
            lifecycle: Lifecycle::default(),
        });
        let envs = opened.await.expect("an empty database");
        let new = NewEnv {
            id: "shop".parse().expect("an id"),
            appid: None,
            app_secret: None,
            hosts: Vec::new(),
            origins: Vec::new(),
            development_login: true,
        };
        let (_, key) = envs.add(new).await.expect("a first environment");
        let identity = Identity::open(Parts {
            sql,
            master_key,
            config: Config::default(),
            clock,
            envs: envs.envs(),
            server_keys: envs.server_keys(),
            actions: ActionNames::of(&[&documents::SERVICE]),
            http: Client::new(yunzhan_net::http::Config::default()),
            acts: Acts::unrecorded(),
            events: Events::default(),
        });
        let identity = identity.await.expect("a fresh identity service");
        let token = log_in(&identity).await;
        Self { identity, token, key, _fresh: fresh }
    }

    /// Whom the service takes the caller for.
    pub fn admit(&self, access: Access, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Option<Principal> {
        let claim = |body| Claim { access, method: &Method::POST, uri, headers, body, env: None };
        match self.identity.authenticate(&claim(None)) {
            AuthVerdict::NeedsBody => match self.identity.authenticate(&claim(Some(body))) {
                AuthVerdict::Known(principal) => Some(principal),
                _ => None,
            },
            AuthVerdict::Known(principal) => Some(principal),
            _ => None,
        }
    }
}

async fn log_in(identity: &Arc<Identity>) -> String {
    let anonymous = identity::ROUTES.iter().find(|route| route.spec.name == "identity.anonymous");
    let call = Call {
        method: Method::POST,
        uri: Uri::from_static("/"),
        headers: HeaderMap::new(),
        body: Bytes::from_static(br#"{"client_id":"shop"}"#).into(),
        params: Params::default(),
        context: Context::internal(RequestId::NONE, None, Duration::from_secs(5)),
    };
    let answer = (anonymous.expect("a route").handle)(Arc::clone(identity), call).await;
    let response = answer.expect("a login").into_response().expect("no upgrade");
    let json: serde_json::Value = serde_json::from_slice(response.body().held()).expect("JSON");
    json["access_token"].as_str().expect("a token").to_owned()
}
