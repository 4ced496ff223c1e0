//! Hostile requests, several at once: each ends with its error, memory stays bounded, and somebody who reads one document
//! after the other is answered all the while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use yunzhan_e2e::environment::Permission;
use yunzhan_e2e::http::Http;
use yunzhan_e2e::people::documents_of;
use yunzhan_e2e::report::figure;
use yunzhan_e2e::{Options, Person, Server};

const ENV: &str = "shop";
/// How often each of them attacks.
const ROUNDS: usize = 2;
/// Documents that are joined with one another.
const GOODS: usize = 300;
/// Bytes of a large text: three of them in one are a subject of ten megabytes.
const TEXT_BYTES: usize = 3_500_000;
/// A regular expression of few letters and many states.
const DEAR_PATTERN: &str = "[01]*1[01]{4000}x";
/// Conditions of one filter.
const BRANCHES: usize = 10_000;
/// What the attacked process may take more than before: eight calls at once, each with the 64 MiB that one may keep, and
/// what was read and written for them.
const GROWTH_BYTES_MAX: u64 = 768 << 20;
/// An attack that lasts longer than this must not keep the reader from being answered; far more than a read takes on a
/// busy machine, in a debug build.
const NOTICED: Duration = Duration::from_secs(2);
/// How often the process is looked at.
const LOOK_PERIOD: Duration = Duration::from_millis(20);

/// Who attacks.
#[derive(Clone)]
enum Attacker {
    /// A server's key, in the dialect of servers.
    Key {
        http: Http,
        access_key: String,
    },
    Person(Person),
}

/// One request that ended: what it was, when it ran, and what it was answered.
struct Ended {
    what: &'static str,
    from: Instant,
    to: Instant,
    code: String,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_requests_end_and_keep_nobody_waiting() {
    let options = Options::default()
        // A debug build is slow; what is bounded is the same.
        .with("documents.scan_documents_max", "20000")
        .with("documents.aggregate_documents_max", "20000");
    let server = Server::start(options).await;
    let environment = server.add_environment(ENV).await;
    let victim = server.http().login_development(ENV, "victim").await;
    let person = server.http().login_development(ENV, "attacker").await;
    let key = Attacker::Key { http: server.http(), access_key: environment.access_key };
    let note = fill(&server, &victim, &person).await;
    let quiet = read_until(&victim, &note, quiet_for_a_moment()).await;
    let before = server.resident_bytes();
    let is_over = Arc::new(AtomicBool::new(false));
    let attacked = read_until(&victim, &note, Arc::clone(&is_over));
    let attack = async {
        let ended = attack(&[key, Attacker::Person(person)]).await;
        is_over.store(true, Ordering::SeqCst);
        ended
    };
    let (attacked, ended, peak) = tokio::join!(attacked, attack, peak_until(&server, &is_over));
    let growth = peak.saturating_sub(before);
    assert!(growth <= GROWTH_BYTES_MAX, "the process grew by {} MiB", growth >> 20);
    every_attack_has_its_error(&ended);
    nobody_was_shut_out(&attacked, &ended);
    figure(&format!(
        "{} hostile requests in {:.1} s: grown by {} MiB; a point read takes {} alone and {} meanwhile",
        ended.len(),
        ended.iter().map(|ended| (ended.to - ended.from).as_secs_f64()).fold(0.0, f64::max),
        growth >> 20,
        latency(&quiet),
        latency(&attacked)
    ));
}

/// Goods to join, large texts to search, and one note to read.
async fn fill(server: &Server, victim: &Person, attacker: &Person) -> String {
    for collection in ["goods", "texts", "notes"] {
        server.add_collection(ENV, collection, Permission::ReadOnly).await;
    }
    let goods: Vec<_> =
        (0..GOODS).map(|n| json!({ "n": 1, "m": n, "text": "x".repeat(2000) })).collect();
    let _ = attacker.inserting("goods", &goods).send().await.value();
    let digits = |n: usize| if n.wrapping_mul(2_654_435_761) >> 16 & 1 == 0 { '0' } else { '1' };
    let text: String = (0..TEXT_BYTES).map(digits).collect();
    attacker.insert("texts", json!({ "text": text })).await;
    victim.insert("notes", json!({ "note": "to be read" })).await
}

// === The attacks ===

/// What each of them sends: a name, and the request in words that both dialects can be spoken in.
fn attacks() -> Vec<(&'static str, Attack)> {
    let joined = json!({ "from": "goods", "localField": "n", "foreignField": "n", "as": "all" });
    let inner = json!({ "from": "goods", "pipeline": [{ "$lookup": joined }], "as": "all" });
    let everything = json!([{ "$sort": { "text": 1, "m": -1 } }, { "$group": { "_id": "$text", "all": { "$push": "$$ROOT" } } }]);
    let facets: BTreeMap<_, _> = (0..50).map(|n| (format!("f{n}"), everything.clone())).collect();
    let range = json!({ "$range": [0, 10_000] });
    let loops = json!({ "$map": { "input": range, "in": { "$size": {
        "$map": { "input": range, "in": { "$add": ["$$this", 1] } },
    } } } });
    let subject = json!({ "$concat": ["$text", "$text", "$text"] });
    let searched = json!({ "$regexMatch": { "input": subject, "regex": DEAR_PATTERN } });
    let numbers: Vec<_> = (0..150_000).rev().collect();
    let pushed = json!({ "$push": { "list": { "$each": numbers, "$sort": 1, "$slice": -1 } } });
    let branches: Vec<_> = (0..BRANCHES).map(|n| json!({ "m": n })).collect();
    vec![
        ("a lookup in a lookup", Attack::Pipeline("goods", json!([{ "$lookup": inner }]))),
        ("facets of everything", Attack::Pipeline("goods", json!([{ "$facet": facets }]))),
        ("a loop in a loop", Attack::Pipeline("goods", json!([{ "$project": { "a": loops } }]))),
        (
            "a search in 10 MB",
            Attack::Pipeline("texts", json!([{ "$project": { "a": searched } }])),
        ),
        ("a dear filter", Attack::Remove(json!({ "text": { "$regex": DEAR_PATTERN } }))),
        ("10,000 branches", Attack::Remove(json!({ "$or": branches }))),
        ("a huge push", Attack::Update(pushed)),
    ]
}

#[derive(Clone)]
enum Attack {
    Pipeline(&'static str, Value),
    /// From the texts; nothing matches.
    Remove(Value),
    /// Of all goods.
    Update(Value),
}

async fn attack(attackers: &[Attacker]) -> Vec<Ended> {
    let mut attacking = JoinSet::new();
    for attacker in attackers {
        for (what, attack) in attacks() {
            let attacker = attacker.clone();
            attacking.spawn(async move {
                let mut ended = Vec::new();
                for _ in 0..ROUNDS {
                    let from = Instant::now();
                    let code = attacker.send(&attack).await;
                    ended.push(Ended { what, from, to: Instant::now(), code });
                }
                ended
            });
        }
    }
    attacking.join_all().await.into_iter().flatten().collect()
}

impl Attacker {
    /// The code of the refusal; empty when it was answered.
    async fn send(&self, attack: &Attack) -> String {
        let request = match self {
            Self::Person(person) => {
                let (method, path, body) = match attack {
                    Attack::Pipeline(collection, pipeline) => {
                        let path = format!("{}/aggregations", documents_of(collection));
                        (Method::POST, path, json!({ "pipeline": pipeline }))
                    }
                    Attack::Remove(query) => {
                        let path = format!("{}/remove", documents_of("texts"));
                        (Method::POST, path, json!({ "query": query, "multi": true }))
                    }
                    Attack::Update(update) => {
                        let body = json!({ "query": {}, "data": update, "multi": true });
                        (Method::PATCH, documents_of("goods"), body)
                    }
                };
                person.request(method, path).json(&body)
            }
            Self::Key { http, access_key } => {
                let (action, collection, mut body) = match attack {
                    Attack::Pipeline(collection, pipeline) => {
                        ("aggregateDocuments", *collection, json!({ "stages": pipeline }))
                    }
                    Attack::Remove(query) => {
                        let body = json!({ "query": query.to_string(), "multi": true });
                        ("removeDocument", "texts", body)
                    }
                    Attack::Update(update) => {
                        let body = json!({ "query": "{}", "data": update.to_string(), "multi": true, "merge": true });
                        ("modifyDocument", "goods", body)
                    }
                };
                body["action"] = format!("database.{action}").into();
                body["collectionName"] = collection.into();
                http.post(format!("/admin?env={ENV}"), &body).bearer(access_key)
            }
        };
        request.send().await.code()
    }
}

// === Who reads meanwhile, and what must hold ===

fn quiet_for_a_moment() -> Arc<AtomicBool> {
    let is_over = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&is_over);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        ends.store(true, Ordering::SeqCst);
    });
    is_over
}

