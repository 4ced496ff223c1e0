//! Geo indexes: they answer as a scan does, and read what is near.

use bson::{Bson, Document, doc};
use expect_test::expect;
use yunzhan_query::Order;

use super::{change, described, find};
use crate::documents::testing::{World, on_every_engine, server};
use crate::documents::{Body, Config, Explanation, Preset, Which};

/// Documents in one insertion.
const BATCH: usize = 100;

/// Numbers that look random and are always the same.
struct Numbers(u64);

impl Numbers {
    /// From 0 up to, not including, 1.
    fn share(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A place within `spread` degrees of a corner of the earth that something could go wrong at.
    fn place(&mut self) -> (f64, f64) {
        const CORNERS: [(f64, f64); 6] = [
            (121.47, 31.23),
            (179.999, -16.5),
            (-179.999, -16.5),
            (10.0, 89.99),
            (0.0, -89.99),
            (0.0, 0.0),
        ];
        let corner = CORNERS[(self.share() * 6.0) as usize];
        let spread = [0.0001, 0.01, 1.0, 60.0][(self.share() * 4.0) as usize];
        let lng = corner.0 + spread * (self.share() - 0.5);
        let lng = if lng > 180.0 {
            lng - 360.0
        } else if lng < -180.0 {
            lng + 360.0
        } else {
            lng
        };
        (lng, (corner.1 + spread * (self.share() - 0.5)).clamp(-90.0, 90.0))
    }
}

fn point((lng, lat): (f64, f64)) -> Document {
    doc! { "type": "Point", "coordinates": [lng, lat] }
}

/// Points, several points, shapes, nothing; some at one place.
fn anywhere(count: usize) -> Vec<Document> {
    let mut numbers = Numbers(7);
    let mut place = || numbers.place();
    let made = (0..count).map(|n| {
        let at: Bson = match n % 16 {
            0 => vec![point(place()), point(place()), point(place())].into(),
            1 => {
                let ((a, b), (c, d)) = (place(), place());
                doc! { "type": "MultiPoint", "coordinates": [[a, b], [c, d]] }.into()
            }
            2 => Bson::Null,
            3 => {
                doc! { "type": "LineString", "coordinates": [[121.4, 31.2], [121.5, 31.3]] }.into()
            }
            4 => point((121.47, 31.23)).into(),
            5 => {
                let (lng, lat) = place();
                vec![lng, lat].into()
            }
            _ => point(place()).into(),
        };
        doc! { "_id": format!("g{n:04}"), "at": at, "n": (n % 5) as i32 }
    });
    made.collect()
}

fn near(place: (f64, f64), min_m: f64, max_m: f64) -> Document {
    let mut near = doc! { "$geometry": point(place), "$minDistance": min_m };
    if max_m.is_finite() {
        near.insert("$maxDistance", max_m);
    }
    doc! { "at": { "$near": near } }
}

impl World {
    async fn with_goods(self, goods: &[Document]) -> Self {
        let world = self.with_collections(&[("goods", Preset::ReadOnly)]).await;
        let server = server();
        for batch in goods.chunks(BATCH) {
            let caller = world.caller(&server);
            world.documents.insert(caller, "goods", batch.to_vec(), None).await.unwrap();
        }
        world
    }

    async fn ids(
        &self,
        query: Document,
        order: Document,
        skip: usize,
        limit: usize,
    ) -> Vec<String> {
        let mut wanted = find(query);
        wanted.order = Order::parse(&order).unwrap();
        (wanted.skip, wanted.limit) = (skip, limit);
        let server = server();
        let found = self.documents.find(self.caller(&server), "goods", wanted).await.unwrap();
        let id = |body: &Body| match body {
            Body::Stored(bson) => {
                Document::from_reader(bson.as_slice()).unwrap().get_str("_id").unwrap().to_owned()
            }
            Body::Shaped(_) => unreachable!("all of each document was asked for"),
        };
        found.documents.iter().map(id).collect()
    }

