//! Two environments on one server never meet, on either backend; on MySQL they share the very tables.

use serde_json::{Value, json};
use yunzhan_e2e::environment::Permission;
use yunzhan_e2e::people::Find;
use yunzhan_e2e::{Backend, Environment, Options, Person, Server};

const NOTES: &str = "notes";

#[tokio::test]
async fn on_sqlite() {
    never_meet(Backend::Sqlite).await;
}

#[tokio::test]
async fn on_mysql() {
    never_meet(Backend::Mysql).await;
}

/// The same collection, the same name at login, the same document id: all of it twice.
async fn never_meet(backend: Backend) {
    let Some(mut server) = Server::start_on(backend, Options::default()).await else { return };
    let (tea, book) = (open(&server, "tea").await, open(&server, "book").await);
    let (mut in_tea, mut in_book) = (alice(&server, &tea).await, alice(&server, &book).await);
    assert_ne!(in_tea.uid, in_book.uid, "one name, two people");
    in_tea.insert(NOTES, json!({ "_id": "n1", "of": "tea" })).await;
    in_book.insert(NOTES, json!({ "_id": "n1", "of": "book" })).await;
    in_book.insert(NOTES, json!({ "_id": "n2", "of": "book" })).await;
    for _ in 0..2 {
        assert_eq!(notes(&in_tea).await, [("n1", "tea")]);
        assert_eq!(notes(&in_book).await, [("n1", "book"), ("n2", "book")]);
        assert_eq!(in_tea.count(NOTES, &json!({})).await, 1);
        assert_eq!(as_server(&server, &tea, json!({ "of": "book" })).await, 0);
        assert_eq!(as_server(&server, &book, json!({ "of": "book" })).await, 2);
        // The second time, nothing is remembered in memory.
        server.kill();
        server.restart().await;
        (in_tea, in_book) = (in_tea.at(server.http()), in_book.at(server.http()));
    }
    let change = json!({ "$set": { "of": "changed" } });
    assert_eq!(in_tea.update(NOTES, &json!({}), &change).await, 1);
    assert_eq!(in_tea.remove(NOTES, &json!({})).await, 1);
    assert_eq!(notes(&in_book).await, [("n1", "book"), ("n2", "book")]);
    let renewed = server.http().renew("book", &in_tea.refresh_token).await;
    assert_eq!(renewed.code(), "invalid_grant", "a refresh token is worth nothing elsewhere");
    let renewed = server.http().renew("tea", &in_tea.refresh_token).await;
    assert_eq!(renewed.status, 200);
}

async fn open(server: &Server, env: &str) -> Environment {
    let environment = server.add_environment(env).await;
    server.add_collection(env, NOTES, Permission::Private).await;
    environment
}

async fn alice(server: &Server, environment: &Environment) -> Person {
    server.http().login_development(&environment.id, "alice").await
}

async fn notes(person: &Person) -> Vec<(&'static str, &'static str)> {
    let known = |text: &Value| {
        ["n1", "n2", "tea", "book"]
            .into_iter()
            .find(|known| text == known)
            .unwrap_or("something else")
    };
    let found = person.find(NOTES, &Find::every().by("_id", "asc")).await;
    found.iter().map(|note| (known(&note["_id"]), known(&note["of"]))).collect()
}

/// How many match for the environment's own key.
async fn as_server(server: &Server, environment: &Environment, query: Value) -> u64 {
    let body = json!({ "collectionName": NOTES, "query": query.to_string() });
    let (http, action) = (server.http(), "database.calculateDocument");
    let answer = environment.key.admin(&http, &environment.id, action, &body).await;
    answer.value()["data"]["total"].as_u64().unwrap()
}
