//! The claims of a transaction in the tables, where other servers see them: beside the locks in memory, which the transactions
//! of this server see.
//!
//! They exist so that the second writer of a document is refused at its call, whichever server it comes to. What keeps changes
//! from being lost is the commit, which is validated in the database; so a claim may be missing, as where a server joined a
//! moment ago, and may be left over, as where one died, until its transaction would have ended.

use std::sync::Arc;

use yunzhan_base::{Clock, EnvId, Kind, Result};

use super::state::conflict;
use crate::documents::store::{Store, Table};
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
    places: Vec<(i64, Vec<u8>)>,
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
            places: Vec::new(),
        }
    }

    /// Claims documents, if other servers live.
    ///
    /// # Errors
    /// `Conflict` when a transaction of another server has claimed one of them.
    pub(super) async fn claim(&mut self, table: &Table<'_>, keys: &[&[u8]]) -> Result<()> {
        let Some(cluster) = &self.cluster else { return Ok(()) };
        if keys.is_empty() || !cluster.has_company().await {
            return Ok(());
        }
        // Noted before: a claim whose answer is lost is given up all the same.
        let places = keys.iter().map(|key| (table.collection.id, key.to_vec()));
        self.places.extend(places);
        let times = (self.clock.now_ms(), self.ends_ms);
        match table.claim(&self.holder, keys, times).await {
            Err(error) if error.kind() == Kind::AlreadyExists => Err(conflict().because(error)),
            other => other,
        }
    }

    /// Gives them up, a moment later.
    pub(super) fn release(&mut self) {
        if self.places.is_empty() {
            return;
        }
        let places = std::mem::take(&mut self.places);
        let (store, env, holder) = (self.store.clone(), self.env.clone(), self.holder.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // Those that stay expire.
                let _ = store.release_claims(&env, &holder, &places).await;
            });
        }
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        self.release();
    }
}
