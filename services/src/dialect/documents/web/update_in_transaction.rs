//! `database.updateDocInTransaction`: changes documents when the transaction commits, or sets one as a whole.
//!
//! `set` sends a document without operators and `upsert:true`; `doc().update()` and `where().update()` send operators, and
//! mean all that match, which of an id is one.

use yunzhan_base::Result;
use yunzhan_query::ejson::{Mode, write};

use crate::dialect::action::{Reply, Request};
use crate::dialect::members::missing;
use crate::documents::Change;

pub(crate) fn handle(mut request: Request<'_>) -> Reply<'_> {
    Box::pin(async move {
        let (collection, id) = (request.collection()?, request.transaction()?);
        let change = read(&mut request)?;
        let is_set = change.replace;
        let changed = request.service.update_in(request.caller(), &id, &collection, change).await?;
        let mut answer = request.answer();
        // A document that is set counts as updated, also where it was the same already.
        answer.number("updated", if is_set { changed.matched } else { changed.updated });
        if let Some(id) = &changed.upserted {
            // A list in JSON in a string, as the SDK parses it.
            answer.text("upserted", &format!(r#"[{{"_id":{}}}]"#, write(id, Mode::Client)));
        }
        Ok(answer)
    })
}

fn read(request: &mut Request<'_>) -> Result<Change> {
    let members = &mut request.members;
    let update = members.document("data")?.ok_or_else(|| missing("data"))?;
    let upsert = members.flag("upsert")?;
    let is_plain = !update.keys().next().is_some_and(|first| first.starts_with('$'));
    let replace = upsert && is_plain;
    Ok(Change { which: members.which()?, update, replace, multi: !replace, upsert })
}
