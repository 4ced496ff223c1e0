//! `database.startTransaction`, `database.commitTransaction` and `database.abortTransaction`.

use crate::dialect::web::request::Request;
use crate::dialect::web::{Reply, Web};

/// Begins a transaction; its id stands where `data` would, as the SDK looks for it there.
pub(crate) fn start<'c>(web: &'c Web, request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let id = web.documents.start_transaction(request.caller())?;
        let mut answer = request.answer();
        answer.text("transactionId", &id);
        Ok(answer)
    })
}

/// Writes what the transaction wrote, unless somebody else was first.
pub(crate) fn commit<'c>(web: &'c Web, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let id = request.transaction()?;
        web.documents.commit_transaction(request.caller(), &id).await?;
        Ok(request.answer())
    })
}

/// Forgets what the transaction wrote.
pub(crate) fn abort<'c>(web: &'c Web, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let id = request.transaction()?;
        web.documents.abort_transaction(request.caller(), &id)?;
        Ok(request.answer())
    })
}
