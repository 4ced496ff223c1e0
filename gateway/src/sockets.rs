//! The open sockets of a gateway: how many there are, whose they are, and who ends them.
//!
//! WebSockets, tunnels to upstreams and answers that stream events live for hours. Each has an entry here, within bounds by
//! environment, by address and in all, and hears of the end of what it lives by: a session, a person, an environment, an
//! address ([`AccessEnded`]).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use yunzhan_base::event::{AccessEnded, Event, Observe};
use yunzhan_base::socket::CloseReason;
use yunzhan_base::{EnvId, Error, Kind, Live, Result};

use crate::client_address::TrustedProxies;
use crate::connection_counts;
use crate::exchange::Exchange;

/// Bounds of open sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketBounds {
    /// In all.
    pub(crate) sockets_max: usize,
    /// Of one environment.
    pub(crate) per_env_max: usize,
    /// Of one address.
    pub(crate) per_address_max: usize,
}

/// Every open socket. Clones see the same ones.
#[derive(Clone, Default)]
pub struct Sockets(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    /// What ended lately: a request that was let in before may become a socket only after.
    ended: VecDeque<(Instant, Ended)>,
    open: HashMap<u64, Entry>,
    next: u64,
    by_env: HashMap<EnvId, usize>,
    by_address: HashMap<IpAddr, usize>,
}

/// What a socket lives by, once it has ended.
enum Ended {
    Session(EnvId, String),
    User(EnvId, String),
    Env(EnvId),
    Address(IpAddr),
}

/// How long an ending is remembered for sockets that are about to open, and how many are: a request is let in and becomes a
/// socket within milliseconds.
const ENDED_FOR: Duration = Duration::from_secs(30);
const ENDED_MAX: usize = 4096;

struct Entry {
    env: Option<EnvId>,
    user: Option<String>,
    session: Option<String>,
    address: IpAddr,
    /// Whose bound it counts against: an IPv6 client has a whole /64.
    network: IpAddr,
    end: watch::Sender<Option<CloseReason>>,
}

/// One open socket's place. It is given back when this is dropped.
pub(crate) struct SocketPermit {
    sockets: Sockets,
    id: u64,
    end: watch::Receiver<Option<CloseReason>>,
}

// === impl Sockets ===

impl Sockets {
    /// Takes a place for the socket that this request becomes. Errors: `TooManyAtOnce`.
    pub(crate) fn open(
        &self,
        exchange: &Exchange,
        bounds: SocketBounds,
        trusted: &Live<TrustedProxies>,
    ) -> Result<SocketPermit> {
        let user = exchange.principal.user();
        let entry = Entry {
            env: exchange.env.as_ref().map(|env| env.id.clone()),
            user: user.map(|user| user.uid.clone()),
            session: user.map(|user| user.session.clone()),
            address: exchange.client.ip(),
            network: connection_counts::network(exchange.client.ip()),
            end: watch::Sender::new(None),
        };
        let is_proxy = trusted.peek().contains(entry.address);
        let mut table = self.lock();
        if table.ended.iter().any(|(at, ended)| at.elapsed() < ENDED_FOR && entry.lives_by(ended)) {
            return Err(Error::new(Kind::Unauthenticated, "the session has ended; log in again"));
        }
        if let Some(bound) = table.bound_reached(&entry, bounds, is_proxy) {
            let message = format!("{bound} has as many sockets open as it may; close one first");
            return Err(Error::new(Kind::TooManyAtOnce, message));
        }
        let end = entry.end.subscribe();
        let id = table.insert(entry);
        drop(table);
        Ok(SocketPermit { sockets: self.clone(), id, end })
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.lock().open.len()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observe for Sockets {
    fn observe(&self, event: &Event<'_>) {
        let Event::AccessEnded(ended) = event else { return };
        let ended = Ended::of(ended);
        let mut table = self.lock();
        for entry in table.open.values().filter(|entry| entry.lives_by(&ended)) {
            entry.end.send_replace(Some(CloseReason::Policy));
        }
        table.ended.truncate(ENDED_MAX - 1);
        table.ended.push_front((Instant::now(), ended));
    }
}

// === impl Table ===

impl Table {
    fn bound_reached(
        &self,
        entry: &Entry,
        bounds: SocketBounds,
        is_proxy: bool,
    ) -> Option<&'static str> {
        let of_env = entry.env.as_ref().and_then(|env| self.by_env.get(env)).copied().unwrap_or(0);
        let of_address = self.by_address.get(&entry.network).copied().unwrap_or(0);
        if of_env >= bounds.per_env_max {
            return Some("the environment");
        }
        if !is_proxy && of_address >= bounds.per_address_max {
            return Some("this address");
        }
        (self.open.len() >= bounds.sockets_max).then_some("this server")
    }

    fn insert(&mut self, entry: Entry) -> u64 {
        let id = self.next;
        self.next += 1;
        if let Some(env) = &entry.env {
            *self.by_env.entry(env.clone()).or_default() += 1;
        }
        *self.by_address.entry(entry.network).or_default() += 1;
        self.open.insert(id, entry);
        id
    }

    fn remove(&mut self, id: u64) {
        let Some(entry) = self.open.remove(&id) else { return };
        if let Some(env) = entry.env {
            give_back(&mut self.by_env, &env);
        }
        give_back(&mut self.by_address, &entry.network);
    }
}

fn give_back<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    let Some(count) = counts.get_mut(key) else { return };
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
}

