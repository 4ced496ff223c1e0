//! `database.insertDocument`: adds documents, all or none.

use yunzhan_query::ejson::{Mode, write};

use crate::dialect::admin::request::Request;
use crate::dialect::admin::{Admin, Reply};
use crate::dialect::reply::list;

pub(crate) fn handle<'c>(admin: &'c Admin, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let collection = request.collection()?;
        request.members.refuse_transaction()?;
        let documents = request.members.documents("data")?;
        let ids = admin.documents.insert(request.caller(), &collection, documents, None).await?;
        let mut answer = request.answer();
        answer.begin("data");
        list(answer.raw("insertedIds"), &ids, |out, id| {
            out.push_str(&write(id, Mode::Client));
            Ok(())
        })?;
        answer.end();
        Ok(answer)
    })
}
