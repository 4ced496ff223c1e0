//! The list of cases that cannot run here or that deviate, each with the reason.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// All of them, by rule and number.
#[derive(Debug, Default)]
pub(super) struct Overrides(HashMap<(u64, u64), Override>);

/// Why a case is on the list.
#[derive(Clone, Debug)]
pub(super) struct Override {
    /// Whether the request reaches the rules at all.
    pub(super) is_runnable: bool,
    pub(super) reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    test_overrides: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    rule_id: u64,
    test_ids: Vec<u64>,
    /// `refused`: the HTTP layer refuses the request before any rule. `deviates`: rules see it and say something else.
    kind: Kind,
    reason: String,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Refused,
    Deviates,
}

impl Overrides {
    pub(super) fn load(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let File { test_overrides } =
            serde_yaml_ng::from_str(&text).context("cannot understand the overrides")?;
        let mut known = HashMap::new();
        for row in test_overrides {
            for test in &row.test_ids {
                let entry = Override {
                    is_runnable: row.kind == Kind::Deviates,
                    reason: row.reason.trim().to_owned(),
                };
                let before = known.insert((row.rule_id, *test), entry);
                ensure!(before.is_none(), "{}-{test} is on the list twice", row.rule_id);
            }
        }
        Ok(Self(known))
    }

    pub(super) fn reason(&self, rule: u64, test: u64) -> Option<&Override> {
        self.0.get(&(rule, test))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
