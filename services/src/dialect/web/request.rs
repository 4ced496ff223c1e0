//! A request of the web dialect: its action, its environment, and the members that the action takes.

use yunzhan_base::{Call, EnvId, Error, Kind, Result};

use crate::dialect::members::{Members, missing};
use crate::dialect::reply::Object;
use crate::documents::Caller;

/// A request whose action is known and whose members are still to be taken.
pub(super) struct Request<'c> {
    pub(super) action: String,
    pub(super) members: Members,
    env: &'c EnvId,
    call: &'c Call,
}

impl<'c> Request<'c> {
    /// Reads the body, and holds the environment that it names against the one of the token. Whose token it is was decided
    /// before, by identity; here it is only passed over.
    pub(super) fn read(call: &'c Call, now_ms: i64) -> Result<Self> {
        let mut members = Members::read(&call.body, now_ms)?;
        let action = members.text("action")?.ok_or_else(|| missing("action"))?;
        let env = &call.env()?.id;
        check_env(env, members.text("env")?.as_deref())?;
        Ok(Self { action, members, env, call })
    }

    /// Who calls.
    pub(super) fn caller(&self) -> Caller<'c> {
        Caller { env: self.env, principal: &self.call.principal }
    }

    /// The collection that the action is about.
    pub(super) fn collection(&mut self) -> Result<String> {
        self.members.required_text("collectionName")
    }

    /// The transaction that the action belongs to.
    pub(super) fn transaction(&mut self) -> Result<String> {
        self.members.transaction()?.ok_or_else(|| missing("transactionId"))
    }

    /// An answer that names this request.
    pub(super) fn answer(&self) -> Object {
        self.answer_with_bytes(0)
    }

    /// An answer that will hold documents of this many bytes of BSON.
    pub(super) fn answer_with_bytes(&self, bson_bytes: usize) -> Object {
        let mut object = Object::with_bytes(bson_bytes);
        object.request_id(self.call.request_id);
        object
    }
}

fn check_env(env: &EnvId, named: Option<&str>) -> Result<()> {
    match named {
        Some(named) if named != env.as_str() => {
            let message = format!("env is not {env}, which the token belongs to");
            Err(Error::new(Kind::EnvNotFound, message))
        }
        _ => Ok(()),
    }
}
