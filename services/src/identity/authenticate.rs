//! Who asks: decided from the head of a request, and from its body where a signature covers it or the token is in it.
//!
//! A token that was seen a moment ago costs one hash and one look-up; an unknown one costs a signature check (some 40 µs),
//! done at once. Nothing here waits for a database: keys, ended sessions and server keys are in memory.

use std::sync::Arc;

use http::header;
use serde::Deserialize;
use serde_json::value::RawValue;
use yunzhan_base::principal::{AuthVerdict, Authenticate, Claim, User};
use yunzhan_base::{Access, EnvId, Error, Kind, Principal, Result};

use super::Identity;
use super::memory::{Life, Memory};
use super::tc3::{self, Head, Signed};
use super::token::{self, Claims, KeyRing};
use crate::dialect::json;

impl Authenticate for Identity {
    fn authenticate(&self, claim: &Claim<'_>) -> AuthVerdict {
        let verdict = match claim.access {
            Access::Public => Ok(AuthVerdict::Known(Principal::Nobody)),
            Access::User => self.user(claim).map(|user| AuthVerdict::Known(Principal::User(user))),
            Access::UserInBody => self.user_in_body(claim),
            Access::Server => self.server(claim),
            Access::Operator => Err(Error::new(
                Kind::PermissionDenied,
                "operators use the control listener; no token of a client opens it",
            )),
        };
        verdict.unwrap_or_else(AuthVerdict::Refused)
    }
}

impl Identity {
    fn user(&self, claim: &Claim<'_>) -> Result<Arc<User>> {
        let token = bearer(claim)?;
        let user = self.verify_access(token)?;
        check_env(&user.env, claim.env, "token")?;
        Ok(user)
    }

    /// The person whom the token in the body names. A token in the head is not needed, but has to be good and the same
    /// person's: two names for one caller would be read differently by whoever stands in front of us.
    fn user_in_body(&self, claim: &Claim<'_>) -> Result<AuthVerdict> {
        let is_named = claim.headers.contains_key(header::AUTHORIZATION);
        // Before the body is read, so that a bad one leaves with the head.
        let named = is_named.then(|| self.user(claim)).transpose()?;
        let Some(body) = claim.body else {
            return Ok(AuthVerdict::NeedsBody);
        };
        let user = self.verify_access(&self.token_in_body(body)?)?;
        check_env(&user.env, claim.env, "token")?;
        if named.is_some_and(|named| (&named.env, &named.uid) != (&user.env, &user.uid)) {
            return Err(Error::new(
                Kind::Unauthenticated,
                "the Authorization header and the body's access_token are of different people",
            ));
        }
        Ok(AuthVerdict::Known(Principal::User(user)))
    }

    /// The token that a body carries, which comes from somebody unknown: it is passed over once, and only two members are kept.
    /// An action of a login has no token yet, and is refused under its name, as nobody answers those here.
    fn token_in_body(&self, body: &[u8]) -> Result<String> {
        let carrier: Carrier = json::parse(if body.is_empty() { b"{}" } else { body })?;
        if let Some(token) = carrier.access_token.filter(|token| !token.is_empty()) {
            return Ok(token);
        }
        let action =
            carrier.action.and_then(|text| serde_json::from_str::<String>(text.get()).ok());
        let login = action.and_then(|action| self.actions.login(&action));
        Err(match login {
            Some(login) => Error::new(
                Kind::NotImplemented,
                format!("{login} is not offered by this server; log in at /auth/v1"),
            ),
            None => {
                Error::new(Kind::Unauthenticated, "the body carries no access_token; log in first")
            }
        })
    }

    /// The person whom a valid access token names.
    pub(super) fn verify_access(&self, token: &str) -> Result<Arc<User>> {
        let now_s = self.clock.now_s();
        let key = Memory::key(token);
        if let Some(verified) = self.memory.recall(&key) {
            let is_valid = verified.user.expires_s > now_s;
            return if is_valid { Ok(Arc::clone(&verified.user)) } else { Err(token::expired()) };
        }
        self.verify_by(&self.keys.peek(), token)
    }

