//! The endpoints, one a file.

pub(super) mod aggregate;
pub(super) mod create_collection;
pub(super) mod get;
pub(super) mod insert;
pub(super) mod query;
pub(super) mod remove;
pub(super) mod transactions;
pub(super) mod update;

use yunzhan_base::Result;
use yunzhan_query::ejson::{Mode, append_document, append_raw_document};

use crate::documents::Body;

/// Writes a document as the mini-program's SDK reads it.
fn append_body(out: &mut String, body: &Body) -> Result<()> {
    match body {
        Body::Stored(bson) => append_raw_document(out, bson, Mode::Client)?,
        Body::Shaped(document) => append_document(out, document, Mode::Client),
    }
    Ok(())
}
