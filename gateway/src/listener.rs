//! Accepting connections: bounded in number, told from failures, ended in order.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use yunzhan_base::event::{ConnectionFailed, ConnectionFailureReason, Event};
use yunzhan_net::shutdown::Shutdown;

use crate::connection;
use crate::exchange::ConnectionFacts;
use crate::pipeline::Gateway;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long accepting pauses when the machine has no file handle left; trying again at once would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The address of clients of a unix socket, which has none.
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

impl Gateway {
    /// Serves plain HTTP/1.1, or HTTPS when `tls` is given, until the shutdown begins.
    pub async fn serve_tcp(
        self: Arc<Self>,
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        mut shutdown: Shutdown,
    ) {
        let places = Arc::new(Semaphore::new(self.bounds.peek().connections_max));
        loop {
            let accepted = tokio::select! {
                () = shutdown.triggered() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((stream, remote)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                self.failed(
                    remote,
                    tls.is_some(),
                    ConnectionFailureReason::TooMany,
                    "every place for a connection is taken",
                );
                continue;
            };
            let (gateway, tls, shutdown) = (Arc::clone(&self), tls.clone(), shutdown.clone());
            tokio::spawn(async move {
                gateway.serve_stream(stream, remote, tls, shutdown).await;
                drop(place);
            });
        }
    }

    /// Serves plain HTTP/1.1 on a unix socket until the shutdown begins.
    pub async fn serve_unix(self: Arc<Self>, listener: UnixListener, mut shutdown: Shutdown) {
        let places = Arc::new(Semaphore::new(self.bounds.peek().connections_max));
        loop {
            let accepted = tokio::select! {
                () = shutdown.triggered() => return,
                accepted = listener.accept() => accepted,
            };
            let (Ok((stream, _)), Ok(place)) = (accepted, Arc::clone(&places).try_acquire_owned())
            else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (gateway, shutdown) = (Arc::clone(&self), shutdown.clone());
            tokio::spawn(async move {
                gateway.serve_plain(stream, LOCAL, shutdown).await;
                drop(place);
            });
        }
    }

    async fn serve_stream(
        self: Arc<Self>,
        stream: TcpStream,
        remote: SocketAddr,
        tls: Option<TlsAcceptor>,
        shutdown: Shutdown,
    ) {
        // Answers are written whole; waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        match tls {
            None => self.serve_plain(stream, remote, shutdown).await,
            // On the heap, so that plain connections do not carry the room that TLS needs.
            Some(tls) => Box::pin(self.serve_tls(stream, remote, tls, shutdown)).await,
        }
    }

    async fn serve_tls(
        self: Arc<Self>,
        stream: TcpStream,
        remote: SocketAddr,
        tls: TlsAcceptor,
        shutdown: Shutdown,
    ) {
        let failed =
            |detail: &str| self.failed(remote, true, ConnectionFailureReason::TlsHandshake, detail);
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
            Err(_) => failed("the handshake took too long"),
            Ok(Err(error)) => failed(&error.to_string()),
            Ok(Ok(stream)) => {
                let multiplexed = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let protocol = if multiplexed { "h2" } else { "http/1.1" };
                let facts = ConnectionFacts::new(remote, true, protocol);
                connection::serve(self, stream, facts, shutdown).await;
            }
        }
    }

    async fn serve_plain<S>(self: Arc<Self>, stream: S, remote: SocketAddr, shutdown: Shutdown)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        connection::serve(self, stream, ConnectionFacts::new(remote, false, "http/1.1"), shutdown)
            .await;
    }

    fn failed(&self, remote: SocketAddr, tls: bool, reason: ConnectionFailureReason, detail: &str) {
        self.events.emit(&Event::ConnectionFailed(ConnectionFailed {
            remote,
            tls,
            reason,
            detail,
        }));
    }
}