    async fn explained(&self, query: Document, order: Document, limit: usize) -> Explanation {
        let (server, which) = (server(), Which::parse(&query).unwrap());
        let order = Order::parse(&order).unwrap();
        self.documents.explain(self.caller(&server), "goods", which, &order, limit).await.unwrap()
    }
}

const CENTERS: [(f64, f64); 6] = [
    (121.47, 31.23),
    (180.0, -16.5),
    (-179.9995, -16.5),
    (55.0, 90.0),
    (-30.0, -90.0),
    (0.001, 0.0),
];

/// What is asked with and without an index: a query, an order, skip and limit.
fn questions() -> Vec<(Document, Document, usize, usize)> {
    let mut asked = Vec::new();
    for center in CENTERS {
        for (min_m, max_m) in
            [(0.0, f64::INFINITY), (0.0, 3000.0), (20.0, 100_000.0), (5_000_000.0, f64::INFINITY)]
        {
            for (skip, limit) in [(0, 1000), (0, 7), (5, 10)] {
                asked.push((near(center, min_m, max_m), doc! {}, skip, limit));
            }
            let mut besides = near(center, min_m, max_m);
            besides.insert("n", 3);
            asked.push((besides.clone(), doc! {}, 1, 9));
            asked.push((besides, doc! { "n": 1, "_id": -1 }, 0, 20));
        }
        let (lng, lat) = center;
        let cap = doc! { "$centerSphere": [[lng, lat], 0.002] };
        asked.push((doc! { "at": { "$geoWithin": cap } }, doc! { "n": 1, "_id": 1 }, 0, 1000));
    }
    let square = doc! { "$box": [[121.0, 31.0], [122.0, 32.0]] };
    asked.push((doc! { "at": { "$geoWithin": square } }, doc! { "n": -1, "_id": 1 }, 0, 1000));
    let line = doc! { "type": "LineString", "coordinates": [[121.4, 31.3], [121.5, 31.2]] };
    let touched = doc! { "at": { "$geoIntersects": { "$geometry": line } } };
    asked.push((touched, doc! { "n": 1, "_id": 1 }, 0, 1000));
    asked
}

async fn answers(world: &World) -> Vec<(Vec<String>, u64)> {
    let mut all = Vec::new();
    for (query, order, skip, limit) in questions() {
        let total = world.total(query.clone()).await;
        all.push((world.ids(query, order, skip, limit).await, total));
    }
    all
}

fn assert_same(with: &[(Vec<String>, u64)], without: &[(Vec<String>, u64)]) {
    for ((with, without), question) in with.iter().zip(without).zip(questions()) {
        assert_eq!(with, without, "{question:?}");
    }
    assert!(without.iter().any(|(ids, _)| ids.len() > 100), "the questions mean something");
}

#[test]
fn an_index_changes_no_answer() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_goods(&anywhere(400)).await;
        let without = answers(&world).await;
        let here = || near(CENTERS[0], 0.0, f64::INFINITY);
        let wanted = world.explained(here(), doc! {}, 3).await.wanted_index;
        assert_eq!(wanted, ["at:2dsphere"]);
        assert_eq!(world.explained(here(), doc! { "n": 1 }, 3).await.wanted_index, ["n"]);
        world.index(doc! { "at": "2dsphere" }, false).await.unwrap();
        expect![[r#"
            at_2dsphere unique false Ready 400/400 -
        "#]]
        .assert_eq(&world.finish().await);
        assert_same(&answers(&world).await, &without);
        // Each way through it, by name.
        let area = doc! { "at": { "$geoWithin": { "$centerSphere": [[121.47, 31.23], 0.00001] } } };
        for (query, order, expected) in [
            (near(CENTERS[0], 0.0, f64::INFINITY), doc! {}, "index at_2dsphere true"),
            (near(CENTERS[0], 0.0, 100.0), doc! { "n": 1 }, "index at_2dsphere false"),
            (near(CENTERS[0], 0.0, f64::INFINITY), doc! { "n": 1 }, "scan  false"),
            (area, doc! {}, "index at_2dsphere true"),
        ] {
            let described = world.explained(query, order, 3).await;
            let index = described.index.unwrap_or_default();
            assert_eq!(format!("{} {index} {}", described.access, described.ordered), expected);
        }
    });
}

