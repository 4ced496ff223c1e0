//! `database.addDocument`: adds a document, or a list of them, all or none.

use yunzhan_query::ejson::{Mode, write};

use crate::dialect::reply::list;
use crate::dialect::web::request::Request;
use crate::dialect::web::{Reply, Web};

pub(crate) fn handle<'c>(web: &'c Web, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let collection = request.collection()?;
        let is_list = request.members.is_list("data");
        let documents = request.members.documents("data")?;
        let ids = web.documents.insert(request.caller(), &collection, documents, None).await?;
        let mut answer = request.answer();
        answer.begin("data");
        // The SDK reads `_id` of a single document and `ids` of a list; `insertedIds` is what the other dialects call both.
        if let ([id], false) = (&ids[..], is_list) {
            answer.raw("_id").push_str(&write(id, Mode::Client));
        }
        for name in if is_list { &["ids", "insertedIds"][..] } else { &["insertedIds"] } {
            list(answer.raw(name), &ids, |out, id| {
                out.push_str(&write(id, Mode::Client));
                Ok(())
            })?;
        }
        answer.end();
        Ok(answer)
    })
}
