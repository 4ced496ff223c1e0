//! The control dialect, which other crates speak too: see [`yunzhan_base::control`].

pub(crate) use yunzhan_base::control::{endpoint, streaming_endpoint};
