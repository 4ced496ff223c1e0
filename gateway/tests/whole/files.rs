//! Files over the network: what a client reads of a folder, of a range, and of a wrong method.

use std::fs::{self, File};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use yunzhan_gateway::Files;

use crate::support::{Served, raw, serve_files, summary};

async fn site() -> (tempfile::TempDir, Served) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("index.html"), "home").unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    let served = serve_files(Files::folder(folder.path()).unwrap()).await;
    (folder, served)
}

#[tokio::test]
async fn a_wrong_method_is_told_from_a_wrong_path() {
    let (_folder, served) = site().await;
    for (request, expected, allow) in [
        ("POST /nosuch", "404 {\"code\":\"NOT_FOUND\"", None),
        ("POST /sub/", "404 {\"code\":\"NOT_FOUND\"", None),
        ("POST /", "405 {\"code\":\"METHOD_NOT_ALLOWED\"", Some("allow: GET, HEAD")),
        ("DELETE /index.html", "405 {\"code\":\"METHOD_NOT_ALLOWED\"", Some("allow: GET, HEAD")),
        // Below a service's first segment a path is a mistyped call and no file, whatever the method.
        ("POST /echo/a/b", "404 not_found", None),
        ("GET /echo/a/b", "404 not_found", None),
    ] {
        let request = format!("{request} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{{}}");
        let answer = raw(served.address, request.as_bytes()).await;
        assert!(summary(&answer).starts_with(expected), "{request}{answer}");
        let told = answer.lines().find(|line| line.starts_with("allow:"));
        assert_eq!(told, allow, "{request}");
    }
}

#[tokio::test]
async fn a_service_below_well_known_leaves_the_rest_to_the_folder() {
    let (folder, served) = site().await;
    fs::create_dir(folder.path().join(".well-known")).unwrap();
    fs::write(folder.path().join(".well-known/assetlinks.json"), "[]").unwrap();
    for (path, expected) in [
        ("/.well-known/assetlinks.json", "200 []"),
        ("/.well-known/keys", "405 method_not_allowed"),
        ("/.well-known/keys/mistyped", "404 not_found"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = summary(&raw(served.address, request.as_bytes()).await);
        assert!(answer.starts_with(expected), "{path} {answer}");
    }
}

#[tokio::test]
async fn head_has_the_length_of_get_and_a_range_its_own() {
    let (_folder, served) = site().await;
    let ask = async |method: &str, headers: &str| {
        let request =
            format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n");
        raw(served.address, request.as_bytes()).await
    };
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut head = String::new();
    stream.read_to_string(&mut head).await.unwrap();
    assert!(head.contains("\r\ncontent-length: 4\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!(summary(&ask("GET", "").await), "200 home");
    let part = ask("GET", "Range: bytes=1-2\r\n").await;
    assert_eq!(summary(&part), "206 om");
    assert!(part.contains("\r\ncontent-range: bytes 1-2/4\r\n"), "{part}");
    assert_eq!(summary(&ask("GET", "Range: bytes=4-\r\n").await), "416 ");
    let unchanged = ask("GET", "If-None-Match: *\r\n").await;
    assert!(
        unchanged.starts_with("HTTP/1.1 304") && !unchanged.contains("content-length"),
        "{unchanged}"
    );
}

#[tokio::test]
async fn a_file_that_is_cut_while_it_is_sent_ends_the_connection_early() {
    let (folder, served) = site().await;
    let path = folder.path().join("a.bin");
    let length = 64 << 20;
    File::create(&path).unwrap().set_len(length).unwrap();
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(b"GET /a.bin HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    // The head is there, so that the file is open; sockets hold less than the rest.
    stream.read_exact(&mut [0; 1024]).await.unwrap();
    File::options().write(true).open(&path).unwrap().set_len(1).unwrap();
    let mut rest = Vec::new();
    let ended = stream.read_to_end(&mut rest).await;
    assert!(ended.is_err() || (rest.len() as u64) < length - 1024, "{}", rest.len());
    served.seen.wait_for("files 200 /a.bin BodyBroke").await;
}
