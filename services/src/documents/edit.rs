//! One unit of edits: documents that were read become others or go, if nobody else changed them meanwhile.

use bson::{Bson, Document};
use yunzhan_base::{Error, Kind, Result};
use yunzhan_engine::sql::Step;
use yunzhan_query::{Filter, Update};

use super::Changed;
use super::logic::id::slot_of;
use super::logic::shape::{OWNER_INDEX, decode, encode, owner_keys};
use super::store::{Stored, Table};

/// Tries of one unit when others keep changing its documents. Each lost try means that somebody else's change went
/// through, so this many callers may fight for one document at the same moment.
pub(super) const ATTEMPTS_MAX: usize = 100;

/// What happens to a matching document.
pub(super) enum Edit<'a> {
    /// It becomes another one.
    Update(&'a Update),
    /// It goes.
    Remove,
}

/// Edits these documents in one unit, and again with what they have become while somebody else wins the race.
pub(super) async fn edit_unit(
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
pub(super) fn only(slots: &[u16]) -> Option<u16> {
    match slots {
        [slot] => Some(*slot),
        _ => None,
    }
}

pub(super) fn contended() -> Error {
    Error::new(Kind::Conflict, "others keep changing the same documents; try again")
}
