//! How much the open transactions remember, all together and by whom: it is in the memory of the process, and nobody
//! may take the part of the others.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use yunzhan_base::{EnvId, Error, Kind, Result};

/// Most bytes of documents that one transaction remembers.
const BYTES_MAX: usize = 16 << 20;

/// Most bytes that all transactions of one person remember: as many as one of them may. A phone has one under way, and
/// with ten of this size, two persons would take all that there is.
const PERSON_BYTES_MAX: usize = BYTES_MAX;

/// Most bytes that all transactions of one environment remember: half of all, so that the others are not shut out by
/// it.
const ENV_BYTES_MAX: usize = ALL_BYTES_MAX / 2;

/// Most bytes that all open transactions of the process remember.
const ALL_BYTES_MAX: usize = 256 << 20;

/// What the transactions of one process hold. Who holds nothing does not stand here.
#[derive(Default)]
pub(super) struct MemoryQuota(Mutex<Sums>);

#[derive(Default)]
struct Sums {
    all: usize,
    by_env: HashMap<EnvId, usize>,
    by_person: HashMap<(EnvId, String), usize>,
}

impl MemoryQuota {
    /// Bytes that all of them hold.
    pub(super) fn taken(&self) -> usize {
        self.0.lock().expect("no panic while held").all
    }
}

/// What one transaction holds, which ends with it.
pub(super) struct Reservation {
    quota: Arc<MemoryQuota>,
    env: EnvId,
    /// None for a key, which stands for many people.
    person: Option<(EnvId, String)>,
    bytes: usize,
}

impl Reservation {
    /// Nothing yet, of a person or of a key of an environment.
    pub(super) fn none(quota: Arc<MemoryQuota>, env: &EnvId, person: Option<&str>) -> Self {
        let person = person.map(|person| (env.clone(), person.to_owned()));
        Self { quota, env: env.clone(), person, bytes: 0 }
    }

    /// Takes so many bytes more.
    ///
    /// # Errors
    /// `TooLarge` when the transaction would hold too much, `LimitExceeded` when it would with others.
    pub(super) fn take(&mut self, bytes: usize) -> Result<()> {
        if self.bytes + bytes > BYTES_MAX {
            let mib = BYTES_MAX >> 20;
            let message = format!("a transaction remembers at most {mib} MiB of documents");
            return Err(Error::new(Kind::TooLarge, message));
        }
        let mut sums = self.quota.0.lock().expect("no panic while held");
        let of_env = sums.by_env.get(&self.env).copied().unwrap_or(0);
        let of_person = self.person.as_ref().and_then(|person| sums.by_person.get(person));
        let is_too_much = sums.all + bytes > ALL_BYTES_MAX
            || of_env + bytes > ENV_BYTES_MAX
            || of_person.copied().unwrap_or(0) + bytes > PERSON_BYTES_MAX;
        if is_too_much {
            let message = "the open transactions hold too much; commit or roll back some, or wait";
            return Err(Error::new(Kind::LimitExceeded, message));
        }
        sums.all += bytes;
        *sums.by_env.entry(self.env.clone()).or_default() += bytes;
        if let Some(person) = &self.person {
            *sums.by_person.entry(person.clone()).or_default() += bytes;
        }
        drop(sums);
        self.bytes += bytes;
        Ok(())
    }

    /// Gives everything back.
    pub(super) fn release(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut sums = self.quota.0.lock().expect("no panic while held");
        sums.all -= bytes;
        lessen(&mut sums.by_env, &self.env, bytes);
        if let Some(person) = &self.person {
            lessen(&mut sums.by_person, person, bytes);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release();
    }
}

/// Takes bytes from a sum, which goes when nothing is left of it.
fn lessen<K: Eq + Hash>(sums: &mut HashMap<K, usize>, key: &K, bytes: usize) {
    if let Some(sum) = sums.get_mut(key) {
        *sum -= bytes;
        if *sum == 0 {
            sums.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    fn described(taken: Result<()>) -> Result<(), Kind> {
        taken.map_err(|error| error.kind())
    }

    #[test]
    fn nobody_takes_the_part_of_the_others() {
        let quota = Arc::new(MemoryQuota::default());
        let envs: Vec<EnvId> = ["a", "b", "c"].map(|env| env.parse().unwrap()).into();
        let open = |env: usize, person: Option<&str>| {
            Reservation::none(Arc::clone(&quota), &envs[env], person)
        };
        let (mut first, mut second) = (open(0, Some("anna")), open(0, Some("anna")));
        assert_eq!(described(first.take(17 * MIB)), Err(Kind::TooLarge));
        first.take(9 * MIB).unwrap();
        assert_eq!(described(second.take(8 * MIB)), Err(Kind::LimitExceeded));
        second.take(7 * MIB).unwrap();
        // Somebody else, the same name elsewhere, and a key, which is no person.
        let others = [(0, Some("ben")), (1, Some("anna")), (0, None), (0, None)];
        let mut others = others.map(|(env, person)| open(env, person));
        others.iter_mut().for_each(|other| other.take(16 * MIB).unwrap());
        drop(first);
        second.take(9 * MIB).unwrap();
        // Half of the first environment's part is taken by now, and an eighth of the second's.
        let mut keys: Vec<_> = (0..4).map(|_| open(0, None)).collect();
        let taken: Vec<_> = keys.iter_mut().map(|key| described(key.take(16 * MIB))).collect();
        assert_eq!(taken, [Ok(()), Ok(()), Ok(()), Ok(())]);
        assert_eq!(described(open(0, None).take(16 * MIB)), Err(Kind::LimitExceeded));
        let mut elsewhere: Vec<_> = (0..7).map(|_| open(1, None)).collect();
        assert!(elsewhere.iter_mut().all(|key| key.take(16 * MIB).is_ok()));
        assert_eq!(described(open(2, None).take(1)), Err(Kind::LimitExceeded));
        drop((second, others, keys, elsewhere));
        let sums = quota.0.lock().unwrap();
        assert_eq!((sums.all, sums.by_env.len(), sums.by_person.len()), (0, 0, 0));
    }
}
