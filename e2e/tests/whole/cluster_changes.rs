//! The change log of three servers that write the same documents: it has no gap and no repeat, also when one of them dies, its
//! order is what readers could observe, and who follows it hears of a write at once.

mod agreement;
mod follower;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, JoinSet};
use yunzhan_e2e::environment::Permission;
use yunzhan_e2e::http::Http;
use yunzhan_e2e::report::figure;
use yunzhan_e2e::{Seed, Server};

use self::agreement::Told;
use self::follower::{Member, Record, Sight};
use self::writer::{Act, Outcome, Turn};
use super::cluster::{Cluster, until};
use super::durability::keeper::{Keeper, data};
use super::durability::{KILLS_DEFAULT, kills};

const ENV: &str = "shop";
const GOODS: &str = "goods";
/// Documents: so few that writers meet all the time, and so many that they lie in several slot groups.
const IDS: u64 = 16;
/// Who write at once.
const WRITERS: u64 = 6;
/// Who read at once.
const READERS: u64 = 2;
/// Turns of the writers before each kill, at the least, and after the last server has come back.
const TURNS_BEFORE_KILL: u64 = 60;
const TURNS_AFTER: usize = 60;
/// How long the writing may take around each kill.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(120);

/// What everybody shares who writes and reads.
struct Shop {
    /// The servers' doors, which move when one starts again.
    doors: Mutex<Vec<Http>>,
    access_key: String,
    turns: AtomicUsize,
    /// Nobody begins anything any more.
    is_over: AtomicBool,
    /// Everything that was begun has ended.
    is_quiet: AtomicBool,
}

// === impl Shop ===

impl Shop {
    /// Opens it, and waits until every server knows it.
    async fn open(cluster: &Cluster) -> Arc<Self> {
        let environment = cluster.servers[0].add_environment(ENV).await;
        cluster.servers[0].add_collection(ENV, GOODS, Permission::AdminOnly).await;
        let doors: Vec<_> = cluster.servers.iter().map(Server::http).collect();
        let access_key = environment.access_key;
        for http in &doors {
            let keeper = Keeper { http: http.clone(), access_key: access_key.clone() };
            until("the collection on every server", async || {
                let ask = keeper.asking("calculateDocument", GOODS, json!({ "query": "{}" }));
                let answer = ask.send().await;
                (answer.status == 200 && answer.json()["code"].is_null()).then_some(())
            })
            .await;
        }
        Arc::new(Self {
            doors: Mutex::new(doors),
            access_key,
            turns: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
            is_quiet: AtomicBool::new(false),
        })
    }

