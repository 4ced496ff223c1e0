//! Numbers that services and the gateway give when Prometheus asks.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use yunzhan_base::gauge::Gauge;

/// What is counted elsewhere and read there. Clones show the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauges(Arc<RwLock<Vec<Gauge>>>);

impl Gauges {
    /// Shows these too from now on.
    pub(crate) fn show(&self, gauges: Vec<Gauge>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).extend(gauges);
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for gauge in self.0.read().unwrap_or_else(PoisonError::into_inner).iter() {
            let value = ConstGauge::new((gauge.read)());
            let kind = value.metric_type();
            // As those that are registered have it.
            let help = format!("{}.", gauge.help);
            value.encode(encoder.encode_descriptor(gauge.name, &help, None, kind)?)?;
        }
        Ok(())
    }
}
