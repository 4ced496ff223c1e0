//! Making, building and dropping indexes.
//!
//! An index is made as a row in the state *building*, and from that moment writers keep it up: the row's write batch
//! bumps the collection's schema epoch, and a write batch of a writer that knows the old epoch is refused and done
//! again. What was there before is added by [`Documents::work_on_indexes`], page by page in the order of the documents'
//! keys; each page is one write batch that also says how far it came, so that another process, or the next start, goes
//! on from there. A document that changes between being read and being added is left out: whoever changed it has added
//! it.
//!
//! Dropping goes the other way round: nobody keeps it up any more, then its entries go, and its row last.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use yunzhan_base::{EnvId, Error, Kind, Result};
use yunzhan_query::key::{FORMAT, KeyRange};

use super::logic::index::{
    DOCUMENT_KEYS_MAX, DocumentKeys, Index, Keys, OWNER_INDEX_NAME, State, check_index_name,
    check_room,
};
use super::logic::shape::decode;
use super::store::{Batch, PageRow, Side, Table};
use super::{Caller, Documents, INDEXES_MAX};

/// How often [`Documents::work_on_indexes`] wants to be called.
pub const WORK_PERIOD: Duration = Duration::from_millis(100);

/// How long it works at once, so that a server that ends need not wait.
const WORK_TIME: Duration = Duration::from_millis(500);

/// Documents in one write batch of a building.
const PAGE_DOCUMENTS: usize = 200;

/// Entries that one write batch of dropping takes away.
const PAGE_ENTRIES: usize = 1000;

/// Collections whose indexes may wait to be finished. One that is left out is noted again when it is used next.
const UNFINISHED_MAX: usize = 1000;

/// Tries to make or drop an index while others do.
const ATTEMPTS_MAX: usize = 8;

/// An index to be made.
#[derive(Clone, Debug)]
pub struct NewIndex {
    /// Its name; made of its fields when absent.
    pub name: Option<String>,
    /// What it is sorted by.
    pub keys: Keys,
    /// Whether two documents may not have the same values. A missing field counts as null.
    pub unique: bool,
}

/// Collections with indexes that are being built or dropped, first come first served.
#[derive(Default)]
pub(super) struct Unfinished(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    queue: VecDeque<(EnvId, String)>,
    known: HashSet<(EnvId, String)>,
}

// === impl Unfinished ===

impl Unfinished {
    /// Notes a collection that has something to finish.
    pub(super) fn note(&self, env: &EnvId, collection: &str) {
        let mut waiting = self.0.lock().expect("no panic while held");
        let name = (env.clone(), collection.to_owned());
        if waiting.queue.len() < UNFINISHED_MAX && waiting.known.insert(name.clone()) {
            waiting.queue.push_back(name);
        }
    }

    fn next(&self) -> Option<(EnvId, String)> {
        let mut waiting = self.0.lock().expect("no panic while held");
        let next = waiting.queue.pop_front()?;
        waiting.known.remove(&next);
        Some(next)
    }
}

// === impl Documents ===

impl Documents {
    /// The indexes of a collection, the owner's first.
    ///
    /// # Errors
    /// `CollectionNotFound`.
    pub async fn indexes(&self, env: &EnvId, collection: &str) -> Result<Vec<Arc<Index>>> {
        self.forget_collections(env);
        Ok(self.collection(env, collection).await?.indexes.clone())
    }

    /// Makes an index, which is built from then on.
    ///
    /// # Errors
    /// `CollectionNotFound`, `InvalidParameter`, `AlreadyExists`, `TooLarge` when the collection has too many.
    pub async fn create_index(
        &self,
        caller: Caller<'_>,
        collection: &str,
        new: NewIndex,
    ) -> Result<Arc<Index>> {
        let name = new.name.unwrap_or_else(|| new.keys.default_name());
        check_index_name(&name)?;
        if new.unique && new.keys.is_geo() {
            let message = "a 2dsphere index cannot be unique";
            return Err(Error::new(Kind::InvalidParameter, message));
        }
        for _ in 0..ATTEMPTS_MAX {
            self.forget_collections(caller.env);
            let found = self.collection(caller.env, collection).await?;
            if found.index(&name).is_some() {
                let message = format!("collection {collection} has an index {name} already");
                return Err(Error::new(Kind::AlreadyExists, message));
            }
            if found.indexes.len() > INDEXES_MAX {
                let message =
                    format!("a collection has at most {INDEXES_MAX} indexes; drop one first");
                return Err(Error::new(Kind::TooLarge, message));
            }
            let total = self.table(caller.env, Arc::clone(&found)).count().await?;
            let created = self
                .store
                .create_index(caller.env, &found, &name, &new.keys, new.unique, total)
                .await;
            self.forget_collections(caller.env);
            match created {
                Ok(()) => {
                    let made = self.collection(caller.env, collection).await?;
                    return made.index(&name).cloned().ok_or_else(|| no_index(collection, &name));
                }
                // Somebody else changed the indexes; the next look tells how.
                Err(error) if matches!(error.kind(), Kind::Conflict | Kind::AlreadyExists) => {}
                Err(error) => return Err(error),
            }
        }
        Err(busy())
    }