    async fn keeper(&self, server: u64) -> Keeper {
        let doors = self.doors.lock().await;
        let number = usize::try_from(server).unwrap() % doors.len();
        Keeper { http: doors[number].clone(), access_key: self.access_key.clone() }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Waits until the writers have done so many turns more.
    async fn go_on(&self, turns: usize) {
        let turns = self.turns.load(Ordering::Relaxed) + turns;
        until("the writers' turns", async || {
            (self.turns.load(Ordering::Relaxed) >= turns).then_some(())
        })
        .await;
    }
}

/// How often a server dies: once, and in the long run more often.
fn deaths() -> u32 {
    (kills() / KILLS_DEFAULT).max(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_of_three_servers_misses_nothing_and_sees_what_readers_saw() {
    let Some(mut cluster) = Cluster::start(3).await else { return };
    let (seed, begun) = (Seed::drawn(), Instant::now());
    let shop = Shop::open(&cluster).await;
    let member = Member::join(&cluster).await;
    let follower = tokio::spawn(follower::follow(Arc::clone(&member), Arc::clone(&shop)));
    let readers: Vec<JoinHandle<Vec<Sight>>> = (0..READERS)
        .map(|number| {
            let random = seed.random(100 + number);
            tokio::spawn(follower::watch(Arc::clone(&member), Arc::clone(&shop), random))
        })
        .collect();
    let mut writers = JoinSet::new();
    for number in 0..WRITERS {
        let random = seed.random(number);
        writers.spawn(writer::write(Arc::clone(&shop), number, random));
    }
    let written = async {
        let mut random = seed.random(200);
        for _ in 0..deaths() {
            let turns = TURNS_BEFORE_KILL + random.below(TURNS_BEFORE_KILL);
            shop.go_on(usize::try_from(turns).unwrap()).await;
            let dies = usize::try_from(random.below(3)).unwrap();
            cluster.servers[dies].kill();
            cluster.servers[dies].restart().await;
            shop.doors.lock().await[dies] = cluster.servers[dies].http();
        }
        shop.go_on(TURNS_AFTER).await;
        shop.is_over.store(true, Ordering::Relaxed);
        let turns = writers.join_all().await.into_iter().flatten().collect::<Vec<Turn>>();
        shop.is_quiet.store(true, Ordering::Release);
        turns
    };
    let turns = tokio::time::timeout(WRITE_WAIT_MAX * deaths(), written).await;
    let turns = turns.expect("the writing ends");
    let record: Record = follower.await.unwrap();
    let mut sights = Vec::new();
    for reader in readers {
        sights.extend(reader.await.unwrap());
    }
    let told = Told::by(&record, &member.log).await;
    told.explains(&turns);
    told.never_tells_half(
        &turns,
        record.moments.iter().chain(sights.iter().flat_map(Sight::moments)),
    );
    let exact = told.agrees(&sights);
    let of = |outcome: Outcome| turns.iter().filter(move |turn| turn.outcome == outcome);
    let transacted = of(Outcome::Done).filter(|turn| matches!(turn.act, Act::Transact(_))).count();
    assert!(transacted > 0, "no transaction got through");
    figure(&format!(
        "three servers, {} killed, in {:.1} s: {} writes acknowledged, {transacted} of them transactions, {} unanswered, {} changes followed, {} documents seen, {exact} of them at one position",
        deaths(),
        begun.elapsed().as_secs_f64(),
        of(Outcome::Done).count(),
        of(Outcome::Unsure).count(),
        record.changes.len(),
        sights.iter().map(|sight| sight.documents.len()).sum::<usize>(),
    ));
}

/// Writes of which is measured how long after them a follower hears.
const HEARD: usize = 30;
/// How fast a follower hears of it at its best; a busy machine is slower.
const HEARD_GOAL: Duration = Duration::from_millis(50);
/// So long after its start, every server knows the follower.
const KNOWN_AFTER: Duration = Duration::from_millis(1500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_hears_at_once_what_another_server_has_written() {
    let Some(cluster) = Cluster::start(3).await else { return };
    let shop = Shop::open(&cluster).await;
    for is_woken in [true, false] {
        let member = match is_woken {
            true => Member::join(&cluster).await,
            false => Member::join_unreachable(&cluster).await,
        };
        let begun = Instant::now();
        let mut delays = Vec::new();
        while delays.len() < HEARD {
            let delay = hear(&shop, &member, delays.len()).await;
            if begun.elapsed() > KNOWN_AFTER {
                delays.push(delay);
            }
        }
        delays.sort_unstable();
        let [best, median, worst] =
            [0, HEARD / 2, HEARD - 1].map(|place| delays[place].as_millis());
        let how = if is_woken { "that is woken up" } else { "that no wake-up reaches" };
        figure(&format!(
            "a follower {how} hears of another server's write after {median} ms (median; {best} to {worst})"
        ));
        assert!(delays[0] <= HEARD_GOAL, "{delays:?}");
    }
}

/// How long after the answer to a write the follower knows it.
async fn hear(shop: &Shop, member: &Member, number: usize) -> Duration {
    let (documents, env) = (&member.log.documents, &member.log.env);
    let since = documents.position(env).await.unwrap();
    let deadline = Instant::now() + WRITE_WAIT_MAX;
    let waiting = async {
        let heard = documents.wait_for_changes(env, &since, deadline).await.unwrap();
        (Instant::now(), heard)
    };
    let writing = async {
        let keeper = shop.keeper(number as u64).await;
        let document = json!({ "number": number }).to_string();
        let adding = keeper.asking("insertDocument", GOODS, json!({ "data": [document] }));
        drop(data(adding.send().await.value()));
        Instant::now()
    };
    let ((heard_at, heard), answered_at) = tokio::join!(waiting, writing);
    assert_eq!(since.behind(&heard).count(), 1, "one write is heard");
    heard_at.saturating_duration_since(answered_at)
}
