//! `GET …/documents`: a page of documents, or with `count=true` how many there are.
//!
//! The SDK ends the query string with `&`, writes `query` as canonical Extended JSON, `order` as a list, and sends
//! `projection={}` for all fields.

use std::borrow::Cow;
use std::sync::Arc;

use yunzhan_base::{Call, ResponseFuture, Result};
use yunzhan_query::ejson::Mode;
use yunzhan_query::{Document, Order, Projection};

use crate::dialect::gateway::caller;
use crate::dialect::members::{document_text, order, projection, refused, value_text, which};
use crate::dialect::reply::{Object, json, list};
use crate::documents::{Documents, Find, Which};
use crate::offload::{self, LONG_BYTES};

pub(crate) fn handle(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    Box::pin(offload::run(false, async move {
        let (caller, collection) = (caller(&call)?, call.params.get("collection")?);
        if text(&call, "count")?.as_deref() == Some("true") {
            let which = read_which(&call, documents.now_ms())?;
            let mut answer = Object::new();
            answer.number("total", documents.count(caller, collection, which).await?);
            return Ok(json(answer.close()));
        }
        let find = read(&call, &documents)?;
        let (offset, limit) = (find.skip, find.limit);
        let found = match text(&call, "transactionId")? {
            None => documents.find(caller, collection, find).await?,
            Some(id) => documents.find_in(caller, &id, collection, find).await?,
        };
        let mut answer = Object::with_bytes(found.bytes());
        let documents = answer.raw("list");
        let is_long = found.bytes() >= LONG_BYTES;
        offload::run_now(is_long, || {
            list(documents, &found.documents, |out, body| body.append(out, Mode::Client))
        })?;
        answer.number("offset", offset as u64);
        answer.number("limit", limit as u64);
        if let Some(total) = found.total {
            answer.number("total", total);
        }
        Ok(json(answer.close()))
    }))
}

fn read(call: &Call, documents: &Documents) -> Result<Find> {
    let now_ms = documents.now_ms();
    let order = match text(call, "order")? {
        Some(text) => order(&value_text("order", &text, now_ms)?)?,
        None => Order::default(),
    };
    let config = documents.config();
    let limit = count(call, "limit")?.unwrap_or(config.query_documents_default);
    Ok(Find {
        which: read_which(call, now_ms)?,
        order,
        skip: count(call, "offset")?.unwrap_or(0),
        limit: limit.min(config.query_documents_max),
        projection: read_projection(call, now_ms)?,
    })
}

fn read_which(call: &Call, now_ms: i64) -> Result<Which> {
    which(document(call, "query", now_ms)?)
}

/// The fields that the caller wants.
pub(super) fn read_projection(call: &Call, now_ms: i64) -> Result<Option<Projection>> {
    projection(document(call, "projection", now_ms)?)
}

fn document(call: &Call, name: &str, now_ms: i64) -> Result<Option<Document>> {
    text(call, name)?.map(|text| document_text(name, &text, now_ms)).transpose()
}

/// A parameter; an empty one counts as absent.
pub(super) fn text<'c>(call: &'c Call, name: &str) -> Result<Option<Cow<'c, str>>> {
    Ok(call.query(name)?.filter(|text| !text.is_empty()))
}

fn count(call: &Call, name: &str) -> Result<Option<usize>> {
    let Some(text) = text(call, name)? else { return Ok(None) };
    let number = text.parse::<u32>().map_err(|_| refused(name, "a whole number from 0 on"))?;
    Ok(Some(number as usize))
}
