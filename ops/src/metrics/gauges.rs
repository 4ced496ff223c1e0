//! Numbers that services give when Prometheus asks.

use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use yunzhan_base::gauge::Gauge;

/// The services' gauges, once they are open. Clones are of the same services.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauges(Arc<OnceLock<Vec<Gauge>>>);

impl Gauges {
    /// Shows these from now on. Services are opened once.
    pub(crate) fn show(&self, gauges: Vec<Gauge>) {
        let _ = self.0.set(gauges);
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for gauge in self.0.get().into_iter().flatten() {
            let value = ConstGauge::new((gauge.read)());
            let kind = value.metric_type();
            // As those that are registered have it.
            let help = format!("{}.", gauge.help);
            value.encode(encoder.encode_descriptor(gauge.name, &help, None, kind)?)?;
        }
        Ok(())
    }
}
