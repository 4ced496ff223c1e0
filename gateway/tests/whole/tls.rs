//! HTTPS: what phones and browsers negotiate.

use std::sync::Arc;

use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, NamedGroup, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use yunzhan_gateway::tls::{Certificate, CertificateFiles, development_certificate};
use yunzhan_net::shutdown::Trigger;

use crate::support::{gateway, read_answer, summary};

/// What shakes hands with a new certificate, and whom to trust for it.
pub fn acceptor() -> (TlsAcceptor, RootCertStore) {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = development_certificate().unwrap();
    let files = CertificateFiles {
        chain: folder.path().join("chain.pem"),
        key: folder.path().join("key.pem"),
    };
    std::fs::write(&files.chain, &chain).unwrap();
    std::fs::write(&files.key, &key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()).unwrap();
    (Certificate::load(&files).unwrap().acceptor().unwrap(), roots)
}

/// Serves HTTPS and connects to it.
async fn connect(
    versions: &[&'static SupportedProtocolVersion],
    protocol: &[u8],
) -> (TlsStream<TcpStream>, Trigger) {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    connect_with(provider, versions, protocol).await
}

/// The same with a client of these suites and groups.
async fn connect_with(
    provider: CryptoProvider,
    versions: &[&'static SupportedProtocolVersion],
    protocol: &[u8],
) -> (TlsStream<TcpStream>, Trigger) {
    let (acceptor, roots) = acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let trigger = Trigger::default();
    tokio::spawn(gateway(|_| {}, None).0.serve_tcp(listener, Some(acceptor), trigger.watcher()));

    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let config = builder.with_protocol_versions(versions).unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    (TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap(), trigger)
}

/// Makes TLS of a connection, with a client as they are by default.
pub async fn shake_hands(stream: TcpStream, roots: RootCertStore) -> TlsStream<TcpStream> {
    shake_hands_for(stream, roots, Vec::new()).await
}

/// The same for a client that offers these protocols.
pub async fn shake_hands_for(
    stream: TcpStream,
    roots: RootCertStore,
    protocols: Vec<Vec<u8>>,
) -> TlsStream<TcpStream> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols;
    let name = "localhost".try_into().unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

#[tokio::test]
async fn the_order_of_cipher_suites_is_the_servers() {
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites.reverse();
        let (stream, _trigger) = connect_with(provider, &[version], b"http/1.1").await;
        let suite = stream.get_ref().1.negotiated_cipher_suite().unwrap().suite();
        assert!(format!("{suite:?}").contains("AES_256_GCM"), "{suite:?}");
    }
}

#[tokio::test]
async fn tls_1_3_agrees_on_the_hybrid_post_quantum_group() {
    let (mut stream, _trigger) = connect(&[&rustls::version::TLS13], b"http/1.1").await;
    let session = stream.get_ref().1;
    assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let group = session.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    tokio::io::AsyncWriteExt::write_all(&mut stream, b"GET /echo/a HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(summary(&read_answer(&mut stream).await), "200 a");
}

#[tokio::test]
async fn old_phones_get_tls_1_2_with_an_aead_suite() {
    let (stream, _trigger) = connect(&[&rustls::version::TLS12], b"http/1.1").await;
    let suite = stream.get_ref().1.negotiated_cipher_suite().unwrap().suite();
    let name = format!("{suite:?}");
    assert!(
        name.contains("ECDHE") && (name.contains("GCM") || name.contains("POLY1305")),
        "{name}"
    );
}

#[tokio::test]
async fn http_2_is_spoken_where_the_client_offers_it() {
    let (stream, _trigger) = connect(&[&rustls::version::TLS13], b"h2").await;
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, driver) = handshake.await.unwrap();
    tokio::spawn(driver);
    let ask = |path: &str| {
        http::Request::get(format!("https://localhost{path}"))
            .body(Empty::<bytes::Bytes>::new())
            .unwrap()
    };
    let (first, second) =
        (sender.send_request(ask("/echo/one")), sender.clone().send_request(ask("/nothing")));
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!(second.status(), 404);
    assert_eq!(first.headers()["x-request-id"].len(), 32);
    assert_eq!(first.into_body().collect().await.unwrap().to_bytes(), "one");
}
