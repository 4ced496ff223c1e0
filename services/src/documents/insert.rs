//! Adding documents: several are one write batch, and one may carry a key that makes a repetition harmless.

use bson::{Bson, Document};
use yunzhan_base::{Error, Kind, Result};
use yunzhan_engine::sql::SLOTS;

use super::edit::{ATTEMPTS_MAX, contended, only};
use super::idempotency::{Idempotency, IdempotentCall};
use super::logic::batch::BatchSize;
use super::logic::id::{Ids, slot_of_owner};
use super::logic::index::{DocumentKeys, keys_of};
use super::logic::permission::{Operation, Reach};
use super::logic::shape::{INSERT_DOCUMENTS_MAX, Prepared, decode, prepare_insert};
use super::store::{Batch, Table};
use super::{Caller, Changed, Documents};

/// Values of a refused write batch of which is looked which document has them: each is a question to the database.
const TAKEN_VALUES_MAX: usize = 20;

impl Documents {
    /// Adds documents, all or none, and gives their ids in order. With an idempotency key, which goes with one
    /// document, a repetition answers as the first call did and adds nothing.
    ///
    /// # Errors
    /// `CollectionNotFound`, `PermissionDenied`, `InvalidParameter`, `TooLarge`; `AlreadyExists` for an id that is
    /// taken. `InvalidParameter` too when an idempotency key comes again with another request.
    pub async fn insert(
        &self,
        caller: Caller<'_>,
        collection: &str,
        documents: Vec<Document>,
        idempotency: Option<Idempotency<'_>>,
    ) -> Result<Vec<Bson>> {
        check_insert(documents.len())?;
        let what = ("insert", documents.len() == 1);
        let idempotent = self.idempotent_call(caller, collection, what, idempotency)?;
        let (mut table, reach, mut authorizer) =
            self.open_ruled(caller, collection, Operation::Insert).await?;
        let mut ids =
            self.ids(reach, idempotent.as_ref().map(|idempotent| idempotent.unit_key.as_str()));
        let indexes = &table.collection.indexes;
        // What is prepared stands beside the steps that are made of it.
        let (mut size, held) = (BatchSize::default(), table.budget());
        let prepare = |document| {
            let prepared = prepare_insert(document, reach, &mut ids, indexes)?;
            held.keep(2 * size.insert(indexes, &prepared)?)?;
            Ok(prepared)
        };
        let mut prepared: Vec<_> = documents.into_iter().map(prepare).collect::<Result<_>>()?;
        for _ in 0..ATTEMPTS_MAX {
            authorizer.creates(&prepared).await?;
            // A made id is a function of the key, so that the answer says nothing else.
            let idempotent = idempotent.as_ref().map(|idempotent| (idempotent, Changed::default()));
            match self.add(&table, &prepared, idempotent).await {
                Ok(_) => {
                    self.note_kinds(&table, prepared.iter().map(|document| &document.keys));
                    return Ok(prepared.into_iter().map(|document| document.id).collect());
                }
                // The collection is another one now, or has other indexes, or the database chose this write batch to
                // give way.
                Err(error) if error.kind() == Kind::Conflict => {}
                Err(error) => return Err(error),
            }
            self.forget_collections(caller.env);
            (table, _, authorizer) = self.open_ruled(caller, collection, Operation::Insert).await?;
            let (indexes, mut size) = (&table.collection.indexes, BatchSize::default());
            for document in &mut prepared {
                document.keys = keys_of(indexes, &decode(&document.body)?)?;
                size.insert(indexes, document)?;
            }
        }
        Err(contended())
    }

