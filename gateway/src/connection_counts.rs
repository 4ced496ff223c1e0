//! Connections that each address has open, so that one client cannot take every permit.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bits of an IPv6 address that name its network; whoever has one address of a network has them all.
const IPV6_NETWORK_BITS: u32 = 64;

/// Addresses for which the table keeps room when all connections have ended.
const IDLE_CAPACITY: usize = 1024;

/// The table. An address stands in it while it has a connection, so it is never larger than the number of connections,
/// which has a bound of its own.
#[derive(Debug)]
pub(crate) struct ConnectionCounts(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: AtomicUsize,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection of one address; counted until it is dropped.
#[derive(Debug)]
pub(crate) struct AddressPermit {
    shared: Arc<Shared>,
    key: IpAddr,
}

// === impl ConnectionCounts ===

impl ConnectionCounts {
    /// Lets each address have so many.
    pub(crate) fn new(max: usize) -> Self {
        Self(Arc::new(Shared { max: AtomicUsize::new(max), counts: Mutex::default() }))
    }

    /// Changes the bound for connections to come.
    pub(crate) fn set_max(&self, max: usize) {
        self.0.max.store(max, Ordering::Relaxed);
    }

    /// Counts one more; none when the address has as many as it may.
    pub(crate) fn permit(&self, address: IpAddr) -> Option<AddressPermit> {
        let key = network(address);
        let mut counts = self.0.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let open = counts.get(&key).copied().unwrap_or(0);
        if open >= self.0.max.load(Ordering::Relaxed) {
            return None;
        }
        counts.insert(key, open + 1);
        drop(counts);
        Some(AddressPermit { shared: Arc::clone(&self.0), key })
    }
}

/// An IPv4 address, or the network of an IPv6 address.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << (128 - IPV6_NETWORK_BITS));
            Ipv6Addr::from_bits(network).into()
        }
        address => address,
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut counts = self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.key) {
            Some(open) if *open > 1 => *open -= 1,
            _ => {
                counts.remove(&self.key);
            }
        }
        if counts.is_empty() {
            counts.shrink_to(IDLE_CAPACITY);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_as_many_as_it_may_and_others_do_not_notice() {
        let counts = ConnectionCounts::new(2);
        let permit = |text: &str| counts.permit(text.parse().unwrap());
        let first = permit("203.0.113.7").unwrap();
        let _second = permit("::ffff:203.0.113.7").unwrap();
        assert!(permit("203.0.113.7").is_none());
        let _other = permit("203.0.113.8").unwrap();
        drop(first);
        let _third = permit("203.0.113.7").unwrap();
        assert!(permit("203.0.113.7").is_none());
        counts.set_max(3);
        assert!(permit("203.0.113.7").is_some());
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let counts = ConnectionCounts::new(1);
        let permit = |text: &str| counts.permit(text.parse().unwrap());
        let _first = permit("2001:db8:0:1::1").unwrap();
        assert!(permit("2001:db8:0:1:ffff::2").is_none());
        assert!(permit("2001:db8:0:2::1").is_some());
    }

    #[test]
    fn the_table_forgets_who_has_left() {
        let counts = ConnectionCounts::new(1);
        let permits: Vec<_> =
            (0..10_000_u32).map(|at| counts.permit(IpAddr::V4(at.into())).unwrap()).collect();
        drop(permits);
        let table = counts.0.counts.lock().unwrap();
        assert_eq!(table.len(), 0);
        assert!(table.capacity() < 2 * IDLE_CAPACITY, "{}", table.capacity());
    }
}
