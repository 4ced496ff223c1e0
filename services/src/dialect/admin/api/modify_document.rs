//! `database.modifyDocument`: changes documents by operators (`merge:true`), or sets one as a whole (`merge:false`).

use yunzhan_base::Result;
use yunzhan_query::ejson::{Mode, write};

use crate::dialect::admin::request::Request;
use crate::dialect::admin::{Admin, Reply};
use crate::dialect::members::missing;
use crate::documents::Change;

pub(crate) fn handle<'c>(admin: &'c Admin, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let collection = request.collection()?;
        let change = read(&mut request)?;
        let changed = admin.documents.update(request.caller(), &collection, change).await?;
        let mut answer = request.answer();
        answer.begin("data");
        answer.number("updated", changed.updated);
        // Only when something was added: the SDKs take the mere presence for it.
        if let Some(id) = &changed.upserted {
            answer.raw("upsert_id").push_str(&write(id, Mode::Client));
        }
        answer.end();
        Ok(answer)
    })
}

fn read(request: &mut Request<'_>) -> Result<Change> {
    let members = &mut request.members;
    members.refuse_transaction()?;
    Ok(Change {
        which: members.which()?,
        update: members.document("data")?.ok_or_else(|| missing("data"))?,
        replace: !members.flag("merge")?,
        multi: members.flag("multi")?,
        upsert: members.flag("upsert")?,
    })
}
