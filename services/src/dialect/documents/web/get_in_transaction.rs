//! `database.getInTransaction`: what a transaction sees. `doc().get()`, `where().get()` and `where().count()` all send it.
//!
//! - `doc` sends `{"_id":{"$eq":id}}` without `limit`, and reads one document, or `null` when there is none.
//! - `where` always sends `limit`, and reads a list.
//! - `count` sends no `limit` either. It reads `total`, which therefore stands wherever no `limit` was sent.

use yunzhan_query::ejson::Mode;

use crate::dialect::action::{Reply, Request};
use crate::dialect::reply::{list, string};
use crate::documents::Which;

pub(crate) fn handle(mut request: Request<'_>) -> Reply<'_> {
    Box::pin(async move {
        let (collection, id) = (request.collection()?, request.transaction()?);
        let has_limit = request.members.has("limit");
        let find = request.page(request.service.config().query_documents_default)?;
        let (which, offset, limit) = (find.which.clone(), find.skip, find.limit);
        let (documents, caller) = (request.service, request.caller());
        let found = documents.find_in(caller, &id, &collection, find).await?;
        let is_doc = !has_limit && matches!(which, Which::One(_));
        let total = match (is_doc, has_limit) {
            (true, _) => Some(found.documents.len() as u64),
            (false, true) => None,
            (false, false) => Some(documents.count_in(caller, &id, &collection, which).await?),
        };
        let mut answer = request.answer_with_bytes(2 * found.bytes());
        let mut text = String::new();
        match (is_doc, found.documents.first()) {
            (true, Some(body)) => body.append(&mut text, Mode::Server)?,
            (true, None) => text.push_str("null"),
            (false, _) => {
                list(&mut text, &found.documents, |out, body| body.append(out, Mode::Server))?;
            }
        }
        string(answer.raw("data"), &text);
        if let Some(total) = total {
            answer.number("total", total);
        }
        answer.number("offset", offset as u64);
        answer.number("limit", limit as u64);
        Ok(answer)
    })
}
