//! `database.startTransaction`, `database.commitTransaction` and `database.abortTransaction`.

use crate::dialect::action::{Reply, Request};

/// Begins a transaction; its id stands where `data` would, as the SDKs look for it there.
pub(super) fn start(request: Request<'_>) -> Reply<'_> {
    Box::pin(async move {
        let id = request.service.start_transaction(request.caller())?;
        let mut answer = request.answer();
        answer.text("transactionId", &id);
        Ok(answer)
    })
}

/// Writes what the transaction wrote, if what it read is still so.
pub(super) fn commit(mut request: Request<'_>) -> Reply<'_> {
    Box::pin(async move {
        let id = request.transaction()?;
        request.service.commit_transaction(request.caller(), &id).await?;
        Ok(request.answer())
    })
}

/// Forgets what the transaction wrote.
pub(super) fn abort(mut request: Request<'_>) -> Reply<'_> {
    Box::pin(async move {
        let id = request.transaction()?;
        request.service.abort_transaction(request.caller(), &id).await?;
        Ok(request.answer())
    })
}
