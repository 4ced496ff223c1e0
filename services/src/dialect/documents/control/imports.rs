//! The control routes of imports: documents as JSON Lines in, and how far that is.

use std::sync::Arc;

use yunzhan_base::{Call, Error, Kind, ResponseFuture, Result};

use crate::dialect::documents::Detached;
use crate::dialect::json;
use crate::documents::{Documents, Import, Imported};

/// Adds the documents of the body, and answers when all of them are there.
pub(super) fn add(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = documents.known_env(call.params.get("env")?)?;
        let collection = call.params.get("collection")?.to_owned();
        let name = call.params.get("import")?.to_owned();
        let from_bytes = number(&call, "from")?;
        let keeps_existing = flag(&call, "keep_existing")?;
        let acts = documents.acts().clone();
        let (body, context) = (call.body, call.context);
        let detached = Detached { documents, env, context };
        let act = detached.act("documents.import", format!("{collection} {name}"));
        let import = async move {
            let import = Import { name: &name, from_bytes, keeps_existing };
            detached.documents.import(detached.caller(), &collection, import, body).await
        };
        Ok(json::ok(&shown(acts.run(act, import).await?)))
    })
}

/// How far an import is.
pub(super) fn show(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = documents.known_env(call.params.get("env")?)?;
        let name = call.params.get("import")?;
        let found = documents.imported(&env, call.params.get("collection")?, name).await?;
        let found = found.ok_or_else(|| Error::new(Kind::NotFound, "there is no such import"))?;
        Ok(json::ok(&shown(found)))
    })
}

fn shown(imported: Imported) -> serde_json::Value {
    let Imported { bytes, lines, documents, kept, is_done, tail } = imported;
    serde_json::json!({
        "bytes": bytes, "lines": lines, "documents": documents, "kept": kept, "done": is_done,
        "tail": { "bytes": tail.bytes, "sha256": hex::encode(tail.sha256) },
    })
}

fn number(call: &Call, name: &'static str) -> Result<u64> {
    let Some(text) = call.query(name)? else { return Ok(0) };
    text.parse().map_err(|_| refused(name, "a whole number"))
}

fn flag(call: &Call, name: &'static str) -> Result<bool> {
    match call.query(name)?.as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(refused(name, "true or false")),
    }
}

fn refused(name: &str, wanted: &str) -> Error {
    Error::new(Kind::InvalidParameter, format!("{name} must be {wanted}"))
}
