//! The actions that only this dialect has so, one a file.

pub(super) mod aggregate_documents;
pub(super) mod get_document;
pub(super) mod insert_document;
