//! A node of the cluster in the test's own process: it follows the change log, and reads documents with and without a server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use yunzhan_base::Clock;
use yunzhan_base::event::Events;
use yunzhan_e2e::Random;
use yunzhan_e2e::change_log::{ChangeLog, migrations};
use yunzhan_e2e::replay::Replay;
use yunzhan_engine::lease::{self, Leases};
use yunzhan_net::peer::{self, Authority, Identity, Peers};
use yunzhan_net::shutdown::Trigger;
use yunzhan_services::documents::{LoggedChange, Position};
use yunzhan_services::nodes::cluster::Cluster as Nodes;

use super::writer::id;
use super::{GOODS, IDS, Shop};
use crate::cluster::{Cluster, MASTER_KEY};

/// Where it listens.
const HOST: &str = "127.0.0.1";
/// From what servers derive the key of their authority.
const AUTHORITY_LABEL: &[u8] = b"yunzhan cluster authority 1";
const LIFE: Duration = Duration::from_secs(60);
/// Changes of one page: it ends in the middle of what was written.
const PAGE: usize = 7;
/// How long one wait takes at the most, so that a follower sees the end.
const WAIT: Duration = Duration::from_millis(300);

/// A node.
pub(super) struct Member {
    /// By which it follows.
    pub(super) log: ChangeLog,
    _trigger: Trigger,
}

/// What a follower has read.
pub(super) struct Record {
    /// Every change in the order in which it came.
    pub(super) changes: Vec<LoggedChange>,
    /// Positions of one moment each, in their order.
    pub(super) moments: Vec<Position>,
}

/// What a reader has seen between two positions.
pub(super) struct Sight {
    before: Position,
    after: Position,
    /// Of each document that was looked for its text and, if known, its version; none where there was none.
    pub(super) documents: BTreeMap<String, Option<(String, Option<i64>)>>,
}

// === impl Member ===

impl Member {
    /// Joins the cluster: the servers wake it up.
    pub(super) async fn join(cluster: &Cluster) -> Arc<Self> {
        let identity = identity();
        let listener = TcpListener::bind((HOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let trigger = Trigger::default();
        let (log, nodes) = Self::open(cluster, address, &identity, &trigger).await;
        peer::serve(listener, &identity, nodes, trigger.watcher()).unwrap();
        Arc::new(Self { log, _trigger: trigger })
    }

    /// Joins it where nobody can reach it, as if every wake-up were lost.
    pub(super) async fn join_unreachable(cluster: &Cluster) -> Arc<Self> {
        let trigger = Trigger::default();
        let (log, _) = Self::open(cluster, String::new(), &identity(), &trigger).await;
        Arc::new(Self { log, _trigger: trigger })
    }

    async fn open(
        cluster: &Cluster,
        address: String,
        identity: &Arc<Identity>,
        trigger: &Trigger,
    ) -> (ChangeLog, Arc<Nodes>) {
        let sql = cluster.fresh.open(migrations().unwrap(), Clock::System).await;
        let leases = Arc::new(Leases::new(lease::Parts {
            sql: Arc::clone(&sql),
            clock: Clock::System,
            events: Events::default(),
            name: "follower".into(),
            version: "0",
            life: Some(LIFE),
        }));
        let nodes = Nodes::new(Arc::clone(&leases), Some(Peers::new(identity).unwrap()));
        leases.start(address, trigger.watcher()).await.unwrap();
        (ChangeLog::on(sql, super::ENV).unwrap().among(&nodes), nodes)
    }

    async fn position(&self) -> Position {
        self.log.documents.position(&self.log.env).await.unwrap()
    }
}

/// What every server of the cluster trusts.
fn identity() -> Arc<Identity> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &MASTER_KEY);
    let seed = hmac::sign(&key, AUTHORITY_LABEL);
    let authority = Authority::from_seed(seed.as_ref().try_into().unwrap()).unwrap();
    authority.identity(HOST, Clock::System.now_ms()).unwrap()
}

// === impl Sight ===

impl Sight {
    /// The positions before and after.
    pub(super) fn moments(&self) -> [&Position; 2] {
        [&self.before, &self.after]
    }

    /// What may have been seen of a slot group: up to which number at the least and at the most.
    pub(super) fn between(&self, group: usize) -> (i64, i64) {
        (self.before.of(group), self.after.of(group))
    }
}

/// Follows the log from its beginning until the writing is over: waits, reads some pages, and goes on from a token.
pub(super) async fn follow(member: Arc<Member>, shop: Arc<Shop>) -> Record {
    let (documents, env) = (&member.log.documents, &member.log.env);
    let mut token = Position::zero().token();
    let mut record = Record { changes: Vec::new(), moments: Vec::new() };
    let mut replay = Replay::after(&Position::zero());
    loop {
        let is_over = shop.is_quiet.load(Ordering::Acquire);
        let since = Position::from_token(&token).unwrap();
        let now = documents.wait_for_changes(env, &since, Instant::now() + WAIT).await.unwrap();
        if let Some(last) = record.moments.last() {
            assert_eq!(now.behind(last).count(), 0, "a counter went back");
        }
        record.moments.push(now);
        let page = documents.changes(env, &since, PAGE).await.unwrap();
        for change in &page.changes {
            replay.take(change).unwrap_or_else(|error| panic!("the follower hears {error:#}"));
        }
        token = page.position.token();
        let is_still = page.changes.is_empty();
        record.changes.extend(page.changes);
        if is_over && is_still {
            let left = member.log.snapshot(None).await.unwrap();
            assert_eq!(left.newest, page.position, "the follower ends before the log");
            replay.finish(&left.newest, &left.versions).unwrap();
            return record;
        }
    }
}

/// Looks at documents until the writing is over: at all of them in the database at once, or at one through a server.
pub(super) async fn watch(member: Arc<Member>, shop: Arc<Shop>, mut random: Random) -> Vec<Sight> {
    let mut sights = Vec::new();
    let collection = member.log.collection(GOODS).await.unwrap();
    while !shop.is_over() {
        let before = member.position().await;
        let documents = match random.below(2) {
            0 => all(&member, collection).await,
            _ => one(&shop, &mut random).await,
        };
        let after = member.position().await;
        sights.push(Sight { before, after, documents });
    }
    sights
}

async fn all(member: &Member, collection: i64) -> BTreeMap<String, Option<(String, Option<i64>)>> {
    let mut documents: BTreeMap<_, _> = (0..IDS).map(|number| (id(number), None)).collect();
    for found in member.log.bodies(collection).await.unwrap().into_values() {
        let (id, text) = named(&found.document);
        documents.insert(id, Some((text, Some(found.version))));
    }
    documents
}

/// Empty when the server is dead.
async fn one(shop: &Shop, random: &mut Random) -> BTreeMap<String, Option<(String, Option<i64>)>> {
    let (id, keeper) = (id(random.below(IDS)), shop.keeper(random.below(3)).await);
    let members = json!({ "query": json!({ "_id": id }).to_string(), "limit": 1 });
    let Ok(answer) = keeper.asking("getDocument", GOODS, members).try_send().await else {
        return BTreeMap::new();
    };
    let answer = answer.json();
    assert!(answer["code"].is_null(), "{answer}");
    let found = answer["data"]["list"][0].as_str();
    let found = found.map(|text| named(&serde_json::from_str(text).unwrap()).1);
    BTreeMap::from([(id, found.map(|text| (text, None)))])
}

/// A document's id, and the text that its last writer gave it.
pub(super) fn named(document: &Value) -> (String, String) {
    let text = |name: &str| document[name].as_str().unwrap().to_owned();
    (text("_id"), text("text"))
}
