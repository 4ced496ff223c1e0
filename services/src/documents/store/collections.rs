//! Statements on collections and their indexes.

use std::sync::Arc;

use yunzhan_base::{EnvId, Error, Result};
use yunzhan_engine::sql::{Expect, Logical, Row, Value, WriteStep};
use yunzhan_query::{Direction, Order, Path};

use super::{Store, changes, count, everywhere, step, text};
use crate::columns::Columns;
use crate::documents::logic::custom::Custom;
use crate::documents::logic::index::{Index, Keys, Progress, State, owner_index};
use crate::documents::logic::permission::Preset;
use crate::documents::logic::shape::OWNER_INDEX;

const COLLECTIONS: Logical = Logical("collections");
const INDEXES: Logical = Logical("indexes");
const ENTRIES: Logical = Logical("index_entries");
const UNIQUE: Logical = Logical("unique_entries");

const COLLECTION: &str = "SELECT name, id, permission, shape, created_ms, rules FROM {collections}
     WHERE env = ? AND name = ?";
const ALL_COLLECTIONS: &str =
    "SELECT name, id, permission, shape, created_ms, rules FROM {collections}
     WHERE env = ? ORDER BY name LIMIT ?";
const COUNT_COLLECTIONS: &str = "SELECT COUNT(*) FROM {collections} WHERE env = ?";
const CREATE_COLLECTION: &str =
    "INSERT INTO {collections} (env, name, id, permission, id_mode, created_ms, shape)
     SELECT ?, ?, COALESCE(MAX(id), 0) + 1, ?, 'mixed', ?, 0 FROM {collections} WHERE env = ?";
const SET_PERMISSION: &str =
    "UPDATE {collections} SET permission = ?, rules = ? WHERE env = ? AND name = ?";
const BUMP_SCHEMA_EPOCH: &str = "UPDATE {collections} SET shape = shape + 1
     WHERE env = ? AND id = ? AND shape = ?";

const INDEX_COLUMNS: &str =
    "SELECT id, name, definition, is_unique, state, multikey, truncated, done, total, failure
     FROM {indexes} WHERE env = ? AND collection = ? ORDER BY id";
const CREATE_INDEX: &str =
    "INSERT INTO {indexes} (env, collection, id, name, definition, is_unique, state, multikey, truncated, done, total)
     VALUES (?, ?, ?, ?, ?, ?, 'building', 0, 0, 0, ?)";
const FLAG_INDEX: &str =
    "UPDATE {indexes} SET multikey = CASE WHEN ? > multikey THEN 1 ELSE multikey END,
     truncated = CASE WHEN ? > truncated THEN 1 ELSE truncated END
     WHERE env = ? AND collection = ? AND id = ?";
const SET_STATE: &str = "UPDATE {indexes} SET state = ?, failure = ?
     WHERE env = ? AND collection = ? AND id = ? AND state = ?";
const ADVANCE: &str = "UPDATE {indexes} SET reached = ?, done = done + ?
     WHERE env = ? AND collection = ? AND id = ? AND state = 'building'";
const REACHED: &str = "SELECT reached FROM {indexes}
     WHERE env = ? AND collection = ? AND id = ? AND state = 'building'";
const FORGET_INDEX: &str =
    "DELETE FROM {indexes} WHERE env = ? AND collection = ? AND id = ? AND state = 'dropping'";
const SOME_ENTRIES: &str = "SELECT entry, document FROM {index_entries}
     WHERE env = ? AND collection = ? AND index_id = ? LIMIT ?";
const DROP_ENTRY: &str = "DELETE FROM {index_entries}
     WHERE env = ? AND collection = ? AND index_id = ? AND entry = ? AND document = ?";
const DROP_UNIQUE: &str = "DELETE FROM {unique_entries}
     WHERE env = ? AND collection = ? AND index_id = ? AND entry = ?";

/// Most collections in one environment: they are listed in one answer, and names come from outside.
pub(in crate::documents) const COLLECTIONS_MAX: usize = 1000;

