//! Imports of files: what is interrupted goes on, and nothing comes twice.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use yunzhan_e2e::change_log::ChangeLog;
use yunzhan_e2e::{Backend, Options, Server};
use yunzhan_services::documents::ChangeKind;

/// How long the first documents may take.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Lines of a file that an import needs seconds for.
const LINES: usize = 60_000;

fn write_orders(path: &Path) {
    let mut text = String::new();
    for number in 0..LINES {
        let remark = "请放在门口。".repeat(10);
        writeln!(text, r#"{{"no":{number},"remark":"{remark}"}}"#).unwrap();
    }
    std::fs::write(path, text).unwrap();
}

async fn count(server: &Server) -> u64 {
    let path = "/control/v1/envs/demo/collections/imported/count";
    server.control(Method::POST, path, &json!({})).await.value()["total"].as_u64().unwrap()
}

async fn with_collection(server: &Server) {
    let new = json!({ "name": "imported" });
    server.control(Method::POST, "/control/v1/envs/demo/collections", &new).await.value();
    let index =
        json!({ "name": "by_no", "keys": [{ "field": "no", "direction": "1" }], "unique": true });
    let path = "/control/v1/envs/demo/collections/imported/indexes";
    server.control(Method::POST, path, &index).await.value();
}

async fn an_import_that_the_server_dies_of_goes_on(backend: Backend) {
    let Some(mut server) = Server::start_on(backend, Options::default()).await else { return };
    with_collection(&server).await;
    let file = server.folder().join("orders.jsonl");
    write_orders(&file);
    let file = file.to_str().unwrap().to_owned();
    let words = ["db", "import", "demo", "imported", &file];
    let mut seen = 0;
    for _ in 0..2 {
        let (interrupted, ()) = tokio::join!(server.run(&words), async {
            let until = Instant::now() + WAIT_MAX;
            while count(&server).await <= seen {
                assert!(Instant::now() < until, "nothing is imported");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            server.signal("KILL");
        });
        assert_ne!(interrupted.code, 0, "{interrupted:?}");
        server.ended().await;
        let log = ChangeLog::left_by(&server, "demo").await.unwrap();
        let left = log.snapshot(None).await.unwrap();
        left.check().unwrap();
        let loads = left.changes.iter().filter(|change| change.kind == ChangeKind::Load).count();
        assert!(loads > 0, "nothing was loaded");
        server.restart().await;
        seen = count(&server).await;
        assert!(seen < LINES as u64, "the kill came too late");
    }
    let done = server.run(&words).await;
    assert_eq!(done.code, 0, "{done:?}");
    // Two lines of one number could not stand beside one another, for the index is unique.
    assert_eq!(count(&server).await, LINES as u64);
    // The answer may have got lost: asked again, it says the same and changes nothing.
    let again = server.run(&words).await;
    assert!(again.stdout.contains(&format!("\"documents\":{LINES}")), "{again:?}");
    assert_eq!(count(&server).await, LINES as u64);
    let done: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&done["documents"], &done["done"]), (&json!(LINES), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_the_server_dies_of_goes_on_sqlite() {
    an_import_that_the_server_dies_of_goes_on(Backend::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_the_server_dies_of_goes_on_mysql() {
    an_import_that_the_server_dies_of_goes_on(Backend::Mysql).await;
}

#[tokio::test]
async fn a_file_is_imported_without_a_server_and_says_which_line_is_wrong() {
    let mut server = Server::start(Options::default()).await;
    with_collection(&server).await;
    assert!(server.terminate().await.success());
    let file = server.folder().join("few.jsonl");
    std::fs::write(&file, "{\"no\":1}\n{\"no\":2}\n").unwrap();
    let words = ["db", "import", "demo", "imported", file.to_str().unwrap()];
    let done = server.run(&words).await;
    assert!(done.stdout.contains("\"documents\":2"), "{done:?}");
    // Another file at the same path is another import.
    std::fs::write(&file, "{\"no\":3}\n{\"no\":oops}\n").unwrap();
    let wrong = server.run(&words).await;
    assert!(wrong.stderr.contains("line 2:"), "{wrong:?}");
    std::fs::write(&file, "{\"no\":3}\n{\"no\":4}\n").unwrap();
    let mended = server.run(&words).await;
    assert!(mended.stdout.contains("\"documents\":2"), "{mended:?}");
    let missing = server.run(&["db", "import", "demo", "imported", "nothing.jsonl"]).await;
    assert!(missing.stderr.contains("nothing.jsonl"), "{missing:?}");
}

/// Lines of which two pieces of an import are made, the last of them wrong.
fn with_a_wrong_end(wrong: &str) -> String {
    let lines = (0..30_000).map(|number| format!("{{\"n\":{number},\"note\":\"{number:60}\"}}\n"));
    lines.chain([wrong.to_owned()]).collect()
}

#[tokio::test]
async fn a_line_that_is_mended_lets_the_import_go_on_and_nothing_comes_twice() {
    let server = Server::start(Options::default()).await;
    let new = json!({ "name": "imported" });
    server.control(Method::POST, "/control/v1/envs/demo/collections", &new).await.value();
    let file = server.folder().join("many.jsonl");
    let words = ["db", "import", "demo", "imported", file.to_str().unwrap()];
    std::fs::write(&file, with_a_wrong_end("{\"n\":}\n")).unwrap();
    let wrong = server.run(&words).await;
    assert!(wrong.stderr.contains("line 30001:"), "{wrong:?}");
    assert!(wrong.stderr.contains("documents are in, the same command goes on"), "{wrong:?}");
    let so_far = count(&server).await;
    assert!(so_far > 0 && so_far < 30_000, "{so_far}");
    // Another file at its path is not taken for the rest of this one.
    std::fs::write(&file, with_a_wrong_end("{}\n").replace("\"n\"", "\"m\"")).unwrap();
    let other = server.run(&words).await;
    assert!(other.stderr.contains("--name"), "{other:?}");
    std::fs::write(&file, with_a_wrong_end("{\"n\":30000}\n")).unwrap();
    let mended = server.run(&words).await;
    assert!(mended.stdout.contains("\"documents\":30001"), "{mended:?}");
    assert_eq!(count(&server).await, 30_001);
    // Once more, on purpose.
    let again =
        server.run(&["db", "import", "demo", "imported", file.to_str().unwrap(), "--again"]).await;
    assert!(again.stdout.contains("\"documents\":30001"), "{again:?}");
    assert_eq!(count(&server).await, 60_002);
}
