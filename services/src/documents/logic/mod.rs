//! The pure half of the service: who may do what, what ids, slots and indexes are, and which values a client may write.

pub(super) mod batch;
pub(super) mod custom;
pub(super) mod id;
pub(super) mod index;
pub(super) mod permission;
pub(super) mod position;
pub(super) mod shape;
