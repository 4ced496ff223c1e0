//! One task: when it is due, one run at a time, and what became of the last one.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinError;
use yunzhan_base::event::{Event, Level, TaskEnded, TaskOutcome};
use yunzhan_base::lease::{Claim, Fence};
use yunzhan_base::{Error, Kind, Result};

use super::{LastRun, On, Parts, Run, Schedule, Status, Task};
use crate::shutdown::Shutdown;
use crate::time::look_again;

/// How often a task that goes on failing is told in the log. Its metrics count every run.
const TELL_AGAIN: Duration = Duration::from_secs(60);

/// A task and its state.
pub(super) struct Entry {
    task: Task,
    lease: String,
    parts: Parts,
    state: Mutex<State>,
    /// Held by the run in progress, so that two never overlap.
    turn: tokio::sync::Mutex<()>,
    /// Leads to the loop that runs the task, once there is one.
    by_hand: OnceLock<mpsc::Sender<oneshot::Sender<Ran>>>,
}

#[derive(Default)]
struct State {
    /// When the next run would be due without jitter.
    slot_ms: i64,
    next_ms: Option<i64>,
    running_since_ms: Option<i64>,
    elsewhere: Option<String>,
    last: Option<LastRun>,
    runs: u64,
    failures: u64,
    /// When a failure was last told; none after a run that went well.
    told_ms: Option<i64>,
}

/// What came of the wish to run.
pub(super) enum Ran {
    /// It ran, and ended in some way.
    Ended(LastRun),
    /// This node holds the lease.
    Elsewhere(String),
}

// === impl Entry: from outside ===

impl Entry {
    pub(super) fn new(task: Task, parts: Parts) -> Self {
        let lease = task.lease();
        let (state, turn, by_hand) = Default::default();
        Self { task, lease, parts, state, turn, by_hand }
    }

    pub(super) fn name(&self) -> &'static str {
        self.task.name
    }

    pub(super) fn status(&self) -> Status {
        let Schedule::Every { period, jitter } = self.task.schedule;
        let state = self.state();
        Status {
            name: self.task.name,
            on: self.task.on.name(),
            period_ms: whole_ms(period),
            jitter_ms: whole_ms(jitter),
            elsewhere: state.elsewhere.clone(),
            running_since_ms: state.running_since_ms,
            next_ms: state.next_ms,
            last: state.last.clone(),
            runs: state.runs,
            failures: state.failures,
        }
    }

    /// Begins to run by the schedule.
    pub(super) fn start(self: &Arc<Self>, shutdown: Shutdown) {
        let (ask, asked) = mpsc::channel(1);
        // Whoever starts it twice finds it started.
        if self.by_hand.set(ask).is_ok() {
            tokio::spawn(Arc::clone(self).serve(shutdown, asked));
        }
    }

    pub(super) fn poke(&self) {
        if let Some(ask) = self.by_hand.get() {
            // Full: a run that was asked for is about to begin, and will see what this one would have.
            let _ = ask.try_send(oneshot::channel().0);
        }
    }

    /// Runs now. Where a loop runs the task, that one does it: the shutdown waits for it, and it ends although the caller left.
    pub(super) async fn run_by_hand(&self) -> Result<Ran> {
        let busy = || {
            let text = format!("task {} runs already; wait until that run has ended", self.name());
            Error::new(Kind::Conflict, text)
        };
        if self.state().running_since_ms.is_some() {
            return Err(busy());
        }
        let Some(ask) = self.by_hand.get() else {
            let _turn = self.turn.try_lock().map_err(|_| busy())?;
            return Ok(self.run().await);
        };
        let (reply, answer) = oneshot::channel();
        ask.try_send(reply).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => busy(),
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        answer.await.map_err(|_| stopping())
    }
}

// === impl Entry: the loop ===

impl Entry {
    async fn serve(
        self: Arc<Self>,
        mut shutdown: Shutdown,
        mut by_hand: mpsc::Receiver<oneshot::Sender<Ran>>,
    ) {
        self.plan_first();
        loop {
            // A run stands in the branch's body, where nothing cancels it.
            tokio::select! {
                biased;
                () = shutdown.triggered() => break,
                Some(reply) = by_hand.recv() => {
                    let _turn = self.turn.lock().await;
                    // Who asked may be gone; the run is on record all the same.
                    let _ = reply.send(self.run().await);
                }
                () = self.due() => {
                    let _turn = self.turn.lock().await;
                    self.run().await;
                }
            }
            self.plan_next();
        }
        self.state().next_ms = None;
    }

    /// Waits until the next run is due. Where somebody set the clock back, the next run comes a period from then, and not
    /// when the clock has caught up.
    async fn due(&self) {
        let clock = &self.parts.clock;
        loop {
            let next_ms = self.state().next_ms.unwrap_or(i64::MAX);
            let now_ms = clock.now_ms();
            let Schedule::Every { period, jitter } = self.task.schedule;
            match next_ms.saturating_sub(now_ms) {
                left_ms if left_ms <= 0 => return,
                left_ms if left_ms > signed_ms(period + jitter) => self.plan_first(),
                _ => look_again(clock, next_ms).await,
            }
        }
    }

    fn plan_first(&self) {
        let Schedule::Every { period, .. } = self.task.schedule;
        self.plan(self.parts.clock.now_ms().saturating_add(signed_ms(period)));
    }

    /// The next slot that has not passed. Those that a long run missed are left out: they would come all at once.
    fn plan_next(&self) {
        let (slot_ms, next_ms) = {
            let state = self.state();
            (state.slot_ms, state.next_ms)
        };
        let Schedule::Every { period, .. } = self.task.schedule;
        let now_ms = self.parts.clock.now_ms();
        if next_ms.is_none_or(|next_ms| next_ms <= now_ms) {
            let missed = (now_ms.saturating_sub(slot_ms)) / signed_ms(period);
            let slots = missed.max(0).saturating_add(1);
            self.plan(slot_ms.saturating_add(slots.saturating_mul(signed_ms(period))));
        }
    }

