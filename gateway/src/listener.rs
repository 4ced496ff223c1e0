//! Accepting connections: bounded in number, in all and by address, told from failures, ended in order.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use yunzhan_base::event::{ConnectionFailed, ConnectionFailureReason, Event, Level};
use yunzhan_net::shutdown::Shutdown;

use crate::client_address::normalise;
use crate::connection;
use crate::connection_counts::AddressPermit;
use crate::descriptors::{self, Spares};
use crate::exchange::{ConnectionFacts, Places};
use crate::pipeline::Gateway;
use crate::proxy_protocol::{HEADER_BYTES_MAX, Header, Parsed, ProxyProtocol, parse};

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long accepting pauses when the machine has no file handle left; trying again at once would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bytes of a PROXY header that are looked at in one go; nearly all headers are shorter.
const HEADER_CHUNK: usize = 256;

/// The address in events about a connection that could not be accepted.
const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// The address of clients of a unix socket, which has none.
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// An open socket and what is spoken there.
pub struct Listener {
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
    proxy_protocol: ProxyProtocol,
    is_for_operators: bool,
}

/// What every connection of a listener needs to know.
struct Terms {
    tls: Option<TlsAcceptor>,
    proxy_protocol: ProxyProtocol,
}

/// The part of a listener that both kinds of socket have.
struct Acceptor {
    gateway: Arc<Gateway>,
    permits: Arc<Semaphore>,
    tls: bool,
    /// The process's limit of descriptors.
    descriptors: u64,
    /// Spare ones, for operators.
    spares: Option<Spares>,
}

// === impl Listener ===

impl Listener {
    /// Plain HTTP/1.1 for clients.
    pub const fn new(tcp: TcpListener) -> Self {
        Self { tcp, tls: None, proxy_protocol: ProxyProtocol::Off, is_for_operators: false }
    }

    /// HTTPS, when there is an acceptor.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<TlsAcceptor>) -> Self {
        self.tls = tls;
        self
    }

    /// Connections begin with what a trusted proxy says of the client.
    #[must_use]
    pub const fn with_proxy_protocol(mut self, proxy_protocol: ProxyProtocol) -> Self {
        self.proxy_protocol = proxy_protocol;
        self
    }

    /// Answers also when clients have taken every file descriptor.
    #[must_use]
    pub const fn for_operators(mut self) -> Self {
        self.is_for_operators = true;
        self
    }
}

impl Gateway {
    /// Serves plain HTTP/1.1, or HTTPS when `tls` is given, until the shutdown begins.
    pub async fn serve_tcp(
        self: Arc<Self>,
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        shutdown: Shutdown,
    ) {
        self.serve_listener(Listener::new(listener).with_tls(tls), shutdown).await;
    }

    /// Serves what the listener is for, until the shutdown begins.
    pub async fn serve_listener(self: Arc<Self>, listener: Listener, mut shutdown: Shutdown) {
        let Listener { tcp, tls, proxy_protocol, is_for_operators } = listener;
        let mut acceptor = Acceptor::new(Arc::clone(&self), tls.is_some(), is_for_operators);
        let terms = Arc::new(Terms { tls, proxy_protocol });
        loop {
            let accepted = tokio::select! {
                () = shutdown.triggered() => return,
                accepted = tcp.accept() => accepted,
            };
            let Some(((stream, peer), permit)) = acceptor.admit(accepted).await else { continue };
            let (gateway, terms, shutdown) =
                (Arc::clone(&self), Arc::clone(&terms), shutdown.clone());
            tokio::spawn(async move {
                gateway.serve_stream(stream, peer, permit, &terms, shutdown).await;
            });
        }
    }

    /// Serves plain HTTP/1.1 to operators on a unix socket until the shutdown begins.
    pub async fn serve_unix(self: Arc<Self>, listener: UnixListener, mut shutdown: Shutdown) {
        let mut acceptor = Acceptor::new(Arc::clone(&self), false, true);
        loop {
            let accepted = tokio::select! {
                () = shutdown.triggered() => return,
                accepted = listener.accept() => accepted,
            };
            let accepted = accepted.map(|(stream, _)| (stream, LOCAL));
            let Some(((stream, _), permit)) = acceptor.admit(accepted).await else { continue };
            let (gateway, shutdown) = (Arc::clone(&self), shutdown.clone());
            let places = Places { _of_listener: Some(permit), _of_address: None };
            tokio::spawn(gateway.serve_plain(stream, LOCAL, places, shutdown));
        }
    }

