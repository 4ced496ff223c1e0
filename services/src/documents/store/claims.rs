//! Statements on write claims: which transaction is about to write which document, for the other servers of a cluster.

use yunzhan_base::{EnvId, Kind, Result};
use yunzhan_engine::sql::{Expect, Logical, StepRows, Value, WriteStep};

use super::{Store, Table, blob, everywhere, step, text};
use crate::columns::Columns;

const CLAIMS: Logical = Logical("claims");

const CLAIM: &str =
    "INSERT INTO {claims} (env, collection, holder, until_ms, document) VALUES {rows:5}";
const FORGET_EXPIRED: &str =
    "DELETE FROM {claims} WHERE until_ms < ? AND env = ? AND collection = ? AND document = ?";
const RELEASE: &str = "DELETE FROM {claims} WHERE env = ? AND holder = ?";
const HOLDER: &str =
    "SELECT holder FROM {claims} WHERE env = ? AND collection = ? AND document = ?";
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
        let claim = || {
            let own = [text(holder), Value::Integer(ends_ms.saturating_add(GRACE_MS))];
            rows(step(CLAIM, &[CLAIMS], self.params(own), Expect::Rows(keys.len() as u64)))
        };
        let place = || everywhere(&[], None);
        match self.store.write(self.env, place(), vec![claim()], None).await {
            // Perhaps what is there is over. To look first would lock, on InnoDB, the gaps in which others claim.
            Err(error) if error.kind() == Kind::AlreadyExists => {
                let mut expired = vec![Value::Integer(now_ms)];
                expired.extend(self.params([]));
                let forget = rows(step(FORGET_EXPIRED, &[CLAIMS], expired, Expect::Any));
                let steps = vec![forget, claim()];
                self.store.write(self.env, place(), steps, None).await.map(drop)
            }
            other => other.map(drop),
        }
    }
}

impl Table<'_> {
    /// The transaction that has claimed a document.
    pub(in crate::documents) async fn claim_holder(&self, key: &[u8]) -> Result<Option<String>> {
        let (place, params) = (everywhere(&[], None), self.params([blob(key)]));
        let rows = self.store.read(self.env, place, HOLDER, &[CLAIMS], params).await?;
        rows.into_iter().next().map(|row| Columns::from(row).text()).transpose()
    }
}

/// The step that gives up the claims of a transaction.
pub(in crate::documents) fn release_claims(env: &EnvId, holder: &str) -> WriteStep {
    step(RELEASE, &[CLAIMS], vec![text(env.as_str()), text(holder)], Expect::Any)
}

impl Store {
    /// Gives up the claims of a transaction.
    pub(in crate::documents) async fn release_claims(
        &self,
        env: &EnvId,
        holder: &str,
    ) -> Result<()> {
        let release = release_claims(env, holder);
        self.write(env, everywhere(&[], None), vec![release], None).await.map(drop)
    }

    /// Forgets claims of transactions whose servers died.
    pub(in crate::documents) async fn sweep_claims(&self, env: &EnvId, now_ms: i64) -> Result<()> {
        let params = vec![text(env.as_str()), Value::Integer(now_ms)];
        let sweep = step(SWEEP, &[CLAIMS], params, Expect::Any);
        self.write(env, everywhere(&[], None), vec![sweep], None).await.map(drop)
    }
}
