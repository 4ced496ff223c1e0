//! The cases: YAML files as the project's own runner reads them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// One request and what must be said of it.
#[derive(Debug)]
pub(super) struct Case {
    /// Its place among all.
    pub(super) place: usize,
    /// The rule that it is for.
    pub(super) rule: u64,
    /// Its number among the rule's cases.
    pub(super) test: u64,
    /// What is sent.
    pub(super) bytes: Vec<u8>,
    /// What must be said.
    pub(super) output: Output,
}

impl Case {
    pub(super) fn name(&self) -> String {
        format!("{}-{}", self.rule, self.test)
    }
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    rule_id: u64,
    /// A rule may have no case yet.
    #[serde(default)]
    tests: Vec<Test>,
}

#[derive(Deserialize)]
struct Test {
    test_id: u64,
    stages: Vec<Stage>,
}

#[derive(Deserialize)]
struct Stage {
    input: Input,
    #[serde(default)]
    output: Output,
}

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    uri: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    encoded_request: Option<String>,
    #[serde(default = "yes")]
    autocomplete_headers: bool,
}

const fn yes() -> bool {
    true
}

/// What must be said of a request.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Output {
    #[serde(default)]
    pub(super) status: Option<u16>,
    #[serde(default)]
    pub(super) expect_error: Option<bool>,
    #[serde(default)]
    pub(super) log: Log,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Log {
    #[serde(default)]
    pub(super) expect_ids: Vec<u64>,
    #[serde(default)]
    pub(super) no_expect_ids: Vec<u64>,
    #[serde(default)]
    pub(super) match_regex: Option<String>,
    #[serde(default)]
    pub(super) no_match_regex: Option<String>,
}

/// All cases below a folder, by file and number.
pub(super) fn load(folder: &Path) -> Result<Vec<Case>> {
    let mut files = Vec::new();
    gather(folder, &mut files)?;
    files.sort();
    let mut cases = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        if text.trim().is_empty() {
            continue;
        }
        let file: File = serde_yaml_ng::from_str(&text)
            .with_context(|| format!("cannot understand {}", path.display()))?;
        for test in file.tests {
            for stage in test.stages {
                let bytes = stage
                    .input
                    .bytes()
                    .with_context(|| format!("{} {}", file.rule_id, test.test_id))?;
                let (place, rule) = (cases.len(), file.rule_id);
                cases.push(Case { place, rule, test: test.test_id, bytes, output: stage.output });
            }
        }
    }
    Ok(cases)
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry.context("cannot read a folder")?.path();
        if path.is_dir() {
            gather(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "yaml")
            && path.to_string_lossy().contains("/tests/")
        {
            files.push(path);
        }
    }
    Ok(())
}

impl Input {
    /// The request as it is sent, with what the runner of the rules' own project adds.
    fn bytes(&self) -> Result<Vec<u8>> {
        if let Some(encoded) = &self.encoded_request {
            let encoded: String = encoded.chars().filter(|c| !c.is_whitespace()).collect();
            return STANDARD.decode(encoded).context("encoded_request is not base64");
        }
        let has = |name: &str| self.headers.keys().any(|known| known.eq_ignore_ascii_case(name));
        let content_type =
            self.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let content_type = content_type.map_or("", |(_, value)| value.as_str());
        let mut data = self.data.clone().unwrap_or_default();
        let mut added = String::new();
        if self.autocomplete_headers && !data.is_empty() {
            let form = "application/x-www-form-urlencoded";
            if !has("content-type") {
                added.push_str(&format!("Content-Type: {form}\r\n"));
            }
            if content_type.is_empty() || content_type == form {
                data = encoded(&data);
            }
        }
        if content_type.contains("multipart/form-data;") {
            data = data.replace('\n', "\r\n");
        }
        let method = self.method.as_deref().unwrap_or("GET");
        if self.autocomplete_headers {
            if !has("connection") {
                added.push_str("Connection: close\r\n");
            }
            let may_have_body = ["POST", "PUT", "PATCH", "DELETE"].contains(&method);
            if !has("content-length") && (!data.is_empty() || may_have_body) {
                added.push_str(&format!("Content-Length: {}\r\n", data.len()));
            }
        }
        let (uri, version) =
            (self.uri.as_deref().unwrap_or("/"), self.version.as_deref().unwrap_or("HTTP/1.1"));
        let mut text = format!("{method} {uri} {version}\r\n");
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        Ok([text.as_bytes(), added.as_bytes(), b"\r\n", data.as_bytes()].concat())
    }
}

/// A form's data, encoded unless it seems to be already.
fn encoded(data: &str) -> String {
    if is_encoded(data) {
        return data.to_owned();
    }
    let pairs = data.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => format!("{}={}", escaped(name), escaped(value)),
        None => escaped(pair),
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// Whether decoding would change it, or fail.
fn is_encoded(data: &str) -> bool {
    data.contains('%') || data.contains('+')
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for &byte in text.as_bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
