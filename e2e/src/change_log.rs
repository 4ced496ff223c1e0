//! The change log of an environment, and the documents that it tells of, as the library reads them beside a server or after
//! its death.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value as Json;
use tempfile::TempDir;
use yunzhan_base::env::Envs;
use yunzhan_base::event::Events;
use yunzhan_base::{Clock, EnvId, Live};
use yunzhan_engine::sql::{
    self, Consistency, Database, Key, Logical, Merge, Migrations, SLOTS, ShardLocation, SharedSql,
    Statement, Value,
};
use yunzhan_engine::{config, lease};
use yunzhan_query::ejson::{Mode, append_raw_document};
use yunzhan_services::documents::{self, Documents, LoggedChange, Position};
use yunzhan_services::nodes::cluster::Cluster;

use crate::replay::Replay;
use crate::server::Server;

/// Slots of one slot group: there are 64 groups, whatever happens.
const GROUP_SLOTS: i64 = SLOTS as i64 / 64;
/// Changes of one page: few, so that pages end in the middle of everything.
const PAGE_CHANGES: usize = 100;
/// How often a state is read again in the middle of which somebody wrote, such as MySQL that heard a commit before its client
/// died.
const TRIES_MAX: usize = 50;

const VERSIONS: &str = "SELECT collection, id, slot, version FROM {documents} WHERE env = ?";
const BODIES: &str =
    "SELECT id, slot, version, body FROM {documents} WHERE env = ? AND collection = ?";
const COLLECTION: &str = "SELECT id FROM {collections} WHERE env = ? AND name = ?";
const DOCUMENTS: &[Logical] = &[Logical("documents")];
const COLLECTIONS: &[Logical] = &[Logical("collections")];

/// An environment's documents, opened with the library.
pub struct ChangeLog {
    /// The service.
    pub documents: Documents,
    /// The environment.
    pub env: EnvId,
    sql: SharedSql,
    /// What was opened, where the server's own folder stays as it is.
    _copy: Option<TempDir>,
}

/// The version of a document that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentVersion {
    /// The number of its collection.
    pub collection: i64,
    /// The key of its id.
    pub key: Vec<u8>,
    /// Its slot group.
    pub group: usize,
    /// Its version.
    pub version: i64,
}

/// A document that is there.
#[derive(Clone, Debug, PartialEq)]
pub struct DocumentBody {
    /// Its slot group.
    pub group: usize,
    /// Its version.
    pub version: i64,
    /// The document.
    pub document: Json,
}

/// The log and the documents at one moment.
pub struct Snapshot {
    /// Behind what the log begins.
    pub oldest: Position,
    /// Where it ends.
    pub newest: Position,
    /// Everything between the two.
    pub changes: Vec<LoggedChange>,
    /// The documents of every collection.
    pub versions: Vec<DocumentVersion>,
    /// Those of the collection that was asked for, by their keys.
    pub bodies: BTreeMap<Vec<u8>, DocumentBody>,
}

// === impl ChangeLog ===

impl ChangeLog {
    /// Opens what a server left that was killed. A data folder is copied first, so that the server's next start finds it as it
    /// was left.
    ///
    /// # Errors
    /// When it cannot be copied or opened.
    pub async fn left_by(server: &Server, env: &str) -> Result<Self> {
        if let Some(schema) = server.schema() {
            return Self::over(schema.open(migrations()?, Clock::System).await, env, None);
        }
        let copy = tempfile::tempdir()?;
        copy_files(server.data().root(), copy.path())?;
        let opening = sql::Opening {
            config: config::Sql::default(),
            root: copy.path().to_owned(),
            migrations: migrations()?,
            clock: Clock::System,
            events: Events::default(),
        };
        Self::over(sql::open(opening).await?, env, Some(copy))
    }

    /// Reads on this database, which has the tables of [`migrations`].
    ///
    /// # Errors
    /// When the name is none of an environment.
    pub fn on(sql: SharedSql, env: &str) -> Result<Self> {
        Self::over(sql, env, None)
    }

    /// Hears of what other servers write.
    #[must_use]
    pub fn among(mut self, cluster: &Arc<Cluster>) -> Self {
        self.documents = self.documents.among(cluster);
        self
    }

    fn over(sql: SharedSql, env: &str, copy: Option<TempDir>) -> Result<Self> {
        let (envs, config) = (Live::new(Envs::default()), documents::Config::default());
        let documents = Documents::new(SharedSql::clone(&sql), envs, Clock::System, config);
        Ok(Self { documents, env: env.parse()?, sql, _copy: copy })
    }

