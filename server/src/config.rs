//! The server's own keys, and the composition of every room's configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use yunzhan_base::Secret;
use yunzhan_base::config::{
    ByteSize, Document, FromConfig, Given, Problems, Reader, Reason, Settings, Variables, Words,
};
use yunzhan_gateway::tls::CertificateFiles;
use yunzhan_services::{documents, identity};

use crate::data::parse_master_key;
use crate::nodes;
use crate::observe::access_log::Keep;
use crate::waf;

/// On every address of the machine, so that a phone in the same network can open the demo (mission row D7).
pub(crate) const HTTP_DEFAULT: ListenAt = ListenAt::At(SocketAddr::new(ANY, 8080));
/// Its sibling with TLS (mission row D7).
pub(crate) const HTTPS_DEFAULT: ListenAt = ListenAt::At(SocketAddr::new(ANY, 8443));
/// Loopback only: whoever reaches it operates the server. Beside 8080, and not 9090, where Prometheus itself listens.
pub(crate) const CONTROL_DEFAULT: ListenAt = ListenAt::At(SocketAddr::new(LOOPBACK, 8079));
/// Below the 30 s after which Kubernetes kills a pod.
pub(crate) const DRAIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(25);
/// With five older files 384 MiB: a day of a busy shop, and never a full disk.
pub(crate) const ACCESS_LOG_BYTES_DEFAULT: ByteSize = ByteSize::mib(64);
/// See [`ACCESS_LOG_BYTES_DEFAULT`].
pub(crate) const ACCESS_LOG_FILES_DEFAULT: u32 = 5;

const DEMO_DOC: &str = "whether a server without any environment makes `demo` with its shop and a login for everybody; not by default once there is a configuration file";

const ANY: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
const LOOPBACK: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// A listener's address, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenAt {
    /// Listens there; port 0 takes a free one.
    At(SocketAddr),
    /// Does not listen.
    Off,
}

/// Everything that can be configured.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where HTTP is served.
    pub(crate) http: ListenAt,
    /// Where HTTPS is served.
    pub(crate) https: ListenAt,
    /// Where the control API, health and metrics are served.
    pub(crate) control: ListenAt,
    /// The certificate; without one a development certificate is made.
    pub(crate) certificate: Option<CertificateFiles>,
    /// How long requests in flight may take once the server is told to stop.
    pub(crate) drain_timeout: Duration,
    /// The key that seals stored secrets, when it is not in the data folder.
    pub(crate) master_key: Option<Secret>,
    /// A folder of pages instead of the demo's.
    pub(crate) site: Option<PathBuf>,
    /// The access log; none when it is turned off.
    pub(crate) access_log: Option<Keep>,
    /// Whether the demo's environment is made when there is no environment at all.
    pub(crate) demo: bool,
    /// Bounds and remote routes.
    pub(crate) gateway: yunzhan_gateway::Config,
    /// Rules against attacks.
    pub(crate) waf: waf::Config,
    /// This node among others.
    pub(crate) cluster: nodes::Config,
    /// The engines.
    pub(crate) engine: yunzhan_engine::config::Config,
    /// Login and tokens.
    pub(crate) identity: identity::Config,
    /// Documents.
    pub(crate) documents: documents::Config,
}

/// A configuration with what is needed to compare it with the next one.
pub(crate) struct Loaded {
    /// The values.
    pub(crate) config: Config,
    /// What was set.
    pub(crate) settings: Settings,
}

/// Where the configuration comes from; the same for the first reading and for every later one.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// The file as the operator named it.
    pub(crate) file: PathBuf,
    /// Whether the operator named it; the default one may be absent.
    pub(crate) must_exist: bool,
    /// The process's variables, without those of the command line.
    pub(crate) variables: Variables,
}

// === impl Source ===

