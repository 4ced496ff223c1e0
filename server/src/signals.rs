//! What the operating system tells a server: stop in order, stop now, read the configuration again.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The three signals that matter. Taken over before the first step of a start that may be slow: until then SIGHUP ends a
/// process, and a service manager or a deployment script may send it as soon as there is one.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// One that came during the start waits here until the server is ready.
    hangup: Signal,
}

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// SIGTERM or SIGINT: end in order; a second one ends at once.
    Stop,
    /// SIGHUP: read the configuration again.
    Reload,
}

impl Signals {
    /// Takes the signals over from the system's defaults. Needs a runtime.
    pub(crate) fn take() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) -> Asked {
        tokio::select! {
            // Whoever asks for both wants the end.
            biased;
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// Waits for a wish to stop. A wish to reload waits for [`Self::next`].
    pub(crate) async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
