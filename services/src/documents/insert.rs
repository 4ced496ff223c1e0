//! Adding documents: several are one unit, and one may carry a key that makes a repetition harmless.

use aws_lc_rs::digest::{SHA256, digest};
use bson::{Bson, Document};
use yunzhan_base::{Error, Kind, Result};
use yunzhan_engine::sql::SLOTS;

use super::edit::{ATTEMPTS_MAX, contended, only};
use super::logic::id::{Ids, slot_of_owner};
use super::logic::index::keys_of;
use super::logic::permission::{Operation, Reach};
use super::logic::shape::{INSERT_DOCUMENTS_MAX, Prepared, decode, prepare_insert};
use super::store::Table;
use super::transaction::Before;
use super::{Caller, Documents};

/// Longest idempotency key of a client in bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

/// What makes the repetition of an insert harmless.
#[derive(Clone, Copy, Debug)]
pub struct Idempotency<'a> {
    /// The client's name for the call: 1 to 128 visible ASCII characters.
    pub key: &'a str,
    /// The request as it came. It is what tells a repetition from another call with the same key.
    pub request: &'a [u8],
}

/// A call that is done once, as the database remembers it.
pub(super) struct Once {
    /// Names the call for the engine's memory.
    unit_key: String,
    /// What the call asked for.
    digest: String,
    now_ms: i64,
}

impl Documents {
    /// Adds documents, all or none, and gives their ids in order. With an idempotency key, which goes with one document,
    /// a repetition answers as the first call did and adds nothing.
    ///
    /// # Errors
    /// `CollectionNotFound`, `PermissionDenied`, `InvalidParameter`, `TooLarge`; `AlreadyExists` for an id that is taken.
    /// `InvalidParameter` too when an idempotency key comes again with another request.
    pub async fn insert(
        &self,
        caller: Caller<'_>,
        collection: &str,
        documents: Vec<Document>,
        idempotency: Option<Idempotency<'_>>,
    ) -> Result<Vec<Bson>> {
        check_insert(documents.len(), idempotency.map(|idempotency| idempotency.key))?;
        let once = idempotency.map(|call| Once::new(caller, collection, call, self.now_ms()));
        let (mut table, reach, mut gate) =
            self.open_ruled(caller, collection, Operation::Insert).await?;
        let mut ids = self.ids(reach, once.as_ref().map(|once| once.unit_key.as_str()));
        let indexes = &table.collection.indexes;
        let prepare = |document| prepare_insert(document, reach, &mut ids, indexes);
        let mut prepared: Vec<_> = documents.into_iter().map(prepare).collect::<Result<_>>()?;
        for _ in 0..ATTEMPTS_MAX {
            gate.creates(&prepared).await?;
            match self.add(&table, &prepared, once.as_ref()).await {
                Ok(()) => {
                    self.note_kinds(&table, prepared.iter().map(|document| &document.keys));
                    return Ok(prepared.into_iter().map(|document| document.id).collect());
                }
                // The collection is another one now, or has other indexes, or the database chose this unit to give way.
                Err(error) if error.kind() == Kind::Conflict => {}
                Err(error) => return Err(error),
            }
            self.forget_collections();
            (table, _, gate) = self.open_ruled(caller, collection, Operation::Insert).await?;
            for document in &mut prepared {
                document.keys = keys_of(&table.collection.indexes, &decode(&document.body)?)?;
            }
        }
        Err(contended())
    }

    /// Adds documents in one unit.
    ///
    /// # Errors
    /// `AlreadyExists` for an id that is taken; `Conflict` when the collection went away; `InvalidParameter` when another
    /// request came with the same idempotency key.
    pub(super) async fn add(
        &self,
        table: &Table<'_>,
        documents: &[Prepared],
        once: Option<&Once>,
    ) -> Result<()> {
        let mut steps = Vec::with_capacity(1 + 2 * documents.len());
        steps.push(table.raise());
        for document in documents {
            table.insert(document, &mut steps);
        }
        let slots: Vec<_> = documents.iter().map(|document| document.slot).collect();
        if let Some(once) = once {
            steps.push(table.remember_request(&once.request_key(), &once.digest, once.now_ms));
        }
        let unit_key = once.map(|once| once.unit_key.clone());
        let facts = || absent(table, documents);
        let writing = self.transactions.begin_unit(table.env, self.now_ms(), facts);
        let written = table.write(only(&slots), steps, unit_key).await;
        writing.end(&written);
        match (written, once) {
            (Ok(written), Some(once)) if written.repeated => once.check(table, only(&slots)).await,
            (Ok(_), _) => Ok(()),
            (Err(error), _) if error.kind() == Kind::AlreadyExists => Err(taken(table, error)),
            (Err(error), _) => Err(error),
        }
    }

