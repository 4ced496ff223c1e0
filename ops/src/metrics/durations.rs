//! Histograms of durations: the same buckets for all, so that they can be compared.

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

/// Seconds. 200 ms, 800 ms and 5 s are the goals of the response tiers (mission row A7).
const DURATION_BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.8, 2.0, 5.0];

pub(super) type HistogramFamily<L> = Family<L, Histogram, fn() -> Histogram>;

/// A histogram for each set of labels.
pub(super) fn family<L: Clone + std::hash::Hash + Eq>() -> HistogramFamily<L> {
    Family::new_with_constructor(|| Histogram::new(DURATION_BUCKETS))
}

#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
pub(super) fn seconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1e6
}
