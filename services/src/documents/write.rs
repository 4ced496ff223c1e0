//! Writing: documents are added, changed and removed, each call in units that happen all or not at all.
//!
//! - An insert of several documents is one unit.
//! - A change or removal of one document is one unit. It reads, decides and writes; when somebody else wrote in between,
//!   it does so again, so that no change is lost.
//! - A change or removal of many documents is one unit per [`UNIT_DOCUMENTS_MAX`] documents. When it fails half-way, the
//!   units before stay; each document is changed once or not at all.

use aws_lc_rs::digest::{SHA256, digest};
use bson::{Bson, Document, doc};
use yunzhan_base::{Error, Kind, Result};
use yunzhan_engine::sql::Step;
use yunzhan_query::{Filter, Order, Update};

use super::logic::id::{Ids, slot_of, slot_of_owner};
use super::logic::permission::{OWNER_FIELD, Operation, Reach};
use super::logic::shape::{
    INSERT_DOCUMENTS_MAX, OWNER_INDEX, Prepared, decode, encode, owner_keys, prepare_insert,
    refuse_owner,
};
use super::store::{Stored, Table};
use super::walk::Walk;
use super::{Caller, Documents, Which};

/// Most documents that one unit changes or removes.
pub const UNIT_DOCUMENTS_MAX: usize = 200;

/// A unit of changes is written when it holds this many bytes of documents, however few they are.
const UNIT_BYTES: usize = 4 << 20;

/// Tries of one unit when others keep changing its documents. Each lost try means that somebody else's change went
/// through, so this many callers may fight for one document at the same moment.
const ATTEMPTS_MAX: usize = 100;

/// Longest idempotency key of a client in bytes.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

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

/// What happens to a matching document.
enum Edit<'a> {
    Update(&'a Update),
    Remove,
}

// === inserting ===

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
            Reach::All => u16::from_be_bytes([random[0], random[1]]) % yunzhan_engine::sql::SLOTS,
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

async fn add(table: &Table<'_>, documents: &[Prepared], unit_key: Option<String>) -> Result<()> {
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

// === changing and removing ===

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
                true => self.edit_all(table, &filter, &edit).await?,
                false => self.edit_first(table, &filter, &edit).await?,
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
            true => self.edit_all(table, &filter, &Edit::Remove).await?,
            false => self.edit_first(table, &filter, &Edit::Remove).await?,
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
        let prepared = prepare_insert(document, reach, &mut self.ids(reach, None))?;
        match add(&table, std::slice::from_ref(&prepared), None).await {
            Ok(()) => Ok(Some(prepared.id)),
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
        table: Table<'_>,
        filter: &Filter,
        edit: &Edit<'_>,
    ) -> Result<Changed> {
        let order = Order::default();
        let mut walk = Walk::new(table, filter, &order, self.config().scan_documents_max);
        while let Some(stored) = walk.next().await? {
            if !filter.matches(&decode(&stored.body)?) {
                continue;
            }
            let changed = edit_unit(table, vec![stored], filter, edit).await?;
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
        table: Table<'_>,
        filter: &Filter,
        edit: &Edit<'_>,
    ) -> Result<Changed> {
        let order = Order::default();
        let mut walk = Walk::new(table, filter, &order, self.config().scan_documents_max);
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
                let changed = edit_unit(table, std::mem::take(&mut unit), filter, edit).await?;
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
fn parse_update(document: Document, replace: bool, reach: Reach<'_>) -> Result<Update> {
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

/// Edits these documents in one unit, and again with what they have become while somebody else wins the race.
async fn edit_unit(
    table: Table<'_>,
    mut documents: Vec<Stored>,
    filter: &Filter,
    edit: &Edit<'_>,
) -> Result<Changed> {
    for _ in 0..ATTEMPTS_MAX {
        let mut unit = EditUnit {
            table,
            steps: vec![table.raise()],
            slots: Vec::new(),
            changed: Changed::default(),
        };
        for stored in &documents {
            unit.edit(stored, filter, edit)?;
        }
        if unit.slots.is_empty() {
            return Ok(unit.changed);
        }
        match table.write(only(&unit.slots), unit.steps, None).await {
            Ok(_) => return Ok(unit.changed),
            Err(error) if error.kind() == Kind::Conflict => {}
            Err(error) => return Err(error),
        }
        documents = read_again(&table, documents).await?;
    }
    Err(contended())
}

async fn read_again(table: &Table<'_>, documents: Vec<Stored>) -> Result<Vec<Stored>> {
    let mut fresh = Vec::with_capacity(documents.len());
    for stored in documents {
        fresh.extend(table.document_anywhere(&stored.key).await?);
    }
    Ok(fresh)
}

/// A unit of edits while it is put together.
struct EditUnit<'a> {
    table: Table<'a>,
    steps: Vec<Step>,
    /// The slot of each document that becomes another one.
    slots: Vec<u16>,
    changed: Changed,
}

impl EditUnit<'_> {
    fn edit(&mut self, stored: &Stored, filter: &Filter, edit: &Edit<'_>) -> Result<()> {
        let before = decode(&stored.body)?;
        if !filter.matches(&before) {
            return Ok(());
        }
        self.changed.matched += 1;
        match edit {
            Edit::Remove => self.remove(stored, &before),
            Edit::Update(update) => self.update(stored, before, update),
        }
    }

    fn remove(&mut self, stored: &Stored, before: &Document) -> Result<()> {
        self.steps.push(self.table.remove(&stored.key, stored.version));
        for key in owner_keys(before)? {
            self.steps.push(self.table.remove_entry(OWNER_INDEX, &key, &stored.key));
        }
        self.note(before.get("_id"), &stored.key);
        Ok(())
    }

    fn update(&mut self, stored: &Stored, before: Document, update: &Update) -> Result<()> {
        let old_keys = owner_keys(&before)?;
        let mut after = before;
        if update.apply(&mut after)? {
            let new_keys = owner_keys(&after)?;
            for gone in old_keys.iter().filter(|key| !new_keys.contains(key)) {
                self.steps.push(self.table.remove_entry(OWNER_INDEX, gone, &stored.key));
            }
            for come in new_keys.iter().filter(|key| !old_keys.contains(key)) {
                self.steps.push(self.table.insert_entry(OWNER_INDEX, come, &stored.key));
            }
            self.steps.push(self.table.update(&stored.key, stored.version, encode(&after)?));
            self.note(after.get("_id"), &stored.key);
        }
        self.changed.document = Some(after);
        Ok(())
    }

    fn note(&mut self, id: Option<&Bson>, key: &[u8]) {
        self.slots.push(slot_of(id.unwrap_or(&Bson::Null), key));
        self.changed.updated += 1;
    }
}

/// The slot of a unit that touches one document; several may lie anywhere.
fn only(slots: &[u16]) -> Option<u16> {
    match slots {
        [slot] => Some(*slot),
        _ => None,
    }
}

fn contended() -> Error {
    Error::new(Kind::Conflict, "others keep changing the same documents; try again")
}
