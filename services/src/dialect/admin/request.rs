//! A request of the admin dialect: its action, its environment, and the members that the action takes.

use http::header::CONTENT_TYPE;
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
    /// Reads the body, and holds the environment that it names against the one of the key.
    pub(super) fn read(call: &'c Call, now_ms: i64) -> Result<Self> {
        refuse_multipart(call)?;
        let mut members = Members::read(&call.body, now_ms)?;
        let action = members.text("action")?.ok_or_else(|| missing("action"))?;
        let env = &call.env()?.id;
        check_env(env, members.text("envName")?.as_deref())?;
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

/// `wx.*` actions come as forms, which nothing here answers.
fn refuse_multipart(call: &Call) -> Result<()> {
    let kind = call.headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    if kind.len() >= 9 && kind[..9].eq_ignore_ascii_case(b"multipart") {
        let message =
            "calls as multipart/form-data, such as wx.openApi, are not offered by this server";
        return Err(Error::new(Kind::NotImplemented, message));
    }
    Ok(())
}

fn check_env(env: &EnvId, named: Option<&str>) -> Result<()> {
    match named {
        Some(named) if named != env.as_str() => {
            let message = format!("envName is not {env}, which the key belongs to");
            Err(Error::new(Kind::EnvNotFound, message))
        }
        _ => Ok(()),
    }
}