    /// Adds documents in one write batch. What a call came to that is done once stands beside it; if it was done
    /// before, what it came to then comes back.
    ///
    /// # Errors
    /// `AlreadyExists` for an id that is taken; `Conflict` when the collection went away; `InvalidParameter` when
    /// another request came with the same idempotency key.
    pub(super) async fn add(
        &self,
        table: &Table<'_>,
        documents: &[Prepared],
        idempotent: Option<(&IdempotentCall, Changed)>,
    ) -> Result<Option<Changed>> {
        let mut batch = Batch::at(self.now_ms());
        for document in documents {
            batch.insert(table, document);
        }
        let slots: Vec<_> = documents.iter().map(|document| document.slot).collect();
        if let Some((idempotent, answer)) = &idempotent {
            batch.push(idempotent.remember(table, answer)?);
        }
        let unit_key = idempotent.as_ref().map(|(idempotent, _)| idempotent.unit_key.clone());
        let written = table.write(only(&slots), batch, unit_key).await;
        match (written, idempotent) {
            (Ok(written), Some((idempotent, _))) if written.repeated => {
                idempotent.repeated(table).await.map(Some)
            }
            (Ok(_), _) => Ok(None),
            (Err(error), _) if error.kind() == Kind::AlreadyExists => {
                let keys = documents.iter().map(|one| (&*one.key, &one.keys));
                Err(taken(table, keys, error).await)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Adds one document unless its id is taken; tells whether it did.
    pub(super) async fn add_missing(&self, table: &Table<'_>, document: &Prepared) -> Result<bool> {
        match self.add(table, std::slice::from_ref(document), None).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == Kind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn ids(&self, reach: Reach<'_>, unit_key: Option<&str>) -> Ids {
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random).expect("the system's random numbers are there");
        // Where nobody owns it, the key decides as well, so that a repetition makes the same id.
        let slot = match reach.owner().or(unit_key) {
            Some(owner) => slot_of_owner(owner),
            None => u16::from_be_bytes([random[0], random[1]]) % SLOTS,
        };
        match unit_key {
            Some(key) => Ids::repeatable(slot, key.as_bytes()),
            None => Ids::new(self.now_ms(), slot, random),
        }
    }
}

pub(super) fn check_insert(documents: usize) -> Result<()> {
    match documents {
        0 => Err(Error::new(Kind::InvalidParameter, "data names no document")),
        1..=INSERT_DOCUMENTS_MAX => Ok(()),
        _ => {
            let message = format!("one call adds at most {INSERT_DOCUMENTS_MAX} documents");
            Err(Error::new(Kind::TooLarge, message))
        }
    }
}

/// The refusal of a write batch that wrote what stands there already: an id, or a value of a unique index.
/// It names the index that was hit, if one of the first documents hit one.
pub(super) async fn taken(
    table: &Table<'_>,
    documents: impl Iterator<Item = (&[u8], &DocumentKeys)>,
    error: Error,
) -> Error {
    let values = documents.flat_map(|(document, keys)| {
        let indexes = table.collection.indexes.iter().zip(&keys.0);
        let unique = indexes.filter(|(index, _)| index.unique && index.is_kept());
        unique.flat_map(move |(index, entries)| {
            entries.keys.iter().map(move |entry| (document, index, entry))
        })
    });
    let values: Vec<_> = values.take(TAKEN_VALUES_MAX).collect();
    for (document, index, entry) in values {
        // Whoever cannot look names them all.
        let holder = table.unique_holder(index.id, entry).await.unwrap_or_default();
        if holder.is_some_and(|holder| holder != document) {
            let message = format!("duplicate value for unique index {}", index.name);
            return Error::new(Kind::AlreadyExists, message).because(error);
        }
    }
    taken_somewhere(std::slice::from_ref(table), error)
}

/// As [`taken`], where nobody looks what it was.
pub(super) fn taken_somewhere(tables: &[Table<'_>], error: Error) -> Error {
    let indexes = tables.iter().flat_map(|table| &table.collection.indexes);
    let unique = indexes.filter(|index| index.unique && index.is_kept());
    let names: Vec<&str> = unique.map(|index| index.name.as_str()).collect();
    let message = match names.as_slice() {
        [] => "a document with this _id exists already".to_owned(),
        names => {
            format!("duplicate _id, or duplicate value for unique index {}", names.join(" or "))
        }
    };
    Error::new(Kind::AlreadyExists, message).because(error)
}