    async fn serve_stream(
        self: Arc<Self>,
        mut stream: TcpStream,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
        terms: &Terms,
        shutdown: Shutdown,
    ) {
        // Answers are written whole; waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let is_tls = terms.tls.is_some();
        let mut client = peer;
        if terms.proxy_protocol != ProxyProtocol::Off {
            // On the heap, so that connections without a header do not carry its room.
            let read = self.read_proxy_header(&mut stream, peer, terms.proxy_protocol, &shutdown);
            match Box::pin(read).await {
                Ok(named) => client = named,
                Err(None) => return,
                Err(Some((reason, detail))) => return self.failed(peer, is_tls, reason, detail),
            }
        }
        let Some(of_address) = self.address_permit(client, is_tls) else { return };
        let places = Places { _of_listener: Some(permit), _of_address: of_address };
        match &terms.tls {
            None => self.serve_plain(stream, client, places, shutdown).await,
            // On the heap, so that plain connections do not carry the room that TLS needs.
            Some(tls) => {
                Box::pin(self.serve_tls(stream, client, places, tls.clone(), shutdown)).await;
            }
        }
    }

    /// Counts the connection for its address, unless that is a trusted proxy, behind which there are many clients. None when
    /// the address has as many as it may.
    fn address_permit(&self, client: SocketAddr, is_tls: bool) -> Option<Option<AddressPermit>> {
        if self.trusted_proxies.peek().contains(client.ip()) {
            return Some(None);
        }
        let permit = self.connection_counts.permit(client.ip());
        if permit.is_none() {
            let detail = "the address has as many connections as it may; if it is a proxy of yours, add it to gateway.trusted_proxies";
            self.failed(client, is_tls, ConnectionFailureReason::TooManyOfAddress, detail);
        }
        permit.map(Some)
    }

