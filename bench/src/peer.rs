//! What is measured: two servers that are asked the same questions.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::load::{Answer, Connection};
use xtask::process::{Companions, Process};

/// A way to start one of the servers.
pub(super) trait Peer {
    /// Name in the table.
    fn name(&self) -> &'static str;

    /// Starts it behind a wrapper such as valgrind (nothing for none), and waits until it is ready.
    fn start(&self, wrapper: &[String]) -> Result<Server>;

    /// What a running one can be asked. Questions of the same name are comparable.
    fn questions(&self, server: &Server) -> Result<Vec<Question>>;
}

/// A running server.
pub(super) struct Server {
    pub(super) process: Process,
    /// Where it answers HTTP.
    pub(super) plain: SocketAddr,
    /// Where it answers HTTPS.
    pub(super) tls: SocketAddr,
    /// Processes that work for it and are not its children, such as those of a database.
    pub(super) companions: Option<Companions>,
}

impl Server {
    /// Processor time of everything that works for it.
    pub(super) fn cpu(&self) -> Result<Duration> {
        let companions = self.companions.as_ref().map(Companions::cpu).transpose()?;
        Ok(self.process.cpu()? + companions.unwrap_or_default())
    }
}

/// A running server with what it can be asked.
pub(super) struct Running {
    pub(super) server: Server,
    pub(super) questions: Vec<Question>,
}

impl Running {
    /// Starts a peer by itself, behind no wrapper.
    pub(super) fn start(peer: &dyn Peer) -> Result<Self> {
        let server = peer.start(&[])?;
        let questions = peer.questions(&server)?;
        Ok(Self { server, questions })
    }

    /// The question of this name, if it can be asked that.
    pub(super) fn question(&self, name: &str) -> Option<&Question> {
        self.questions.iter().find(|question| question.name == name)
    }
}

/// Requests of one kind that are sent again and again.
pub(super) struct Question {
    /// Name in the table.
    pub(super) name: &'static str,
    /// The requests as they go over the wire; at least one.
    pub(super) pool: Vec<Vec<u8>>,
}

impl Question {
    /// The same request every time.
    pub(super) fn one(name: &'static str, request: Vec<u8>) -> Self {
        Self { name, pool: vec![request] }
    }

    /// The first of its requests.
    pub(super) fn first(&self) -> &[u8] {
        self.pool.first().map(Vec::as_slice).unwrap_or_default()
    }
}

/// Asks once on a connection of its own; fails unless the answer is a 2xx with JSON.
pub(super) fn ask(host: SocketAddr, request: &[u8]) -> Result<Value> {
    let answer: Answer = Connection::open(host)?.ask(request)?;
    ensure!((200..300).contains(&answer.status), "status {}: {}", answer.status, answer.text());
    serde_json::from_slice(&answer.body).context("an answer that is not JSON")
}

/// A request of the size that a mini-program's client sends, kept alive.
pub(super) fn request(
    method: &str,
    target: &str,
    host: SocketAddr,
    headers: &[(&str, &str)],
    body: &str,
) -> Vec<u8> {
    let mut text = format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Mozilla/5.0 (Linux; Android 14) MicroMessenger/8.0.50\r\n\
         Accept: */*\r\nReferer: https://servicewechat.com/wx0123456789abcdef/12/page-frame.html\r\n"
    );
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        ));
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}
