//! WebSockets: of a service, and through to an upstream.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message, protocol::CloseFrame};
use yunzhan_base::event::{AccessEnded, Event};
use yunzhan_gateway::Config;

use crate::support::{Served, raw, serve, summary};

type Client = WebSocketStream<TcpStream>;

async fn connect(served: &Served, path: &str) -> Result<Client, Error> {
    let stream = TcpStream::connect(served.address).await.unwrap();
    let address = format!("ws://{}{path}", served.address);
    tokio_tungstenite::client_async(address, stream).await.map(|(client, _)| client)
}

/// The code with which the server closed, or what came instead.
async fn close_code(client: &mut Client) -> String {
    let next = tokio::time::timeout(Duration::from_secs(20), client.next()).await.expect("an end");
    match next {
        Some(Ok(Message::Close(Some(CloseFrame { code, .. })))) => u16::from(code).to_string(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_service_says_every_message_again() {
    let served = serve(|_| {}, None).await;
    let mut client = connect(&served, "/socket").await.unwrap();
    for message in [Message::text("云栈"), Message::binary(vec![0; 40_000]), Message::text("")] {
        client.send(message.clone()).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), message);
    }
    client.send(Message::Ping("are you there".into())).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong("are you there".into()));
    client.send(Message::text("go")).await.unwrap();
    assert_eq!(close_code(&mut client).await, "1000");
    drop(client);
    assert_eq!(served.seen.wait_for("echo.socket").await, "echo.socket 101 /socket Complete");
}

#[tokio::test]
async fn a_client_that_leaves_without_a_word_is_gone() {
    let served = serve(|_| {}, None).await;
    drop(connect(&served, "/socket").await.unwrap());
    assert_eq!(served.seen.wait_for("echo.socket").await, "echo.socket 101 /socket ClientGone");
}

/// Messages travel both ways at every moment, and nobody is cut off.
#[tokio::test(flavor = "multi_thread")]
async fn every_client_hears_that_the_server_goes_in_the_middle_of_its_messages() {
    let served = serve(|_| {}, None).await;
    let (under_way, mut are_under_way) = tokio::sync::mpsc::channel(50);
    let mut clients = Vec::new();
    for _ in 0..50 {
        let (mut sink, mut stream) = connect(&served, "/socket").await.unwrap().split();
        let under_way = under_way.clone();
        clients.push(tokio::spawn(async move {
            let sending = tokio::spawn(async move {
                while sink.send(Message::binary(vec![7; 9000])).await.is_ok() {}
            });
            let mut heard = 0;
            let end = loop {
                match stream.next().await {
                    Some(Ok(Message::Binary(_))) => heard += 1,
                    Some(Ok(Message::Close(Some(frame)))) => {
                        break u16::from(frame.code).to_string();
                    }
                    other => break format!("{other:?}"),
                }
                if heard == 20 {
                    under_way.send(()).await.unwrap();
                }
            };
            sending.await.unwrap();
            end
        }));
    }
    for _ in 0..50 {
        are_under_way.recv().await.unwrap();
    }
    // Shorter than a service is given that does not hear of the end.
    let draining = tokio::spawn(served.trigger.drain(Duration::from_secs(4)));
    for client in clients {
        assert_eq!(client.await.unwrap(), "1001");
    }
    assert!(draining.await.unwrap(), "sockets held the drain up");
}

#[tokio::test]
async fn every_client_hears_that_the_server_goes() {
    let served = serve(|_| {}, None).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(connect(&served, "/socket").await.unwrap());
    }
    let draining = tokio::spawn(served.trigger.drain(Duration::from_secs(20)));
    for client in &mut clients {
        assert_eq!(close_code(client).await, "1001");
    }
    drop(clients);
    assert!(draining.await.unwrap(), "sockets held the drain up");
}

#[tokio::test]
async fn what_breaks_a_bound_or_the_protocol_is_told_by_its_code() {
    let served = serve(|_| {}, None).await;
    let mut client = connect(&served, "/socket").await.unwrap();
    client.send(Message::binary(vec![0; 100_000])).await.unwrap();
    assert_eq!(close_code(&mut client).await, "1009");
    for (bytes, code) in [
        // A text that is not UTF-8, masked with zeroes.
        (&[0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe][..], "1007"),
        // A frame with a reserved operation.
        (&[0x83, 0x80, 0, 0, 0, 0], "1002"),
        // A frame without a mask.
        (&[0x81, 0x01, b'a'], "1002"),
    ] {
        let mut client = connect(&served, "/socket").await.unwrap();
        client.get_mut().write_all(bytes).await.unwrap();
        assert_eq!(close_code(&mut client).await, code, "{bytes:?}");
    }
}

