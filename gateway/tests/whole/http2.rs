//! HTTP/2 clients that take nothing of what they asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use yunzhan_net::shutdown::Trigger;

use crate::support::{BODY_BYTES_MAX, Seen, gateway};
use crate::tls::{acceptor, shake_hands_for};

/// What the client lets a stream send before it takes a byte.
const WINDOW_BYTES: u32 = 1024;

/// A connection over HTTP/2 whose client answers pings.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    seen: Arc<Seen>,
    _trigger: Trigger,
}

async fn connect(upstream: Option<std::net::SocketAddr>) -> Connection {
    let impatient = |config: &mut yunzhan_gateway::Config| {
        config.body_timeout = Duration::from_millis(200);
    };
    let (acceptor, roots) = acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (gateway, seen) = gateway(impatient, upstream);
    let trigger = Trigger::default();
    tokio::spawn(gateway.serve_tcp(listener, Some(acceptor), trigger.watcher()));
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = shake_hands_for(stream, roots, vec![b"h2".to_vec()]).await;
    let mut builder = Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(WINDOW_BYTES);
    let (sender, driver) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(driver);
    Connection { sender, seen, _trigger: trigger }
}

impl Connection {
    async fn post(&mut self, path: &str, body: Vec<u8>) -> Response<Incoming> {
        let request = Request::post(format!("https://localhost{path}"));
        self.sender.send_request(request.body(Full::from(body)).unwrap()).await.unwrap()
    }

    /// Whether the connection still answers.
    async fn is_alive(&mut self) -> bool {
        let answer = self.post("/echo", b"a".to_vec()).await;
        answer.into_body().collect().await.unwrap().to_bytes() == "a"
    }
}

/// Case 23 of the field. The answer is there whole, so that its last byte could be handed over at once.
#[tokio::test]
async fn a_stream_whose_client_takes_no_byte_ends_and_its_connection_does_not() {
    let mut connection = connect(None).await;
    let answer = connection.post("/echo", vec![b'x'; BODY_BYTES_MAX]).await;
    assert_eq!(answer.status(), 200);
    let ended = connection.seen.wait_for("echo.post").await;
    assert_eq!(ended, "echo.post 200 /echo ClientGone", "nobody took it");
    assert!(answer.into_body().collect().await.is_err(), "the stream was reset");
    assert!(connection.is_alive().await);
}

/// The same with an answer that streams: the upstream's connection ends with the stream.
#[tokio::test]
async fn a_stream_whose_client_takes_no_byte_keeps_no_upstream() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut connection = connect(Some(upstream.local_addr().unwrap())).await;
    let serving = tokio::spawn(async move {
        let (mut stream, _) = upstream.accept().await.unwrap();
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let (mut read, mut write) = stream.split();
        let writing = async {
            loop {
                // Pieces that are each smaller than the window.
                if write.write_all(b"3\r\none\r\n").await.is_err() {
                    return;
                }
            }
        };
        let reading = async {
            let mut buffer = [0; 4096];
            while let Ok(1..) = read.read(&mut buffer).await {}
        };
        tokio::select! { () = writing => {}, () = reading => {} }
    });
    let answer = connection.post("/up/x", Vec::new()).await;
    assert_eq!(answer.status(), 200);
    let ended = connection.seen.wait_for("up ").await;
    assert_eq!(ended, "up 200 /up/x ClientGone");
    let is_over = tokio::time::timeout(Duration::from_secs(20), serving).await;
    is_over.expect("the upstream is let go").unwrap();
    assert!(answer.into_body().collect().await.is_err(), "the stream was reset");
    assert!(connection.is_alive().await);
}
