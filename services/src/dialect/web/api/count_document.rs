//! `database.countDocument`: how many documents match.

use crate::dialect::web::request::Request;
use crate::dialect::web::{Reply, Web};

pub(crate) fn handle<'c>(web: &'c Web, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let collection = request.collection()?;
        let which = request.members.which()?;
        let total = web.documents.count(request.caller(), &collection, which).await?;
        let mut answer = request.answer();
        answer.begin("data");
        answer.number("total", total);
        answer.end();
        Ok(answer)
    })
}
