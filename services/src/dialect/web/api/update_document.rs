//! `database.updateDocument`: changes documents by operators (`merge:true`), or sets one as a whole (`merge:false`).

use yunzhan_base::Result;
use yunzhan_query::ejson::{Mode, write};

use crate::dialect::members::missing;
use crate::dialect::web::request::Request;
use crate::dialect::web::{Reply, Web};
use crate::documents::Change;

pub(crate) fn handle<'c>(web: &'c Web, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let collection = request.collection()?;
        let change = read(&mut request)?;
        let is_set = change.replace;
        let changed = web.documents.update(request.caller(), &collection, change).await?;
        let mut answer = request.answer();
        answer.begin("data");
        // A document that is set counts as updated, also where it was the same already.
        answer.number("updated", if is_set { changed.matched } else { changed.updated });
        // Only when something was added: the SDK takes the mere presence for it.
        if let Some(id) = &changed.upserted {
            // `where().update()` reads the first name, `doc().set()` the second.
            let id = write(id, Mode::Client);
            answer.raw("upsert_id").push_str(&id);
            answer.raw("upserted_id").push_str(&id);
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