impl Source {
    /// Reads file and variables; every mistake of both at once.
    pub(crate) fn load(&self) -> Result<Loaded, Problems> {
        let (text, unreadable) = match std::fs::read_to_string(&self.file) {
            Ok(text) => (text, None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !self.must_exist => {
                (String::new(), None)
            }
            Err(error) => (String::new(), Some(error)),
        };
        let folder = self.file.parent().unwrap_or(Path::new("")).to_owned();
        let base = folder.clone();
        let document =
            Document::parse(&self.file.display().to_string(), &text, self.variables.clone())
                .with_files(move |path| {
                    std::fs::read(base.join(path)).map_err(|error| error.to_string())
                });
        let mut root = document.root();
        if let Some(error) = unreadable {
            root.problem(
                "",
                (format!("cannot read the file: {error}"), format!("无法读取文件: {error}")),
            );
        }
        let is_unconfigured = !self.file.exists();
        let config = Config::read(&mut root, &folder, is_unconfigured);
        document.finish()?;
        Ok(Loaded { config, settings: document.settings() })
    }
}

// === impl Config ===

impl Config {
    /// Reads every room's keys; paths in the file start from `folder`.
    pub(crate) fn read(root: &mut Reader<'_>, folder: &Path, is_unconfigured: bool) -> Self {
        let mut listen = root.table("listen");
        let http = listen.value("http", HTTP_DEFAULT, "where HTTP is served; \"off\" for nowhere");
        let https =
            listen.value("https", HTTPS_DEFAULT, "where HTTPS is served; \"off\" for nowhere");
        let control = listen.value(
            "control",
            CONTROL_DEFAULT,
            "where `/control/v1`, `/healthz`, `/readyz` and `/metrics` are served; keep it out of reach of strangers",
        );
        let certificate = read_certificate(&mut root.table("tls"), folder);
        let mut server = root.table("server");
        Self {
            http,
            https,
            control,
            certificate,
            drain_timeout: server.value_in(
                "drain_timeout",
                DRAIN_TIMEOUT_DEFAULT,
                Duration::ZERO..=Duration::from_secs(3600),
                "how long requests in flight may take once the server is told to stop",
            ),
            master_key: read_master_key(&mut server),
            site: server
                .optional("site", "a folder of pages served at `/` instead of the demo's")
                .map(|path: PathBuf| folder.join(path)),
            access_log: read_access_log(&mut root.table("log")),
            demo: server.value("demo", is_unconfigured, DEMO_DOC),
            gateway: yunzhan_gateway::Config::read(&mut root.table("gateway")),
            waf: waf::Config::read(&mut root.table("waf"), folder),
            cluster: nodes::Config::read(&mut root.table("cluster")),
            engine: yunzhan_engine::config::Config::read(root),
            identity: identity::Config::read(&mut root.table("identity")),
            documents: documents::Config::read(&mut root.table("documents")),
        }
    }
}

impl Config {
    /// The address of the database, where other processes can open the same one.
    pub(crate) fn shared_database(&self) -> Option<&str> {
        self.engine.sql.mysql_url.as_ref().and_then(Secret::expose_str)
    }
}

fn read_certificate(tls: &mut Reader<'_>, folder: &Path) -> Option<CertificateFiles> {
    let chain: Option<PathBuf> = tls
        .live_optional("certificate", "the certificate chain in PEM; read again at every reload");
    let key: Option<PathBuf> =
        tls.live_optional("key", "the private key in PEM; read again at every reload");
    match (chain, key) {
        (Some(chain), Some(key)) => {
            Some(CertificateFiles { chain: folder.join(chain), key: folder.join(key) })
        }
        (None, None) => None,
        (Some(_), None) => {
            tls.problem("certificate", ("tls.key is missing beside it", "缺少与之配对的 tls.key"));
            None
        }
        (None, Some(_)) => {
            tls.problem(
                "key",
                ("tls.certificate is missing beside it", "缺少与之配对的 tls.certificate"),
            );
            None
        }
    }
}

fn read_master_key(server: &mut Reader<'_>) -> Option<Secret> {
    let doc = "64 hexadecimal digits that seal stored secrets, instead of `master.key` in the data folder";
    let key = server.secret("master_key", doc)?;
    if parse_master_key(&key).is_err() {
        server.problem("master_key", ("expected 64 hexadecimal digits", "应为 64 位十六进制数字"));
    }
    Some(key)
}

fn read_access_log(log: &mut Reader<'_>) -> Option<Keep> {
    let enabled = log.value("access", true, "whether requests are logged to `log/access.log`");
    let bytes = log.value_in(
        "access_bytes_max",
        ACCESS_LOG_BYTES_DEFAULT,
        ByteSize::kib(64)..=ByteSize::gib(64),
        "when the file is full and the next one begins",
    );
    let files = log.value_in(
        "access_files",
        ACCESS_LOG_FILES_DEFAULT,
        0..=1000,
        "older files that are kept",
    );
    enabled.then_some(Keep { file_bytes_max: bytes.get(), files })
}

// === impl ListenAt ===

impl ListenAt {
    /// The address, when it listens.
    pub(crate) const fn address(self) -> Option<SocketAddr> {
        match self {
            Self::At(address) => Some(address),
            Self::Off => None,
        }
    }
}

impl FromConfig for ListenAt {
    fn expected() -> Words {
        let address = SocketAddr::expected();
        Words::new(format!("{}, or \"off\"", address.en), format!("{}, 或 \"off\"", address.zh))
    }

    fn read(given: &Given<'_>) -> Result<Self, Reason> {
        if given.text() == Some("off") {
            Ok(Self::Off)
        } else {
            SocketAddr::read(given).map(Self::At)
        }
    }

    fn show(&self) -> String {
        match self {
            Self::At(address) => address.show(),
            Self::Off => "\"off\"".into(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::fs;

    use yunzhan_base::config::markdown;

    use super::*;

    const HEAD: &str = "# Configuration\n\n\
        One TOML file, `yunzhan.toml` in the data folder unless `--config` names another. Every key is optional; `yunzhan check`\n\
        names every mistake. An environment variable beats the file: `YUNZHAN_GATEWAY__IDLE_TIMEOUT=30s` sets `idle_timeout` of\n\
        `[gateway]`, `__` stands between names. A secret can stand in a file of its own, named by `<key>_file`. `yunzhan reload` or\n\
        SIGHUP takes keys marked *reload* over without a restart.\n\n\
        Made from the program; do not edit.\n";

    /// The page is made from what the rooms read. `UPDATE_EXPECT=1` writes it anew.
    #[test]
    fn the_reference_shows_every_key() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
        let read = |reader: &mut Reader<'_>| drop(Config::read(reader, Path::new(""), true));
        let made = format!("{HEAD}{}", markdown(&Document::reference(read)));
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&path, &made).unwrap();
        }
        let stands = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            stands == made,
            "docs/configuration.md is out of date; run this test with UPDATE_EXPECT=1"
        );
    }

    #[test]
    fn an_empty_configuration_is_a_whole_one() {
        let source = Source {
            file: PathBuf::from("/nowhere/yunzhan.toml"),
            must_exist: false,
            variables: Variables::new(),
        };
        let loaded = source.load().unwrap();
        assert_eq!((loaded.config.http, loaded.config.demo), (HTTP_DEFAULT, true));
        let refused =
            Source { must_exist: true, ..source }.load().map(drop).unwrap_err().to_string();
        assert!(refused.contains("cannot read the file"), "{refused}");
    }
}
