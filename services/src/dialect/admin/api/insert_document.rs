//! `database.insertDocument`: adds documents, all or none.

use super::id_text;
use crate::dialect::admin::request::Request;
use crate::dialect::admin::{Admin, Reply};
use crate::dialect::reply::list;

pub(crate) fn handle<'c>(admin: &'c Admin, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let collection = request.collection()?;
        let documents = request.members.documents("data")?;
        let (service, caller) = (&admin.documents, request.caller());
        let ids = match request.members.transaction()? {
            None => service.insert(caller, &collection, documents, None).await?,
            Some(id) => service.insert_in(caller, &id, &collection, documents).await?,
        };
        let mut answer = request.answer();
        answer.begin("data");
        list(answer.raw("insertedIds"), &ids, |out, id| {
            out.push_str(&id_text(id));
            Ok(())
        })?;
        answer.end();
        Ok(answer)
    })
}
