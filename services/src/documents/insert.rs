//! Adding documents: several are one unit, and one may carry a key that makes a repetition harmless.

use aws_lc_rs::digest::{SHA256, digest};
use bson::{Bson, Document};
use yunzhan_base::{Error, Kind, Result};
use yunzhan_engine::sql::SLOTS;

use super::edit::{ATTEMPTS_MAX, contended, only};
use super::logic::id::{Ids, slot_of_owner};
use super::logic::permission::{Operation, Reach};
use super::logic::shape::{INSERT_DOCUMENTS_MAX, OWNER_INDEX, Prepared, prepare_insert};
use super::store::Table;
use super::{Caller, Documents};

/// Longest idempotency key of a client in bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

impl Documents {
    /// Adds documents, all or none, and gives their ids in order. With an idempotency key, which goes with one document,
    /// a repetition answers as the first call did and adds nothing.
    ///
    /// # Errors
    /// `CollectionNotFound`, `PermissionDenied`, `InvalidParameter`, `TooLarge`; `AlreadyExists` for an id that is taken.
    pub async fn insert(
        &self,
        caller: Caller<'_>,
        collection: &str,
        documents: Vec<Document>,
        idempotency_key: Option<&str>,
    ) -> Result<Vec<Bson>> {
        check_insert(documents.len(), idempotency_key)?;
        let key = idempotency_key.map(|key| unit_key(caller, collection, key));
        let (mut table, reach) = self.open(caller, collection, Operation::Insert).await?;
        let mut ids = self.ids(reach, key.as_deref());
        let prepare = |document| prepare_insert(document, reach, &mut ids);
        let prepared: Vec<_> = documents.into_iter().map(prepare).collect::<Result<_>>()?;
        for _ in 0..ATTEMPTS_MAX {
            match add(&table, &prepared, key.clone()).await {
                Ok(()) => return Ok(prepared.into_iter().map(|document| document.id).collect()),
                // The collection went away or is another one now, or the database chose this unit to give way.
                Err(error) if error.kind() == Kind::Conflict => self.forget_collections(),
                Err(error) => return Err(error),
            }
            (table, _) = self.open(caller, collection, Operation::Insert).await?;
        }
        Err(contended())
    }

    pub(super) fn ids(&self, reach: Reach<'_>, unit_key: Option<&str>) -> Ids {
        let mut random = [0; 16];
        aws_lc_rs::rand::fill(&mut random).expect("the system's random numbers are there");
        let slot = match reach {
            Reach::Owned(owner) => slot_of_owner(owner),
            Reach::All => u16::from_be_bytes([random[0], random[1]]) % SLOTS,
        };
        match unit_key {
            Some(key) => Ids::repeatable(slot, key.as_bytes()),
            None => Ids::new(self.now_ms(), slot, random),
        }
    }
}

fn check_insert(documents: usize, idempotency_key: Option<&str>) -> Result<()> {
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

/// Names a call for the engine's memory: one caller's key in one collection. Hashed, because the parts are long.
fn unit_key(caller: Caller<'_>, collection: &str, key: &str) -> String {
    let who = match caller.principal.user() {
        Some(user) => user.uid.as_str(),
        None => "",
    };
    // None of the parts before the key contains a line feed.
    let name = format!("{}\n{who}\n{collection}\n{key}", caller.env);
    format!("documents.insert:{}", hex::encode(digest(&SHA256, name.as_bytes())))
}

/// Adds documents in one unit.
///
/// # Errors
/// `AlreadyExists` for an id that is taken; `Conflict` when the collection went away.
pub(super) async fn add(
    table: &Table<'_>,
    documents: &[Prepared],
    unit_key: Option<String>,
) -> Result<()> {
    let mut steps = Vec::with_capacity(1 + 2 * documents.len());
    steps.push(table.raise());
    for document in documents {
        table.insert(document, OWNER_INDEX, &mut steps);
    }
    let slots: Vec<_> = documents.iter().map(|document| document.slot).collect();
    match table.write(only(&slots), steps, unit_key).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == Kind::AlreadyExists => {
            let message = "a document with this _id exists already";
            Err(Error::new(Kind::AlreadyExists, message).because(error))
        }
        Err(error) => Err(error),
    }
}

/// Adds one document unless its id is taken; tells whether it did.
pub(super) async fn add_missing(table: &Table<'_>, document: &Prepared) -> Result<bool> {
    match add(table, std::slice::from_ref(document), None).await {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == Kind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}
