//! The documents as a transaction sees them: as they were when it first read them, with what it wrote.

use bson::Document;
use yunzhan_base::{Error, Kind, Result};
use yunzhan_query::key::sort_key;
use yunzhan_query::{Budget, Filter, Order};

use super::state::{TRANSACTION_DOCUMENTS_MAX, Transaction, unknown};
use super::{place_of, slot_of};
use crate::documents::Which;
use crate::documents::logic::shape::decode;
use crate::documents::store::{Stored, Table};
use crate::documents::walk::Walk;

/// What a call wants to see.
pub(super) struct Wanted<'a> {
    pub(super) filter: &'a Filter,
    pub(super) order: &'a Order,
    pub(super) skip: usize,
    pub(super) limit: usize,
}

/// A document that the transaction sees, and from now on remembers.
pub(super) struct Seen {
    pub(super) key: Vec<u8>,
    pub(super) document: Document,
    pub(super) body: Vec<u8>,
    /// As it is stored, where the transaction sees it for the first time.
    fresh: Option<Stored>,
}

/// The documents that match, in order; those that are given are remembered.
pub(super) async fn see(
    transaction: &mut Transaction,
    table: &Table<'_>,
    which: &Which,
    wanted: &Wanted<'_>,
    work_max: usize,
) -> Result<Vec<Seen>> {
    if transaction.is_over {
        return Err(unknown());
    }
    let mut seen = match which {
        Which::One(id) => {
            let Some((key, slot)) = place_of(id) else { return Ok(Vec::new()) };
            look_up(transaction, table, &key, slot).await?;
            own(transaction, table, wanted, Some(&key))?
        }
        Which::Matching { .. } => {
            let mut seen = own(transaction, table, wanted, None)?;
            stored(transaction, table, wanted, work_max, &mut seen).await?;
            seen
        }
    };
    match wanted.order.is_empty() {
        true => seen.sort_by(|a, b| a.key.cmp(&b.key)),
        false => seen
            .sort_by_cached_key(|seen| (sort_key(&seen.document, wanted.order), seen.key.clone())),
    }
    let page: Vec<_> = seen.into_iter().skip(wanted.skip).take(wanted.limit).collect();
    for seen in &page {
        if let Some(fresh) = &seen.fresh {
            let id = seen.document.get("_id").unwrap_or(&bson::Bson::Null);
            let slot = slot_of(id, &seen.key);
            transaction.remember(table.collection.id, &seen.key, slot, Some(fresh.clone()))?;
        }
    }
    Ok(page)
}

/// Makes sure that the transaction knows the document with this key, or that there is none.
pub(super) async fn look_up(
    transaction: &mut Transaction,
    table: &Table<'_>,
    key: &[u8],
    slot: u16,
) -> Result<()> {
    if transaction.is_over {
        return Err(unknown());
    }
    if transaction.documents.contains_key(&(table.collection.id, key.to_vec())) {
        return Ok(());
    }
    let before = table.document(key, slot).await?;
    transaction.remember(table.collection.id, key, slot, before)
}

/// What matches of the documents that the transaction knows: one, or all of the collection.
fn own(
    transaction: &Transaction,
    table: &Table<'_>,
    wanted: &Wanted<'_>,
    only: Option<&[u8]>,
) -> Result<Vec<Seen>> {
    let collection = table.collection.id;
    let (mut seen, budget) = (Vec::new(), Budget::default());
    for ((_, key), entry) in
        transaction.documents.range((collection, Vec::new())..(collection + 1, Vec::new()))
    {
        let Some(body) = entry.body().filter(|_| only.is_none_or(|only| only == key)) else {
            continue;
        };
        let document = decode(body)?;
        if wanted.filter.matches(&document, &budget)? {
            seen.push(Seen { key: key.clone(), document, body: body.to_vec(), fresh: None });
        }
    }
    Ok(seen)
}

/// What matches of the documents that the transaction does not know yet.
async fn stored(
    transaction: &Transaction,
    table: &Table<'_>,
    wanted: &Wanted<'_>,
    work_max: usize,
    seen: &mut Vec<Seen>,
) -> Result<()> {
    let mut walk = Walk::new(table.clone(), wanted.filter, wanted.order, work_max);
    let enough = wanted.skip.saturating_add(wanted.limit);
    let mut found = 0;
    // The transaction's own may come before any of these, so as many as are wanted are needed of each.
    while !walk.is_ordered || found < enough {
        let Some(stored) = walk.next().await? else { return Ok(()) };
        if transaction.documents.contains_key(&(table.collection.id, stored.key.clone())) {
            continue;
        }
        let document = decode(&stored.body)?;
        if !walk.matches(&document)? {
            continue;
        }
        found += 1;
        if found > TRANSACTION_DOCUMENTS_MAX {
            let message = format!(
                "a query in a transaction may find at most {TRANSACTION_DOCUMENTS_MAX} documents; narrow it"
            );
            return Err(Error::new(Kind::TooLarge, message));
        }
        let (key, body) = (stored.key.clone(), stored.body.clone());
        seen.push(Seen { key, document, body, fresh: Some(stored) });
    }
    Ok(())
}
