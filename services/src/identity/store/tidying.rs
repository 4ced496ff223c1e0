//! Removes what has run out, a little at a time.

use yunzhan_base::{EnvId, Result};
use yunzhan_engine::sql::{Expect, Logical, Merge, Row, ShardLocation, Value};

use super::{ENDED_SESSIONS, PROVIDER_TOKENS, SESSIONS, Store, everywhere, step, system, text};

/// Rows that one round of tidying removes from one table: short enough that nobody waits for it.
const TIDY_ROWS_MAX: i64 = 500;

impl Store {
    /// Removes ended sessions that no longer matter; says whether there may be more.
    pub(crate) async fn tidy_system(&self, ended_before_ms: i64) -> Result<bool> {
        let sql = "SELECT session_id FROM {ended_sessions} WHERE ended_ms < ? LIMIT ?";
        let params = vec![Value::Integer(ended_before_ms), Value::Integer(TIDY_ROWS_MAX)];
        let rows = self.read(&system(), sql, ENDED_SESSIONS, params).await?;
        let delete = "DELETE FROM {ended_sessions} WHERE session_id = ?";
        self.delete_each(&system(), delete, ENDED_SESSIONS, rows, Vec::new()).await
    }

    /// Removes sessions and provider tokens that have run out; says whether there may be more.
    pub(crate) async fn tidy_env(&self, env: &EnvId, now_ms: i64) -> Result<bool> {
        let limit = Merge { by: Vec::new(), limit: u64::try_from(TIDY_ROWS_MAX).ok() };
        let all = everywhere(env, limit);
        let params =
            || vec![text(env.as_str()), Value::Integer(now_ms), Value::Integer(TIDY_ROWS_MAX)];
        let sql = "SELECT session_id FROM {sessions} WHERE env = ? AND idle_until_ms < ? LIMIT ?";
        let rows = self.read(&all, sql, SESSIONS, params()).await?;
        let delete = "DELETE FROM {sessions} WHERE session_id = ? AND env = ?";
        let first =
            self.delete_each(&all, delete, SESSIONS, rows, vec![text(env.as_str())]).await?;
        let sql =
            "SELECT token_hash FROM {provider_tokens} WHERE env = ? AND expires_ms < ? LIMIT ?";
        let rows = self.read(&all, sql, PROVIDER_TOKENS, params()).await?;
        let delete = "DELETE FROM {provider_tokens} WHERE token_hash = ? AND env = ?";
        let second =
            self.delete_each(&all, delete, PROVIDER_TOKENS, rows, vec![text(env.as_str())]).await?;
        Ok(first || second)
    }

    async fn delete_each(
        &self,
        place: &ShardLocation,
        delete: &'static str,
        tables: &'static [Logical],
        rows: Vec<Row>,
        more: Vec<Value>,
    ) -> Result<bool> {
        if rows.is_empty() {
            return Ok(false);
        }
        let is_full = i64::try_from(rows.len()).is_ok_and(|count| count >= TIDY_ROWS_MAX);
        let delete_row = |row: Row| {
            let params = row.0.into_iter().chain(more.iter().cloned()).collect();
            step(delete, tables, params, Expect::Any)
        };
        self.write(place, rows.into_iter().map(delete_row).collect()).await?;
        Ok(is_full)
    }
}
