//! The rules that are built in, in front of a server that nobody configured.

use serde_json::json;
use yunzhan_e2e::environment::Permission;
use yunzhan_e2e::http::encode;
use yunzhan_e2e::people::{Find, documents_of};
use yunzhan_e2e::{Http, Options, Server};

const ENV: &str = "forum";
const POSTS: &str = "posts";

/// A lesson about attacks, which a forum stores as it stands.
const LESSON: &str =
    "' OR 1=1 UNION SELECT name FROM users -- <script>alert(1)</script> $(cat /etc/passwd) {{7*7}}";

#[tokio::test]
async fn attacks_are_refused_in_the_dialect_and_documents_may_speak_of_them() {
    let server = Server::start(Options::default()).await;
    server.add_environment(ENV).await;
    server.add_collection(ENV, POSTS, Permission::Private).await;
    let http = server.http();

    let target = format!("/auth/v1/signin/anonymously?client_id={ENV}&next={}", encode(LESSON));
    let refused = http.post(target, &json!({})).send().await.with_status(403);
    assert_eq!(refused.json()["error"], "permission_denied", "{}", refused.text());
    assert!(!refused.text().contains("10"), "no rule is told: {}", refused.text());

    let alice = http.login_development(ENV, "alice").await;
    alice.insert(POSTS, json!({ "text": LESSON })).await;
    let found =
        alice.find(POSTS, &Find::matching(json!({ "text": { "$regex": "UNION SELECT" } }))).await;
    assert_eq!(found[0]["text"], LESSON);

    let mut scanner = alice.request(hyper::Method::GET, documents_of(POSTS));
    scanner = scanner.header("user-agent", "sqlmap/1.7");
    assert_eq!(scanner.send().await.with_status(403).code(), "DATABASE_PERMISSION_DENIED");

    let control = Http::at(server.url("control"));
    let metrics = control.get("/metrics").send().await.with_status(200).text();
    for kind in ["sql_injection", "scanner"] {
        let line = format!("yunzhan_attacks_total{{kind=\"{kind}\",refused=\"true\"}} 1");
        assert!(metrics.contains(&line), "{line} is missing: {metrics}");
    }
}
