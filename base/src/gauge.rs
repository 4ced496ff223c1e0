//! A number that operators see: how much of something there is at this moment.

use std::fmt;
use std::sync::Arc;

/// A number, read whenever somebody asks for the metrics. Whoever reads it waits, so that it must be at hand.
#[derive(Clone)]
pub struct Gauge {
    /// Lower case with `_`, and its unit last where it has one; it begins with whose it is. Never renamed.
    pub name: &'static str,
    /// One sentence for people.
    pub help: &'static str,
    /// The present value.
    pub read: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gauge({} {})", self.name, (self.read)())
    }
}
