//! One of the servers: its connections, how it stood when it was last asked, and the task that asks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use yunzhan_base::event::{Events, Level};
use yunzhan_base::{Clock, Error, Result};

use crate::config;
use crate::sql::Mysql;
use crate::sql::mysql::Address;
use crate::sql::mysql::status::{Link, Status};

/// How long a server may take to say how it stands. It reads variables and two small tables from memory: one that needs
/// longer is stopped, or its disk is, and must not be sent anybody's reads.
const PATIENCE: Duration = Duration::from_millis(500);
/// Questions that are asked at once follow each other no closer: a thousand in a second are some hundredths of a processor.
const GAP: Duration = Duration::from_millis(1);
/// The pause before a server that failed is tried again; it doubles.
const AGAIN_MIN: Duration = Duration::from_millis(50);
/// The longest such pause: a server that came back serves within it.
const AGAIN_MAX: Duration = Duration::from_secs(2);

/// One of the servers.
pub(super) struct Member {
    /// `host:port`.
    pub(super) name: String,
    pub(super) address: Address,
    /// Its connections, once it is known what answers there.
    pub(super) mysql: OnceLock<Mysql>,
    /// How it stood when it was last asked. None while it cannot be asked.
    seen: watch::Sender<Option<Arc<Seen>>>,
    /// How it stood when it was asked the last time that it answered.
    last: Mutex<Option<Arc<Seen>>>,
    /// Questions that were begun, so that whoever needs a later one can tell.
    rounds: AtomicU64,
    demand: Notify,
    /// Whether it could not be reached again after it failed.
    is_away: AtomicBool,
    /// Reads that it was sent.
    pub(super) reads: AtomicU64,
}

/// How a server stood.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) status: Status,
    /// When the question was sent; the answer is no older.
    pub(super) began: Instant,
    /// Its number among the questions.
    pub(super) round: u64,
}

/// What a member is asked with.
pub(super) struct Asking {
    pub(super) config: config::Sql,
    pub(super) clock: Clock,
    pub(super) events: Events,
    /// The row of this process.
    pub(super) id: String,
    /// How long a question waits at the most where nobody is in a hurry.
    pub(super) every: Duration,
    /// Told of every answer and failure.
    pub(super) moved: watch::Sender<u64>,
}

// === impl Seen ===

impl Seen {
    /// The time of the server's clock now, at the latest.
    pub(super) fn now_ms(&self) -> i64 {
        let since_ms = i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX);
        // The next whole one: what was cut off must not make anything look younger.
        self.status.now_ms.saturating_add(since_ms).saturating_add(1)
    }

    pub(super) fn term(&self) -> i64 {
        self.status.beat.as_ref().map_or(0, |beat| beat.term)
    }
}

// === impl Member ===

impl Member {
    pub(super) fn new(address: Address) -> Self {
        Self {
            name: address.name(),
            address,
            mysql: OnceLock::new(),
            seen: watch::Sender::new(None),
            last: Mutex::default(),
            rounds: AtomicU64::new(0),
            demand: Notify::new(),
            is_away: AtomicBool::new(false),
            reads: AtomicU64::new(0),
        }
    }

    /// How it stood when it was last asked. None while it cannot be asked.
    pub(super) fn seen(&self) -> Option<Arc<Seen>> {
        self.seen.borrow().clone()
    }

    /// The same, or how it stood before it could not be asked any more.
    pub(super) fn last_seen(&self) -> Option<Arc<Seen>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it could not be reached again after it failed.
    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::SeqCst)
    }

    /// Its connections. A server that was seen has some.
    pub(super) fn mysql(&self) -> Result<&Mysql> {
        self.mysql.get().ok_or_else(|| Error::internal("a server that nobody has seen is used"))
    }

    /// The number of the last question that was begun: what a later one finds is no older than this moment.
    pub(super) fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::SeqCst)
    }

    /// Has it asked again soon.
    pub(super) fn demand(&self) {
        self.demand.notify_one();
    }

    /// How it stands after now: what a question finds that is begun after this call. None where it cannot be asked.
    pub(super) async fn ask(&self) -> Option<Arc<Seen>> {
        let (before, mut seen) = (self.rounds(), self.seen.subscribe());
        self.demand();
        let later = |seen: &Option<Arc<Seen>>| match seen {
            Some(seen) => seen.round > before,
            None => true,
        };
        seen.wait_for(later).await.ok()?.clone()
    }

    /// Ends when it cannot be asked any more.
    pub(super) async fn gone(&self) {
        let _ = self.seen.subscribe().wait_for(Option::is_none).await;
    }

    /// Asks on and on.
    pub(super) async fn watch(&self, asking: &Asking) {
        let (mut again, mut is_told) = (Duration::ZERO, false);
        loop {
            let failed = match self.connect(asking).await {
                Ok(mut link) => {
                    let failed = self.ask_on(&mut link, asking, &mut again, &mut is_told).await;
                    // It is tried again at once: a connection breaks also where its server is well.
                    again = again.min(AGAIN_MIN);
                    failed
                }
                Err(error) => {
                    self.is_away.store(true, Ordering::SeqCst);
                    error
                }
            };
            self.seen.send_replace(None);
            asking.moved.send_modify(|moves| *moves += 1);
            if self.is_away() && !is_told {
                is_told = true;
                let text = format!(
                    "the database server {} cannot be reached and is left out until it can: {}",
                    self.name,
                    failed.log_text()
                );
                asking.events.notice(Level::Warn, "database_server_left_out", &text);
            }
            tokio::time::sleep(again).await;
            again = (again * 2).clamp(AGAIN_MIN, AGAIN_MAX);
        }
    }

    async fn connect(&self, asking: &Asking) -> Result<Link> {
        let link = Link::open(&self.address, asking.config.mysql_connect_timeout, PATIENCE).await?;
        let product = link.product();
        let mysql = self.mysql.get_or_init(|| {
            let (config, clock) = (asking.config.clone(), asking.clock.clone());
            Mysql::new(self.address.clone(), product, config, clock)
        });
        match mysql.product() == product {
            true => Ok(link),
            false => Err(Error::internal(
                "another product answers at this address than before; start again",
            )),
        }
    }

    /// Asks until it fails.
    async fn ask_on(
        &self,
        link: &mut Link,
        asking: &Asking,
        again: &mut Duration,
        is_told: &mut bool,
    ) -> Error {
        loop {
            let began = Instant::now();
            if let Err(error) = self.ask_once(link, asking, began).await {
                return error;
            }
            *again = Duration::ZERO;
            self.is_away.store(false, Ordering::SeqCst);
            if std::mem::take(is_told) {
                let text = format!("the database server {} can be reached again", self.name);
                asking.events.notice(Level::Info, "database_server_back", &text);
            }
            let _ = tokio::time::timeout(asking.every, self.demand.notified()).await;
            tokio::time::sleep(GAP.saturating_sub(began.elapsed())).await;
        }
    }

    async fn ask_once(&self, link: &mut Link, asking: &Asking, began: Instant) -> Result<()> {
        let round = self.rounds.fetch_add(1, Ordering::SeqCst) + 1;
        let status = link.status(&asking.id).await?;
        let seen = Arc::new(Seen { status, began, round });
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&seen));
        self.seen.send_replace(Some(seen));
        asking.moved.send_modify(|moves| *moves += 1);
        Ok(())
    }
}

/// A connection of its own to a server, for more than a question.
pub(super) async fn link(member: &Member, config: &config::Sql) -> Result<Link> {
    Link::open(&member.address, config.mysql_connect_timeout, config.write_timeout).await
}