#[tokio::test]
async fn a_socket_keeps_its_connection_s_places_until_it_ends() {
    for (of_listener, of_address, refused) in
        [(1, 9, "connection too_many"), (9, 1, "connection too_many_of_address")]
    {
        let bound = |config: &mut Config| {
            config.connections_max = of_listener;
            config.connections_per_address_max = of_address;
        };
        let served = serve(bound, None).await;
        let mut client = connect(&served, "/socket").await.unwrap();
        client.send(Message::text("upgraded")).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::text("upgraded"));
        assert!(connect(&served, "/socket").await.is_err(), "{refused}");
        served.seen.wait_for(refused).await;
        drop(client);
        served.seen.wait_for("echo.socket").await;
        // The places are free as soon as the server is through with the socket.
        while connect(&served, "/socket").await.is_err() {}
    }
}

#[tokio::test]
async fn sockets_have_bounds_and_hear_of_a_ban() {
    let served = serve(|config| config.sockets_max = [10, 10, 2], None).await;
    let mut first = connect(&served, "/socket").await.unwrap();
    let _second = connect(&served, "/socket").await.unwrap();
    match connect(&served, "/socket").await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 429),
        other => panic!("{:?}", other.map(drop)),
    }
    let address = "127.0.0.1".parse().unwrap();
    served.events.emit(&Event::AccessEnded(AccessEnded::Address(address)));
    assert_eq!(close_code(&mut first).await, "1008");
}

#[tokio::test]
async fn a_socket_without_a_handshake_is_refused_in_words() {
    let served = serve(|_| {}, None).await;
    let answer = summary(&raw(served.address, b"GET /socket HTTP/1.1\r\nHost: a\r\n\r\n").await);
    assert!(answer.starts_with("400 malformed this address is a WebSocket"), "{answer}");
}

/// A tunnel to an upstream that says every text again, and what that saw: texts, and the code of the end.
async fn tunnel() -> (Served, Client, JoinHandle<(usize, String)>) {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = upstream.local_addr().unwrap();
    let change = |config: &mut yunzhan_gateway::Config| {
        config.routes[0].policy = config.routes[0].policy.timeout(Duration::from_secs(2));
    };
    let served = serve(change, Some(address)).await;
    let serving = tokio::spawn(async move {
        let (stream, _) = upstream.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let mut seen = 0;
        loop {
            match socket.next().await {
                Some(Ok(message)) if message.is_text() => {
                    seen += 1;
                    socket.send(message).await.unwrap();
                }
                Some(Ok(Message::Close(Some(CloseFrame { code, .. })))) => {
                    return (seen, u16::from(code).to_string());
                }
                other => return (seen, format!("{other:?}")),
            }
        }
    });
    let client = connect(&served, "/up/socket").await.unwrap();
    (served, client, serving)
}

/// Case 4 of the field: 101 and bytes both ways, beyond the route's time-out, ended at drain.
#[tokio::test]
async fn a_websocket_passes_through_to_an_upstream_and_both_hear_of_the_drain() {
    let (served, mut client, serving) = tunnel().await;
    for text in ["one", "two"] {
        client.send(Message::text(text)).await.unwrap();
        assert_eq!(client.next().await.unwrap().unwrap(), Message::text(text));
    }
    let draining = tokio::spawn(served.trigger.drain(Duration::from_secs(20)));
    assert_eq!(close_code(&mut client).await, "1001");
    assert!(client.next().await.is_none(), "the connection ends in order");
    assert!(draining.await.unwrap(), "the tunnel held the drain up");
    assert_eq!(serving.await.unwrap(), (2, "1001".into()));
}

#[tokio::test]
async fn a_client_of_an_upstream_hears_that_its_access_ended() {
    let (served, mut client, serving) = tunnel().await;
    let address = "127.0.0.1".parse().unwrap();
    served.events.emit(&Event::AccessEnded(AccessEnded::Address(address)));
    assert_eq!(close_code(&mut client).await, "1008");
    assert_eq!(serving.await.unwrap(), (0, "1001".into()), "the upstream did nothing wrong");
}

/// An upstream that does not want to switch answers as it likes.
#[tokio::test]
async fn an_upstream_may_refuse_a_websocket() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = serve(|_| {}, Some(upstream.local_addr().unwrap())).await;
    tokio::spawn(async move {
        let (mut stream, _) = upstream.accept().await.unwrap();
        let mut buffer = [0; 2048];
        let _ = stream.read(&mut buffer).await;
        let _ =
            stream.write_all(b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n").await;
    });
    match connect(&served, "/up/socket").await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 426),
        other => panic!("{:?}", other.map(drop)),
    }
}