    async fn serve_tls(
        self: Arc<Self>,
        stream: TcpStream,
        remote: SocketAddr,
        places: Places,
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
                let facts = ConnectionFacts::new(remote, true, protocol).holding(places);
                connection::serve(self, stream, facts, shutdown).await;
            }
        }
    }

    async fn serve_plain<S>(
        self: Arc<Self>,
        stream: S,
        remote: SocketAddr,
        places: Places,
        shutdown: Shutdown,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let facts = ConnectionFacts::new(remote, false, "http/1.1").holding(places);
        connection::serve(self, stream, facts, shutdown).await;
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

// === PROXY protocol ===

/// Reason and detail of a connection that fails before its client is known; none for one that simply left.
type Unnamed = Option<(ConnectionFailureReason, &'static str)>;

impl Gateway {
    /// Reads the header and gives the client's address. The stream then stands at the client's first byte.
    async fn read_proxy_header(
        &self,
        stream: &mut TcpStream,
        peer: SocketAddr,
        wanted: ProxyProtocol,
        shutdown: &Shutdown,
    ) -> Result<SocketAddr, Unnamed> {
        if !self.trusted_proxies.peek().contains(peer.ip()) {
            let detail = "the PROXY protocol is taken from gateway.trusted_proxies alone";
            return Err(Some((ConnectionFailureReason::ProxyUntrusted, detail)));
        }
        let head_timeout = self.bounds.peek().head_timeout;
        let mut shutdown = shutdown.clone();
        let header = tokio::select! {
            read = tokio::time::timeout(head_timeout, read_header(stream)) => {
                read.map_err(|_| Some((ConnectionFailureReason::ProxyHeader, "no PROXY header within the time-out of heads")))??
            }
            // Whoever has not said for whom it comes has asked nothing yet.
            () = shutdown.triggered() => return Err(None),
        };
        if !wanted.takes(header.version) {
            let detail = "the PROXY header is of a version that this listener does not take";
            return Err(Some((ConnectionFailureReason::ProxyHeader, detail)));
        }
        Ok(header.source.unwrap_or(peer))
    }
}

/// Takes exactly the header's bytes from the stream. Bytes are looked at before they are taken: those behind the header
/// belong to TLS or HTTP.
async fn read_header(stream: &mut TcpStream) -> Result<Header, Unnamed> {
    let broken = |_: io::Error| {
        Some((ConnectionFailureReason::ProxyHeader, "the connection broke within its PROXY header"))
    };
    let mut seen = Vec::new();
    loop {
        let begun = seen.len();
        seen.resize(begun + HEADER_CHUNK, 0);
        let arrived = stream.peek(&mut seen[begun..]).await.map_err(broken)?;
        seen.truncate(begun + arrived);
        if arrived == 0 {
            // Load balancers see whether a server lives by connecting and leaving.
            let detail = "the connection ended within its PROXY header";
            return Err((begun > 0).then_some((ConnectionFailureReason::ProxyHeader, detail)));
        }
        let (taken, outcome) = match parse(&seen) {
            Parsed::Invalid(why) => return Err(Some((ConnectionFailureReason::ProxyHeader, why))),
            Parsed::Header(header) => (header.bytes - begun, ControlFlow::Break(header)),
            // All of it is header, so that the next look waits for bytes that were not seen.
            Parsed::Incomplete => (arrived, ControlFlow::Continue(())),
        };
        debug_assert!(seen.len() <= HEADER_BYTES_MAX + HEADER_CHUNK);
        stream.read_exact(&mut seen[begun..begun + taken]).await.map_err(broken)?;
        if let ControlFlow::Break(header) = outcome {
            return Ok(header);
        }
    }
}

// === impl Acceptor ===

impl Acceptor {
    fn new(gateway: Arc<Gateway>, tls: bool, is_for_operators: bool) -> Self {
        let permits = Arc::new(Semaphore::new(gateway.bounds.peek().connections_max));
        let mut spares = is_for_operators.then(Spares::default);
        if let Some(spares) = &mut spares {
            spares.refill();
        }
        Self { gateway, permits, tls, descriptors: descriptors::limit(), spares }
    }

    /// The connection with its permit, or none when there is none, after which accepting goes on.
    async fn admit<S: std::os::fd::AsRawFd>(
        &mut self,
        accepted: io::Result<(S, SocketAddr)>,
    ) -> Option<((S, SocketAddr), OwnedSemaphorePermit)> {
        let (stream, peer) = match accepted {
            Ok((stream, peer)) => (stream, normalise(peer)),
            Err(error) => {
                self.accept_failed(&error).await;
                return None;
            }
        };
        match &mut self.spares {
            // Given up ones are taken back as soon as there are descriptors again.
            Some(spares) => spares.refill(),
            None if descriptors::is_of_headroom(&stream, self.descriptors) => {
                self.out_of_descriptors(peer);
                return None;
            }
            None => {}
        }
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            let detail = "every permit for a connection is taken";
            self.gateway.failed(peer, self.tls, ConnectionFailureReason::TooMany, detail);
            return None;
        };
        Some(((stream, peer), permit))
    }

    async fn accept_failed(&mut self, error: &io::Error) {
        if !descriptors::is_exhausted(error) {
            // The client left before it was accepted, or the network refused it: the next one may be better. Anything else
            // would come again at once.
            if error.kind() != io::ErrorKind::ConnectionAborted {
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            return;
        }
        if self.spares.as_mut().is_some_and(Spares::give_up_one) {
            return;
        }
        self.out_of_descriptors(NOBODY);
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }

    fn out_of_descriptors(&self, peer: SocketAddr) {
        let detail = "no file descriptor is left for clients";
        self.gateway.failed(peer, self.tls, ConnectionFailureReason::NoDescriptor, detail);
        if let Some(text) = descriptors::refused(self.descriptors) {
            self.gateway.events.notice(Level::Error, "descriptors_exhausted", &text);
        }
    }
}
