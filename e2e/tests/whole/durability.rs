//! Kills under load: what was acknowledged is there afterwards, nothing is there in part, and the index and the change log
//! agree.

mod bank;
mod index;
pub(crate) mod keeper;
mod log;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use hyper::Method;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use yunzhan_e2e::environment::Permission;
use yunzhan_e2e::http::{Http, Request};
use yunzhan_e2e::people::{Find, documents_of};
use yunzhan_e2e::report::figure;
use yunzhan_e2e::{Backend, Options, Person, Random, Seed, Server};

use self::keeper::Keeper;
use self::log::LogAudit;

const ENV: &str = "shop";
/// How often the server is killed: often enough to hit most gaps in CI, rarely enough for every day here. A hundred take some
/// minutes.
const KILLS_VARIABLE: &str = "YUNZHAN_TEST_KILLS";
pub(crate) const KILLS_DEFAULT: u32 = 5;
/// People who write at once.
const WRITERS: usize = 6;
/// Acknowledged calls of a round after which its kill may come, at the most.
const CALLS_BEFORE_KILL_MAX: u64 = 60;
/// Documents of a call that adds several.
const BATCH: usize = 4;
/// The largest text: it fills several pages of the database.
const TEXT_BYTES_MAX: u64 = 20_000;
/// So small that the log loses its oldest changes while others are written: after some rounds, each trimming takes some.
const CHANGE_LOG_MAX: &str = "1MiB";
/// The task that takes them away, which otherwise comes every ten seconds.
const TRIM_TASK: &str = "/control/v1/tasks/documents.change_log/run";

/// The longest a round may write: far more than it takes, so that a load that stands still fails.
const LOAD_WAIT_MAX: Duration = Duration::from_secs(120);
/// The second owner of shared documents.
const FRIEND: &str = "dev-friend";

/// Somebody who writes.
#[derive(Clone)]
struct Writer {
    person: Person,
    /// What the documents call them.
    owner: String,
    /// Their server, which may change owners.
    keeper: Keeper,
}

/// What a call does to the writer's documents, whose names are nobody else's.
enum Work {
    /// Adds these, all or none: an entry in the owners' index each.
    Insert(Vec<Value>),
    /// Writes another text into one; its entry stays.
    Rewrite(Value),
    /// Gives one a second owner: an entry comes.
    Share(String),
    /// Removes one with all its entries.
    Remove(String),
}

/// What one writer knows about one call.
struct Call {
    work: Work,
    /// What the server acknowledged; none when the kill came first.
    answer: Option<Value>,
}

/// A writer's documents by name: the sum of each, and whether it is shared.
type State = BTreeMap<String, (String, bool)>;

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

pub(crate) fn kills() -> u32 {
    std::env::var(KILLS_VARIABLE).map_or(KILLS_DEFAULT, |kills| kills.parse().unwrap())
}

async fn survives(backend: Backend, kills: u32) {
    let options = Options::default().with("documents.change_log_max", CHANGE_LOG_MAX);
    let Some(mut server) = Server::start_on(backend, options).await else { return };
    let (seed, mut audit) = (Seed::drawn(), LogAudit::default());
    let mut writers = writers(&server).await;
    let owners: Vec<_> = writers.iter().map(|writer| writer.owner.clone()).collect();
    let owners: Vec<_> = owners.iter().map(String::as_str).chain([FRIEND]).collect();
    let begun = Instant::now();
    let (mut acknowledged, mut cut_off, mut kept) = (0, 0, 0);
    for round in 0..kills {
        let collection = format!("round{round}");
        server.add_collection(ENV, &collection, Permission::Private).await;
        let random = seed.random(round.into());
        let written = write_until_killed(&mut server, &writers, &collection, random);
        let writings = tokio::time::timeout(LOAD_WAIT_MAX, written).await.expect("the load ends");
        audit.agrees(&server, &collection, &writings).await;
        server.restart().await;
        for (writer, calls) in writers.iter_mut().zip(&writings) {
            writer.person = writer.person.at(server.http());
            writer.keeper.http = server.http();
            kept += nothing_is_lost_or_torn(&writer.person, &collection, calls).await;
            a_repetition_adds_nothing(&writer.person, &collection, calls).await;
        }
        let calls: Vec<_> = writings.iter().flatten().collect();
        let added: Vec<_> = calls.iter().flat_map(|call| call.ids()).collect();
        index::agrees(&writers[0].keeper, &collection, &owners, &added).await;
        let sure = calls.iter().filter(|call| call.answer.is_some()).count();
        acknowledged += sure;
        cut_off += calls.len() - sure;
    }
    figure(&format!(
        "{backend:?}: {kills} kills in {:.1} s: {acknowledged} calls acknowledged and kept, {cut_off} cut off, of which {kept} had been committed; {audit}",
        begun.elapsed().as_secs_f64()
    ));
}

