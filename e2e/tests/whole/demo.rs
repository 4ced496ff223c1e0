//! The demo shop as its page speaks to the server.

use serde_json::{Value, json};
use yunzhan_e2e::people::Find;
use yunzhan_e2e::{Http, Options, Person, Server};

const ENV: &str = "demo";

/// What a browser needs to know each file as, by the end of its name.
const MEDIA_TYPES: &[(&str, &str)] = &[
    (".html", "text/html; charset=utf-8"),
    (".css", "text/css; charset=utf-8"),
    (".js", "text/javascript; charset=utf-8"),
    (".svg", "image/svg+xml"),
];

#[tokio::test]
async fn a_visitor_browses_logs_in_and_orders() {
    let server = Server::start(Options::default()).await;
    let http = server.http();
    let visitor = http.login_anonymously(ENV).await;
    let shelves = visitor.find("categories", &Find::every().by("rank", "asc")).await;
    let categories: Vec<_> = shelves.iter().map(|category| &category["_id"]).collect();
    assert_eq!(categories, ["tea", "ware", "table", "gift"]);
    let cheapest = Find::every().by("price_fen", "asc").by("_id", "asc").limit(8);
    let goods = visitor.find("goods", &cheapest).await;
    assert_eq!(goods.len(), 8);
    assert!(goods.is_sorted_by_key(|piece| piece["price_fen"].as_i64().unwrap()), "{goods:?}");
    let next = visitor.find("goods", &cheapest.clone().skip(8)).await;
    assert!(next.iter().all(|piece| !goods.contains(piece)), "a page repeats a piece");

    let alice = http.login_development(ENV, "alice").await;
    assert_eq!(alice.me().await.value()["name"], "alice");
    let order = order(&goods[0]);
    let id = place(&alice, &order, "order-1").await;
    assert_eq!(place(&alice, &order, "order-1").await, id, "the button was pressed twice");

    let mine = alice.find("orders", &Find::every().by("created_at", "desc")).await;
    assert_eq!(mine.len(), 1);
    assert_eq!(mine[0]["_id"], *id);
    assert_eq!(mine[0]["_openid"], "dev-alice");
    assert!(mine[0]["created_at"]["$date"].is_number(), "the server stamped it: {}", mine[0]);

    let bob = http.login_development(ENV, "bob").await;
    assert_eq!(bob.find("orders", &Find::every()).await, [] as [Value; 0]);
    assert_eq!(cancel(&bob, &id).await, 0, "it is not his");
    assert_eq!(cancel(&alice, &id).await, 1);
    assert_eq!(cancel(&alice, &id).await, 0, "it was cancelled before");

    let forbidden = alice.inserting("goods", &[json!({ "title": "mine" })]).send().await;
    assert_eq!(
        (forbidden.status.as_u16(), forbidden.code().as_str()),
        (403, "DATABASE_PERMISSION_DENIED")
    );
}

fn order(piece: &Value) -> Value {
    json!({
        "items": [{ "id": piece["_id"], "count": 2, "price_fen": piece["price_fen"] }],
        "quantity": 2,
        "total_fen": 2 * piece["price_fen"].as_i64().unwrap(),
        "status": "placed",
        "created_at": { "$date": { "offset": 0 } },
    })
}

async fn place(person: &Person, order: &Value, key: &str) -> String {
    let request =
        person.inserting("orders", std::slice::from_ref(order)).header("idempotency-key", key);
    request.send().await.value()["insertedIds"][0].as_str().unwrap().to_owned()
}

async fn cancel(person: &Person, id: &str) -> u64 {
    let query = json!({ "_id": id, "status": "placed" });
    person.update("orders", &query, &json!({ "$set": { "status": "cancelled" } })).await
}

#[tokio::test]
async fn the_page_and_all_that_it_names_are_served() {
    let server = Server::start(Options::default()).await;
    let http = server.http();
    let page = http.get("/").send().await.with_status(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.body, http.get("/index.html").send().await.with_status(200).body);
    for name in shop_files() {
        let served = http.get(format!("/{name}")).send().await.with_status(200);
        let (_, expected) = MEDIA_TYPES.iter().find(|(end, _)| name.ends_with(end)).unwrap();
        assert_eq!(served.header("content-type"), *expected, "{name}");
        assert_eq!(served.header("x-content-type-options"), "nosniff", "{name}");
        assert_eq!(served.body, std::fs::read(shop().join(&name)).unwrap(), "{name}");
        is_not_sent_twice(&http, &name, served.header("etag")).await;
    }
    assert_eq!(http.get("/nothing.html").send().await.status, 404);
    assert_eq!(http.get("/../Cargo.toml").send().await.status, 400);
}

/// A browser that has a file asks whether it changed.
async fn is_not_sent_twice(http: &Http, name: &str, tag: &str) {
    assert!(!tag.is_empty(), "{name} has no entity tag");
    let again = http.get(format!("/{name}")).header("if-none-match", tag).send().await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{name}");
}

fn shop() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/shop/h5")
}

fn shop_files() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![shop()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(shop()).unwrap().to_str().unwrap().to_owned());
            }
        }
    }
    assert!(found.len() > 10, "{found:?}");
    found
}
