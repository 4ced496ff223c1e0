//! Imports of files: what is interrupted goes on, and nothing comes twice.

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use yunzhan_e2e::{Backend, Options, Server};

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
        server.restart().await;
        seen = count(&server).await;
        assert!(seen < LINES as u64, "the kill came too late");
    }
    let done = server.run(&words).await;
    assert_eq!(done.code, 0, "{done:?}");
    // Two lines of one number could not stand beside one another, for the index is unique.
    assert_eq!(count(&server).await, LINES as u64);
    let again = server.run(&words).await;
    assert!(again.stderr.contains("--again"), "{again:?}");
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
    std::fs::write(&file, "{\"no\":3}\n{\"no\":oops}\n").unwrap();
    let wrong = server.run(&words).await;
    assert!(wrong.stderr.contains("line 2:"), "{wrong:?}");
    let missing = server.run(&["db", "import", "demo", "imported", "nothing.jsonl"]).await;
    assert!(missing.stderr.contains("nothing.jsonl"), "{missing:?}");
}
