//! `database.removeDocument`: removes all documents that match, or the first.

use crate::dialect::admin::request::Request;
use crate::dialect::admin::{Admin, Reply};

pub(crate) fn handle<'c>(admin: &'c Admin, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let collection = request.collection()?;
        let which = request.members.which()?;
        let multi = request.members.flag("multi")?;
        let (documents, caller) = (&admin.documents, request.caller());
        let removed = match request.members.transaction()? {
            None => documents.remove(caller, &collection, which, multi).await?,
            Some(id) => documents.remove_in(caller, &id, &collection, which, multi).await?,
        };
        let mut answer = request.answer();
        answer.begin("data");
        answer.number("deleted", removed);
        answer.end();
        Ok(answer)
    })
}
