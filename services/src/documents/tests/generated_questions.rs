//! Generated documents, filters, orders, updates and pipelines through the whole service: with and without indexes it
//! answers as a plain evaluation of all documents does, in the same order.

use std::collections::BTreeSet;

use bson::{Bson, Document, doc};
use yunzhan_base::Kind;
use yunzhan_query::generate::{Dialect, Generator};
use yunzhan_query::key::{EntryOptions, entries_with, sort_key};
use yunzhan_query::pipeline::{Limits, Pipeline};
use yunzhan_query::{Budget, Filter, Order, Path, Update, filter};

use crate::documents::testing::{NOW_MS, World, on_every_engine, server};
use crate::documents::{Body, Change, Config, Find, Index, Keys, NewIndex, Preset, State, Which};

/// Questions to each engine. The environment variable `YUNZHAN_DOCUMENT_QUESTIONS` sets another number, and
/// `YUNZHAN_DOCUMENT_SEED` asks others.
const QUESTIONS: u64 = 360;

/// Where the questions of an everyday run begin.
const SEED: u64 = 20_261_125;

/// Documents of a collection; enough for several pages and small enough to be shown.
const DOCUMENTS: usize = 40;

/// Questions about one collection before it has an index, and again afterwards.
const ROUND: u64 = 30;

/// Indexes of one collection.
const INDEXES: usize = 4;

/// The collections, which each round fills anew.
const GOODS: &str = "goods";
const OTHER: &str = "other";

/// What collections are indexed by, and whether each value may stand once.
fn definitions() -> Vec<(Document, bool)> {
    vec![
        (doc! { "n": 1 }, false),
        (doc! { "s": -1 }, false),
        (doc! { "t": 1 }, false),
        (doc! { "n": -1, "m": 1 }, false),
        (doc! { "l.n": 1 }, false),
        (doc! { "x": -1, "b": 1 }, false),
        (doc! { "s": 1, "n": 1, "_id": -1 }, false),
        (doc! { "o.n": 1, "o.s": -1 }, false),
        (doc! { "d": -1 }, false),
        (doc! { "m": 1, "u": -1 }, false),
        (doc! { "l.0.n": -1 }, false),
        (doc! { "t.0": 1, "n": 1 }, false),
        (doc! { "u.1": 1 }, false),
        (doc! { "b": 1, "t": -1 }, false),
        (doc! { "o": 1 }, false),
        (doc! { "l.t": 1 }, false),
        (doc! { "g": 1, "d": 1 }, true),
        (doc! { "n": 1, "_id": 1 }, true),
        (doc! { "m": -1, "s": 1, "d": 1 }, true),
    ]
}

#[test]
fn the_service_answers_as_a_plain_evaluation_does() {
    let questions = setting("YUNZHAN_DOCUMENT_QUESTIONS", QUESTIONS);
    let seed = setting("YUNZHAN_DOCUMENT_SEED", SEED);
    on_every_engine(&Config::default(), async |world| {
        let world =
            world.with_collections(&[(GOODS, Preset::Private), (OTHER, Preset::Private)]).await;
        let mut tally = Tally::default();
        for round in 0..questions.div_ceil(2 * ROUND) {
            Round::begin(&world, seed + round).await.run(&mut tally).await;
        }
        let Tally { finds, updates, pipelines, indexed, .. } = tally;
        assert!(finds.min(updates).min(pipelines) > questions / 10, "{tally:?}");
        assert!(indexed > finds / 10, "too few questions use an index: {tally:?}");
    });
}

fn setting(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// What was compared.
#[derive(Debug, Default)]
struct Tally {
    finds: u64,
    updates: u64,
    pipelines: u64,
    /// Finds that used an index.
    indexed: u64,
    /// Questions that have no answer for some document.
    unanswered: u64,
}

/// One filling of the collections.
struct Round<'w> {
    world: &'w World,
    seed: u64,
    generator: Generator,
    /// What the collections hold, in the order of the ids.
    goods: Vec<Document>,
    other: Vec<Document>,
    /// What the indexes are made of; none at first, and documents come in other orders as soon as there are some.
    indexes: Vec<Document>,
    /// Questions so far.
    asked: usize,
}

