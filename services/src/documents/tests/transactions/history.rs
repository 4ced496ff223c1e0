//! Many write at once, in transactions and without, and the histories that they record are held against what is
//! promised: no change is lost, nobody sees what was never committed, what a transaction reads stays so, and what is
//! written together is seen together.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bson::{Document, doc};
use yunzhan_base::Kind;

use super::super::change;
use crate::documents::testing::{World, on_every_engine, server};
use crate::documents::{Change, Config, Preset};

/// Who write at once.
const WRITERS: u64 = 32;

/// What each of them does.
const TURNS: u64 = 6;

/// `l` and `r` are a pair: whoever writes one writes both, with the same value.
const IDS: [&str; 4] = ["l", "r", "x", "y"];

/// What one writer saw and did.
#[derive(Default)]
struct History {
    /// Values read that the reader had not written itself.
    seen: Vec<i64>,
    /// Values committed, and how often each document was written.
    committed: HashSet<i64>,
    writes: HashMap<&'static str, i64>,
    transactions: u64,
}

/// Numbers that the same seed gives again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "a test that fails shows it, and its seed can be tried again"
)]
fn histories_of_many_writers_are_those_of_snapshots() {
    on_every_engine(&Config::default(), async |world| {
        let mut random = [0; 8];
        aws_lc_rs::rand::fill(&mut random).unwrap();
        let seed = u64::from_le_bytes(random) | 1;
        println!("seed {seed}");
        let world = Arc::new(world.with_collections(&[("goods", Preset::ReadOnly)]).await);
        for id in IDS {
            let pair = i32::from(id < "s");
            let document = doc! { "_id": id, "pair": pair, "v": 0_i64, "count": 0_i64 };
            world.add(&server(), "goods", document).await.unwrap();
        }
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let world = Arc::clone(&world);
            writers.spawn(async move { write(&world, writer, seed).await });
        }
        check(&world, &writers.join_all().await).await;
    });
}

async fn check(world: &World, histories: &[History]) {
    let committed: HashSet<i64> =
        histories.iter().flat_map(|history| &history.committed).copied().chain([0]).collect();
    for value in histories.iter().flat_map(|history| &history.seen) {
        assert!(committed.contains(value), "{value} was read and never committed");
    }
    let end = world.begin();
    for document in world.documents_in(&end, doc! {}).await.unwrap() {
        let id = document.get_str("_id").unwrap();
        let writes: i64 = histories.iter().filter_map(|history| history.writes.get(id)).sum();
        assert_eq!(document.get_i64("count").unwrap(), writes, "changes of {id} were lost");
        assert!(committed.contains(&document.get_i64("v").unwrap()));
    }
    assert!(histories.iter().any(|history| history.transactions > 0), "no transaction committed");
}

async fn write(world: &World, writer: u64, seed: u64) -> History {
    let mut dice = Dice(seed.wrapping_mul(2 * writer + 1));
    let mut history = History::default();
    for turn in 0..TURNS {
        let value = i64::try_from(1 + writer * TURNS + turn).unwrap();
        match dice.below(3) {
            0 => plain(world, &mut dice, &mut history, value).await,
            // An attempt that loses ends by itself; a few of them are made, each with a value of its own.
            _ => {
                for attempt in 0..4 {
                    let value = value + 10_000 * (attempt + 1);
                    match transaction(world, &mut dice, &mut history, value).await {
                        Ok(()) => break,
                        Err(Kind::Conflict) => {}
                        Err(other) => panic!("{other:?}"),
                    }
                }
            }
        }
    }
    history
}

/// Writes one document, or the pair in one write batch, beside all transactions.
async fn plain(world: &World, dice: &mut Dice, history: &mut History, value: i64) {
    let is_pair = dice.below(2) == 0;
    let ids = if is_pair { &IDS[..2] } else { &IDS[2..3] };
    let query = if is_pair {
        doc! { "pair": 1 }
    } else {
        doc! { "_id": ids[0] }
    };
    let to = change(query, doc! { "$set": { "v": value }, "$inc": { "count": 1_i64 } });
    let server = server();
    let done = world.documents.update(
        world.caller(&server),
        "goods",
        Change { multi: is_pair, ..to },
        None,
    );
    assert_eq!(done.await.unwrap().updated, ids.len() as u64);
    history.note(ids, value);
}

/// Reads, perhaps writes, reads again; commits or rolls back.
async fn transaction(
    world: &World,
    dice: &mut Dice,
    history: &mut History,
    value: i64,
) -> Result<(), Kind> {
    let id = world.begin();
    let mut known: HashMap<String, Document> = HashMap::new();
    read(world, dice, &id, &mut known, history).await?;
    let ids: &[&str] = match dice.below(4) {
        0 => &[],
        1 => &IDS[..2],
        2 => &IDS[2..3],
        _ => &IDS,
    };
    for target in ids {
        let document = world.documents_in(&id, doc! { "_id": target }).await?.remove(0);
        let is_new = known.insert((*target).to_owned(), document.clone()).is_none();
        if is_new {
            history.seen.push(document.get_i64("v").unwrap());
        }
        let count = document.get_i64("count").unwrap() + 1;
        let to = doc! { "$set": { "v": value, "count": count } };
        world.change_in(&id, change(doc! { "_id": target }, to)).await?;
        let own = known.get_mut(*target).unwrap();
        own.insert("v", value);
        own.insert("count", count);
    }
    read(world, dice, &id, &mut known, history).await?;
    if dice.below(5) == 0 {
        let server = server();
        world.documents.abort_transaction(world.caller(&server), &id).await.unwrap();
        return Ok(());
    }
    world.commit(&id).await?;
    history.transactions += 1;
    history.note(ids, value);
    Ok(())
}

/// Reads everything by a query or one by one: what is known already is the same, and the pair is one.
async fn read(
    world: &World,
    dice: &mut Dice,
    id: &str,
    known: &mut HashMap<String, Document>,
    history: &mut History,
) -> Result<(), Kind> {
    let mut documents = Vec::new();
    match dice.below(3) {
        0 => documents = world.documents_in(id, doc! {}).await?,
        1 => documents = world.documents_in(id, doc! { "v": { "$gte": 0 } }).await?,
        _ => {
            for target in IDS {
                documents.extend(world.documents_in(id, doc! { "_id": target }).await?);
                tokio::task::yield_now().await;
            }
        }
    }
    assert_eq!(documents.len(), IDS.len());
    assert_eq!(documents[0].get("v"), documents[1].get("v"), "half of a unit was seen");
    for document in documents {
        let name = document.get_str("_id").unwrap().to_owned();
        match known.get(&name) {
            Some(before) => assert_eq!(before, &document, "a reading was not repeated"),
            None => {
                history.seen.push(document.get_i64("v").unwrap());
                known.insert(name, document);
            }
        }
    }
    Ok(())
}

impl History {
    fn note(&mut self, ids: &[&'static str], value: i64) {
        self.committed.insert(value);
        for id in ids {
            *self.writes.entry(id).or_default() += 1;
        }
    }
}