    fn plan(&self, slot_ms: i64) {
        let Schedule::Every { jitter, .. } = self.task.schedule;
        let mut state = self.state();
        state.slot_ms = slot_ms;
        state.next_ms = Some(slot_ms.saturating_add(random_up_to(signed_ms(jitter))));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Entry: one run ===

impl Entry {
    /// One run from the claim of its lease to its record. The caller holds the turn.
    async fn run(&self) -> Ran {
        let (started_ms, started) = (self.parts.clock.now_ms(), Instant::now());
        self.state().running_since_ms = Some(started_ms);
        let (outcome, error) = match self.claim().await {
            Ok(Claim::Elsewhere { node }) => {
                let mut state = self.state();
                state.running_since_ms = None;
                state.elsewhere = Some(node.clone());
                return Ran::Elsewhere(node);
            }
            Ok(Claim::Held(fence)) => self.work(Some(fence)).await,
            Err(NotOneNode::EveryNode) => self.work(None).await,
            Err(NotOneNode::Failed(error)) => (TaskOutcome::Failed, Some(error)),
        };
        let duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let run = LastRun {
            started_ms,
            duration_us,
            outcome: outcome.name(),
            error: error.as_ref().map(Error::log_text),
        };
        self.record(run.clone());
        let name = self.name();
        let ended = TaskEnded { name, outcome, duration_us, error: error.as_ref() };
        self.parts.events.emit(&Event::TaskEnded(ended));
        Ran::Ended(run)
    }

    async fn claim(&self) -> Result<Claim, NotOneNode> {
        match (&self.task.on, &self.parts.claims) {
            (On::OneNode, Some(claims)) => {
                claims.claim(&self.lease).await.map_err(NotOneNode::Failed)
            }
            _ => Err(NotOneNode::EveryNode),
        }
    }

    /// The work itself, in a task of its own, so that a panic ends that one only.
    async fn work(&self, fence: Option<Fence>) -> (TaskOutcome, Option<Error>) {
        let (work, run) = (Arc::clone(&self.task.work), Run { fence: fence.clone() });
        let mut running = tokio::spawn(async move { work(run).await });
        let joined = tokio::select! {
            biased;
            // Asked first: after a long stop, what was begun under a lost lease is not gone on with.
            () = self.lost(fence.as_ref()) => {
                running.abort();
                // Work that does not pause cannot be stopped; the next run waits for it.
                let _ = running.await;
                let text = "stopped, because this node lost the lease under which it ran";
                return (TaskOutcome::LeaseLost, Some(Error::new(Kind::Conflict, text)));
            }
            joined = &mut running => joined,
        };
        match joined {
            Ok(Ok(())) => (TaskOutcome::Done, None),
            Ok(Err(error)) => (TaskOutcome::Failed, Some(error)),
            Err(ended) => (TaskOutcome::Panicked, Some(panic_error(ended))),
        }
    }

    async fn lost(&self, fence: Option<&Fence>) {
        match (fence, &self.parts.claims) {
            (Some(fence), Some(claims)) => claims.lost(fence).await,
            _ => std::future::pending().await,
        }
    }

    /// Keeps what became of a run, and tells the operator of failures: the first at once, further ones now and then.
    fn record(&self, run: LastRun) {
        let now_ms = self.parts.clock.now_ms();
        let told = {
            let mut state = self.state();
            state.running_since_ms = None;
            state.elsewhere = None;
            state.runs += 1;
            let told = self.sentence(&run, state.told_ms, now_ms);
            match &run.error {
                None => state.told_ms = None,
                Some(_) => state.failures += 1,
            }
            if run.error.is_some() && told.is_some() {
                state.told_ms = Some(now_ms);
            }
            state.last = Some(run);
            told
        };
        if let Some((level, name, text)) = told {
            self.parts.events.notice(level, name, &text);
        }
    }

    fn sentence(
        &self,
        run: &LastRun,
        told_ms: Option<i64>,
        now_ms: i64,
    ) -> Option<(Level, &'static str, String)> {
        let name = self.name();
        let is_quiet = told_ms
            .is_some_and(|told_ms| (told_ms..told_ms + signed_ms(TELL_AGAIN)).contains(&now_ms));
        match &run.error {
            Some(_) if is_quiet => None,
            Some(error) => {
                let text = format!("task {name} failed and will be tried again: {error}");
                Some((Level::Error, "task_failed", text))
            }
            None if told_ms.is_some() => {
                Some((Level::Info, "task_recovered", format!("task {name} runs well again")))
            }
            None => None,
        }
    }
}

/// Why there is no claim.
enum NotOneNode {
    /// None is needed.
    EveryNode,
    /// It could not be had.
    Failed(Error),
}

fn panic_error(ended: JoinError) -> Error {
    let Ok(payload) = ended.try_into_panic() else {
        return Error::internal("the runtime ended before the run");
    };
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    Error::internal(format!("panicked: {}", text.unwrap_or_else(|| "without words".to_owned())))
}

fn stopping() -> Error {
    Error::new(Kind::Unavailable, "the server is stopping and begins no run")
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn signed_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A number from 0 to `most`. The standard library seeds its hash maps at random, which is random enough here.
fn random_up_to(most: i64) -> i64 {
    let drawn = RandomState::new().hash_one(0);
    let below = u64::try_from(most).unwrap_or(0).saturating_add(1);
    i64::try_from(drawn % below).unwrap_or(0)
}
