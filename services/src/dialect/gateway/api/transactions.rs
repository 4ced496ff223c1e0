//! `POST …/transactions`, `…/transactions/{id}/commit` and `…/transactions/{id}/rollback`.

use std::sync::Arc;

use yunzhan_base::{Call, ResponseFuture};

use crate::dialect::gateway::caller;
use crate::dialect::reply::{Object, json};
use crate::documents::Documents;

/// Begins a transaction.
pub(crate) fn start(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let mut answer = Object::new();
        answer.text("transactionId", &documents.start_transaction(caller(&call)?)?);
        Ok(json(answer.close()))
    })
}

/// Writes what the transaction wrote, if what it read is still so.
pub(crate) fn commit(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let id = call.params.get("transaction")?;
        documents.commit_transaction(caller(&call)?, id).await?;
        Ok(json(Object::new().close()))
    })
}

/// Forgets what the transaction wrote.
pub(crate) fn roll_back(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        documents.abort_transaction(caller(&call)?, call.params.get("transaction")?).await?;
        Ok(json(Object::new().close()))
    })
}
