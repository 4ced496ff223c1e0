//! The change log: what it says, in which order, how far back, and who hears of it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bson::{Bson, Document, doc};
use expect_test::expect;
use yunzhan_base::Kind;

use super::{change, find};
use crate::documents::logic::id::id_key;
use crate::documents::logic::position::group_of;
use crate::documents::testing::{World, on_every_engine, server, server_with};
use crate::documents::{
    Caller, Change, ChangeKind, Config, Documents, Find, Import, LoggedChange, Position, Preset,
    Which,
};

impl World {
    async fn log(&self, since: &Position) -> Vec<LoggedChange> {
        self.documents.changes(&self.env, since, usize::MAX).await.unwrap().changes
    }

    async fn position(&self) -> Position {
        self.documents.position(&self.env).await.unwrap()
    }
}

async fn notes(world: World) -> World {
    world.with_collections(&[("notes", Preset::Private)]).await
}

fn described(changes: &[LoggedChange]) -> String {
    let mut text = String::new();
    for change in changes {
        let before = change.before_image.as_ref();
        let before = before.map(|body| Document::from_reader(body.as_slice()).unwrap().to_string());
        let key = hex::encode(&change.key);
        let before = before.unwrap_or_default();
        writeln!(text, "{:?} {key} of {} {before}", change.kind, change.collection).unwrap();
    }
    text
}

