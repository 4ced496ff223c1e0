//! Acts end, and are on record: also when the client leaves, and not at all when nothing can be recorded.
//!
//! A handler is dropped when its client leaves. What has several steps, or must stay on record, therefore runs as a task of its
//! own, which the server's end waits for: [`Acts::run`] records the intent, does the work and records its outcome. How many
//! are under way is bounded for each environment, so that one that overflows keeps no other from acting.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use yunzhan_base::audit::{Appended, Ledger, Record};
use yunzhan_base::event::{Events, Level};
use yunzhan_base::{Act, Clock, EnvId, Error, Kind, Result};

use crate::crypto::random;

/// Acts of one environment that are on record and under way at once. They are what administrators and teams' servers do, a few
/// a minute; each waits for the disk twice.
pub const ACTS_AT_ONCE_MAX: usize = 64;

/// Pieces of work of one environment that end without their client and have no record, such as the ending of sessions: what
/// clients ask for, and so far more often.
pub const UNRECORDED_AT_ONCE_MAX: usize = 1024;

/// Random bytes of an act's name: two acts of one ledger never share one.
const NAME_BYTES: usize = 12;

/// Runs acts. Clones share bounds and ledger.
#[derive(Clone)]
pub struct Acts(Arc<Shared>);

struct Shared {
    ledger: Arc<dyn Ledger>,
    clock: Clock,
    events: Events,
    /// By environment: acts on record, and other work.
    at_once: Mutex<HashMap<Option<EnvId>, [usize; 2]>>,
    /// All that is under way.
    running: watch::Sender<usize>,
}

/// Which bound counts.
#[derive(Clone, Copy)]
enum Bound {
    Recorded = 0,
    Unrecorded = 1,
}

/// A place among those that are under way in an environment.
struct Permit {
    acts: Acts,
    env: Option<EnvId>,
    bound: Bound,
}

/// Keeps nothing.
struct NoLedger;

impl Ledger for NoLedger {
    fn append(&self, _: Record) -> Appended {
        Box::pin(async { Ok(()) })
    }
}

// === impl Acts ===

impl Acts {
    /// Acts whose records this ledger takes.
    pub fn new(ledger: Arc<dyn Ledger>, clock: Clock, events: Events) -> Self {
        let (at_once, running) = (Mutex::default(), watch::Sender::new(0));
        Self(Arc::new(Shared { ledger, clock, events, at_once, running }))
    }

    /// Acts of which nothing is kept, for tests and tools.
    pub fn unrecorded() -> Self {
        Self::new(Arc::new(NoLedger), Clock::System, Events::default())
    }

