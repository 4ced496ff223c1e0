//! Kills under load: what was acknowledged is there afterwards, and nothing is there in part.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::sync::Notify;
use yunzhan_e2e::environment::Permission;
use yunzhan_e2e::people::Find;
use yunzhan_e2e::report::figure;
use yunzhan_e2e::{Backend, Options, Person, Server};

const ENV: &str = "shop";
/// How often the server is killed: often enough to hit every gap in CI, rarely enough for every day here.
const KILLS_VARIABLE: &str = "YUNZHAN_TEST_KILLS";
const KILLS_DEFAULT: u32 = 5;
/// People who write at once.
const WRITERS: usize = 6;
/// Acknowledged documents of a round after which its kill may come, at the most.
const DOCUMENTS_BEFORE_KILL_MAX: u64 = 60;
/// Documents of a call that adds several.
const BATCH: usize = 4;
/// The largest text: it fills several pages of the database.
const TEXT_BYTES_MAX: u64 = 20_000;

/// What one writer knows about one call.
struct Call {
    /// Its documents; their names are nobody else's.
    documents: Vec<Value>,
    /// The ids that the server acknowledged; none when the kill came first.
    ids: Option<Vec<String>>,
}

/// The load of one round: when it is enough, the server dies.
struct Load {
    acknowledged: AtomicUsize,
    enough: usize,
    is_enough: Notify,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_nothing_that_was_acknowledged_on_sqlite() {
    survives(Backend::Sqlite, kills()).await;
}

/// The rows are MariaDB's affair then; what the server remembers beside them is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_nothing_that_was_acknowledged_on_mysql() {
    survives(Backend::Mysql, kills().min(KILLS_DEFAULT)).await;
}

fn kills() -> u32 {
    std::env::var(KILLS_VARIABLE).map_or(KILLS_DEFAULT, |kills| kills.parse().unwrap())
}

async fn survives(backend: Backend, kills: u32) {
    let Some(mut server) = Server::start_on(backend, Options::default()).await else { return };
    server.add_environment(ENV).await;
    let mut people = Vec::new();
    for writer in 0..WRITERS {
        people.push(server.http().login_development(ENV, &format!("writer-{writer}")).await);
    }
    let begun = Instant::now();
    let (mut acknowledged, mut cut_off, mut kept) = (0, 0, 0);
    for round in 0..kills {
        let collection = format!("round{round}");
        server.add_collection(ENV, &collection, Permission::Private).await;
        let writings = write_until_killed(&mut server, &people, &collection).await;
        server.restart().await;
        for (person, calls) in people.iter_mut().zip(&writings) {
            *person = person.at(server.http());
            kept += nothing_is_lost_or_torn(person, &collection, calls).await;
            a_repetition_adds_nothing(person, &collection, calls).await;
        }
        let calls = writings.iter().flatten();
        let (sure, unsure): (Vec<_>, Vec<_>) = calls.partition(|call| call.ids.is_some());
        acknowledged += sure.len();
        cut_off += unsure.len();
    }
    figure(&format!(
        "{backend:?}: {kills} kills in {:.1} s: {acknowledged} calls acknowledged and kept, {cut_off} cut off, of which {kept} had been committed",
        begun.elapsed().as_secs_f64()
    ));
}

/// Everybody writes; somewhere in between, the process is gone. Gives what each writer did.
async fn write_until_killed(
    server: &mut Server,
    people: &[Person],
    collection: &str,
) -> Vec<Vec<Call>> {
    let enough = usize::try_from(1 + random(DOCUMENTS_BEFORE_KILL_MAX)).unwrap();
    let load = Load { acknowledged: AtomicUsize::new(0), enough, is_enough: Notify::new() };
    let load = Arc::new(load);
    let write = |person: &Person| {
        tokio::spawn(write(person.clone(), collection.to_owned(), Arc::clone(&load)))
    };
    let writers: Vec<_> = people.iter().map(write).collect();
    load.is_enough.notified().await;
    server.kill();
    let mut writings = Vec::new();
    for writer in writers {
        writings.push(writer.await.unwrap());
    }
    writings
}

