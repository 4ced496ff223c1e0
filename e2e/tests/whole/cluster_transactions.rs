//! The requests of one transaction come to three servers, and one of them holds it.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use yunzhan_e2e::environment::Permission;
use yunzhan_e2e::{Answer, Environment, Person, Server};

use super::cluster::{Cluster, until};

const ENV: &str = "shop";
/// A transaction lives so long, and its claims with it.
const CLAIM_LIFE_MIN: Duration = Duration::from_secs(25);
const DATABASE: &str = "/v1/database/instances/(default)/databases/(default)";
/// What a call is answered whose transaction has lost, or is gone with its server: clients begin anew.
const CONFLICT: &str = "DATABASE_TRANSACTION_CONFLICT";

/// A shop on three servers, and one person at each.
async fn shop() -> Option<(Cluster, Environment, Vec<Person>)> {
    let cluster = Cluster::start(3).await?;
    let environment = cluster.servers[0].add_environment(ENV).await;
    cluster.servers[0].add_collection(ENV, "goods", Permission::ReadOnly).await;
    let anna = cluster.servers[0].http().login_development(ENV, "anna").await;
    let everywhere: Vec<_> = cluster.servers.iter().map(|server| anna.at(server.http())).collect();
    for person in &everywhere {
        let knows = async || (person.me().await.status == 200).then_some(());
        until("the environment on every server", knows).await;
        until("the collection on every server", async || {
            let found = person
                .request(Method::GET, format!("{DATABASE}/collections/goods/documents?query={{}}&"))
                .send()
                .await;
            (found.status == 200).then_some(())
        })
        .await;
    }
    for id in ["tea", "cup"] {
        everywhere[0].insert("goods", json!({ "_id": id, "stock": 10 })).await;
    }
    Some((cluster, environment, everywhere))
}

async fn begin(person: &Person) -> String {
    let begun = person.request(Method::POST, format!("{DATABASE}/transactions")).json(&json!({}));
    begun.send().await.value()["transactionId"].as_str().unwrap().to_owned()
}

async fn end(person: &Person, id: &str, how: &str) -> Answer {
    let target = format!("{DATABASE}/transactions/{id}/{how}");
    person.request(Method::POST, target).json(&json!({})).send().await
}

async fn take_in(person: &Person, transaction: &str, id: &str, count: i64) -> Answer {
    let body = json!({
        "transactionId": transaction,
        "query": { "_id": id },
        "data": { "$inc": { "stock": -count } },
    });
    let target = format!("{DATABASE}/collections/goods/documents");
    person.request(Method::PATCH, target).json(&body).send().await
}

async fn stock_in(person: &Person, transaction: &str, id: &str) -> Value {
    let target = format!("{DATABASE}/collections/goods/documents/{id}?transactionId={transaction}");
    person.request(Method::GET, target).send().await.value()["stock"].clone()
}

async fn stock(person: &Person, id: &str) -> Value {
    let target = format!("{DATABASE}/collections/goods/documents/{id}");
    person.request(Method::GET, target).send().await.value()["stock"].clone()
}

