//! Documents: MongoDB-shaped collections with permissions.
//!
//! The `query` crate decides what a filter, an update or a key is; `engine::sql` stores rows. Between them this service
//! says who may do what (`logic/permission.rs`), how documents lie in tables (`store.rs`), how they are found
//! (`scan.rs`) and how no change is lost (`change.rs`). It speaks no protocol: the clients' dialects stand in
//! [`crate::dialect`].

mod config;

mod logic;
mod which;

mod aggregate;
mod catalogue;
mod explain;
mod indexes;
mod memory;
mod nearest_neighbours;
mod read;
mod scan;

mod rules;

mod change;
mod changes;
mod edit;
mod idempotency;
mod import;
mod insert;
mod queues;
mod seed;

mod transaction;

mod store;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
pub(crate) mod testing;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests;

use std::sync::Arc;

use yunzhan_base::env::Envs;
use yunzhan_base::{Clock, EnvId, Error, Kind, Live, Principal, Result};
use yunzhan_engine::sql::SharedSql;

use crate::acts::Acts;
use crate::nodes::cluster::Cluster;

pub use self::aggregate::{Aggregated, IntoDocuments};
use self::catalogue::Catalogue;
pub use self::catalogue::TOO_MANY_COLLECTIONS;
pub use self::change::{Change, Changed, UNIT_DOCUMENTS_MAX};
pub use self::changes::{ChangeKind, Changes, LoggedChange, Position, TRIM_PERIOD};
pub use self::config::Config;
pub use self::explain::Explanation;
pub use self::idempotency::Idempotency;
pub use self::import::{Import, Imported, Tail};
use self::indexes::Unfinished;
pub use self::indexes::{NewIndex, WORK_PERIOD};
pub use self::logic::custom::Custom;
pub use self::logic::id::ID_BYTES_MAX;
pub(crate) use self::logic::index::GEO_DIRECTION;
pub use self::logic::index::{INDEXES_MAX, Index, Keys, Progress, State};
pub use self::logic::permission::{OWNER_FIELD, Preset};
pub use self::logic::shape::{COLLECTION_NAME_BYTES_MAX, DOCUMENT_BYTES_MAX, INSERT_DOCUMENTS_MAX};
use self::queues::Queues;
pub use self::read::{Body, Find, Found};
pub use self::rules::{Permission, RuleTest, Subject, Tested};
pub use self::seed::Seeded;
pub use self::store::{Collection, MIGRATIONS};
use self::store::{Store, Table};
use self::transaction::Transactions;
pub(crate) use self::transaction::conflict as transaction_conflict;
pub use self::transaction::{TRANSACTION_DOCUMENTS_MAX, TRANSACTION_LIFE_MS};
pub use self::which::Which;

/// The documents of every environment.
pub struct Documents {
    store: Store,
    catalogue: Catalogue,
    queues: Queues,
    unfinished: Unfinished,
    transactions: Transactions,
    envs: Live<Envs>,
    clock: Clock,
    config: Config,
    acts: Acts,
    cluster: Option<Arc<Cluster>>,
}

/// Who calls, in which environment.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// The environment of the call.
    pub env: &'a EnvId,
    /// Who calls. People see and change what the collection's permission gives them; a server's key everything.
    pub principal: &'a Principal,
}

impl Caller<'_> {
    /// Who calls, as one word that nobody else has: a person or a key.
    fn name(&self) -> String {
        self.principal.actor().into_owned()
    }
}

impl Documents {
    /// The service on a database whose environments have the tables of [`MIGRATIONS`].
    pub fn new(sql: SharedSql, envs: Live<Envs>, clock: Clock, config: Config) -> Self {
        let (store, catalogue) = (Store::new(sql), Catalogue::new());
        Self {
            store,
            catalogue,
            queues: Queues::new(),
            unfinished: Unfinished::default(),
            transactions: Transactions::default(),
            envs,
            clock,
            config,
            acts: Acts::unrecorded(),
            cluster: None,
        }
    }

    /// What an operator or a team's server does through a dialect ends and is on record by these.
    #[must_use]
    pub fn recorded_by(mut self, acts: Acts) -> Self {
        self.acts = acts;
        self
    }

    /// Other servers on the same database hear of what this one writes, and this one of theirs.
    #[must_use]
    pub fn among(mut self, cluster: &Arc<Cluster>) -> Self {
        self.store.signals.join(Arc::clone(cluster));
        self.cluster = Some(Arc::clone(cluster));
        self
    }

    /// The other servers on the same database, where this one knows them.
    pub(crate) fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.cluster.as_ref()
    }

    /// By which the dialects do what must stay on record.
    pub(crate) fn acts(&self) -> &Acts {
        &self.acts
    }

    /// The time in milliseconds since 1970, for dates that a client leaves to the server.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// What the operator set.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The collections of an environment by name.
    pub async fn collections(&self, env: &EnvId) -> Result<Vec<Collection>> {
        self.store.collections(env).await
    }

    /// Adds a collection. Who may, and that it is on record, is for the dialect.
    ///
    /// # Errors
    /// `InvalidParameter` for its name and for `CUSTOM`, whose rules are set afterwards; `AlreadyExists`;
    /// [`TOO_MANY_COLLECTIONS`].
    pub async fn create_collection(
        &self,
        caller: Caller<'_>,
        name: &str,
        permission: Preset,
    ) -> Result<Collection> {
        if permission == Preset::Custom {
            let message =
                "a collection is made with a preset; CUSTOM comes with its rules afterwards";
            return Err(Error::new(Kind::InvalidParameter, message));
        }
        let now_ms = self.now_ms();
        self.catalogue.create(&self.store, caller.env, name, permission, now_ms).await
    }

    /// Changes what people may do with a collection. Other servers on the same database follow
    /// within a second.
    ///
    /// # Errors
    /// `CollectionNotFound`; `Malformed` for rules that cannot be read, naming the rule and the column;
    /// `InvalidParameter` for `CUSTOM` without rules.
    pub async fn set_permission<'r>(
        &self,
        caller: Caller<'_>,
        name: &str,
        permission: impl Into<Permission<'r>>,
    ) -> Result<()> {
        let (permission, rules) = permission.into().checked()?;
        self.catalogue.set_permission(&self.store, caller.env, name, permission, rules).await
    }

    /// The environment with this name, for routes whose path names it: a name that is none must not make tables.
    pub(crate) fn known_env(&self, name: &str) -> Result<EnvId> {
        let id: EnvId = name.parse()?;
        match self.envs.peek().get(&id) {
            Some(_) => Ok(id),
            None => Err(Error::new(Kind::EnvNotFound, format!("there is no environment {id}"))),
        }
    }

    async fn collection(&self, env: &EnvId, name: &str) -> Result<Arc<Collection>> {
        let collection = self.catalogue.find(&self.store, env, name).await?;
        if collection.has_unfinished_index() {
            self.unfinished.note(env, name);
        }
        Ok(collection)
    }

    fn forget_collections(&self, env: &EnvId) {
        self.catalogue.forget(env);
    }

    fn table<'a>(&'a self, env: &'a EnvId, collection: Arc<Collection>) -> Table<'a> {
        Table { store: &self.store, env, collection }
    }
}
