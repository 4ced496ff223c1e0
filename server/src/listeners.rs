//! Opening listeners: addresses, certificates, the limit of open files, the control socket and its token.

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use tokio::net::{TcpListener, UnixListener};
use yunzhan_base::config::{Follow, Prepared, Words};
use yunzhan_base::{DataDir, Error, Kind, Result, Secret};
use yunzhan_gateway::descriptors;
use yunzhan_gateway::tls::{Certificate, CertificateFiles, development_certificate};

use crate::config::{Config, Listen, Protocol};
use crate::data::socket::SocketPath;
use crate::data::{failed, whole_file};

/// Random bytes of the operator's token: 256 bits.
const TOKEN_BYTES: usize = 32;

/// An open listener, and where it turned out to be.
pub(crate) struct Opened {
    pub(crate) tcp: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) listen: Listen,
}

/// Listens, or says which key names the address that cannot be had.
pub(crate) async fn open(listen: &Listen) -> Result<Opened> {
    let (wanted, key) = (listen.address, &listen.key);
    let opened = async {
        let tcp = TcpListener::bind(wanted).await?;
        let address = tcp.local_addr()?;
        Ok::<_, io::Error>(Opened { tcp, address, listen: listen.clone() })
    };
    opened.await.map_err(|error| {
        let words = cannot_listen(&wanted.to_string(), key, &error);
        Error::new(Kind::Unavailable, words.en).because(error)
    })
}

/// Why an address cannot be had, and what to do about it.
pub(crate) fn cannot_listen(wanted: &str, key: &str, error: &io::Error) -> Words {
    let (en, zh) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            "; another program listens there: stop it, or choose another address",
            "; 已有其他程序监听此地址: 请停止它, 或换一个地址",
        ),
        io::ErrorKind::PermissionDenied => (
            "; ports below 1024 need a privilege: choose another, or grant it",
            "; 1024 以下的端口需要特权: 请换一个端口, 或授予权限",
        ),
        io::ErrorKind::AddrNotAvailable => (
            "; no interface of this machine has it: choose another address, or configure the interface first",
            "; 本机没有此地址: 请换一个地址, 或先配置网络接口",
        ),
        _ => ("", ""),
    };
    Words::new(
        format!("cannot listen on {wanted} ({key}): {error}{en}"),
        format!("无法监听 {wanted} ({key}): {error}{zh}"),
    )
}

/// The control socket. Only the holder of the folder's lock may call this, so a socket that is there is a dead one's.
pub(crate) fn open_control_socket(dir: &DataDir) -> Result<UnixListener> {
    let path = dir.control_socket();
    let refuse = |error| failed("listen on", &path, error);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refuse(error)),
        _ => {}
    }
    let short = SocketPath::of(&path)?;
    let listener = UnixListener::bind(short.path()).map_err(refuse)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(refuse)?;
    Ok(listener)
}

/// Draws this start's operator token and leaves it where its owner alone can read it.
pub(crate) fn make_control_token(dir: &DataDir) -> Result<Secret> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::internal(format!("no randomness: {error}")))?;
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    whole_file::write(&dir.control_token(), token.as_bytes())?;
    Ok(Secret::from(token.as_str()))
}

/// Leaves nothing behind that only a running process may have.
pub(crate) fn close_control(dir: &DataDir) {
    for path in [dir.control_socket(), dir.control_token()] {
        // What is gone already is as good as removed; what cannot be removed is replaced at the next start.
        let _ = fs::remove_file(path);
    }
}

// === Open files ===

/// Raises the limit of open files, and says so when it stays below what clients' connections may take.
pub(crate) fn raise_open_files(config: &Config) -> Option<String> {
    let limit = descriptors::raise_limit();
    let is_for_clients = |listen: &&Listen| listen.protocol != Protocol::Control;
    let listeners = config.listeners.iter().filter(is_for_clients).count() as u64;
    let connections = listeners.saturating_mul(config.gateway.connections_max as u64);
    let needed = connections.saturating_add(descriptors::headroom(limit));
    (limit < needed).then(|| {
        format!(
            "this process may open {limit} files, fewer than the {needed} that gateway.connections_max on {listeners} listeners needs; raise the hard limit (ulimit -Hn, LimitNOFILE of systemd), or lower gateway.connections_max"
        )
    })
}

// === Certificates ===

/// The certificates of the HTTPS listeners.
pub(crate) struct Certificates(Vec<Served>);

/// One of them.
struct Served {
    listen: Listen,
    certificate: Certificate,
    /// Where it came from at the start.
    files: CertificateFiles,
    /// Whether it is the one that this program made.
    is_development: bool,
}

