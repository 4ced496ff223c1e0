//! Authenticates a request: the route's access against what the request claims. Strangers leave before their bodies are read, and where only
//! the body says who asks, before anything is done with it.

use std::sync::Arc;

use bytes::Bytes;
use yunzhan_base::env::Envs;
use yunzhan_base::policy::Cors;
use yunzhan_base::principal::{AuthVerdict, Authenticate, Claim};
use yunzhan_base::{Access, Error, Kind, Live, Principal, Result};

use crate::budget::Budget;
use crate::exchange::Exchange;
use crate::stage::{Stage, Step};

/// The stage.
pub(crate) struct AuthStage {
    authenticate: Arc<dyn Authenticate>,
    envs: Live<Envs>,
    budget: Budget,
}

impl AuthStage {
    pub(crate) fn new(
        authenticate: Arc<dyn Authenticate>,
        envs: Live<Envs>,
        budget: Budget,
    ) -> Self {
        Self { authenticate, envs, budget }
    }

    fn ask(&self, exchange: &Exchange, access: Access, body: Option<&Bytes>) -> AuthVerdict {
        self.authenticate.authenticate(&Claim {
            access,
            method: &exchange.head.method,
            uri: &exchange.head.uri,
            headers: &exchange.head.headers,
            body,
            env: exchange.env.as_ref().map(|env| &env.id),
        })
    }

    /// Holds the body, because the signature covers it or the token is in it, and asks again.
    async fn ask_with_body<'x>(
        &'x self,
        exchange: &'x mut Exchange,
        access: Access,
        bytes_max: usize,
    ) -> Step<'x> {
        let body = match exchange.body.hold(bytes_max, &self.budget).await {
            Ok(body) => body,
            Err(error) => return Step::Refuse(error),
        };
        let known = match self.ask(exchange, access, Some(&body)) {
            AuthVerdict::Known(principal) => Ok(principal),
            AuthVerdict::Refused(error) => Err(error),
            AuthVerdict::Wait(look_up) => look_up.await,
            AuthVerdict::NeedsBody => Err(Error::internal("the body was asked for twice")),
        };
        self.settle(exchange, access, known)
    }

    fn settle<'x>(
        &self,
        exchange: &mut Exchange,
        access: Access,
        known: Result<Principal>,
    ) -> Step<'x> {
        match known.and_then(|principal| self.admit(exchange, access, principal)) {
            Ok(()) => Step::Next,
            Err(error) => Step::Refuse(error),
        }
    }

    fn admit(&self, exchange: &mut Exchange, access: Access, principal: Principal) -> Result<()> {
        check_access(access, &principal)?;
        if let Some(env) = principal.env() {
            match &exchange.env {
                Some(named) if named.id != *env => {
                    return Err(Error::new(
                        Kind::PermissionDenied,
                        "the token belongs to another environment",
                    ));
                }
                Some(_) => {}
                None => exchange.env = self.envs.peek().get(env).cloned(),
            }
            if exchange.env.is_none() {
                return Err(Error::new(Kind::EnvNotFound, format!("environment {env} is gone")));
            }
        }
        exchange.principal = principal;
        Ok(())
    }
}

impl Stage for AuthStage {
    fn request<'x>(&'x self, exchange: &'x mut Exchange) -> Step<'x> {
        let Some(matched) = &exchange.matched else { return Step::Next };
        let access = matched.rule.access;
        let bytes_max =
            usize::try_from(matched.rule.policy.accepts.bytes_max()).unwrap_or(usize::MAX);
        // A preflight has no token, and goes to whoever answers the path without a caller.
        let is_preflight = exchange.is_preflight
            && matched.rule.policy.cors == Cors::PassedOn
            && exchange.body.is_empty();
        if access == Access::Public || is_preflight {
            return Step::Next;
        }
        match self.ask(exchange, access, None) {
            AuthVerdict::Known(principal) => self.settle(exchange, access, Ok(principal)),
            AuthVerdict::Refused(error) => Step::Refuse(error),
            AuthVerdict::NeedsBody => {
                Step::Wait(Box::pin(self.ask_with_body(exchange, access, bytes_max)))
            }
            AuthVerdict::Wait(look_up) => Step::Wait(Box::pin(async move {
                let known = look_up.await;
                self.settle(exchange, access, known)
            })),
        }
    }
}