    /// Does an act, to its end whoever waits for it, with its intent on record before and its outcome after.
    ///
    /// # Errors
    /// `TooManyAtOnce` when the environment has [`ACTS_AT_ONCE_MAX`] under way; those of a ledger that cannot take the intent:
    /// then nothing is done; those of the work. An outcome that could not be recorded is told as a notice: the work is done.
    pub async fn run<T: Send + 'static>(
        &self,
        act: Act,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let permit = self.permit(act.env.as_ref(), Bound::Recorded)?;
        let acts = self.clone();
        let recorded = async move {
            let intent = Record::intent(&act, &name()?, acts.0.clock.now_ms());
            acts.0.ledger.append(intent.clone()).await?;
            acts.finish_recorded(intent, work).await
        };
        detached(permit, recorded).await
    }

    /// As [`Acts::run`], for what protects somebody: it is done also when it cannot be recorded, which is told as a notice.
    ///
    /// # Errors
    /// `TooManyAtOnce` when the environment has [`UNRECORDED_AT_ONCE_MAX`] such under way; those of the work.
    pub async fn protect<T: Send + 'static>(
        &self,
        act: Act,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let permit = self.permit(act.env.as_ref(), Bound::Unrecorded)?;
        let acts = self.clone();
        let recorded = async move {
            let intent = Record::intent(&act, &name()?, acts.0.clock.now_ms());
            acts.append_or_tell(intent.clone()).await;
            acts.finish_recorded(intent, work).await
        };
        detached(permit, recorded).await
    }

    /// Does work that has several steps and no record, to its end whoever waits for it.
    ///
    /// # Errors
    /// `TooManyAtOnce` when the environment has [`UNRECORDED_AT_ONCE_MAX`] such under way; those of the work.
    pub async fn finish<T: Send + 'static>(
        &self,
        env: &EnvId,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let permit = self.permit(Some(env), Bound::Unrecorded)?;
        detached(permit, work).await
    }

    /// Waits until nothing is under way, and no longer than this; says whether so.
    pub async fn drain(&self, wait_max: Duration) -> bool {
        let mut running = self.0.running.subscribe();
        tokio::time::timeout(wait_max, running.wait_for(|running| *running == 0)).await.is_ok()
    }

    /// Does the work of an act whose intent is on record, and records the outcome.
    async fn finish_recorded<T: Send + 'static>(
        &self,
        intent: Record,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        // A task of its own, so that a panic is an outcome too.
        let outcome = joined(tokio::spawn(work).await);
        let at_ms = self.0.clock.now_ms();
        self.append_or_tell(intent.outcome(outcome.as_ref().err(), at_ms)).await;
        outcome
    }

    async fn append_or_tell(&self, record: Record) {
        let text = format!("the record of {} by {} was not written", record.action, record.actor);
        if let Err(error) = self.0.ledger.append(record).await {
            let text = format!("{text}: {}", error.log_text());
            self.0.events.notice(Level::Error, "ledger_failed", &text);
        }
    }

    fn permit(&self, env: Option<&EnvId>, bound: Bound) -> Result<Permit> {
        let mut at_once = self.0.at_once.lock().unwrap_or_else(PoisonError::into_inner);
        let count = &mut at_once.entry(env.cloned()).or_default()[bound as usize];
        if *count >= bound.max() {
            let message = "too many acts are under way at once; wait until some have ended";
            return Err(Error::new(Kind::TooManyAtOnce, message));
        }
        *count += 1;
        self.0.running.send_modify(|running| *running += 1);
        Ok(Permit { acts: self.clone(), env: env.cloned(), bound })
    }
}

impl fmt::Debug for Acts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Acts({} under way)", *self.0.running.borrow())
    }
}

// === impl Bound ===

impl Bound {
    const fn max(self) -> usize {
        match self {
            Self::Recorded => ACTS_AT_ONCE_MAX,
            Self::Unrecorded => UNRECORDED_AT_ONCE_MAX,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let shared = &self.acts.0;
        let mut at_once = shared.at_once.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = at_once.get_mut(&self.env) {
            counts[self.bound as usize] -= 1;
            if *counts == [0, 0] {
                at_once.remove(&self.env);
            }
        }
        drop(at_once);
        shared.running.send_modify(|running| *running -= 1);
    }
}

/// Does work as a task of its own: dropping this leaves it running.
async fn detached<T: Send + 'static>(
    permit: Permit,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    let task = tokio::spawn(async move {
        let _permit = permit;
        work.await
    });
    joined(task.await)
}

fn joined<T>(ended: Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    ended.map_err(|error| Error::internal("an act broke off").because(error))?
}