/// Reads one document again and again; gives when each reading began and ended.
async fn read_until(
    victim: &Person,
    note: &str,
    is_over: Arc<AtomicBool>,
) -> Vec<(Instant, Instant)> {
    let mut readings = Vec::new();
    while !is_over.load(Ordering::SeqCst) {
        let begun = Instant::now();
        let path = format!("{}/{note}", documents_of("notes"));
        let answer = victim.request(Method::GET, path).send().await.value();
        assert_eq!(answer["note"], "to be read", "{answer}");
        readings.push((begun, Instant::now()));
    }
    readings
}

/// The most memory that the process was seen to take.
async fn peak_until(server: &Server, is_over: &AtomicBool) -> u64 {
    let mut peak = 0;
    while !is_over.load(Ordering::SeqCst) {
        peak = peak.max(server.resident_bytes());
        tokio::time::sleep(LOOK_PERIOD).await;
    }
    peak
}

/// What is too much is refused as that. What computes ends with its budget or with its time, whichever is first on this
/// machine, and a push of a list that is cut again may even be done.
fn every_attack_has_its_error(ended: &[Ended]) {
    for Ended { what, code, .. } in ended {
        let allowed: &[&str] = match *what {
            "10,000 branches" => &["INVALID_PARAM"],
            "a huge push" => &["", "INVALID_PARAM", "SERVER_TIMEOUT"],
            _ => &["INVALID_PARAM", "SERVER_TIMEOUT"],
        };
        assert!(allowed.contains(&code.as_str()), "{what} was answered {code:?}");
    }
}

/// While one of them was at work for long, the reader was answered.
fn nobody_was_shut_out(readings: &[(Instant, Instant)], ended: &[Ended]) {
    for Ended { what, from, to, .. } in ended.iter().filter(|ended| ended.to - ended.from > NOTICED)
    {
        let within = readings.iter().filter(|(begun, done)| begun >= from && done <= to);
        assert!(within.count() > 0, "nobody was answered while {what} was at work");
    }
}

/// The middle reading and the longest of a hundred.
fn latency(readings: &[(Instant, Instant)]) -> String {
    let mut taken: Vec<_> = readings.iter().map(|(begun, done)| *done - *begun).collect();
    taken.sort_unstable();
    let at = |share: usize| taken[(taken.len() - 1) * share / 100].as_secs_f64() * 1e3;
    format!("{:.1} ms (p99 {:.1} ms)", at(50), at(99))
}
