//! `database.aggregate`: runs a pipeline, whose stages come as pairs of a name and Extended JSON in a string.

use crate::dialect::action::{Reply, Request};
use crate::dialect::reply::server_texts;
use crate::documents::Body;
use crate::offload;

pub(crate) fn handle(mut request: Request<'_>) -> Reply<'_> {
    Box::pin(offload::run(true, async move {
        let collection = request.collection()?;
        let stages = request.members.stages("stages")?;
        let found = request.service.aggregate(request.caller(), &collection, &stages).await?;
        // The SDK parses three times: the answer, the list that is a string in it, and each document that is a string in that.
        let mut documents = String::new();
        server_texts(&mut documents, found.into_iter().map(Body::Shaped))?;
        let mut answer = request.answer_with_bytes(2 * documents.len());
        answer.begin("data");
        answer.text("list", &documents);
        answer.end();
        Ok(answer)
    }))
}