    /// The person whom a token names that these keys, just looked up, say is valid.
    pub(super) fn verify_by(&self, ring: &Arc<KeyRing>, token: &str) -> Result<Arc<User>> {
        let lifetime_s = self.config.access_token_lifetime_s();
        let claims = ring.read(token, &self.config.issuer, lifetime_s, self.clock.now_s())?;
        let (key, issued_s) = (Memory::key(token), claims.iat);
        let user = Arc::new(named_user(claims)?);
        match self.memory.remember(key, &user, issued_s) {
            Life::Alive => self.check_again(ring, token).map(|()| user),
            Life::Outdated => Err(Error::new(
                Kind::TokenExpired,
                "the access token is outdated; renew it with the refresh token",
            )),
            Life::Ended => {
                Err(Error::new(Kind::Unauthenticated, "the session has ended; log in again"))
            }
        }
    }

    /// A key that was dropped since `ring` was looked up took the remembered tokens with it, but perhaps before this one was
    /// remembered. Whoever drops a key replaces the ring first and forgets then, so looking again afterwards misses none.
    fn check_again(&self, ring: &Arc<KeyRing>, token: &str) -> Result<()> {
        let now = self.keys.peek();
        if Arc::ptr_eq(ring, &now) {
            return Ok(());
        }
        let checked = now.read_signed(token).map(drop);
        checked.inspect_err(|_| self.memory.forget(&Memory::key(token)))
    }

    fn server(&self, claim: &Claim<'_>) -> Result<AuthVerdict> {
        let authorization = authorization(claim)?;
        if Head::is_claimed(authorization) {
            return self.signed(claim);
        }
        let keys = self.server_keys.peek();
        let key = keys.by_access_key(bearer(claim)?).ok_or_else(|| {
            Error::new(
                Kind::Unauthenticated,
                "the access key is not known here; make one with `yunzhan env`",
            )
        })?;
        check_env(&key.principal.env, claim.env, "key")?;
        Ok(AuthVerdict::Known(Principal::Server(Arc::clone(&key.principal))))
    }

    fn signed(&self, claim: &Claim<'_>) -> Result<AuthVerdict> {
        let head = Head::read(claim.headers)?;
        head.check_time(self.clock.now_s())?;
        let keys = self.server_keys.peek();
        let key = keys.get(head.key_id).ok_or_else(|| {
            Error::new(
                Kind::SignatureInvalid,
                "the secret id is not known here; check secretId and the server's address",
            )
        })?;
        check_env(&key.principal.env, claim.env, "key")?;
        let Some(body) = claim.body else {
            return Ok(AuthVerdict::NeedsBody);
        };
        let request = Signed { method: claim.method, uri: claim.uri, headers: claim.headers, body };
        tc3::verify(&head, request, key.secret.expose(), &self.actions)?;
        Ok(AuthVerdict::Known(Principal::Server(Arc::clone(&key.principal))))
    }
}

/// A token or key is worth nothing in another environment than its own.
fn check_env(own: &EnvId, named: Option<&EnvId>, what: &str) -> Result<()> {
    match named {
        Some(named) if named != own => Err(Error::new(
            Kind::EnvNotFound,
            format!("the {what} belongs to another environment than the request names ({named})"),
        )),
        _ => Ok(()),
    }
}

fn named_user(claims: Claims) -> Result<User> {
    Ok(User {
        env: claims.aud.parse()?,
        uid: claims.sub,
        openid: claims.openid,
        roles: claims.roles,
        session: claims.sid,
        anonymous: claims.anonymous,
        expires_s: claims.exp,
    })
}

/// The one `Authorization` header. Two could be read differently by a proxy and by us.
fn authorization<'a>(claim: &Claim<'a>) -> Result<&'a str> {
    let mut values = claim.headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| {
        Error::new(
            Kind::Unauthenticated,
            "the request carries no Authorization header; log in first",
        )
    })?;
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    text.ok_or_else(|| {
        Error::new(
            Kind::Unauthenticated,
            "the Authorization header must come once, in plain characters",
        )
    })
}

/// The members of a body that say who asks, and for what. Nothing else in it is looked at.
#[derive(Deserialize)]
struct Carrier {
    #[serde(default)]
    access_token: Option<String>,
    /// Unread: what is no text is no name.
    #[serde(default)]
    action: Option<Box<RawValue>>,
}

/// The token of `Authorization: Bearer …` (RFC 6750, 2.1).
fn bearer<'a>(claim: &Claim<'a>) -> Result<&'a str> {
    let text = authorization(claim)?;
    let token = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    token.map(|(_, token)| token).ok_or_else(|| {
        Error::new(
            Kind::Unauthenticated,
            "the Authorization header is not of the form Bearer <token>",
        )
    })
}