fn name() -> Result<String> {
    Ok(hex::encode(random::<NAME_BYTES>()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use std::borrow::Cow;

    use tokio::sync::oneshot;
    use yunzhan_base::audit::Phase;

    use super::*;

    /// A ledger to look into, which may refuse.
    #[derive(Default)]
    struct Book {
        records: Mutex<Vec<Record>>,
        refuses: bool,
    }

    impl Ledger for Book {
        fn append(&self, record: Record) -> Appended {
            self.records.lock().unwrap().extend((!self.refuses).then_some(record));
            let refused = Err(Error::new(Kind::Unavailable, "the ledger takes no record"));
            let outcome = if self.refuses { refused } else { Ok(()) };
            Box::pin(async { outcome })
        }
    }

    impl Book {
        fn acts(refuses: bool) -> (Arc<Self>, Acts) {
            let book = Arc::new(Self { refuses, ..Self::default() });
            let ledger = Arc::clone(&book) as Arc<dyn Ledger>;
            (book, Acts::new(ledger, Clock::manual(7), Events::default()))
        }

        fn lines(&self) -> Vec<String> {
            let line = |record: &Record| {
                format!("{:?} {} {:?}", record.phase, record.succeeded, record.failure)
            };
            self.records.lock().unwrap().iter().map(line).collect()
        }
    }

    fn act(env: &str) -> Act {
        Act::of_operator("env.add", env).in_env(&env.parse().unwrap())
    }

    #[tokio::test]
    async fn an_act_whose_client_left_ends_and_is_on_record() {
        let (book, acts) = Book::acts(false);
        let (begun, has_begun) = oneshot::channel();
        let (go_on, may_go_on) = oneshot::channel::<()>();
        let work = async {
            begun.send(()).unwrap();
            may_go_on.await.unwrap();
            Ok(())
        };
        let client = tokio::spawn({
            let acts = acts.clone();
            async move { acts.run(act("shop"), work).await }
        });
        has_begun.await.unwrap();
        client.abort();
        assert!(client.await.unwrap_err().is_cancelled());
        assert_eq!(book.lines(), ["Intent false None"]);
        // The server's end waits for it, and no longer than it may.
        assert!(!acts.drain(Duration::ZERO).await);
        go_on.send(()).unwrap();
        assert!(acts.drain(Duration::from_secs(60)).await);
        assert_eq!(book.lines(), ["Intent false None", "Done true None"]);
        let records = book.records.lock().unwrap();
        assert_eq!(records[0].act, records[1].act);
    }

    #[tokio::test]
    async fn an_act_that_cannot_be_recorded_is_not_done() {
        let (_, acts) = Book::acts(true);
        let refused = acts.run::<()>(act("shop"), async { panic!("it was done") }).await;
        assert_eq!(refused.unwrap_err().kind(), Kind::Unavailable);
        // What protects somebody is done all the same.
        assert_eq!(acts.protect(act("shop"), async { Ok(7) }).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn an_environment_that_overflows_keeps_no_other_from_acting() {
        let (_, acts) = Book::acts(false);
        let (go_on, may_go_on) = watch::channel(false);
        let many: Vec<_> = (0..ACTS_AT_ONCE_MAX)
            .map(|_| {
                let (acts, mut go_on) = (acts.clone(), may_go_on.clone());
                let work = async move {
                    go_on.wait_for(|go_on| *go_on).await.unwrap();
                    Ok(())
                };
                tokio::spawn(async move { acts.run(act("shop"), work).await })
            })
            .collect();
        while *acts.0.running.borrow() < ACTS_AT_ONCE_MAX {
            tokio::task::yield_now().await;
        }
        let one_more = acts.run(act("shop"), async { Ok(()) }).await;
        assert_eq!(one_more.unwrap_err().kind(), Kind::TooManyAtOnce);
        assert!(acts.run(act("other"), async { Ok(()) }).await.is_ok());
        // Other work of the same environment has a bound of its own.
        assert!(acts.finish(&"shop".parse().unwrap(), async { Ok(()) }).await.is_ok());
        go_on.send(true).unwrap();
        for one in many {
            one.await.unwrap().unwrap();
        }
        assert!(acts.run(act("shop"), async { Ok(()) }).await.is_ok());
        assert!(acts.drain(Duration::ZERO).await);
        assert!(acts.0.at_once.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_fails_or_breaks_off_is_on_record_as_that() {
        let (book, acts) = Book::acts(false);
        let failed = async { Err::<(), _>(Error::new(Kind::AlreadyExists, "there is one")) };
        assert_eq!(acts.run(act("shop"), failed).await.unwrap_err().kind(), Kind::AlreadyExists);
        let broken = acts.run::<()>(act("shop"), async { panic!("a fault of ours") }).await;
        assert_eq!(broken.unwrap_err().kind(), Kind::Internal);
        let records = book.records.lock().unwrap();
        let outcomes = records.iter().filter(|record| record.phase == Phase::Done);
        let failures: Vec<_> = outcomes.map(|record| record.failure.clone().unwrap()).collect();
        assert_eq!(failures, [Cow::Borrowed("already_exists"), Cow::Borrowed("internal")]);
    }
}