#[tokio::test]
async fn three_servers_share_the_requests_of_a_transaction() {
    let Some((cluster, environment, anna)) = shop().await else { return };
    let id = begin(&anna[0]).await;
    assert_eq!(stock_in(&anna[1], &id, "tea").await, 10);
    drop(take_in(&anna[2], &id, "tea", 3).await.with_status(200));
    drop(take_in(&anna[1], &id, "cup", 1).await.with_status(200));
    for person in &anna {
        assert_eq!(stock_in(person, &id, "tea").await, 7);
        assert_eq!(stock(person, "tea").await, 10, "nobody else sees it yet");
    }
    // Bytes in a page of documents, too.
    let added =
        json!({ "transactionId": id, "data": [{ "_id": "pot", "text": "壶".repeat(300_000) }] });
    let target = format!("{DATABASE}/collections/goods/documents");
    drop(anna[2].request(Method::POST, target).json(&added).send().await.with_status(200));
    drop(end(&anna[1], &id, "commit").await.with_status(200));
    for person in &anna {
        assert_eq!((stock(person, "tea").await, stock(person, "cup").await), (7.into(), 9.into()));
    }
    // It is over, wherever it is asked for.
    for person in &anna {
        let over = end(person, &id, "commit").await;
        assert_eq!(over.code(), "DATABASE_TRANSACTION_FAIL");
    }
    // Nobody else's is found, and what is no id of any server is unknown.
    let stranger = cluster.servers[1].http().login_development(ENV, "bert").await;
    let id = begin(&anna[0]).await;
    assert_eq!(end(&stranger, &id, "commit").await.code(), "DATABASE_TRANSACTION_FAIL");
    drop(end(&anna[2], &id, "rollback").await.with_status(200));
    // A team's server speaks the other dialect.
    let http: Vec<_> = cluster.servers.iter().map(Server::http).collect();
    let ask = async |server: usize, action: &str, body: Value| {
        environment.key.admin(&http[server], ENV, action, &body).await.value()
    };
    let begun = ask(0, "database.startTransaction", json!({})).await;
    let id = begun["transactionId"].as_str().unwrap();
    let to = json!({
        "collectionName": "goods", "transactionId": id, "queryType": "DOC", "multi": false, "merge": true,
        "query": r#"{"_id":"tea"}"#, "data": r#"{"$set":{"stock":{"$numberInt":"70"}}}"#,
    });
    let changed = ask(1, "database.modifyDocument", to).await;
    assert!(changed["code"].is_null(), "{changed}");
    let done = ask(2, "database.commitTransaction", json!({ "transactionId": id })).await;
    assert!(done["code"].is_null(), "{done}");
    assert_eq!(stock(&anna[1], "tea").await, 70);
}

#[tokio::test]
async fn the_second_writer_is_refused_at_its_call_whichever_server_it_comes_to() {
    let Some((_cluster, _, anna)) = shop().await else { return };
    let (first, second) = (begin(&anna[0]).await, begin(&anna[1]).await);
    drop(take_in(&anna[0], &first, "tea", 1).await.with_status(200));
    assert_eq!(take_in(&anna[1], &second, "tea", 1).await.code(), CONFLICT);
    drop(end(&anna[0], &first, "commit").await.with_status(200));
    // What it claimed is free when it is over, however that came; and a claim of one's own is no conflict.
    let third = begin(&anna[2]).await;
    for count in [0, 1, 0, 2] {
        drop(take_in(&anna[1], &third, "tea", count).await.with_status(200));
    }
    drop(end(&anna[0], &third, "rollback").await.with_status(200));
    let fourth = begin(&anna[1]).await;
    drop(take_in(&anna[2], &fourth, "tea", 1).await.with_status(200));
    drop(end(&anna[2], &fourth, "commit").await.with_status(200));
    assert_eq!(stock(&anna[0], "tea").await, 8);
}

#[tokio::test]
async fn who_comes_too_late_begins_anew_when_the_server_of_a_transaction_is_dead() {
    let Some((mut cluster, _, anna)) = shop().await else { return };
    let id = begin(&anna[0]).await;
    drop(take_in(&anna[1], &id, "tea", 3).await.with_status(200));
    cluster.servers[0].kill();
    let killed = Instant::now();
    assert_eq!(take_in(&anna[1], &id, "cup", 1).await.code(), CONFLICT);
    assert_eq!(end(&anna[2], &id, "commit").await.code(), CONFLICT);
    assert_eq!(stock(&anna[1], "tea").await, 10);
    let id = begin(&anna[1]).await;
    drop(take_in(&anna[2], &id, "cup", 1).await.with_status(200));
    drop(end(&anna[2], &id, "commit").await.with_status(200));
    assert_eq!(stock(&anna[1], "cup").await, 9);
    // What the dead one had claimed is free when its session is over, long before its transaction would have been.
    until("the end of the dead server's claim", async || {
        let id = begin(&anna[1]).await;
        (take_in(&anna[2], &id, "tea", 1).await.status == 200).then_some(())
    })
    .await;
    assert!(killed.elapsed() < CLAIM_LIFE_MIN, "{:?}", killed.elapsed());
}