/// Deny by default: an authenticator that names nobody, or the wrong kind of caller, opens nothing.
fn check_access(access: Access, principal: &Principal) -> Result<()> {
    match (access, principal) {
        (Access::Public, _)
        | (Access::User | Access::UserInBody, Principal::User(_))
        | (Access::Server, Principal::Server(_))
        | (Access::Operator, Principal::Operator) => Ok(()),
        (_, Principal::Nobody) => {
            Err(Error::new(Kind::Unauthenticated, "log in first: the request carries no token"))
        }
        _ => Err(Error::new(Kind::PermissionDenied, "this kind of caller may not use this route")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use yunzhan_base::RoutePolicy;
    use yunzhan_base::env::Env;
    use yunzhan_base::principal::User;

    use super::*;
    use crate::budget::HeldBodies;
    use crate::testing::{self, decide, exchange_of, matched};

    /// Names the person whom the header, or the body where it is asked for, says.
    struct Named;

    impl Authenticate for Named {
        fn authenticate(&self, claim: &Claim<'_>) -> AuthVerdict {
            let text = match (claim.access, claim.body) {
                (Access::UserInBody, None) => return AuthVerdict::NeedsBody,
                (Access::UserInBody, Some(body)) => body.to_vec(),
                _ => claim
                    .headers
                    .get("token")
                    .map(|token| token.as_bytes().to_vec())
                    .unwrap_or_default(),
            };
            match &text[..] {
                b"operator" => AuthVerdict::Known(Principal::Operator),
                b"" => AuthVerdict::Known(Principal::Nobody),
                b"expired" => AuthVerdict::Refused(Error::new(Kind::TokenExpired, "expired")),
                env => {
                    let user = Principal::User(Arc::new(User {
                        env: String::from_utf8_lossy(env).parse().unwrap(),
                        uid: "u".into(),
                        openid: None,
                        roles: Vec::new(),
                        session: "s".into(),
                        anonymous: false,
                        expires_s: 0,
                    }));
                    AuthVerdict::Wait(Box::pin(async { Ok(user) }))
                }
            }
        }
    }

    async fn check(access: Access, token: &str, env: Option<&str>, body: &'static str) -> String {
        let shop = Env::clone(&testing::env("shop"));
        let envs = Live::new(Envs::new([shop]).unwrap());
        let stage =
            AuthStage::new(Arc::new(Named), envs, Budget::new(1 << 20, HeldBodies::default()));
        let head = http::Request::post("/").header("token", token);
        let mut exchange = exchange_of(head, body.into());
        exchange.env = env.map(testing::env);
        matched(&mut exchange, access, RoutePolicy::CORE.buffered(8));
        let decided = decide(&stage, &mut exchange).await;
        let env = exchange.env.as_ref().map_or("-", |env| env.id.as_str());
        format!("{decided} in {env}")
    }

    #[tokio::test]
    async fn strangers_and_the_wrong_kind_of_caller_are_refused() {
        assert_eq!(check(Access::Public, "", None, "").await, "next in -");
        assert!(check(Access::User, "", None, "").await.starts_with("refuse unauthenticated"));
        assert!(
            check(Access::User, "operator", None, "").await.starts_with("refuse permission_denied")
        );
        assert!(check(Access::User, "expired", None, "").await.starts_with("refuse token_expired"));
        assert_eq!(check(Access::Operator, "operator", None, "").await, "next in -");
    }

    #[tokio::test]
    async fn a_token_names_its_environment_and_fits_no_other() {
        assert_eq!(check(Access::User, "shop", None, "").await, "next in shop");
        assert_eq!(check(Access::User, "shop", Some("shop"), "").await, "next in shop");
        let other = check(Access::User, "shop", Some("other"), "").await;
        assert!(
            other.starts_with("refuse permission_denied: the token belongs to another"),
            "{other}"
        );
        assert!(check(Access::User, "gone", None, "").await.starts_with("refuse env_not_found"));
    }

    #[tokio::test]
    async fn a_token_in_the_body_is_read_within_the_routes_bound() {
        assert_eq!(check(Access::UserInBody, "", None, "shop").await, "next in shop");
        let large = check(Access::UserInBody, "", None, "much too large").await;
        assert!(large.starts_with("refuse too_large"), "{large}");
    }
}