async fn writers(server: &Server) -> Vec<Writer> {
    let environment = server.add_environment(ENV).await;
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let name = format!("writer-{number}");
        let person = server.http().login_development(ENV, &name).await;
        let keeper = Keeper { http: server.http(), access_key: environment.access_key.clone() };
        writers.push(Writer { person, owner: format!("dev-{name}"), keeper });
    }
    writers
}

/// Everybody writes; somewhere in between, the process is gone. Gives what each writer did.
async fn write_until_killed(
    server: &mut Server,
    writers: &[Writer],
    collection: &str,
    mut random: Random,
) -> Vec<Vec<Call>> {
    let load = Arc::new(Load::random(&mut random));
    let mut writing = JoinSet::new();
    for (place, writer) in writers.iter().enumerate() {
        let own = Random::from(&mut random);
        let written = write(writer.clone(), collection.to_owned(), Arc::clone(&load), own);
        writing.spawn(async move { (place, written.await) });
    }
    let trimming = tokio::spawn(trim(Http::at(server.url("control")), server.control_token()));
    tokio::select! {
        biased;
        () = load.is_enough.notified() => server.kill(),
        Some(ended) = writing.join_next() => panic!("writer {} found no server before the kill", ended.unwrap().0),
    }
    trimming.await.unwrap();
    let mut writings = writing.join_all().await;
    writings.sort_by_key(|(place, _)| *place);
    writings.into_iter().map(|(_, calls)| calls).collect()
}

/// Writes until a call finds nobody any more; that one may have happened or not.
async fn write(
    writer: Writer,
    collection: String,
    load: Arc<Load>,
    mut random: Random,
) -> Vec<Call> {
    let mut calls = Vec::new();
    loop {
        let work = writer.work(&collection, calls.len(), &mut random);
        let answer = writer.asking(&collection, &work).try_send().await;
        let answer = answer.ok().map(|answer| work.checked(answer.value()));
        let is_last = answer.is_none();
        calls.push(Call { work, answer });
        if is_last {
            return calls;
        }
        load.acknowledge();
    }
}

/// Trims the change log all the time, until the server is gone.
async fn trim(control: Http, token: String) {
    let run = || control.request(Method::POST, TRIM_TASK).bearer(&token).try_send();
    while let Ok(answer) = run().await {
        // It runs already, by itself.
        assert!([200, 409].contains(&answer.status.as_u16()), "{answer:?}");
    }
}

impl Load {
    fn random(random: &mut Random) -> Self {
        let enough = usize::try_from(1 + random.below(CALLS_BEFORE_KILL_MAX)).unwrap();
        Self { acknowledged: AtomicUsize::new(0), enough, is_enough: Notify::new() }
    }

    fn acknowledge(&self) {
        if self.acknowledged.fetch_add(1, Ordering::Relaxed) + 1 == self.enough {
            self.is_enough.notify_one();
        }
    }
}

impl Writer {
    /// One document, then several, of which one is rewritten, and one is shared and removed; and so on.
    fn work(&self, collection: &str, number: usize, random: &mut Random) -> Work {
        let name = |number: usize, part: usize| {
            format!("{}-{collection}-{number}-{part}", self.person.uid)
        };
        match number % 5 {
            0 => Work::Insert(vec![document(&name(number, 0), random)]),
            1 => {
                let part = |part| document(&name(number, part), random);
                Work::Insert((0..BATCH).map(part).collect())
            }
            2 => Work::Rewrite(document(&name(number - 1, 0), random)),
            3 => Work::Share(name(number - 2, 1)),
            _ => Work::Remove(name(number - 3, 1)),
        }
    }

    fn asking(&self, collection: &str, work: &Work) -> Request<'_> {
        match work {
            Work::Insert(documents) => inserting(&self.person, collection, documents),
            Work::Rewrite(document) => {
                let set = json!({ "text": document["text"], "sum": document["sum"] });
                updating(&self.person, collection, &document["name"], &set)
            }
            Work::Share(name) => {
                let query = json!({ "name": name });
                self.keeper.giving(collection, &query, &[&self.owner, FRIEND])
            }
            Work::Remove(name) => {
                let target = format!("{}/remove", documents_of(collection));
                let body = json!({ "query": { "name": name }, "multi": true });
                self.person.request(Method::POST, target).json(&body)
            }
        }
    }
}

impl Work {
    /// The answer, which must say that the work was done.
    fn checked(&self, answer: Value) -> Value {
        match self {
            Self::Insert(documents) => {
                assert_eq!(answer["insertedIds"].as_array().unwrap().len(), documents.len());
            }
            Self::Rewrite(_) => assert_eq!(answer["updated"], 1, "{answer}"),
            Self::Share(_) => assert_eq!(answer["data"]["updated"], 1, "{answer}"),
            Self::Remove(_) => assert_eq!(answer["deleted"], 1, "{answer}"),
        }
        answer
    }

