//! A server as a child process: started, watched through `/proc`, stopped. Dropping it kills it.
//!
//! `companions.rs` watches processes that work for a server without being its children.

mod companions;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

pub use companions::Companions;

/// The kernel counts processor time in hundredths of a second on every Linux we build for.
const TICK: Duration = Duration::from_millis(10);
/// Files that a server may open, where the machine permits: the idle connections twice, and its own.
const OPEN_FILES: u32 = 32_768;
/// How often a condition is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// How long a server may take to end after it was told to.
const STOP_TIMEOUT: Duration = Duration::from_secs(40);

/// A running child.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a command line with both outputs in `log`.
    ///
    /// # Errors
    /// When the log cannot be made, or the program cannot be started.
    pub fn start(words: &[String], log: &Path) -> Result<Self> {
        let output =
            fs::File::create(log).with_context(|| format!("cannot make {}", log.display()))?;
        let errors = output.try_clone().context("cannot share the log")?;
        let limit = format!(
            "ulimit -n {OPEN_FILES} 2>/dev/null || ulimit -n \"$(ulimit -H -n)\"; exec \"$@\""
        );
        let child = Command::new("sh")
            .args(["-c", &limit, "sh"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("cannot start {}", words.join(" ")))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready` gives something; fails when the process ends first or the time is over.
    pub fn wait_for<T>(
        &mut self,
        timeout: Duration,
        mut ready: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(found) = ready(&self.output()) {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended ({status}) before it was ready:\n{}", self.output());
            }
            if Instant::now() > deadline {
                bail!("the server is not ready after {} s:\n{}", timeout.as_secs(), self.output());
            }
            pause(POLL_INTERVAL);
        }
    }

    /// What it has written so far.
    pub fn output(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Processor time of the process and its threads, user and system.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = self.proc("stat")?;
        Stat::read(&stat).map(|stat| stat.own).with_context(|| format!("what is {stat:?}?"))
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = self.proc("status")?;
        resident_of(&status).context("the kernel does not tell the resident memory")
    }

    /// The most resident memory in bytes since the start, or since it was forgotten.
    pub fn peak_bytes(&self) -> Result<u64> {
        let status = self.proc("status")?;
        field_of(&status, "VmHWM:").context("the kernel does not tell the most resident memory")
    }

    /// Has [`Process::peak_bytes`] begin anew with what is resident now.
    pub fn forget_peak(&self) -> Result<()> {
        let path = format!("/proc/{}/clear_refs", self.id());
        fs::write(&path, "5").with_context(|| format!("cannot write {path}"))
    }

    fn proc(&self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/{name}", self.id());
        fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(mut self) -> Result<()> {
        signal(self.id())?;
        let deadline = Instant::now() + STOP_TIMEOUT;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("the server runs {} s after SIGTERM", STOP_TIMEOUT.as_secs());
            }
            pause(POLL_INTERVAL);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill, and that is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(id: u32) -> Result<()> {
    let status = Command::new("kill")
        .args(["-TERM", &id.to_string()])
        .status()
        .context("cannot run kill")?;
    if !status.success() {
        bail!("cannot send SIGTERM to process {id}");
    }
    Ok(())
}

/// Waits: for what another process does, which can only be looked at again and again.
#[expect(
    clippy::disallowed_methods,
    reason = "another process's state can only be looked at again and again"
)]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// What `/proc/PID/stat` says.
#[derive(Debug, PartialEq)]
struct Stat {
    parent: u32,
    /// Processor time of the process and its threads.
    own: Duration,
    /// Processor time of its children that have ended.
    ended_children: Duration,
}

impl Stat {
    /// Fields 4 and 14 to 17. The command's name before them stands in parentheses and may hold blanks.
    fn read(stat: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u32>().ok();
        let ticks = |first: usize| Some(TICK * field(first)?.checked_add(field(first + 1)?)?);
        Some(Self { parent: field(4)?, own: ticks(14)?, ended_children: ticks(16)? })
    }
}

/// Resident memory in bytes, in `/proc/PID/status`.
pub fn resident_of(status: &str) -> Option<u64> {
    field_of(status, "VmRSS:")
}

/// A size of `/proc/PID/status` in bytes.
fn field_of(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_texts() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 25 17 1 2 20 0 9 0 1 2 3";
        let own = Duration::from_millis(420);
        let read = Stat { parent: 1, own, ended_children: Duration::from_millis(30) };
        assert_eq!(Stat::read(stat), Some(read));
        assert_eq!(resident_of("VmPeak:\t 9 kB\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
    }
}
