//! The actions, one a file.

pub(super) mod add_collection;
pub(super) mod aggregate_documents;
pub(super) mod calculate_document;
pub(super) mod end_transaction;
pub(super) mod get_document;
pub(super) mod insert_document;
pub(super) mod modify_and_return_doc;
pub(super) mod modify_document;
pub(super) mod remove_document;
pub(super) mod start_transaction;

use yunzhan_query::Bson;
use yunzhan_query::ejson::{Mode, write};

/// An id as the SDKs hand it to their callers: a plain number, or text, which an ObjectId becomes.
fn id_text(id: &Bson) -> String {
    match id {
        Bson::ObjectId(_) => write(id, Mode::Server),
        other => write(other, Mode::Client),
    }
}
