//! How connections and the gateway itself end.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::support::{raw, read_answer, serve, summary};

#[tokio::test]
async fn draining_finishes_the_request_in_flight_and_closes_idle_connections() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = serve(|_| {}, Some(upstream.local_addr().unwrap())).await;
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    idle.write_all(b"GET /echo/a HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(summary(&read_answer(&mut idle).await), "200 a");
    let mut busy = TcpStream::connect(served.address).await.unwrap();
    busy.write_all(b"GET /up/x HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let (mut server, _) = upstream.accept().await.unwrap();

    let draining = tokio::spawn(served.trigger.drain(Duration::from_secs(20)));
    assert_eq!(summary(&read_answer(&mut idle).await), "closed");
    server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate").await.unwrap();
    assert_eq!(summary(&read_answer(&mut busy).await), "200 late");
    drop((server, busy));
    assert!(draining.await.unwrap(), "everything ended within the bound");
}

#[tokio::test]
async fn a_client_that_leaves_is_told_as_such_exactly_once() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = serve(|_| {}, Some(upstream.local_addr().unwrap())).await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client.write_all(b"GET /up/x HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let (_server, _) = upstream.accept().await.unwrap();
    drop(client);
    assert_eq!(served.seen.wait_for("up ").await, "up 499 /up/x ClientGone");
}

#[tokio::test]
async fn connections_beyond_the_bound_are_closed_at_once() {
    let served = serve(|config| config.connections_max = 1, None).await;
    let mut first = TcpStream::connect(served.address).await.unwrap();
    first.write_all(b"GET /echo/a HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert_eq!(summary(&read_answer(&mut first).await), "200 a");
    let mut second = TcpStream::connect(served.address).await.unwrap();
    assert_eq!(summary(&read_answer(&mut second).await), "closed");
    served.seen.wait_for("connection too_many").await;
    drop(first);
    let mut answer = String::new();
    while !answer.starts_with("200") {
        // The place is free as soon as the server has seen the first connection end.
        answer = summary(
            &raw(served.address, b"GET /echo/b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                .await,
        );
    }
}

#[tokio::test]
async fn an_answer_to_head_is_the_head_of_get() {
    let served = serve(|_| {}, None).await;
    let request = b"HEAD /echo/abc HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = raw(served.address, request).await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("content-length: 3\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    assert_eq!(served.seen.wait_for("echo.get").await, "echo.get 200 /echo/abc Complete");
    let answer =
        raw(served.address, b"HEAD /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn one_connection_carries_many_requests_with_bodies() {
    let served = serve(|_| {}, None).await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    for body in ["a", "bc", "", "def"] {
        let head =
            format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(body.as_bytes()).await.unwrap();
        assert_eq!(summary(&read_answer(&mut client).await), format!("200 {body}"));
    }
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back() {
    let served = serve(|_| {}, None).await;
    let request = b"GET /busy HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = raw(served.address, request).await;
    assert!(
        answer.starts_with("HTTP/1.1 429") && answer.contains("\r\nretry-after: 2\r\n"),
        "{answer}"
    );
}
