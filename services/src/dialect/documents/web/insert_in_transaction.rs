//! `database.insertDocInTransaction`: adds one document when the transaction commits. Its id may stand beside it.

use yunzhan_base::{Error, Kind, Result};
use yunzhan_query::Document;
use yunzhan_query::ejson::{Mode, write};

use crate::dialect::action::{Reply, Request};
use crate::dialect::members::missing;

pub(crate) fn handle(mut request: Request<'_>) -> Reply<'_> {
    Box::pin(async move {
        let (collection, id) = (request.collection()?, request.transaction()?);
        let document = read(&mut request)?;
        let caller = request.caller();
        let ids = request.service.insert_in(caller, &id, &collection, vec![document]).await?;
        let mut answer = request.answer();
        // The SDK takes anything but these two ones for a failure.
        answer.number("inserted", 1);
        answer.number("ok", 1);
        for added in &ids {
            let text = write(added, Mode::Client);
            answer.raw("_id").push_str(&text);
            answer.raw("id").push_str(&text);
        }
        Ok(answer)
    })
}

fn read(request: &mut Request<'_>) -> Result<Document> {
    let members = &mut request.members;
    let mut document = members.document("data")?.ok_or_else(|| missing("data"))?;
    if let Some(id) = members.take("_id") {
        let own = document.entry("_id").or_insert_with(|| id.clone());
        if *own != id {
            let message = "_id beside data is not the one inside it";
            return Err(Error::new(Kind::InvalidParameter, message));
        }
    }
    Ok(document)
}
