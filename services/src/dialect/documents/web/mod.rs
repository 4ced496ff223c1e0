//! The actions that only this dialect has so, one a file.

pub(super) mod add_document;
pub(super) mod aggregate;
pub(super) mod delete_in_transaction;
pub(super) mod get_in_transaction;
pub(super) mod insert_in_transaction;
pub(super) mod query_document;
pub(super) mod update_in_transaction;
