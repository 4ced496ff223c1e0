//! `PATCH …/documents`: changes documents by operators, or sets one as a whole.
//!
//! The SDK's `doc.set` sends a document without operators, `upsert:true` and `replaceMode:false`, and means a replacement:
//! so `upsert` with plain data replaces, whatever `replaceMode` says.

use std::sync::Arc;

use yunzhan_base::{Call, ResponseFuture, Result};
use yunzhan_query::ejson::{Mode, write};

use crate::dialect::gateway::{caller, idempotency};
use crate::dialect::members::{Members, missing};
use crate::dialect::reply::{Object, json};
use crate::documents::{Change, Documents};
use crate::offload::{self, LONG_BYTES};

pub(crate) fn handle(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    let is_long = call.bytes().len() >= LONG_BYTES;
    Box::pin(offload::run(is_long, async move {
        let mut members = Members::read(call.bytes(), documents.now_ms())?;
        let transaction = members.transaction()?;
        let change = read(members)?;
        let collection = call.params.get("collection")?;
        let caller = caller(&call)?;
        let changed = match transaction {
            None => documents.update(caller, collection, change, idempotency(&call)?).await?,
            Some(id) => documents.update_in(caller, &id, collection, change).await?,
        };
        let mut answer = Object::new();
        answer.number("matched", changed.matched);
        answer.number("updated", changed.updated);
        if let Some(id) = &changed.upserted {
            // `where().update()` reads the first name, `doc().set()` the second.
            let id = write(id, Mode::Client);
            answer.raw("upsert_id").push_str(&id);
            answer.raw("upserted_id").push_str(&id);
        }
        Ok(json(answer.close()))
    }))
}

fn read(mut members: Members) -> Result<Change> {
    let update = members.document("data")?.ok_or_else(|| missing("data"))?;
    let upsert = members.flag("upsert")?;
    let is_plain = !update.keys().next().is_some_and(|first| first.starts_with('$'));
    Ok(Change {
        which: members.which()?,
        replace: members.flag("replaceMode")? || (upsert && is_plain),
        multi: members.flag("multi")?,
        upsert,
        update,
    })
}
