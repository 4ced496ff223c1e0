//! `database.queryDocument`: a page of documents in plain JSON.

use yunzhan_query::ejson::Mode;

use crate::dialect::action::{Reply, Request};
use crate::dialect::reply::list;
use crate::offload::{self, LONG_BYTES};

pub(crate) fn handle(mut request: Request<'_>) -> Reply<'_> {
    Box::pin(async move {
        let collection = request.collection()?;
        let find = request.page(request.service.config().query_documents_default)?;
        let (offset, limit) = (find.skip, find.limit);
        let found = request.service.find(request.caller(), &collection, find).await?;
        let mut answer = request.answer_with_bytes(found.bytes());
        if let Some(total) = found.total {
            answer.number("total", total);
        }
        answer.number("offset", offset as u64);
        answer.number("limit", limit as u64);
        answer.begin("data");
        let documents = answer.raw("list");
        offload::run_now(found.bytes() >= LONG_BYTES, || {
            list(documents, &found.documents, |out, body| body.append(out, Mode::Client))
        })?;
        answer.end();
        Ok(answer)
    })
}
