//! What a broken or hostile client gets: a documented refusal or a clean close, and nothing of it reaches an upstream.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{BODY_BYTES_MAX, raw, read_answer, serve, summary};

#[tokio::test]
async fn framing_that_two_readers_could_read_differently_is_refused() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = serve(|_| {}, Some(upstream.local_addr().unwrap())).await;
    let cases: &[(&str, &str)] = &[
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "400"),
        ("Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "400"),
        ("Content-Length: 5, 5\r\n\r\nhello", "400"),
        ("Content-Length: +5\r\n\r\nhello", "400"),
        ("Content-Length: -1\r\n\r\n", "400"),
        ("Content-Length: 0x5\r\n\r\nhello", "400"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
        ("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "400"),
        ("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "400"),
        ("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "400"),
        ("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400"),
        ("X: a\r\n b\r\n\r\n", "400"),
        ("X: a\0b\r\n\r\n", "400"),
        ("Host: second\r\n\r\n", "400"),
    ];
    for (rest, status) in cases {
        let answer = summary(
            &raw(served.address, format!("POST /up/x HTTP/1.1\r\nHost: a\r\n{rest}").as_bytes())
                .await,
        );
        assert!(answer.starts_with(status), "{rest:?} gave {answer}");
    }
    for target in ["/up/../x", "/up/%2e%2e/x", "/up/a%2Fb", "/up/./x"] {
        let answer = summary(
            &raw(served.address, format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
                .await,
        );
        assert!(answer.starts_with("400"), "{target} gave {answer}");
    }
    // Hidden behind another request in the same packet.
    for rest in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 1\r\n\r\na",
    ] {
        let two = format!(
            "GET /echo/a HTTP/1.1\r\nHost: a\r\n\r\nPOST /up/x HTTP/1.1\r\nHost: a\r\n{rest}"
        );
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(two.as_bytes()).await.unwrap();
        let answers = read_to_end(&mut stream).await;
        assert!(answers.contains("HTTP/1.1 400 Bad Request"), "{rest:?} gave {answers}");
    }
    // The same in two packets, cut inside the second head.
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let first = "GET /echo/a HTTP/1.1\r\nHost: a\r\n\r\nPOST /up/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n";
    stream.write_all(first.as_bytes()).await.unwrap();
    assert_eq!(summary(&read_answer(&mut stream).await), "200 a");
    stream.write_all(b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await.unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.contains("HTTP/1.1 400 Bad Request"), "{answer}");
    let no_host = summary(&raw(served.address, b"GET /up/x HTTP/1.1\r\n\r\n").await);
    assert!(no_host.starts_with("400"), "{no_host}");
    // Nobody ever connected to the upstream: nothing of all this was passed on.
    let nobody = tokio::time::timeout(Duration::ZERO, upstream.accept()).await;
    assert!(nobody.is_err(), "an upstream saw a refused request");
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let reading = stream.read_to_end(&mut read);
    let _ = tokio::time::timeout(Duration::from_secs(20), reading).await.expect("a close");
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn heads_and_bodies_are_bounded() {
    let served = serve(|_| {}, None).await;
    let many: String = (0..10_000).map(|index| format!("x-{index}: 1\r\n")).collect();
    let answer =
        raw(served.address, format!("GET /echo/a HTTP/1.1\r\nHost: a\r\n{many}\r\n").as_bytes())
            .await;
    assert!(summary(&answer).starts_with("431"), "{answer}");
    let long = "a".repeat(100_000);
    let answer =
        raw(served.address, format!("GET /echo/{long} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
            .await;
    assert!(
        summary(&answer).starts_with("41")
            || summary(&answer).starts_with("431")
            || answer.is_empty(),
        "{answer}"
    );

    let declared =
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", BODY_BYTES_MAX + 1);
    let answer = summary(&raw(served.address, declared.as_bytes()).await);
    assert!(answer.starts_with("413 too_large the body is larger than 65536 bytes"), "{answer}");
    let chunk = "a".repeat(BODY_BYTES_MAX / 2 + 1);
    let chunk = format!("{:x}\r\n{chunk}\r\n", chunk.len());
    let chunked = format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    );
    let answer = summary(&raw(served.address, chunked.as_bytes()).await);
    assert!(answer.starts_with("413 too_large"), "{answer}");
}

#[tokio::test]
async fn a_body_that_ends_early_is_malformed_and_reaches_no_service() {
    let served = serve(|_| {}, None).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    let answer = summary(&read_answer(&mut stream).await);
    assert!(answer == "closed" || answer.starts_with("400 malformed"), "{answer}");
    let line = served.seen.wait_for("echo.post").await;
    assert!(line == "echo.post 400 /echo Complete" || line.starts_with("echo.post 499"), "{line}");
}

#[tokio::test]
async fn held_bodies_share_one_budget() {
    let served = serve(|config| config.held_bytes_max = BODY_BYTES_MAX, None).await;
    let post = |length: usize| {
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")
    };
    let large = BODY_BYTES_MAX / 2 + 1;
    let whole = format!("{}{}", post(large), "b".repeat(large));
    let mut first = TcpStream::connect(served.address).await.unwrap();
    first.write_all(&whole.as_bytes()[..whole.len() - 1]).await.unwrap();
    // As soon as the first body is being held there is no room for a second large one.
    let mut answer = String::new();
    while !answer.starts_with("429 too_many_at_once too many large requests") {
        assert!(answer.is_empty() || answer.starts_with("200 b"), "{answer}");
        answer = summary(&raw(served.address, whole.as_bytes()).await);
    }
    let small = format!("{}s", post(1));
    assert_eq!(summary(&raw(served.address, small.as_bytes()).await), "200 s");
    first.write_all(b"b").await.unwrap();
    assert!(summary(&read_answer(&mut first).await).starts_with("200 b"));
    // The share is given back with the exchange.
    while !summary(&raw(served.address, whole.as_bytes()).await).starts_with("200 b") {}
}

#[tokio::test]
async fn slow_heads_and_slow_bodies_are_cut_off() {
    let short = Duration::from_millis(1);
    let served =
        serve(|config| (config.head_timeout, config.body_timeout) = (short, short), None).await;
    let mut slow_head = TcpStream::connect(served.address).await.unwrap();
    slow_head.write_all(b"GET /echo/a HTTP/1.1\r\nHo").await.unwrap();
    let mut slow_body = TcpStream::connect(served.address).await.unwrap();
    slow_body
        .write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nha")
        .await
        .unwrap();
    let answer = summary(&read_answer(&mut slow_body).await);
    assert!(answer.starts_with("504 timeout the body stalled"), "{answer}");
    assert_eq!(summary(&read_answer(&mut slow_head).await), "closed");
    served.seen.wait_for("connection head_timeout").await;
}

#[tokio::test]
async fn what_does_not_exist_is_told_apart() {
    let served = serve(|_| {}, None).await;
    let ask = async |line: &str| {
        summary(
            &raw(served.address, format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await,
        )
    };
    assert_eq!(ask("GET /echo/%E4%BA%91").await, "200 云");
    assert!(ask("GET /echo/%zz").await.starts_with("400"), "a broken escape");
    assert!(ask("DELETE /echo").await.starts_with("405"));
    let answer = raw(served.address, b"DELETE /echo HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.contains("\r\nallow: POST\r\n"), "{answer}");
    // Below a service's paths the service's dialect says no, elsewhere the plain one.
    assert!(ask("GET /echo/a/b").await.starts_with("404 not_found there is no route"));
    assert!(ask("GET /nothing").await.starts_with("404 {\"code\":\"NOT_FOUND\""));
    assert!(
        ask("GET /echo/a?env=nowhere")
            .await
            .starts_with("404 env_not_found there is no environment nowhere")
    );
}
