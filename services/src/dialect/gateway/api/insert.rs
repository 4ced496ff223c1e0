//! `POST …/documents`: adds documents, all or none. With an `Idempotency-Key`, a phone that saw no answer may ask again.

use std::sync::Arc;

use http::HeaderName;
use yunzhan_base::{Answer, Call, Result};
use yunzhan_query::ejson::{Mode, write};

use crate::aside::{self, LONG_BYTES};
use crate::dialect::gateway::caller;
use crate::dialect::members::{Members, refused};
use crate::dialect::reply::{Object, json, list};
use crate::documents::{Documents, Idempotency};

/// The header of draft-ietf-httpapi-idempotency-key-header.
static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

pub(crate) fn handle(documents: Arc<Documents>, call: Call) -> Answer {
    let is_long = call.body.len() >= LONG_BYTES;
    Box::pin(aside::run(is_long, async move {
        let mut members = Members::read(&call.body, documents.now_ms())?;
        let transaction = members.transaction()?;
        let data = members.documents("data")?;
        let collection = call.params.get("collection")?;
        let key = idempotency_key(&call)?;
        // The body, not the documents: those differ when the client leaves dates to the server.
        let idempotency = key.map(|key| Idempotency { key, request: &call.body });
        let caller = caller(&call)?;
        let ids = match transaction {
            None => documents.insert(caller, collection, data, idempotency).await?,
            // Its commit is what happens once.
            Some(id) => documents.insert_in(caller, &id, collection, data).await?,
        };
        let mut answer = Object::new();
        list(answer.raw("insertedIds"), &ids, |out, id| {
            out.push_str(&write(id, Mode::Client));
            Ok(())
        })?;
        Ok(json(answer.close()))
    }))
}

/// The key; the draft wants it in quotes, most clients send it without.
fn idempotency_key(call: &Call) -> Result<Option<&str>> {
    let Some(value) = call.headers.get(&IDEMPOTENCY_KEY) else { return Ok(None) };
    let text =
        value.to_str().map_err(|_| refused("Idempotency-Key", "visible ASCII characters"))?;
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    Ok(Some(quoted.unwrap_or(text)))
}
