//! `database.addCollection`: makes a collection that only owners read and write, until somebody decides otherwise.

use std::sync::Arc;

use super::Detached;
use crate::dialect::action::{Reply, Request};
use crate::dialect::may_make_collections;
use crate::documents::Preset;

pub(super) fn handle(mut request: Request<'_>) -> Reply<'_> {
    Box::pin(async move {
        may_make_collections(&request.context().principal)?;
        let name = request.collection()?;
        let detached = Detached {
            documents: Arc::clone(request.service),
            env: request.env().clone(),
            context: request.context().clone(),
        };
        detached.create_collection(name, Preset::DEFAULT).await?;
        let mut answer = request.answer();
        answer.begin("data");
        answer.end();
        Ok(answer)
    })
}
