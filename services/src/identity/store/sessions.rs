//! Provider tokens, sessions, and what ended.

use yunzhan_base::{EnvId, Result};
use yunzhan_engine::sql::{Expect, Row, Value, WriteStep};

use super::{
    ENDED_SESSIONS, PROVIDER_TOKENS, SESSIONS, Store, USERS, blob, place, step, system, text,
};
use crate::columns::Columns;
use crate::identity::logic::Session;
use crate::identity::memory::Ending;
use crate::identity::provider_token::ProviderToken;

/// Endings read at once: a megabyte.
const ENDED_READ_MAX: i64 = 10_000;

/// A session that begins.
pub(crate) struct NewSession<'a> {
    pub(crate) env: &'a EnvId,
    pub(crate) slot: u16,
    pub(crate) session_id: String,
    pub(crate) uid: &'a str,
    pub(crate) openid: Option<&'a str>,
    pub(crate) refresh_hash: [u8; 32],
    pub(crate) now_ms: i64,
    pub(crate) idle_until_ms: i64,
    pub(crate) ends_ms: i64,
    /// The hash of the provider token that this session uses up.
    pub(crate) provider_token: Option<[u8; 32]>,
}

/// A refresh token takes the place of another.
pub(crate) struct Rotation<'a> {
    pub(crate) env: &'a EnvId,
    pub(crate) slot: u16,
    pub(crate) session_id: &'a str,
    pub(crate) from: [u8; 32],
    pub(crate) to: [u8; 32],
    pub(crate) salt: &'a [u8],
    pub(crate) now_ms: i64,
    pub(crate) idle_until_ms: i64,
}

impl Store {
    /// Keeps a provider token until it is used or has run out.
    pub(crate) async fn add_provider_token(
        &self,
        env: &EnvId,
        token: &ProviderToken,
        openid: &str,
        expires_ms: i64,
    ) -> Result<()> {
        let insert = step(
            "INSERT INTO {provider_tokens} (env, token_hash, openid, expires_ms) VALUES (?, ?, ?, ?)",
            PROVIDER_TOKENS,
            vec![text(env.as_str()), blob(&token.hash()), text(openid), Value::Integer(expires_ms)],
            Expect::Rows(1),
        );
        self.write(&place(env, token.slot()), vec![insert]).await
    }

    /// The openid of a provider token that is still good.
    pub(crate) async fn provider_token(
        &self,
        env: &EnvId,
        token: &ProviderToken,
        now_ms: i64,
    ) -> Result<Option<String>> {
        let sql = "SELECT openid FROM {provider_tokens} WHERE env = ? AND token_hash = ? AND expires_ms > ?";
        let params = vec![text(env.as_str()), blob(&token.hash()), Value::Integer(now_ms)];
        let rows = self.read(&place(env, token.slot()), sql, PROVIDER_TOKENS, params).await?;
        rows.into_iter().next().map(|row| Columns::from(row).text()).transpose()
    }

    /// Begins a session, all in one unit: the provider token is used up, the person known from now on.
    /// `Conflict` when somebody used the provider token first.
    pub(crate) async fn begin_session(&self, new: &NewSession<'_>) -> Result<()> {
        let env = new.env.as_str();
        let mut steps = Vec::new();
        if let Some(hash) = &new.provider_token {
            steps.push(step(
                "DELETE FROM {provider_tokens} WHERE env = ? AND token_hash = ?",
                PROVIDER_TOKENS,
                vec![text(env), blob(hash)],
                Expect::Rows(1),
            ));
        }
        if let Some(openid) = new.openid {
            let now = Value::Integer(new.now_ms);
            steps.push(step(
                "INSERT INTO {users} (env, uid, openid, roles, created_ms, seen_ms) VALUES (?, ?, ?, ?, ?, ?)
                 {on_conflict:env, uid} SET seen_ms = {new:seen_ms}",
                USERS,
                vec![text(env), text(new.uid), text(openid), text("[]"), now.clone(), now],
                Expect::Any,
            ));
        }
        steps.push(insert_session(new));
        self.write(&place(new.env, new.slot), steps).await
    }

    /// A session, ended or not.
    pub(crate) async fn session(
        &self,
        env: &EnvId,
        slot: u16,
        session_id: &str,
    ) -> Result<Option<Session>> {
        let sql = "SELECT uid, openid, current_hash, previous_hash, salt, rotated_ms, idle_until_ms, ends_ms, revoked_ms
                   FROM {sessions} WHERE env = ? AND session_id = ?";
        let params = vec![text(env.as_str()), text(session_id)];
        let rows = self.read(&place(env, slot), sql, SESSIONS, params).await?;
        rows.into_iter().next().map(session).transpose()
    }

    /// Puts a refresh token in the place of another. `Conflict` when the other is no longer the present one.
    pub(crate) async fn rotate(&self, rotation: &Rotation<'_>) -> Result<()> {
        let update = step(
            "UPDATE {sessions} SET current_hash = ?, previous_hash = ?, salt = ?, rotated_ms = ?, idle_until_ms = ?
             WHERE env = ? AND session_id = ? AND current_hash = ? AND revoked_ms = 0",
            SESSIONS,
            vec![
                blob(&rotation.to),
                blob(&rotation.from),
                blob(rotation.salt),
                Value::Integer(rotation.now_ms),
                Value::Integer(rotation.idle_until_ms),
                text(rotation.env.as_str()),
                text(rotation.session_id),
                blob(&rotation.from),
            ],
            Expect::Rows(1),
        );
        self.write(&place(rotation.env, rotation.slot), vec![update]).await
    }

