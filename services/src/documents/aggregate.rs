//! Running a pipeline over a collection, and over the other collections that it looks into.
//!
//! `query` decides what each stage does; this reads. The documents that the first stages ask for are scanned page by
//! page and pushed through in batches, so that a pipeline that groups a hundred thousand documents holds a batch and
//! its groups. A lookup is a scan for each document; a facet holds its input and runs each of its pipelines over it.
//! All of them share one budget of steps and bytes, and one bound on the work of reading.
//!
//! Every collection is read as the caller may: where a person reaches only what is theirs, all others are absent. Where
//! a collection has its own rules, they must admit the `$match` at the front, and everything of what is looked up.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use bson::{Bson, Document};
use yunzhan_base::{Error, Kind, Result};
use yunzhan_query::expression::Variables;
use yunzhan_query::geo::{self, EARTH_RADIUS_M, Point};
use yunzhan_query::pipeline::{Flow, GeoNear, Limits, Lookup, Part, Pipeline, Run, Setting};
use yunzhan_query::{Budget, Filter, Needs, Order, Path};

use super::logic::permission::Operation;
use super::logic::shape::decode;
use super::nearest_neighbours::NearestNeighbours;
use super::read::RESULT_BYTES_MAX;
use super::scan::Scan;
use super::store::Table;
use super::{Caller, Documents, Which};

/// Documents that are pushed through together; others may run between two batches.
const BATCH_DOCUMENTS: usize = 64;

/// A batch is pushed through when it holds this many bytes of BSON, however few documents they are.
const BATCH_BYTES: usize = 1 << 20;

/// Work that a lookup costs besides what it reads: planning, and asking the database.
const LOOKUP_WORK: usize = 4;

/// A future that can call itself.
type Recursive<'f, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'f>>;

impl Documents {
    /// Runs a pipeline and gives its result.
    ///
    /// # Errors
    /// `CollectionNotFound` and `PermissionDenied`, of every collection that is read; `InvalidOperator` and
    /// `InvalidParameter` naming stage and field; `TooLarge` for more work, memory or result than one call may take.
    pub async fn aggregate(
        &self,
        caller: Caller<'_>,
        collection: &str,
        stages: &[Document],
    ) -> Result<Aggregated> {
        let mut pipeline = Pipeline::parse(stages, &Limits::default())?;
        let (table, reach, authorizer) =
            self.open_ruled(caller, collection, Operation::Read).await?;
        if let Some(stages) = authorizer.admit_stages(stages).await? {
            pipeline = Pipeline::parse(&stages, &Limits::default())?;
        }
        let budget = table.budget();
        let mut collections = HashMap::new();
        // What is looked up in the same collection is not what is matched at the front.
        if !pipeline.collections().contains(&collection) {
            let filter = Which::every().filter(reach)?;
            collections.insert(collection.to_owned(), Reached { table, filter });
        }
        for name in pipeline.collections() {
            if !collections.contains_key(name) {
                collections.insert(name.to_owned(), self.reached(caller, name).await?);
            }
        }
        let reading = Reading {
            collections,
            budget,
            work_left: AtomicUsize::new(self.config().aggregate_documents_max),
            work_max: self.config().aggregate_documents_max,
        };
        let setting = Setting { seed: seed(), ..Setting::at(self.now_ms()) };
        let input = Input::Collection { name: collection, filter: Filter::all() };
        let result = reading.run(&pipeline, input, setting).await?;
        check_result(&result)?;
        Ok(Aggregated { documents: result, held: reading.budget })
    }

    /// A collection as the caller reads all of it.
    async fn reached<'a>(&'a self, caller: Caller<'a>, name: &str) -> Result<Reached<'a>> {
        let (table, filter) = self.open_query(caller, name, Which::every()).await?;
        Ok(Reached { table, filter })
    }
}

/// The result of a pipeline, which holds its part of the environment's memory until it is dropped.
#[derive(Debug)]
pub struct Aggregated {
    documents: Vec<Document>,
    held: Budget,
}

/// The documents of an [`Aggregated`], one after the other.
#[derive(Debug)]
pub struct IntoDocuments {
    documents: std::vec::IntoIter<Document>,
    _held: Budget,
}

