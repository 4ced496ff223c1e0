//! Calls under an idempotency key happen once, whatever goes wrong in between.

use std::fmt::Write;

use bson::{Document, doc};
use expect_test::expect;
use yunzhan_base::fault::{Effect, Faults, Plan, Point, Rule};
use yunzhan_base::{Clock, Kind, Principal, Result};

use super::change;
use crate::documents::testing::{NOW_MS, World, on_every_engine, server, user};
use crate::documents::{Change, Changed, Config, Documents, Idempotency, Preset, Which};

fn idempotent(key: &str) -> Idempotency<'_> {
    Idempotency { key, request: b"the same".into(), keeps_document: true }
}

fn first(query: Document, update: Document) -> Change {
    Change { multi: false, ..change(query, update) }
}

fn shown(changed: Result<Changed>) -> String {
    match changed {
        Err(error) => format!("{:?}: {error}", error.kind()),
        Ok(Changed { matched, updated, upserted, document }) => {
            let upserted = upserted.map_or("-".to_owned(), |id| id.to_string());
            let document = document.map_or("-".to_owned(), |document| document.to_string());
            format!("matched {matched} updated {updated} upserted {upserted} document {document}")
        }
    }
}

/// Every kind of call that takes a key, by a letter.
const CALLS: [char; 4] = ['i', 'u', 's', 'r'];

/// Inserts, updates, upserts or removes a document under a key.
async fn call(
    world: &World,
    documents: &Documents,
    principal: &Principal,
    kind: char,
    key: &str,
) -> Result<String> {
    let (caller, key) = (world.caller(principal), Some(idempotent(key)));
    let bump_version = |query| first(query, doc! { "$inc": { "n": 1 } });
    Ok(match kind {
        'i' => {
            let ids = documents.insert(caller, "notes", vec![doc! { "n": 1 }], key).await?;
            ids[0].to_string()
        }
        'u' => shown(Ok(documents
            .update(caller, "notes", bump_version(doc! { "_id": "a" }), key)
            .await?)),
        's' => {
            let upsert = Change { upsert: true, ..bump_version(doc! { "new": true }) };
            shown(Ok(documents.update(caller, "notes", upsert, key).await?))
        }
        _ => {
            let which = Which::One("b".into());
            documents.remove(caller, "notes", which, false, key).await?.to_string()
        }
    })
}

async fn with_two_notes(world: World) -> World {
    let world = world.with_collections(&[("notes", Preset::Private)]).await;
    for id in ["a", "b"] {
        world.add(&user("anna"), "notes", doc! { "_id": id, "n": 1 }).await.unwrap();
    }
    world
}

