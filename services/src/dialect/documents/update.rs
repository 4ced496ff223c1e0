//! `database.modifyDocument` and `database.updateDocument`: changes documents by operators (`merge:true`), or sets one as a
//! whole (`merge:false`). `database.modifyAndReturnDoc`: changes the first that matches, and gives it as it is then.

use yunzhan_base::Result;
use yunzhan_query::ejson::{Mode, write_document};

use crate::dialect::action::{Reply, Request};
use crate::dialect::members::missing;
use crate::documents::{Change, Changed};

pub(super) fn handle(mut request: Request<'_>) -> Reply<'_> {
    Box::pin(async move {
        let members = &mut request.members;
        let change = Change {
            which: members.which()?,
            update: members.document("data")?.ok_or_else(|| missing("data"))?,
            replace: !members.flag("merge")?,
            multi: members.flag("multi")?,
            upsert: members.flag("upsert")?,
        };
        let is_set = change.replace;
        let changed = update(&mut request, change, false).await?;
        let mut answer = request.answer();
        answer.begin("data");
        // A document that is set counts as updated, also where it was the same already.
        answer.number("updated", if is_set { changed.matched } else { changed.updated });
        // Only when something was added: the SDKs take the mere presence for it.
        if let Some(id) = &changed.upserted {
            for name in request.upserted_members() {
                answer.raw(name).push_str(&request.id(id));
            }
        }
        answer.end();
        Ok(answer)
    })
}

pub(super) fn and_return(mut request: Request<'_>) -> Reply<'_> {
    Box::pin(async move {
        let members = &mut request.members;
        let change = Change {
            which: members.which()?,
            update: members.document("data")?.ok_or_else(|| missing("data"))?,
            replace: false,
            multi: false,
            upsert: false,
        };
        let changed = update(&mut request, change, true).await?;
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

async fn update(request: &mut Request<'_>, change: Change, returns: bool) -> Result<Changed> {
    let (collection, transaction) = (request.collection()?, request.members.transaction()?);
    let (documents, caller) = (request.service, request.caller());
    match transaction {
        None => {
            let idempotency = request.idempotency(returns)?;
            documents.update(caller, &collection, change, idempotency).await
        }
        Some(id) => documents.update_in(caller, &id, &collection, change).await,
    }
}
