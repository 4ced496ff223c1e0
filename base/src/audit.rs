//! What must stay on record: who did what to which thing. Every room writes these; the ledger appends them.

use serde::Serialize;

use crate::ids::EnvId;

/// One act that the audit must show. Its JSON form is stored: fields are only ever added.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// In which environment; none for acts on the server itself.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "env_text")]
    pub env: Option<EnvId>,
    /// Who: `user:<uid>`, `key:<id>`, `operator`.
    pub actor: String,
    /// What, from a closed set: `env.add`, `token.reuse_detected`, `collection.permission`.
    pub action: &'static str,
    /// On which thing.
    pub subject: String,
    /// Whether it was allowed and done.
    pub succeeded: bool,
}

fn env_text<S: serde::Serializer>(env: &Option<EnvId>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(env.as_ref().map_or("", EnvId::as_str))
}

/// Takes records. Appending is durable or reported; the default keeps nothing.
pub trait Ledger: Send + Sync {
    /// Appends one record.
    fn append(&self, record: &Record);
}
