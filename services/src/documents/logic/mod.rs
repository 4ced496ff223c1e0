//! The pure half of the service: who may do what, what ids and slots are, and which values a client may write.

pub(super) mod id;
pub(super) mod permission;
pub(super) mod shape;
