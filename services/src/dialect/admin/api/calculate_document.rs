//! `database.calculateDocument`: how many documents match.

use crate::dialect::admin::request::Request;
use crate::dialect::admin::{Admin, Reply};

pub(crate) fn handle<'c>(admin: &'c Admin, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let collection = request.collection()?;
        request.members.refuse_transaction()?;
        let which = request.members.which()?;
        let total = admin.documents.count(request.caller(), &collection, which).await?;
        let mut answer = request.answer();
        answer.begin("data");
        answer.number("total", total);
        answer.end();
        Ok(answer)
    })
}
