//! `database.calculateDocument` and `database.countDocument`: how many documents match.

use crate::dialect::action::{Reply, Request};

pub(super) fn handle(mut request: Request<'_>) -> Reply<'_> {
    Box::pin(async move {
        let collection = request.collection()?;
        let (transaction, which) = (request.members.transaction()?, request.members.which()?);
        let (documents, caller) = (request.service, request.caller());
        let total = match transaction {
            None => documents.count(caller, &collection, which).await?,
            Some(id) => documents.count_in(caller, &id, &collection, which).await?,
        };
        Ok(request.answer_of("total", total))
    })
}