    /// Adds one document unless its id is taken; tells whether it did.
    pub(super) async fn add_missing(&self, table: &Table<'_>, document: &Prepared) -> Result<bool> {
        match self.add(table, std::slice::from_ref(document), None).await {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == Kind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn ids(&self, reach: Reach<'_>, unit_key: Option<&str>) -> Ids {
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random).expect("the system's random numbers are there");
        let slot = match reach.owner() {
            Some(owner) => slot_of_owner(owner),
            None => u16::from_be_bytes([random[0], random[1]]) % SLOTS,
        };
        match unit_key {
            Some(key) => Ids::repeatable(slot, key.as_bytes()),
            None => Ids::new(self.now_ms(), slot, random),
        }
    }
}

pub(super) fn check_insert(documents: usize, idempotency_key: Option<&str>) -> Result<()> {
    let refuse = |kind, message: String| Err(Error::new(kind, message));
    match (documents, idempotency_key) {
        (0, _) => refuse(Kind::InvalidParameter, "data names no document".into()),
        (INSERT_DOCUMENTS_MAX.., _) if documents > INSERT_DOCUMENTS_MAX => refuse(
            Kind::TooLarge,
            format!("one call adds at most {INSERT_DOCUMENTS_MAX} documents"),
        ),
        (2.., Some(_)) => {
            refuse(Kind::InvalidParameter, "an idempotency key goes with a single document".into())
        }
        (_, Some(key)) if !is_idempotency_key(key) => refuse(
            Kind::InvalidParameter,
            format!(
                "an idempotency key has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters"
            ),
        ),
        _ => Ok(()),
    }
}

fn is_idempotency_key(key: &str) -> bool {
    (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_graphic())
}

impl Once {
    /// One caller's key in one collection. Hashed, because the parts are long.
    fn new(caller: Caller<'_>, collection: &str, call: Idempotency<'_>, now_ms: i64) -> Self {
        // None of the parts before the key contains a line feed.
        let name = format!("{}\n{}\n{collection}\n{}", caller.env, caller.name(), call.key);
        let unit_key = format!("documents.insert:{}", hash(name.as_bytes()));
        Self { unit_key, digest: hash(call.request), now_ms }
    }

    /// Names the digest in the same memory, which forgets both at the same age.
    fn request_key(&self) -> String {
        format!("{}:request", self.unit_key)
    }

    /// Holds this request against the one that was done.
    async fn check(&self, table: &Table<'_>, slot: Option<u16>) -> Result<()> {
        match table.remembered_request(slot, &self.request_key()).await? {
            Some(first) if first != self.digest => Err(Error::new(
                Kind::InvalidParameter,
                "this Idempotency-Key came before with another request; a new request needs a new key",
            )),
            _ => Ok(()),
        }
    }
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}

/// The refusal of a unit that wrote what stands there already: an id, or a value that an index lets stand once.
pub(super) fn taken(table: &Table<'_>, error: Error) -> Error {
    let unique = table.collection.indexes.iter().filter(|index| index.unique && index.is_kept());
    let names: Vec<&str> = unique.map(|index| index.name.as_str()).collect();
    let message = match names.as_slice() {
        [] => "a document with this _id exists already".to_owned(),
        names => format!(
            "a document with this _id, or with a value that the unique index {} lets stand once, exists already",
            names.join(" or ")
        ),
    };
    Error::new(Kind::AlreadyExists, message).because(error)
}

/// What the documents are before they are added, for transactions that still do not see them.
fn absent(table: &Table<'_>, documents: &[Prepared]) -> Vec<Before> {
    let collection = table.collection.id;
    let fact = |document: &Prepared| Before {
        collection,
        key: document.key.clone(),
        stored: None,
        goes: false,
    };
    documents.iter().map(fact).collect()
}
