//! `database.addDocument`: adds a document, or a list of them, all or none.

use yunzhan_query::ejson::{Mode, write};

use crate::dialect::action::{Reply, Request};
use crate::dialect::reply::list;

pub(crate) fn handle(mut request: Request<'_>) -> Reply<'_> {
    Box::pin(async move {
        let collection = request.collection()?;
        let is_list = request.members.is_list("data");
        let documents = request.members.documents("data")?;
        let (service, caller) = (request.service, request.caller());
        let idempotency = request.idempotency(false)?;
        let ids = service.insert(caller, &collection, documents, idempotency).await?;
        let mut answer = request.answer();
        answer.begin("data");
        // The SDK reads `_id` of a single document and `ids` of a list; `insertedIds` is what the other dialects call both.
        if let ([id], false) = (&ids[..], is_list) {
            answer.raw("_id").push_str(&write(id, Mode::Client));
        }
        for name in if is_list { &["ids", "insertedIds"][..] } else { &["insertedIds"] } {
            list(answer.raw(name), &ids, |out, id| {
                out.push_str(&write(id, Mode::Client));
                Ok(())
            })?;
        }
        answer.end();
        Ok(answer)
    })
}
