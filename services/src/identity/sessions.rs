//! Sessions: begun by a login, renewed by a refresh token, ended by their owner, by theft or by age.

use std::slice;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::Serialize;
use yunzhan_base::event::{AccessEnded, Event};
use yunzhan_base::{Act, EnvId, Error, Kind, Result};

use super::Identity;
use super::logic::{
    self, Refresh, SESSION_AGE_MAX, SESSION_IDLE_MAX, SESSIONS_MAX, Session, millis,
};
use super::memory::{EVER, Ending};
use super::refresh::{RefreshToken, SALT_BYTES, slot_of_session};
use super::store::{NewSession, Rotation};
use super::token::{CLOCK_SKEW_S_MAX, Claims};
use crate::crypto::random;

/// Who begins a session.
pub(crate) struct Person {
    pub(crate) uid: String,
    /// None for an anonymous visitor, of whom nothing but the session is kept.
    pub(crate) openid: Option<String>,
}

/// What a login or a refresh answers; the names are those of OAuth 2.0 (RFC 6749, 5.1) and of the SDKs.
#[derive(Serialize)]
pub(crate) struct Credentials {
    token_type: &'static str,
    access_token: String,
    refresh_token: String,
    /// Seconds.
    expires_in: i64,
    sub: String,
    /// `anonymous`, or empty: the SDKs take other words for other kinds of logins.
    scope: &'static str,
    groups: Vec<String>,
}

/// How often a refresh that lost a race looks at the session again.
const REFRESH_ATTEMPTS_MAX: usize = 2;

// === impl Person ===

impl Person {
    /// The person with this openid.
    pub(crate) fn known(env: &EnvId, openid: String) -> Self {
        Self { uid: logic::uid(env, &openid), openid: Some(openid) }
    }

    /// Somebody new whom nobody knows.
    pub(crate) fn anonymous() -> Result<Self> {
        Ok(Self { uid: hex::encode(random::<16>()?), openid: None })
    }
}

// === impl Identity ===