    /// The log from its beginning to its end and the documents as they are there; the bodies of one collection, too, if it is
    /// named.
    ///
    /// # Errors
    /// Those of the database, and when somebody writes all the time.
    pub async fn snapshot(&self, collection: Option<&str>) -> Result<Snapshot> {
        for _ in 0..TRIES_MAX {
            let oldest = self.documents.oldest_position(&self.env).await?;
            let newest = self.documents.position(&self.env).await?;
            let (changes, reached) = self.changes_since(&oldest).await?;
            let snapshot = Snapshot {
                changes,
                versions: self.versions().await?,
                bodies: match collection {
                    Some(name) => self.bodies(self.collection(name).await?).await?,
                    None => BTreeMap::new(),
                },
                oldest,
                newest,
            };
            let is_still = snapshot.oldest == self.documents.oldest_position(&self.env).await?
                && snapshot.newest == self.documents.position(&self.env).await?;
            if is_still {
                ensure!(reached == snapshot.newest, "the log ends before its counters");
                return Ok(snapshot);
            }
        }
        bail!("somebody writes all the time");
    }

    /// Everything since a position, and the position behind it.
    ///
    /// # Errors
    /// Those of the database, and when the log no longer goes back so far.
    pub async fn changes_since(&self, since: &Position) -> Result<(Vec<LoggedChange>, Position)> {
        let (mut changes, mut position) = (Vec::new(), since.clone());
        loop {
            let page = self.documents.changes(&self.env, &position, PAGE_CHANGES).await?;
            position = Position::from_token(&page.position.token())?;
            if page.changes.is_empty() {
                return Ok((changes, position));
            }
            changes.extend(page.changes);
        }
    }

    /// The number of a collection.
    ///
    /// # Errors
    /// Those of the database, and when there is none of this name.
    pub async fn collection(&self, name: &str) -> Result<i64> {
        let name = Value::Text(name.to_owned());
        let rows = self.select(COLLECTION, COLLECTIONS, [name]).await?;
        integer(rows.first().and_then(|row| row.first()).context("no such collection")?)
    }

    /// The documents of a collection at one moment, by their keys.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn bodies(&self, collection: i64) -> Result<BTreeMap<Vec<u8>, DocumentBody>> {
        let rows = self.select(BODIES, DOCUMENTS, [Value::Integer(collection)]).await?;
        let body = |row: Vec<Value>| {
            let [key, slot, version, body] = &row[..] else { bail!("four columns") };
            let (group, version) = (group(slot)?, integer(version)?);
            Ok((bytes(key)?, DocumentBody { group, version, document: json(&bytes(body)?)? }))
        };
        rows.into_iter().map(body).collect()
    }

    async fn versions(&self) -> Result<Vec<DocumentVersion>> {
        let version = |row: Vec<Value>| {
            let [collection, key, slot, version] = &row[..] else { bail!("four columns") };
            let (collection, key) = (integer(collection)?, bytes(key)?);
            Ok(DocumentVersion { collection, key, group: group(slot)?, version: integer(version)? })
        };
        self.select(VERSIONS, DOCUMENTS, []).await?.into_iter().map(version).collect()
    }

    async fn select<const N: usize>(
        &self,
        sql: &'static str,
        tables: &'static [Logical],
        params: [Value; N],
    ) -> Result<Vec<Vec<Value>>> {
        let database = Database::Env(self.env.clone());
        let place = ShardLocation { database, key: Key::All(Merge::default()) };
        let env = Value::Text(self.env.as_str().to_owned());
        let params = [env].into_iter().chain(params).collect();
        let statement = Statement { sql, tables, params };
        let rows = self.sql.read(Consistency::Primary, &place, statement).await?;
        Ok(rows.0.into_iter().map(|row| row.0).collect())
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// Holds the log against the documents: no gap, no repeat, no document that it does not explain.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn check(&self) -> Result<()> {
        let mut replay = Replay::after(&self.oldest);
        self.changes.iter().try_for_each(|change| replay.take(change))?;
        replay.finish(&self.newest, &self.versions)
    }
}

/// The tables of a shared database that this reads, and those of its nodes.
///
/// # Errors
/// Never: they are numbered rightly.
pub fn migrations() -> Result<Migrations> {
    let services = vec![("nodes", lease::MIGRATIONS), ("documents", documents::MIGRATIONS)];
    Ok(Migrations::new(services)?)
}

/// A document's BSON as JSON.
///
/// # Errors
/// When it is none.
pub fn json(bson: &[u8]) -> Result<Json> {
    let mut text = String::new();
    append_raw_document(&mut text, bson, Mode::Relaxed)?;
    Ok(serde_json::from_str(&text)?)
}

fn group(slot: &Value) -> Result<usize> {
    Ok(usize::try_from(integer(slot)? / GROUP_SLOTS)?)
}

fn integer(value: &Value) -> Result<i64> {
    match value {
        Value::Integer(number) => Ok(*number),
        other => bail!("{other:?} is no number"),
    }
}

fn bytes(value: &Value) -> Result<Vec<u8>> {
    match value {
        Value::Blob(bytes) => Ok(bytes.clone()),
        other => bail!("{other:?} are no bytes"),
    }
}

/// Copies files with their folders; a dead server's sockets stay.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, target) = {
            let entry = entry?;
            let target = to.join(entry.file_name());
            (entry, target)
        };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_files(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
