//! TLS on our side: which protocols and groups are offered, and certificates that can be replaced while serving.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::TlsAcceptor;
use yunzhan_base::{Error, Kind, Live, Result};

use crate::tls_check::{self, Finding};

/// Host names of the development certificate.
const DEVELOPMENT_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Where a certificate chain and its key are, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub chain: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A certificate that is served now and may be replaced.
#[derive(Clone, Debug)]
pub struct Certificate(Live<Loaded>);

#[derive(Debug)]
struct Loaded {
    key: Arc<CertifiedKey>,
    /// The file of the chain.
    file: PathBuf,
    /// Whether the file's order was another.
    is_sorted: bool,
}

// === impl Certificate ===

impl Certificate {
    /// Reads chain and key, and checks that they belong together.
    pub fn load(files: &CertificateFiles) -> Result<Self> {
        Ok(Self(Live::new(load(files)?)))
    }

    /// Serves what `other` serves now.
    pub fn replace_by(&self, other: &Self) {
        self.0.store_shared(other.0.load());
    }

    /// What clients will not like about it at this time, in seconds since 1970. Its names are a matter of
    /// [`Certificate::covers`].
    pub fn findings(&self, now_s: u64) -> Vec<Finding> {
        let loaded = self.0.load();
        let sorted = loaded.is_sorted.then_some(Finding::Sorted);
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now_s));
        sorted.into_iter().chain(tls_check::inspect(&loaded.key.cert, now)).collect()
    }

    /// The file of the chain that is served now.
    pub fn file(&self) -> PathBuf {
        self.0.peek().file.clone()
    }

    /// Whether it is for this host, a name or an address.
    pub fn covers(&self, host: &str) -> bool {
        tls_check::covers(&self.0.load().key.cert, host)
    }

    /// Whether both serve the same chain now.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.0.peek().key.cert == other.0.peek().key.cert
    }

    /// What a listener needs to shake hands with this certificate.
    ///
    /// TLS 1.3, and TLS 1.2 with its AEAD suites because older phones speak nothing newer; the hybrid post-quantum group
    /// first (mission row F5), then the classical ones. The order of cipher suites is ours, strongest first.
    pub fn acceptor(&self) -> Result<TlsAcceptor> {
        let provider = CryptoProvider {
            kx_groups: vec![
                aws_lc_rs::kx_group::X25519MLKEM768,
                aws_lc_rs::kx_group::X25519,
                aws_lc_rs::kx_group::SECP256R1,
                aws_lc_rs::kx_group::SECP384R1,
            ],
            ..aws_lc_rs::default_provider()
        };
        let failed = |error: rustls::Error| Error::internal("setting TLS up").because(error);
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(failed)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.ignore_client_order = true;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(failed)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.peek().key))
    }
}

fn load(files: &CertificateFiles) -> Result<Loaded> {
    let refuse = |path: &Path, what: &str, error: &dyn std::fmt::Display| {
        Error::new(
            Kind::InvalidParameter,
            format!("{what} in {} cannot be used: {error}", path.display()),
        )
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&files.chain)
        .and_then(Iterator::collect)
        .map_err(|error| refuse(&files.chain, "the certificate chain", &error))?;
    if chain.is_empty() {
        return Err(refuse(
            &files.chain,
            "the certificate chain",
            &"the file holds no certificate",
        ));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| refuse(&files.key, "the key", &error))?;
    let (chain, is_sorted) = tls_check::sorted(chain);
    // Also checks that the key is the certificate's.
    let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(|error| refuse(&files.key, "the key", &error))?;
    Ok(Loaded { key: Arc::new(key), file: files.chain.clone(), is_sorted })
}

/// PEM texts of a new self-signed certificate and its key for this machine: for development only, no phone trusts it.
pub fn development_certificate() -> Result<(String, String)> {
    let names = DEVELOPMENT_NAMES.map(String::from);
    let made = rcgen::generate_simple_self_signed(names);
    let made =
        made.map_err(|error| Error::internal("making the development certificate").because(error))?;
    Ok((made.cert.pem(), made.signing_key.serialize_pem()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    fn write(folder: &Path, (chain, key): &(String, String)) -> CertificateFiles {
        let files =
            CertificateFiles { chain: folder.join("chain.pem"), key: folder.join("key.pem") };
        std::fs::write(&files.chain, chain).unwrap();
        std::fs::write(&files.key, key).unwrap();
        files
    }

    #[test]
    fn a_certificate_is_replaced_only_by_a_good_one() {
        let folder = tempfile::tempdir().unwrap();
        let first = development_certificate().unwrap();
        let files = write(folder.path(), &first);
        let certificate = Certificate::load(&files).unwrap();
        let served = || certificate.0.load().key.cert[0].to_vec();
        let before = served();

        let second = development_certificate().unwrap();
        write(folder.path(), &(second.0.clone(), first.1.clone()));
        let refused = Certificate::load(&files).unwrap_err();
        assert!(refused.message().starts_with("the key in "), "{refused}");
        assert_eq!(served(), before, "a key of another certificate changes nothing");

        write(folder.path(), &second);
        certificate.replace_by(&Certificate::load(&files).unwrap());
        assert_ne!(served(), before);
        assert!(certificate.acceptor().is_ok());
    }
}