impl<'w> Round<'w> {
    async fn begin(world: &'w World, seed: u64) -> Self {
        let mut generator = Generator::new(seed, Dialect::Whole);
        let (goods, other) = (generator.documents(DOCUMENTS), generator.documents(5));
        let server = server();
        for (name, documents) in [(GOODS, &goods), (OTHER, &other)] {
            let caller = world.caller(&server);
            for index in world.documents.indexes(&world.env, name).await.unwrap() {
                if index.is_own() {
                    world.documents.drop_index(caller, name, &index.name).await.unwrap();
                }
            }
            world.documents.remove(caller, name, Which::every(), true, None).await.unwrap();
            world.documents.insert(caller, name, documents.clone(), None).await.unwrap();
        }
        world.finish().await;
        Self { world, seed, generator, goods, other, indexes: Vec::new(), asked: 0 }
    }

    async fn run(mut self, tally: &mut Tally) {
        self.ask(tally).await;
        self.index().await;
        self.ask(tally).await;
    }

    async fn ask(&mut self, tally: &mut Tally) {
        for question in 0..ROUND {
            match question % 5 {
                0 => self.update(question, tally).await,
                1 => self.pipeline(tally).await,
                _ => self.find(question, tally).await,
            }
        }
    }

    async fn index(&mut self) {
        let definitions = definitions();
        let server = server();
        let make = async |name: &str, place: usize| {
            let (definition, unique) = &definitions[place % definitions.len()];
            let new =
                NewIndex { name: None, keys: Keys::parse(definition).unwrap(), unique: *unique };
            let caller = self.world.caller(&server);
            self.world.documents.create_index(caller, name, new).await.unwrap();
        };
        let first = usize::try_from(self.seed).unwrap() * 7;
        for place in 0..INDEXES {
            make(GOODS, first + place * 5).await;
        }
        make(OTHER, 0).await;
        self.world.finish().await;
        let chosen = |place: usize| definitions[(first + place * 5) % definitions.len()].0.clone();
        self.indexes = (0..INDEXES).map(chosen).collect();
    }

    /// Something that is generated, or that one of the indexes serves.
    fn query(&mut self) -> Document {
        self.asked += 1;
        let query = self.generator.filter();
        let Some(index) = self.indexes.get(self.asked % (2 * INDEXES)) else { return query };
        let mut served = Document::new();
        for (place, path) in index.keys().enumerate().take(1 + self.asked % 2) {
            let document = &self.goods[(self.asked * 7 + place) % DOCUMENTS];
            let other = &self.goods[self.asked * 11 % DOCUMENTS];
            let [value, second] = [document, other].map(|document| some_value(document, path));
            let test: Bson = match (self.asked + place) / 8 % 6 {
                0 => doc! { "$gte": value }.into(),
                1 => doc! { "$lt": value }.into(),
                2 => doc! { "$in": [value, second] }.into(),
                3 => doc! { "$gt": value, "$lte": second }.into(),
                4 => doc! { "$elemMatch": { "$gte": value } }.into(),
                _ => doc! { "$eq": value }.into(),
            };
            served.insert(path, test);
        }
        match self.asked % 3 {
            0 => doc! { "$and": [served, query] },
            _ => served,
        }
    }

    /// Something that is generated, or the order of an index or its reverse.
    fn order(&mut self) -> Document {
        let mut order = self.generator.order();
        if let Some(index) = self.indexes.get(self.asked % (3 * INDEXES)) {
            order = index.clone();
            if self.asked.is_multiple_of(2) {
                order
                    .iter_mut()
                    .for_each(|(_, direction)| *direction = (-direction.as_i32().unwrap()).into());
            }
        }
        match self.asked % 5 {
            0 => order.clear(),
            1 => {
                order.remove("_id");
            }
            _ => {}
        }
        order
    }

