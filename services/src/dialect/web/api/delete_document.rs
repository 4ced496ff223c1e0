//! `database.deleteDocument`: removes all documents that match, or the first.

use crate::dialect::web::request::Request;
use crate::dialect::web::{Reply, Web};

pub(crate) fn handle<'c>(web: &'c Web, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let collection = request.collection()?;
        let (which, multi) = (request.members.which()?, request.members.flag("multi")?);
        let removed = web.documents.remove(request.caller(), &collection, which, multi).await?;
        let mut answer = request.answer();
        answer.begin("data");
        answer.number("deleted", removed);
        answer.end();
        Ok(answer)
    })
}
