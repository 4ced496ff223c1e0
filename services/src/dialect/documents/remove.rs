//! `database.removeDocument` and `database.deleteDocument`: removes all documents that match, or the first.

use crate::dialect::action::{Reply, Request};

pub(super) fn handle(mut request: Request<'_>) -> Reply<'_> {
    Box::pin(async move {
        let collection = request.collection()?;
        let (which, multi) = (request.members.which()?, request.members.flag("multi")?);
        let (documents, caller) = (request.service, request.caller());
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
