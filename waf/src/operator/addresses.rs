//! `@ipMatch`: sets of addresses and networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses as ranges that do not touch one another, in order.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Addresses {
    /// Reads addresses and networks (`10.0.0.0/8`), separated by commas or line ends; `#` begins a comment.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let text = str::from_utf8(text).map_err(|_| "addresses are written in ASCII")?;
        let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
        let entries = lines.flat_map(|line| line.split(',')).map(str::trim);
        let mut all = Self::default();
        for entry in entries.filter(|entry| !entry.is_empty()) {
            all.add(entry).ok_or_else(|| format!("`{entry}` is no address and no network"))?;
        }
        merge(&mut all.v4, |end| end.checked_add(1));
        merge(&mut all.v6, |end| end.checked_add(1));
        Ok(all)
    }

    fn add(&mut self, entry: &str) -> Option<()> {
        let (address, prefix) = match entry.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u32>().ok()?)),
            None => (entry, None),
        };
        match address.parse().ok()? {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shr(prefix_in(prefix, 32)?).unwrap_or(0);
                let first = u32::from(address) & !mask;
                self.v4.push((first, first | mask));
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shr(prefix_in(prefix, 128)?).unwrap_or(0);
                let first = u128::from(address) & !mask;
                self.v6.push((first, first | mask));
            }
        }
        Some(())
    }

    /// Whether a text is one of the addresses.
    pub(super) fn has(&self, value: &[u8]) -> bool {
        match str::from_utf8(value).ok().and_then(|text| text.parse().ok()) {
            Some(IpAddr::V4(address)) => self.has_v4(address),
            Some(IpAddr::V6(address)) => self.has_v6(address),
            None => false,
        }
    }

    fn has_v4(&self, address: Ipv4Addr) -> bool {
        covers(&self.v4, u32::from(address))
    }

    fn has_v6(&self, address: Ipv6Addr) -> bool {
        covers(&self.v6, u128::from(address))
    }
}

/// The length of a network's prefix, all bits where none is written.
fn prefix_in(prefix: Option<u32>, bits: u32) -> Option<u32> {
    Some(prefix.unwrap_or(bits)).filter(|prefix| *prefix <= bits)
}

/// Sorts ranges and joins those that overlap or touch.
fn merge<N: Copy + Ord>(ranges: &mut Vec<(N, N)>, next: impl Fn(N) -> Option<N>) {
    ranges.sort_unstable();
    ranges.dedup_by(|later, earlier| {
        let touches = next(earlier.1).is_none_or(|next| later.0 <= next);
        if touches {
            earlier.1 = earlier.1.max(later.1);
        }
        touches
    });
}

fn covers<N: Copy + Ord>(ranges: &[(N, N)], address: N) -> bool {
    let after = ranges.partition_point(|range| range.0 <= address);
    after.checked_sub(1).is_some_and(|at| ranges[at].1 >= address)
}
