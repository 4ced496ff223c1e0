//! Connections to a target, and the look that tells whether one died while it was idle.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use yunzhan_base::{Error, Kind, Result};

use super::Target;

/// A TCP stream whose socket the pool can look at while hyper owns the stream.
pub(super) struct Shared(Arc<TcpStream>);

/// The pool's view of a connection's socket.
pub(super) struct Probe(Arc<TcpStream>);

impl Probe {
    /// Whether nothing arrived on the idle connection: no end of stream, no error, no unexpected byte. One system call.
    /// hyper learns of a close only when its task runs; this closes the window between the two.
    pub(super) fn is_quiet(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        match socket2::SockRef::from(&*self.0).peek(&mut byte) {
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            Ok(_) => false,
        }
    }
}

/// Either kind of connection, for hyper.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects, and shakes hands when the target speaks TLS.
pub(super) async fn connect(
    target: &Target,
    tls: &Arc<ClientConfig>,
) -> Result<(Box<dyn Stream>, Probe)> {
    let unreachable = |error: io::Error| {
        Error::new(Kind::Unavailable, "the upstream cannot be reached")
            .with_detail(format!("connecting to {target}"))
            .because(error)
    };
    let socket = TcpStream::connect((target.host(), target.port())).await.map_err(unreachable)?;
    socket.set_nodelay(true).map_err(unreachable)?;
    let socket = Arc::new(socket);
    let probe = Probe(Arc::clone(&socket));
    if !target.is_tls() {
        return Ok((Box::new(Shared(socket)), probe));
    }
    let name = ServerName::try_from(target.host().to_owned()).map_err(|error| {
        Error::new(Kind::InvalidParameter, format!("{target} has no valid host")).because(error)
    })?;
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(tls));
    let stream = connector.connect(name, Shared(socket)).await.map_err(unreachable)?;
    Ok((Box::new(stream), probe))
}

/// TLS for calling public servers: their certificates must chain to a public authority.
pub(super) fn public_roots() -> Arc<ClientConfig> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider serves TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}

// === impl Shared ===

impl AsyncRead for Shared {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            match self.0.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome.map(|_count| ())),
            }
        }
    }
}

impl AsyncWrite for Shared {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match self.0.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(socket2::SockRef::from(&*self.0).shutdown(std::net::Shutdown::Write))
    }
}