/// What [`Certificates`] follow. A renewed certificate keeps its name: the keys are then the same, and what is served is not.
const CERTIFICATE_KEYS: &[&str] =
    &["tls.certificate", "tls.key", "listen[].certificate", "listen[].key"];

impl Certificates {
    /// Opens what the configuration names, or the development certificate of this data folder, made when it is absent.
    pub(crate) fn open(dir: &DataDir, config: &Config) -> Result<Self> {
        let https = config.listeners.iter().filter(|listen| listen.protocol == Protocol::Https);
        let open = |listen: &Listen| {
            let configured = listen.certificate.as_ref().or(config.certificate.as_ref());
            let files = configured.map_or_else(|| make_development(dir), |it| Ok(it.clone()))?;
            Ok(Served {
                listen: listen.clone(),
                certificate: Certificate::load(&files)?,
                files,
                is_development: configured.is_none(),
            })
        };
        https.map(open).collect::<Result<_>>().map(Self)
    }

    /// Of this listener.
    pub(crate) fn of(&self, listen: &Listen) -> Option<&Certificate> {
        self.0.iter().find(|served| served.listen == *listen).map(|served| &served.certificate)
    }

    /// What clients will not like: about each chain, and hosts for which there is no certificate.
    pub(crate) fn warnings<'h>(
        &self,
        hosts: impl Iterator<Item = &'h str>,
        now_s: u64,
    ) -> Vec<String> {
        let of_others = || self.0.iter().filter(|served| !served.is_development);
        let mut warnings: Vec<_> =
            self.0.iter().flat_map(|served| warnings_of(&served.certificate, now_s)).collect();
        if of_others().next().is_some() {
            let lacks = |host: &&str| !of_others().any(|served| served.certificate.covers(host));
            warnings.extend(hosts.filter(lacks).map(|host| {
                format!("no certificate is for {host}, which an environment answers for; phones will refuse it")
            }));
        }
        // Listeners may share a file.
        warnings.sort();
        warnings.dedup();
        warnings
    }
}

impl Follow<Config> for Certificates {
    fn keys(&self) -> &'static [&'static str] {
        // Without a listener that serves one, the keys wait for a start at which there is.
        if self.0.is_empty() { &[] } else { CERTIFICATE_KEYS }
    }

    fn prepare<'f>(&'f self, config: &Config) -> Result<Prepared<'f>> {
        let read = |served: &Served| {
            // A listener that is configured no more goes on until the restart, with what it has.
            let configured = config.listeners.iter().find(|listen| is_same(listen, &served.listen));
            let named = configured
                .and_then(|listen| listen.certificate.as_ref().or(config.certificate.as_ref()));
            Certificate::load(named.unwrap_or(&served.files))
        };
        let read: Vec<_> = self.0.iter().map(read).collect::<Result<_>>()?;
        let is_new =
            |(served, read): (&Served, &Certificate)| !read.is_same_as(&served.certificate);
        let new_content = if self.0.iter().zip(&read).any(is_new) { CERTIFICATE_KEYS } else { &[] };
        let commit = move || {
            for (served, read) in self.0.iter().zip(&read) {
                served.certificate.replace_by(read);
            }
        };
        Ok(Prepared::new(commit).with_new_content(new_content))
    }
}

/// Whether both are one listener, before and after a change of the file.
fn is_same(one: &Listen, other: &Listen) -> bool {
    let is_fixed = one.address.port() != 0;
    one.address == other.address
        && one.protocol == other.protocol
        && (is_fixed || one.key == other.key)
}

/// What clients will not like about the certificates that the configuration names and that can be used.
pub(crate) fn check_certificates(config: &Config, now_s: u64) -> Vec<String> {
    let own = config.listeners.iter().filter_map(|listen| listen.certificate.as_ref());
    let usable = config.certificate.iter().chain(own).filter_map(|it| Certificate::load(it).ok());
    usable.flat_map(|certificate| warnings_of(&certificate, now_s)).collect()
}

fn warnings_of(certificate: &Certificate, now_s: u64) -> Vec<String> {
    let file = certificate.file();
    let findings = certificate.findings(now_s).into_iter();
    findings.map(|finding| format!("{}: {finding}", file.display())).collect()
}

fn make_development(dir: &DataDir) -> Result<CertificateFiles> {
    let files = CertificateFiles {
        chain: dir.tls().join("development.pem"),
        key: dir.tls().join("development.key"),
    };
    if !(files.key.exists() && files.chain.exists()) {
        let (chain, key) = development_certificate()?;
        // A cut between the two writes leaves no key, and the next start makes both: never a key beside another chain.
        match fs::remove_file(&files.key) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &files.key, error));
            }
            _ => {}
        }
        whole_file::write(&files.chain, chain.as_bytes())?;
        whole_file::write(&files.key, key.as_bytes())?;
    }
    Ok(files)
}
