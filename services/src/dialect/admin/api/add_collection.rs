//! `database.addCollection`: makes a collection that only owners read and write, until somebody decides otherwise.

use crate::dialect::admin::request::Request;
use crate::dialect::admin::{Admin, Reply};
use crate::documents::Preset;

pub(crate) fn handle<'c>(admin: &'c Admin, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let name = request.collection()?;
        admin.documents.create_collection(request.caller(), &name, Preset::DEFAULT).await?;
        let mut answer = request.answer();
        answer.begin("data");
        answer.end();
        Ok(answer)
    })
}
