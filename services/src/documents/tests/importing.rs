//! Imports go on where they were cut off, and add nothing twice.

use bson::doc;
use expect_test::expect;
use yunzhan_base::body::BodyError;
use yunzhan_base::{Body, Error, Kind};

use crate::documents::testing::World;
use crate::documents::testing::{on_every_engine, on_sqlite, server, user};
use crate::documents::{Config, Documents, Import, Imported, Keys, NewIndex, Preset};

const FROM_BEGINNING: Import<'static> =
    Import { name: "orders", from_bytes: 0, keeps_existing: false };

/// A body that comes in these pieces, and may break off.
struct Arriving(std::vec::IntoIter<Result<&'static [u8], ()>>);

impl http_body::Body for Arriving {
    type Data = bytes::Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, BodyError>>> {
        std::task::Poll::Ready(self.0.next().map(|piece| match piece {
            Ok(bytes) => Ok(http_body::Frame::data(bytes::Bytes::from_static(bytes))),
            Err(()) => {
                Err(Error::new(Kind::Malformed, "the body ended before its declared length").into())
            }
        }))
    }
}

fn arriving(pieces: Vec<Result<&'static [u8], ()>>) -> Body {
    Body::streaming(Arriving(pieces.into_iter()))
}

async fn import(world: &World, import: Import<'_>, body: Body) -> String {
    let server = server();
    let imported = world.documents.import(world.caller(&server), "orders", import, body).await;
    match imported {
        Ok(Imported { bytes, documents, kept, is_done, .. }) => {
            format!("{documents} documents, {kept} kept, {bytes} bytes, done {is_done}")
        }
        Err(error) => format!("{:?}: {error}", error.kind()),
    }
}

async fn with_orders(world: World) -> World {
    world.with_collections(&[("orders", Preset::Private)]).await
}

#[test]
fn lines_become_documents_however_they_arrive() {
    on_every_engine(&Config::default(), async |world| {
        let world = with_orders(world).await;
        let body = arriving(vec![
            Ok(b"\xef\xbb\xbf{\"_id\":1,\"_openid\":\"anna\"}\r\n{\"n\":"),
            Ok(b""),
            Ok(b"2}\n\n   \n{\"_id\":\"\xe8\x8c"),
            Ok(b"\xb6\",\"at\":{\"$date\":\"2026-01-01T00:00:00Z\"}}"),
        ]);
        expect!["3 documents, 0 kept, 95 bytes, done true"]
            .assert_eq(&import(&world, FROM_BEGINNING, body).await);
        assert_eq!(world.count("orders").await, 3);
        // Anna's is hers.
        let (anna, found) = (user("anna"), super::find(doc! {}));
        let found = world.documents.find(world.caller(&anna), "orders", found).await.unwrap();
        assert_eq!(found.documents.len(), 1);
        expect!["AlreadyExists: this import is done; give it another name to do it once more"]
            .assert_eq(&import(&world, FROM_BEGINNING, "{}".into()).await);
    });
}

#[test]
fn a_line_that_is_no_document_is_named_and_all_before_its_piece_stays() {
    on_every_engine(&Config::default(), async |world| {
        let world = with_orders(world).await;
        expect!["Malformed: line 3: expected a value, at byte 5"]
            .assert_eq(&import(&world, FROM_BEGINNING, "{}\n\n{\"a\":}\n{}".into()).await);
        let other = |name| Import { name, ..FROM_BEGINNING };
        expect!["Malformed: line 2: expected an object"]
            .assert_eq(&import(&world, other("b"), "{}\n[1]".into()).await);
        expect!["InvalidParameter: line 1: an _id is a string, a number or an ObjectId"]
            .assert_eq(&import(&world, other("c"), "{\"_id\":{}}".into()).await);
        expect![
            "InvalidParameter: the name of an import has 1 to 64 of A-Z, a-z, 0-9, '_' and '-'"
        ]
        .assert_eq(&import(&world, other("not a name"), "{}".into()).await);
        let anna = user("anna");
        let refused =
            world.documents.import(world.caller(&anna), "orders", FROM_BEGINNING, "{}".into());
        assert_eq!(refused.await.unwrap_err().kind(), Kind::PermissionDenied);
        assert_eq!(world.count("orders").await, 0);
    });
}

#[test]
fn documents_that_are_there_end_an_import_or_stay() {
    on_every_engine(&Config::default(), async |world| {
        let world = with_orders(world).await;
        let server = server();
        world.add(&server, "orders", doc! { "_id": 2, "old": true }).await.unwrap();
        let lines = "{\"_id\":1}\n{\"_id\":2}\n{\"_id\":3}\n{\"_id\":3}\n";
        expect!["AlreadyExists: line 2: a document with this _id exists already"]
            .assert_eq(&import(&world, FROM_BEGINNING, lines.into()).await);
        assert_eq!(world.count("orders").await, 1);
        let keeping = Import { keeps_existing: true, ..FROM_BEGINNING };
        expect!["4 documents, 2 kept, 40 bytes, done true"]
            .assert_eq(&import(&world, keeping, lines.into()).await);
        assert_eq!(world.count("orders").await, 3);
        let old = world.documents.find(
            world.caller(&server),
            "orders",
            super::find(doc! { "old": true }),
        );
        assert_eq!(old.await.unwrap().documents.len(), 1);
        // A value that may stand once is no id: nothing stays silently away.
        let unique =
            NewIndex { name: None, keys: Keys::parse(&doc! { "no": 1 }).unwrap(), unique: true };
        world.documents.create_index(world.caller(&server), "orders", unique).await.unwrap();
        let twice = Import { name: "twice", keeps_existing: true, from_bytes: 0 };
        expect!["AlreadyExists: line 2: duplicate value for unique index no_1"]
            .assert_eq(&import(&world, twice, "{\"no\":1}\n{\"no\":1}\n".into()).await);
    });
}

/// Lines of some 100 bytes: two and a half pieces of an import.
fn many_lines() -> String {
    (0..25_000).map(|n| format!("{{\"n\":{n},\"note\":\"{:80}\"}}\n", n)).collect()
}

#[test]
fn an_import_that_breaks_off_goes_on_from_there() {
    on_sqlite(&Config::default(), async |world| {
        let world = with_orders(world).await;
        let text: &'static str = Box::leak(many_lines().into_boxed_str());
        let (mut from_bytes, mut rounds) = (0, 0);
        loop {
            let rest = &text.as_bytes()[usize::try_from(from_bytes).unwrap()..];
            let broken = rest.len().min(900_000);
            let is_last = broken == rest.len();
            let mut pieces: Vec<_> = rest[..broken].chunks(10_007).map(Ok).collect();
            if !is_last {
                pieces.push(Err(()));
            }
            let going = Import { from_bytes, ..FROM_BEGINNING };
            let outcome = import(&world, going, arriving(pieces)).await;
            let so_far = world.documents.imported(&world.env, "orders", "orders").await;
            let so_far = so_far.unwrap().unwrap();
            assert_eq!(so_far.documents, world.count("orders").await, "after {rounds} rounds");
            if is_last {
                assert_eq!(
                    outcome,
                    format!("25000 documents, 0 kept, {} bytes, done true", text.len())
                );
                break;
            }
            assert_eq!(outcome, "Malformed: the body ended before its declared length");
            assert!(so_far.bytes > from_bytes, "each round comes further");
            assert_eq!(so_far.lines, so_far.documents);
            // Whoever begins elsewhere is told where.
            let elsewhere = Import { from_bytes: so_far.bytes + 1, ..FROM_BEGINNING };
            expect!["Conflict"]
                .assert_eq(import(&world, elsewhere, "".into()).await.split(':').next().unwrap());
            (from_bytes, rounds) = (so_far.bytes, rounds + 1);
        }
        assert!(rounds > 1);
    });
}

#[test]
fn an_index_made_meanwhile_holds_every_document() {
    on_sqlite(&Config::default(), async |world| {
        let world = with_orders(world).await;
        let server = server();
        let make = async {
            let keys = Keys::parse(&doc! { "n": 1 }).unwrap();
            let new = NewIndex { name: Some("by_n".into()), keys, unique: false };
            world.documents.create_index(world.caller(&server), "orders", new).await.unwrap();
            for _ in 0..20 {
                world.documents.work_on_indexes().await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let importing = import(&world, FROM_BEGINNING, many_lines().into());
        let (outcome, ()) = tokio::join!(importing, make);
        assert!(outcome.starts_with("25000 documents"), "{outcome}");
        finish_indexes(&world.documents).await;
        let indexes = world.documents.indexes(&world.env, "orders").await.unwrap();
        let index = indexes.iter().find(|index| index.name == "by_n").unwrap();
        assert_eq!(world.entries(index).await[0].0.len(), 25_000);
    });
}

async fn finish_indexes(documents: &Documents) {
    for _ in 0..100 {
        documents.work_on_indexes().await.unwrap();
    }
}

#[test]
fn two_who_go_on_with_the_same_import_add_nothing_twice() {
    on_every_engine(&Config::default(), async |world| {
        let world = with_orders(world).await;
        let other = world.other_server();
        let (server, text) = (server(), many_lines());
        let caller = world.caller(&server);
        let both = tokio::join!(
            world.documents.import(caller, "orders", FROM_BEGINNING, text.clone().into()),
            other.import(caller, "orders", FROM_BEGINNING, text.into()),
        );
        let done = [both.0, both.1].into_iter().filter(Result::is_ok).count();
        assert!(done <= 1);
        let so_far = world.documents.imported(&world.env, "orders", "orders").await;
        assert_eq!(so_far.unwrap().unwrap().documents, world.count("orders").await);
    });
}