/// One collection of an environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// Its name in requests.
    pub name: String,
    /// Its number in rows.
    pub id: i64,
    /// What people may do with it.
    pub permission: Preset,
    /// Its own rules, where the permission is `CUSTOM`.
    pub rules: Option<Arc<Custom>>,
    /// Its indexes, the owner's first.
    pub indexes: Vec<Arc<Index>>,
    /// What the planner may use: the primary key, then the ready indexes on fields.
    pub(in crate::documents) planned: Vec<yunzhan_query::Index>,
    /// The places among `indexes` of those, in the same order.
    pub(in crate::documents) planned_places: Vec<usize>,
    /// Counts changes of its indexes. Whoever writes by an older count than the database's is refused.
    pub(in crate::documents) schema_epoch: i64,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
}

// === impl Collection ===

impl Collection {
    /// Whether one of its indexes is still being built or dropped.
    pub(in crate::documents) fn has_unfinished_index(&self) -> bool {
        self.indexes.iter().any(|index| matches!(index.state, State::Building | State::Dropping))
    }

    /// Lists for the planner what is ready.
    fn plan(&mut self) {
        let id = Order::from_fields([("_id", Direction::Ascending)]).expect("_id is a path");
        self.planned =
            vec![yunzhan_query::Index { pattern: id, multikey: false, truncated: false }];
        for (place, index) in self.indexes.iter().enumerate().filter(|(_, index)| index.is_ready())
        {
            // The planner knows nothing of places; `nearest_neighbours.rs` and `scan.rs` look for their indexes
            // themselves.
            let Keys::Fields(order) = &index.keys else { continue };
            self.planned.push(yunzhan_query::Index {
                pattern: order.clone(),
                multikey: index.multikey,
                truncated: index.truncated,
            });
            self.planned_places.push(place);
        }
    }

    /// The ready geo indexes: the place of each among all, and the path that it is about.
    pub(in crate::documents) fn geo_indexes(&self) -> impl Iterator<Item = (usize, &Path)> {
        self.indexes.iter().enumerate().filter(|(_, index)| index.is_ready()).filter_map(
            |(place, index)| match &index.keys {
                Keys::Geo(path) => Some((place, path)),
                Keys::Fields(_) => None,
            },
        )
    }

    /// The index with this name.
    pub(in crate::documents) fn index(&self, name: &str) -> Option<&Arc<Index>> {
        self.indexes.iter().find(|index| index.name == name)
    }
}

// === impl Store ===

impl Store {
    pub(in crate::documents) async fn collection(
        &self,
        env: &EnvId,
        name: &str,
    ) -> Result<Option<Collection>> {
        let params = vec![text(env.as_str()), text(name)];
        let rows = self.select(env, COLLECTION, &[COLLECTIONS], params).await?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        self.with_indexes(env, collection_of(row)?).await.map(Some)
    }

    pub(in crate::documents) async fn collections(&self, env: &EnvId) -> Result<Vec<Collection>> {
        let params = vec![text(env.as_str()), count(COLLECTIONS_MAX)];
        let rows = self.select(env, ALL_COLLECTIONS, &[COLLECTIONS], params).await?;
        let mut collections = Vec::with_capacity(rows.len());
        for row in rows {
            collections.push(self.with_indexes(env, collection_of(row)?).await?);
        }
        Ok(collections)
    }

    /// How many collections there are.
    pub(in crate::documents) async fn collection_count(&self, env: &EnvId) -> Result<usize> {
        let params = vec![text(env.as_str())];
        let rows = self.select(env, COUNT_COLLECTIONS, &[COLLECTIONS], params).await?;
        let count = rows.into_iter().next().map(|row| Columns::from(row).integer()).transpose()?;
        Ok(usize::try_from(count.unwrap_or(0)).unwrap_or(usize::MAX))
    }

    /// Adds the indexes. They may be newer than the row; the row's schema epoch then no longer lets anybody write.
    async fn with_indexes(&self, env: &EnvId, mut collection: Collection) -> Result<Collection> {
        let params = vec![text(env.as_str()), Value::Integer(collection.id)];
        for row in self.select(env, INDEX_COLUMNS, &[INDEXES], params).await? {
            collection.indexes.push(Arc::new(index_of(row)?));
        }
        collection.plan();
        Ok(collection)
    }