impl Identity {
    /// Begins a session. `InvalidGrant` when somebody used the provider token first.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        env: &EnvId,
        person: Person,
        provider_token: Option<[u8; 32]>,
    ) -> Result<Credentials> {
        let slot = logic::slot(&person.uid);
        let refresh = self.refresh.first(env, slot)?;
        let now_ms = self.clock.now_ms();
        let session = NewSession {
            env,
            slot,
            session_id: refresh.session(),
            uid: &person.uid,
            openid: person.openid.as_deref(),
            refresh_hash: refresh.hash(),
            now_ms,
            idle_until_ms: now_ms + millis(SESSION_IDLE_MAX),
            ends_ms: now_ms + millis(SESSION_AGE_MAX),
            provider_token,
        };
        if person.openid.is_some() {
            self.make_room(env, slot, &person.uid).await?;
        }
        self.store.begin_session(&session).await.map_err(|error| match error.kind() {
            Kind::Conflict if provider_token.is_some() => provider_token_spent(),
            _ => error,
        })?;
        self.credentials(env, &person, &refresh).await
    }

    /// Ends the sessions that a person renewed longest ago, until there is room for one more. Logins at once may pass the bound
    /// together; the next one makes up for it.
    async fn make_room(self: &Arc<Self>, env: &EnvId, slot: u16, uid: &str) -> Result<()> {
        let sessions = self.store.sessions_beyond(env, slot, uid, SESSIONS_MAX - 1).await?;
        if sessions.is_empty() {
            return Ok(());
        }
        self.end_each(env, slot, sessions).await
    }

    /// Renews a session. `InvalidGrant` when the token is not, or no longer, good; its reuse ends the session.
    pub(crate) async fn renew(self: &Arc<Self>, env: &EnvId, text: &str) -> Result<Credentials> {
        let presented = self.refresh.read(env, text).ok_or_else(log_in_again)?;
        for _ in 0..REFRESH_ATTEMPTS_MAX {
            let session = self.store.session(env, presented.slot(), &presented.session()).await?;
            let session = session.ok_or_else(log_in_again)?;
            let now_ms = self.clock.now_ms();
            let next = match logic::judge(
                &session,
                &presented.hash(),
                self.config.refresh_grace,
                now_ms,
            ) {
                Refresh::Rotate => self.rotate_token(env, &session, &presented).await?,
                Refresh::Repeat => Some(self.refresh.successor(env, &presented, &session.salt)),
                Refresh::Over => return Err(log_in_again()),
                Refresh::Theft => return Err(self.stolen(env, &session, &presented).await?),
            };
            if let Some(next) = next {
                let person = Person { uid: session.uid, openid: session.openid };
                return self.credentials(env, &person, &next).await;
            }
        }
        Err(log_in_again())
    }

    /// The successor, or nothing when another request rotated first.
    async fn rotate_token(
        &self,
        env: &EnvId,
        session: &Session,
        presented: &RefreshToken,
    ) -> Result<Option<RefreshToken>> {
        let salt = random::<SALT_BYTES>()?;
        let next = self.refresh.successor(env, presented, &salt);
        let now_ms = self.clock.now_ms();
        let rotation = Rotation {
            env,
            slot: presented.slot(),
            session_id: &presented.session(),
            from: presented.hash(),
            to: next.hash(),
            salt: &salt,
            now_ms,
            idle_until_ms: session.ends_ms.min(now_ms + millis(SESSION_IDLE_MAX)),
        };
        match self.store.rotate(&rotation).await {
            Ok(()) => Ok(Some(next)),
            Err(error) if error.kind() == Kind::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Somebody has a copy of the token: both they and the owner lose the session.
    async fn stolen(
        self: &Arc<Self>,
        env: &EnvId,
        session: &Session,
        presented: &RefreshToken,
    ) -> Result<Error> {
        let (identity, own_env) = (Arc::clone(self), env.clone());
        let (slot, session_id) = (presented.slot(), presented.session());
        let act = Act {
            env: Some(env.clone()),
            actor: format!("user:{}", session.uid).into(),
            action: "token.reuse_detected",
            subject: session_id.clone(),
            request_id: None,
        };
        let end = async move {
            identity.end_in_order(&own_env, slot, slice::from_ref(&session_id)).await
        };
        self.acts.protect(act, end).await?;
        Ok(log_in_again().with_detail("a refresh token was used again after it was replaced"))
    }

    /// Ends a session here at once, on other replicas within seconds. Ending it twice is ending it once.
    pub(crate) async fn end(self: &Arc<Self>, env: &EnvId, session_id: &str) -> Result<()> {
        let slot = slot_of_session(session_id)
            .ok_or_else(|| Error::internal("an access token names no session of ours"))?;
        self.end_each(env, slot, vec![session_id.to_owned()]).await
    }

    /// Ends every session of a person; says how many.
    pub(crate) async fn end_all(self: &Arc<Self>, env: &EnvId, uid: &str) -> Result<usize> {
        let (slot, mut ended, mut after) = (logic::slot(uid), 0, String::new());
        loop {
            let sessions = self.store.sessions_of(env, slot, uid, &after).await?;
            let Some(last) = sessions.last() else { return Ok(ended) };
            after.clone_from(last);
            ended += sessions.len();
            self.end_each(env, slot, sessions).await?;
        }
    }

    async fn end_each(
        self: &Arc<Self>,
        env: &EnvId,
        slot: u16,
        sessions: Vec<String>,
    ) -> Result<()> {
        let (identity, own_env) = (Arc::clone(self), env.clone());
        let end = async move { identity.end_in_order(&own_env, slot, &sessions).await };
        self.acts.finish(env, end).await
    }

    /// What lets the client try again goes last: after a step that failed the refresh token still tells of its theft, and the
    /// access token signs out until the ending is read back. The two tables lie in two databases, so no unit holds both.
    async fn end_in_order(&self, env: &EnvId, slot: u16, sessions: &[String]) -> Result<()> {
        let now_ms = self.clock.now_ms();
        let endings = self.endings(env, sessions, EVER);
        self.store.add_endings(&endings, now_ms).await?;
        self.store.revoke(env, slot, sessions, now_ms).await?;
        self.take_over(endings, self.clock.now_s());
        Ok(())
    }

    /// Refuses the access tokens that a person has now; their clients renew them and go on.
    pub(crate) async fn outdate(&self, env: &EnvId, uid: &str) -> Result<()> {
        let (slot, mut after) = (logic::slot(uid), String::new());
        loop {
            let sessions = self.store.sessions_of(env, slot, uid, &after).await?;
            let Some(last) = sessions.last() else { return Ok(()) };
            after.clone_from(last);
            let now_s = self.clock.now_s();
            let endings = self.endings(env, &sessions, now_s);
            self.store.add_endings(&endings, self.clock.now_ms()).await?;
            self.take_over(endings, now_s);
        }
    }

    /// Refuses the tokens of these sessions from now on. Whoever keeps a connection open for one that is over hears of it.
    pub(crate) fn take_over(&self, endings: Vec<Ending>, now_s: i64) {
        let over = |ending: &&Ending| ending.issued_s_max == EVER;
        let over: Vec<_> = endings.iter().filter(over).cloned().collect();
        self.memory.end(endings, now_s);
        for Ending { env, session, .. } in &over {
            let Some(env) = env else { continue };
            self.events.emit(&Event::AccessEnded(AccessEnded::Session { env, session }));
        }
    }

    fn endings(&self, env: &EnvId, sessions: &[String], issued_s_max: i64) -> Vec<Ending> {
        // Another replica, whose clock is ahead, may have dated a token later than now.
        let dated_s_max = self.clock.now_s() + CLOCK_SKEW_S_MAX;
        let until_s = dated_s_max + self.config.access_token_lifetime_s() + 1;
        let ending = |session: &String| Ending {
            env: Some(env.clone()),
            session: session.clone(),
            issued_s_max,
            until_s,
        };
        sessions.iter().map(ending).collect()
    }

    async fn credentials(
        &self,
        env: &EnvId,
        person: &Person,
        refresh: &RefreshToken,
    ) -> Result<Credentials> {
        // The time first: a role that is taken away after the roles were read outdates this token too.
        let now_ms = self.clock.now_ms();
        let stored = match &person.openid {
            Some(_) => self.store.user(env, logic::slot(&person.uid), &person.uid).await?,
            None => None,
        };
        let anonymous = person.openid.is_none();
        let (issued_s, expires_in) =
            (now_ms.div_euclid(1000), self.config.access_token_lifetime_s());
        let claims = Claims {
            iss: self.config.issuer.clone(),
            aud: env.to_string(),
            sub: person.uid.clone(),
            sid: refresh.session(),
            jti: BASE64.encode(random::<12>()?),
            iat: issued_s,
            exp: issued_s + expires_in,
            openid: person.openid.clone(),
            roles: stored.map(|user| user.roles).unwrap_or_default(),
            anonymous,
        };
        Ok(Credentials {
            token_type: "Bearer",
            access_token: self.keys.peek().sign(&claims, now_ms)?,
            refresh_token: refresh.text(),
            expires_in,
            sub: claims.sub,
            scope: if anonymous { "anonymous" } else { "" },
            groups: claims.roles,
        })
    }
}

/// The refusal of a refresh token; it tells nobody why.
fn log_in_again() -> Error {
    Error::new(Kind::InvalidGrant, "the refresh token is not valid; log in again")
}

pub(crate) fn provider_token_spent() -> Error {
    Error::new(
        Kind::InvalidGrant,
        "the provider token is not valid or was used; begin the login again",
    )
}
