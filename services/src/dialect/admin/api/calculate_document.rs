//! `database.calculateDocument`: how many documents match.

use crate::dialect::admin::request::Request;
use crate::dialect::admin::{Admin, Reply};

pub(crate) fn handle<'c>(admin: &'c Admin, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let collection = request.collection()?;
        let (transaction, which) = (request.members.transaction()?, request.members.which()?);
        let (documents, caller) = (&admin.documents, request.caller());
        let total = match transaction {
            None => documents.count(caller, &collection, which).await?,
            Some(id) => documents.count_in(caller, &id, &collection, which).await?,
        };
        let mut answer = request.answer();
        answer.begin("data");
        answer.number("total", total);
        answer.end();
        Ok(answer)
    })
}
