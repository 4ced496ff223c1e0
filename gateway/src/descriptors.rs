//! File descriptors: every connection needs one, and a process has a bounded number of them.
//!
//! Three things keep a server that runs out of them alive. The soft limit is raised to the hard one at the start. The last
//! descriptors are left to everything but clients: the kernel hands out the lowest free number, so a connection that got
//! one of the last numbers is closed at once. And a listener for operators keeps spare descriptors, which it gives up one
//! by one to accept a connection when there is none left.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The soft limit is raised to so many at the most: a million connections, and programs that this one starts may close all
/// descriptors one by one.
const LIMIT_MAX: u64 = 1 << 20;

/// Tried in this order where the hard limit permits; some systems refuse more than the last although they call the limit
/// infinite.
const LIMITS: [u64; 3] = [LIMIT_MAX, 1 << 16, 10_240];

/// The part of all descriptors that clients' connections leave: files, databases, upstreams and operators need some.
const HEADROOM_PART: u64 = 8;
/// Fewer would not open a database.
const HEADROOM_MIN: u64 = 16;
/// More than that nobody needs.
const HEADROOM_MAX: u64 = 1024;

/// Spare descriptors of a listener for operators: that many of its connections at once when there is none left.
const SPARES: usize = 4;

/// Between two notices of the same trouble.
const NOTICE_PERIOD: Duration = Duration::from_secs(60);

/// Descriptors that this process may have open at once.
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Raises the soft limit to the hard one, as far as the system permits, and gives what it is now.
pub fn raise_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let (Some(current), hard) = (current, maximum.unwrap_or(u64::MAX)) else { return u64::MAX };
    // A hard limit between two steps is a step itself.
    let targets = [hard.min(LIMIT_MAX)].into_iter().chain(LIMITS);
    for target in targets.filter(|target| (current + 1..=hard).contains(target)) {
        if setrlimit(Resource::Nofile, Rlimit { current: Some(target), maximum }).is_ok() {
            return target;
        }
    }
    current
}

/// Descriptors of this limit that clients' connections leave to everything else.
pub fn headroom(limit: u64) -> u64 {
    (limit / HEADROOM_PART).clamp(HEADROOM_MIN, HEADROOM_MAX)
}

/// Whether a client's connection got a descriptor that is to be left to others.
pub(crate) fn is_of_headroom(connection: &impl AsRawFd, limit: u64) -> bool {
    let number = u64::try_from(connection.as_raw_fd()).unwrap_or(0);
    number >= limit.saturating_sub(headroom(limit))
}

/// Whether accepting failed because this process or the machine has no descriptor left.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| code == Some(errno.raw_os_error()))
}

/// Descriptors that are kept for the moment in which there is no other.
#[derive(Debug, Default)]
pub(crate) struct Spares(Vec<File>);

impl Spares {
    /// Takes as many as there should be, or as can be had.
    pub(crate) fn refill(&mut self) {
        while self.0.len() < SPARES {
            let Ok(file) = File::open("/dev/null") else { return };
            self.0.push(file);
        }
    }

    /// Gives one back to the process; whether there was one.
    pub(crate) fn give_up_one(&mut self) -> bool {
        self.0.pop().is_some()
    }
}

/// Counts refusals between notices, so that a thousand of them are one line.
#[derive(Debug)]
struct Refusals {
    since_notice: u64,
    noticed: Option<Instant>,
}

/// Descriptors belong to the process, and so does the notice that they are gone.
static REFUSALS: Mutex<Refusals> = Mutex::new(Refusals { since_notice: 0, noticed: None });

/// Notes a refused connection. Gives the text of a notice when it is time for one.
pub(crate) fn refused(limit: u64) -> Option<String> {
    let mut refusals = REFUSALS.lock().unwrap_or_else(PoisonError::into_inner);
    let refused = refusals.note(Instant::now())?;
    Some(format!(
        "no file descriptor is left for clients, {refused} connections refused since the last notice; raise the limit of open files, which is {limit}, or lower gateway.connections_max"
    ))
}

impl Refusals {
    /// How many were refused, when the last notice was long enough ago.
    fn note(&mut self, now: Instant) -> Option<u64> {
        self.since_notice += 1;
        if self.noticed.is_some_and(|noticed| now.duration_since(noticed) < NOTICE_PERIOD) {
            return None;
        }
        self.noticed = Some(now);
        Some(std::mem::take(&mut self.since_notice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_refusals_are_one_notice_a_minute() {
        let (start, mut refusals) = (Instant::now(), Refusals { since_notice: 0, noticed: None });
        let mut after = |ms| refusals.note(start + Duration::from_millis(ms));
        assert_eq!(after(0), Some(1));
        assert!((1..1000).all(|ms| after(ms).is_none()));
        assert_eq!(after(60_000), Some(1000));
        assert_eq!(after(60_001), None);
    }

    #[test]
    fn clients_leave_the_last_descriptors_to_others() {
        assert_eq!([64, 1024, 65_536, u64::MAX].map(headroom), [16, 128, 1024, 1024]);
        let file = File::open("/dev/null").expect("a file that is everywhere");
        let number = u64::try_from(file.as_raw_fd()).expect("not below zero");
        assert!(is_of_headroom(&file, number + 1));
        assert!(is_of_headroom(&file, number + 16));
        assert!(!is_of_headroom(&file, 16 * (number + 16)));
    }

    #[test]
    fn the_limit_is_as_high_as_it_may_be() {
        let raised = raise_limit();
        assert_eq!(raised, limit());
        assert_eq!(raise_limit(), raised);
    }
}
