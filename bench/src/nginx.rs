//! Debian's nginx: the backend of both servers, and the peer.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::peer::{Peer, Question, Server, request};
use xtask::process::Process;

/// Also under valgrind.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// Kept connections to the backend; more than the load generator opens.
const UPSTREAM_CONNECTIONS: usize = 512;

/// Connections that a worker has room for; it takes the memory of all of them at the start.
const CONNECTIONS: usize = 4096;
/// The same where thousands of sockets are held, each with a connection to the upstream.
const STREAM_CONNECTIONS: usize = 32_768;

/// A running backend that answers everything with [`content`].
pub(super) struct Backend {
    /// Where it answers.
    pub(super) address: SocketAddr,
    _process: Process,
}

/// Starts the backend of both servers.
pub(super) fn backend(folder: &Path) -> Result<Backend> {
    let address = free_address()?;
    let site = format!(
        "access_log off; server {{ listen {address}; default_type application/json; location / {{ return 200 '{}'; }} }}",
        content()
    );
    let configuration = write_configuration(folder, &site, CONNECTIONS)?;
    let process = start(&[], &configuration, address)?;
    Ok(Backend { address, _process: process })
}

/// One kilobyte of JSON, as an answer of a shop is.
pub(super) fn content() -> String {
    let goods = r#"{"_id":"6f1d2c3b4a5968778695a4b3c2d1e0f1","name":"Longjing 2026","price":12800,"stock":99}"#;
    let list = [goods; 10].join(",");
    let filler = "x".repeat(1024 - list.len() - r#"{"list":[],"filler":""}"#.len());
    format!(r#"{{"list":[{list}],"filler":"{filler}"}}"#)
}

/// nginx with the questions that both servers answer.
pub(super) struct Nginx {
    configuration: PathBuf,
    plain: SocketAddr,
    tls: SocketAddr,
    /// The certificate that both servers show, and its key.
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Nginx {
    /// Writes its configuration and a certificate.
    pub(super) fn prepare(folder: &Path, backend: SocketAddr) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (plain, tls) = (free_address()?, free_address()?);
        let (certificate, key) = write_certificate(folder)?;
        fs::write(folder.join("static.json"), content())?;
        let site = site(folder, backend, plain, tls, &certificate, &key);
        let configuration = write_configuration(folder, &site, CONNECTIONS)?;
        Ok(Self { configuration, plain, tls, certificate, key })
    }
}

impl Nginx {
    /// The same program as a proxy of sockets and uploads, which passes both on as they arrive.
    pub(super) fn for_streams(folder: &Path, upstream: SocketAddr) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let (plain, tls) = (free_address()?, free_address()?);
        let (certificate, key) = write_certificate(folder)?;
        let site = format!(
            r#"
    access_log {folder}/access.log;
    client_max_body_size 0;
    map $http_upgrade $connection_word {{ default upgrade; '' close; }}
    server {{
        listen {plain};
        listen {tls} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;
        location / {{
            proxy_pass http://{upstream};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_word;
            proxy_request_buffering off;
            proxy_read_timeout 10m;
            {FORWARDED}
        }}
    }}"#,
            folder = folder.display(),
            certificate = certificate.display(),
            key = key.display(),
        );
        let configuration = write_configuration(folder, &site, STREAM_CONNECTIONS)?;
        Ok(Self { configuration, plain, tls, certificate, key })
    }
}

impl Peer for Nginx {
    fn name(&self) -> &'static str {
        "nginx"
    }

    fn start(&self, wrapper: &[String]) -> Result<Server> {
        let process = start(wrapper, &self.configuration, self.plain)?;
        Ok(Server { process, plain: self.plain, tls: self.tls, companions: None })
    }

    fn questions(&self, _server: &Server) -> Result<Vec<Question>> {
        let get = |name, target| Question::one(name, request("GET", target, self.plain, &[], ""));
        let post = request("POST", "/proxied", self.plain, &[], &content());
        Ok(vec![
            get("proxied", "/proxied"),
            Question::one("proxied post, 1 KB", post),
            get("built-in answer", "/built-in"),
            get("static file", "/static.json"),
            get("proxied, same headers", "/proxied-same"),
            get("built-in answer, same headers", "/built-in-same"),
        ])
    }
}

/// What a proxy passes on by custom.
const FORWARDED: &str = "proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr; \
     proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;";
/// What our gateway passes on besides.
const TRACED: &str = "proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Request-Id $request_id; \
     proxy_set_header traceparent 00-$request_id-0123456789abcdef-01;";
/// What our gateway adds to each answer.
const ANSWERED: &str = "add_header X-Request-Id $request_id;";

/// The peer's site: a proxy with kept upstream connections, an answer of its own, a file, TLS, and an access log; and both
/// answers once more with every header that our gateway adds.
fn site(
    folder: &Path,
    backend: SocketAddr,
    plain: SocketAddr,
    tls: SocketAddr,
    certificate: &Path,
    key: &Path,
) -> String {
    format!(
        r#"
    access_log {folder}/access.log;
    keepalive_requests 1000000000;
    upstream backend {{ server {backend}; keepalive {UPSTREAM_CONNECTIONS}; keepalive_requests 1000000000; }}
    server {{
        listen {plain};
        listen {tls} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;
        default_type application/json;
        root {folder};
        location = /built-in {{ return 200 '{content}'; }}
        location = /built-in-same {{ {ANSWERED} return 200 '{content}'; }}
        location /proxied {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            {FORWARDED}
        }}
        location /proxied-same {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            {FORWARDED}
            {TRACED}
            {ANSWERED}
        }}
    }}"#,
        folder = folder.display(),
        certificate = certificate.display(),
        key = key.display(),
        content = content(),
    )
}

/// A configuration that needs no folder but its own, and one process, so that its figures are those of one process id.
fn write_configuration(folder: &Path, site: &str, connections: usize) -> Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let at = folder.display();
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String = kinds.map(|kind| format!("{kind}_temp_path {at}/{kind}; ")).concat();
    let text = format!(
        "daemon off; master_process off; worker_processes 1; pid {at}/pid; error_log {at}/error.log;\n\
         events {{ worker_connections {connections}; }}\nhttp {{ {temporary}\n{site}\n}}\n"
    );
    let path = folder.join("nginx.conf");
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn start(wrapper: &[String], configuration: &Path, address: SocketAddr) -> Result<Process> {
    let folder = configuration.parent().context("a configuration lies in a folder")?;
    let own = ["nginx".to_owned(), "-c".to_owned(), configuration.display().to_string()];
    let prefix = ["-p".to_owned(), folder.display().to_string()];
    let words = [wrapper, &own, &prefix].concat();
    let mut process = Process::start(&words, &folder.join("output.log"))?;
    process.wait_for(START_TIMEOUT, |_| TcpStream::connect(address).ok())?;
    Ok(process)
}

/// An address that is free now. Another program may take it before the server does; then the bench fails and says so.
pub(super) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0").context("no free port")?.local_addr()?)
}

fn write_certificate(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
        .context("cannot make a certificate")?;
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    fs::write(&certificate, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    Ok((certificate, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_is_a_kilobyte_of_json() {
        let text = content();
        assert_eq!(text.len(), 1024);
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }
}