impl std::ops::Deref for Aggregated {
    type Target = [Document];

    fn deref(&self) -> &[Document] {
        &self.documents
    }
}

impl IntoIterator for Aggregated {
    type Item = Document;
    type IntoIter = IntoDocuments;

    fn into_iter(self) -> IntoDocuments {
        IntoDocuments { documents: self.documents.into_iter(), _held: self.held }
    }
}

impl<'a> IntoIterator for &'a Aggregated {
    type Item = &'a Document;
    type IntoIter = std::slice::Iter<'a, Document>;

    fn into_iter(self) -> Self::IntoIter {
        self.documents.iter()
    }
}

impl Iterator for IntoDocuments {
    type Item = Document;

    fn next(&mut self) -> Option<Document> {
        self.documents.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.documents.size_hint()
    }
}

/// A collection, and what of it the caller may see.
struct Reached<'a> {
    table: Table<'a>,
    filter: Filter,
}

/// Everything that one call reads, and what it may still cost.
struct Reading<'a> {
    collections: HashMap<String, Reached<'a>>,
    budget: Budget,
    work_left: AtomicUsize,
    work_max: usize,
}

/// What goes into a pipeline.
enum Input<'i> {
    /// The documents of a collection that match.
    Collection { name: &'i str, filter: Filter },
    /// These.
    Documents(&'i [Document]),
}

/// The documents that match `$geoNear`: the nearest first where a geo index and a limit make that cheaper than reading
/// all.
enum GeoNearScan<'w> {
    NearestNeighbours(Box<NearestNeighbours<'w>>),
    Scan(Box<Scan<'w>>),
}

/// A part of a pipeline at work.
enum Link<'p> {
    Run(Option<Run<'p>>),
    Lookup(&'p Lookup),
    /// Holds its input until all of it is there.
    Facet(&'p [(String, Pipeline)], Vec<Document>),
}

impl Reading<'_> {
    fn run<'f>(
        &'f self,
        pipeline: &'f Pipeline,
        input: Input<'f>,
        setting: Setting<'f>,
    ) -> Recursive<'f, Vec<Document>> {
        Box::pin(async move {
            let mut links: Vec<Link<'_>> =
                pipeline.parts().iter().map(|part| Link::of(part, setting)).collect();
            let mut results = Vec::new();
            match input {
                Input::Documents(documents) => {
                    for batch in documents.chunks(BATCH_DOCUMENTS) {
                        let (batch, spent) = (batch.to_vec(), &mut Vec::new());
                        let flow = self.flow(&mut links, batch, setting, &mut results, spent);
                        if flow.await? == Flow::Done {
                            break;
                        }
                    }
                }
                Input::Collection { name, filter } => {
                    let reached = &self.collections[name];
                    let source = pipeline.source();
                    if let Some(stage) = source.geo_near {
                        let filter = filter.and(reached.filter.clone()).and(stage.query.clone());
                        // A limit counts right behind, before anything is left out or sorted.
                        let is_behind = source.filter.is_all() && source.order.is_none();
                        let behind = source.limit.filter(|_| is_behind);
                        let limit = [stage.limit, behind].into_iter().flatten().min();
                        let near = self.near(&reached.table, &filter, stage, limit).await?;
                        for batch in near.chunks(BATCH_DOCUMENTS) {
                            let (batch, spent) = (batch.to_vec(), &mut Vec::new());
                            self.flow(&mut links, batch, setting, &mut results, spent).await?;
                        }
                        return self.end(links, setting, results).await;
                    }
                    let filter = filter.and(reached.filter.clone()).and(source.filter);
                    let order = source.order.cloned().unwrap_or_default();
                    let (limit, needs) = (source.limit, pipeline.needs());
                    let scanned = Scanned { filter: &filter, order: &order, limit, needs };
                    self.scan(&reached.table, &scanned, &mut links, setting, &mut results).await?;
                }
            }
            self.end(links, setting, results).await
        })
    }

    /// Lets every link give what it still holds, the first one first.
    async fn end(
        &self,
        mut links: Vec<Link<'_>>,
        setting: Setting<'_>,
        mut results: Vec<Document>,
    ) -> Result<Vec<Document>> {
        for at in 0..links.len() {
            let (ending, rest) = links[at..].split_first_mut().expect("at is a place in it");
            let left = self.finish(ending, setting).await?;
            self.flow(rest, left, setting, &mut results, &mut Vec::new()).await?;
        }
        Ok(results)
    }

    /// The documents that `$geoNear` gives, up to `limit`, the nearest first, each with its distance.
    async fn near(
        &self,
        table: &Table<'_>,
        filter: &Filter,
        stage: &GeoNear,
        limit: Option<u64>,
    ) -> Result<Vec<Document>> {
        let refused = |message| Error::new(Kind::InvalidParameter, format!("$geoNear: {message}"));
        let mut geo_indexes = table.collection.geo_indexes();
        let path = match (&stage.key, geo_indexes.next(), geo_indexes.next()) {
            (Some(key), ..) => Path::parse(key)?,
            // Without a key, the only geo index says which field is meant.
            (None, Some((_, path)), None) => path.clone(),
            (None, ..) => return Err(refused("key must name the field of the place")),
        };
        if !stage.is_spherical {
            return Err(refused("spherical must be true"));
        }
        let point = Point::new(stage.near[0], stage.near[1])?;
        // A point without GeoJSON counts in radians.
        let unit_m = if stage.is_geojson { 1.0 } else { EARTH_RADIUS_M };
        let filter = match filter.near() {
            None => filter.clone().and(within_reach(stage, &path, unit_m)?),
            Some(_) => return Err(refused("query cannot hold another $near")),
        };
        let most = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let order = Order::default();
        let mut geo_scan = GeoNearScan::new(
            table,
            &filter,
            &order,
            limit.is_some(),
            self.work_left.load(Ordering::Relaxed),
        );
        let mut found = Vec::new();
        while (!geo_scan.is_ordered() || found.len() < most)
            && let Some(document) = geo_scan.next().await.map_err(|error| self.explain(error))?
        {
            let distance_m = geo::distance_m(&document, &path, point);
            let Some(distance) = distance_m.map(|distance_m| distance_m / unit_m) else { continue };
            let is_in_reach = stage.min_distance.is_none_or(|least| distance >= least)
                && stage.max_distance.is_none_or(|most| distance <= most);
            if is_in_reach {
                self.budget.keep(weight(&document))?;
                found.push((distance, document));
            }
        }
        self.work_left.store(geo_scan.work_left(), Ordering::Relaxed);
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        let described = found.into_iter().take(most).map(|(distance, mut document)| {
            self.budget.release(weight(&document));
            let place = stage
                .include_locs
                .as_deref()
                .and_then(|at| Some((at, path.get(&document)?.clone())));
            if let Some((at, place)) = place {
                put(&mut document, at, place);
            }
            let distance = Bson::Double(distance * stage.distance_multiplier);
            put(&mut document, &stage.distance_field, distance);
            document
        });
        Ok(described.collect())
    }

    /// Pushes the documents of a scan through, as many as are needed.
    async fn scan(
        &self,
        table: &Table<'_>,
        scanned: &Scanned<'_>,
        links: &mut [Link<'_>],
        setting: Setting<'_>,
        results: &mut Vec<Document>,
    ) -> Result<()> {
        let work = self.work_left.load(Ordering::Relaxed);
        let scan = Scan::new(table.clone(), scanned.filter, scanned.order, work);
        let mut scan = scan.reading(scanned.needs.clone());
        let enough = scanned.limit.filter(|_| scan.is_ordered).unwrap_or(u64::MAX);
        let (mut batch, mut found) = (Vec::with_capacity(BATCH_DOCUMENTS), 0);
        let (mut spent, mut bytes) = (Vec::new(), 0);
        while found < enough {
            let Some(stored) = scan.next().await.map_err(|error| self.explain(error))? else {
                break;
            };
            let mut document = spent.pop().unwrap_or_default();
            if !scan.matching(&stored.body, &mut document)? {
                spent.push(document);
                continue;
            }
            found += 1;
            bytes += stored.body.len();
            batch.push(document);
            if batch.len() >= BATCH_DOCUMENTS || bytes >= BATCH_BYTES {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH_DOCUMENTS));
                self.work_left.store(scan.work_left(), Ordering::Relaxed);
                if self.flow(links, full, setting, results, &mut spent).await? == Flow::Done {
                    return Ok(());
                }
                scan.limit_work(self.work_left.load(Ordering::Relaxed));
                if bytes >= BATCH_BYTES {
                    // What they lend would stay as large as they were.
                    spent.clear();
                }
                bytes = 0;
            }
        }
        self.work_left.store(scan.work_left(), Ordering::Relaxed);
        self.flow(links, batch, setting, results, &mut spent).await.map(drop)
    }

    /// The refusal of a scan says what it could read; the bound is the whole call's.
    fn explain(&self, error: Error) -> Error {
        match error.kind() {
            Kind::TooLarge => {
                let work_max = self.work_max;
                let message = format!(
                    "this aggregation would cost more than reading {work_max} small documents; begin it with a $match that an index serves"
                );
                Error::new(Kind::TooLarge, message).because(error)
            }
            _ => error,
        }
    }

    /// Pushes documents through the links, and what comes out at the end to the results. Those that were only looked at
    /// come to `spent`.
    async fn flow(
        &self,
        links: &mut [Link<'_>],
        batch: Vec<Document>,
        setting: Setting<'_>,
        results: &mut Vec<Document>,
        spent: &mut Vec<Document>,
    ) -> Result<Flow> {
        let (mut batch, mut flow) = (batch, Flow::More);
        for link in links {
            match link {
                Link::Run(None) => return Ok(Flow::Done),
                Link::Run(Some(run)) => {
                    let mut out = Vec::new();
                    for document in batch {
                        if run.push(document, &self.budget, &mut out)? == Flow::Done {
                            flow = Flow::Done;
                            break;
                        }
                        let more = run.spent().filter(|_| spent.len() < BATCH_DOCUMENTS);
                        spent.extend(more);
                    }
                    batch = out;
                }
                Link::Lookup(lookup) => {
                    for document in &mut batch {
                        let looked = std::mem::take(document);
                        *document = self.look_up(lookup, looked, setting).await?;
                    }
                }
                Link::Facet(_, held) => {
                    for document in &batch {
                        self.budget.keep(weight(document))?;
                    }
                    held.append(&mut batch);
                }
            }
        }
        for document in &batch {
            self.budget.keep(weight(document))?;
        }
        results.append(&mut batch);
        tokio::task::yield_now().await;
        Ok(flow)
    }

    /// What a link still holds when its input ends.
    async fn finish(&self, link: &mut Link<'_>, setting: Setting<'_>) -> Result<Vec<Document>> {
        let mut left = Vec::new();
        match link {
            Link::Run(run) => {
                if let Some(run) = run.take() {
                    run.finish(&self.budget, &mut left)?;
                }
            }
            Link::Lookup(_) => {}
            Link::Facet(facets, held) => {
                let mut lists = Document::new();
                for (name, inner) in *facets {
                    let list = self.run(inner, Input::Documents(held), setting).await?;
                    let list = list.into_iter().map(Bson::Document).collect();
                    lists.insert(name.as_str(), Bson::Array(list));
                }
                self.budget.release(held.iter().map(weight).sum());
                held.clear();
                left.push(lists);
            }
        }
        Ok(left)
    }

    fn look_up<'f>(
        &'f self,
        lookup: &'f Lookup,
        document: Document,
        setting: Setting<'f>,
    ) -> Recursive<'f, Document> {
        Box::pin(async move {
            self.charge(LOOKUP_WORK)?;
            let filter = lookup.filter(&document, &self.budget)?;
            let variables: Variables = lookup.variables(&document, &setting, &self.budget)?;
            let input = Input::Collection { name: lookup.from(), filter };
            let found = match lookup.pipeline() {
                Some(pipeline) => {
                    let setting = Setting { variables: &variables, ..setting };
                    self.run(pipeline, input, setting).await?
                }
                None => {
                    let all = Pipeline::parse(&[], &Limits::default())?;
                    self.run(&all, input, setting).await?
                }
            };
            self.budget.release(found.iter().map(weight).sum());
            Ok(lookup.attach(document, found, &self.budget)?)
        })
    }

    fn charge(&self, work: usize) -> Result<()> {
        let left = self.work_left.load(Ordering::Relaxed).checked_sub(work);
        let left = left.ok_or_else(|| self.explain(Error::new(Kind::TooLarge, "")))?;
        self.work_left.store(left, Ordering::Relaxed);
        Ok(())
    }
}

