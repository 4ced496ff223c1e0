//! `database.queryDocument`: a page of documents in plain JSON.

use yunzhan_base::Result;
use yunzhan_query::ejson::Mode;

use super::append_body;
use crate::aside::{self, LONG_BYTES};
use crate::dialect::reply::list;
use crate::dialect::web::request::Request;
use crate::dialect::web::{Reply, Web};
use crate::documents::{Documents, Find};

pub(crate) fn handle<'c>(web: &'c Web, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let collection = request.collection()?;
        let find = read(&mut request, &web.documents)?;
        let (offset, limit) = (find.skip, find.limit);
        let found = web.documents.find(request.caller(), &collection, find).await?;
        let mut answer = request.answer_with_bytes(found.bytes());
        if let Some(total) = found.total {
            answer.number("total", total);
        }
        answer.number("offset", offset as u64);
        answer.number("limit", limit as u64);
        answer.begin("data");
        let documents = answer.raw("list");
        aside::at_once(found.bytes() >= LONG_BYTES, || {
            list(documents, &found.documents, |out, body| append_body(out, body, Mode::Client))
        })?;
        answer.end();
        Ok(answer)
    })
}

/// What an action asks for; a page is never larger than the operator allows.
pub(super) fn read(request: &mut Request<'_>, documents: &Documents) -> Result<Find> {
    let (members, config) = (&mut request.members, documents.config());
    let limit = members.count("limit")?.unwrap_or(config.query_documents_default);
    Ok(Find {
        which: members.which()?,
        order: members.order()?,
        skip: members.count("offset")?.unwrap_or(0),
        limit: limit.min(config.query_documents_max),
        projection: members.projection()?,
    })
}
