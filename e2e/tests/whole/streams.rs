//! Uploads and sockets through the real server, with the rules on that ship: memory stays flat, and a drain is told.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use yunzhan_e2e::{Options, Server};

/// Beyond this nothing may grow while an upload of any size passes.
const GROWTH_BYTES_MAX: u64 = 16 << 20;

const MIB: usize = 1 << 20;

async fn behind(upstream: &TcpListener) -> Server {
    let config = format!(
        "[[gateway.route]]\npath = \"/up/{{*rest}}\"\nupstream = \"http://{}\"\nbody_bytes_max = \"4GiB\"\n",
        upstream.local_addr().unwrap()
    );
    Server::start(Options::default().configured(&config)).await
}

/// Reads requests with a declared length and answers each with the bytes of its body.
async fn count(upstream: TcpListener) {
    while let Ok((mut stream, _)) = upstream.accept().await {
        tokio::spawn(async move {
            let mut buffer = vec![0; 1 << 16];
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => return,
                }
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.unwrap().parse().unwrap();
            let mut seen = 0;
            while seen < length {
                match stream.read(&mut buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => seen += count,
                }
            }
            let seen = seen.to_string();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{seen}", seen.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        });
    }
}

/// Uploads one file of so many bytes, with a pause before each piece, and gives the answer.
async fn upload(server: &Server, bytes: usize, piece: usize, pause: Duration) -> String {
    let begin = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\
                 Content-Type: application/octet-stream\r\n\r\n";
    let end = "\r\n--b--\r\n";
    let length = begin.len() + bytes + end.len();
    let mut client = TcpStream::connect(server.http().address()).await.unwrap();
    let head = format!(
        "POST /up/file HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: multipart/form-data; boundary=b\r\n\
         Content-Length: {length}\r\n\r\n{begin}"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let data = vec![0x5a; piece];
    for _ in 0..bytes / piece {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        client.write_all(&data).await.unwrap();
    }
    client.write_all(end.as_bytes()).await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_large_upload_passes_and_nothing_grows() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = behind(&upstream).await;
    tokio::spawn(count(upstream));
    // Whatever the first upload needs once is there afterwards.
    upload(&server, MIB, MIB, Duration::ZERO).await;
    let before = server.resident_bytes();
    let bytes = 256 * MIB;
    let answer = upload(&server, bytes, MIB, Duration::ZERO).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let grown = server.peak_resident_bytes().saturating_sub(before);
    assert!(grown <= GROWTH_BYTES_MAX, "grew by {grown} bytes");
}

/// Case 1 of the field, shortened: the whole takes longer than any single wait may.
#[tokio::test]
async fn a_slow_but_steady_upload_passes() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = format!(
        "[gateway]\nbody_timeout = \"1s\"\n[[gateway.route]]\npath = \"/up/{{*rest}}\"\nupstream = \"http://{}\"\ntimeout = \"1s\"\n",
        upstream.local_addr().unwrap()
    );
    let server = Server::start(Options::default().configured(&config)).await;
    tokio::spawn(count(upstream));
    let pause = Duration::from_millis(150);
    let answer = upload(&server, 400 << 10, 20 << 10, pause).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// An upstream that switches to WebSockets and floods each of them with frames of many lengths.
async fn flood(upstream: TcpListener) {
    while let Ok((mut stream, _)) = upstream.accept().await {
        tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                         Upgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";
            stream.write_all(head).await.unwrap();
            for bytes in (0..60_000_u16).step_by(7).cycle() {
                let mut frame = vec![0x82, 126];
                frame.extend_from_slice(&bytes.to_be_bytes());
                // Its bytes look like frames themselves.
                frame.resize(frame.len() + usize::from(bytes), 0x82);
                if stream.write_all(&frame).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// The code of the Close frame that ends what the upstream sends, after whole frames alone.
async fn close_code(client: &mut TcpStream, mut seen: impl FnMut()) -> u16 {
    loop {
        let (first, second) = (client.read_u8().await.unwrap(), client.read_u8().await.unwrap());
        if first == 0x88 {
            let code = client.read_u16().await.unwrap();
            let mut text = vec![0; usize::from(second) - 2];
            client.read_exact(&mut text).await.unwrap();
            // It agrees, under a mask of zeroes. On a busy machine that may be too late to be heard.
            let _ = client.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await;
            assert!(!matches!(client.read(&mut text).await, Ok(1..)), "nothing follows");
            return code;
        }
        assert_eq!((first, second), (0x82, 126), "a frame's beginning");
        let mut payload = vec![0; usize::from(client.read_u16().await.unwrap())];
        client.read_exact(&mut payload).await.unwrap();
        seen();
    }
}

#[tokio::test]
async fn every_client_of_an_upstream_s_sockets_hears_of_the_drain_under_load() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut server = behind(&upstream).await;
    tokio::spawn(flood(upstream));
    let (flowing, mut flows) = tokio::sync::mpsc::channel(1);
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = TcpStream::connect(server.http().address()).await.unwrap();
        let head = "GET /up/socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        client.write_all(head.as_bytes()).await.unwrap();
        let mut flowing = Some(flowing.clone());
        clients.push(tokio::spawn(async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.unwrap());
            }
            assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
            close_code(&mut client, || drop(flowing.take())).await
        }));
    }
    drop(flowing);
    // Ends when every client has seen a frame.
    assert_eq!(flows.recv().await, None::<()>);
    assert_eq!(server.terminate().await.code(), Some(0), "the sockets held the drain up");
    for client in clients {
        assert_eq!(client.await.unwrap(), 1001);
    }
}
