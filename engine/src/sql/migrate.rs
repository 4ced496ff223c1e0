//! Numbered steps from one format of a service's tables to the next.
//!
//! Each database remembers per service which steps it has seen. SQLite runs a step in one transaction; MySQL commits
//! every `CREATE` by itself, so a step that died half-way is run again there, and what exists already is passed over.
//! An environment's tables are brought up to date when its database is first opened.

use yunzhan_base::{Error, Kind, Result};

/// One step.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// 1, 2, 3 … within a service and scope.
    pub version: u32,
    /// What it does, in a few words, for the operator who reads the table of steps.
    pub name: &'static str,
    /// Whose tables it changes.
    pub database: Scope,
    /// Statements with the markers of [`super::dialect`], run in order.
    pub statements: &'static [&'static str],
}

/// The two sets of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The server's own tables.
    System,
    /// The tables of one environment.
    Env,
}

/// The steps of every service.
#[derive(Clone, Debug)]
pub struct Migrations {
    services: Vec<(&'static str, &'static [Migration])>,
}

/// A service's newest step that a database has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) service: String,
    pub(crate) version: u32,
}

/// A step that a database has not seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) service: &'static str,
    pub(crate) migration: &'static Migration,
}

/// The engine's own tables. `idempotency` remembers the answers of units that carried a key.
const ENGINE: &[Migration] = &[
    Migration {
        version: 1,
        name: "remembered answers",
        database: Scope::System,
        statements: REMEMBERED,
    },
    Migration {
        version: 1,
        name: "remembered answers",
        database: Scope::Env,
        statements: REMEMBERED,
    },
];

const REMEMBERED: &[&str] = &[
    "CREATE TABLE {idempotency} (env {env} NOT NULL, unit_key {name:255} NOT NULL, changed {text} NOT NULL,
     committed_ms BIGINT NOT NULL, PRIMARY KEY (env, unit_key)) {clustered}",
    "CREATE INDEX idempotency_age ON {idempotency} (committed_ms)",
];

/// The table of steps, in every database and scope.
pub(crate) mod statements {
    pub(crate) const CREATE: &str =
        "CREATE TABLE IF NOT EXISTS {migrations} (service {name:63} NOT NULL,
        version BIGINT NOT NULL, name {name:200} NOT NULL, applied_ms BIGINT NOT NULL,
        PRIMARY KEY (service, version))";
    pub(crate) const SEEN: &str = "SELECT service, MAX(version) FROM {migrations} GROUP BY service";
    pub(crate) const RECORD: &str =
        "INSERT INTO {migrations} (service, version, name, applied_ms) VALUES (?, ?, ?, ?)";
}

// === impl Migration ===

impl Migration {
    /// The step as an error names it.
    pub(crate) fn label(&self, service: &str) -> String {
        format!("migration {} of {service}: {}", self.version, self.name)
    }
}

// === impl Scope ===

impl Scope {
    /// As it stands in table names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Env => "env",
        }
    }
}

// === impl Migrations ===

impl Migrations {
    /// The steps of these services by name, and the engine's own. Numbers with gaps or services named twice are refused.
    pub fn new(services: Vec<(&'static str, &'static [Migration])>) -> Result<Self> {
        let mut all = vec![("engine", ENGINE)];
        for (service, migrations) in services {
            if all.iter().any(|(name, _)| *name == service) {
                return Err(Error::internal(format!(
                    "service {service} lists its migrations twice"
                )));
            }
            check_numbers(service, migrations)?;
            all.push((service, migrations));
        }
        Ok(Self { services: all })
    }

    /// The same with those of one more service.
    pub(crate) fn with(
        mut self,
        service: &'static str,
        migrations: &'static [Migration],
    ) -> Result<Self> {
        check_numbers(service, migrations)?;
        self.services.push((service, migrations));
        Ok(self)
    }

    /// What a database of this scope that has seen `seen` still needs. A database from a newer program is refused:
    /// writing to tables whose meaning is unknown would destroy them.
    pub(crate) fn pending(&self, scope: Scope, seen: &[Seen]) -> Result<Vec<Pending>> {
        let mut pending = Vec::new();
        for &(service, migrations) in &self.services {
            let known = migrations.iter().filter(|step| step.database == scope);
            let newest = known.clone().map(|step| step.version).max().unwrap_or(0);
            let at =
                seen.iter().find(|seen| seen.service == service).map_or(0, |seen| seen.version);
            if at > newest {
                return Err(Error::new(
                    Kind::Unavailable,
                    format!(
                        "the {} tables of {service} have format {at}, this program knows {newest}; \
                         start the newer program again or restore a backup",
                        scope.name()
                    ),
                ));
            }
            let missing = known.filter(|step| step.version > at);
            pending.extend(missing.map(|migration| Pending { service, migration }));
        }
        Ok(pending)
    }
}

fn check_numbers(service: &str, migrations: &[Migration]) -> Result<()> {
    for scope in [Scope::System, Scope::Env] {
        let steps = migrations.iter().filter(|step| step.database == scope);
        for (step, expected) in steps.zip(1..) {
            if step.version != expected {
                return Err(Error::internal(format!(
                    "migration {} of {service} ({}) must have number {expected}",
                    step.version,
                    scope.name()
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    const fn step(version: u32) -> Migration {
        Migration { version, name: "", database: Scope::Env, statements: &[] }
    }

    const TWO: &[Migration] = &[step(1), step(2)];
    const GAP: &[Migration] = &[step(1), step(3)];

    fn pending(version: u32) -> Result<Vec<u32>> {
        let seen = [Seen { service: "shop".into(), version }];
        let pending = Migrations::new(vec![("shop", TWO)])?.pending(Scope::Env, &seen)?;
        let shop = pending.iter().filter(|pending| pending.service == "shop");
        Ok(shop.map(|pending| pending.migration.version).collect())
    }

    #[test]
    fn only_unseen_steps_are_pending() {
        assert_eq!(pending(0).unwrap(), [1, 2]);
        assert_eq!(pending(1).unwrap(), [2]);
        assert_eq!(pending(2).unwrap(), [0_u32; 0]);
    }

    #[test]
    fn newer_tables_are_refused_with_the_way_out() {
        assert_eq!(
            pending(3).unwrap_err().to_string(),
            "the env tables of shop have format 3, this program knows 2; \
             start the newer program again or restore a backup"
        );
    }

    #[test]
    fn gaps_and_doubles_are_refused() {
        assert!(Migrations::new(vec![("shop", GAP)]).is_err());
        assert!(Migrations::new(vec![("shop", TWO), ("shop", TWO)]).is_err());
        assert!(Migrations::new(vec![("engine", TWO)]).is_err());
    }
}
