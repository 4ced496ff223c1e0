//! `database.aggregateDocuments`: runs a pipeline, whose stages come as pairs of a name and Extended JSON in a string.

use yunzhan_query::ejson::{Mode, append_document};

use crate::aside;
use crate::dialect::admin::request::Request;
use crate::dialect::admin::{Admin, Reply};
use crate::dialect::reply::{list, string};

pub(crate) fn handle<'c>(admin: &'c Admin, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(aside::run(true, async move {
        let collection = request.collection()?;
        let stages = request.members.stages("stages")?;
        let found = admin.documents.aggregate(request.caller(), &collection, &stages).await?;
        let mut answer = request.answer();
        answer.begin("data");
        let mut text = String::new();
        list(answer.raw("list"), &found, |out, document| {
            text.clear();
            append_document(&mut text, document, Mode::Server);
            string(out, &text);
            Ok(())
        })?;
        answer.end();
        Ok(answer)
    }))
}
