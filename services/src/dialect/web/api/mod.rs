//! The actions, one a file.

pub(super) mod add_collection;
pub(super) mod add_document;
pub(super) mod aggregate;
pub(super) mod count_document;
pub(super) mod delete_document;
pub(super) mod delete_in_transaction;
pub(super) mod get_in_transaction;
pub(super) mod insert_in_transaction;
pub(super) mod query_document;
pub(super) mod transactions;
pub(super) mod update_document;
pub(super) mod update_in_transaction;

use yunzhan_base::Result;
use yunzhan_query::ejson::{Mode, append_document, append_raw_document};

use crate::documents::Body;

/// Writes a document in one of the two spellings that this dialect has.
fn append_body(out: &mut String, body: &Body, mode: Mode) -> Result<()> {
    match body {
        Body::Stored(bson) => append_raw_document(out, bson, mode)?,
        Body::Shaped(document) => append_document(out, document, mode),
    }
    Ok(())
}
