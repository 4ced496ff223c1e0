//! `database.aggregate`: runs a pipeline, whose stages come as pairs of a name and Extended JSON in a string.

use yunzhan_query::ejson::{Mode, append_document};

use crate::aside;
use crate::dialect::reply::{list, string};
use crate::dialect::web::request::Request;
use crate::dialect::web::{Reply, Web};

pub(crate) fn handle<'c>(web: &'c Web, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(aside::run(true, async move {
        let collection = request.collection()?;
        let stages = request.members.stages("stages")?;
        let found = web.documents.aggregate(request.caller(), &collection, &stages).await?;
        // The SDK parses three times: the answer, the list that is a string in it, and each document that is a string in that.
        let (mut text, mut documents) = (String::new(), String::new());
        list(&mut documents, &found, |out, document| {
            text.clear();
            append_document(&mut text, document, Mode::Server);
            string(out, &text);
            Ok(())
        })?;
        let mut answer = request.answer_with_bytes(2 * documents.len());
        answer.begin("data");
        answer.text("list", &documents);
        answer.end();
        Ok(answer)
    }))
}