#[test]
fn every_write_is_logged_with_what_was_there_before() {
    on_every_engine(&Config::default(), async |world| {
        let world = notes(world).await;
        let (server, begin) = (server(), world.position().await);
        let caller = world.caller(&server);
        world.add(&server, "notes", doc! { "_id": "a", "n": 1 }).await.unwrap();
        world
            .update(&server, "notes", change(doc! { "_id": "a" }, doc! { "$set": { "n": 2 } }))
            .await;
        // What changes nothing is no change.
        world
            .update(&server, "notes", change(doc! { "_id": "a" }, doc! { "$set": { "n": 2 } }))
            .await;
        let which = || Which::parse(&doc! { "_id": "a" }).unwrap();
        world.documents.remove(caller, "notes", which(), false, None).await.unwrap();
        world.documents.remove(caller, "notes", which(), false, None).await.unwrap();
        let upsert =
            Change { upsert: true, ..change(doc! { "_id": "a" }, doc! { "$set": { "n": 3 } }) };
        world.update(&server, "notes", upsert).await;
        let id = world.documents.start_transaction(caller).unwrap();
        let to = change(doc! { "_id": "a" }, doc! { "$set": { "n": 4 } });
        world.documents.update_in(caller, &id, "notes", to).await.unwrap();
        world.documents.commit_transaction(caller, &id).await.unwrap();
        expect![[r#"
            Insert 0120610000 of 1 
            Update 0120610000 of 1 { "_id": "a", "n": 1 }
            Remove 0120610000 of 1 { "_id": "a", "n": 2 }
            Insert 0120610000 of 1 
            Update 0120610000 of 1 { "_id": "a", "n": 3 }
        "#]]
        .assert_eq(&described(&world.log(&begin).await));
        // An unordered page of one change, and on from there.
        let mut position = begin;
        let mut read = Vec::new();
        loop {
            let page = world.documents.changes(&world.env, &position, 1).await.unwrap();
            position = Position::from_token(&page.position.token()).unwrap();
            match page.changes.is_empty() {
                true => break,
                false => read.push(page.changes.len()),
            }
        }
        assert_eq!(read, [1; 5]);
        assert_eq!(position, world.position().await);
    });
}

#[test]
fn what_is_refused_or_fails_leaves_no_gap() {
    on_every_engine(&Config::default(), async |world| {
        let world = notes(world).await;
        let (server, begin) = (server(), world.position().await);
        for _ in 0..3 {
            let _ = world.add(&server, "notes", doc! { "_id": "a" }).await;
        }
        let two = vec![doc! { "_id": "b" }, doc! { "_id": "a" }];
        let caller = world.caller(&server);
        world.documents.insert(caller, "notes", two, None).await.unwrap_err();
        assert_eq!(world.log(&begin).await.len(), 1);
        assert_eq!(begin.behind(&world.position().await).count(), 1);
    });
}

/// A large before-image does not travel with its page.
#[test]
fn a_large_document_is_logged_whole() {
    on_every_engine(&Config::default(), async |world| {
        let world = notes(world).await;
        let server = server();
        let text = "x".repeat(1 << 20);
        world.add(&server, "notes", doc! { "_id": "a", "text": &text }).await.unwrap();
        let begin = world.position().await;
        world.update(&server, "notes", change(doc! {}, doc! { "$unset": { "text": 1 } })).await;
        let [logged] = &world.log(&begin).await[..] else { panic!("one change") };
        let before = Document::from_reader(logged.before_image.as_deref().unwrap()).unwrap();
        assert_eq!(before.get_str("text").unwrap(), text);
    });
}

/// Two servers whose writers insert, change and remove the same documents, while a follower reads: what it has gathered from
/// the log is, at every position, what somebody could have seen, and at the end what is there.
#[test]
fn a_follower_sees_every_change_once_and_in_order() {
    on_every_engine(&Config::default(), async |world| {
        let world = Arc::new(notes(world).await);
        let other = Arc::new(world.other_server());
        let begin = world.position().await;
        let mut writers = Vec::new();
        for hand in 0..6_i32 {
            let (world, other) = (Arc::clone(&world), Arc::clone(&other));
            writers.push(tokio::spawn(async move {
                let principal = server_with(&format!("k{hand}"));
                let caller = Caller { env: &world.env, principal: &principal };
                let documents = if hand % 2 == 0 { &world.documents } else { &other };
                for turn in 0..30 {
                    write_something(documents, caller, hand * 31 + turn * 7).await;
                }
            }));
        }
        let mut follower = Follower::at(begin);
        while writers.iter().any(|writer| !writer.is_finished()) {
            follower.read(&world).await;
        }
        for writer in writers {
            writer.await.unwrap();
        }
        while follower.read(&world).await > 0 {}
        let server = server();
        let everything = find(doc! {});
        let there = world.documents.find(
            world.caller(&server),
            "notes",
            Find { limit: 1000, ..everything },
        );
        assert_eq!(there.await.unwrap().documents.len(), follower.versions.len());
    });
}

async fn write_something(documents: &Documents, caller: Caller<'_>, seed: i32) {
    let id = format!("d{}", seed % 12);
    let done = match seed % 3 {
        0 => {
            let documents =
                documents.insert(caller, "notes", vec![doc! { "_id": &id }], None).await;
            documents.map(drop)
        }
        1 => {
            let to = Change {
                multi: seed % 2 == 0,
                ..change(doc! { "_id": &id }, doc! { "$inc": { "n": 1 } })
            };
            documents.update(caller, "notes", to, None).await.map(drop)
        }
        _ => {
            let which = Which::parse(&doc! { "_id": &id }).unwrap();
            documents.remove(caller, "notes", which, false, None).await.map(drop)
        }
    };
    assert!(done.is_ok_and(|()| true) || seed % 3 == 0, "only an id may be taken");
}

/// What somebody knows who only reads the log.
struct Follower {
    position: Position,
    /// The version of each document that is there.
    versions: BTreeMap<Vec<u8>, i64>,
    /// The place of the last change in each group.
    last: BTreeMap<usize, (i64, i64)>,
}

impl Follower {
    fn at(position: Position) -> Self {
        Self { position, versions: BTreeMap::new(), last: BTreeMap::new() }
    }

    async fn read(&mut self, world: &World) -> usize {
        let page = world.documents.changes(&world.env, &self.position, 5).await.unwrap();
        for change in &page.changes {
            let (group, sequence, ordinal) = change.place;
            let last = self.last.insert(group, (sequence, ordinal)).unwrap_or((0, -1));
            let follows = if sequence == last.0 { ordinal == last.1 + 1 } else { ordinal == 0 };
            // The counters of this test begin at 0, and every number of theirs is a change.
            let is_next = sequence == last.0 || sequence == last.0 + 1;
            assert!(follows && is_next, "{:?} after {last:?}", change.place);
            let known = self.versions.remove(&change.key).unwrap_or(0);
            assert_eq!(change.previous, known, "{:?}", change.place);
            if change.kind != ChangeKind::Remove {
                self.versions.insert(change.key.clone(), sequence);
            }
        }
        self.position = page.position;
        page.changes.len()
    }
}

#[test]
fn old_changes_go_and_who_comes_too_late_hears_it() {
    let config = Config { change_log_age: Duration::from_secs(600), ..Config::default() };
    on_every_engine(&config, async |world| {
        let world = notes(world).await;
        let (server, begin) = (server(), world.position().await);
        for n in 0..1200 {
            world.add(&server, "notes", doc! { "_id": "a" }).await.ok();
            world
                .update(&server, "notes", change(doc! { "_id": "a" }, doc! { "$set": { "n": n } }))
                .await;
        }
        world.wait(Duration::from_secs(300));
        let middle = world.position().await;
        world.add(&server, "notes", doc! { "_id": "b" }).await.unwrap();
        world.documents.trim_changes().await.unwrap();
        assert_eq!(world.log(&begin).await.len(), 1202, "nothing is old yet");
        world.wait(Duration::from_secs(400));
        world.documents.trim_changes().await.unwrap();
        let late = world.documents.changes(&world.env, &begin, 10).await.unwrap_err();
        expect!["NotFound: the change log no longer goes back so far; read the documents again, and go on from there"]
            .assert_eq(&format!("{:?}: {late}", late.kind()));
        assert_eq!(world.log(&middle).await.len(), 1);
        world.wait(Duration::from_secs(400));
        world.documents.trim_changes().await.unwrap();
        assert_eq!(world.log(&world.position().await).await.len(), 0);
        assert_eq!(world.documents.store.log_state(&world.env).await.unwrap().bytes, 0);
    });
}

#[test]
fn a_log_that_is_too_large_loses_what_is_older_than_any_transaction() {
    let config = Config { change_log_bytes_max: 100_000, ..Config::default() };
    on_every_engine(&config, async |world| {
        let world = notes(world).await;
        let (server, begin) = (server(), world.position().await);
        let text = "x".repeat(10_000);
        world.add(&server, "notes", doc! { "_id": "a", "text": &text }).await.unwrap();
        for n in 0..20 {
            world.update(&server, "notes", change(doc! {}, doc! { "$set": { "n": n } })).await;
            world.wait(Duration::from_secs(5));
        }
        world.documents.trim_changes().await.unwrap();
        // A hundred seconds of changes; the last sixty stay, whatever they take.
        let late = world.documents.changes(&world.env, &begin, 10).await.unwrap_err();
        assert_eq!(late.kind(), Kind::NotFound);
        let bytes = world.documents.store.log_state(&world.env).await.unwrap().bytes;
        assert!((100_000..140_000).contains(&bytes), "{bytes}");
        for n in 0..60 {
            world.update(&server, "notes", change(doc! {}, doc! { "$set": { "n": -n } })).await;
        }
        // Several times its bound: what a transaction may ask for goes, too.
        world.wait(Duration::from_secs(1));
        world.documents.trim_changes().await.unwrap();
        let bytes = world.documents.store.log_state(&world.env).await.unwrap().bytes;
        assert!(bytes <= 400_000, "{bytes}");
    });
}

#[test]
fn who_waits_hears_of_a_write_at_once_and_of_another_server_s_soon() {
    on_every_engine(&Config::default(), async |world| {
        let world = Arc::new(notes(world).await);
        let begin = world.position().await;
        let deadline = || Instant::now() + Duration::from_secs(20);
        let waiting = tokio::spawn({
            let (world, begin) = (Arc::clone(&world), begin.clone());
            async move { world.documents.wait_for_changes(&world.env, &begin, deadline()).await }
        });
        world.add(&server(), "notes", doc! { "_id": "a" }).await.unwrap();
        let heard = waiting.await.unwrap().unwrap();
        assert!(begin.behind(&heard).count() == 1);
        let other = world.other_server();
        let principal = server();
        let caller = Caller { env: &world.env, principal: &principal };
        other.insert(caller, "notes", vec![doc! { "_id": "b" }], None).await.unwrap();
        let later = world.documents.wait_for_changes(&world.env, &heard, deadline()).await.unwrap();
        assert!(heard.behind(&later).count() == 1);
        // Nothing comes: the wait has an end.
        let now = Instant::now();
        let same = world.documents.wait_for_changes(&world.env, &later, now).await.unwrap();
        assert_eq!(same, later);
    });
}

#[test]
fn a_load_is_one_range_of_versions() {
    on_every_engine(&Config::default(), async |world| {
        let world = notes(world).await;
        let begin = world.position().await;
        let lines: String = (0..300).map(|n| format!("{{\"_id\":\"{n}\"}}\n")).collect();
        let import = Import { name: "i", from_bytes: 0, keeps_existing: false };
        let server = server();
        let body = bytes::Bytes::from(lines).into();
        world.documents.import(world.caller(&server), "notes", import, body).await.unwrap();
        let log = world.log(&begin).await;
        assert!(log.len() <= 64 && log.iter().all(|change| change.kind == ChangeKind::Load));
        // Every document is in one of the ranges.
        let table = world
            .documents
            .table(&world.env, world.documents.collection(&world.env, "notes").await.unwrap());
        let places: Vec<_> = log.iter().map(|change| (change.place.0, change.place.1)).collect();
        for n in 0..300 {
            let key = id_key(&Bson::String(n.to_string())).unwrap();
            let stored = table.document_anywhere(&key).await.unwrap().unwrap();
            let group = group_of(&key);
            assert!(places.contains(&(group, stored.version)));
        }
        // A transaction that began before sees none of them.
        let caller = world.caller(&server);
        let id = world.documents.start_transaction(caller).unwrap();
        assert_eq!(
            world.documents.count_in(caller, &id, "notes", Which::every()).await.unwrap(),
            300
        );
        let import = Import { name: "j", ..import };
        let body = bytes::Bytes::from_static(b"{\"_id\":\"more\"}\n").into();
        world.documents.import(caller, "notes", import, body).await.unwrap();
        assert_eq!(
            world.documents.count_in(caller, &id, "notes", Which::every()).await.unwrap(),
            300
        );
        let one = Which::parse(&doc! { "_id": "more" }).unwrap();
        assert_eq!(world.documents.count_in(caller, &id, "notes", one).await.unwrap(), 0);
    });
}

/// One call's documents lie in one slot, so its write batch has more rows of one sequence than trimming reads at once.
#[test]
fn a_large_batch_goes_as_a_whole_and_with_all_its_bytes() {
    let config = Config { change_log_age: Duration::from_secs(600), ..Config::default() };
    on_every_engine(&config, async |world| {
        let world = notes(world).await;
        let (server, begin) = (server(), world.position().await);
        let many = (0..1200).map(|n| doc! { "n": n }).collect();
        world.documents.insert(world.caller(&server), "notes", many, None).await.unwrap();
        world.wait(Duration::from_secs(700));
        world.add(&server, "notes", doc! { "_id": "a" }).await.unwrap();
        assert_eq!(world.log(&begin).await.len(), 1201);
        // A second server that trims at the same time takes nothing away twice.
        let other = world.other_server();
        other.store.signals.note(&world.env);
        let (one, two) = tokio::join!(world.documents.trim_changes(), other.trim_changes());
        one.and(two).unwrap();
        let state = world.documents.store.log_state(&world.env).await.unwrap();
        assert!((64..200).contains(&state.bytes), "{}", state.bytes);
    });
}

#[test]
fn a_position_that_the_log_never_reached_is_refused() {
    on_every_engine(&Config::default(), async |world| {
        let world = notes(world).await;
        let mut ahead = world.position().await;
        ahead.set(7, 1);
        let refused = world.documents.changes(&world.env, &ahead, 10).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::NotFound);
    });
}

/// More before-images than a page may hold, and more than one answer.
#[test]
fn large_changes_come_in_several_pages() {
    on_every_engine(&Config::default(), async |world| {
        let world = notes(world).await;
        let (server, begin) = (server(), world.position().await);
        let text = "x".repeat(3 << 20);
        for n in 0..9 {
            world.add(&server, "notes", doc! { "_id": n, "text": &text }).await.unwrap();
        }
        let caller = world.caller(&server);
        let id = world.documents.start_transaction(caller).unwrap();
        let small = doc! { "text": { "$exists": false } };
        let small = || Which::parse(&small).unwrap();
        assert_eq!(world.documents.count_in(caller, &id, "notes", small()).await.unwrap(), 0);
        let shorten = Change { multi: true, ..change(doc! {}, doc! { "$unset": { "text": 1 } }) };
        world.update(&server, "notes", shorten).await;
        assert_eq!(world.documents.count_in(caller, &id, "notes", small()).await.unwrap(), 0);
        let (mut position, mut read) = (begin, Vec::new());
        while position != world.position().await {
            let page = world.documents.changes(&world.env, &position, usize::MAX).await.unwrap();
            position = page.position;
            read.push(page.changes.len());
        }
        assert!(read.len() > 1 && read.iter().sum::<usize>() == 18, "{read:?}");
    });
}
