//! Starting, following, and ending.

use std::time::{Duration, Instant};

use hyper::Method;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use yunzhan_e2e::people::documents_of;
use yunzhan_e2e::report::figure;
use yunzhan_e2e::server::run;
use yunzhan_e2e::{Http, Options, Server, WeChat};

/// A request of which the server has the head and half of the body.
struct HalfSent {
    stream: TcpStream,
    rest: String,
}

impl HalfSent {
    /// Adds a note to the demo, up to the middle.
    async fn begin(server: &Server) -> Self {
        let person = server.http().login_development("demo", "alice").await;
        let body = json!({ "data": [{ "note": "half-way" }] }).to_string();
        let (first, rest) = body.split_at(body.len() / 2);
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
            documents_of("orders"),
            person.access_token,
            body.len()
        );
        let mut stream = TcpStream::connect(server.http().address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // The server says so when it knows who asks and waits for the body.
        let mut go_on = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
        stream.read_exact(&mut go_on).await.unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(first.as_bytes()).await.unwrap();
        Self { stream, rest: rest.to_owned() }
    }

    /// Sends the other half and reads everything until the server closes.
    async fn finish(mut self) -> String {
        self.stream.write_all(self.rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

#[tokio::test]
async fn a_request_in_flight_ends_before_the_server_does() {
    let mut server = Server::start(Options::default()).await;
    let request = HalfSent::begin(&server).await;
    let seen = server.lines_said();
    server.signal("TERM");
    server.said(seen, "\"draining\"").await;
    let health = Http::at(server.url("control")).get("/readyz").send().await;
    assert_eq!((health.status.as_u16(), health.text().as_str()), (503, "draining\n"));
    // The listener closes right after the word; on a busy machine a connection may still slip in between.
    let until = Instant::now() + Duration::from_secs(10);
    while let Ok(answer) = server.http().get("/").try_send().await {
        assert!(Instant::now() < until, "a draining server takes no new connection: {answer:?}");
    }
    let answer = request.finish().await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.contains("insertedIds"), "{answer}");
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_the_server_at_once() {
    let mut server = Server::start(Options::default()).await;
    let request = HalfSent::begin(&server).await;
    let seen = server.lines_said();
    server.signal("TERM");
    server.said(seen, "\"draining\"").await;
    server.signal("INT");
    assert_eq!(server.ended().await.code(), Some(1), "requests were cut off");
    drop(request);
}

#[tokio::test]
async fn the_drain_has_a_bound() {
    let mut server = Server::start(Options::default().with("server.drain_timeout", "100ms")).await;
    let _request = HalfSent::begin(&server).await;
    let begun = Instant::now();
    assert_eq!(server.terminate().await.code(), Some(1), "requests were cut off");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_reload_follows_a_good_configuration_and_no_bad_one() {
    let elsewhere = WeChat::start().await.unwrap();
    let route = |path: &str| {
        format!("[[gateway.route]]\npath = \"{path}\"\nupstream = \"{}\"\n", elsewhere.base_url())
    };
    let server = Server::start(Options::default().configured(&route("/first"))).await;
    assert_eq!(answered_elsewhere(&server).await, ["/first"]);

    let bad = format!("{}wierd = 1\n", route("/second"));
    let refused = reload(&server, &bad, "config_refused").await;
    assert!(refused.contains("yunzhan.toml:4:1"), "it names file and line: {refused}");
    assert_eq!(answered_elsewhere(&server).await, ["/first"], "not even the good half was taken");

    let followed = reload(&server, &route("/second"), "config_reloaded").await;
    assert!(followed.contains("gateway.route"), "it names what changed: {followed}");
    assert_eq!(answered_elsewhere(&server).await, ["/second"]);

    let waits = format!("{}[server]\ndrain_timeout = \"1s\"\n", route("/second"));
    let told = reload(&server, &waits, "config_needs_restart").await;
    assert!(told.contains("server.drain_timeout"), "{told}");
    let told = server.control(Method::POST, "/control/v1/reload", &Value::Null).await.value();
    let expected = json!({ "changed": [], "needs_restart": ["server.drain_timeout"] });
    assert_eq!(told, expected, "it waits until the restart");
}

/// Which of the two paths the upstream answers now.
async fn answered_elsewhere(server: &Server) -> Vec<&'static str> {
    let mut answered = Vec::new();
    for path in ["/first", "/second"] {
        let answer = server.http().get(path).send().await;
        if answer.text().contains("the stand-in has no such endpoint") {
            answered.push(path);
        }
    }
    answered
}

/// Writes the file, sends the signal, and gives the notice that it led to.
async fn reload(server: &Server, config: &str, notice: &str) -> String {
    std::fs::write(server.data().config(), config).unwrap();
    let seen = server.lines_said();
    server.signal("HUP");
    server.said(seen, notice).await
}

#[tokio::test]
async fn one_folder_has_one_server() {
    let mut server = Server::start(Options::default()).await;
    let second = server.run(&["serve"]).await;
    assert_eq!(second.code, 1, "{second:?}");
    let said: Value = serde_json::from_str(second.stderr.lines().next_back().unwrap()).unwrap();
    let message = said["error"]["message"].as_str().unwrap();
    let holder = format!("is in use by process {}", server.ready()["process"]);
    assert!(message.contains(&holder), "{message}");
    assert_eq!(server.http().get("/").send().await.status, 200, "the first one serves on");

    server.kill();
    server.restart().await;
}

#[tokio::test]
async fn a_database_that_is_away_is_named_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens at port 1.
    let options = Options::default().with("sql.mysql_url", "mysql://shop:s3cret@127.0.0.1:1/shop");
    let output = run(folder.path(), &options, &["serve"]).await;
    assert_eq!(output.code, 1, "{output:?}");
    let said: Value = serde_json::from_str(output.stderr.lines().next_back().unwrap()).unwrap();
    assert_eq!(said["error"]["code"], "unavailable");
    assert!(said["error"]["message"].as_str().unwrap().contains("127.0.0.1"), "{said}");
    assert!(!format!("{output:?}").contains("s3cret"), "{output:?}");
}

#[tokio::test]
async fn every_request_has_one_line_in_the_access_log() {
    let mut server = Server::start(Options::default()).await;
    let http = server.http();
    let visitor = http.login_anonymously("demo").await;
    let refused = visitor.inserting("goods", &[json!({})]).send().await;
    let missing = http.get("/nowhere").send().await;
    assert_eq!(server.terminate().await.code(), Some(0));
    let text = std::fs::read_to_string(server.data().access_log()).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{text}");
    for (answer, route) in [(refused, "gateway.insert"), (missing, "files")] {
        let id = answer.header("x-request-id");
        let line = lines.iter().find(|line| line["request_id"] == id).unwrap();
        assert_eq!(
            (&line["status"], &line["route"]),
            (&json!(answer.status.as_u16()), &json!(route))
        );
    }
}

#[tokio::test]
async fn the_ready_line_says_what_to_open() {
    let server = Server::start(Options::default()).await;
    let ready = server.ready();
    assert_eq!(ready["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(ready["data"], server.data().root().display().to_string());
    assert_eq!(ready["development_login"], json!(["demo"]));
    let elapsed_ms = ready["elapsed_ms"].as_u64().unwrap();
    figure(&format!(
        "ready after {elapsed_ms} ms, {} KiB resident",
        server.resident_bytes() / 1024
    ));
    let control = Http::at(server.url("control"));
    for (path, text) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = control.get(path).send().await.with_status(200);
        assert_eq!(answer.text(), text);
    }
    let metrics = control.get("/metrics").send().await.with_status(200).text();
    assert!(metrics.contains("process_resident_memory_bytes"), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
}

#[tokio::test]
async fn the_command_line_asks_the_serving_process() {
    let server = Server::start(Options::default()).await;
    let added = server.run(&["env", "add", "shop", "--host", "api.example.com"]).await;
    assert_eq!(added.code, 0, "{added:?}");
    let key: Value = serde_json::from_str(&added.stdout).unwrap();
    assert_eq!(key["env"], "shop");
    let listed = server.run(&["env", "list"]).await;
    assert!(listed.stdout.contains("\"shop\""), "{listed:?}");
    let shown = server.run(&["env", "show", "shop"]).await;
    assert!(shown.stdout.contains("api.example.com"), "{shown:?}");
    assert!(!shown.stdout.contains("secret_key"), "a secret is shown once: {shown:?}");
    let token = server.run(&["token", "--user", "alice"]).await;
    let token: Value = serde_json::from_str(&token.stdout).unwrap();
    let token = token["access_token"].as_str().unwrap();
    let me = server.http().get("/auth/v1/user/me").bearer(token).send().await.value();
    assert_eq!(me["name"], "alice");
    let checked = server.run(&["check"]).await;
    assert_eq!(checked.code, 0, "{checked:?}");
}

#[tokio::test]
async fn the_development_certificate_serves_https() {
    let server = Server::start(Options::default()).await;
    let pem = std::fs::read(server.data().tls().join("development.pem")).unwrap();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let https = Http::over_tls(server.url("https"), config);
    assert_eq!(https.get("/").send().await.status, 200);
    let alice = https.login_development("demo", "alice").await;
    assert_eq!(alice.me().await.value()["name"], "alice");

    let trusting_nobody = ClientConfig::builder()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let stranger = Http::over_tls(server.url("https"), trusting_nobody);
    assert!(stranger.get("/").try_send().await.is_err());
}
