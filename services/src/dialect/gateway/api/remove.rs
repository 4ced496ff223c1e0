//! `POST …/documents/remove`: removes all documents that match, or the first.

use std::sync::Arc;

use yunzhan_base::{Call, ResponseFuture};

use crate::dialect::gateway::{caller, idempotency};
use crate::dialect::members::Members;
use crate::dialect::reply::{Object, json};
use crate::documents::Documents;
use crate::offload::{self, LONG_BYTES};

pub(crate) fn handle(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    let is_long = call.bytes().len() >= LONG_BYTES;
    Box::pin(offload::run(is_long, async move {
        let mut members = Members::read(call.bytes(), documents.now_ms())?;
        let transaction = members.transaction()?;
        let (which, multi) = (members.which()?, members.flag("multi")?);
        let collection = call.params.get("collection")?;
        let caller = caller(&call)?;
        let removed = match transaction {
            None => {
                let idempotency = idempotency(&call)?;
                documents.remove(caller, collection, which, multi, idempotency).await?
            }
            Some(id) => documents.remove_in(caller, &id, collection, which, multi).await?,
        };
        let mut answer = Object::new();
        answer.number("deleted", removed);
        Ok(json(answer.close()))
    }))
}