#[test]
fn writers_keep_it_up() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_goods(&anywhere(200)).await;
        world.index(doc! { "at": "2dsphere" }, false).await.unwrap();
        world.finish().await;
        let server = server();
        let here = point((121.4700001, 31.23));
        let moved = change(doc! { "n": 2 }, doc! { "$set": { "at": here } });
        world.update(&server, "goods", moved).await;
        let gone = Which::parse(&doc! { "n": 4 }).unwrap();
        world.documents.remove(world.caller(&server), "goods", gone, true, None).await.unwrap();
        let left = change(doc! { "n": 1 }, doc! { "$unset": { "at": 1 } });
        world.update(&server, "goods", left).await;
        let with = answers(&world).await;
        world.documents.drop_index(world.caller(&server), "goods", "at_2dsphere").await.unwrap();
        assert_eq!(world.finish().await, "");
        assert_same(&with, &answers(&world).await);
    });
}

#[test]
fn what_is_no_place_is_refused_by_the_index() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_goods(&[]).await;
        let server = server();
        world.index(doc! { "at": "2dsphere" }, false).await.unwrap();
        world.finish().await;
        let mut lines =
            vec![described(world.index(doc! { "b": "2dsphere" }, true).await.map(|()| "made"))];
        for at in [Bson::from("here"), vec![200.0, 0.0].into(), vec![20.0, 0.0].into()] {
            let added = world.add(&server, "goods", doc! { "_id": "a", "at": at }).await;
            lines.push(added.map_or_else(|error| error.to_string(), |id| id.to_string()));
        }
        // An index over what is none already says so.
        world.add(&server, "goods", doc! { "_id": "b", "b": 5 }).await.unwrap();
        world.index(doc! { "b": "2dsphere" }, false).await.unwrap();
        lines.push(world.finish().await);
        expect![[r#"
            InvalidParameter
            index at_2dsphere: needs a pair of longitude and latitude, at field at
            index at_2dsphere: longitude must be from -180 to 180, at field at
            "a"
            at_2dsphere unique false Ready 0/0 -
            b_2dsphere unique false Failed 0/2 index b_2dsphere: needs a pair of longitude and latitude, at field b
        "#]].assert_eq(&lines.join("\n"));
    });
}

#[test]
fn the_nearest_of_many_cost_little() {
    on_every_engine(&Config::default(), async |world| {
        let mut numbers = Numbers(3);
        let goods = (0..5000).map(|n| {
            let at = (121.0 + numbers.share(), 31.0 + numbers.share());
            doc! { "_id": format!("g{n:04}"), "at": point(at) }
        });
        let world = world.with_goods(&goods.collect::<Vec<_>>()).await;
        world.index(doc! { "at": "2dsphere" }, false).await.unwrap();
        world.finish().await;
        let described = world.explained(near((121.5, 31.5), 0.0, f64::INFINITY), doc! {}, 20).await;
        let entries = described.entries_examined.unwrap();
        assert!((20..1000).contains(&entries), "{entries} entries");
        assert!((20..30).contains(&described.documents_examined), "{described:?}");
        assert_eq!(described.documents_matched, 20);
    });
}

