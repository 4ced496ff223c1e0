//! Changing and removing documents.
//!
//! - A change or removal of one document is one unit. It reads, decides and writes; when somebody else wrote in between,
//!   it does so again, so that no change is lost.
//! - A change or removal of many documents is one unit per [`UNIT_DOCUMENTS_MAX`] documents. When it fails half-way, the
//!   units before stay; each document is changed once or not at all.

use bson::{Bson, Document, doc};
use yunzhan_base::{Error, Kind, Result};
use yunzhan_query::{Filter, Order, Update};

use super::edit::{ATTEMPTS_MAX, Edit, contended};
use super::logic::permission::{OWNER_FIELD, Operation, Reach};
use super::logic::shape::{Prepared, decode, prepare_insert, refuse_owner};
use super::store::Table;
use super::walk::Walk;
use super::{Caller, Documents, Which};

/// Most documents that one unit changes or removes.
pub const UNIT_DOCUMENTS_MAX: usize = 200;

/// A unit of changes is written when it holds this many bytes of documents, however few they are.
const UNIT_BYTES: usize = 4 << 20;

/// A change of documents.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which documents.
    pub which: Which,
    /// How they change: operators, or with `replace` a whole new document.
    pub update: Document,
    /// Whether the document replaces the one that is there. Said beside it, because an empty document could mean both.
    pub replace: bool,
    /// All that match, or the first.
    pub multi: bool,
    /// Whether to insert a document when none matches.
    pub upsert: bool,
}

/// What a change did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changed {
    /// Documents that matched.
    pub matched: u64,
    /// Documents that are different now.
    pub updated: u64,
    /// The id of the document that was inserted because none matched.
    pub upserted: Option<Bson>,
    /// The last matching document as it is now.
    pub document: Option<Document>,
}

impl Documents {
    /// Changes documents.
    ///
    /// # Errors
    /// `CollectionNotFound`, `PermissionDenied`, `InvalidParameter`, `InvalidOperator`, `TooLarge`; `Conflict` when others
    /// never cease to change the same document.
    pub async fn update(
        &self,
        caller: Caller<'_>,
        collection: &str,
        change: Change,
    ) -> Result<Changed> {
        let (table, reach) = self.open(caller, collection, Operation::Update).await?;
        let update = parse_update(change.update, change.replace, reach)?;
        if change.multi && change.replace {
            let message =
                "many documents cannot be replaced by one; use update operators such as $set";
            return Err(Error::new(Kind::InvalidParameter, message));
        }
        let filter = change.which.filter(reach)?;
        let edit = Edit::Update(&update);
        for _ in 0..ATTEMPTS_MAX {
            let changed = match change.multi {
                true => self.edit_all(&table, &filter, &edit).await?,
                false => self.edit_first(&table, &filter, &edit).await?,
            };
            if changed.matched > 0 || !change.upsert {
                return Ok(changed);
            }
            if let Some(id) = self.upsert(caller, collection, &filter, &update).await? {
                return Ok(Changed { upserted: Some(id), ..Changed::default() });
            }
        }
        Err(contended())
    }

    /// Removes documents: all that match, or the first. Gives how many.
    ///
    /// # Errors
    /// As [`Documents::update`].
    pub async fn remove(
        &self,
        caller: Caller<'_>,
        collection: &str,
        which: Which,
        multi: bool,
    ) -> Result<u64> {
        let (table, reach) = self.open(caller, collection, Operation::Remove).await?;
        let filter = which.filter(reach)?;
        let changed = match multi {
            true => self.edit_all(&table, &filter, &Edit::Remove).await?,
            false => self.edit_first(&table, &filter, &Edit::Remove).await?,
        };
        Ok(changed.updated)
    }

    /// Inserts what an upsert asks for. None when somebody else inserted a matching document in this moment.
    async fn upsert(
        &self,
        caller: Caller<'_>,
        collection: &str,
        filter: &Filter,
        update: &Update,
    ) -> Result<Option<Bson>> {
        let (table, reach) = self.open(caller, collection, Operation::Insert).await?;
        let mut document = update.upsert(filter)?;
        if let Reach::Owned(_) = reach {
            // It came from the filter that narrows the call to what the caller owns.
            document.remove(OWNER_FIELD);
        }
        let (mut ids, indexes) = (self.ids(reach, None), &table.collection.indexes);
        let prepared = prepare_insert(document, reach, &mut ids, indexes)?;
        match self.add(&table, std::slice::from_ref(&prepared), None).await {
            Ok(()) => {
                self.note_kinds(&table, [&prepared.keys]);
                Ok(Some(prepared.id))
            }
            Err(error) if error.kind() == Kind::Conflict => {
                self.forget_collections();
                Ok(None)
            }
            Err(error) if error.kind() == Kind::AlreadyExists => {
                explain_taken(&table, reach, &prepared, filter, error).await
            }
            Err(error) => Err(error),
        }
    }

