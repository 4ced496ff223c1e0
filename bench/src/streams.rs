//! The servers that take sockets and uploads: nginx and ours in front of an upstream, and a service of ours.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::load::Connection;
use super::nginx::Nginx;
use super::peer::{Peer, Server, request};
use super::tools;
use super::upstream::Upstream;
use super::yunzhan;

/// Which server, and who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// nginx in front of the bench's upstream.
    Nginx,
    /// The program with the rules that ship, in front of the same.
    Passed,
    /// A service in the process of the gateway, which no program has yet: an example of the gateway's crate.
    Served,
}

/// What is needed to start any of them.
pub(super) struct Streams {
    folder: PathBuf,
    program: PathBuf,
    example: PathBuf,
}

/// A running server.
pub(super) struct Started {
    pub(super) server: Server,
    /// Where its metrics are, if it has some.
    control: Option<SocketAddr>,
    /// The certificate that it shows.
    pub(super) certificate: PathBuf,
    /// Who answers behind it.
    pub(super) upstream: Upstream,
    pub(super) way: Way,
}

impl Streams {
    /// Builds the example beside the program.
    pub(super) fn prepare(root: &Path, folder: &Path, program: &Path) -> Result<Self> {
        let words = ["--package", "yunzhan-gateway", "--example", "streams"];
        let example = tools::build_release(root, &words)?;
        Ok(Self { folder: folder.to_owned(), program: program.to_owned(), example })
    }

    /// Starts a server in a folder of its own, with an upstream of its own: connections that are closed keep their ports
    /// for a while.
    pub(super) fn start(&self, way: Way, name: &str) -> Result<Started> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        let upstream = Upstream::start()?;
        let nginx = Nginx::for_streams(&folder.join("nginx"), upstream.address)?;
        let (server, control) = match way {
            Way::Nginx => (nginx.start(&[])?, None),
            Way::Passed => {
                let text = configuration(upstream.address, &nginx);
                fs::write(folder.join("yunzhan.toml"), text)?;
                let (server, control) = yunzhan::launch(&self.program, &folder, &[])?;
                (server, Some(control))
            }
            Way::Served => {
                let words = [&self.example, &nginx.certificate, &nginx.key];
                let words: Vec<String> =
                    words.iter().map(|path| path.display().to_string()).collect();
                let (server, control) = yunzhan::start(&words, &folder)?;
                (server, Some(control))
            }
        };
        Ok(Started { server, control, certificate: nginx.certificate, upstream, way })
    }
}

impl Started {
    /// Where it takes sockets and uploads.
    pub(super) const fn target(&self, name: Target) -> &'static str {
        match (self.way, name) {
            (Way::Served, Target::Socket) => "/socket",
            (Way::Served, Target::Upload) => "/upload",
            (_, Target::Socket) => "/up/socket",
            (_, Target::Upload) => "/up/upload",
        }
    }

    /// The present value of a metric, if it has metrics.
    pub(super) fn metric(&self, name: &str) -> Result<Option<f64>> {
        let Some(control) = self.control else { return Ok(None) };
        let get = request("GET", "/metrics", control, &[], "");
        let text = Connection::open(control)?.ask(&get)?.text();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.with_context(|| format!("no metric {name}"))?;
        Ok(Some(value.trim().parse().context("a metric that is not a number")?))
    }
}

/// What a server is asked for.
#[derive(Clone, Copy)]
pub(super) enum Target {
    Socket,
    Upload,
}

/// Bounds far beyond what is measured, and the rules that ship.
fn configuration(upstream: SocketAddr, nginx: &Nginx) -> String {
    format!(
        r#"
[listen]
http = "127.0.0.1:0"
https = "127.0.0.1:0"
control = "127.0.0.1:0"

[tls]
certificate = "{certificate}"
key = "{key}"

[gateway]
connections_max = 100000
connections_per_address_max = 100000
sockets_max = 100000
sockets_per_env_max = 100000
sockets_per_address_max = 100000
socket_idle_timeout = "10m"

[[gateway.route]]
name = "streams"
path = "/up/{{*rest}}"
upstream = "http://{upstream}"
access = "public"
body_bytes_max = "4GiB"
"#,
        certificate = nginx.certificate.display(),
        key = nginx.key.display(),
    )
}