    /// Adds a collection. Fails as `AlreadyExists` when one with this name, or by a race with this number, is there.
    pub(in crate::documents) async fn create_collection(
        &self,
        env: &EnvId,
        name: &str,
        permission: Preset,
        now_ms: i64,
    ) -> Result<()> {
        let params = vec![
            text(env.as_str()),
            text(name),
            text(permission.name()),
            Value::Integer(now_ms),
            text(env.as_str()),
        ];
        let steps = vec![
            step(CREATE_COLLECTION, &[COLLECTIONS], params, Expect::Rows(1)),
            changes::make_sequences(env),
        ];
        self.write(env, everywhere(&[], None), steps, None).await.map(drop)
    }

    /// Changes who may do what. Fails as `Conflict` when there is no such collection.
    pub(in crate::documents) async fn set_permission(
        &self,
        env: &EnvId,
        name: &str,
        permission: Preset,
        rules: Option<&str>,
    ) -> Result<()> {
        let params = vec![
            text(permission.name()),
            rules.map_or(Value::Null, text),
            text(env.as_str()),
            text(name),
        ];
        let step = step(SET_PERMISSION, &[COLLECTIONS], params, Expect::Rows(1));
        self.write(env, everywhere(&[], None), vec![step], None).await.map(drop)
    }

    /// Adds an index that is to be built. Fails as `AlreadyExists` for a name that is taken, and as `Conflict` when the
    /// collection's indexes changed since it was read.
    pub(in crate::documents) async fn create_index(
        &self,
        env: &EnvId,
        collection: &Collection,
        name: &str,
        keys: &Keys,
        unique: bool,
        total: u64,
    ) -> Result<()> {
        let params = vec![
            text(env.as_str()),
            Value::Integer(collection.id),
            // The epoch only grows, so no number comes twice, also when a builder still works for a dropped one.
            Value::Integer(OWNER_INDEX + 1 + collection.schema_epoch),
            text(name),
            text(&keys.text()),
            flag(unique),
            number(total),
        ];
        let create = step(CREATE_INDEX, &[INDEXES], params, Expect::Rows(1));
        self.bump_schema_epoch(env, collection, create).await
    }

    /// Moves an index from one state to another. Fails as `Conflict` when it is in another state than supposed, or the
    /// collection's indexes changed since it was read.
    pub(in crate::documents) async fn set_index_state(
        &self,
        env: &EnvId,
        collection: &Collection,
        index: &Index,
        state: State,
        failure: Option<&str>,
    ) -> Result<()> {
        let params = vec![
            text(state.name()),
            failure.map_or(Value::Null, text),
            text(env.as_str()),
            Value::Integer(collection.id),
            Value::Integer(index.id),
            text(index.state.name()),
        ];
        self.bump_schema_epoch(
            env,
            collection,
            step(SET_STATE, &[INDEXES], params, Expect::Rows(1)),
        )
        .await
    }

    /// Changes the indexes of a collection, so that no writer goes on by the old ones.
    async fn bump_schema_epoch(
        &self,
        env: &EnvId,
        collection: &Collection,
        change: WriteStep,
    ) -> Result<()> {
        let steps = vec![bump_schema_epoch(env, collection), change];
        self.write(env, everywhere(&[], None), steps, None).await.map(drop)
    }

    /// The key of the last document that the building has looked at; none when it is at the beginning or no longer
    /// built.
    pub(in crate::documents) async fn index_reached(
        &self,
        env: &EnvId,
        collection: i64,
        index: i64,
    ) -> Result<Option<Vec<u8>>> {
        let params = vec![text(env.as_str()), Value::Integer(collection), Value::Integer(index)];
        let rows = self.select(env, REACHED, &[INDEXES], params).await?;
        rows.into_iter().next().map_or(Ok(None), |row| Columns::from(row).optional_bytes())
    }