    /// Drops an index, whose entries are taken away from then on.
    ///
    /// # Errors
    /// `CollectionNotFound`, `NotFound`.
    pub async fn drop_index(&self, caller: Caller<'_>, collection: &str, name: &str) -> Result<()> {
        for _ in 0..ATTEMPTS_MAX {
            self.forget_collections(caller.env);
            let found = self.collection(caller.env, collection).await?;
            let own = found.index(name).filter(|index| index.is_own());
            let index = own.ok_or_else(|| no_index(collection, name))?;
            if index.state == State::Dropping {
                return Ok(());
            }
            let set = self.store.set_index_state(caller.env, &found, index, State::Dropping, None);
            match set.await {
                Err(error) if error.kind() == Kind::Conflict => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    self.forget_collections(caller.env);
                    self.unfinished.note(caller.env, collection);
                    return Ok(());
                }
            }
        }
        Err(busy())
    }

    /// Goes on building and dropping for a moment. Call it every [`WORK_PERIOD`].
    ///
    /// # Errors
    /// Those of the database; what failed is tried again when its collection is used next.
    pub async fn work_on_indexes(&self) -> Result<()> {
        let until = Instant::now() + WORK_TIME;
        while Instant::now() < until
            && let Some((env, name)) = self.unfinished.next()
        {
            self.forget_collections(&env);
            let found = match self.catalogue.find(&self.store, &env, &name).await {
                Ok(found) => found,
                Err(error) if error.kind() == Kind::CollectionNotFound => continue,
                Err(error) => return Err(error),
            };
            let unfinished =
                |index: &&Arc<Index>| matches!(index.state, State::Building | State::Dropping);
            let Some(index) = found.indexes.iter().find(unfinished).cloned() else { continue };
            let table = self.table(&env, found);
            match index.state {
                State::Building => self.build(&table, &index, until).await,
                _ => self.take_down(&table, &index, until).await,
            }?;
            self.forget_collections(&env);
            self.unfinished.note(&env, &name);
        }
        Ok(())
    }

    async fn build(&self, table: &Table<'_>, index: &Index, until: Instant) -> Result<()> {
        let collection = table.collection.id;
        let reached = self.store.index_reached(table.env, collection, index.id).await?;
        let mut left = KeyRange { from: vec![FORMAT], to: vec![FORMAT + 1] };
        if let Some(reached) = reached {
            left.from = reached;
            left.from.push(0);
        }
        while Instant::now() < until {
            let page = table.documents(&left, Side::First, PAGE_DOCUMENTS).await?;
            let Some(last) = page.last() else {
                return self.end_building(table, index, State::Ready, None).await;
            };
            left.from.clone_from(&last.key);
            left.from.push(0);
            match build_page(table, index, page).await {
                Ok(()) => {}
                // Somebody dropped it, or the database chose this write batch to give way.
                Err(error) if error.kind() == Kind::Conflict => return Ok(()),
                Err(error) if is_of_documents(&error) => {
                    let why = match error.kind() {
                        Kind::AlreadyExists => "two documents have the same value".to_owned(),
                        _ => error.message().to_owned(),
                    };
                    return self.end_building(table, index, State::Failed, Some(&why)).await;
                }
                Err(error) => return Err(error),
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn end_building(
        &self,
        table: &Table<'_>,
        index: &Index,
        state: State,
        failure: Option<&str>,
    ) -> Result<()> {
        let set = self.store.set_index_state(table.env, &table.collection, index, state, failure);
        match set.await {
            // The indexes changed meanwhile; the next round looks again.
            Err(error) if error.kind() == Kind::Conflict => Ok(()),
            other => other,
        }
    }

    async fn take_down(&self, table: &Table<'_>, index: &Index, until: Instant) -> Result<()> {
        while Instant::now() < until {
            let (collection, rows) = (table.collection.id, PAGE_ENTRIES);
            if self.store.drop_some_entries(table.env, collection, index.id, rows).await? {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Looks again at the collection of a table, whose indexes may be others now.
    ///
    /// # Errors
    /// `CollectionNotFound`, also when another collection has the name.
    pub(super) async fn renewed<'a>(&'a self, table: &Table<'a>) -> Result<Table<'a>> {
        self.forget_collections(table.env);
        let found = self.collection(table.env, &table.collection.name).await?;
        if found.id != table.collection.id {
            let message = format!("collection {} is another one now", found.name);
            return Err(Error::new(Kind::CollectionNotFound, message));
        }
        Ok(self.table(table.env, found))
    }

    /// Forgets what is known of the collection when documents that were written changed what kinds of keys its indexes
    /// have.
    pub(super) fn note_kinds<'k>(
        &self,
        table: &Table<'_>,
        written: impl IntoIterator<Item = &'k DocumentKeys>,
    ) {
        let indexes = &table.collection.indexes;
        let is_new = |keys: &DocumentKeys| {
            indexes.iter().zip(&keys.0).any(|(index, keys)| {
                (keys.multikey && !index.multikey) || (keys.truncated && !index.truncated)
            })
        };
        if written.into_iter().any(is_new) {
            self.forget_collections(table.env);
        }
    }
}

/// Adds one page of documents to an index, in one write batch unless it would be too large.
pub(super) async fn build_page(table: &Table<'_>, index: &Index, page: Vec<PageRow>) -> Result<()> {
    let mut batch = BuildBatch::default();
    for mut row in page {
        if batch.batch.size().is_full() {
            std::mem::take(&mut batch).write(table, index).await?;
        }
        if row.body.is_none()
            && let Some(stored) = table.document_anywhere(&row.key).await?
        {
            (row.version, row.body) = (stored.version, Some(stored.body));
        }
        batch.add(table, index, &row)?;
        batch.done += 1;
        batch.reached = row.key;
    }
    batch.write(table, index).await
}

/// A part of the building of an index, while it is put together.
#[derive(Default)]
struct BuildBatch {
    batch: Batch,
    /// Whether some document has several keys, and whether some key was cut.
    kinds: (bool, bool),
    /// The key of the last document, and how many there were.
    reached: Vec<u8>,
    done: u64,
}

impl BuildBatch {
    fn add(&mut self, table: &Table<'_>, index: &Index, row: &PageRow) -> Result<()> {
        // A document that went meanwhile has no entries.
        let Some(body) = &row.body else { return Ok(()) };
        let document = decode(body)?;
        let entries = index.entries(&document, DOCUMENT_KEYS_MAX, false)?;
        check_room(&table.collection.indexes, index, &document, &entries)?;
        self.kinds.0 |= entries.multikey;
        self.kinds.1 |= entries.truncated;
        self.batch.build_entries(table, index, row, &entries);
        Ok(())
    }

    async fn write(mut self, table: &Table<'_>, index: &Index) -> Result<()> {
        self.batch.advance(table, index, self.kinds, (&self.reached, self.done));
        table.write(None, self.batch, None).await.map(drop)
    }
}

/// Whether it is the documents that an index cannot be built of.
fn is_of_documents(error: &Error) -> bool {
    matches!(error.kind(), Kind::AlreadyExists | Kind::TooLarge | Kind::InvalidParameter)
}

fn no_index(collection: &str, name: &str) -> Error {
    let message = match check_index_name(name) {
        _ if name == OWNER_INDEX_NAME => {
            format!("the index {name} belongs to every collection and stays")
        }
        Ok(()) => format!("collection {collection} has no index {name} that could be dropped"),
        Err(_) => format!("collection {collection} has no such index"),
    };
    Error::new(Kind::NotFound, message)
}

fn busy() -> Error {
    Error::new(
        Kind::Conflict,
        "others change the indexes of this collection at this moment; try again",
    )
}
