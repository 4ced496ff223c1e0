//! The rule set that Debian packages (`modsecurity-crs`), as an installed machine has it: it is loaded whole, but for the
//! rules that nothing in linear time and without look-ups can serve, and those are named with the reason.
//!
//! Without the package the test says that it was skipped; `YUNZHAN_TEST_REQUIRE=modsecurity-crs` makes that a failure.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use expect_test::expect;
use yunzhan_waf::RuleSet;
use yunzhan_waf::rules::Unserved;
use yunzhan_waf::seclang::Sources;

const RULES: &str = "/usr/share/modsecurity-crs/rules";
const SETTINGS: &str = "/etc/modsecurity/crs/crs-setup.conf";

/// The machine's files, and one that includes those of the package.
struct Installed;

impl Sources for Installed {
    fn list(&self, folder: &str) -> Result<Vec<String>, String> {
        let entries = std::fs::read_dir(folder).map_err(|error| format!("{folder}: {error}"))?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        match path {
            "main.conf" => Ok(format!("Include {SETTINGS}\nInclude {RULES}/*.conf\n").into_bytes()),
            path => std::fs::read(path).map_err(|error| format!("{path}: {error}")),
        }
    }
}

#[test]
fn debians_rules_load_and_what_cannot_be_served_is_named() {
    if !Path::new(RULES).is_dir() {
        let required = std::env::var("YUNZHAN_TEST_REQUIRE").unwrap_or_default();
        let is_required = required.split(',').any(|name| name.trim() == "modsecurity-crs");
        assert!(!is_required, "{RULES} is not there: install the package modsecurity-crs");
        let _ = std::io::stderr().write_all(b"skipped: modsecurity-crs (install the package)\n");
        return;
    }
    let loaded = RuleSet::load_with("main.conf", &Installed, Unserved::LeaveOut);
    let rules = loaded.unwrap_or_else(|problems| panic!("{problems:#?}"));
    assert!(rules.len() > 500, "{} rules", rules.len());
    for problem in rules.left_out() {
        let is_reason =
            ["not supported", "not offered"].iter().any(|word| problem.message.contains(word));
        assert!(is_reason, "{problem:?}");
    }
    // Another release leaves others out.
    if !rules.signatures().iter().any(|signature| signature.ends_with("/3.3.4")) {
        return;
    }
    let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for problem in rules.left_out() {
        let id = problem.rule.map_or_else(String::new, |id| id.to_string());
        reasons.entry(problem.message.clone()).or_default().push(id);
    }
    let told: String =
        reasons.iter().map(|(reason, ids)| format!("{}: {reason}\n", ids.join(" "))).collect();
    expect![[r#"
        910100: @geoLookup: `@geoLookup` is not supported: places of addresses are not known here
        910140: @rbl: `@rbl` is not supported: it asks somebody outside, and the WAF does no input or output
        920600 942260: @rx: a group or quantifier that gives nothing back, with more behind it, cannot be matched in linear time and is not supported
        942130 953120: @rx: look-ahead cannot be matched in linear time and is not supported
        920120: @rx: look-behind cannot be matched in linear time and is not supported
        910100: GEO is not offered: nothing here looks addresses up
    "#]].assert_eq(&told);
}
