//! Input that is wrong on purpose: the documented code, in the dialect's shape and with the request's id, and a server that
//! goes on. Framing, slow heads and half-closed bodies are tested beside the gateway; what they cost in memory is here.

use std::fmt::Write as _;
use std::time::Duration;

use hyper::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use yunzhan_e2e::environment::Permission;
use yunzhan_e2e::http::encode;
use yunzhan_e2e::people::{Find, documents_of};
use yunzhan_e2e::report::figure;
use yunzhan_e2e::{Answer, Environment, Http, Options, Person, Server};
use yunzhan_services::documents::DOCUMENT_BYTES_MAX;

const ENV: &str = "shop";
const NOTES: &str = "notes";
/// A body of this many bytes is above the bound of every route.
const ABOVE_EVERY_BOUND: usize = (8 << 20) + 1;

struct Scene {
    server: Server,
    shop: Environment,
    alice: Person,
}

impl Scene {
    async fn set() -> Self {
        let server = Server::start(Options::default()).await;
        let shop = server.add_environment(ENV).await;
        server.add_collection(ENV, NOTES, Permission::Private).await;
        let alice = server.http().login_development(ENV, "alice").await;
        alice.insert(NOTES, json!({ "text": "first" })).await;
        Self { server, shop, alice }
    }

    /// Nothing of the bad input was stored, and the next request is answered as ever.
    async fn goes_on(&self) {
        let notes = self.alice.find(NOTES, &Find::every()).await;
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert_eq!(self.alice.count(NOTES, &json!({ "text": "first" })).await, 1);
    }
}

/// `[[[…]]]`, so deep.
fn nested(depth: usize) -> String {
    format!("{}{}", "[".repeat(depth), "]".repeat(depth))
}

/// Bodies that are no JSON, or not the JSON of any dialect.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        ("a word", text("hello")),
        ("half an object", text("{\"data\":[{\"a\":1")),
        ("two objects", text("{}{}")),
        ("a comma too many", text("{\"data\":[{\"a\":1},]}")),
        ("a list", text("[]")),
        ("a number", text("1")),
        ("single quotes", text("{'data':[]}")),
        ("bytes that are no UTF-8", b"{\"data\":[{\"a\":\"\xff\xfe\"}]}".to_vec()),
        ("a control character", text("{\"data\":[{\"a\":\"\u{1}\"}]}")),
        ("a leading zero", text("{\"data\":[{\"a\":01}]}")),
        ("NaN", text("{\"data\":[{\"a\":NaN}]}")),
        ("zeros", vec![0; 1000]),
        ("brackets without an end", "[".repeat(100_000).into_bytes()),
        ("objects without an end", "{\"a\":".repeat(100_000).into_bytes()),
    ]
}

/// Documents that are JSON and that no document may be, with the code of their refusal.
fn bad_documents() -> Vec<(&'static str, String)> {
    let with = |value: &str| format!("{{\"a\":{value}}}");
    vec![
        ("nested 200 deep", with(&nested(200))),
        ("nested 100,000 deep", with(&nested(100_000))),
        ("NUL in a name", "{\"a\\u0000b\":1}".to_owned()),
        ("a name twice", "{\"a\":1,\"a\":2}".to_owned()),
        ("an operator as a name", "{\"$set\":1}".to_owned()),
        ("a number beyond all numbers", with("1e999")),
        ("a date that is none", with("{\"$date\":\"yesterday\"}")),
        (
            "a date beyond the calendar",
            with("{\"$date\":{\"$numberLong\":\"99999999999999999999\"}}"),
        ),
        ("an int that is none", with("{\"$numberInt\":\"x\"}")),
        ("an int beyond its bounds", with("{\"$numberInt\":\"3000000000\"}")),
        ("a long beyond its bounds", with("{\"$numberLong\":\"9223372036854775808\"}")),
        ("an object id that is none", with("{\"$oid\":\"short\"}")),
        ("a wrapper with company", with("{\"$numberInt\":\"1\",\"b\":2}")),
        ("an id that is a list", "{\"_id\":[1]}".to_owned()),
        ("an id that is too long", format!("{{\"_id\":\"{}\"}}", "x".repeat(5000))),
    ]
}

