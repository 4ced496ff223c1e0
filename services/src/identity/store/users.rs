//! People.

use serde::Serialize;
use yunzhan_base::{EnvId, Error, Kind, Result};
use yunzhan_engine::sql::{Expect, Merge, Row, Value};

use super::{SESSIONS, Store, USERS, everywhere, place, step, text};
use crate::columns::Columns;

/// Sessions of one person read at once, and so ended in one unit: a few milliseconds of writing.
const SESSIONS_READ_MAX: i64 = 100;

/// A person as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct UserRow {
    pub(crate) uid: String,
    pub(crate) openid: String,
    pub(crate) roles: Vec<String>,
    pub(crate) created_ms: i64,
    pub(crate) seen_ms: i64,
}

impl Store {
    /// One person.
    pub(crate) async fn user(&self, env: &EnvId, slot: u16, uid: &str) -> Result<Option<UserRow>> {
        let sql =
            "SELECT uid, openid, roles, created_ms, seen_ms FROM {users} WHERE env = ? AND uid = ?";
        let params = vec![text(env.as_str()), text(uid)];
        let rows = self.read(&place(env, slot), sql, USERS, params).await?;
        rows.into_iter().next().map(user).transpose()
    }

    /// People after this uid, in the order of their uids.
    pub(crate) async fn users(&self, env: &EnvId, after: &str, limit: i64) -> Result<Vec<UserRow>> {
        let sql = "SELECT uid, openid, roles, created_ms, seen_ms FROM {users}
                   WHERE env = ? AND uid > ? ORDER BY uid LIMIT ?";
        let params = vec![text(env.as_str()), text(after), Value::Integer(limit)];
        let merge = Merge { by: vec![(0, false)], limit: u64::try_from(limit).ok() };
        let rows = self.read(&everywhere(env, merge), sql, USERS, params).await?;
        rows.into_iter().map(user).collect()
    }

    /// Sets a person's roles. `NotFound` when there is no such person.
    pub(crate) async fn set_roles(
        &self,
        env: &EnvId,
        slot: u16,
        uid: &str,
        roles: &[String],
    ) -> Result<()> {
        let roles = serde_json::to_string(roles).expect("a list of text");
        if self.user(env, slot, uid).await?.is_none() {
            return Err(Error::new(Kind::NotFound, format!("environment {env} has no user {uid}")));
        }
        let update = step(
            "UPDATE {users} SET roles = ? WHERE env = ? AND uid = ?",
            USERS,
            vec![Value::Text(roles), text(env.as_str()), text(uid)],
            Expect::Any,
        );
        self.write(&place(env, slot), vec![update]).await
    }

    /// The live sessions of a person after this one, in the order of their ids, at most [`SESSIONS_READ_MAX`].
    pub(crate) async fn sessions_of(
        &self,
        env: &EnvId,
        slot: u16,
        uid: &str,
        after: &str,
    ) -> Result<Vec<String>> {
        let sql = "SELECT session_id FROM {sessions} WHERE env = ? AND uid = ? AND revoked_ms = 0 AND session_id > ?
                   ORDER BY session_id LIMIT ?";
        let params = vec![text(after), Value::Integer(SESSIONS_READ_MAX)];
        self.session_ids(env, slot, uid, sql, params).await
    }

    /// The live sessions of a person beyond the `kept` that were renewed last, at most [`SESSIONS_READ_MAX`].
    pub(crate) async fn sessions_beyond(
        &self,
        env: &EnvId,
        slot: u16,
        uid: &str,
        kept: usize,
    ) -> Result<Vec<String>> {
        let sql = "SELECT session_id FROM {sessions} WHERE env = ? AND uid = ? AND revoked_ms = 0
                   ORDER BY rotated_ms DESC, session_id LIMIT ? OFFSET ?";
        let kept = i64::try_from(kept).unwrap_or(i64::MAX);
        let params = vec![Value::Integer(SESSIONS_READ_MAX), Value::Integer(kept)];
        self.session_ids(env, slot, uid, sql, params).await
    }

    async fn session_ids(
        &self,
        env: &EnvId,
        slot: u16,
        uid: &str,
        sql: &'static str,
        more: Vec<Value>,
    ) -> Result<Vec<String>> {
        let params = [text(env.as_str()), text(uid)].into_iter().chain(more).collect();
        let rows = self.read(&place(env, slot), sql, SESSIONS, params).await?;
        rows.into_iter().map(|row| Columns::from(row).text()).collect()
    }
}

fn user(row: Row) -> Result<UserRow> {
    let mut columns = Columns::from(row);
    Ok(UserRow {
        uid: columns.text()?,
        openid: columns.text()?,
        roles: serde_json::from_str(&columns.text()?)
            .map_err(|error| Error::internal("a person's roles are not a list").because(error))?,
        created_ms: columns.integer()?,
        seen_ms: columns.integer()?,
    })
}
