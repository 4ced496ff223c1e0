//! Listeners behind load balancers: who the client is, and who may say so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use yunzhan_base::config::Follow;
use yunzhan_gateway::client_address::TrustedProxies;
use yunzhan_gateway::listener::Listener;
use yunzhan_gateway::proxy_protocol::ProxyProtocol;
use yunzhan_gateway::{Config, Gateway};
use yunzhan_net::shutdown::Trigger;

use crate::support::{Seen, gateway, read_answer, summary};
use crate::tls::{acceptor, shake_hands};

const GET: &str = "GET /up/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const ECHO: &str = "GET /echo/a HTTP/1.1\r\nHost: a\r\n\r\n";

fn trust(network: &str) -> TrustedProxies {
    TrustedProxies::new([network.parse().unwrap()])
}

fn trust_loopback(config: &mut Config) {
    config.trusted_proxies = trust("127.0.0.0/8");
}

fn v1(client: &str) -> String {
    format!("PROXY TCP4 {client} 10.0.0.1 5000 443\r\n")
}

/// 203.0.113.7:5000 and an extension of one byte.
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\xcb\0\x71\x07\x0a\0\0\x01\x13\x88\0\x50\xea\0\x01\x09";
const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

struct Behind {
    address: SocketAddr,
    upstream: TcpListener,
    seen: Arc<Seen>,
    gateway: Arc<Gateway>,
    _trigger: Trigger,
}

impl Behind {
    async fn serve(
        change: impl FnOnce(&mut Config),
        tls: Option<TlsAcceptor>,
        proxy_protocol: ProxyProtocol,
    ) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (gateway, seen) = gateway(change, Some(upstream.local_addr().unwrap()));
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, trigger) = (tcp.local_addr().unwrap(), Trigger::default());
        let listener = Listener::new(tcp).with_tls(tls).with_proxy_protocol(proxy_protocol);
        tokio::spawn(Arc::clone(&gateway).serve_listener(listener, trigger.watcher()));
        Self { address, upstream, seen, gateway, _trigger: trigger }
    }

    async fn plain() -> Self {
        Self::serve(trust_loopback, None, ProxyProtocol::On).await
    }

    async fn connect(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    /// Whom the upstream is told to serve.
    async fn client_seen_upstream(&self) -> String {
        let (mut stream, _) = self.upstream.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        let line = head.lines().find_map(|line| line.strip_prefix("x-real-ip: "));
        line.unwrap_or_else(|| panic!("no address in {head}")).to_owned()
    }
}