/// How many there are, and what they count together.
async fn sum(world: &World) -> String {
    let text = world.list(&server(), "notes", super::find(doc! {})).await;
    let number = |line: &str| line.split_once(r#""n":"#)?.1.split([',', '}']).next()?.parse().ok();
    let numbers: Vec<i64> = text.lines().filter_map(number).collect();
    format!("{} notes, {} in all", numbers.len(), numbers.iter().sum::<i64>())
}

#[test]
fn a_repetition_answers_as_the_first_call_did() {
    on_every_engine(&Config::default(), async |world| {
        let (world, anna) = (with_two_notes(world).await, user("anna"));
        for kind in CALLS {
            let key = format!("key-{kind}");
            let ask = || call(&world, &world.documents, &anna, kind, &key);
            let described = ask().await.unwrap();
            // What happens in between is no part of the answer.
            world.update(&anna, "notes", change(doc! {}, doc! { "$set": { "new": false } })).await;
            assert_eq!(ask().await.unwrap(), described, "{kind}");
            assert_eq!(
                call(&world, &world.other_server(), &anna, kind, &key).await.unwrap(),
                described
            );
        }
        // What was raised, what was inserted, and what was upserted.
        assert_eq!(sum(&world).await, "3 notes, 4 in all");
    });
}

#[test]
fn what_came_to_nothing_stays_so_and_what_is_large_is_not_kept() {
    on_every_engine(&Config::default(), async |world| {
        let (world, anna) = (with_two_notes(world).await, user("anna"));
        let update = async |key, query, update: Document| {
            let (caller, change) = (world.caller(&anna), first(query, update));
            shown(world.documents.update(caller, "notes", change, Some(idempotent(key))).await)
        };
        let bump_version = || doc! { "$inc": { "n": 1 } };
        let mut described = String::new();
        writeln!(described, "{}", update("k1", doc! { "_id": "later" }, bump_version()).await)
            .unwrap();
        world.add(&anna, "notes", doc! { "_id": "later", "n": 1 }).await.unwrap();
        writeln!(described, "{}", update("k1", doc! { "_id": "later" }, bump_version()).await)
            .unwrap();
        writeln!(
            described,
            "{}",
            update("k2", doc! { "_id": "a" }, doc! { "$set": { "n": 1 } }).await
        )
        .unwrap();
        let large = doc! { "$set": { "n": 7, "text": "x".repeat(64 << 10) } };
        writeln!(described, "{}", update("k3", doc! { "_id": "a" }, large).await).unwrap();
        expect![[r#"
            matched 0 updated 0 upserted - document -
            matched 0 updated 0 upserted - document -
            matched 1 updated 0 upserted - document { "_id": "a", "_openid": "anna", "n": 1 }
            TooLarge: a document of more than 64 KiB is not returned under an idempotency key; leave the key away, or update the document and read it afterwards
        "#]].assert_eq(&described);
        assert_eq!(sum(&world).await, "3 notes, 3 in all");
    });
}

#[test]
fn a_key_belongs_to_one_request_on_one_document() {
    on_every_engine(&Config::default(), async |world| {
        let (world, anna) = (with_two_notes(world).await, user("anna"));
        for (key, kind) in ["k1", "k2", "k3", "k4"].into_iter().zip(CALLS) {
            call(&world, &world.documents, &anna, kind, key).await.unwrap();
            for other in CALLS {
                let described = call(&world, &world.documents, &anna, other, key).await;
                // An upsert is an update whose bytes a client would not send twice.
                let is_same =
                    other == kind || [kind, other].iter().all(|kind| "us".contains(*kind));
                match described {
                    Ok(_) => assert!(is_same, "{kind} {other}"),
                    Err(error) => {
                        assert!(!is_same, "{kind} {other}: {error}");
                        assert!(error.message().starts_with("this Idempotency-Key came before"));
                    }
                }
            }
        }
        let (all, which) = (change(doc! {}, doc! { "$inc": { "n": 1 } }), Which::every());
        let caller = world.caller(&anna);
        let updated = world.documents.update(caller, "notes", all, Some(idempotent("k5"))).await;
        let removed =
            world.documents.remove(caller, "notes", which, true, Some(idempotent("k5"))).await;
        for refused in [updated.map(drop), removed.map(drop)] {
            assert_eq!(
                refused.unwrap_err().message(),
                "an idempotency key goes with a single document"
            );
        }
        // Somebody else's key of the same name is another one.
        let theirs = call(&world, &world.documents, &user("bert"), 'i', "k1").await.unwrap();
        assert_ne!(theirs, call(&world, &world.documents, &anna, 'i', "k1").await.unwrap());
    });
}

/// The engine knows that the call was done, and nobody what it came to.
#[test]
fn a_lost_answer_is_not_made_up() {
    on_every_engine(&Config::default(), async |world| {
        let (world, anna) = (with_two_notes(world).await, user("anna"));
        for kind in CALLS {
            call(&world, &world.documents, &anna, kind, &format!("key-{kind}")).await.unwrap();
        }
        let before = sum(&world).await;
        world.lose_answers().await;
        for kind in CALLS {
            let key = format!("key-{kind}");
            let described = call(&world, &world.documents, &anna, kind, &key).await.unwrap_err();
            expect![[r#"invalid_parameter: the call with this Idempotency-Key was done before, and its answer is forgotten; look at what is stored, and take a new key"#]]
                .assert_eq(&format!("{described:?}"));
        }
        assert_eq!(sum(&world).await, before);
    });
}

#[test]
fn what_was_lost_on_the_way_happens_once() {
    on_every_engine(&Config::default(), async |world| {
        let (world, anna) = (with_two_notes(world).await, user("anna"));
        let mut described = String::new();
        for point in [Point::SqlWrite, Point::SqlWriteAnswer] {
            let faults = Faults::none(Clock::manual(NOW_MS), 1);
            let faulty = world.over_faulty_database(faults.clone());
            for kind in CALLS {
                let key = format!("{point:?}-{kind}");
                let rule = Rule { point, per_mille: 1000, effect: Effect::Fail };
                faults.set(Plan { rules: vec![rule], until_ms: i64::MAX });
                let lost = call(&world, &faulty, &anna, kind, &key).await.unwrap_err();
                assert_eq!(lost.kind(), Kind::Unavailable);
                write!(described, "{key}: {}, then ", sum(&world).await).unwrap();
                faults.set(Plan::default());
                let first = call(&world, &faulty, &anna, kind, &key).await.unwrap();
                assert_eq!(call(&world, &world.documents, &anna, kind, &key).await.unwrap(), first);
                writeln!(described, "{}", sum(&world).await).unwrap();
            }
            world.add(&anna, "notes", doc! { "_id": "b", "n": 1 }).await.unwrap();
            world.update(&anna, "notes", change(doc! {}, doc! { "$set": { "new": false } })).await;
        }
        expect![[r#"
            SqlWrite-i: 2 notes, 2 in all, then 3 notes, 3 in all
            SqlWrite-u: 3 notes, 3 in all, then 3 notes, 4 in all
            SqlWrite-s: 3 notes, 4 in all, then 4 notes, 5 in all
            SqlWrite-r: 4 notes, 5 in all, then 3 notes, 4 in all
            SqlWriteAnswer-i: 5 notes, 6 in all, then 5 notes, 6 in all
            SqlWriteAnswer-u: 5 notes, 7 in all, then 5 notes, 7 in all
            SqlWriteAnswer-s: 6 notes, 8 in all, then 6 notes, 8 in all
            SqlWriteAnswer-r: 5 notes, 7 in all, then 5 notes, 7 in all
        "#]]
        .assert_eq(&described);
    });
}

#[test]
fn of_many_at_the_same_moment_one_happens() {
    on_every_engine(&Config::default(), async |world| {
        let world = std::sync::Arc::new(with_two_notes(world).await);
        for kind in CALLS {
            let asking = (0..12).map(|n| {
                let world = std::sync::Arc::clone(&world);
                tokio::spawn(async move {
                    let other = world.other_server();
                    let documents = if n % 2 == 0 { &*world.documents } else { &other };
                    call(&world, documents, &user("anna"), kind, &format!("one-{kind}"))
                        .await
                        .unwrap()
                })
            });
            let asking: Vec<_> = asking.collect();
            let mut answers = Vec::new();
            for asked in asking {
                answers.push(asked.await.unwrap());
            }
            answers.dedup();
            assert_eq!(answers.len(), 1, "{kind}: {answers:?}");
        }
        assert_eq!(sum(&world).await, "3 notes, 4 in all");
    });
}
