//! A server behind the gateway: what it sees, what the client gets back, and how its deaths are survived.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use yunzhan_base::Access;

use crate::support::{raw, serve, summary};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\nKeep-Alive: 5\r\nX-Own: 1\r\n\r\nok";

/// Reads one request's head.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.unwrap();
        head.push(byte);
    }
    String::from_utf8(head).unwrap().to_ascii_lowercase()
}

#[tokio::test]
async fn an_upstream_sees_the_client_and_not_the_connection() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = serve(|_| {}, Some(upstream.local_addr().unwrap())).await;
    let request = "GET /up/a?b=1 HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\n\
                   X-Forwarded-For: 6.6.6.6\r\nTE: trailers\r\nAccept: */*\r\n\r\n";
    let asked = tokio::spawn(async move { raw(served.address, request.as_bytes()).await });
    let (mut stream, _) = upstream.accept().await.unwrap();
    let head = read_head(&mut stream).await;
    stream.write_all(OK).await.unwrap();
    let answer = asked.await.unwrap();

    assert!(head.starts_with("get /up/a?b=1 http/1.1\r\n"), "{head}");
    for present in [
        "host: shop.example",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-proto: http",
        "x-real-ip: 127.0.0.1",
    ] {
        assert!(head.contains(&format!("\r\n{present}\r\n")), "{present} is missing in {head}");
    }
    assert!(head.contains("\r\ntraceparent: 00-") && head.contains("\r\nx-request-id: "), "{head}");
    for absent in ["x-mine", "te:", "6.6.6.6", "keep-alive"] {
        assert!(!head.contains(absent), "{absent} was passed on in {head}");
    }
    assert!(answer.contains("x-own: 1") && !answer.contains("keep-alive"), "{answer}");
}

#[tokio::test]
async fn a_client_cannot_speak_for_the_gateway() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = serve(|_| {}, Some(upstream.local_addr().unwrap())).await;
    let request = "GET /up/a?env=theirs&client_id=theirs HTTP/1.1\r\nHost: shop.example\r\nConnection: host\r\n\
                   Forwarded: for=6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\n\
                   X-Real-IP: 6.6.6.6\r\n\r\n";
    let asked = tokio::spawn(async move { raw(served.address, request.as_bytes()).await });
    let (mut stream, _) = upstream.accept().await.unwrap();
    let head = read_head(&mut stream).await;
    stream.write_all(OK).await.unwrap();
    assert_eq!(summary(&asked.await.unwrap()), "200 ok");
    for present in ["host: shop.example", "x-forwarded-host: shop.example", "x-real-ip: 127.0.0.1"]
    {
        assert!(head.contains(&format!("\r\n{present}\r\n")), "{present} is missing in {head}");
    }
    for absent in ["6.6.6.6", "evil", "x-forwarded-port"] {
        assert!(!head.contains(absent), "{absent} was passed on in {head}");
    }
}

#[tokio::test]
async fn a_streamed_body_over_its_bound_is_the_clients_fault() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = upstream.local_addr().unwrap();
    let served = serve(
        |config| config.routes[0].policy = config.routes[0].policy.streaming(4),
        Some(address),
    )
    .await;
    let request = "POST /up/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let answer = summary(&raw(served.address, request.as_bytes()).await);
    assert!(answer.starts_with("413"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_nobody_takes_ends() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = upstream.local_addr().unwrap();
    let served =
        serve(|config| config.body_timeout = Duration::from_millis(1), Some(address)).await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client.write_all(b"GET /up/x HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let (mut server, _) = upstream.accept().await.unwrap();
    read_head(&mut server).await;
    server.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await.unwrap();
    let piece = vec![0; 1 << 16];
    // The gateway gives up on the client, and so on the upstream: writing to it fails in the end.
    let writing = async { while server.write_all(&piece).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), writing).await.expect("the gateway gives up");
    served.seen.wait_for("connection write_timeout").await;
}

#[tokio::test]
async fn an_upstream_learns_who_calls_from_us_alone() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = upstream.local_addr().unwrap();
    let served = serve(|config| config.routes[0].access = Access::User, Some(address)).await;
    let request =
        "GET /up/a HTTP/1.1\r\nHost: a\r\nX-WX-OPENID: somebody else\r\nX-WX-Unionid: 1\r\n";
    let stranger = raw(served.address, format!("{request}\r\n").as_bytes()).await;
    assert!(summary(&stranger).starts_with("401"), "{stranger}");
    let asked = format!("{request}Authorization: Bearer 小明\r\n\r\n");
    let asked = tokio::spawn(async move { raw(served.address, asked.as_bytes()).await });
    let (mut stream, _) = upstream.accept().await.unwrap();
    let head = read_head(&mut stream).await;
    stream.write_all(OK).await.unwrap();
    assert_eq!(summary(&asked.await.unwrap()), "200 ok");
    for present in ["x-wx-openid: dev-小明", "x-wx-env: shop", "x-wx-appid: wx1"] {
        assert!(head.contains(&format!("\r\n{present}\r\n")), "{present} is missing in {head}");
    }
    assert!(!head.contains("somebody") && !head.contains("unionid"), "{head}");
}

