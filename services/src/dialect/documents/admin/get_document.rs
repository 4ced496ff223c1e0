//! `database.getDocument`: a page of documents, each as Extended JSON in a string.

use crate::dialect::action::{Reply, Request};
use crate::dialect::reply::server_texts;
use crate::offload::{self, LONG_BYTES};

/// Documents in an answer when the caller names no limit, unless people get more. The SDKs always name one.
const LIMIT_DEFAULT: usize = 100;

pub(crate) fn handle(mut request: Request<'_>) -> Reply<'_> {
    Box::pin(async move {
        let collection = request.collection()?;
        let limit = request.service.config().query_documents_default.max(LIMIT_DEFAULT);
        let find = request.page(limit)?;
        let (offset, limit) = (find.skip, find.limit);
        let (documents, caller) = (request.service, request.caller());
        let found = match request.members.transaction()? {
            None => documents.find(caller, &collection, find).await?,
            Some(id) => documents.find_in(caller, &id, &collection, find).await?,
        };
        let mut answer = request.answer_with_bytes(2 * found.bytes());
        if let Some(total) = found.total {
            answer.number("total", total);
        }
        answer.number("offset", offset as u64);
        answer.number("limit", limit as u64);
        answer.begin("data");
        let (is_long, list) = (found.bytes() >= LONG_BYTES, answer.raw("list"));
        offload::run_now(is_long, || server_texts(list, found.documents))?;
        answer.end();
        Ok(answer)
    })
}
