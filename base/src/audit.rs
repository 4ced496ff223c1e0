//! What must stay on record: who did what to which thing. Acts make these records; the ledger appends them.

use std::borrow::Cow;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use crate::act::Act;
use crate::error::{Error, Result};
use crate::ids::EnvId;

/// One line of the audit. Its JSON form is stored: members are only ever added, and old lines are read for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// In which environment; none for acts on the server itself.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "env_text")]
    pub env: Option<EnvId>,
    /// Who: `user:<uid>`, `key:<id>`, `operator`.
    pub actor: Cow<'static, str>,
    /// What, from a closed set: `env.add`, `token.reuse_detected`, `collection.permission`.
    pub action: Cow<'static, str>,
    /// On which thing.
    pub subject: String,
    /// Whether it was allowed and done. An intent is not done yet.
    pub succeeded: bool,
    /// Before the act or after it. Lines from before there were intents tell outcomes.
    #[serde(default)]
    pub phase: Phase,
    /// Names the act: its intent and its outcome have the same. Empty in lines from before there were intents.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub act: String,
    /// The request that asked for it, as the access log names it; none for what nobody asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The name of the error's kind, of an act that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Cow<'static, str>>,
}

/// Before the act or after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// It is about to be done. Where no outcome follows, the server ended in between, and the act may be done or not.
    Intent,
    /// It came to its end.
    #[default]
    Done,
}

/// What becomes of a record that was handed to a ledger.
pub type Appended = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

/// Takes records.
pub trait Ledger: Send + Sync {
    /// Appends one record, which is durable once the future says so. A ledger may refuse: then the act is not done.
    fn append(&self, record: Record) -> Appended;
}

// === impl Record ===

impl Record {
    /// What is on record before an act.
    pub fn intent(act: &Act, name: &str, at_ms: i64) -> Self {
        Self {
            at_ms,
            env: act.env.clone(),
            actor: act.actor.clone(),
            action: Cow::Borrowed(act.action),
            subject: act.subject.clone(),
            succeeded: false,
            phase: Phase::Intent,
            act: name.to_owned(),
            request_id: act.request_id.map(|id| id.to_string()),
            failure: None,
        }
    }

    /// What is on record after an act: the intent's line with what came of it.
    #[must_use]
    pub fn outcome(self, failure: Option<&Error>, at_ms: i64) -> Self {
        Self {
            at_ms,
            succeeded: failure.is_none(),
            phase: Phase::Done,
            failure: failure.map(|error| Cow::Borrowed(error.kind().name())),
            ..self
        }
    }
}

mod env_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::ids::EnvId;

    pub(super) fn serialize<S: Serializer>(
        env: &Option<EnvId>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(env.as_ref().map_or("", EnvId::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<EnvId>, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Some).map_err(de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;
    use crate::error::Kind;

    /// Lines as programs of each format wrote them.
    const OLD: [&str; 2] = [
        r#"{"at_ms":7,"env":"demo","actor":"operator","action":"env.add","subject":"demo","succeeded":true}"#,
        r#"{"at_ms":8,"actor":"operator","action":"keys.rotate","subject":"dropped","succeeded":true}"#,
    ];

    #[test]
    fn old_lines_are_outcomes() {
        for line in OLD {
            let record: Record = serde_json::from_str(line).unwrap();
            assert_eq!((record.phase, record.succeeded), (Phase::Done, true), "{line}");
            assert!(serde_json::to_string(&record).unwrap().starts_with(&line[..line.len() - 1]));
        }
    }

    #[test]
    fn an_act_has_two_lines_under_one_name() {
        let act = Act::of_operator("env.add", "demo").in_env(&"demo".parse().unwrap());
        let intent = Record::intent(&act, "a1", 7);
        let failed = Error::new(Kind::AlreadyExists, "an environment demo exists already");
        let lines =
            [intent.clone(), intent.clone().outcome(None, 8), intent.outcome(Some(&failed), 9)];
        let lines = lines.map(|record| serde_json::to_string(&record).unwrap());
        expect_test::expect![[r#"
            {"at_ms":7,"env":"demo","actor":"operator","action":"env.add","subject":"demo","succeeded":false,"phase":"intent","act":"a1"}
            {"at_ms":8,"env":"demo","actor":"operator","action":"env.add","subject":"demo","succeeded":true,"phase":"done","act":"a1"}
            {"at_ms":9,"env":"demo","actor":"operator","action":"env.add","subject":"demo","succeeded":false,"phase":"done","act":"a1","failure":"already_exists"}
        "#]].assert_eq(&format!("{}\n", lines.join("\n")));
    }
}
