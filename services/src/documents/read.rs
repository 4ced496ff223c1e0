//! Reading: one document by its id, a page of documents, a count.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use bson::Document;
use bson::raw::RawDocument;
use yunzhan_base::{Error, Kind, Result};
use yunzhan_query::ejson::{Mode, append_document, append_raw_document};
use yunzhan_query::geo::{self, Near};
use yunzhan_query::key::sort_key;
use yunzhan_query::{Bson, Budget, Filter, Order, Projection};

use super::logic::id::{id_key, slot_of};
use super::logic::permission::{OWNER_FIELD, Operation, Reach};
use super::logic::shape::decode;
use super::nearest_neighbours::NearestNeighbours;
use super::scan::Scan;
use super::store::{Stored, Table};
use super::{Caller, Documents, Which};
use crate::offload::{self, LONG_BYTES};

/// Most bytes of BSON in one answer. A thousand documents of 16 KiB fit; more than that wants a projection or pages.
pub(super) const RESULT_BYTES_MAX: usize = 16 << 20;

/// Most bytes that one call keeps while it sorts: the documents up to the end of the wanted page.
pub(super) const SORT_BYTES_MAX: usize = 32 << 20;

/// A question for documents.
#[derive(Clone, Debug)]
pub struct Find {
    /// Which documents.
    pub which: Which,
    /// In which order; without one, as they are found: by their ids, which for made ids is the order of their birth, or
    /// by the keys of the index that serves the filter.
    pub order: Order,
    /// Documents to leave out at the beginning.
    pub skip: usize,
    /// Documents wanted; more than `[documents] query_documents_max` is cut to it.
    pub limit: usize,
    /// Fields wanted.
    pub projection: Option<Projection>,
}

/// A page of documents.
#[derive(Debug)]
pub struct Found {
    /// The documents in order.
    pub documents: Vec<Body>,
    /// How many match in all, when the call had to look at all of them anyway.
    pub total: Option<u64>,
    /// Holds their part of the environment's memory until they are answered.
    pub(super) _held: Budget,
}

/// A document in an answer.
#[derive(Debug)]
pub enum Body {
    /// As stored: BSON.
    Stored(Vec<u8>),
    /// A part of it.
    Shaped(Document),
}

impl Body {
    /// Writes the document as JSON.
    ///
    /// # Errors
    /// `Internal` when what is stored is not BSON.
    pub(crate) fn append(&self, out: &mut String, mode: Mode) -> Result<()> {
        match self {
            Self::Stored(bson) => append_raw_document(out, bson, mode)?,
            Self::Shaped(document) => append_document(out, document, mode),
        }
        Ok(())
    }
}

impl Found {
    /// About how many bytes of BSON the documents have; those of which only a part was wanted do not count.
    pub fn bytes(&self) -> usize {
        let stored = self.documents.iter().map(|body| match body {
            Body::Stored(bson) => bson.len(),
            Body::Shaped(_) => 0,
        });
        stored.sum()
    }
}

impl Documents {
    /// A page of the documents that the caller may see.
    ///
    /// # Errors
    /// `CollectionNotFound`, `PermissionDenied`, `TooLarge`.
    pub async fn find(&self, caller: Caller<'_>, collection: &str, find: Find) -> Result<Found> {
        let (table, reach, authorizer) =
            self.open_ruled(caller, collection, Operation::Read).await?;
        let limit = find.limit.min(self.config().query_documents_max);
        let held = table.budget();
        let (page, filter) = match authorizer
            .admit(resolved(&table, find.which).await?, None)
            .await?
        {
            // `doc(id)` is most of the traffic: no filter, no plan, no decoding.
            Which::One(id) => {
                let found = authorizer.pass(one(&table, reach, &id).await?).await?;
                held.keep(found.as_ref().map_or(0, |stored| stored.body.len() as u64))?;
                (Page::of_one(found, find.skip, limit), None)
            }
            which => {
                let filter = which.filter(reach)?;
                let work_max = self.config().scan_documents_max;
                let (order, skip) = (&find.order, find.skip);
                let nearest = NearestNeighbours::new(&table, &filter, order, work_max);
                let scan = Scan::new(table, &filter, order, work_max);
                let near = filter.near().filter(|_| order.is_empty());
                let page = match (nearest, near) {
                    (Some(nearest), _) => nearest_first(nearest, skip, limit, &held).await?,
                    (None, Some(near)) => {
                        sorted(scan, |document| distance_key(document, &near), skip, limit, &held)
                            .await?
                    }
                    _ if scan.is_ordered => straight(scan, skip, limit, &held).await?,
                    _ => {
                        let scan = scan.reading(order.needs());
                        sorted(scan, |document| sort_key(document, order), skip, limit, &held)
                            .await?
                    }
                };
                (page, Some(filter))
            }
        };
        let documents = shape(page.bodies, find.projection.as_ref(), filter.as_ref())?;
        Ok(Found { documents, total: page.total, _held: held })
    }

