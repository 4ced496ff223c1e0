//! `POST …/documents/aggregations`: runs a pipeline.

use std::sync::Arc;

use yunzhan_base::{Call, ResponseFuture};
use yunzhan_query::ejson::{Mode, append_document};

use crate::dialect::gateway::caller;
use crate::dialect::members::Members;
use crate::dialect::reply::{Object, json, list};
use crate::documents::Documents;
use crate::offload;

pub(crate) fn handle(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    Box::pin(offload::run(true, async move {
        let mut members = Members::read(call.bytes(), documents.now_ms())?;
        let stages = members.stages("pipeline")?;
        let collection = call.params.get("collection")?;
        let found = documents.aggregate(caller(&call)?, collection, &stages).await?;
        let mut answer = Object::new();
        list(answer.raw("list"), &found, |out, document| {
            append_document(out, document, Mode::Client);
            Ok(())
        })?;
        Ok(json(answer.close()))
    }))
}
