//! `database.aggregateDocuments`: runs a pipeline, whose stages come as pairs of a name and Extended JSON in a string.

use crate::dialect::action::{Reply, Request};
use crate::dialect::reply::server_texts;
use crate::documents::Body;
use crate::offload;

pub(crate) fn handle(mut request: Request<'_>) -> Reply<'_> {
    Box::pin(offload::run(true, async move {
        let collection = request.collection()?;
        let stages = request.members.stages("stages")?;
        let found = request.service.aggregate(request.caller(), &collection, &stages).await?;
        let mut answer = request.answer();
        answer.begin("data");
        server_texts(answer.raw("list"), found.into_iter().map(Body::Shaped))?;
        answer.end();
        Ok(answer)
    }))
}
