//! What the server tells about itself: the access log, the metrics, and notices on the standard error.

pub(crate) mod access_log;
pub(crate) mod attempts;
pub(crate) mod line;
pub(crate) mod metrics;
pub(crate) mod notices;
