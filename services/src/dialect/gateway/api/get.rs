//! `GET …/documents/{id}`: one document by an id that is text.

use std::sync::Arc;

use yunzhan_base::{Call, Error, Kind, ResponseFuture};
use yunzhan_query::ejson::Mode;
use yunzhan_query::{Bson, Order};

use super::query::{read_projection, text};
use crate::dialect::gateway::caller;
use crate::dialect::reply::json;
use crate::documents::{Body, Documents, Find, Which};
use crate::offload::{self, LONG_BYTES};

pub(crate) fn handle(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let projection = read_projection(&call, documents.now_ms())?;
        let collection = call.params.get("collection")?;
        let id = Bson::String(call.params.get("id")?.to_owned());
        let caller = caller(&call)?;
        let found = match text(&call, "transactionId")? {
            None => documents.get(caller, collection, &id, projection.as_ref()).await?,
            Some(transaction) => {
                let (which, order) = (Which::One(id), Order::default());
                let find = Find { which, order, skip: 0, limit: 1, projection };
                documents.find_in(caller, &transaction, collection, find).await?.documents.pop()
            }
        };
        // The same words whether it is absent or out of the caller's reach.
        let message = "there is no such document, or you may not see it";
        let body = found.ok_or_else(|| Error::new(Kind::NotFound, message))?;
        let mut out = String::new();
        let is_long = matches!(&body, Body::Stored(bson) if bson.len() >= LONG_BYTES);
        offload::run_now(is_long, || body.append(&mut out, Mode::Client))?;
        Ok(json(out))
    })
}
