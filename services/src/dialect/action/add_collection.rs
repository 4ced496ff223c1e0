//! `database.addCollection`: makes a collection that only owners read and write, until somebody decides otherwise.

use super::{Reply, Request};
use crate::dialect::may_make_collections;
use crate::documents::Preset;

pub(in crate::dialect) fn handle(mut request: Request<'_>) -> Reply<'_> {
    Box::pin(async move {
        let caller = request.caller();
        may_make_collections(caller.principal)?;
        let name = request.collection()?;
        request.documents.create_collection(caller, &name, Preset::DEFAULT).await?;
        let mut answer = request.answer();
        answer.begin("data");
        answer.end();
        Ok(answer)
    })
}