// === impl Ended ===

impl Ended {
    fn of(ended: &AccessEnded<'_>) -> Self {
        match *ended {
            AccessEnded::Session { env, session } => Self::Session(env.clone(), session.to_owned()),
            AccessEnded::User { env, user } => Self::User(env.clone(), user.to_owned()),
            AccessEnded::Env(env) => Self::Env(env.clone()),
            AccessEnded::Address(address) => Self::Address(address),
        }
    }
}

// === impl Entry ===

impl Entry {
    fn lives_by(&self, ended: &Ended) -> bool {
        let is_env = |env: &EnvId| self.env.as_ref() == Some(env);
        match ended {
            Ended::Session(env, session) => is_env(env) && self.session.as_ref() == Some(session),
            Ended::User(env, user) => is_env(env) && self.user.as_ref() == Some(user),
            Ended::Env(env) => is_env(env),
            Ended::Address(address) => self.address == *address,
        }
    }
}

// === impl SocketPermit ===

impl SocketPermit {
    /// Waits until what the socket lives by has ended.
    pub(crate) async fn ended(&mut self) -> CloseReason {
        let ended = self.end.wait_for(Option::is_some).await.ok().and_then(|reason| *reason);
        match ended {
            Some(reason) => reason,
            // The entry outlives the permit.
            None => std::future::pending().await,
        }
    }
}

impl Drop for SocketPermit {
    fn drop(&mut self) {
        self.sockets.lock().remove(self.id);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use super::*;
    use crate::testing;

    const BOUNDS: SocketBounds =
        SocketBounds { sockets_max: 3, per_env_max: 2, per_address_max: 2 };

    fn open(sockets: &Sockets, env: &str, address: &str) -> Result<SocketPermit> {
        let mut exchange = testing::exchange("GET", "/socket");
        exchange.env = Some(testing::env(env));
        exchange.client = std::net::SocketAddr::new(address.parse().unwrap(), 1);
        sockets.open(&exchange, BOUNDS, &Live::new(TrustedProxies::default()))
    }

    #[test]
    fn sockets_have_bounds_by_environment_by_address_and_in_all() {
        let sockets = Sockets::default();
        let first = open(&sockets, "a", "10.0.0.1").unwrap();
        let _second = open(&sockets, "a", "10.0.0.2").unwrap();
        let refusal = |env, address| open(&sockets, env, address).err().unwrap().to_string();
        assert!(refusal("a", "10.0.0.3").starts_with("the environment has"));
        let third = open(&sockets, "b", "10.0.0.1").unwrap();
        assert!(refusal("c", "10.0.0.1").starts_with("this address has"));
        assert!(refusal("c", "10.0.0.3").starts_with("this server has"));
        drop((first, third));
        assert_eq!(sockets.count(), 1);
        open(&sockets, "a", "10.0.0.1").unwrap();
        assert!(sockets.lock().by_address.len() == 1, "places that are free take no memory");
    }

    #[tokio::test]
    async fn a_socket_hears_of_the_end_of_what_it_lives_by_and_of_nothing_else() {
        let sockets = Sockets::default();
        let mut of_a = open(&sockets, "a", "10.0.0.1").unwrap();
        let mut of_b = open(&sockets, "b", "10.0.0.2").unwrap();
        sockets.observe(&Event::AccessEnded(AccessEnded::Env(&"a".parse().unwrap())));
        assert_eq!(of_a.ended().await, CloseReason::Policy);
        let nothing = std::future::ready(());
        tokio::select! {
            biased;
            _ = of_b.ended() => panic!("another environment's end"),
            () = nothing => {}
        }
        sockets.observe(&Event::AccessEnded(AccessEnded::Address("10.0.0.2".parse().unwrap())));
        assert_eq!(of_b.ended().await, CloseReason::Policy);
        // A request that was let in a moment ago is too late.
        let late = open(&sockets, "a", "10.0.0.3").err().map(|error| error.kind());
        assert_eq!(late, Some(Kind::Unauthenticated));
    }
}
