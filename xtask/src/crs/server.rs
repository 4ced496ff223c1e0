//! Our server with the rules loaded, as an operator would set it up.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use xtask::process::Process;

/// Compiling the rules is part of a start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// What stands between clients and the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// The rules.
    Rules,
    /// Nothing: the control run.
    Nothing,
}

/// A serving process.
pub(super) struct Server {
    process: Process,
    log: PathBuf,
    pub(super) address: SocketAddr,
}

/// What the log told, by the id of the request: a line of ModSecurity's form for each rule that matched.
pub(super) type Seen = HashMap<String, Vec<Told>>;

/// One rule that matched.
pub(super) struct Told {
    pub(super) rule: u64,
    pub(super) line: String,
}

/// What a server that runs the cases sets before the rules' own settings: bodies are looked at, JSON and XML are read, and
/// nothing is refused. The last action is what the cases ask for: their own description, and the test set-up of 4.25.
const SETTINGS: &str = r#"
SecRuleEngine DetectionOnly
SecRequestBodyAccess On
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html text/xml application/json
SecRequestBodyLimit 13107200
SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\+|/)|text/)xml" "id:1,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "^application/(?:[a-z0-9.-]+\+)?json" "id:2,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
"#;

const TEST_ACTION: &str = r#"
SecAction "id:3,phase:1,nolog,pass,ctl:ruleEngine=DetectionOnly,ctl:ruleRemoveById=910000,setvar:tx.blocking_paranoia_level=4,setvar:tx.crs_validate_utf8_encoding=1,setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,setvar:tx.max_file_size=64100,setvar:tx.combined_file_sizes=65535,setvar:tx.crs_xml_attr_inspect=1"
"#;

impl Server {
    /// Starts it in this folder.
    pub(super) fn start(
        folder: &Path,
        program: &Path,
        rules: &Path,
        backend: SocketAddr,
        guard: Guard,
    ) -> Result<Self> {
        let rules = rules.canonicalize().context("there is no such folder of rules")?;
        let own = folder.join("rules.conf");
        let set_up = rules.join("crs-setup.conf.example");
        let text = format!(
            "{SETTINGS}\nInclude {}\n{TEST_ACTION}\nInclude {}/rules/*.conf\n",
            set_up.display(),
            rules.display()
        );
        std::fs::write(&own, text).context("cannot write the rules")?;
        let mode = if guard == Guard::Rules { "observe" } else { "off" };
        let text = format!(
            "[listen]\nhttp = \"127.0.0.1:0\"\nhttps = \"off\"\ncontrol = \"off\"\n\n[server]\ndemo = false\n\n\
             [waf]\nmode = \"{mode}\"\nrules = \"{}\"\nlog_values = \"plain\"\n\n\
             [[gateway.route]]\nname = \"everything\"\npath = \"/{{*rest}}\"\nupstream = \"http://{backend}\"\n\n\
             [[gateway.route]]\nname = \"root\"\npath = \"/\"\nupstream = \"http://{backend}\"\n",
            own.display()
        );
        let config = folder.join("yunzhan.toml");
        std::fs::write(&config, text).context("cannot write the configuration")?;
        let data = folder.join("data");
        let words = [
            program.display().to_string(),
            "--data".into(),
            data.display().to_string(),
            "--config".into(),
            config.display().to_string(),
            "--json".into(),
            "serve".into(),
        ];
        let mut process = Process::start(&words, &folder.join("server.log"))?;
        let address = process.wait_for(START_TIMEOUT, address)?;
        Ok(Self { process, log: data.join("log").join("access.log"), address })
    }

    /// Ends it in order, which writes the log, and reads what it told.
    pub(super) fn stop(self) -> Result<Seen> {
        let log = self.log.clone();
        self.process.stop()?;
        let text = std::fs::read_to_string(&log)
            .with_context(|| format!("cannot read {}", log.display()))?;
        let mut seen = Seen::new();
        for line in text.lines() {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            let Some(matches) = line.get("matches").and_then(Value::as_array) else { continue };
            let Some(id) = line.get("request_id").and_then(Value::as_str) else { continue };
            seen.entry(id.to_owned()).or_default().extend(matches.iter().filter_map(told));
        }
        Ok(seen)
    }
}

fn told(matched: &Value) -> Option<Told> {
    let rule = matched.get("rule")?.as_u64()?;
    let text = |name: &str| matched.get(name).and_then(Value::as_str).unwrap_or_default();
    let line = format!("[id \"{rule}\"] [msg \"{}\"] [data \"{}\"]", text("message"), text("data"));
    let line: String = line.chars().map(escaped).collect();
    Some(Told { rule, line })
}

/// A character as ModSecurity's log writes it.
fn escaped(c: char) -> String {
    if c.is_control() { format!("\\x{:02x}", u32::from(c)) } else { c.to_string() }
}

/// The address in the ready line, which may stand among notices.
fn address(output: &str) -> Option<SocketAddr> {
    output.lines().find_map(|line| {
        let ready: Value = serde_json::from_str(line).ok()?;
        let url = ready.get("http")?.as_str()?.trim_end_matches('/').to_owned();
        url.strip_prefix("http://")?.parse().ok()
    })
}
