//! Who is trusted: whoever shows a certificate of the cluster's authority.
//!
//! The authority's key is made from a secret that all nodes of a cluster share, so nothing needs to be stored or handed
//! around, and no node is the first. Each node signs its own certificate with it, for a day, and again long before that ends.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::client::ResolvesClientCert;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use yunzhan_base::{Error, Live, Result};

/// Bytes of the secret from which the authority's key is made.
pub const SEED_BYTES: usize = 32;
/// A certificate that got out is worth something for this long.
const VALID_FOR: Duration = Duration::from_secs(24 * 3600);
/// Clocks of nodes may differ by so much.
const SKEW_MAX: Duration = Duration::from_secs(3600);
/// What the authority is called in certificates.
const NAME: &str = "Yunzhan cluster authority";
/// RFC 8410 section 7: an Ed25519 private key in PKCS #8, up to the 32 bytes of the key itself.
const PKCS8_OF_ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// What signs the certificates of a cluster's nodes.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    roots: Arc<RootCertStore>,
}

/// A node's own certificate, which may be replaced while it is in use, and whom the node trusts.
#[derive(Debug)]
pub struct Identity {
    own: Live<CertifiedKey>,
    roots: Arc<RootCertStore>,
}

// === impl Authority ===

impl Authority {
    /// The authority of whoever knows this secret.
    pub fn from_seed(seed: &[u8; SEED_BYTES]) -> Result<Self> {
        let pkcs8 = [PKCS8_OF_ED25519.as_slice(), seed].concat();
        let key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(pkcs8)).map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, NAME);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).map_err(failed)?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).map_err(failed)?;
        Ok(Self { issuer: Issuer::new(params, key), roots: Arc::new(roots) })
    }

    /// An identity for the node that is reached under this host name or address, from `now_ms` on.
    pub fn identity(&self, host: &str, now_ms: i64) -> Result<Arc<Identity>> {
        let own = Live::new(self.issue(host, now_ms)?);
        Ok(Arc::new(Identity { own, roots: Arc::clone(&self.roots) }))
    }

    /// Replaces an identity's certificate by one that is valid for another day.
    pub fn renew(&self, identity: &Identity, host: &str, now_ms: i64) -> Result<()> {
        identity.own.store(self.issue(host, now_ms)?);
        Ok(())
    }

    fn issue(&self, host: &str, now_ms: i64) -> Result<CertifiedKey> {
        let now = Duration::from_millis(u64::try_from(now_ms).unwrap_or(0));
        let mut params = CertificateParams::new(vec![host.to_owned()]).map_err(failed)?;
        let begin = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = begin + now.saturating_sub(SKEW_MAX);
        params.not_after = begin + now + VALID_FOR + SKEW_MAX;
        params.distinguished_name.push(DnType::CommonName, host);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        CertifiedKey::from_der(vec![certificate.der().clone()], key, &provider()).map_err(failed)
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority(***)")
    }
}

// === impl Identity ===

impl Identity {
    /// TLS for the side that answers: a peer without a certificate of the authority does not get in.
    pub(super) fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>> {
        let provider = Arc::new(provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(
            Arc::clone(&self.roots),
            Arc::clone(&provider),
        );
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(failed)?
            .with_client_cert_verifier(verifier.build().map_err(failed)?)
            .with_cert_resolver(Arc::clone(self) as _);
        Ok(Arc::new(config))
    }

    /// TLS for the side that calls.
    pub(super) fn client_config(self: &Arc<Self>) -> Result<Arc<ClientConfig>> {
        let config = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(failed)?
            .with_root_certificates(Arc::clone(&self.roots))
            .with_client_cert_resolver(Arc::clone(self) as _);
        Ok(Arc::new(config))
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.own.load())
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.own.load())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::internal("setting up TLS between nodes").because(error)
}
