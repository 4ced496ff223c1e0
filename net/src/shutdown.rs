//! Ending in order: one trigger, any number of watchers, and a count of what is still at work.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

/// Starts the shutdown and waits for what is still at work.
#[derive(Debug)]
pub struct Trigger {
    signal: watch::Sender<bool>,
    at_work: mpsc::Sender<()>,
    all_gone: mpsc::Receiver<()>,
}

/// Learns of the shutdown. Whoever holds one is at work, and is waited for.
#[derive(Clone, Debug)]
pub struct Shutdown {
    signal: watch::Receiver<bool>,
    _at_work: mpsc::Sender<()>,
}

impl Default for Trigger {
    fn default() -> Self {
        let (at_work, all_gone) = mpsc::channel(1);
        Self { signal: watch::Sender::new(false), at_work, all_gone }
    }
}

impl Trigger {
    /// A handle for something that must end in order.
    pub fn watcher(&self) -> Shutdown {
        Shutdown { signal: self.signal.subscribe(), _at_work: self.at_work.clone() }
    }

    /// Tells every watcher, waits at most `bound` for all of them to be dropped, and says whether they were.
    pub async fn drain(mut self, bound: Duration) -> bool {
        self.signal.send_replace(true);
        drop(self.at_work);
        tokio::time::timeout(bound, self.all_gone.recv()).await.is_ok()
    }
}

impl Shutdown {
    /// Whether the shutdown began.
    pub fn is_triggered(&self) -> bool {
        *self.signal.borrow()
    }

    /// Waits until the shutdown begins. A trigger that was dropped counts as one that was pulled.
    pub async fn triggered(&mut self) {
        let _ = self.signal.wait_for(|triggered| *triggered).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn draining_waits_for_watchers_and_no_longer_than_its_bound() {
        let trigger = Trigger::default();
        let mut watcher = trigger.watcher();
        let task = tokio::spawn(async move { watcher.triggered().await });
        assert!(trigger.drain(Duration::from_secs(60)).await);
        assert!(task.await.is_ok());

        let trigger = Trigger::default();
        let stubborn = trigger.watcher();
        assert!(!trigger.drain(Duration::ZERO).await);
        assert!(stubborn.is_triggered());
    }
}
