//! What this process costs, read from the kernel when Prometheus asks.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Memory, processor time and open files of this process.
#[derive(Debug, Default)]
pub(crate) struct Gauges {
    resident_bytes: Gauge,
    cpu_seconds: Gauge<f64, AtomicU64>,
    open_files: Gauge,
}

impl Gauges {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "process_resident_memory_bytes",
            "Memory of this process",
            self.resident_bytes.clone(),
        );
        registry.register(
            "process_cpu_seconds",
            "Processor time of this process, user and system",
            self.cpu_seconds.clone(),
        );
        registry.register(
            "process_open_fds",
            "Open files and connections",
            self.open_files.clone(),
        );
    }

    /// Reads anew. What the kernel does not tell keeps its value.
    pub(crate) fn refresh(&self) {
        if let Some(bytes) = resident_bytes() {
            self.resident_bytes.set(bytes);
        }
        if let Some(seconds) = cpu_seconds() {
            self.cpu_seconds.set(seconds);
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            self.open_files.set(i64::try_from(files.count()).unwrap_or(i64::MAX));
        }
    }
}

/// Memory in use, in bytes, where the kernel tells.
pub fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The kernel counts ticks of a hundredth of a second on every platform that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The command's name stands in parentheses and may hold blanks; user and system time are fields 14 and 15.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_what_this_process_costs() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 100_000));
        assert!(cpu_seconds().is_some());
    }
}
