//! What nodes say to each other: a call to whoever owns something, and wake-ups to everybody.
//!
//! Both are shortcuts. Whatever a wake-up says can also be read in the database, and is, by a task that looks now and then: a
//! node that cannot be reached learns it later, and nothing else comes of it.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Semaphore, broadcast};
use yunzhan_base::{Context, Error, Kind, Principal, RequestId, Result};
use yunzhan_engine::lease::{Leases, Node};
use yunzhan_net::peer::{Answer, AnswerFuture, PeerCall, Peers};

/// What the calls of wake-ups begin with.
const WAKE_PREFIX: &str = "wake/";
/// Wake-ups under way at a time; one beyond is dropped, as if its node could not be reached.
const WAKES_MAX: usize = 256;
/// How long a wake-up may take; later it says nothing new.
const WAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// Wake-ups that a listener on this node may be behind before it misses some.
const WAKES_HELD_MAX: usize = 256;
/// How long the list of nodes is taken for true. A node that is younger misses wake-ups until then.
const NODES_FRESH: Duration = Duration::from_secs(1);

/// Answers one kind of call.
pub type Handler =
    Arc<dyn Fn(PeerCall) -> Pin<Box<dyn Future<Output = Result<Bytes>> + Send>> + Send + Sync>;

/// A wake-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    /// What happened.
    pub topic: String,
    /// To whom or what, if that is known.
    pub bytes: Bytes,
}

/// The other nodes, as this one speaks to them.
pub struct Cluster {
    leases: Arc<Leases>,
    /// None where this node speaks to nobody.
    peers: Option<Peers>,
    handlers: Mutex<HashMap<&'static str, Handler>>,
    woken: broadcast::Sender<Wake>,
    wakes: Arc<Semaphore>,
    nodes: Mutex<Option<(Instant, Arc<[Node]>)>>,
}

// === impl Cluster ===

impl Cluster {
    /// This node among those that `leases` knows.
    pub fn new(leases: Arc<Leases>, peers: Option<Peers>) -> Arc<Self> {
        Arc::new(Self {
            leases,
            peers,
            handlers: Mutex::default(),
            woken: broadcast::Sender::new(WAKES_HELD_MAX),
            wakes: Arc::new(Semaphore::new(WAKES_MAX)),
            nodes: Mutex::default(),
        })
    }

    /// Whether this node speaks to others.
    pub fn has_peers(&self) -> bool {
        self.peers.is_some()
    }

    /// Whether other nodes may use the same database.
    pub fn is_shared(&self) -> bool {
        self.leases.is_shared()
    }

    /// Whether another node lives, as far as this one knows: it hears of a new one within a second.
    pub async fn has_company(&self) -> bool {
        let own = self.session();
        let is_other = |node: &Node| own.as_ref().is_none_or(|own| *node.session != **own);
        let nodes = self.fresh_nodes().await;
        nodes.is_ok_and(|nodes| nodes.iter().any(|node| node.is_alive && is_other(node)))
    }

    /// Whether the node of this session lives. One that is younger than a second may be unknown.
    pub(super) async fn lives(&self, session: &str) -> Result<bool> {
        let nodes = self.fresh_nodes().await?;
        Ok(nodes.iter().any(|node| node.is_alive && node.session == session))
    }

    /// This node's session, while it counts on it.
    pub fn session(&self) -> Option<Arc<str>> {
        self.leases.session()
    }

    /// Answers calls of this name from now on. The handler checks the principal: that a node calls says nothing of whom for.
    pub fn register(&self, name: &'static str, handler: Handler) {
        debug_assert!(!name.starts_with(WAKE_PREFIX), "{name} would be a wake-up");
        self.handlers.lock().unwrap_or_else(PoisonError::into_inner).insert(name, handler);
    }

    /// Calls the node that holds a lease, which may be this one. Errors: `Unavailable` when nobody holds it or its node
    /// cannot be reached, and nothing was done; `BadUpstream` and `Timeout` when it may have been.
    pub async fn call_owner(
        &self,
        lease: &str,
        name: &str,
        context: &Context,
        bytes: Bytes,
    ) -> Result<Bytes> {
        let held = self.leases.held().await?;
        let held = held.into_iter().find(|held| held.lease == lease).ok_or_else(|| {
            let text = format!("no node holds the lease {lease} at the moment; try again");
            Error::new(Kind::Unavailable, text)
        })?;
        self.call_node(&held.session, name, context, bytes).await
    }