/// Query documents that no query may be.
fn bad_queries() -> Vec<(&'static str, String, &'static str)> {
    let wide: String = (0..20_000).fold(String::new(), |mut list, number| {
        let _ = write!(list, "{number},");
        list
    });
    let ors = format!("{}{{\"a\":1}}{}", "{\"$or\":[".repeat(150), "]}".repeat(150));
    let code = |what, query: &str, code| (what, query.to_owned(), code);
    vec![
        code("half an object", "{\"a\":", "400 INVALID_PARAM"),
        code("a list", "[]", "400 INVALID_PARAM"),
        code("an unknown operator", "{\"a\":{\"$foo\":1}}", "400 DATABASE_INVALID_OPERRATOR"),
        code("code", "{\"$where\":\"sleep(1)\"}", "400 DATABASE_INVALID_OPERRATOR"),
        code("$or of nothing", "{\"$or\":[]}", "400 INVALID_PARAM"),
        code("$or of no list", "{\"$or\":1}", "400 INVALID_PARAM"),
        code("$in of no list", "{\"a\":{\"$in\":1}}", "400 INVALID_PARAM"),
        code("$exists of a word", "{\"a\":{\"$exists\":\"x\"}}", "400 INVALID_PARAM"),
        code(
            "a regular expression that is none",
            "{\"a\":{\"$regex\":\"(\"}}",
            "400 INVALID_PARAM",
        ),
        code(
            "a regular expression without an end",
            &format!("{{\"a\":{{\"$regex\":\"{}\"}}}}", "(a{1,1000}){1,1000}".repeat(20)),
            "400 INVALID_PARAM",
        ),
        code("nested 150 deep", &ors, "400 INVALID_PARAM"),
        code("$in of 20,000", &format!("{{\"a\":{{\"$in\":[{}0]}}}}", wide), "413 INVALID_PARAM"),
    ]
}

/// The refusal's shape: code, words for people, and the id by which the log knows the request.
fn is_refused(what: &str, answer: &Answer, expected: &str) {
    let body = answer.json();
    let verdict = format!("{} {}", answer.status.as_u16(), answer.code());
    assert_eq!(verdict, expected, "{what}: {answer:?}");
    let message = body["message"].as_str().or(body["error_description"].as_str()).unwrap();
    assert!(!message.is_empty() && message.len() < 1000, "{what}: {message}");
    let id = body["requestId"].as_str().or(body["request_id"].as_str()).unwrap();
    assert_eq!(id, answer.header("x-request-id"), "{what}");
    assert_eq!(id.len(), 32, "{what}");
}

#[tokio::test]
async fn bad_bodies_are_refused_in_every_dialect() {
    let scene = Scene::set().await;
    let http = scene.server.http();
    let control = Http::at(scene.server.url("control"));
    for (what, body) in malformed() {
        let send = async |http: &Http, target: &str, token: &str| {
            let request = http.request(Method::POST, target).bearer(token);
            request.body("application/json", body.clone()).send().await
        };
        let answer = send(&http, &documents_of(NOTES), &scene.alice.access_token).await;
        is_refused(what, &answer, "400 INVALID_PARAM");
        let answer = send(&http, "/admin?env=shop", &scene.shop.access_key).await;
        is_refused(what, &answer, "200 INVALID_PARAM");
        if body.len() > 10_000 {
            continue;
        }
        let answer = send(&http, "/auth/v1/provider/token?client_id=shop", "").await;
        is_refused(what, &answer, "400 invalid_argument");
        let answer = send(&control, "/control/v1/envs", &scene.server.control_token()).await;
        let code = answer.code();
        assert!(["malformed", "invalid_parameter"].contains(&code.as_str()), "{what}: {answer:?}");
        is_refused(what, &answer, &format!("400 {code}"));
    }
    scene.goes_on().await;
}

