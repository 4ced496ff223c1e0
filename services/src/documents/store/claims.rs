//! Statements on write claims: which transaction is about to write which document, for the other servers of a cluster.

use yunzhan_base::{EnvId, Result};
use yunzhan_engine::sql::{Expect, Logical, StepRows, Value, WriteStep};

use super::{Store, Table, blob, everywhere, step, text};

const CLAIMS: Logical = Logical("claims");

const FORGET_EXPIRED: &str =
    "DELETE FROM {claims} WHERE until_ms < ? AND env = ? AND collection = ? AND document = ?";
const CLAIM: &str =
    "INSERT INTO {claims} (env, collection, holder, until_ms, document) VALUES {rows:5}";
const RELEASE: &str =
    "DELETE FROM {claims} WHERE env = ? AND holder = ? AND collection = ? AND document = ?";
const SWEEP: &str = "DELETE FROM {claims} WHERE env = ? AND until_ms < ?";

/// How long a claim outlives its transaction, whose server may have died: by then nobody counts on it, whatever its clock says.
const GRACE_MS: i64 = 5_000;

impl Table<'_> {
    /// Claims documents for a transaction that ends at `ends_ms`. Fails as `AlreadyExists` when another one has claimed one of
    /// them.
    pub(in crate::documents) async fn claim(
        &self,
        holder: &str,
        keys: &[&[u8]],
        (now_ms, ends_ms): (i64, i64),
    ) -> Result<()> {
        let rows = |mut step: WriteStep| {
            step.rows = StepRows::new(1);
            keys.iter().for_each(|key| step.rows.push([blob(key)]));
            step
        };
        let mut expired = vec![Value::Integer(now_ms)];
        expired.extend(self.params([]));
        let own = [text(holder), Value::Integer(ends_ms.saturating_add(GRACE_MS))];
        let steps = vec![
            rows(step(FORGET_EXPIRED, &[CLAIMS], expired, Expect::Any)),
            rows(step(CLAIM, &[CLAIMS], self.params(own), Expect::Rows(keys.len() as u64))),
        ];
        self.store.write(self.env, everywhere(&[], None), steps, None).await.map(drop)
    }
}

impl Store {
    /// Gives up claims of a transaction.
    pub(in crate::documents) async fn release_claims(
        &self,
        env: &EnvId,
        holder: &str,
        places: &[(i64, Vec<u8>)],
    ) -> Result<()> {
        let mut release =
            step(RELEASE, &[CLAIMS], vec![text(env.as_str()), text(holder)], Expect::Any);
        release.rows = StepRows::new(2);
        for (collection, key) in places {
            release.rows.push([Value::Integer(*collection), blob(key)]);
        }
        self.write(env, everywhere(&[], None), vec![release], None).await.map(drop)
    }

    /// Forgets claims of transactions whose servers died.
    pub(in crate::documents) async fn sweep_claims(&self, env: &EnvId, now_ms: i64) -> Result<()> {
        let params = vec![text(env.as_str()), Value::Integer(now_ms)];
        let sweep = step(SWEEP, &[CLAIMS], params, Expect::Any);
        self.write(env, everywhere(&[], None), vec![sweep], None).await.map(drop)
    }
}
