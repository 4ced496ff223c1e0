//! `database.insertDocument`: adds documents, all or none.

use crate::dialect::action::{Reply, Request};
use crate::dialect::reply::list;

pub(crate) fn handle(mut request: Request<'_>) -> Reply<'_> {
    Box::pin(async move {
        let collection = request.collection()?;
        let data = request.members.documents("data")?;
        let (documents, caller) = (request.service, request.caller());
        let ids = match request.members.transaction()? {
            None => {
                let idempotency = request.idempotency(false)?;
                documents.insert(caller, &collection, data, idempotency).await?
            }
            Some(id) => documents.insert_in(caller, &id, &collection, data).await?,
        };
        let mut answer = request.answer();
        answer.begin("data");
        list(answer.raw("insertedIds"), &ids, |out, id| {
            out.push_str(&request.id(id));
            Ok(())
        })?;
        answer.end();
        Ok(answer)
    })
}
