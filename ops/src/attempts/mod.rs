//! Who attacks (mission row O3): attempts by address and by user, of the last hour and the last day.
//!
//! Metrics count attempts by their kind alone, since the values of their labels are bounded; this table is what tells them
//! apart, and is bounded by forgetting those who attempted least.

mod row;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use yunzhan_base::event::{Event, Observe};
use yunzhan_base::{Clock, mask};

use self::row::Row;
use crate::table::Table;

/// Addresses, and users, of which attempts are counted: about a megabyte and a half for each when it is full.
const SUBJECTS_MAX: usize = 4096;

/// An owner of addresses of version 6 has so many leading bits at least, so that these are one address here.
const V6_BITS: u32 = 64;

/// Counts attempts.
pub(crate) struct Attempts {
    clock: Clock,
    tables: Mutex<Tables>,
}

struct Tables {
    addresses: Table<IpAddr, Row>,
    /// By environment and user.
    users: Table<(String, String), Row>,
}

// === impl Attempts ===

impl Attempts {
    /// Nothing was attempted yet.
    pub(crate) fn new(clock: Clock) -> Self {
        let (addresses, users) = (Table::new(SUBJECTS_MAX), Table::new(SUBJECTS_MAX));
        Self { clock, tables: Mutex::new(Tables { addresses, users }) }
    }

    /// Those with the most attempts of the last day, at most `rows_max` addresses and as many users.
    pub(crate) fn top(&self, rows_max: usize) -> Value {
        let now_ms = self.clock.now_ms();
        let tables = self.lock();
        let addresses = tables.addresses.top(rows_max, now_ms);
        let addresses: Vec<_> = addresses
            .map(|(address, row)| row.shown(json!({ "address": shown(*address) }), now_ms))
            .collect();
        let users = tables.users.top(rows_max, now_ms).map(|((env, user), row)| {
            row.shown(json!({ "env": env, "user": mask::identifier(user) }), now_ms)
        });
        let users: Vec<_> = users.collect();
        let forgotten = tables.addresses.forgotten() + tables.users.forgotten();
        json!({ "addresses": addresses, "users": users, "forgotten": forgotten })
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observe for Attempts {
    fn observe(&self, event: &Event<'_>) {
        let Event::AttackSuspected(attack) = event else { return };
        if attack.matches.is_empty() {
            return;
        }
        let (now_ms, facts) = (self.clock.now_ms(), attack.facts);
        let mut tables = self.lock();
        let address = network(facts.remote.ip());
        tables.addresses.row(address, now_ms, Row::new).count(attack, now_ms);
        if let (Some(env), Some(user)) = (facts.env, facts.user) {
            let user = (env.as_str().to_owned(), user.to_owned());
            tables.users.row(user, now_ms, Row::new).count(attack, now_ms);
        }
    }
}

/// The address under which attempts are counted.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> (128 - V6_BITS) << (128 - V6_BITS)))
        }
        address => address,
    }
}

fn shown(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{address}/{V6_BITS}"),
    }
}