/// Writes until a call finds nobody any more; that one may have happened or not.
async fn write(person: Person, collection: String, load: Arc<Load>) -> Vec<Call> {
    let mut calls = Vec::new();
    loop {
        let number = calls.len();
        let count = if number % 4 == 3 { BATCH } else { 1 };
        let name = |part: usize| format!("{}-{collection}-{number}-{part}", person.uid);
        let documents: Vec<Value> = (0..count).map(|part| document(&name(part))).collect();
        let answer = inserting(&person, &collection, &documents).try_send().await;
        let ids = answer.ok().map(|answer| {
            let ids = answer.value()["insertedIds"].take();
            serde_json::from_value(ids).unwrap()
        });
        let is_last = ids.is_none();
        calls.push(Call { documents, ids });
        if is_last {
            return calls;
        }
        if load.acknowledged.fetch_add(1, Ordering::Relaxed) + 1 == load.enough {
            load.is_enough.notify_one();
        }
    }
}

/// A document that tells whether it is whole.
fn document(name: &str) -> Value {
    let length = usize::try_from(random(TEXT_BYTES_MAX)).unwrap();
    let text = name.repeat(1 + length / name.len());
    json!({ "name": name, "text": text, "sum": sum(name, &text) })
}

fn sum(name: &str, text: &str) -> String {
    hex::encode(digest(&SHA256, format!("{name} {text}").as_bytes()))
}

/// One document goes with a key that makes its repetition safe.
fn inserting<'p>(
    person: &'p Person,
    collection: &str,
    documents: &[Value],
) -> yunzhan_e2e::http::Request<'p> {
    let request = person.inserting(collection, documents);
    match documents {
        [one] => request.header("idempotency-key", one["name"].as_str().unwrap()),
        _ => request,
    }
}

/// Holds what is there against what this writer did. Gives how many calls had been committed without an answer.
async fn nothing_is_lost_or_torn(person: &Person, collection: &str, calls: &[Call]) -> usize {
    let stored = every(person, collection).await;
    for document in &stored {
        let text = |name: &str| document[name].as_str().unwrap();
        assert_eq!(text("sum"), sum(text("name"), text("text")), "half a document is there");
    }
    let find = |wanted: &Value| {
        let found: Vec<_> =
            stored.iter().filter(|document| document["name"] == wanted["name"]).collect();
        assert!(found.len() <= 1, "{} is there {} times", wanted["name"], found.len());
        found.first().copied()
    };
    let mut kept = 0;
    for call in calls {
        let found: Vec<_> = call.documents.iter().filter_map(find).collect();
        match &call.ids {
            Some(ids) => {
                let stored_ids: Vec<_> = found.iter().map(|document| &document["_id"]).collect();
                assert_eq!(
                    stored_ids,
                    ids.iter().collect::<Vec<_>>(),
                    "an acknowledged document is lost"
                );
            }
            None if found.is_empty() => {}
            None => {
                assert_eq!(found.len(), call.documents.len(), "half a call is there");
                kept += 1;
            }
        }
    }
    kept
}

/// The last calls come again, as a phone sends them that heard no answer.
async fn a_repetition_adds_nothing(person: &Person, collection: &str, calls: &[Call]) {
    for call in calls.iter().rev().filter(|call| call.documents.len() == 1).take(2) {
        let answer = inserting(person, collection, &call.documents).send().await.value();
        if let Some(ids) = &call.ids {
            assert_eq!(answer["insertedIds"], json!(ids), "the repetition got another answer");
        }
        let query = json!({ "name": call.documents[0]["name"] });
        assert_eq!(person.count(collection, &query).await, 1, "the repetition added a document");
    }
}

async fn every(person: &Person, collection: &str) -> Vec<Value> {
    let find = Find::every().limit(1000);
    let documents = person.find(collection, &find).await;
    assert!(documents.len() < 1000, "a round stays below one page");
    documents
}

/// A number from 0 to below `end`.
fn random(end: u64) -> u64 {
    getrandom::u64().unwrap() % end
}