#[test]
fn what_is_beside_a_point_in_the_index_may_be_far_from_it() {
    // West of 90 degrees there are only places far away, which stand beside the point in the index; east of it are
    // many.
    let far = |n: i32| if n % 2 == 0 { (60.0, 60.0) } else { (10.0, 10.0) };
    let many = (0..1500).map(|n| {
        let at = if n < 100 { far(n) } else { (90.0 + f64::from(n) / 10_000.0, 31.0) };
        doc! { "_id": format!("g{n:04}"), "at": point(at) }
    });
    let many: Vec<Document> = many.collect();
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_goods(&many).await;
        world.index(doc! { "at": "2dsphere" }, false).await.unwrap();
        world.finish().await;
        let query = |min_m| near((89.99, 31.0), min_m, f64::INFINITY);
        let found = world.ids(query(0.0), doc! {}, 0, 3).await;
        assert_eq!(found, ["g0100", "g0101", "g0102"]);
        assert_eq!(world.ids(query(10_000.0), doc! {}, 0, 2).await, ["g0949", "g0950"]);
        assert_eq!(world.ids(query(0.0), doc! {}, 1399, 2).await, ["g1499", "g0000"]);
        let described = world.explained(query(0.0), doc! {}, 3).await;
        let entries = described.entries_examined.unwrap_or_default();
        // Three first rings that were too large, and one that was not.
        assert!((2000..6000).contains(&entries), "{entries} entries");
    });
}

#[test]
fn many_at_one_place_are_read_once_though_rings_shrink() {
    // Beside the point in the index are places far away; over the antimeridian, near it, stand very many at one place.
    let many: Vec<Document> = (0..4000)
        .map(|n| {
            let at = match n {
                0..20 => (179.9998, 31.0),
                20..100 => (100.0 + f64::from(n) / 100.0, 31.0),
                _ => (-179.9995, 31.0),
            };
            doc! { "_id": format!("g{n:04}"), "at": point(at) }
        })
        .collect();
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_goods(&many).await;
        world.index(doc! { "at": "2dsphere" }, false).await.unwrap();
        world.finish().await;
        let described =
            world.explained(near((179.9999, 31.0), 0.0, f64::INFINITY), doc! {}, 20).await;
        let entries = described.entries_examined.unwrap();
        assert!(entries < 12_000, "{entries} entries");
        assert_eq!(described.documents_matched, 20);
    });
}

#[test]
fn geo_near_reads_as_much_as_its_limit_needs() {
    // A scan of these documents would be too long.
    let config = Config { aggregate_documents_max: 1000, ..Config::default() };
    on_every_engine(&config, async |world| {
        let goods = (0..1500).map(|n| {
            doc! { "_id": format!("g{n:04}"), "at": point((121.0 + f64::from(n) / 1000.0, 31.0)) }
        });
        let world = world.with_goods(&goods.collect::<Vec<_>>()).await;
        let server = server();
        let ask = async |more: Document, behind: Vec<Document>| {
            let near = point((121.5, 31.0));
            let mut stage = doc! { "near": near, "distanceField": "m", "spherical": true };
            stage.extend(more);
            let mut stages = vec![doc! { "$geoNear": stage }];
            stages.extend(behind);
            let found = world.documents.aggregate(world.caller(&server), "goods", &stages).await;
            let ids = |found: Vec<Document>| {
                found
                    .iter()
                    .map(|found| found.get_str("_id").unwrap().to_owned())
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            described(found.map(|found| ids(found.into_iter().collect())))
        };
        let key = doc! { "key": "at", "limit": 3 };
        let mut lines = vec![ask(key.clone(), vec![]).await];
        world.index(doc! { "at": "2dsphere" }, false).await.unwrap();
        world.finish().await;
        lines.push(ask(key, vec![]).await);
        lines.push(ask(doc! { "limit": 2, "minDistance": 250 }, vec![]).await);
        lines.push(ask(doc! { "maxDistance": 250 }, vec![]).await);
        lines.push(ask(doc! {}, vec![doc! { "$skip": 1 }, doc! { "$limit": 2 }]).await);
        let sorted = vec![doc! { "$sort": { "m": -1 } }, doc! { "$limit": 2 }];
        lines.push(ask(doc! {}, sorted).await);
        expect![[r#"
            TooLarge
            g0500 g0499 g0501
            g0503 g0497
            g0500 g0499 g0501 g0502 g0498
            g0499 g0501
            TooLarge"#]]
        .assert_eq(&lines.join("\n"));
    });
}
