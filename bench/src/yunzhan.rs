//! Our own server: its configuration for the bench, and what it can be asked.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::nginx::{Nginx, content};
use super::peer::{Peer, Question, Server, ask, request};
use xtask::process::Process;

/// Also under valgrind, which is fifty times slower.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The environment that a first start makes, and a collection of it in which everybody has documents of their own.
pub(super) const ENV: &str = "demo";
/// What a service of ours answers to everybody.
const KEY_SET: &str = "/auth/v1/.well-known/jwks.json";
const DOCUMENTS: &str =
    "/v1/database/instances/(default)/databases/(default)/collections/orders/documents";

/// Which rules against attacks are on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// None, as in nginx.
    Off,
    /// Those that ship, as nobody configured them.
    Shipped,
}

impl Rules {
    /// Names the server in progress and files.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Off => "yunzhan",
            Self::Shipped => "yunzhan-with-rules",
        }
    }

    /// The section of the configuration.
    const fn section(self) -> &'static str {
        match self {
            Self::Off => "[waf]\nmode = \"off\"\n",
            Self::Shipped => "",
        }
    }
}

/// Yunzhan with one remote route and a folder of pages.
pub(super) struct Yunzhan {
    folder: PathBuf,
    program: PathBuf,
    rules: Rules,
}

impl Yunzhan {
    /// Writes its configuration.
    pub(super) fn prepare(
        folder: &Path,
        program: &Path,
        backend: SocketAddr,
        nginx: &Nginx,
        rules: Rules,
    ) -> Result<Self> {
        let site = folder.join("site");
        fs::create_dir_all(&site)?;
        fs::write(site.join("static.json"), content())?;
        fs::write(folder.join("yunzhan.toml"), configuration(backend, nginx, rules))?;
        Ok(Self { folder: folder.to_owned(), program: program.to_owned(), rules })
    }
}

fn configuration(backend: SocketAddr, nginx: &Nginx, rules: Rules) -> String {
    format!(
        r#"
[listen]
http = "127.0.0.1:0"
https = "127.0.0.1:0"
control = "127.0.0.1:0"

[tls]
certificate = "{certificate}"
key = "{key}"

[server]
site = "site"
demo = true

{rules}
[[gateway.route]]
name = "backend"
path = "/proxied"
upstream = "http://{backend}"
access = "public"
"#,
        certificate = nginx.certificate.display(),
        key = nginx.key.display(),
        rules = rules.section(),
    )
}

impl Peer for Yunzhan {
    fn name(&self) -> &'static str {
        self.rules.name()
    }

    fn start(&self, wrapper: &[String]) -> Result<Server> {
        Ok(launch(&self.program, &self.folder, wrapper)?.0)
    }

    fn questions(&self, server: &Server) -> Result<Vec<Question>> {
        let host = server.plain;
        let token = sign_in(host)?;
        let bearer = format!("Bearer {token}");
        let authorized = [("Authorization", bearer.as_str())];
        let insert = request("POST", DOCUMENTS, host, &authorized, &document());
        let id = inserted_id(&ask(host, &insert)?)?;
        let read = request("GET", &format!("{DOCUMENTS}/{id}"), host, &authorized, "");
        let get = |name, target: &str| Question::one(name, request("GET", target, host, &[], ""));
        Ok(vec![
            get("proxied", "/proxied"),
            get("proxied, same headers", "/proxied"),
            Question::one("proxied post, 1 KB", request("POST", "/proxied", host, &[], &content())),
            get("built-in answer", KEY_SET),
            get("built-in answer, same headers", KEY_SET),
            get("static file", "/static.json"),
            Question::one("authenticated point read", read),
            Question::one("authenticated insert", insert),
        ])
    }
}

/// Starts the program on `data` and `yunzhan.toml` in the folder, and gives the control listener's address beside it.
pub(super) fn launch(
    program: &Path,
    folder: &Path,
    wrapper: &[String],
) -> Result<(Server, SocketAddr)> {
    let at = |name: &str| folder.join(name).display().to_string();
    let program = program.display().to_string();
    let own = [program, "--data".into(), at("data"), "--config".into(), at("yunzhan.toml")];
    let verb = ["--json".to_owned(), "serve".to_owned()];
    let words = [wrapper, &own, &verb].concat();
    start(&words, folder)
}

/// Starts a server that prints a ready line as the program does, with its output in the folder.
pub(super) fn start(words: &[String], folder: &Path) -> Result<(Server, SocketAddr)> {
    let mut process = Process::start(words, &folder.join("output.log"))?;
    let [plain, tls, control] = process.wait_for(START_TIMEOUT, addresses)?;
    Ok((Server { process, plain, tls, companions: None }, control))
}

/// The addresses in the ready line, which may stand among notices.
fn addresses(output: &str) -> Option<[SocketAddr; 3]> {
    output.lines().find_map(|line| {
        let ready: Value = serde_json::from_str(line).ok()?;
        Some([address(&ready, "http")?, address(&ready, "https")?, address(&ready, "control")?])
    })
}

fn address(ready: &Value, name: &str) -> Option<SocketAddr> {
    let url = ready.get(name)?.as_str()?;
    url.split_once("://")?.1.trim_end_matches('/').parse().ok()
}

/// An access token of a visitor.
pub(super) fn sign_in(host: SocketAddr) -> Result<String> {
    let target = format!("/auth/v1/signin/anonymously?client_id={ENV}");
    let answer = ask(host, &request("POST", &target, host, &[], "{}"))?;
    let token = answer.get("access_token").and_then(Value::as_str).context("no access token")?;
    Ok(token.to_owned())
}

/// The body of an insert: one document of a kilobyte.
fn document() -> String {
    let note = "x".repeat(800);
    format!(
        r#"{{"data":[{{"name":"Longjing 2026","price":12800,"stock":99,"tags":["green","new"],"note":"{note}"}}]}}"#
    )
}

fn inserted_id(answer: &Value) -> Result<String> {
    let id = answer.get("insertedIds").and_then(|ids| ids.get(0)).and_then(Value::as_str);
    Ok(id.context("the insert names no id")?.to_owned())
}
