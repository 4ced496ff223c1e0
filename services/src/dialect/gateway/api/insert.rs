//! `POST …/documents`: adds documents, all or none. With an `Idempotency-Key`, a phone that saw no answer may ask again.

use std::sync::Arc;

use yunzhan_base::{Call, ResponseFuture};
use yunzhan_query::ejson::{Mode, write};

use crate::dialect::gateway::{caller, idempotency};
use crate::dialect::members::Members;
use crate::dialect::reply::{Object, json, list};
use crate::documents::Documents;
use crate::offload::{self, LONG_BYTES};

pub(crate) fn handle(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    let is_long = call.bytes().len() >= LONG_BYTES;
    Box::pin(offload::run(is_long, async move {
        let mut members = Members::read(call.bytes(), documents.now_ms())?;
        let transaction = members.transaction()?;
        let data = members.documents("data")?;
        let collection = call.params.get("collection")?;
        let idempotency = idempotency(&call)?;
        let caller = caller(&call)?;
        let ids = match transaction {
            None => documents.insert(caller, collection, data, idempotency).await?,
            // Its commit is what happens once.
            Some(id) => documents.insert_in(caller, &id, collection, data).await?,
        };
        let mut answer = Object::new();
        list(answer.raw("insertedIds"), &ids, |out, id| {
            out.push_str(&write(id, Mode::Client));
            Ok(())
        })?;
        Ok(json(answer.close()))
    }))
}