    /// Edits the first document that matches.
    async fn edit_first(
        &self,
        table: &Table<'_>,
        filter: &Filter,
        edit: &Edit<'_>,
    ) -> Result<Changed> {
        let order = Order::default();
        let mut walk = Walk::new(table.clone(), filter, &order, self.config().scan_documents_max);
        while let Some(stored) = walk.next().await? {
            if !filter.matches(&decode(&stored.body)?) {
                continue;
            }
            let changed = self.edit_unit(table, vec![stored], filter, edit).await?;
            // It matched when it was read; if it no longer does, the next one counts.
            if changed.matched > 0 {
                return Ok(changed);
            }
        }
        Ok(Changed::default())
    }

    /// Edits every document that matches, unit by unit.
    async fn edit_all(
        &self,
        table: &Table<'_>,
        filter: &Filter,
        edit: &Edit<'_>,
    ) -> Result<Changed> {
        let order = Order::default();
        let mut walk = Walk::new(table.clone(), filter, &order, self.config().scan_documents_max);
        let mut all = Changed::default();
        let (mut unit, mut bytes) = (Vec::new(), 0);
        loop {
            let next = walk.next().await?;
            let is_end = next.is_none();
            if let Some(stored) = next
                && filter.matches(&decode(&stored.body)?)
            {
                bytes += stored.body.len();
                unit.push(stored);
            }
            if is_end || unit.len() >= UNIT_DOCUMENTS_MAX || bytes >= UNIT_BYTES {
                bytes = 0;
                let changed =
                    self.edit_unit(table, std::mem::take(&mut unit), filter, edit).await?;
                all.matched += changed.matched;
                all.updated += changed.updated;
            }
            if is_end {
                return Ok(all);
            }
        }
    }
}

/// An upsert found its id taken: by a document that matches, and the caller tries again; or by one out of reach.
async fn explain_taken(
    table: &Table<'_>,
    reach: Reach<'_>,
    wanted: &Prepared,
    filter: &Filter,
    taken: Error,
) -> Result<Option<Bson>> {
    let matches = match table.document(&wanted.key, wanted.slot).await? {
        Some(stored) => filter.matches(&decode(&stored.body)?),
        // It was the id, and is gone again; or it was a value, and stays taken.
        None if table.collection.indexes.iter().any(|index| index.unique) => return Err(taken),
        None => true,
    };
    match (matches, reach) {
        (true, _) => Ok(None),
        (false, Reach::All) => Err(taken),
        (false, Reach::Owned(_)) => {
            let message = "a document with this _id exists already, and it is not yours to change";
            Err(Error::new(Kind::PermissionDenied, message).because(taken))
        }
    }
}

/// Reads an update. A person may not touch the owner, and keeps it when replacing a document.
pub(super) fn parse_update(document: Document, replace: bool, reach: Reach<'_>) -> Result<Update> {
    check_kind(&document, replace)?;
    if let Reach::Owned(owner) = reach
        && replace
    {
        refuse_owner(document.contains_key(OWNER_FIELD))?;
        let mut owned = doc! { OWNER_FIELD: owner };
        owned.extend(document);
        return Ok(Update::parse(owned)?);
    }
    let update = Update::parse(document)?;
    if let Reach::Owned(_) = reach {
        refuse_owner(update.fields().any(|field| field == OWNER_FIELD))?;
    }
    Ok(update)
}

fn check_kind(update: &Document, replace: bool) -> Result<()> {
    let has_operators = update.keys().next().is_some_and(|first| first.starts_with('$'));
    match (has_operators, replace) {
        (true, false) | (false, true) => Ok(()),
        (true, true) => Err(Error::new(
            Kind::InvalidOperator,
            "a document that replaces another one has no update operators",
        )),
        (false, false) => Err(Error::new(
            Kind::InvalidParameter,
            "an update needs operators such as $set; to replace a document, set it",
        )),
    }
}