    /// Calls the node of this session, which may be this one. Errors as [`Self::call_owner`].
    pub async fn call_node(
        &self,
        session: &str,
        name: &str,
        context: &Context,
        bytes: Bytes,
    ) -> Result<Bytes> {
        let call = PeerCall {
            name: name.to_owned(),
            principal: context.principal.clone(),
            request_id: context.request_id,
            deadline: context.deadline,
            bytes,
        };
        if self.leases.session().is_some_and(|own| *own == *session) {
            return self.answer(call).await;
        }
        let nodes = self.fresh_nodes().await?;
        let node = nodes.iter().find(|node| node.session == session && node.is_alive);
        match (node, &self.peers) {
            (Some(node), Some(peers)) if !node.address.is_empty() => {
                peers.call(&node.address, call).await
            }
            (Some(node), _) => Err(unreachable(&node.name)),
            (None, _) => Err(unreachable("that died meanwhile")),
        }
    }

    /// Wakes up every other node, without waiting: who listens for this topic there hears of it, most often within
    /// milliseconds. A node that cannot be reached does not.
    pub fn wake(self: &Arc<Self>, topic: impl Into<String>, bytes: Bytes) {
        let wake = Wake { topic: topic.into(), bytes };
        let cluster = Arc::clone(self);
        if self.peers.is_some() {
            tokio::spawn(async move { cluster.send_to_all(wake).await });
        }
    }

    /// The wake-ups of other nodes from now on. Who is more than a few hundred behind misses some.
    pub fn listen(&self) -> broadcast::Receiver<Wake> {
        self.woken.subscribe()
    }

    async fn send_to_all(&self, wake: Wake) {
        // Without a list nobody is woken up, as if nobody could be reached.
        let Ok(nodes) = self.fresh_nodes().await else { return };
        let own = self.leases.session();
        for node in nodes.iter() {
            let is_other = own.as_ref().is_none_or(|own| *node.session != **own);
            if is_other && node.is_alive && !node.address.is_empty() {
                self.send(&node.address, &wake);
            }
        }
    }

    fn send(&self, address: &str, wake: &Wake) {
        let Some(peers) = self.peers.clone() else { return };
        let Ok(place) = Arc::clone(&self.wakes).try_acquire_owned() else { return };
        let call = PeerCall {
            name: format!("{WAKE_PREFIX}{}", wake.topic),
            principal: Principal::Nobody,
            request_id: RequestId::NONE,
            deadline: Instant::now() + WAKE_TIMEOUT,
            bytes: wake.bytes.clone(),
        };
        let address = address.to_owned();
        tokio::spawn(async move {
            // Whom it does not reach learns it from the database.
            let _ = peers.call(&address, call).await;
            drop(place);
        });
    }

    async fn fresh_nodes(&self) -> Result<Arc<[Node]>> {
        let known = self.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, nodes)) = known.filter(|(at, _)| at.elapsed() < NODES_FRESH) {
            return Ok(nodes);
        }
        let nodes: Arc<[Node]> = self.leases.nodes().await?.into();
        let fresh = Some((Instant::now(), Arc::clone(&nodes)));
        *self.nodes.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(nodes)
    }
}

impl Answer for Cluster {
    fn answer(&self, call: PeerCall) -> AnswerFuture<'_> {
        if let Some(topic) = call.name.strip_prefix(WAKE_PREFIX) {
            // Nobody listening is no failure.
            let _ = self.woken.send(Wake { topic: topic.to_owned(), bytes: call.bytes });
            return Box::pin(async { Ok(Bytes::new()) });
        }
        let handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let handler = handlers.get(call.name.as_str()).cloned();
        Box::pin(async move {
            let unknown = || {
                let text =
                    format!("this node answers no call {:?}; it runs another version", call.name);
                Error::new(Kind::NotImplemented, text)
            };
            match handler {
                Some(handler) => handler(call).await,
                None => Err(unknown()),
            }
        })
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cluster({:?})", self.leases)
    }
}

fn unreachable(node: &str) -> Error {
    Error::new(Kind::Unavailable, format!("node {node} cannot be reached; try again"))
}
