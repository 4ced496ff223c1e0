//! Documents as a service: what the dialects offer of them, and operators.
//!
//! The service itself, [`crate::documents`], knows no dialect; this is where the two meet. Its REST routes stand in
//! [`super::gateway`]. Actions that both dialects answer alike stand here, one a file, the others in `admin` and `web`.

mod add_collection;
mod admin;
pub(crate) mod control;
mod count;
mod remove;
mod transactions;
mod update;
mod web;

use std::sync::Arc;

use yunzhan_base::{Act, Context, EnvId, Result};
use yunzhan_engine::sql::Scope;

use super::action::{Action, DialectName};
use super::gateway;
use yunzhan_net::task::On;

use crate::documents::{
    Caller, Collection, Config, Documents, MIGRATIONS, Preset, TOO_MANY_COLLECTIONS, TRIM_PERIOD,
    WORK_PERIOD,
};
use crate::envs::EnvStore;
use crate::service::{Copied, Gauge, Opened, Opening, Owner, Section, Service, Table, Task};

/// The service.
pub static SERVICE: Service<Documents> = Service {
    routes: &[gateway::ROUTES],
    control: control::CONTROL,
    actions: ACTIONS,
    migrations: MIGRATIONS,
    tables: &[
        table("changes", &["env", "slot_group", "sequence", "ordinal"], Copied::Never),
        table("claims", &["env", "collection", "document"], Copied::Never),
        table("collections", &["env", "name"], Copied::Along),
        table("documents", &["env", "collection", "id"], Copied::Along),
        table(
            "index_entries",
            &["env", "collection", "index_id", "entry", "document"],
            Copied::Rebuilt,
        ),
        table("imports", &["env", "collection", "name"], Copied::Along),
        table("indexes", &["env", "collection", "id"], Copied::Along),
        table("sequences", &["env", "slot_group"], Copied::Rebuilt),
        table("unique_entries", &["env", "collection", "index_id", "entry"], Copied::Rebuilt),
    ],
    codes: &[&TOO_MANY_COLLECTIONS],
    tasks: &[
        Task {
            name: "documents.indexes",
            period: WORK_PERIOD,
            on: On::EveryNode,
            work: |documents, _run| Box::pin(async move { documents.work_on_indexes().await }),
        },
        Task {
            name: "documents.change_log",
            period: TRIM_PERIOD,
            on: On::EveryNode,
            work: |documents, _run| Box::pin(async move { documents.trim_changes().await }),
        },
    ],
    gauges: &[
        Gauge {
            name: "documents_open_transactions",
            help: "Transactions that are neither committed nor ended",
            read: |documents| documents.open_transactions().0 as f64,
        },
        Gauge {
            name: "documents_transaction_bytes",
            help: "Memory that open transactions hold",
            read: |documents| documents.open_transactions().1 as f64,
        },
    ],
    section: Some(Section { name: "documents", read: |reader| Arc::new(Config::read(reader)) }),
    ..Service::new("documents", open)
};

const ADMIN: &[DialectName] = &[DialectName::Admin];
const WEB: &[DialectName] = &[DialectName::Web];
const BOTH: &[DialectName] = &[DialectName::Admin, DialectName::Web];

/// Members of the actions, as clients spell them.
const COLLECTION: &[&str] = &["collectionName"];
const TRANSACTION: &[&str] = &["transactionId"];
const FIND: &[&str] = &[
    "collectionName",
    "transactionId",
    "queryType",
    "query",
    "order",
    "offset",
    "limit",
    "projection",
    "multi",
];
const INSERT: &[&str] = &["collectionName", "transactionId", "data", "_id"];
const CHANGE: &[&str] = &[
    "collectionName",
    "transactionId",
    "queryType",
    "query",
    "data",
    "multi",
    "merge",
    "upsert",
    "_id",
];
const REMOVE: &[&str] = &["collectionName", "transactionId", "queryType", "query", "multi", "_id"];
const AGGREGATE: &[&str] = &["collectionName", "stages"];

/// Every action on documents.
const ACTIONS: &[Action<Documents>] = &[
    Action::new("database.getDocument", ADMIN, FIND, admin::get_document::handle),
    Action::new("database.calculateDocument", ADMIN, FIND, count::handle),
    Action::new("database.insertDocument", ADMIN, INSERT, admin::insert_document::handle),
    Action::new("database.modifyDocument", ADMIN, CHANGE, update::handle),
    Action::new("database.modifyAndReturnDoc", ADMIN, CHANGE, update::and_return),
    Action::new("database.removeDocument", ADMIN, REMOVE, remove::handle),
    Action::new(
        "database.aggregateDocuments",
        ADMIN,
        AGGREGATE,
        admin::aggregate_documents::handle,
    ),
    Action::new("database.queryDocument", WEB, FIND, web::query_document::handle),
    Action::new("database.countDocument", WEB, FIND, count::handle),
    Action::new("database.addDocument", WEB, INSERT, web::add_document::handle),
    Action::new("database.updateDocument", WEB, CHANGE, update::handle),
    Action::new("database.deleteDocument", WEB, REMOVE, remove::handle),
    Action::new("database.aggregate", WEB, AGGREGATE, web::aggregate::handle),
    Action::new("database.getInTransaction", WEB, FIND, web::get_in_transaction::handle),
    Action::new("database.insertDocInTransaction", WEB, INSERT, web::insert_in_transaction::handle),
    Action::new("database.updateDocInTransaction", WEB, CHANGE, web::update_in_transaction::handle),
    Action::new("database.deleteDocInTransaction", WEB, REMOVE, web::delete_in_transaction::handle),
    Action::new("database.addCollection", BOTH, COLLECTION, add_collection::handle),
    Action::new("database.startTransaction", BOTH, &[], transactions::start),
    Action::new("database.commitTransaction", BOTH, TRANSACTION, transactions::commit),
    Action::new("database.abortTransaction", BOTH, TRANSACTION, transactions::abort),
];

/// A call whose work goes on without its client.
#[derive(Clone)]
pub(super) struct Detached {
    pub(super) documents: Arc<Documents>,
    pub(super) env: EnvId,
    pub(super) context: Context,
}

impl Detached {
    /// Who calls.
    pub(super) fn caller(&self) -> Caller<'_> {
        Caller { env: &self.env, principal: &self.context.principal }
    }

    /// The act of the caller.
    pub(super) fn act(&self, action: &'static str, subject: impl Into<String>) -> Act {
        Act::new(&self.context, action, subject).in_env(&self.env)
    }

    /// Adds a collection and puts that on record.
    pub(super) async fn create_collection(
        self,
        name: String,
        permission: Preset,
    ) -> Result<Collection> {
        let act = self.act("collection.add", format!("{name} {permission}"));
        let acts = self.documents.acts().clone();
        let create =
            async move { self.documents.create_collection(self.caller(), &name, permission).await };
        acts.run(act, create).await
    }
}

const fn table(name: &'static str, key: &'static [&'static str], copied: Copied) -> Table {
    Table { name, scope: Scope::Env, key, owner: Owner::Env, copied }
}

fn open(opening: &Opening) -> Opened<'_, Documents> {
    Box::pin(async move {
        let envs = opening.service::<EnvStore>()?.envs();
        let (sql, clock) = (Arc::clone(&opening.sql), opening.clock.clone());
        let documents = Documents::new(sql, envs, clock, opening.section());
        Ok(Arc::new(documents.recorded_by(opening.acts.clone()).among(&opening.cluster)))
    })
}