    fn apply(&self, state: &mut State) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        match self {
            Self::Insert(documents) => state.extend(
                documents
                    .iter()
                    .map(|document| (text(&document["name"]), (text(&document["sum"]), false))),
            ),
            Self::Rewrite(document) => {
                state.get_mut(&text(&document["name"])).unwrap().0 = text(&document["sum"]);
            }
            Self::Share(name) => state.get_mut(name).unwrap().1 = true,
            Self::Remove(name) => drop(state.remove(name)),
        }
    }
}

impl Call {
    /// The ids that the server acknowledged.
    fn ids(&self) -> Vec<String> {
        let ids = self.answer.as_ref().and_then(|answer| answer["insertedIds"].as_array());
        ids.into_iter().flatten().map(|id| id.as_str().unwrap().to_owned()).collect()
    }
}

/// A document that tells whether it is whole.
fn document(name: &str, random: &mut Random) -> Value {
    let length = usize::try_from(random.below(TEXT_BYTES_MAX)).unwrap();
    // No two texts are the same, so that writing another one changes something.
    let text = format!("{:016x} {}", random.number(), name.repeat(1 + length / name.len()));
    json!({ "name": name, "text": text, "sum": sum(name, &text) })
}

fn sum(name: &str, text: &str) -> String {
    hex::encode(digest(&SHA256, format!("{name} {text}").as_bytes()))
}

/// One document goes with a key that makes its repetition safe.
fn inserting<'p>(person: &'p Person, collection: &str, documents: &[Value]) -> Request<'p> {
    let request = person.inserting(collection, documents);
    match documents {
        [one] => request.header("idempotency-key", one["name"].as_str().unwrap()),
        _ => request,
    }
}

fn updating<'p>(person: &'p Person, collection: &str, name: &Value, set: &Value) -> Request<'p> {
    let body = json!({ "query": { "name": name }, "data": { "$set": set }, "multi": true });
    person.request(Method::PATCH, documents_of(collection)).json(&body)
}

/// Holds what is there against what this writer did. Gives how many calls had been committed without an answer.
async fn nothing_is_lost_or_torn(person: &Person, collection: &str, calls: &[Call]) -> usize {
    let stored = every(person, collection).await;
    let mut found = State::new();
    for document in &stored {
        let text = |name: &str| document[name].as_str().unwrap();
        assert_eq!(text("sum"), sum(text("name"), text("text")), "half a document is there");
        let state = (text("sum").to_owned(), document["_openid"].is_array());
        assert_eq!(found.insert(text("name").to_owned(), state), None, "it is there twice");
    }
    acknowledged_ids_are_kept(&stored, calls);
    let mut expected = State::new();
    let (sure, unsure): (Vec<_>, Vec<_>) = calls.iter().partition(|call| call.answer.is_some());
    sure.iter().for_each(|call| call.work.apply(&mut expected));
    if found == expected {
        return 0;
    }
    // A writer ends with the call that heard no answer: it happened as a whole, or not at all.
    unsure.iter().for_each(|call| call.work.apply(&mut expected));
    assert_eq!(found, expected, "an acknowledged call is lost, or half a call is there");
    unsure.len()
}

fn acknowledged_ids_are_kept(stored: &[Value], calls: &[Call]) {
    for call in calls {
        let Work::Insert(documents) = &call.work else { continue };
        for (document, id) in documents.iter().zip(call.ids()) {
            let mut found = stored.iter().filter(|stored| stored["name"] == document["name"]);
            assert!(found.all(|stored| stored["_id"] == json!(id)), "{id} has another id");
        }
    }
}

/// The last calls come again, as a phone sends them that heard no answer.
async fn a_repetition_adds_nothing(person: &Person, collection: &str, calls: &[Call]) {
    let single = calls.iter().rev().filter_map(|call| match &call.work {
        Work::Insert(documents) if documents.len() == 1 => Some((call, documents)),
        _ => None,
    });
    for (call, documents) in single.take(2) {
        let answer = inserting(person, collection, documents).send().await.value();
        if call.answer.is_some() {
            assert_eq!(
                answer["insertedIds"],
                json!(call.ids()),
                "the repetition got another answer"
            );
        }
        let query = json!({ "name": documents[0]["name"] });
        assert_eq!(person.count(collection, &query).await, 1, "the repetition added a document");
    }
}

async fn every(person: &Person, collection: &str) -> Vec<Value> {
    let find = Find::every().limit(1000);
    let documents = person.find(collection, &find).await;
    assert!(documents.len() < 1000, "a round stays below one page");
    documents
}
