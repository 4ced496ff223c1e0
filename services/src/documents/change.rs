//! Changing and removing documents.
//!
//! - A change or removal of one document is one write batch. It reads, decides and writes; when somebody else wrote in
//!   between, it does so again, so that no change is lost.
//! - A change or removal of many documents is one write batch per [`UNIT_DOCUMENTS_MAX`] documents, or fewer where they
//!   have many index keys. When it fails half-way, the write batches before stay; each document is changed once or not
//!   at all.

use bson::{Bson, Document, doc};
use yunzhan_base::{Error, Kind, Result};
use yunzhan_query::{Budget, Order, Update};

use super::edit::{ATTEMPTS_MAX, Edit, contended};
use super::idempotency::{Idempotency, IdempotentCall};
use super::logic::permission::{OWNER_FIELD, Operation, Reach};
use super::logic::shape::{Prepared, decode, prepare_insert, refuse_owner};
use super::read::resolved;
use super::scan::Scan;
use super::store::Table;
use super::{Caller, Documents, Which};

/// Most documents that one write batch changes or removes.
pub const UNIT_DOCUMENTS_MAX: usize = 200;

/// A write batch of changes is written when it holds this many bytes of documents, however few they are.
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
    /// Changes documents. With an idempotency key, which goes with a change of one document, a repetition answers as
    /// the first call did and changes nothing.
    ///
    /// # Errors
    /// `CollectionNotFound`, `PermissionDenied`, `InvalidParameter`, `InvalidOperator`, `TooLarge`; `Conflict` when
    /// others never cease to change the same document. `InvalidParameter` too when an idempotency key comes again with
    /// another request.
    pub async fn update(
        &self,
        caller: Caller<'_>,
        collection: &str,
        change: Change,
        idempotency: Option<Idempotency<'_>>,
    ) -> Result<Changed> {
        let what = ("update", !change.multi);
        let idempotent = self.idempotent_call(caller, collection, what, idempotency)?;
        let (table, reach, authorizer) =
            self.open_ruled(caller, collection, Operation::Update).await?;
        if let Some(idempotent) = &idempotent
            && let Some(mut first) = idempotent.recall(&table).await?
        {
            first.document = authorizer.show(first.document).await?;
            return Ok(first);
        }
        let written = authorizer.foresee(&change.update);
        let update = parse_update(change.update, change.replace, reach)?;
        if change.multi && change.replace {
            let message =
                "many documents cannot be replaced by one; use update operators such as $set";
            return Err(Error::new(Kind::InvalidParameter, message));
        }
        let which = authorizer.admit(resolved(&table, change.which).await?, written).await?;
        let each = authorizer.decides_each(&which);
        let filter = &which.filter(reach)?;
        let budget = Budget::default();
        let idempotent = idempotent.as_ref();
        let edit = Edit { update: Some(&update), filter, reach, each, idempotent, budget };
        for _ in 0..ATTEMPTS_MAX {
            let mut changed = match change.multi {
                true => self.edit_all(&table, &edit).await?,
                false => self.edit_first(&table, &edit).await?,
            };
            if changed.matched > 0 || !change.upsert {
                changed = remember_nothing(&table, idempotent, changed).await?;
                changed.document = authorizer.show(changed.document).await?;
                return Ok(changed);
            }
            if let Some(changed) = self.upsert(caller, collection, &update, &edit).await? {
                return Ok(changed);
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
        idempotency: Option<Idempotency<'_>>,
    ) -> Result<u64> {
        let what = ("remove", !multi);
        let idempotent = self.idempotent_call(caller, collection, what, idempotency)?;
        let (table, reach, authorizer) =
            self.open_ruled(caller, collection, Operation::Remove).await?;
        if let Some(idempotent) = &idempotent
            && let Some(first) = idempotent.recall(&table).await?
        {
            return Ok(first.updated);
        }
        let which = authorizer.admit(resolved(&table, which).await?, None).await?;
        let each = authorizer.decides_each(&which);
        let filter = &which.filter(reach)?;
        let budget = Budget::default();
        let idempotent = idempotent.as_ref();
        let edit = Edit { update: None, filter, reach, each, idempotent, budget };
        let changed = match multi {
            true => self.edit_all(&table, &edit).await?,
            false => self.edit_first(&table, &edit).await?,
        };
        Ok(remember_nothing(&table, idempotent, changed).await?.updated)
    }

    /// Inserts what an upsert asks for. None when somebody else inserted a matching document in this moment.
    async fn upsert(
        &self,
        caller: Caller<'_>,
        collection: &str,
        update: &Update,
        edit: &Edit<'_>,
    ) -> Result<Option<Changed>> {
        let (table, reach, authorizer) =
            self.open_ruled(caller, collection, Operation::Insert).await?;
        let mut document = update.upsert(edit.filter)?;
        if reach.owner().is_some() {
            // It came from the filter; the owner is written below.
            document.remove(OWNER_FIELD);
        }
        let unit_key = edit.idempotent.map(|idempotent| idempotent.unit_key.as_str());
        let (mut ids, indexes) = (self.ids(reach, unit_key), &table.collection.indexes);
        let prepared = prepare_insert(document, reach, &mut ids, indexes)?;
        authorizer.creates(std::slice::from_ref(&prepared)).await?;
        let done = Changed { upserted: Some(prepared.id.clone()), ..Changed::default() };
        let idempotent = edit.idempotent.map(|idempotent| (idempotent, done.clone()));
        match self.add(&table, std::slice::from_ref(&prepared), idempotent).await {
            Ok(Some(first)) => Ok(Some(first)),
            Ok(None) => {
                self.note_kinds(&table, [&prepared.keys]);
                Ok(Some(done))
            }
            Err(error) if error.kind() == Kind::Conflict => {
                self.forget_collections(caller.env);
                Ok(None)
            }
            Err(error) if error.kind() == Kind::AlreadyExists => {
                explain_taken(&table, &prepared, edit, error).await
            }
            Err(error) => Err(error),
        }
    }

    /// Edits the first document that matches.
    async fn edit_first(&self, table: &Table<'_>, edit: &Edit<'_>) -> Result<Changed> {
        let (order, filter) = (Order::default(), edit.filter);
        let mut scan = Scan::new(table.clone(), filter, &order, self.config().scan_documents_max);
        while let Some(stored) = scan.next().await? {
            if !scan.matches(&stored.body)? {
                continue;
            }
            let changed = self.edit_batches(table, vec![stored], edit).await?;
            // It matched when it was read; if it no longer does, the next one counts.
            if changed.matched > 0 {
                return Ok(changed);
            }
        }
        Ok(Changed::default())
    }

    /// Edits every document that matches, write batch by write batch.
    async fn edit_all(&self, table: &Table<'_>, edit: &Edit<'_>) -> Result<Changed> {
        let (order, filter) = (Order::default(), edit.filter);
        let mut scan = Scan::new(table.clone(), filter, &order, self.config().scan_documents_max);
        let mut all = Changed::default();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        loop {
            let next = scan.next().await?;
            let is_end = next.is_none();
            if let Some(stored) = next
                && scan.matches(&stored.body)?
            {
                bytes += stored.body.len();
                batch.push(stored);
            }
            if is_end || batch.len() >= UNIT_DOCUMENTS_MAX || bytes >= UNIT_BYTES {
                bytes = 0;
                let changed = self.edit_batches(table, std::mem::take(&mut batch), edit).await?;
                all.matched += changed.matched;
                all.updated += changed.updated;
            }
            if is_end {
                return Ok(all);
            }
        }
    }
}

/// A call that wrote nothing is remembered too, if it is done once: what it would come to later may not happen.
async fn remember_nothing(
    table: &Table<'_>,
    idempotent: Option<&IdempotentCall>,
    changed: Changed,
) -> Result<Changed> {
    match idempotent {
        Some(idempotent) if changed.updated == 0 => idempotent.remember_alone(table, changed).await,
        _ => Ok(changed),
    }
}

/// An upsert found its id taken: by a document that matches, and the caller tries again; or by one out of reach.
async fn explain_taken(
    table: &Table<'_>,
    wanted: &Prepared,
    edit: &Edit<'_>,
    taken: Error,
) -> Result<Option<Changed>> {
    let matches = match table.document(&wanted.key, wanted.slot).await? {
        Some(stored) => edit.reaches(&decode(&stored.body)?).await?,
        // It was the id, and is gone again; or it was a value, and stays taken.
        None if table.collection.indexes.iter().any(|index| index.unique) => return Err(taken),
        None => true,
    };
    match (matches, edit.reach) {
        (true, _) => Ok(None),
        (false, Reach::All) => Err(taken),
        (false, Reach::Owned(_) | Reach::Ruled(_)) => {
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
    if reach.owner().is_some() {
        refuse_owner(update.fields().any(|field| field == OWNER_FIELD))?;
    }
    Ok(update)
}

/// Applies an update to a document that matched; `$` in a path stands for the item that it matched by. Under rules a
/// replaced document keeps the owner that it has, whoever replaces it.
pub(super) fn apply(update: &Update, edit: &Edit<'_>, document: &mut Document) -> Result<bool> {
    let position = edit.position(document)?;
    if !matches!(edit.reach, Reach::Ruled(_)) || !update.is_replacement() {
        return Ok(update.apply(document, position)?);
    }
    let before = document.clone();
    update.apply(document, position)?;
    if let Some(owner) = before.get(OWNER_FIELD) {
        let mut kept = Document::new();
        kept.extend(document.remove("_id").map(|id| ("_id".to_owned(), id)));
        kept.insert(OWNER_FIELD, owner);
        kept.extend(std::mem::take(document));
        *document = kept;
    }
    Ok(*document != before)
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
