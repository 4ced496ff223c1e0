//! A few threads for reads that are too long for the caller's thread.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use yunzhan_base::{Error, Kind, Result};

/// Reads that may wait for a thread; more than that means that the server is far behind, and saying so is kinder.
const WAITING_MAX: usize = 1024;

type Job = Box<dyn FnOnce() + Send>;

/// The threads. They end when the pool is dropped and its last job is done.
pub(super) struct Pool {
    jobs: SyncSender<Job>,
}

// === impl Pool ===

impl Pool {
    pub(super) fn start(threads: usize) -> Result<Self> {
        let (jobs, receiver) = sync_channel(WAITING_MAX);
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..threads.max(1) {
            let receiver = Arc::clone(&receiver);
            thread::Builder::new()
                .name(format!("sql-read-{number}"))
                .spawn(move || serve(&receiver))
                .map_err(|error| Error::internal("cannot start a reader thread").because(error))?;
        }
        Ok(Self { jobs })
    }

    /// Runs a job on one of the threads, soon.
    pub(super) fn run(&self, job: Job) -> Result<()> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Error::new(
                Kind::Unavailable,
                format!("{WAITING_MAX} reads of the database wait already; try again"),
            ),
            TrySendError::Disconnected(_) => Error::internal("the reader threads are gone"),
        })
    }
}

fn serve(jobs: &Mutex<Receiver<Job>>) {
    loop {
        // The lock is held while waiting: one thread waits for the next job, the others for the lock.
        let job = jobs.lock().expect("no panic while held").recv();
        match job {
            // A job that panics drops its reply, which its caller sees; the thread lives on.
            Ok(job) => drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(job))),
            Err(_) => return,
        }
    }
}