    /// One document by its id; none when it is not there or the caller may not see it.
    ///
    /// # Errors
    /// `CollectionNotFound`, `PermissionDenied`.
    pub async fn get(
        &self,
        caller: Caller<'_>,
        collection: &str,
        id: &Bson,
        projection: Option<&Projection>,
    ) -> Result<Option<Body>> {
        let (table, reach, authorizer) =
            self.open_ruled(caller, collection, Operation::Read).await?;
        let which = resolved(&table, Which::One(id.clone())).await?;
        let Which::One(id) = authorizer.admit(which, None).await? else {
            return Ok(None);
        };
        let found =
            authorizer.pass(one(&table, reach, &id).await?).await?.map(|stored| stored.body);
        Ok(shape(found.into_iter().collect(), projection, None)?.pop())
    }

    /// How many documents match, of those that the caller may see.
    ///
    /// Where that is every document of the collection, or an index tells all of the filter, the database counts keys
    /// and reads no document. That is outside `[documents] scan_documents_max`: its bound is the engine's read timeout.
    ///
    /// # Errors
    /// As [`Documents::find`].
    pub async fn count(&self, caller: Caller<'_>, collection: &str, which: Which) -> Result<u64> {
        let (table, reach, authorizer) =
            self.open_ruled(caller, collection, Operation::Read).await?;
        let which = authorizer.admit(resolved(&table, which).await?, None).await?;
        if let Which::One(id) = &which {
            return Ok(authorizer.pass(one(&table, reach, id).await?).await?.map_or(0, |_| 1));
        }
        let filter = which.filter(reach)?;
        if filter.is_all() {
            return table.count().await;
        }
        let order = Order::default();
        let mut scan = Scan::new(table, &filter, &order, self.config().scan_documents_max);
        if let Some(total) = scan.count_by_keys().await? {
            return Ok(total);
        }
        let mut total = 0;
        while let Some(stored) = scan.next().await? {
            total += u64::from(scan.matches(&stored.body)?);
        }
        Ok(total)
    }
}

/// What a call means by an id that may be the spelling of an ObjectId: the ObjectId, where nothing has the text as its
/// id.
pub(super) async fn resolved(table: &Table<'_>, which: Which) -> Result<Which> {
    let (Some(spelled), Which::One(text)) = (which.spelled(), &which) else { return Ok(which) };
    let spelled = Bson::ObjectId(spelled);
    let means_text = stored_by_id(table, text).await?.is_some();
    let means_spelled = !means_text && stored_by_id(table, &spelled).await?.is_some();
    Ok(if means_spelled { Which::One(spelled) } else { which })
}

/// The document with this id, if the caller reaches it.
pub(super) async fn one(table: &Table<'_>, reach: Reach<'_>, id: &Bson) -> Result<Option<Stored>> {
    match (stored_by_id(table, id).await?, reach) {
        (Some(stored), Reach::Owned(owner)) if !is_owned(&stored.body, owner)? => Ok(None),
        (found, _) => Ok(found),
    }
}

async fn stored_by_id(table: &Table<'_>, id: &Bson) -> Result<Option<Stored>> {
    // What cannot be an id is the id of no document.
    let Ok(key) = id_key(id) else { return Ok(None) };
    table.document(&key, slot_of(&key)).await
}

/// Whether a stored document belongs to `owner`, read straight from its bytes. The owner stands near the beginning.
fn is_owned(body: &[u8], owner: &str) -> Result<bool> {
    let broken = |error| Error::internal("a stored document is not BSON").because(error);
    let document = RawDocument::from_bytes(body).map_err(broken)?;
    match document.get(OWNER_FIELD).map_err(broken)? {
        Some(bson::RawBsonRef::String(found)) => Ok(found == owner),
        // A server may have given a document several owners; the filter knows what that means.
        Some(_) => {
            let owned = Filter::field_eq(OWNER_FIELD, owner)?;
            Ok(owned.matches(&decode(body)?, &Budget::default())?)
        }
        None => Ok(false),
    }
}

struct Page {
    bodies: Vec<Vec<u8>>,
    total: Option<u64>,
}

impl Page {
    fn of_one(found: Option<Stored>, skip: usize, limit: usize) -> Self {
        let total = Some(u64::from(found.is_some()));
        let wanted = found.filter(|_| skip == 0 && limit > 0);
        Self { bodies: wanted.map(|stored| stored.body).into_iter().collect(), total }
    }
}

