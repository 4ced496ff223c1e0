//! What a server says, line by line, on both of its outputs.

use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;

/// Every line so far, of every process that ran on the folder.
#[derive(Default)]
pub(super) struct Log {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    /// Outputs that are open.
    open: usize,
}

impl Log {
    /// Takes down what this process says from now on. Gives the number of lines before.
    pub(super) fn follow(self: &Arc<Self>, child: &mut Child) -> usize {
        let seen = self.len();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        self.read(stdout.expect("a piped output"));
        self.read(stderr.expect("a piped output"));
        seen
    }

    fn read(self: &Arc<Self>, output: impl Read + Send + 'static) {
        self.lock().open += 1;
        let log = Arc::clone(self);
        std::thread::spawn(move || {
            let mut lines = BufReader::new(output).lines();
            while let Some(Ok(line)) = lines.next() {
                log.change(|state| state.lines.push(line));
            }
            log.change(|state| state.open -= 1);
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_waiters();
    }

    /// Waits until `find` finds something in a line after the first `seen`; none when it does not in time, or when the
    /// process ends before.
    pub(super) async fn wait_from<T>(
        &self,
        seen: usize,
        wait_max: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let waiting = self.wait(|state| {
            let found = state.lines.iter().skip(seen).find_map(|line| find(line));
            if found.is_some() { Some(found) } else { (state.open == 0).then_some(None) }
        });
        tokio::time::timeout(wait_max, waiting).await.ok().flatten()
    }

    /// Waits until the process has closed its outputs, as its end does.
    pub(super) async fn closed(&self) {
        self.wait(|state| (state.open == 0).then_some(())).await;
    }

    async fn wait<T>(&self, look: impl Fn(&State) -> Option<T>) -> T {
        loop {
            // Registered before looking, so that no change between the two is missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = look(&self.lock()) {
                return found;
            }
            changed.await;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().lines.len()
    }

    pub(super) fn text(&self) -> String {
        self.lock().lines.join("\n")
    }

    /// Shows everything beside a test's failure.
    #[expect(clippy::print_stderr, reason = "the test runner shows it with the failure")]
    pub(super) fn print(&self) {
        eprintln!("--- the server said:\n{}\n---", self.text());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no one panics while holding the log")
    }
}
