//! A server behind a load balancer: whom its log names.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use yunzhan_e2e::{Options, Server};

const LIST: &str = r#"
[gateway]
trusted_proxies = ["127.0.0.0/8"]

[[listen]]
address = "127.0.0.1:0"
proxy_protocol = "on"
"#;

/// Asks a listener for a path, with what stands before the request.
async fn ask(url: &str, before: &str, path: &str) -> String {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{before}GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// The addresses of the access log's lines about a path or a failed connection.
fn remotes(log: &str, member: &str, value: &str) -> Vec<String> {
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let wanted = lines.filter(|line| line[member] == value);
    wanted.map(|line| line["remote"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_log_of_a_listed_listener_names_the_client_and_not_the_proxy() {
    let mut server = Server::start(Options::default().configured(LIST)).await;
    let listeners = server.ready()["listeners"].as_array().unwrap().clone();
    let proxied = listeners.iter().find(|listener| listener["proxy_protocol"] == true).unwrap();
    let proxied = proxied["url"].as_str().unwrap();
    let header = "PROXY TCP4 203.0.113.7 10.0.0.1 5000 443\r\n";
    assert!(ask(proxied, header, "/seen").await.starts_with("HTTP/1.1 404"));
    let mapped = "PROXY TCP6 ::ffff:203.0.113.8 ::1 5001 443\r\n";
    assert!(ask(proxied, mapped, "/mapped").await.starts_with("HTTP/1.1 404"));
    // The listeners of the variables stand beside the list, and take no such header.
    assert!(ask(server.url("http"), "", "/direct").await.starts_with("HTTP/1.1 404"));
    assert!(!ask(server.url("http"), header, "/refused").await.contains("404"));

    server.terminate().await;
    let log = std::fs::read_to_string(server.data().access_log()).unwrap();
    assert_eq!(remotes(&log, "path", "/seen"), ["203.0.113.7:5000"], "{log}");
    assert_eq!(remotes(&log, "path", "/mapped"), ["203.0.113.8:5001"], "{log}");
    assert!(remotes(&log, "path", "/direct")[0].starts_with("127.0.0.1:"), "{log}");
}
