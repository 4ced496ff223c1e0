//! What one visitor of one environment sends costs the others nothing that they notice.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use yunzhan_e2e::environment::Permission;
use yunzhan_e2e::http::Answer;
use yunzhan_e2e::people::Find;
use yunzhan_e2e::{Options, Person, Server, report};

/// What the process may grow by for one request.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

/// How long one request may take: the aim is a second, and a build for tests on a busy machine is several times as slow.
const TIME_MAX: Duration = Duration::from_secs(5);

/// How long the slowest of a hundred requests of others may take meanwhile; the aim is 100 ms.
const OTHERS_MAX: Duration = Duration::from_millis(500);

/// Bytes of the request.
const BODY_BYTES: usize = 530_000;

/// Documents of this form, as many as the request has room for.
fn many(document: impl FnMut(usize) -> Value) -> Vec<Value> {
    let mut bytes = 0;
    let documents = (0..).map(document).take_while(|document| {
        bytes += document.to_string().len() + 1;
        bytes <= BODY_BYTES
    });
    documents.collect()
}

/// Numbers that no other document has.
fn numbers(n: usize, count: usize) -> Vec<usize> {
    (0..count).map(|item| n * count + item).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_many_index_keys_is_felt_by_nobody() {
    let server = Server::start(Options::default()).await;
    for env in ["loud", "quiet"] {
        server.add_environment(env).await;
        server.add_collection(env, "goods", Permission::Private).await;
    }
    for fields in [&["tags", "sizes"][..], &["tags"]] {
        let keys: Vec<_> =
            fields.iter().map(|field| json!({ "field": field, "direction": "1" })).collect();
        let path = "/control/v1/envs/loud/collections/goods/indexes";
        let _ = server.control(Method::POST, path, &json!({ "keys": keys })).await.value();
    }
    let visitor = server.http().login_anonymously("loud").await;
    let neighbour = server.http().login_anonymously("quiet").await;
    neighbour.insert("goods", json!({ "_id": "mine", "n": 1 })).await;

    let two_arrays = many(|n| json!({ "tags": numbers(n % 100, 31), "sizes": numbers(n, 31) }));
    let told = send(&server, &visitor, &neighbour, "two arrays", &two_arrays).await;
    assert_eq!(told.code(), "INVALID_PARAM");
    assert!(told.text().contains("cannot index parallel arrays"), "{}", told.text());

    let one_array = many(|n| json!({ "tags": numbers(n, 490) }));
    let told = send(&server, &visitor, &neighbour, "one array", &one_array).await;
    assert!(told.text().contains("write fewer at once"), "{}", told.text());

    // As many as one call may write.
    let most: Vec<_> = (0..40).map(|n| json!({ "tags": numbers(n, 490) })).collect();
    let told = send(&server, &visitor, &neighbour, "the most that is taken", &most).await;
    assert_eq!(told.status, 200, "{}", told.text());
}

/// Sends documents while a neighbour reads and writes, and holds what it cost against the bounds.
async fn send(
    server: &Server,
    visitor: &Person,
    neighbour: &Person,
    what: &str,
    documents: &[Value],
) -> Answer {
    let before = server.resident_bytes();
    let request = visitor.inserting("goods", documents);
    let sending = async {
        let begun = Instant::now();
        let answer = request.send().await;
        (answer, begun.elapsed())
    };
    let mut waits = Vec::new();
    tokio::pin!(sending);
    let (answer, took) = {
        let others = measured(neighbour, &mut waits);
        tokio::select! {
            done = &mut sending => done,
            () = others => unreachable!("it measures for ever"),
        }
    };
    waits.sort_unstable();
    let slowest = waits.get(waits.len() * 99 / 100).copied().unwrap_or_default();
    let growth = server.peak_resident_bytes().saturating_sub(before);
    report::figure(&format!(
        "{what}: {} documents took {} ms and {} MiB; others' p99 {} ms of {} requests",
        documents.len(),
        took.as_millis(),
        growth >> 20,
        slowest.as_millis(),
        waits.len()
    ));
    assert!(growth <= GROWTH_BYTES_MAX, "{what}: the process grew by {} MiB", growth >> 20);
    assert!(took <= TIME_MAX, "{what}: it took {took:?}");
    assert!(slowest <= OTHERS_MAX, "{what}: others waited {slowest:?}");
    answer
}

/// Reads and writes one after the other, and how long each took, until nobody asks any more.
async fn measured(neighbour: &Person, waits: &mut Vec<Duration>) {
    for n in 0.. {
        let begun = Instant::now();
        if n % 4 == 3 {
            neighbour.insert("goods", json!({ "n": n })).await;
        } else {
            neighbour.find("goods", &Find::matching(json!({ "_id": "mine" }))).await;
        }
        waits.push(begun.elapsed());
    }
}
