//! Authenticates a request: the route's access against what the request claims. Strangers leave before their bodies are read, and where only
//! the body says who asks, before anything is done with it.

use std::sync::Arc;

use bytes::Bytes;
use yunzhan_base::env::Envs;
use yunzhan_base::principal::{AuthVerdict, Authenticate, Claim};
use yunzhan_base::{Access, Error, Kind, Live, Principal, Result};

use crate::body::Budget;
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
        if access == Access::Public {
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
