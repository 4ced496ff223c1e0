//! `database.getInTransaction`: what a transaction sees. `doc().get()`, `where().get()` and `where().count()` all send it.
//!
//! - `doc` sends `{"_id":{"$eq":id}}` without `limit`, and reads one document, or `null` when there is none.
//! - `where` always sends `limit`, and reads a list.
//! - `count` sends no `limit` either. It reads `total`, which therefore stands wherever no `limit` was sent.

use yunzhan_query::ejson::Mode;

use super::append_body;
use super::query_document::read;
use crate::dialect::reply::{list, string};
use crate::dialect::web::request::Request;
use crate::dialect::web::{Reply, Web};
use crate::documents::Which;

pub(crate) fn handle<'c>(web: &'c Web, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let (collection, id) = (request.collection()?, request.transaction()?);
        let has_limit = request.members.has("limit");
        let find = read(&mut request, &web.documents)?;
        let (which, offset, limit) = (find.which.clone(), find.skip, find.limit);
        let (documents, caller) = (&web.documents, request.caller());
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
            (true, Some(body)) => append_body(&mut text, body, Mode::Server)?,
            (true, None) => text.push_str("null"),
            (false, _) => {
                let write = |out: &mut String, body| append_body(out, body, Mode::Server);
                list(&mut text, &found.documents, write)?;
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