#[tokio::test]
async fn bad_documents_are_refused() {
    let scene = Scene::set().await;
    let http = scene.server.http();
    for (what, document) in bad_documents() {
        let body = format!("{{\"data\":[{document}]}}");
        let request = scene.alice.request(Method::POST, documents_of(NOTES));
        let answer = request.body("application/json", body).send().await;
        is_refused(what, &answer, "400 INVALID_PARAM");

        let body = json!({ "action": "database.insertDocument", "collectionName": NOTES, "data": [document] });
        let request = http.post("/admin?env=shop", &body).bearer(&scene.shop.access_key);
        is_refused(what, &request.send().await, "200 INVALID_PARAM");
    }
    scene.goes_on().await;
}

#[tokio::test]
async fn bad_queries_are_refused() {
    let scene = Scene::set().await;
    for (what, query, code) in bad_queries() {
        let body = format!("{{\"query\":{query},\"multi\":true}}");
        let request = scene.alice.request(Method::POST, format!("{}/remove", documents_of(NOTES)));
        is_refused(what, &request.body("application/json", body).send().await, code);
        if query.len() < 10_000 {
            let target = format!("{}?query={}", documents_of(NOTES), encode(&query));
            is_refused(what, &scene.alice.request(Method::GET, target).send().await, code);
        }
    }
    for (what, parameters) in [
        ("a limit below 0", "limit=-1".to_owned()),
        ("a limit that is a word", "limit=all".to_owned()),
        ("an offset beyond all documents", "offset=99999999999999999999".to_owned()),
        (
            "an order of no direction",
            format!("order={}", encode(r#"[{"field":"a","direction":"up"}]"#)),
        ),
        ("an order that is a number", "order=1".to_owned()),
        ("a mixed projection", format!("projection={}", encode(r#"{"a":1,"b":0}"#))),
        ("half a percent escape", "query=%7".to_owned()),
        ("NUL", "query=%00".to_owned()),
    ] {
        let target = format!("{}?{parameters}", documents_of(NOTES));
        is_refused(
            what,
            &scene.alice.request(Method::GET, target).send().await,
            "400 INVALID_PARAM",
        );
    }
    scene.goes_on().await;
}

#[tokio::test]
async fn a_body_over_its_bound_is_refused() {
    let scene = Scene::set().await;
    let (http, large) = (scene.server.http(), "x".repeat(ABOVE_EVERY_BOUND));
    for (target, token, expected) in [
        (documents_of(NOTES), &scene.alice.access_token, "413 INVALID_PARAM"),
        ("/admin?env=shop".to_owned(), &scene.shop.access_key, "200 INVALID_PARAM"),
        ("/auth/v1/provider/token?client_id=shop".to_owned(), &String::new(), "413 out_of_range"),
    ] {
        let head = format!(
            "POST {target} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n",
            http.host()
        );
        let declared = format!("{head}content-length: {ABOVE_EVERY_BOUND}\r\n\r\n");
        is_refused("declared", &answered(&http, declared.as_bytes()).await, expected);
        let chunked = format!(
            "{head}transfer-encoding: chunked\r\n\r\n{ABOVE_EVERY_BOUND:x}\r\n{large}\r\n0\r\n\r\n"
        );
        is_refused("chunked", &answered(&http, chunked.as_bytes()).await, expected);
    }
    let query = encode(&format!("{{\"a\":\"{}\"}}", "x".repeat(100_000)));
    let target = format!("{}?query={query}", documents_of(NOTES));
    let answer = scene.alice.request(Method::GET, target).try_send().await;
    assert!(answer.is_err() || matches!(answer.unwrap().status.as_u16(), 414 | 431));
    let document = json!({ "text": "x".repeat(DOCUMENT_BYTES_MAX) });
    let answer = scene.alice.inserting(NOTES, &[document]).send().await;
    is_refused("a document over its bound", &answer, "413 INVALID_PARAM");
    scene.goes_on().await;
}

/// Sends raw bytes while it reads, and gives the answer.
async fn answered(http: &Http, bytes: &[u8]) -> Answer {
    http.raw(bytes).await.unwrap()
}

/// The media type does not matter: phones send what their libraries choose, and a body is read as what its route takes.
/// A browser's form is no exception, for there are no cookies that it could abuse.
#[tokio::test]
async fn the_media_type_decides_nothing() {
    let scene = Scene::set().await;
    let body = json!({ "query": { "text": "first" }, "multi": false }).to_string();
    for media_type in
        ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream"]
    {
        let target = format!("{}?count=true&query=%7B%7D", documents_of(NOTES));
        let request = scene.alice.request(Method::GET, target).header("content-type", media_type);
        assert_eq!(request.send().await.value()["total"], 1, "{media_type}");
        let request = scene.alice.request(Method::POST, documents_of(NOTES));
        let answer = request.body(media_type, "text=second").send().await;
        is_refused(media_type, &answer, "400 INVALID_PARAM");
    }
    let request = scene.alice.request(Method::POST, format!("{}/remove", documents_of(NOTES)));
    let answer = request.body("text/plain", body).send().await.value();
    assert_eq!(answer["deleted"], 1);
    let form =
        "--x\r\ncontent-disposition: form-data; name=\"action\"\r\n\r\nwx.openApi\r\n--x--\r\n";
    let http = scene.server.http();
    let request = http.request(Method::POST, "/admin?env=shop").bearer(&scene.shop.access_key);
    let answer = request.body("multipart/form-data; boundary=x", form).send().await;
    is_refused("a form", &answer, "200 NOT_IMPLEMENTED");
}

/// Connections of each kind.
const DAWDLERS: usize = 200;
/// Half a large body, which is still below the bound of its route.
const HALF_BODY_BYTES: usize = 2 << 20;
/// What a slow head may cost the server: its buffer, with what a connection needs.
const HEAD_COST_MAX: usize = 64 << 10;
/// What all held bodies may cost together: the default of `gateway.held_bytes_max`.
const HELD_BYTES_MAX: usize = 128 << 20;
/// How long the server may take to read what it reads.
const READING_MAX: Duration = Duration::from_secs(10);

#[tokio::test]
async fn dawdlers_cost_a_bounded_amount_of_memory() {
    let scene = Scene::set().await;
    let http = scene.server.http();
    let before = scene.server.resident_bytes();
    let heads = dawdle(&http, "GET / HTTP/1.1\r\nhost: x\r\nx-slow: 1").await;
    let with_heads = scene.server.resident_bytes();
    let half_body = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{}",
        documents_of(NOTES),
        scene.alice.access_token,
        2 * HALF_BODY_BYTES,
        "x".repeat(HALF_BODY_BYTES)
    );
    let bodies = dawdle(&http, &half_body).await;
    let with_bodies = scene.server.resident_bytes();
    scene.goes_on().await;
    let (head_cost, body_cost) =
        (with_heads.saturating_sub(before), with_bodies.saturating_sub(with_heads));
    figure(&format!(
        "at rest {} KiB; {DAWDLERS} slow heads cost {} KiB, {DAWDLERS} halves of large bodies ({} KiB) cost {} KiB",
        before / 1024,
        head_cost / 1024,
        DAWDLERS * HALF_BODY_BYTES / 1024,
        body_cost / 1024
    ));
    assert!(head_cost < (DAWDLERS * HEAD_COST_MAX) as u64, "{head_cost} bytes");
    let body_cost_max = HELD_BYTES_MAX + DAWDLERS * HEAD_COST_MAX;
    assert!(body_cost < body_cost_max as u64, "{body_cost} bytes");
    drop((heads, bodies));
    scene.goes_on().await;
}

/// Opens connections that send this and no more, and waits until the server has read it.
async fn dawdle(http: &Http, beginning: &str) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..DAWDLERS {
        let mut stream = TcpStream::connect(http.address()).await.unwrap();
        // A server that does not want it all lets the write wait.
        let _ = tokio::time::timeout(READING_MAX, stream.write_all(beginning.as_bytes())).await;
        streams.push(stream);
    }
    let read = async {
        while kernel_holds(http.address().port()) {
            tokio::task::yield_now().await;
        }
    };
    let _ = tokio::time::timeout(READING_MAX, read).await;
    streams
}

/// Whether bytes to or from this port wait in the kernel.
fn kernel_holds(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_ours = fields[1].ends_with(&port) || fields[2].ends_with(&port);
        // Field 3 is the state: 0A listens, and counts connections instead of bytes.
        is_ours && fields[3] != "0A" && fields[4] != "00000000:00000000"
    })
}
