//! From configuration to a database with its wrappers.

use std::path::PathBuf;
use std::sync::Arc;

use yunzhan_base::event::Events;
use yunzhan_base::fault::Faults;
use yunzhan_base::{Clock, Result};

use super::health::Watched;
use super::{
    Database, Faulty, Health, Metered, Migrations, Mysql, SharedSql, Split, Sqlite, mysql, split,
    sqlite,
};
use crate::config;

/// What the engine is opened with.
pub struct Opening {
    /// The configuration.
    pub config: config::Sql,
    /// The data folder, for the embedded engine.
    pub root: PathBuf,
    /// Every service's migrations.
    pub migrations: Migrations,
    /// The time of day, for the age of remembered answers.
    pub clock: Clock,
    /// Who hears of servers that are lost and found.
    pub events: Events,
}

/// Opens the engine that the configuration names, with the system's tables migrated. An environment's tables are
/// migrated when they are first used. Fails as unavailable when the database cannot be reached or used, or is newer
/// than this program.
pub async fn open(opening: Opening) -> Result<SharedSql> {
    let Opening { config, root, migrations, clock, events } = opening;
    if config.mysql_url.is_some() && !config.mysql_replicas.is_empty() {
        return Ok(Arc::new(Split::open(config, migrations, clock, events).await?));
    }
    if config.mysql_url.is_some() {
        return Ok(Arc::new(Mysql::connect(config, migrations, clock).await?));
    }
    let sqlite = Sqlite::new(root, config, migrations, clock)?;
    sqlite.prepare(&Database::System).await?;
    Ok(Arc::new(sqlite))
}

/// Says whether [`open`] would refuse the database that is there, without changing it. Fails as unavailable, as `open` does.
pub async fn inspect(opening: &Opening) -> Result<()> {
    let Opening { config, root, migrations, .. } = opening;
    if config.mysql_url.is_some() && !config.mysql_replicas.is_empty() {
        return split::inspect(config, migrations).await;
    }
    if config.mysql_url.is_some() {
        return mysql::inspect(config, migrations).await;
    }
    sqlite::inspect(root, migrations)
}

/// A serving engine with its wrappers.
pub struct Wrapped {
    /// What callers use.
    pub sql: SharedSql,
    /// Whether it takes writes.
    pub health: Arc<Health>,
}

/// Puts the wrappers of a serving engine around it: drills strike inside, so that what they do is measured and noticed.
pub fn wrap(
    sql: SharedSql,
    config: &config::Sql,
    events: Events,
    faults: Faults,
    clock: Clock,
) -> Wrapped {
    let engine = if config.mysql_url.is_some() { "mysql" } else { "sqlite" };
    let metered = Arc::new(Metered::new(Arc::new(Faulty::new(sql, faults)), events.clone()));
    let health = Health::new(metered, engine, clock, events);
    Wrapped { sql: Arc::new(Watched::new(Arc::clone(&health))), health }
}
