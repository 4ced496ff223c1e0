//! Callers whose token is in the body: it is read within the route's bound, and nobody is called for a stranger.

use crate::support::{BODY_BYTES_MAX, raw, serve, summary};

#[tokio::test]
async fn who_asks_is_read_from_the_body_before_anything_is_done() {
    let served = serve(|_| {}, None).await;
    let ask = async |head: &str, body: &str| {
        let length = body.len();
        let request = format!(
            "POST /carried HTTP/1.1\r\nHost: a\r\n{head}Content-Length: {length}\r\n\r\n{body}"
        );
        summary(&raw(served.address, request.as_bytes()).await)
    };
    // What was held for the answer to who asks is what the service gets.
    assert_eq!(ask("", "小明").await, "200 小明");
    for (head, body) in [("", ""), ("", "小红"), ("Authorization: Bearer 小明\r\n", "小红")] {
        let answer = ask(head, body).await;
        assert!(answer.starts_with("401 unauthenticated"), "{head}{body} gave {answer}");
    }
    let elsewhere = "POST /carried?env=other HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n小明";
    let answer = summary(&raw(served.address, elsewhere.as_bytes()).await);
    assert!(answer.starts_with("404 env_not_found"), "{answer}");
}

#[tokio::test]
async fn a_stranger_cannot_make_the_server_read_more_than_the_bound() {
    let served = serve(|_| {}, None).await;
    let declared = BODY_BYTES_MAX + 1;
    let declared =
        format!("POST /carried HTTP/1.1\r\nHost: a\r\nContent-Length: {declared}\r\n\r\n");
    let part = "a".repeat(BODY_BYTES_MAX / 2 + 1);
    let chunk = format!("{:x}\r\n{part}\r\n", part.len());
    let chunked = format!(
        "POST /carried HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}"
    );
    for request in [declared, chunked] {
        let answer = summary(&raw(served.address, request.as_bytes()).await);
        assert!(answer.starts_with("413 too_large"), "{answer}");
    }
}