    async fn find(&mut self, question: u64, tally: &mut Tally) {
        let (query, order) = (self.query(), self.order());
        let order = Order::parse(&order).unwrap();
        let what = format!("seed {}, {query} by {order:?}", self.seed);
        let Some(mut matching) = self.matching(&query) else {
            tally.unanswered += 1;
            return;
        };
        let (server, which) = (server(), || Which::parse(&query).unwrap());
        let caller = self.world.caller(&server);
        let counted = self.world.documents.count(caller, GOODS, which()).await.unwrap();
        assert_eq!(counted, matching.len() as u64, "{what}");
        let (skip, limit) =
            (usize::try_from(question % 3).unwrap(), [3, 10, 100][question as usize % 7 % 3]);
        let wanted = Find { which: which(), order: order.clone(), skip, limit, projection: None };
        let found = self.world.documents.find(caller, GOODS, wanted).await.unwrap();
        let found: Vec<_> = found.documents.iter().map(read).collect();
        self.check_page(&what, &order, &mut matching, &found, skip, limit);
        let described =
            self.world.documents.explain(caller, GOODS, which(), &order, limit).await.unwrap();
        tally.indexed += u64::from(described.index.is_some());
        tally.finds += 1;
    }

    /// The documents that match; none at all where a filter refuses to answer for one of them.
    fn matching(&self, query: &Document) -> Option<Vec<Document>> {
        let filter = Filter::parse(query, &filter::Limits::default()).unwrap();
        let mut matching = Vec::new();
        for document in &self.goods {
            if filter.matches(document, &Budget::default()).ok()? {
                matching.push(document.clone());
            }
        }
        Some(matching)
    }

    /// Where documents are equal in the order, which of them comes first is left open; without indexes it is the lesser
    /// id.
    fn check_page(
        &self,
        what: &str,
        order: &Order,
        matching: &mut [Document],
        found: &[Document],
        skip: usize,
        limit: usize,
    ) {
        order.sort(matching);
        let page: Vec<_> = matching.iter().skip(skip).take(limit).collect();
        if self.indexes.is_empty() {
            assert_eq!(found.iter().collect::<Vec<_>>(), page, "{what}");
        }
        let keys = |page: &[&Document]| -> Vec<_> {
            page.iter().map(|document| sort_key(document, order)).collect()
        };
        assert_eq!(keys(&found.iter().collect::<Vec<_>>()), keys(&page), "{what}");
        let ids: BTreeSet<_> = found.iter().map(id).collect();
        assert_eq!(ids.len(), found.len(), "a document comes twice: {what}");
        assert!(found.iter().all(|document| matching.contains(document)), "{what}");
    }

    async fn update(&mut self, question: u64, tally: &mut Tally) {
        let (query, update) = (self.query(), self.generator.update());
        let multi = question.is_multiple_of(2);
        let what = format!("seed {}, {query}, multi {multi}: {update}", self.seed);
        let Some(matching) = self.matching(&query) else {
            tally.unanswered += 1;
            return;
        };
        let which = Which::parse(&query).unwrap();
        let parsed = Update::parse(update.clone()).unwrap();
        let change = Change { which, update, replace: false, multi, upsert: false };
        let server = server();
        let caller = self.world.caller(&server);
        let changed = self.world.documents.update(caller, GOODS, change, None).await;
        let updated = |document: &Document| {
            let mut document = document.clone();
            parsed.apply(&mut document, None).map(|_| document)
        };
        let stored = self.all().await;
        let before = std::mem::replace(&mut self.goods, stored);
        let (stored, is_first) = (&self.goods, |touched: u64| touched == 0);
        assert_eq!(stored.len(), before.len(), "{what}");
        let mut touched = 0_u64;
        for (old, new) in before.iter().zip(stored) {
            let expected = updated(old);
            let is_asked =
                changed.is_ok() && matching.contains(old) && (multi || is_first(touched));
            let is_same = old == new;
            let is_updated = is_asked && expected.as_ref().is_ok_and(|expected| expected == new);
            assert!(
                if multi && is_asked { is_updated } else { is_same || is_updated },
                "{what}\n{old}\n{new}"
            );
            touched += u64::from(!is_same);
        }
        match changed {
            Ok(changed) => {
                let wanted = if multi { matching.len() } else { matching.len().min(1) };
                assert_eq!(changed.matched, wanted as u64, "{what}");
                // An update may also write what was there before.
                assert!(changed.updated >= touched && changed.updated <= changed.matched, "{what}");
                self.check_unique(&what).await;
                tally.updates += 1;
            }
            Err(error) if error.kind() == Kind::AlreadyExists => {
                assert!(self.unique().await.next().is_some(), "{what}: {error}");
            }
            Err(error) => {
                assert!(
                    matching.iter().any(|document| updated(document).is_err()),
                    "{what}: {error}"
                );
                tally.unanswered += 1;
            }
        }
    }

