//! `GET …/documents/{id}`: one document by an id that is text.

use std::sync::Arc;

use yunzhan_base::{Answer, Call, Error, Kind};
use yunzhan_query::Bson;

use super::append_body;
use super::query::{read_projection, text};
use crate::dialect::gateway::caller;
use crate::dialect::members::no_transactions;
use crate::dialect::reply::json;
use crate::documents::Documents;

pub(crate) fn handle(documents: Arc<Documents>, call: Call) -> Answer {
    Box::pin(async move {
        if text(&call, "transactionId")?.is_some() {
            return Err(no_transactions());
        }
        let projection = read_projection(&call, documents.now_ms())?;
        let collection = call.params.get("collection")?;
        let id = Bson::String(call.params.get("id")?.to_owned());
        let found = documents.get(caller(&call)?, collection, &id, projection.as_ref()).await?;
        // The same words whether it is absent or out of the caller's reach.
        let message = "there is no such document, or you may not see it";
        let body = found.ok_or_else(|| Error::new(Kind::NotFound, message))?;
        let mut out = String::new();
        append_body(&mut out, &body)?;
        Ok(json(out))
    })
}
