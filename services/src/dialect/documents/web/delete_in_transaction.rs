//! `database.deleteDocInTransaction`: removes documents when the transaction commits. `doc` and `where` send the same members
//! and mean all that match, which of an id is one.

use crate::dialect::action::{Reply, Request};

pub(crate) fn handle(mut request: Request<'_>) -> Reply<'_> {
    Box::pin(async move {
        let (collection, id) = (request.collection()?, request.transaction()?);
        let which = request.members.which()?;
        let caller = request.caller();
        let removed = request.service.remove_in(caller, &id, &collection, which, true).await?;
        let mut answer = request.answer();
        answer.number("deleted", removed);
        Ok(answer)
    })
}
