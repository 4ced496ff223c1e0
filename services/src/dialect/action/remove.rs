//! `database.removeDocument` and `database.deleteDocument`: removes all documents that match, or the first.

use super::{Reply, Request};

pub(in crate::dialect) fn handle(mut request: Request<'_>) -> Reply<'_> {
    Box::pin(async move {
        let collection = request.collection()?;
        let (which, multi) = (request.members.which()?, request.members.flag("multi")?);
        let (documents, caller) = (request.documents, request.caller());
        let removed = match request.members.transaction()? {
            None => {
                let idempotency = request.idempotency(false)?;
                documents.remove(caller, &collection, which, multi, idempotency).await?
            }
            Some(id) => documents.remove_in(caller, &id, &collection, which, multi).await?,
        };
        Ok(request.answer_of("deleted", removed))
    })
}