/// What of a collection is scanned.
struct Scanned<'w> {
    filter: &'w Filter,
    order: &'w Order,
    limit: Option<u64>,
    /// The fields that the pipeline reads.
    needs: Needs,
}

impl<'p> Link<'p> {
    fn of(part: &'p Part, setting: Setting<'p>) -> Self {
        match part {
            Part::Pure(segment) => Self::Run(Some(segment.start(setting))),
            Part::Lookup(lookup) => Self::Lookup(lookup),
            Part::Facet(facets) => Self::Facet(facets, Vec::new()),
        }
    }
}

/// Puts a value at a dotted path; what is in the way gives way.
fn put(document: &mut Document, path: &str, value: Bson) {
    match path.split_once('.') {
        None => {
            document.insert(path, value);
        }
        Some((first, rest)) => {
            let mut inner = match document.get(first) {
                Some(Bson::Document(inner)) => inner.clone(),
                _ => Document::new(),
            };
            put(&mut inner, rest, value);
            document.insert(first, inner);
        }
    }
}

fn seed() -> u64 {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).expect("the system's random numbers are there");
    u64::from_le_bytes(random)
}

/// About how many bytes a document takes while it is held.
fn weight(document: &Document) -> u64 {
    yunzhan_query::expression::weight_of_document(document)
}

