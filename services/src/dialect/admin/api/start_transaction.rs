//! `database.startTransaction`: begins a transaction; its id stands beside `data`, where the SDKs look for it.

use crate::dialect::admin::request::Request;
use crate::dialect::admin::{Admin, Reply};

pub(crate) fn handle<'c>(admin: &'c Admin, request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let id = admin.documents.start_transaction(request.caller())?;
        let mut answer = request.answer();
        answer.text("transactionId", &id);
        Ok(answer)
    })
}
