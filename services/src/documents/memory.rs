//! The memory that calls hold while they run: pages, what is sorted and grouped, and results until they are answered.
//!
//! Each call has its own bound, and many calls at once would still be too much for a process. So whoever holds more
//! than a little takes it from its environment's part, and an environment that has used up its part waits for itself
//! alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use yunzhan_base::EnvId;
use yunzhan_query::MemoryPool;

/// Most bytes that the calls of one environment hold together: three of the largest that there are.
const ENV_BYTES_MAX: u64 = 192 << 20;

/// Most bytes that all calls of the process hold together: what a small machine has to spare, and more than two
/// environments can take.
const PROCESS_BYTES_MAX: u64 = 512 << 20;

/// The memory of one process, and who holds how much of it.
#[derive(Debug)]
pub(super) struct Memory {
    env_bytes_max: u64,
    process_bytes_max: u64,
    held: Mutex<Held>,
}

/// Who holds nothing does not stand here.
#[derive(Debug, Default)]
struct Held {
    process: u64,
    by_env: HashMap<EnvId, u64>,
}

/// The part of one environment, as its calls take from it.
#[derive(Debug)]
struct Part {
    memory: Arc<Memory>,
    env: EnvId,
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_bounds(ENV_BYTES_MAX, PROCESS_BYTES_MAX)
    }
}

impl Memory {
    /// A memory in which each environment, and all together, hold so many bytes at the most.
    pub(super) fn with_bounds(env_bytes_max: u64, process_bytes_max: u64) -> Self {
        Self { env_bytes_max, process_bytes_max, held: Mutex::default() }
    }

    /// What the calls of an environment share.
    pub(super) fn of(self: &Arc<Self>, env: &EnvId) -> Arc<dyn MemoryPool> {
        Arc::new(Part { memory: Arc::clone(self), env: env.clone() })
    }
}

impl MemoryPool for Part {
    fn take(&self, bytes: u64) -> bool {
        let memory = &self.memory;
        let mut held = memory.held.lock().unwrap_or_else(PoisonError::into_inner);
        let of_env = held.by_env.get(&self.env).copied().unwrap_or(0) + bytes;
        let process = held.process + bytes;
        if of_env > memory.env_bytes_max || process > memory.process_bytes_max {
            return false;
        }
        held.process = process;
        held.by_env.insert(self.env.clone(), of_env);
        true
    }

    fn give_back(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let mut held = self.memory.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.process = held.process.saturating_sub(bytes);
        if let Some(of_env) = held.by_env.get_mut(&self.env) {
            *of_env = of_env.saturating_sub(bytes);
            if *of_env == 0 {
                held.by_env.remove(&self.env);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn an_environment_that_holds_much_leaves_the_others_their_part() {
        let memory = Arc::new(Memory::with_bounds(10, 25));
        let [loud, quiet, third] =
            ["loud", "quiet", "third"].map(|env| memory.of(&env.parse().unwrap()));
        assert!(loud.take(10));
        assert!(!loud.take(1), "its part is used up");
        assert!(quiet.take(10), "others have theirs");
        assert!(!third.take(6), "the process has an end too");
        assert!(third.take(5));
        loud.give_back(10);
        assert!(loud.take(5));
        for (part, bytes) in [(&loud, 5), (&quiet, 10), (&third, 5)] {
            part.give_back(bytes);
        }
        let held = memory.held.lock().unwrap();
        assert_eq!((held.process, held.by_env.len()), (0, 0));
    }
}
