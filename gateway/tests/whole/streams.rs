//! Bodies and answers that stream, with the rules on that ship.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{raw, read_answer, serve, summary};

/// What an upstream that reads a request's body to its end got of it: bytes, or how it broke.
async fn read_body(stream: &mut TcpStream) -> Result<usize, String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.map_err(|error| error.to_string())?);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let length: usize = length.ok_or("no length")?;
    let mut buffer = vec![0; 1 << 16];
    let mut seen = 0;
    while seen < length {
        match stream.read(&mut buffer).await {
            Ok(0) => return Err(format!("ended after {seen} of {length}")),
            Ok(count) => seen += count,
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(seen)
}

/// A multipart body with one file of so many bytes.
fn file_of(bytes: usize) -> (String, &'static str) {
    let begin = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n";
    let end = "\r\n--b--\r\n";
    let length = begin.len() + bytes + end.len();
    let head = format!(
        "Host: a\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n{begin}"
    );
    (head, end)
}

/// Cases 1 and 2 of the field: a file larger than what rules look at, whose beginning alone they keep.
#[tokio::test]
async fn a_file_larger_than_what_rules_look_at_reaches_services_and_upstreams() {
    let bytes = 14 << 20;
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = upstream.local_addr().unwrap();
    let change = |config: &mut yunzhan_gateway::Config| {
        config.held_bytes_max = 1 << 20;
        config.routes[0].policy = config.routes[0].policy.streaming(16 << 20);
    };
    let served = serve(change, Some(address)).await;
    let reading = tokio::spawn(async move {
        let (mut stream, _) = upstream.accept().await.unwrap();
        let read = read_body(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
        read
    });
    let (head, end) = file_of(bytes);
    for path in ["/upload", "/up/x"] {
        let mut client = TcpStream::connect(served.address).await.unwrap();
        client.write_all(format!("POST {path} HTTP/1.1\r\n{head}").as_bytes()).await.unwrap();
        for _ in 0..bytes >> 16 {
            client.write_all(&[b'x'; 1 << 16]).await.unwrap();
        }
        client.write_all(end.as_bytes()).await.unwrap();
        let answer = summary(&read_answer(&mut client).await);
        assert!(answer.starts_with("200 "), "{path}: {answer}");
    }
    assert!(reading.await.unwrap().is_ok_and(|read| read > bytes));
}

#[tokio::test]
async fn a_refused_body_never_reaches_its_end_at_the_upstream() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = upstream.local_addr().unwrap();
    let change = |config: &mut yunzhan_gateway::Config| {
        config.routes[0].policy = config.routes[0].policy.streaming(16 << 20);
    };
    let served = serve(change, Some(address)).await;
    let reading = tokio::spawn(async move {
        let (mut stream, _) = upstream.accept().await.unwrap();
        read_body(&mut stream).await
    });
    let attack = format!("a={}&id=1'+or+'1'%3D'1", "x".repeat(2 << 20));
    let request = format!(
        "POST /up/x HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{attack}",
        attack.len()
    );
    let answer = summary(&raw(served.address, request.as_bytes()).await);
    assert!(answer.starts_with("403 "), "{answer}");
    assert!(reading.await.unwrap().is_err(), "the upstream took a refused body for whole");
}

/// An upstream that answers before it has read the body reads no more of it, and nobody waits for the client to send it.
#[tokio::test]
async fn an_upstream_that_answers_early_is_let_go_with_its_answer() {
    for answer in [
        "HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\n\r\nbig",
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 413 Payload Too Large\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbig\r\n0\r\n\r\n",
    ] {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = upstream.local_addr().unwrap();
        let change = |config: &mut yunzhan_gateway::Config| {
            config.routes[0].policy = config.routes[0].policy.streaming(64 << 20);
        };
        let served = serve(change, Some(address)).await;
        let serving = tokio::spawn(async move {
            let (mut stream, _) = upstream.accept().await.unwrap();
            let mut buffer = vec![0; 1 << 16];
            let mut seen = 0;
            while seen < 1 << 16 {
                seen += stream.read(&mut buffer).await.unwrap();
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            while let Ok(1..) = stream.read(&mut buffer).await {}
        });
        let (head, _) = file_of(40 << 20);
        let mut client = TcpStream::connect(served.address).await.unwrap();
        client.write_all(format!("POST /up/x HTTP/1.1\r\n{head}").as_bytes()).await.unwrap();
        client.write_all(&[b'x'; 1 << 17]).await.unwrap();
        let status = &answer["HTTP/1.1 ".len()..][..3];
        let answer = summary(&read_answer(&mut client).await);
        assert!(answer.starts_with(status), "{answer}");
        // The client still has its connection, and does not go on.
        let is_over = tokio::time::timeout(Duration::from_secs(10), serving).await;
        is_over.expect("the upstream is let go").unwrap();
        served.seen.wait_for("up ").await;
        drop(client);
    }
}

#[tokio::test]
async fn a_hundred_slow_uploads_leave_the_budget_to_others() {
    let served = serve(|config| config.held_bytes_max = 1 << 20, None).await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let (head, _) = file_of(8 << 20);
        let mut client = TcpStream::connect(served.address).await.unwrap();
        client.write_all(format!("POST /upload HTTP/1.1\r\n{head}").as_bytes()).await.unwrap();
        client.write_all(&[b'x'; 32 << 10]).await.unwrap();
        slow.push(client);
    }
    let body = "x".repeat(48 << 10);
    let request =
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let answer = raw(served.address, request.as_bytes()).await;
    assert!(summary(&answer).starts_with("200 x"), "{}", &answer[..200]);
}

/// Case 10 of the field: the client sends all of a body that was refused, and only then reads.
#[tokio::test]
async fn a_refusal_is_read_by_a_client_that_sends_everything_first() {
    let served = serve(|_| {}, None).await;
    let bytes: usize = 40 << 20;
    for (path, status) in [("/echo", "413"), ("/carried", "413"), ("/nowhere", "404")] {
        for _ in 0..3 {
            let mut client = TcpStream::connect(served.address).await.unwrap();
            let head =
                format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
            for _ in 0..bytes >> 16 {
                client.write_all(&[b'x'; 1 << 16]).await.expect("the server takes what is sent");
            }
            let answer = summary(&read_answer(&mut client).await);
            assert!(answer.starts_with(status), "{path}: {answer}");
        }
    }
}

/// Case 11 of the field, and the drain that sockets have too.
#[tokio::test]
async fn a_stream_of_events_may_be_silent_and_ends_in_order_at_drain() {
    let served = serve(|config| config.body_timeout = Duration::from_millis(1), None).await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client.write_all(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut read = String::new();
    let mut buffer = [0; 512];
    while !read.contains("data: 1") {
        let count = client.read(&mut buffer).await.unwrap();
        assert!(count > 0, "{read}");
        read.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    assert!(served.trigger.drain(Duration::from_secs(20)).await, "the stream held the drain up");
    while let Ok(count @ 1..) = client.read(&mut buffer).await {
        read.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    assert!(read.ends_with("0\r\n\r\n"), "the stream did not end cleanly: {read}");
    assert_eq!(served.seen.wait_for("echo.events").await, "echo.events 200 /events Complete");
}

/// Case 32 of the field.
#[tokio::test]
async fn an_upstream_that_switches_protocols_unasked_is_a_bad_one() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = serve(|_| {}, Some(upstream.local_addr().unwrap())).await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = upstream.accept().await {
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
            let head =
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
            let _ = stream.write_all(head).await;
        }
    });
    let answer = summary(
        &raw(served.address, b"POST /up/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").await,
    );
    assert!(answer.starts_with("502"), "{answer}");
}

/// Case 8 of the field.
#[tokio::test]
async fn a_length_beside_chunks_never_shifts_what_follows() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = serve(|_| {}, Some(upstream.local_addr().unwrap())).await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = upstream.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 1024];
                while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
                    let _ = stream.write_all(answer).await;
                }
            });
        }
    });
    let mut client = TcpStream::connect(served.address).await.unwrap();
    for _ in 0..2 {
        client.write_all(b"GET /up/x HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        let answer = read_answer(&mut client).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("HTTP/1.1 502")
                || (!head.contains("content-length") && body.starts_with("5\r\nhello\r\n0")),
            "{answer}"
        );
        if head.starts_with("HTTP/1.1 502") {
            client = TcpStream::connect(served.address).await.unwrap();
        }
    }
}

/// Case 7 of the field.
#[tokio::test]
async fn a_host_that_is_none_is_refused() {
    let served = serve(|_| {}, None).await;
    for host in ["a b", "shop.example/evil", "shop.example:80:81", "x\"><script>"] {
        let request = format!("GET /echo/a HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let answer = raw(served.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{host}: {answer}");
    }
}