    /// Ends the refresh tokens of sessions of one slot. Doing it twice is doing it once. The rows count as unused from now on,
    /// so that tidying takes them: a person who logs in and out all day leaves no more of them than an hour's.
    pub(crate) async fn revoke(
        &self,
        env: &EnvId,
        slot: u16,
        sessions: &[String],
        now_ms: i64,
    ) -> Result<()> {
        let revoke = |session: &String| {
            let (now, env) = (Value::Integer(now_ms), text(env.as_str()));
            step(
                "UPDATE {sessions} SET revoked_ms = ?, idle_until_ms = ?
                 WHERE env = ? AND session_id = ? AND revoked_ms = 0",
                SESSIONS,
                vec![now.clone(), now, env, text(session)],
                Expect::Any,
            )
        };
        self.write(&place(env, slot), sessions.iter().map(revoke).collect()).await
    }

    /// Ends access tokens on every replica. An ended session stays ended, in whatever order the news arrive.
    pub(crate) async fn add_endings(&self, endings: &[Ending], now_ms: i64) -> Result<()> {
        let add = |ending: &Ending| {
            step(
                "INSERT INTO {ended_sessions} (session_id, issued_s_max, ended_ms, until_s, env) VALUES (?, ?, ?, ?, ?)
                 {on_conflict:session_id} SET
                     issued_s_max = CASE WHEN issued_s_max > {new:issued_s_max} THEN issued_s_max
                                    ELSE {new:issued_s_max} END,
                     ended_ms = {new:ended_ms}, until_s = {new:until_s}",
                ENDED_SESSIONS,
                vec![
                    text(&ending.session),
                    Value::Integer(ending.issued_s_max),
                    Value::Integer(now_ms),
                    Value::Integer(ending.until_s),
                    ending.env.as_ref().map_or(Value::Null, |env| text(env.as_str())),
                ],
                Expect::Any,
            )
        };
        self.write(&system(), endings.iter().map(add).collect()).await
    }

    /// A page of the endings since then that still matter, and where the next one begins if there may be one.
    pub(crate) async fn endings_since(
        &self,
        since: &EndingsSince,
        now_s: i64,
    ) -> Result<(Vec<Ending>, Option<EndingsSince>)> {
        let sql = "SELECT session_id, issued_s_max, until_s, env, ended_ms FROM {ended_sessions}
                   WHERE ended_ms >= ? AND (ended_ms > ? OR session_id > ?) AND until_s > ?
                   ORDER BY ended_ms, session_id LIMIT ?";
        let ended_ms = Value::Integer(since.ended_ms);
        let params = vec![
            ended_ms.clone(),
            ended_ms,
            text(&since.session),
            Value::Integer(now_s),
            Value::Integer(ENDED_READ_MAX),
        ];
        let rows = self.read(&system(), sql, ENDED_SESSIONS, params).await?;
        let is_full = i64::try_from(rows.len()).is_ok_and(|count| count >= ENDED_READ_MAX);
        let (mut endings, mut last) = (Vec::with_capacity(rows.len()), None);
        for row in rows {
            let mut columns = Columns::from(row);
            let ending = Ending {
                session: columns.text()?,
                issued_s_max: columns.integer()?,
                until_s: columns.integer()?,
                env: columns.optional_text()?.map(|env| env.parse()).transpose()?,
            };
            last = Some((columns.integer()?, ending.session.clone()));
            endings.push(ending);
        }
        let next = last.filter(|_| is_full);
        Ok((endings, next.map(|(ended_ms, session)| EndingsSince { ended_ms, session })))
    }
}

/// Where a page of endings begins: behind this session of this millisecond.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndingsSince {
    pub(crate) ended_ms: i64,
    pub(crate) session: String,
}

fn insert_session(new: &NewSession<'_>) -> WriteStep {
    step(
        "INSERT INTO {sessions} (env, session_id, uid, openid, current_hash, previous_hash, salt, rotated_ms,
             idle_until_ms, ends_ms, revoked_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
        SESSIONS,
        vec![
            text(new.env.as_str()),
            text(&new.session_id),
            text(new.uid),
            new.openid.map_or(Value::Null, text),
            blob(&new.refresh_hash),
            Value::Blob(Vec::new()),
            Value::Blob(Vec::new()),
            Value::Integer(new.now_ms),
            Value::Integer(new.idle_until_ms),
            Value::Integer(new.ends_ms),
        ],
        Expect::Rows(1),
    )
}

fn session(row: Row) -> Result<Session> {
    let mut columns = Columns::from(row);
    Ok(Session {
        uid: columns.text()?,
        openid: columns.optional_text()?,
        current: columns.bytes()?,
        previous: columns.bytes()?,
        salt: columns.bytes()?,
        rotated_ms: columns.integer()?,
        idle_until_ms: columns.integer()?,
        ends_ms: columns.integer()?,
        revoked_ms: columns.integer()?,
    })
}
