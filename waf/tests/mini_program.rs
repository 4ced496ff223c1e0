//! What mini-programs honestly send passes: ten thousand requests as shops, forums and errands make them, over routes of a
//! team's own program and over the dialects of the client packages.
//!
//! `YUNZHAN_TEST_CRS` names the folder of a release of the OWASP Core Rule Set; then the same requests pass it at paranoia
//! level 1 behind `crs.conf`. `YUNZHAN_TEST_SEED` makes
//! other requests.

#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(clippy::print_stdout, reason = "the seed, and what is off, are told")]

mod common;
mod traffic;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::Request;
use traffic::Random;
use yunzhan_waf::RuleSet;
use yunzhan_waf::seclang::Sources;
use yunzhan_waf::starter::WithBuiltIn;

const REQUESTS: usize = 10_000;

/// The requests are the same ones until somebody asks for others.
const SEED: u64 = 20_261_125;

/// Requests that are shown of those that were refused.
const SHOWN_MAX: usize = 40;

#[test]
fn the_starter_set_refuses_no_honest_request() {
    pass(&common::starter(), "the starter set");
}

#[test]
fn the_core_rule_set_with_our_profile_refuses_no_honest_request() {
    let Ok(folder) = std::env::var("YUNZHAN_TEST_CRS") else {
        println!("skipped: YUNZHAN_TEST_CRS names no release of the Core Rule Set");
        return;
    };
    pass(&core_rule_set(folder), "the Core Rule Set");
}

fn pass(rules: &Arc<RuleSet>, name: &str) {
    let given = std::env::var("YUNZHAN_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or(SEED);
    println!("seed {seed}");
    let mut random = Random(seed);
    let (mut refused, mut shown) = (0, Vec::new());
    let mut told: BTreeMap<u64, usize> = BTreeMap::new();
    for at in 0..REQUESTS {
        let request = traffic::request(&mut random);
        let seen = common::run(rules, &request);
        seen.rules.iter().for_each(|id| *told.entry(*id).or_default() += 1);
        if seen.refused {
            refused += 1;
            shown.push(show(at, &request, &seen.told));
        }
    }
    println!("{name}: {refused} of {REQUESTS} refused; told: {told:?}");
    shown.truncate(SHOWN_MAX);
    assert!(refused == 0, "seed {seed}: {refused} are refused:\n{}", shown.join("\n"));
}

fn show(at: usize, request: &Request, told: &[String]) -> String {
    let Request { route, method, target, body, .. } = request;
    let body = String::from_utf8_lossy(body);
    format!("{at}: {route} {method} {target}\n  {body}\n  {}", told.join("\n  "))
}

/// A release in a folder, behind what is built in for it.
struct Release(String);

impl Sources for Release {
    fn list(&self, folder: &str) -> Result<Vec<String>, String> {
        let entries = std::fs::read_dir(folder).map_err(|error| error.to_string())?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        if path != "root.conf" {
            return std::fs::read(path).map_err(|error| format!("{path}: {error}"));
        }
        let folder = &self.0;
        let root = format!(
            "Include /builtin/crs.conf\nInclude {folder}/crs-setup.conf.example\nInclude {folder}/rules/*.conf\n"
        );
        Ok(root.into_bytes())
    }
}

fn core_rule_set(folder: String) -> Arc<RuleSet> {
    common::load("root.conf", &WithBuiltIn(&Release(folder)))
}