#[tokio::test]
async fn a_connection_that_died_while_idle_is_never_handed_out() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = serve(|_| {}, Some(upstream.local_addr().unwrap())).await;
    let rounds = 20;
    let serving = tokio::spawn(async move {
        for _ in 0..rounds {
            // One answer that promises to stay, then gone.
            let (mut stream, _) = upstream.accept().await.unwrap();
            read_head(&mut stream).await;
            stream.write_all(OK).await.unwrap();
        }
    });
    for round in 0..rounds {
        // POST: it must not be sent twice, so only a pool that never hands out a dead connection passes.
        let request = b"POST /up/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(summary(&raw(served.address, request).await), "200 ok", "round {round}");
    }
    serving.await.unwrap();
}

#[tokio::test]
async fn a_connection_is_used_again_while_it_lives() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = serve(|_| {}, Some(upstream.local_addr().unwrap())).await;
    let serving = tokio::spawn(async move {
        let (mut stream, _) = upstream.accept().await.unwrap();
        for _ in 0..3 {
            read_head(&mut stream).await;
            stream.write_all(OK).await.unwrap();
        }
    });
    for _ in 0..3 {
        assert_eq!(
            summary(&raw(served.address, b"GET /up/x HTTP/1.1\r\nHost: a\r\n\r\n").await),
            "200 ok"
        );
    }
    serving.await.unwrap();
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_only_when_that_is_safe() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = serve(|_| {}, Some(upstream.local_addr().unwrap())).await;
    let serving = tokio::spawn(async move {
        let mut seen = Vec::new();
        for answered in [false, true, false] {
            let (mut stream, _) = upstream.accept().await.unwrap();
            let head = read_head(&mut stream).await;
            seen.push(head.split(' ').next().unwrap().to_owned());
            if answered {
                stream.write_all(OK).await.unwrap();
            }
        }
        seen
    });
    assert_eq!(
        summary(&raw(served.address, b"GET /up/x HTTP/1.1\r\nHost: a\r\n\r\n").await),
        "200 ok"
    );
    let answer = summary(
        &raw(served.address, b"POST /up/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await,
    );
    assert!(answer.starts_with("502"), "{answer}");
    assert_eq!(serving.await.unwrap(), ["get", "get", "post"]);
}

#[tokio::test]
async fn malformed_and_missing_answers_become_502_503_and_504() {
    for (bytes, expected) in [
        (&b"NOT HTTP AT ALL\r\n\r\n"[..], "502"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "502"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "502"),
        (b"", "502"),
    ] {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let served = serve(|_| {}, Some(upstream.local_addr().unwrap())).await;
        let serving = tokio::spawn(async move {
            let (mut stream, _) = upstream.accept().await.unwrap();
            read_head(&mut stream).await;
            stream.write_all(bytes).await.unwrap();
        });
        let answer = summary(
            &raw(served.address, b"POST /up/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
                .await,
        );
        assert!(answer.starts_with(expected), "{:?} gave {answer}", String::from_utf8_lossy(bytes));
        serving.await.unwrap();
    }

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let served = serve(|_| {}, Some(closed)).await;
    let answer = summary(&raw(served.address, b"GET /up/x HTTP/1.1\r\nHost: a\r\n\r\n").await);
    assert!(answer.starts_with("503"), "{answer}");

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let impatient = |config: &mut yunzhan_gateway::Config| {
        config.routes[0].policy.timeout = Duration::from_millis(1);
    };
    let served = serve(impatient, Some(silent.local_addr().unwrap())).await;
    let answer = summary(&raw(served.address, b"GET /up/x HTTP/1.1\r\nHost: a\r\n\r\n").await);
    assert!(answer.starts_with("504"), "{answer}");
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = serve(|_| {}, Some(upstream.local_addr().unwrap())).await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client
        .write_all(
            b"POST /up/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
        )
        .await
        .unwrap();
    let (mut server, _) = upstream.accept().await.unwrap();
    let head = read_head(&mut server).await;
    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    // The first piece is here although the client has not sent its second.
    let mut piece = [0; 8];
    server.read_exact(&mut piece).await.unwrap();
    assert_eq!(&piece, b"3\r\none\r\n");
    client.write_all(b"0\r\n\r\n").await.unwrap();
    server
        .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ntwo\r\n")
        .await
        .unwrap();
    // And back: the first piece of an answer that has no end yet, and then its end.
    read_until(&mut client, "two").await;
    server.write_all(b"0\r\n\r\n").await.unwrap();
    read_until(&mut client, "0\r\n\r\n").await;
}

async fn read_until(stream: &mut TcpStream, end: &str) {
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(end) {
        let mut buffer = [0; 512];
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the answer ended before {end:?}");
        read.extend_from_slice(&buffer[..count]);
    }
}
