//! Documents as a service: what the dialects offer of them.
//!
//! The service itself, [`crate::documents`], knows no dialect; this is where the two meet.

use std::sync::Arc;

use yunzhan_engine::sql::Scope;

use super::{admin, gateway, web};
use crate::documents::{self, Config, Documents, MIGRATIONS, WORK_PERIOD};
use crate::envs::EnvStore;
use crate::service::{Copied, Opened, Opening, Owner, Section, Service, Table, Task};

/// The service.
pub static SERVICE: Service<Documents> = Service {
    routes: &[gateway::ROUTES, admin::ROUTES, web::ROUTES],
    control: documents::CONTROL,
    migrations: MIGRATIONS,
    tables: &[
        table("collections", &["env", "name"], Copied::Along),
        table("documents", &["env", "collection", "id"], Copied::Along),
        table(
            "index_entries",
            &["env", "collection", "index_id", "entry", "document"],
            Copied::Rebuilt,
        ),
        table("indexes", &["env", "collection", "id"], Copied::Along),
        table("unique_entries", &["env", "collection", "index_id", "entry"], Copied::Rebuilt),
    ],
    tasks: &[Task {
        name: "documents.indexes",
        period: WORK_PERIOD,
        work: |documents| Box::pin(async move { documents.work_on_indexes().await }),
    }],
    section: Some(Section { name: "documents", read: |reader| Arc::new(Config::read(reader)) }),
    ..Service::new("documents", open)
};

const fn table(name: &'static str, key: &'static [&'static str], copied: Copied) -> Table {
    Table { name, scope: Scope::Env, key, owner: Owner::Env, copied }
}

fn open(opening: &Opening) -> Opened<'_, Documents> {
    Box::pin(async move {
        let envs = opening.service::<EnvStore>()?.envs();
        let (sql, clock) = (Arc::clone(&opening.sql), opening.clock.clone());
        let documents = Documents::new(sql, envs, clock, opening.section());
        Ok(Arc::new(documents.recorded_by(Arc::clone(&opening.ledger))))
    })
}
