//! A request that names its action: its environment, and the members that the action takes.

use std::borrow::Cow;

use yunzhan_base::{Call, EnvId, Error, Kind, Result};
use yunzhan_query::ejson::{Mode, write_document};
use yunzhan_query::{Bson, Document};

use super::Dialect;
use crate::dialect::idempotency_key;
use crate::dialect::members::{Members, missing};
use crate::dialect::reply::Object;
use crate::documents::{Caller, Documents, Find, Idempotency};

/// The members that say what an action writes.
const ASKED: &[&str] = &["action", "collectionName", "query", "data", "multi", "merge", "upsert"];

/// A request whose action is known and whose members are still to be taken.
pub(in crate::dialect) struct Request<'c> {
    pub(in crate::dialect) documents: &'c Documents,
    pub(in crate::dialect) members: Members,
    pub(super) dialect: &'static Dialect,
    env: &'c EnvId,
    call: &'c Call,
}

impl<'c> Request<'c> {
    /// Reads the body and gives the action's name. Holds the environment that the body names against the one of the
    /// caller; who calls was decided before, by identity.
    pub(super) fn read(
        dialect: &'static Dialect,
        documents: &'c Documents,
        call: &'c Call,
    ) -> Result<(String, Self)> {
        let mut members = Members::read(call.bytes(), documents.now_ms())?;
        let action = members.required_text("action")?;
        let env = &call.context.env()?.id;
        let (member, credential) = (dialect.env_member, dialect.credential);
        if members.text(member)?.is_some_and(|named| named != env.as_str()) {
            let message = format!("{member} is not {env}, which the {credential} belongs to");
            return Err(Error::new(Kind::EnvNotFound, message));
        }
        Ok((action, Self { documents, members, dialect, env, call }))
    }

    /// Who calls.
    pub(in crate::dialect) fn caller(&self) -> Caller<'c> {
        Caller { env: self.env, principal: &self.call.context.principal }
    }

    /// The key under which the action happens once, with what it asks for: its own members, and not those that differ each
    /// time, such as a token or a number of the call.
    pub(in crate::dialect) fn idempotency(
        &self,
        keeps_document: bool,
    ) -> Result<Option<Idempotency<'c>>> {
        let Some(key) = idempotency_key(self.call)? else { return Ok(None) };
        // At a fixed time, as dates that are left to the server are no difference.
        let mut members = Members::read(self.call.bytes(), 0)?;
        let member = |name: &&str| Some(((*name).to_owned(), members.take(name)?));
        let asked: Document = ASKED.iter().filter_map(member).collect();
        let request = Cow::Owned(write_document(&asked, Mode::Server).into_bytes());
        Ok(Some(Idempotency { key, request, keeps_document }))
    }

    /// The collection that the action is about.
    pub(in crate::dialect) fn collection(&mut self) -> Result<String> {
        self.members.required_text("collectionName")
    }

    /// The transaction that the action belongs to.
    pub(in crate::dialect) fn transaction(&mut self) -> Result<String> {
        self.members.transaction()?.ok_or_else(|| missing("transactionId"))
    }

    /// The page that the action asks for, of `default` documents where it does not say.
    pub(in crate::dialect) fn page(&mut self, default: usize) -> Result<Find> {
        let limit_max = self.documents.config().query_documents_max;
        let members = &mut self.members;
        Ok(Find {
            which: members.which()?,
            order: members.order()?,
            skip: members.count("offset")?.unwrap_or(0),
            limit: members.count("limit")?.unwrap_or(default).min(limit_max),
            projection: members.projection()?,
        })
    }

    /// An id as this dialect writes it.
    pub(in crate::dialect) fn id(&self, id: &Bson) -> String {
        (self.dialect.write_id)(id)
    }

    /// An answer that names this request.
    pub(in crate::dialect) fn answer(&self) -> Object {
        self.answer_with_bytes(0)
    }

    /// An answer that will hold documents of this many bytes of BSON.
    pub(in crate::dialect) fn answer_with_bytes(&self, bson_bytes: usize) -> Object {
        let mut object = Object::with_bytes(bson_bytes);
        object.request_id(self.call.context.request_id);
        object
    }

    /// An answer whose `data` is one number.
    pub(super) fn answer_of(&self, name: &'static str, number: u64) -> Object {
        let mut answer = self.answer();
        answer.begin("data");
        answer.number(name, number);
        answer.end();
        answer
    }
}
