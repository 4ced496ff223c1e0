//! The actions, one a file.

pub(super) mod add_collection;
pub(super) mod calculate_document;
pub(super) mod get_document;
pub(super) mod insert_document;
pub(super) mod modify_and_return_doc;
pub(super) mod modify_document;
pub(super) mod remove_document;
