//! The collections of every environment, remembered for a moment.
//!
//! A remembered collection counts as long as no collection of its environment was changed in this process since, and at
//! most [`FRESH`]: another process on the same database may have changed it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use quick_cache::Equivalent;
use quick_cache::sync::Cache;
use yunzhan_base::{EnvId, Error, ErrorCode, Kind, Result};

use super::logic::permission::Preset;
use super::logic::shape::check_collection_name;
use super::store::{COLLECTIONS_MAX, Collection, Store};

/// How long a change of a collection made by another process may stay unseen here.
const FRESH: Duration = Duration::from_secs(1);

/// Collections to remember, over all environments. One takes about 200 bytes.
const REMEMBERED_MAX: usize = 10_000;

/// An environment has as many collections as it may.
pub static TOO_MANY_COLLECTIONS: ErrorCode = ErrorCode {
    code: "DATABASE_COLLECTION_EXCEED_LIMIT",
    kind: Kind::PermissionDenied,
    en: "the environment has as many collections as it may",
    zh: "集合数量超出限制",
};

/// Tries to number a new collection while others are made at the same moment.
const CREATE_ATTEMPTS_MAX: usize = 8;

/// Finds and changes collections.
pub(super) struct Catalogue {
    known: Cache<(EnvId, String), Known>,
    /// Raised by each change in an environment, so that what was read there before it no longer counts. It has an entry
    /// for each environment with a change since the start.
    generations: RwLock<HashMap<EnvId, u64>>,
}

#[derive(Clone)]
struct Known {
    collection: Arc<Collection>,
    generation: u64,
    read_at: Instant,
}

/// A key that is looked up without being built.
#[derive(Hash)]
struct Name<'a>(&'a EnvId, &'a str);

impl Equivalent<(EnvId, String)> for Name<'_> {
    fn equivalent(&self, (env, name): &(EnvId, String)) -> bool {
        self.0 == env && self.1 == name
    }
}

impl Catalogue {
    pub(super) fn new() -> Self {
        Self { known: Cache::new(REMEMBERED_MAX), generations: RwLock::default() }
    }

    /// The collection with this name.
    ///
    /// # Errors
    /// `CollectionNotFound`.
    pub(super) async fn find(
        &self,
        store: &Store,
        env: &EnvId,
        name: &str,
    ) -> Result<Arc<Collection>> {
        let generation = self.generation(env);
        if let Some(known) = self.known.get(&Name(env, name))
            && known.generation == generation
            && known.read_at.elapsed() < FRESH
        {
            return Ok(known.collection);
        }
        let read_at = Instant::now();
        // A name that cannot be one is not worth a look into the tables.
        check_collection_name(name).map_err(|_| not_found(name))?;
        let collection = store.collection(env, name).await?.ok_or_else(|| not_found(name))?;
        let collection = Arc::new(collection);
        let known = Known { collection: Arc::clone(&collection), generation, read_at };
        self.known.insert((env.clone(), name.to_owned()), known);
        Ok(collection)
    }

    /// Forgets what was remembered of an environment up to now.
    pub(super) fn forget(&self, env: &EnvId) {
        let mut generations = self.generations.write().unwrap_or_else(PoisonError::into_inner);
        match generations.get_mut(env) {
            Some(generation) => *generation += 1,
            None => drop(generations.insert(env.clone(), 1)),
        }
    }

    fn generation(&self, env: &EnvId) -> u64 {
        let generations = self.generations.read().unwrap_or_else(PoisonError::into_inner);
        generations.get(env).copied().unwrap_or(0)
    }

    /// Adds a collection.
    ///
    /// # Errors
    /// `InvalidParameter` for its name, `AlreadyExists`, [`TOO_MANY_COLLECTIONS`].
    pub(super) async fn create(
        &self,
        store: &Store,
        env: &EnvId,
        name: &str,
        permission: Preset,
        now_ms: i64,
    ) -> Result<Collection> {
        check_collection_name(name)?;
        for _ in 0..CREATE_ATTEMPTS_MAX {
            check_room(store.collection_count(env).await?)?;
            let created = store.create_collection(env, name, permission, now_ms).await;
            self.forget(env);
            let found = store.collection(env, name).await?;
            match (created, found) {
                (Ok(()), Some(collection)) => return Ok(collection),
                (Err(error), Some(_)) if error.kind() == Kind::AlreadyExists => {
                    return Err(Error::new(
                        Kind::AlreadyExists,
                        format!("collection {name} exists already"),
                    ));
                }
                // Another collection took the number at the same moment.
                (Err(error), None) if error.kind() == Kind::AlreadyExists => {}
                (Err(error), _) => return Err(error),
                (Ok(()), None) => return Err(not_found(name)),
            }
        }
        Err(Error::new(Kind::Conflict, "too many collections are made at this moment; try again"))
    }

    /// Changes what people may do with a collection.
    ///
    /// # Errors
    /// `CollectionNotFound`.
    pub(super) async fn set_permission(
        &self,
        store: &Store,
        env: &EnvId,
        name: &str,
        permission: Preset,
        rules: Option<&str>,
    ) -> Result<()> {
        let changed = store.set_permission(env, name, permission, rules).await;
        self.forget(env);
        match changed {
            Err(error) if error.kind() == Kind::Conflict => Err(not_found(name)),
            other => other,
        }
    }
}

fn check_room(collections: usize) -> Result<()> {
    if collections < COLLECTIONS_MAX {
        return Ok(());
    }
    let message = format!("an environment has at most {COLLECTIONS_MAX} collections");
    Err(Error::coded(&TOO_MANY_COLLECTIONS, message))
}

fn not_found(name: &str) -> Error {
    // Names come from outside: an error shows only what could be one.
    let message = match check_collection_name(name) {
        Ok(()) => format!("there is no collection {name}; create it first"),
        Err(_) => "there is no such collection".to_owned(),
    };
    Error::new(Kind::CollectionNotFound, message)
}