#[tokio::test]
async fn a_header_of_either_version_names_the_client() {
    let behind = Behind::plain().await;
    for (header, client) in [
        (v1("203.0.113.7").as_bytes(), "203.0.113.7"),
        (b"PROXY TCP6 ::ffff:203.0.113.8 ::1 1 443\r\n", "203.0.113.8"),
        (b"PROXY TCP6 2001:db8::7 ::1 1 443\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (V2, "203.0.113.7"),
        (V2_LOCAL, "127.0.0.1"),
    ] {
        let mut stream = behind.connect(&[header, GET.as_bytes()].concat()).await;
        assert_eq!(behind.client_seen_upstream().await, client);
        assert!(read_answer(&mut stream).await.starts_with("HTTP/1.1 204"));
    }
}

#[tokio::test]
async fn a_header_may_come_byte_by_byte() {
    let behind = Behind::plain().await;
    for header in [v1("203.0.113.7").as_bytes(), V2] {
        let mut stream = TcpStream::connect(behind.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in [header, GET.as_bytes()].concat() {
            stream.write_u8(byte).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(behind.client_seen_upstream().await, "203.0.113.7");
    }
}

#[tokio::test]
async fn a_header_stands_before_the_handshake() {
    let (acceptor, roots) = acceptor();
    let behind = Behind::serve(trust_loopback, Some(acceptor), ProxyProtocol::V2).await;
    let stream = behind.connect(V2).await;
    let mut stream = shake_hands(stream, roots).await;
    stream.write_all(GET.as_bytes()).await.unwrap();
    assert_eq!(behind.client_seen_upstream().await, "203.0.113.7");
}

#[tokio::test]
async fn who_begins_otherwise_is_closed() {
    for (protocol, bytes) in [
        (ProxyProtocol::On, GET.as_bytes()),
        (ProxyProtocol::On, b"PROXY TCP4 203.0.113.7\r\n"),
        (ProxyProtocol::On, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"),
        (ProxyProtocol::V2, v1("203.0.113.7").as_bytes()),
        (ProxyProtocol::V1, V2),
    ] {
        let behind = Behind::serve(trust_loopback, None, protocol).await;
        let mut stream = behind.connect(bytes).await;
        behind.seen.wait_for("connection proxy_header").await;
        // A close with bytes unread is a reset.
        assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
    }
}

#[tokio::test]
async fn who_says_nothing_is_closed_when_the_time_for_a_head_is_over() {
    let quick = |config: &mut Config| {
        trust_loopback(config);
        config.head_timeout = Duration::from_millis(20);
    };
    let behind = Behind::serve(quick, None, ProxyProtocol::On).await;
    for begun in [&b""[..], b"PROXY TCP4 203."] {
        let mut stream = behind.connect(begun).await;
        behind.seen.wait_for("connection proxy_header").await;
        assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
    }
}

#[tokio::test]
async fn a_stranger_may_not_say_who_it_is() {
    let stranger = |config: &mut Config| config.trusted_proxies = trust("10.0.0.0/8");
    let behind = Behind::serve(stranger, None, ProxyProtocol::On).await;
    let mut stream = behind.connect(&[V2, GET.as_bytes()].concat()).await;
    behind.seen.wait_for("connection proxy_untrusted").await;
    assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn who_is_trusted_follows_a_reload() {
    let behind = Behind::serve(|_| {}, None, ProxyProtocol::On).await;
    let _refused = behind.connect(V2).await;
    behind.seen.wait_for("connection proxy_untrusted").await;
    let mut config = Config::default();
    trust_loopback(&mut config);
    behind.gateway.prepare(&config).unwrap().commit();
    let mut stream = behind.connect(&[V2, ECHO.as_bytes()].concat()).await;
    assert_eq!(summary(&read_answer(&mut stream).await), "200 a");
}

#[tokio::test]
async fn without_the_protocol_its_header_is_no_request() {
    let behind = Behind::serve(trust_loopback, None, ProxyProtocol::Off).await;
    let mut stream = behind.connect(&[V2, GET.as_bytes()].concat()).await;
    let answer = read_answer(&mut stream).await;
    assert!(!answer.contains("204"), "{answer}");
}

#[tokio::test]
async fn one_address_cannot_take_every_permit() {
    let one = |config: &mut Config| {
        trust_loopback(config);
        config.connections_per_address_max = 1;
    };
    let behind = Behind::serve(one, None, ProxyProtocol::On).await;
    let ask = async |client: &str| {
        let mut stream = behind.connect(format!("{}{ECHO}", v1(client)).as_bytes()).await;
        let mut answer = [0; 12];
        let read = stream.read_exact(&mut answer).await;
        (stream, read.is_ok().then(|| String::from_utf8_lossy(&answer[9..]).into_owned()))
    };
    let (first, answer) = ask("203.0.113.7").await;
    assert_eq!(answer.as_deref(), Some("200"));
    assert_eq!(ask("203.0.113.7").await.1, None);
    behind.seen.wait_for("connection too_many_of_address").await;
    assert_eq!(ask("203.0.113.8").await.1.as_deref(), Some("200"));
    drop(first);
    // The permit is free as soon as the server has seen the first connection end.
    while ask("203.0.113.7").await.1.is_none() {}
    // Behind a trusted proxy are many clients.
    let proxies = [ask("127.0.0.1").await, ask("127.0.0.1").await];
    assert!(proxies.iter().all(|(_, answer)| answer.as_deref() == Some("200")));
}

#[tokio::test]
async fn a_direct_client_is_counted_on_plain_listeners() {
    let one = |config: &mut Config| config.connections_per_address_max = 1;
    let behind = Behind::serve(one, None, ProxyProtocol::Off).await;
    let mut first = behind.connect(ECHO.as_bytes()).await;
    assert_eq!(summary(&read_answer(&mut first).await), "200 a");
    let mut second = TcpStream::connect(behind.address).await.unwrap();
    assert!(matches!(second.read(&mut [0]).await, Ok(0) | Err(_)));
    behind.seen.wait_for("connection too_many_of_address").await;
}