/// Takes the page from documents that come in the wanted order, and stops at its end.
async fn straight(mut scan: Scan<'_>, skip: usize, limit: usize, held: &Budget) -> Result<Page> {
    let mut page = Page { bodies: Vec::new(), total: None };
    let (mut matched, mut bytes) = (0, 0);
    while page.bodies.len() < limit {
        let Some(stored) = scan.next().await? else {
            page.total = Some(matched as u64);
            break;
        };
        if !scan.matches(&stored.body)? {
            continue;
        }
        matched += 1;
        if matched > skip {
            bytes = check_bytes(bytes + stored.body.len(), RESULT_BYTES_MAX)?;
            held.keep(stored.body.len() as u64)?;
            page.bodies.push(stored.body);
        }
    }
    Ok(page)
}

/// Takes the page from the documents that a geo index gives, and stops at its end.
async fn nearest_first(
    mut nearest: NearestNeighbours<'_>,
    skip: usize,
    limit: usize,
    held: &Budget,
) -> Result<Page> {
    let mut page = Page { bodies: Vec::new(), total: None };
    let (mut matched, mut bytes) = (0, 0);
    while page.bodies.len() < limit {
        let Some(body) = nearest.next().await? else {
            page.total = Some(matched as u64);
            break;
        };
        matched += 1;
        if matched > skip {
            bytes = check_bytes(bytes + body.len(), RESULT_BYTES_MAX)?;
            held.keep(body.len() as u64)?;
            page.bodies.push(body);
        }
    }
    Ok(page)
}

/// Sorts all matching documents, keeping only those up to the end of the page.
async fn sorted(
    mut scan: Scan<'_>,
    key: impl Fn(&Document) -> Vec<u8>,
    skip: usize,
    limit: usize,
    held: &Budget,
) -> Result<Page> {
    let keep = skip.saturating_add(limit);
    let mut first = BinaryHeap::new();
    let mut document = Document::new();
    let (mut matched, mut bytes) = (0, 0);
    while let Some(stored) = scan.next().await? {
        if !scan.matching(&stored.body, &mut document)? {
            continue;
        }
        let ranked = Ranked { key: key(&document), place: matched, body: stored.body };
        matched += 1;
        bytes += ranked.bytes();
        held.keep(ranked.bytes() as u64)?;
        first.push(ranked);
        if first.len() > keep {
            let last = first.pop().map_or(0, |last: Ranked| last.bytes());
            bytes -= last;
            held.release(last as u64);
        }
        check_bytes(bytes, SORT_BYTES_MAX)?;
    }
    let bodies: Vec<_> =
        first.into_sorted_vec().into_iter().skip(skip).map(|ranked| ranked.body).collect();
    let result = check_bytes(bodies.iter().map(Vec::len).sum(), RESULT_BYTES_MAX)?;
    held.release(bytes.saturating_sub(result) as u64);
    Ok(Page { bodies, total: Some(matched) })
}

/// A document at its place in the order; equal ones stay as they came.
struct Ranked {
    key: Vec<u8>,
    place: u64,
    body: Vec<u8>,
}

impl Ranked {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.body.len()
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key).then(self.place.cmp(&other.place))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}

pub(super) fn check_bytes(bytes: usize, bytes_max: usize) -> Result<usize> {
    if bytes <= bytes_max {
        return Ok(bytes);
    }
    let message = format!(
        "the documents up to the end of this page have more than {} MiB; ask for fewer with limit and skip",
        bytes_max >> 20
    );
    Err(Error::new(Kind::TooLarge, message))
}

/// The key that puts a document at its place by distance; whoever has none comes last.
fn distance_key(document: &Document, near: &Near) -> Vec<u8> {
    let distance_m = geo::distance_m(document, &near.path, near.point).unwrap_or(f64::INFINITY);
    // Of numbers that are not negative, the order is that of their bits.
    distance_m.to_bits().to_be_bytes().to_vec()
}

/// The documents as they are answered. `$` in a projection stands for the item by which the filter matched.
pub(super) fn shape(
    bodies: Vec<Vec<u8>>,
    projection: Option<&Projection>,
    filter: Option<&Filter>,
) -> Result<Vec<Body>> {
    let budget = Budget::default();
    let shape_one = |body: Vec<u8>| {
        let Some(projection) = projection else { return Ok(Body::Stored(body)) };
        let document = decode(&body)?;
        let position = match filter.filter(|_| projection.needs_position()) {
            Some(filter) => filter.position(&document, &budget)?,
            None => None,
        };
        Ok(Body::Shaped(projection.apply(document, position)))
    };
    let bytes: usize = bodies.iter().map(Vec::len).sum();
    let is_long = projection.is_some() && bytes >= LONG_BYTES;
    offload::run_now(is_long, || bodies.into_iter().map(shape_one).collect())
}