fn check_result(documents: &[Document]) -> Result<()> {
    let bytes: u64 = documents.iter().map(weight).sum();
    if bytes <= RESULT_BYTES_MAX as u64 {
        return Ok(());
    }
    let mib = RESULT_BYTES_MAX >> 20;
    let message = format!("the result has more than {mib} MiB; add a $limit or a $project");
    Err(Error::new(Kind::TooLarge, message))
}

impl<'w> GeoNearScan<'w> {
    fn new(
        table: &Table<'w>,
        filter: &'w Filter,
        order: &'w Order,
        has_limit: bool,
        work: usize,
    ) -> Self {
        let nearest = NearestNeighbours::new(table, filter, order, work).filter(|_| has_limit);
        nearest.map_or_else(
            || {
                let scan = Scan::new(table.clone(), filter, order, work);
                Self::Scan(Box::new(scan.reading(Needs::All)))
            },
            |nearest| Self::NearestNeighbours(Box::new(nearest)),
        )
    }

    fn is_ordered(&self) -> bool {
        matches!(self, Self::NearestNeighbours(_))
    }

    async fn next(&mut self) -> Result<Option<Document>> {
        match self {
            Self::NearestNeighbours(nearest) => {
                nearest.next().await?.map(|body| decode(&body)).transpose()
            }
            Self::Scan(scan) => {
                while let Some(stored) = scan.next().await? {
                    let mut document = Document::new();
                    if scan.matching(&stored.body, &mut document)? {
                        return Ok(Some(document));
                    }
                }
                Ok(None)
            }
        }
    }

    fn work_left(&self) -> usize {
        match self {
            Self::NearestNeighbours(nearest) => nearest.work_left(),
            Self::Scan(scan) => scan.work_left(),
        }
    }
}

/// What a geo index can tell of `$geoNear`, a little wider than asked for: units are turned into metres, which rounds.
fn within_reach(stage: &GeoNear, path: &Path, unit_m: f64) -> Result<Filter> {
    const SLACK_M: f64 = 1.0;
    let [lng, lat] = stage.near;
    let mut near = bson::doc! { "$geometry": { "type": "Point", "coordinates": [lng, lat] } };
    if let Some(least) = stage.min_distance {
        near.insert("$minDistance", (least * unit_m - SLACK_M).max(0.0));
    }
    if let Some(most) = stage.max_distance {
        near.insert("$maxDistance", most * unit_m + SLACK_M);
    }
    let mut condition = Document::new();
    condition.insert(path.to_string(), bson::doc! { "$near": near });
    Ok(Filter::parse(&condition, &yunzhan_query::filter::Limits::default())?)
}
