//! How long a node trusts its own session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use yunzhan_base::Clock;
use yunzhan_net::time;

/// A session is trusted for two thirds of its life from when its last heartbeat was *sent*; the last third is for stopping,
/// before the database lets anybody else have its leases.
const TRUSTED: (u32, u32) = (2, 3);

/// A session and until when it is trusted, told twice: by the clock that was passed in, which counts while the machine is
/// suspended, and by one that nobody can set back.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) id: Arc<str>,
    until_ms: i64,
    until: Option<Instant>,
}

impl Session {
    /// A session whose heartbeat is sent now. It has no id yet.
    pub(super) fn begin(clock: &Clock, life: Option<Duration>) -> Self {
        let trusted = life.map(|life| life * TRUSTED.0 / TRUSTED.1);
        let until_ms = trusted.map_or(i64::MAX, |trusted| {
            let trusted_ms = i64::try_from(trusted.as_millis()).unwrap_or(i64::MAX);
            clock.now_ms().saturating_add(trusted_ms)
        });
        let until = match clock {
            Clock::System => trusted.map(|trusted| Instant::now() + trusted),
            Clock::Manual(_) => None,
        };
        Self { id: Arc::default(), until_ms, until }
    }

    /// The same under its id.
    pub(super) fn named(self, id: impl Into<Arc<str>>) -> Self {
        Self { id: id.into(), ..self }
    }

    pub(super) fn is_trusted(&self, clock: &Clock) -> bool {
        clock.now_ms() < self.until_ms && self.until.is_none_or(|until| Instant::now() < until)
    }

    pub(super) async fn wait_until_untrusted(&self, clock: &Clock) {
        match self.until {
            Some(until) => tokio::time::sleep_until(until.into()).await,
            None => time::sleep_until(clock, self.until_ms).await,
        }
    }
}