    /// No two documents may have a key in common.
    async fn check_unique(&self, what: &str) {
        for order in self.unique().await {
            let mut seen = BTreeSet::new();
            let options = EntryOptions { combines_arrays: true, ..EntryOptions::default() };
            for document in &self.goods {
                for key in entries_with(document, &order, options).unwrap().keys {
                    assert!(seen.insert(key), "{what}: {order:?} stands twice");
                }
            }
        }
    }

    /// What the ready unique indexes are sorted by.
    async fn unique(&self) -> impl Iterator<Item = Order> {
        let indexes = self.world.documents.indexes(&self.world.env, GOODS).await.unwrap();
        let ready = |index: &Index| index.unique && index.state == State::Ready;
        indexes.into_iter().filter(move |index| ready(index)).filter_map(|index| {
            match &index.keys {
                Keys::Fields(order) => Some(order.clone()),
                Keys::Geo(_) => None,
            }
        })
    }

    async fn all(&self) -> Vec<Document> {
        let server = server();
        let order = Order::parse(&doc! { "_id": 1 }).unwrap();
        let find = Find { which: Which::every(), order, skip: 0, limit: 1000, projection: None };
        let found = self.world.documents.find(self.world.caller(&server), GOODS, find).await;
        found.unwrap().documents.iter().map(read).collect()
    }

    async fn pipeline(&mut self, tally: &mut Tally) {
        let mut stages = self.generator.pipeline(OTHER);
        if self.asked.is_multiple_of(2) {
            stages.insert(0, doc! { "$match": self.query() });
        }
        let stages = in_order(stages);
        let what = format!("seed {}, {stages:?}", self.seed);
        let pipeline = Pipeline::parse(&stages, &Limits::default()).unwrap();
        let foreign = |_: &str| self.other.clone();
        let plain = pipeline.run_plain(self.goods.clone(), &foreign, NOW_MS, &Budget::default());
        let server = server();
        let caller = self.world.caller(&server);
        let found = self.world.documents.aggregate(caller, GOODS, &stages).await;
        match (plain, found) {
            (Ok(plain), Ok(found)) => {
                assert_eq!(arranged(found.into_iter().collect()), arranged(plain), "{what}");
                tally.pipelines += 1;
            }
            // An index spares the documents that would be refused.
            (Err(_), _) => tally.unanswered += 1,
            (Ok(_), Err(error)) => panic!("{error}: {what}"),
        }
    }
}

/// With an order of all documents behind the filters at the beginning: what later stages give may depend on it.
fn in_order(mut stages: Vec<Document>) -> Vec<Document> {
    let filters = stages.iter().take_while(|stage| stage.contains_key("$match")).count();
    if !stages.get(filters).is_some_and(|stage| stage.contains_key("$sort")) {
        stages.insert(filters, doc! { "$sort": { "_id": 1 } });
    }
    stages
}

/// What was looked up has no order.
fn arranged(mut documents: Vec<Document>) -> Vec<Document> {
    for document in &mut documents {
        if let Ok(joined) = document.get_array_mut("joined") {
            joined.sort_by_key(|found| found.as_document().map(id));
        }
    }
    documents
}

/// A value by which an index on this path finds the document.
fn some_value(document: &Document, path: &str) -> Bson {
    let mut value = Bson::Null;
    Path::parse(path).unwrap().visit(document, &mut |end| {
        let first = end.items().and_then(<[Bson]>::first).or(end.value());
        value = first.cloned().unwrap_or(Bson::Null);
        value != Bson::Null
    });
    value
}

fn read(body: &Body) -> Document {
    let Body::Stored(bson) = body else { unreachable!("all of each document was asked for") };
    Document::from_reader(bson.as_slice()).unwrap()
}

fn id(document: &Document) -> i32 {
    document.get("_id").and_then(Bson::as_i32).unwrap()
}
