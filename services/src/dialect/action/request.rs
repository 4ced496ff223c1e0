//! A request that names its action: its environment, and the members that the action takes.

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderMap;
use yunzhan_base::{Context, EnvId, Error, Kind, Result};
use yunzhan_query::ejson::{Mode, write_document};
use yunzhan_query::{Bson, Document};

use super::Dialect;
use crate::dialect::idempotency_key;
use crate::dialect::members::{Members, missing};
use crate::dialect::reply::Object;
use crate::documents::{Caller, Documents, Find, Idempotency};

/// The members that say what an action writes.
const WRITTEN: &[&str] = &["collectionName", "query", "data", "multi", "merge", "upsert"];

/// What was asked, before anything of it is read.
#[derive(Clone, Copy)]
pub(super) struct Asked<'c> {
    pub(super) dialect: &'static Dialect,
    pub(super) context: &'c Context,
    /// The caller's.
    pub(super) env: &'c EnvId,
    /// None for a call from inside.
    pub(super) headers: Option<&'c HeaderMap>,
    /// A JSON object.
    pub(super) body: &'c [u8],
}

/// A request whose members are still to be taken, before it is known which service answers.
pub(super) struct Unbound<'c> {
    asked: Asked<'c>,
    action: String,
    members: Members,
}

/// A request as the service `S` gets it, whose members are still to be taken.
pub(crate) struct Request<'c, S = Documents> {
    pub(crate) service: &'c Arc<S>,
    pub(crate) members: Members,
    asked: Asked<'c>,
    action: String,
}

// === impl Asked ===

impl<'c> Asked<'c> {
    /// Reads the body and gives the action's name, unless it is known. Holds the environment that the body names against the
    /// one of the caller; who calls was decided before.
    pub(super) fn read(self, now_ms: i64, action: Option<&str>) -> Result<(String, Unbound<'c>)> {
        let mut members = Members::read(self.body, now_ms)?;
        let action = match action {
            Some(action) => action.to_owned(),
            None => members.required_text("action")?,
        };
        let (env, member) = (self.env, self.dialect.env_member);
        if members.text(member)?.is_some_and(|named| named != env.as_str()) {
            let credential = self.dialect.credential;
            let message = format!("{member} is not {env}, which the {credential} belongs to");
            return Err(Error::new(Kind::EnvNotFound, message));
        }
        Ok((action.clone(), Unbound { asked: self, action, members }))
    }
}

// === impl Unbound ===

impl<'c> Unbound<'c> {
    /// Says which members the action has.
    pub(super) fn declare(&mut self, members: &'static [&'static str]) {
        self.members.declare(members);
    }

    /// The request for this service.
    pub(super) fn of<S>(self, service: &'c Arc<S>) -> Request<'c, S> {
        let Self { asked, action, members } = self;
        Request { service, members, asked, action }
    }
}

// === impl Request ===

impl<'c, S> Request<'c, S> {
    /// On whose behalf, until when.
    pub(crate) fn context(&self) -> &'c Context {
        self.asked.context
    }

    /// The environment of the caller, which is that of the call.
    pub(crate) fn env(&self) -> &'c EnvId {
        self.asked.env
    }

    /// An answer that names this request.
    pub(crate) fn answer(&self) -> Object {
        self.answer_with_bytes(0)
    }

    /// An answer that will hold documents of this many bytes of BSON.
    pub(crate) fn answer_with_bytes(&self, bson_bytes: usize) -> Object {
        let mut object = Object::with_bytes(bson_bytes);
        object.request_id(self.asked.context.request_id);
        object
    }

    /// An answer whose `data` is one number.
    pub(crate) fn answer_of(&self, name: &'static str, number: u64) -> Object {
        let mut answer = self.answer();
        answer.begin("data");
        answer.number(name, number);
        answer.end();
        answer
    }
}

impl<'c> Request<'c> {
    /// Who calls.
    pub(crate) fn caller(&self) -> Caller<'c> {
        Caller { env: self.asked.env, principal: &self.asked.context.principal }
    }

    /// The key under which the action happens once, with what it asks for: its own members, and not those that differ each
    /// time, such as a token or a number of the call.
    pub(crate) fn idempotency(&self, keeps_document: bool) -> Result<Option<Idempotency<'c>>> {
        let Some(headers) = self.asked.headers else { return Ok(None) };
        let Some(key) = idempotency_key(headers)? else { return Ok(None) };
        // At a fixed time, as dates that are left to the server are no difference.
        let mut members = Members::read(self.asked.body, 0)?;
        let member = |name: &&str| Some(((*name).to_owned(), members.take(name)?));
        let action = [("action".to_owned(), Bson::from(self.action.as_str()))];
        let asked: Document = action.into_iter().chain(WRITTEN.iter().filter_map(member)).collect();
        let request = Cow::Owned(write_document(&asked, Mode::Server).into_bytes());
        Ok(Some(Idempotency { key, request, keeps_document }))
    }

    /// The collection that the action is about.
    pub(crate) fn collection(&mut self) -> Result<String> {
        self.members.required_text("collectionName")
    }

    /// The transaction that the action belongs to.
    pub(crate) fn transaction(&mut self) -> Result<String> {
        self.members.transaction()?.ok_or_else(|| missing("transactionId"))
    }

    /// The page that the action asks for, of `default` documents where it does not say.
    pub(crate) fn page(&mut self, default: usize) -> Result<Find> {
        let limit_max = self.service.config().query_documents_max;
        let members = &mut self.members;
        Ok(Find {
            which: members.which()?,
            order: members.order()?,
            skip: members.count("offset")?.unwrap_or(0),
            limit: members.count("limit")?.unwrap_or(default).min(limit_max),
            projection: members.projection()?,
        })
    }

    /// The members of an answer that name the document which an update added.
    pub(crate) fn upserted_members(&self) -> &'static [&'static str] {
        self.asked.dialect.upserted_members
    }

    /// An id as this dialect writes it.
    pub(crate) fn id(&self, id: &Bson) -> String {
        (self.asked.dialect.write_id)(id)
    }
}
