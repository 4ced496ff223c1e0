//! `database.commitTransaction` and `database.abortTransaction`.

use crate::dialect::admin::request::Request;
use crate::dialect::admin::{Admin, Reply};
use crate::dialect::members::missing;

/// Writes what the transaction wrote, if what it read is still so.
pub(crate) fn commit<'c>(admin: &'c Admin, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let id = request.members.transaction()?.ok_or_else(|| missing("transactionId"))?;
        admin.documents.commit_transaction(request.caller(), &id).await?;
        Ok(request.answer())
    })
}

/// Forgets what the transaction wrote.
pub(crate) fn abort<'c>(admin: &'c Admin, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let id = request.members.transaction()?.ok_or_else(|| missing("transactionId"))?;
        admin.documents.abort_transaction(request.caller(), &id)?;
        Ok(request.answer())
    })
}
