//! The claims of a transaction in the tables, where other servers see them: beside the locks in memory, which the transactions
//! of this server see.
//!
//! They exist so that the second writer of a document is refused at its call, whichever server it comes to. What keeps changes
//! from being lost is the commit, which is validated in the database; so a claim may be missing, as where a server joined a
//! moment ago. What a dead server leaves counts no more as soon as its session is over.

use std::collections::HashSet;
use std::sync::Arc;

use yunzhan_base::{Clock, EnvId, Kind, Result};
use yunzhan_engine::sql::WriteStep;

use super::state::conflict;
use crate::documents::store::{Store, Table, release_claims};
use crate::nodes::cluster::Cluster;

/// What one transaction has claimed. It is given up when this is dropped.
pub(super) struct Claims {
    /// None where this server is alone on its database.
    cluster: Option<Arc<Cluster>>,
    store: Store,
    env: EnvId,
    /// The transaction.
    holder: String,
    clock: Clock,
    ends_ms: i64,
    places: HashSet<(i64, Vec<u8>)>,
}

impl Claims {
    /// None yet, of a transaction that ends at `ends_ms`.
    pub(super) fn none(
        (cluster, store, clock): (Option<&Arc<Cluster>>, &Store, &Clock),
        env: &EnvId,
        holder: &str,
        ends_ms: i64,
    ) -> Self {
        Self {
            cluster: cluster.filter(|cluster| cluster.has_peers()).cloned(),
            store: store.clone(),
            env: env.clone(),
            holder: holder.to_owned(),
            clock: clock.clone(),
            ends_ms,
            places: HashSet::new(),
        }
    }

    /// Claims documents, if other servers live.
    ///
    /// # Errors
    /// `Conflict` when a transaction of another server has claimed one of them.
    pub(super) async fn claim(&mut self, table: &Table<'_>, keys: &[&[u8]]) -> Result<()> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        let is_new = |key: &&[u8]| !self.places.contains(&(table.collection.id, key.to_vec()));
        let keys: Vec<&[u8]> = keys.iter().copied().filter(is_new).collect();
        if keys.is_empty() || !cluster.has_company().await {
            return Ok(());
        }
        // Noted before: a claim whose answer is lost is given up all the same.
        self.places.extend(keys.iter().map(|key| (table.collection.id, key.to_vec())));
        let times = (self.clock.now_ms(), self.ends_ms);
        let mut claimed = table.claim(&self.holder, &keys, times).await;
        if is_taken(&claimed) && self.holders_are_gone(cluster, table, &keys).await? {
            claimed = table.claim(&self.holder, &keys, times).await;
        }
        match claimed {
            Err(error) if error.kind() == Kind::AlreadyExists => Err(conflict().because(error)),
            other => other,
        }
    }

    /// Gives up what transactions have claimed whose servers are dead. False when one of them may live.
    async fn holders_are_gone(
        &self,
        cluster: &Cluster,
        table: &Table<'_>,
        keys: &[&[u8]],
    ) -> Result<bool> {
        for key in keys {
            let Some(holder) = table.claim_holder(key).await? else { continue };
            if !cluster.is_gone(&holder).await {
                return Ok(false);
            }
            self.store.release_claims(&self.env, &holder).await?;
        }
        Ok(true)
    }

    /// The step that gives them up as something else is written; none where there are none.
    pub(super) fn release_step(&self) -> Option<WriteStep> {
        (!self.places.is_empty()).then(|| release_claims(&self.env, &self.holder))
    }

    /// Says that [`Claims::release_step`] is done.
    pub(super) fn forget(&mut self) {
        self.places.clear();
    }

    /// Gives them up. Those that stay expire.
    pub(super) async fn release(&mut self) {
        if !self.places.is_empty() {
            let _ = self.store.release_claims(&self.env, &self.holder).await;
            self.places.clear();
        }
    }
}

fn is_taken(claimed: &Result<()>) -> bool {
    claimed.as_ref().is_err_and(|error| error.kind() == Kind::AlreadyExists)
}

impl Drop for Claims {
    /// Of a transaction whose time was over.
    fn drop(&mut self) {
        if self.places.is_empty() {
            return;
        }
        let (store, env, holder) = (self.store.clone(), self.env.clone(), self.holder.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            drop(runtime.spawn(async move { store.release_claims(&env, &holder).await }));
        }
    }
}
