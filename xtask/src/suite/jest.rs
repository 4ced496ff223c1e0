//! The runner of the suite: pinned packages, a configuration that points the suite at them, one serial run.
//!
//! The suite is of 2021 and imports its own sources. Those are mapped to the published packages, because the clients are
//! what is asked about; `describe.js` bridges the one thing that a runner of today refuses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::server::{ENV, Server};
use xtask::progress;

/// The packages with their versions.
const LIST: &str = include_str!("packages.json");
/// Runs before each file of the suite.
const DESCRIBE: &str = include_str!("describe.js");
/// Written when an installation is whole, with the list that it was made from.
const WHOLE: &str = "whole";

/// Installs the packages below `target`, unless an earlier run did; gives their `node_modules`.
pub(super) fn install(root: &Path) -> Result<PathBuf> {
    let folder = root.join("target/suite");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let is_whole = fs::read_to_string(folder.join(WHOLE)).is_ok_and(|whole| whole == LIST);
    if !is_whole {
        progress("installing the packages of the suite");
        fs::write(folder.join("package.json"), LIST)?;
        let output = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--loglevel", "error"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .output()
            .context("cannot run npm; install Node 20 or newer")?;
        let why = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "npm install failed: {}", why.trim());
        fs::write(folder.join(WHOLE), LIST)?;
    }
    Ok(folder.join("node_modules"))
}

/// Runs every file of `test/database` in `from`, and gives what the runner reports.
pub(super) fn run(packages: &Path, from: &Path, scratch: &Path, server: &Server) -> Result<Value> {
    let at = |name: &str| scratch.join(name);
    fs::write(at("config.local.js"), credentials(server))?;
    fs::write(at("describe.js"), DESCRIBE)?;
    fs::write(at("jest.json"), configuration(packages, from, scratch).to_string())?;
    let output = Command::new("node")
        .arg(packages.join("jest/bin/jest.js"))
        // Files share collections, so that one has to wait for the other.
        .args(["--runInBand", "--silent", "--json"])
        .arg("--config")
        .arg(at("jest.json"))
        .arg("--outputFile")
        .arg(at("report.json"))
        // Some tests build a date from a local text and compare it with what is known of it in UTC.
        .env("TZ", "Asia/Shanghai")
        // Without this the SDK asks a metadata host by name whether it runs in its maker's cloud.
        .env("TENCENTCLOUD", "true")
        .current_dir(scratch)
        .stdin(Stdio::null())
        .output()
        .context("cannot run node; install Node 20 or newer")?;
    // Its exit code tells of failing tests too; without a report it was the runner that failed.
    let report = fs::read(at("report.json")).with_context(|| {
        format!("the runner left no report: {}", String::from_utf8_lossy(&output.stderr).trim())
    })?;
    serde_json::from_slice(&report).context("the runner's report is not JSON")
}

/// What the suite expects in `config.local`.
fn credentials(server: &Server) -> String {
    let (id, key) = &server.key;
    let url = format!("{}/admin", server.url);
    let known = json!({ "secretId": id, "secretKey": key, "env": ENV, "serviceUrl": url });
    format!("module.exports = {known};\n")
}

fn configuration(packages: &Path, from: &Path, scratch: &Path) -> Value {
    let package = |name: &str| packages.join(name).display().to_string();
    let own = |name: &str| scratch.join(name).display().to_string();
    let syntax = json!({
        "jsc": { "parser": { "syntax": "typescript" }, "target": "es2022" },
        "module": { "type": "commonjs" },
    });
    json!({
        "rootDir": from,
        "roots": ["<rootDir>/test/database"],
        "testMatch": ["**/*.test.ts"],
        "testEnvironment": "node",
        "transform": { "\\.ts$": [package("@swc/jest"), syntax] },
        "moduleNameMapper": {
            "^(\\.\\./)+src/index$": package("@cloudbase/node-sdk"),
            "^(\\.\\./)+lib/const/code$": package("@cloudbase/node-sdk/dist/const/code"),
            "^@cloudbase/database/src/(.*)$": package("@cloudbase/database/dist/commonjs/$1"),
            "^(\\.\\./)+config\\.local$": own("config.local.js"),
            "^(bson|power-assert)$": package("$1"),
        },
        "setupFilesAfterEnv": [own("describe.js")],
        // A stall is one failing test, not an hour.
        "testTimeout": 60_000,
        "cacheDirectory": own("cache"),
    })
}
