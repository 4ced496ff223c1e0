//! `database.modifyAndReturnDoc`: changes the first document that matches, and gives it as it is then.

use yunzhan_base::Result;
use yunzhan_query::ejson::{Mode, write_document};

use crate::dialect::admin::request::Request;
use crate::dialect::admin::{Admin, Reply};
use crate::dialect::members::missing;
use crate::documents::Change;

pub(crate) fn handle<'c>(admin: &'c Admin, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let collection = request.collection()?;
        let change = read(&mut request)?;
        let (documents, caller) = (&admin.documents, request.caller());
        let changed = match request.members.transaction()? {
            None => documents.update(caller, &collection, change).await?,
            Some(id) => documents.update_in(caller, &id, &collection, change).await?,
        };
        let mut answer = request.answer();
        answer.begin("data");
        // Found counts as updated, also where it was the same already.
        answer.number("updated", changed.matched);
        match &changed.document {
            Some(document) => answer.text("doc", &write_document(document, Mode::Server)),
            None => answer.raw("doc").push_str("null"),
        }
        answer.end();
        Ok(answer)
    })
}

fn read(request: &mut Request<'_>) -> Result<Change> {
    let members = &mut request.members;
    Ok(Change {
        which: members.which()?,
        update: members.document("data")?.ok_or_else(|| missing("data"))?,
        replace: false,
        multi: false,
        upsert: false,
    })
}
