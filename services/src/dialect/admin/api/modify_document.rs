//! `database.modifyDocument`: changes documents by operators (`merge:true`), or sets one as a whole (`merge:false`).

use yunzhan_base::Result;

use super::id_text;
use crate::dialect::admin::request::Request;
use crate::dialect::admin::{Admin, Reply};
use crate::dialect::members::missing;
use crate::documents::Change;

pub(crate) fn handle<'c>(admin: &'c Admin, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let collection = request.collection()?;
        let change = read(&mut request)?;
        let is_set = change.replace;
        let (documents, caller) = (&admin.documents, request.caller());
        let changed = match request.members.transaction()? {
            None => documents.update(caller, &collection, change).await?,
            Some(id) => documents.update_in(caller, &id, &collection, change).await?,
        };
        let mut answer = request.answer();
        answer.begin("data");
        // A document that is set counts as updated, also where it was the same already.
        answer.number("updated", if is_set { changed.matched } else { changed.updated });
        // Only when something was added: the SDKs take the mere presence for it.
        if let Some(id) = &changed.upserted {
            answer.raw("upsert_id").push_str(&id_text(id));
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
        replace: !members.flag("merge")?,
        multi: members.flag("multi")?,
        upsert: members.flag("upsert")?,
    })
}
