//! What somebody is about to do and what must stay on record.

use std::borrow::Cow;

use crate::context::Context;
use crate::ids::{EnvId, RequestId};

/// One act: who is about to do what to which thing. Making one does nothing; whoever runs it puts it on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Act {
    /// In which environment; none for acts on the server itself.
    pub env: Option<EnvId>,
    /// Who: `user:<uid>`, `key:<id>`, `operator`.
    pub actor: Cow<'static, str>,
    /// What, from a closed set: `env.add`, `token.reuse_detected`, `collection.permission`.
    pub action: &'static str,
    /// On which thing. Never a secret.
    pub subject: String,
    /// The request that asks for it.
    pub request_id: Option<RequestId>,
}

// === impl Act ===

impl Act {
    /// An act of whoever calls, in the environment of the call.
    pub fn new(context: &Context, action: &'static str, subject: impl Into<String>) -> Self {
        Self {
            env: context.env.as_ref().map(|env| env.id.clone()),
            actor: context.principal.actor(),
            action,
            subject: subject.into(),
            request_id: Some(context.request_id),
        }
    }

    /// An act of the operator that no request asks for.
    pub fn of_operator(action: &'static str, subject: impl Into<String>) -> Self {
        let (actor, subject) = (Cow::Borrowed("operator"), subject.into());
        Self { env: None, actor, action, subject, request_id: None }
    }

    /// The same in another environment than the call's: that which a path of the control API names.
    #[must_use]
    pub fn in_env(self, env: &EnvId) -> Self {
        Self { env: Some(env.clone()), ..self }
    }
}
