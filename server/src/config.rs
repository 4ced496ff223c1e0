//! The server's own keys, and the composition of every room's configuration.

mod listen;

use std::path::{Path, PathBuf};
use std::time::Duration;

use yunzhan_base::Secret;
use yunzhan_base::config::{Document, Problems, Reader, Settings, Variables, Words};
use yunzhan_gateway::tls::CertificateFiles;
use yunzhan_gateway::{is_catch_all, route_conflicts};
use yunzhan_services::service::Sections;

use self::listen::Listening;
pub(crate) use self::listen::{Listen, ListenAt, Protocol};
use crate::data::parse_master_key;
use crate::nodes;
use crate::rooms::{self, SERVICES};
use crate::waf;

/// Below the 30 s after which Kubernetes kills a pod.
pub(crate) const DRAIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(25);

const DEMO_DOC: &str = "whether a server without any environment makes `demo` with its shop and a login for everybody; not by default once there is a configuration file";

/// Everything that can be configured.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where what is served.
    pub(crate) listeners: Vec<Listen>,
    /// The certificate of listeners that name none; without one a development certificate is made.
    pub(crate) certificate: Option<CertificateFiles>,
    /// How long requests in flight may take once the server is told to stop.
    pub(crate) drain_timeout: Duration,
    /// The key that seals stored secrets, when it is not in the data folder.
    pub(crate) master_key: Option<Secret>,
    /// A folder of pages instead of the demo's.
    pub(crate) site: Option<PathBuf>,
    /// What is told of requests.
    pub(crate) ops: yunzhan_ops::Config,
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
    /// The sections of the services.
    pub(crate) services: Sections,
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
        let (loaded, problems) = self.read();
        problems.map_or(Ok(loaded), Err)
    }

    /// Reads file and variables, and goes on behind mistakes: a key with one has its default, and what else the file names
    /// can still be looked at.
    pub(crate) fn read(&self) -> (Loaded, Option<Problems>) {
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
        let problems = document.finish().err();
        (Loaded { config, settings: document.settings() }, problems)
    }
}

// === impl Config ===

impl Config {
    /// Reads every room's keys; paths in the file start from `folder`.
    pub(crate) fn read(root: &mut Reader<'_>, folder: &Path, is_unconfigured: bool) -> Self {
        let mut listening = Listening::read(root, folder);
        let certificate = read_certificate(&mut root.table("tls"), TLS_DOCS, "tls.", folder);
        let mut server = root.table("server");
        let mut config = Self {
            listeners: std::mem::take(&mut listening.listeners),
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
            ops: yunzhan_ops::Config::read(&mut root.table("log")),
            demo: server.value("demo", is_unconfigured, DEMO_DOC),
            gateway: yunzhan_gateway::Config::read(&mut root.table("gateway")),
            waf: waf::Config::read(&mut root.table("waf"), folder),
            cluster: nodes::Config::read(&mut root.table("cluster")),
            engine: yunzhan_engine::config::Config::read(root),
            services: Sections::read(SERVICES, root),
        };
        listening.refuse_untrusted(&mut config);
        config.refuse_route_conflicts(root);
        config
    }

    /// Refuses routes of the configuration for paths that this server answers itself, and one that leaves nothing of
    /// `server.site`.
    fn refuse_route_conflicts(&self, root: &mut Reader<'_>) {
        let routes = &self.gateway.routes;
        let conflicts = route_conflicts(rooms::public_specs(), routes);
        let conflicts = conflicts.into_iter().map(|(place, own)| {
            let en = format!("this server answers {own} itself; choose another path");
            (place, Words::new(en, format!("{own} 由本服务自身应答; 请换一个路径")))
        });
        let hides_site = |path: &str| self.site.is_some() && is_catch_all(path);
        let hiding = routes.iter().enumerate().filter(|(_, route)| hides_site(&route.path));
        let hiding = hiding.map(|(place, _)| {
            let en = "this route takes every path from server.site; remove one of the two";
            (place, Words::new(en, "此路由占用了 server.site 的全部路径; 请去掉其中之一"))
        });
        let mut elements = root.table("gateway").list("route");
        for (place, message) in conflicts.chain(hiding).collect::<Vec<_>>() {
            // A route that could not be read has no place in the list of those that were.
            let path = &routes[place].path;
            let element =
                elements.iter_mut().find(|element| element.text("path").as_ref() == Some(path));
            if let Some(element) = element {
                element.problem("path", message);
            }
        }
    }
}

impl Config {
    /// The address of the database, where other processes can open the same one.
    pub(crate) fn shared_database(&self) -> Option<&str> {
        self.engine.sql.mysql_url.as_ref().and_then(Secret::expose_str)
    }
}

/// What chain and key of `[tls]` are for.
const TLS_DOCS: [&str; 2] = [
    "the certificate chain in PEM; read again at every reload",
    "the private key in PEM; read again at every reload",
];

/// Chain and key, which come in pairs; `table` is what stands before their names in messages.
fn read_certificate(
    tls: &mut Reader<'_>,
    docs: [&'static str; 2],
    table: &str,
    folder: &Path,
) -> Option<CertificateFiles> {
    let chain: Option<PathBuf> = tls.live_optional("certificate", docs[0]);
    let key: Option<PathBuf> = tls.live_optional("key", docs[1]);
    match (chain, key) {
        (Some(chain), Some(key)) => {
            Some(CertificateFiles { chain: folder.join(chain), key: folder.join(key) })
        }
        (None, None) => None,
        (Some(_), None) => {
            let en = format!("{table}key is missing beside it");
            tls.problem("certificate", (en, format!("缺少与之配对的 {table}key")));
            None
        }
        (None, Some(_)) => {
            let en = format!("{table}certificate is missing beside it");
            tls.problem("key", (en, format!("缺少与之配对的 {table}certificate")));
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
        assert_eq!((loaded.config.listeners.len(), loaded.config.demo), (3, true));
        let refused =
            Source { must_exist: true, ..source }.load().map(drop).unwrap_err().to_string();
        assert!(refused.contains("cannot read the file"), "{refused}");
    }
}