    /// Takes away up to `rows` entries of an index that is being dropped, or at last the index itself. True when it is
    /// gone.
    pub(in crate::documents) async fn drop_some_entries(
        &self,
        env: &EnvId,
        collection: i64,
        index: i64,
        rows: usize,
    ) -> Result<bool> {
        let place = || vec![text(env.as_str()), Value::Integer(collection), Value::Integer(index)];
        let mut params = place();
        params.push(count(rows));
        let entries = self.select(env, SOME_ENTRIES, &[ENTRIES], params).await?;
        let is_last = entries.is_empty();
        let mut steps = Vec::with_capacity(2 * entries.len() + 1);
        for row in entries {
            let mut columns = Columns::from(row);
            let (entry, document) = (columns.bytes()?, columns.bytes()?);
            let mut params = place();
            params.push(Value::Blob(entry.clone()));
            steps.push(step(DROP_UNIQUE, &[UNIQUE], params, Expect::Any));
            let mut params = place();
            params.extend([Value::Blob(entry), Value::Blob(document)]);
            steps.push(step(DROP_ENTRY, &[ENTRIES], params, Expect::Any));
        }
        if is_last {
            steps.push(step(FORGET_INDEX, &[INDEXES], place(), Expect::Any));
        }
        self.write(env, everywhere(&[], None), steps, None).await?;
        Ok(is_last)
    }
}

/// The step that outdates what every writer knows of the collection's indexes.
pub(super) fn bump_schema_epoch(env: &EnvId, collection: &Collection) -> WriteStep {
    let params = vec![
        text(env.as_str()),
        Value::Integer(collection.id),
        Value::Integer(collection.schema_epoch),
    ];
    step(BUMP_SCHEMA_EPOCH, &[COLLECTIONS], params, Expect::Rows(1))
}

/// The step that notes what kinds of keys an index has.
pub(super) fn flag_index(
    env: &EnvId,
    collection: i64,
    index: i64,
    multikey: bool,
    truncated: bool,
) -> WriteStep {
    let place = [text(env.as_str()), Value::Integer(collection), Value::Integer(index)];
    let params = [flag(multikey), flag(truncated)].into_iter().chain(place).collect();
    step(FLAG_INDEX, &[INDEXES], params, Expect::Rows(1))
}

/// The step that notes how far the building has come.
pub(super) fn advance(
    env: &EnvId,
    collection: i64,
    index: i64,
    reached: &[u8],
    done: u64,
) -> WriteStep {
    let params = vec![
        Value::Blob(reached.to_vec()),
        number(done),
        text(env.as_str()),
        Value::Integer(collection),
        Value::Integer(index),
    ];
    step(ADVANCE, &[INDEXES], params, Expect::Rows(1))
}

fn flag(flag: bool) -> Value {
    Value::Integer(flag.into())
}

fn number(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

fn collection_of(row: Row) -> Result<Collection> {
    let mut columns = Columns::from(row);
    let (name, id) = (columns.text()?, columns.integer()?);
    // What a newer server wrote is what this server must not guess.
    let permission = columns.text()?.parse().map_err(|error: Error| {
        Error::internal("a collection has a permission that this version does not know")
            .because(error)
    })?;
    Ok(Collection {
        name,
        id,
        permission,
        indexes: vec![owner_index()],
        planned: Vec::new(),
        planned_places: Vec::new(),
        schema_epoch: columns.integer()?,
        created_ms: columns.integer()?,
        rules: columns.optional_text()?.map(|text| Arc::new(Custom::stored(&text))),
    })
}

fn index_of(row: Row) -> Result<Index> {
    let mut columns = Columns::from(row);
    Ok(Index {
        id: columns.integer()?,
        name: columns.text()?,
        keys: Keys::from_text(&columns.text()?)?,
        unique: columns.integer()? != 0,
        state: State::from_name(&columns.text()?)?,
        multikey: columns.integer()? != 0,
        truncated: columns.integer()? != 0,
        progress: Progress {
            done: columns.integer()?.unsigned_abs(),
            total: columns.integer()?.unsigned_abs(),
        },
        failure: columns.optional_text()?,
    })
}
