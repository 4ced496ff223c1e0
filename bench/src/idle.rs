//! Memory of an idle connection: what a server grows by while a thousand kept connections do nothing.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::load::exchange;
use super::peer::{Question, Server};
use xtask::process::pause;

/// How long the memory is given to settle: allocators and kernels return some of it late.
pub(super) const SETTLE: Duration = Duration::from_millis(500);
/// How long a step of a connection may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections opened and closed before the first look, so that tables of the server have their size.
const WARM_CONNECTIONS: usize = 50;

/// How a connection is made.
pub(super) enum Transport<'a> {
    Plain,
    /// With this certificate as the one that is trusted.
    Tls(&'a Path),
}

/// A connection of either kind.
pub(super) trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// Bytes of resident memory for one idle connection that has been answered once.
pub(super) fn bytes_each(
    server: &Server,
    question: &Question,
    transport: &Transport<'_>,
    connections: usize,
) -> Result<f64> {
    let opener = Opener::new(server, transport)?;
    drop(opener.open_answered(WARM_CONNECTIONS, question)?);
    pause(SETTLE);
    let before = server.process.resident_bytes()?;
    let held = opener.open_answered(connections, question)?;
    pause(SETTLE);
    let after = server.process.resident_bytes()?;
    drop(held);
    Ok(after.saturating_sub(before) as f64 / connections as f64)
}

/// Opens connections to a server.
pub(super) struct Opener {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

impl Opener {
    pub(super) fn new(server: &Server, transport: &Transport<'_>) -> Result<Self> {
        Ok(match transport {
            Transport::Plain => Self { address: server.plain, tls: None },
            Transport::Tls(certificate) => {
                Self { address: server.tls, tls: Some(Arc::new(trusting(certificate)?)) }
            }
        })
    }

    fn open_answered(
        &self,
        connections: usize,
        question: &Question,
    ) -> Result<Vec<Box<dyn Stream>>> {
        let open = |_| {
            let mut stream = self.open()?;
            exchange(&mut stream, &mut Vec::new(), question.first())?;
            Ok(stream)
        };
        (0..connections).map(open).collect()
    }

    /// Opens one; TLS is agreed on with the first bytes.
    pub(super) fn open(&self) -> Result<Box<dyn Stream>> {
        let socket = TcpStream::connect_timeout(&self.address, STEP_TIMEOUT)
            .with_context(|| format!("cannot connect to {}", self.address))?;
        socket.set_read_timeout(Some(STEP_TIMEOUT))?;
        socket.set_nodelay(true)?;
        let Some(config) = &self.tls else { return Ok(Box::new(socket)) };
        let name = ServerName::try_from("localhost").context("a name")?;
        let connection =
            ClientConnection::new(Arc::clone(config), name).context("cannot begin TLS")?;
        Ok(Box::new(StreamOwned::new(connection, socket)))
    }
}

fn trusting(certificate: &Path) -> Result<ClientConfig> {
    let pem =
        fs::read(certificate).with_context(|| format!("cannot read {}", certificate.display()))?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).context("not a certificate")?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
