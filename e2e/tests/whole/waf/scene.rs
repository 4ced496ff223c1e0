//! A guarded server with somebody who uses it.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use yunzhan_e2e::environment::Permission;
use yunzhan_e2e::{Environment, Http, Options, Person, Server};

pub(super) const ENV: &str = "shop";
pub(super) const NOTES: &str = "notes";

/// What the rules refuse in requests.
pub(super) const ATTACK: &str = "1 UNION  SELECT password";
/// The same, of another kind.
pub(super) const SCRIPT: &str = "<script>steal()";
/// What the rules refuse in answers.
pub(super) const LEAK: &str = "You have an error in your SQL syntax near";

/// Few and plain.
pub(super) const RULES: &str = r#"
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType application/json
SecComponentSignature "tests/1.0"
SecRule REQUEST_HEADERS:Content-Type "@beginsWith application/json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule ARGS "@rx (?i)union\s+select" "id:100,phase:2,deny,capture,t:none,msg:'it unites selects',logdata:'%{MATCHED_VAR}',tag:'attack-sqli'"
SecRule ARGS "@contains <script" "id:101,phase:2,deny,t:none,t:lowercase,msg:'a script',tag:'attack-xss'"
SecRule RESPONSE_BODY "@contains error in your SQL syntax" "id:200,phase:4,deny,t:none,msg:'a database speaks',tag:'attack-disclosure'"
"#;

/// Rules that read every argument and match nothing.
pub(super) const WITHOUT_END: &str = r#"
SecRule REQUEST_HEADERS:Content-Type "@beginsWith application/json" "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule ARGS "@streq a" "id:2,phase:2,deny,t:none,t:sha1,t:hexEncode,multiMatch"
SecRule ARGS "@streq b" "id:3,phase:2,deny,t:none,t:md5,t:hexEncode,multiMatch"
SecRule ARGS "@streq c" "id:4,phase:2,deny,t:none,t:sha1,t:base64Encode,multiMatch"
SecRule ARGS "@streq d" "id:5,phase:2,deny,t:none,t:hexEncode,t:hexEncode,multiMatch"
"#;

pub(super) struct Scene {
    pub(super) server: Server,
    pub(super) shop: Environment,
    pub(super) alice: Person,
    rules: TempDir,
}

impl Scene {
    /// A server with these rules.
    pub(super) async fn set(mode: &str, rules: &str) -> Self {
        Self::set_with(Options::default(), mode, rules).await
    }

    pub(super) async fn set_with(options: Options, mode: &str, text: &str) -> Self {
        let rules = tempfile::tempdir().unwrap();
        let file = rules.path().join("rules.conf");
        std::fs::write(&file, text).unwrap();
        let options = options.with("waf.mode", mode).with("waf.rules", file.display().to_string());
        Self::of(Server::start(options).await, rules).await
    }

    /// A server that guards with what was imported.
    pub(super) async fn set_without_rules() -> Self {
        let options = Options::default().with("waf.mode", "block");
        Self::of(Server::start(options).await, tempfile::tempdir().unwrap()).await
    }

    async fn of(server: Server, rules: TempDir) -> Self {
        let shop = server.add_environment(ENV).await;
        server.add_collection(ENV, NOTES, Permission::Private).await;
        let alice = server.http().login_development(ENV, "alice").await;
        Self { server, shop, alice, rules }
    }

    pub(super) fn rules_file(&self) -> PathBuf {
        self.rules.path().join("rules.conf")
    }

    /// Writes a release of rules, and gives its folder.
    pub(super) fn release(&self, name: &str, files: &[(&str, &str)]) -> String {
        let folder = self.rules.path().join(name);
        for (file, text) in files {
            let path = folder.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder.display().to_string()
    }

    /// Writes the configuration, sends the signal, and gives the notice that it led to.
    pub(super) async fn reload(&self, config: &str, notice: &str) -> String {
        std::fs::write(self.server.data().config(), config).unwrap();
        let seen = self.server.lines_said();
        self.server.signal("HUP");
        self.server.said(seen, notice).await
    }

    pub(super) async fn metrics(&self) -> String {
        let control = Http::at(self.server.url("control"));
        control.get("/metrics").send().await.with_status(200).text()
    }

    /// Ends the server, which writes the log, and gives the lines of attacks.
    pub(super) async fn attacks_logged(&mut self) -> Vec<Value> {
        assert_eq!(self.server.terminate().await.code(), Some(0));
        let text = std::fs::read_to_string(self.server.data().access_log()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line.get("attack").is_some()).collect()
    }
}
