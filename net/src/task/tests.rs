//! Tasks on a clock that the tests move.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Semaphore, mpsc, watch};
use yunzhan_base::event::{Event, Observe};
use yunzhan_base::lease::{Claim, ClaimFuture};

use super::*;
use crate::shutdown::Trigger;

const PERIOD: Duration = Duration::from_secs(60);
const BEGIN_MS: i64 = 1_700_000_000_000;

/// Hears of ended runs and of notices.
struct Ear {
    ended: mpsc::Sender<&'static str>,
    notices: Mutex<Vec<String>>,
}

impl Observe for Ear {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::TaskEnded(ended) => self.ended.try_send(ended.outcome.name()).expect("room"),
            Event::Notice(notice) => {
                let line = format!("{}: {}", notice.name, notice.text);
                self.notices.lock().expect("no panic while held").push(line);
            }
            _ => {}
        }
    }
}

/// One test's tasks, with everything around them.
struct Scene {
    clock: Clock,
    ear: Arc<Ear>,
    ended: mpsc::Receiver<&'static str>,
    trigger: Trigger,
    tasks: Tasks,
}

impl Scene {
    fn of(task: Task) -> Self {
        Self::with(task, None)
    }

    fn with(task: Task, claims: Option<Arc<dyn Claims>>) -> Self {
        let clock = Clock::manual(BEGIN_MS);
        let (ended, heard) = mpsc::channel(1000);
        let ear = Arc::new(Ear { ended, notices: Mutex::default() });
        let events = Events::to(vec![Arc::clone(&ear) as _]);
        let parts = Parts { clock: clock.clone(), events, claims };
        let tasks = Tasks::new(&parts, vec![task]).expect("a good task");
        let trigger = Trigger::default();
        tasks.start(&trigger.watcher());
        Self { clock, ear, ended: heard, trigger, tasks }
    }

    /// Lets the loop get as far as it can without the clock.
    async fn settle(&self) {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    async fn advance(&self, by: Duration) {
        self.settle().await;
        self.clock.advance(by);
    }

    async fn ended(&mut self) -> &'static str {
        self.ended.recv().await.expect("the ear lives")
    }

    fn status(&self) -> Status {
        self.tasks.list().remove(0)
    }

    fn notices(&self) -> Vec<String> {
        self.ear.notices.lock().expect("no panic while held").clone()
    }
}

fn quiet(name: &'static str) -> Task {
    Task::every(name, PERIOD, |_| async { Ok(()) })
}

#[tokio::test]
async fn a_task_runs_each_period_and_says_when() {
    let mut scene = Scene::of(quiet("shop.tidy"));
    scene.settle().await;
    assert_eq!((scene.status().next_ms, scene.status().last), (Some(BEGIN_MS + 60_000), None));
    scene.advance(PERIOD - Duration::from_millis(1)).await;
    scene.settle().await;
    assert_eq!(scene.status().runs, 0);
    scene.advance(Duration::from_millis(1)).await;
    assert_eq!(scene.ended().await, "done");
    scene.settle().await;
    let status = scene.status();
    let last = status.last.expect("a run");
    assert_eq!((last.started_ms, last.outcome, last.error), (BEGIN_MS + 60_000, "done", None));
    assert_eq!((status.next_ms, status.runs, status.failures), (Some(BEGIN_MS + 120_000), 1, 0));
}

#[tokio::test]
async fn a_panic_is_told_and_survived() {
    let tries = Arc::new(AtomicU64::new(0));
    let mut scene = Scene::of(Task::every("shop.tidy", PERIOD, move |_| {
        let tries = Arc::clone(&tries);
        async move {
            assert!(tries.fetch_add(1, Ordering::SeqCst) > 0, "no shelf {}", 7);
            Ok(())
        }
    }));
    scene.advance(PERIOD).await;
    assert_eq!(scene.ended().await, "panicked");
    let last = scene.status().last.expect("a run");
    assert_eq!(last.error.as_deref(), Some("an internal error: panicked: no shelf 7"));
    scene.advance(PERIOD).await;
    assert_eq!(scene.ended().await, "done");
    assert_eq!((scene.status().runs, scene.status().failures), (2, 1));
    assert_eq!(
        scene.notices(),
        [
            "task_failed: task shop.tidy failed and will be tried again: an internal error: panicked: no shelf 7",
            "task_recovered: task shop.tidy runs well again",
        ]
    );
}

#[tokio::test]
async fn a_task_that_goes_on_failing_is_told_once_a_minute_and_counted_each_time() {
    let fails = || async { Err(Error::new(Kind::Unavailable, "the database is away")) };
    let mut scene = Scene::of(Task::every("shop.tidy", Duration::from_secs(1), move |_| fails()));
    for _ in 0..90 {
        scene.advance(Duration::from_secs(1)).await;
        assert_eq!(scene.ended().await, "failed");
    }
    assert_eq!((scene.status().failures, scene.notices().len()), (90, 2));
}

#[tokio::test]
async fn runs_never_overlap_and_missed_ones_are_left_out() {
    let gate = Arc::new(Semaphore::new(0));
    let at_work = Arc::new(AtomicU64::new(0));
    let mut scene = Scene::of(Task::every("shop.tidy", PERIOD, {
        let (gate, at_work) = (Arc::clone(&gate), Arc::clone(&at_work));
        move |_| {
            let (gate, at_work) = (Arc::clone(&gate), Arc::clone(&at_work));
            async move {
                assert_eq!(at_work.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                gate.acquire().await.expect("an open gate").forget();
                at_work.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            }
        }
    }));
    scene.advance(PERIOD).await;
    scene.settle().await;
    assert_eq!(scene.status().running_since_ms, Some(BEGIN_MS + 60_000));
    let by_hand = scene.tasks.run("shop.tidy").await.expect_err("it runs");
    assert_eq!(by_hand.kind(), Kind::Conflict);
    // Three and a half periods pass during the run.
    scene.advance(PERIOD * 7 / 2).await;
    scene.settle().await;
    gate.add_permits(1);
    assert_eq!(scene.ended().await, "done");
    scene.settle().await;
    assert_eq!(scene.status().runs, 1);
    assert_eq!(scene.status().next_ms, Some(BEGIN_MS + 5 * 60_000));
    gate.add_permits(1);
    scene.advance(PERIOD / 2).await;
    assert_eq!(scene.ended().await, "done");
    assert_eq!(scene.status().runs, 2);
}

#[tokio::test]
async fn a_run_by_hand_answers_with_its_end_and_leaves_the_schedule() {
    let scene = Scene::of(quiet("shop.tidy"));
    scene.advance(PERIOD / 2).await;
    let run = scene.tasks.run("shop.tidy").await.expect("a run");
    assert!(run.is_done());
    assert_eq!(run.started_ms, BEGIN_MS + 30_000);
    scene.settle().await;
    assert_eq!((scene.status().runs, scene.status().next_ms), (1, Some(BEGIN_MS + 60_000)));
    let unknown = scene.tasks.run("shop.paint").await.expect_err("no such task");
    assert_eq!(
        (unknown.kind(), unknown.message()),
        (Kind::NotFound, "there is no task shop.paint; see `yunzhan task list`")
    );
}

#[tokio::test]
async fn a_run_by_hand_needs_no_loop_and_refuses_an_overlap() {
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let task = Task::every("shop.tidy", PERIOD, move |_| {
        let gate = Arc::clone(&held);
        async move { gate.acquire().await.map(drop).map_err(|_| Error::internal("closed")) }
    });
    let parts = Parts { clock: Clock::System, events: Events::default(), claims: None };
    let tasks = Tasks::new(&parts, vec![task]).expect("a good task");
    let (first, second) = tokio::join!(tasks.run("shop.tidy"), async {
        let second = tasks.run("shop.tidy").await;
        gate.add_permits(1);
        second
    });
    assert!(first.expect("a run").is_done());
    assert_eq!(second.expect_err("it runs").kind(), Kind::Conflict);
}

#[tokio::test]
async fn the_shutdown_waits_for_the_run_in_progress_and_begins_no_other() {
    let (go, gate) = watch::channel(false);
    let mut scene = Scene::of(Task::every("shop.tidy", PERIOD, move |_| {
        let mut gate = gate.clone();
        async move {
            gate.wait_for(|open| *open).await.map(drop).map_err(|_| Error::internal("no gate"))
        }
    }));
    scene.advance(PERIOD).await;
    scene.settle().await;
    let Scene { trigger, tasks, clock, .. } = scene;
    let drained = tokio::spawn(trigger.drain(Duration::from_secs(60)));
    tokio::task::yield_now().await;
    assert!(!drained.is_finished());
    go.send_replace(true);
    assert!(drained.await.expect("no panic"));
    assert_eq!(scene.ended.recv().await, Some("done"));
    clock.advance(PERIOD * 10);
    let refused = tasks.run("shop.tidy").await.expect_err("it stopped");
    assert_eq!(refused.kind(), Kind::Unavailable);
    assert_eq!((tasks.list()[0].runs, tasks.list()[0].next_ms), (1, None));
}

#[tokio::test]
async fn a_clock_that_is_set_back_delays_a_run_by_a_period_at_most() {
    let mut scene = Scene::of(quiet("shop.tidy"));
    scene.settle().await;
    scene.clock.set_ms(BEGIN_MS - 86_400_000);
    scene.settle().await;
    assert_eq!(scene.status().next_ms, Some(BEGIN_MS - 86_400_000 + 60_000));
    scene.advance(PERIOD).await;
    assert_eq!(scene.ended().await, "done");
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_makes_one_run_of_all_that_it_skipped() {
    let mut scene = Scene::of(quiet("shop.tidy"));
    scene.advance(Duration::from_secs(86_400)).await;
    assert_eq!(scene.ended().await, "done");
    scene.settle().await;
    assert_eq!(scene.status().runs, 1);
    assert_eq!(scene.status().next_ms, Some(BEGIN_MS + 86_400_000 + 60_000));
}

#[tokio::test]
async fn jitter_delays_a_run_within_its_bound() {
    let scene = Scene::of(quiet("shop.tidy").jitter(PERIOD / 2));
    scene.settle().await;
    let next_ms = scene.status().next_ms.expect("a plan") - BEGIN_MS;
    assert!((60_000..=90_000).contains(&next_ms), "{next_ms}");
}

/// Gives leases as a test says.
struct Told {
    claim: watch::Sender<Claim>,
}

impl Told {
    fn held() -> Claim {
        Claim::Held(Fence { lease: "task/shop.tidy".into(), session: "s".into(), token: 3 })
    }

    fn elsewhere() -> Claim {
        Claim::Elsewhere { node: "b".into() }
    }
}

impl Claims for Told {
    fn claim<'a>(&'a self, lease: &'a str) -> ClaimFuture<'a, Result<Claim>> {
        assert_eq!(lease, "task/shop.tidy");
        Box::pin(async { Ok(self.claim.borrow().clone()) })
    }

    fn lost<'a>(&'a self, _fence: &'a Fence) -> ClaimFuture<'a, ()> {
        Box::pin(async {
            let mut claim = self.claim.subscribe();
            let _ = claim.wait_for(|claim| *claim == Self::elsewhere()).await;
        })
    }
}

#[tokio::test]
async fn a_task_of_one_node_runs_with_a_fence_where_the_lease_is() {
    let claims = Arc::new(Told { claim: watch::Sender::new(Told::elsewhere()) });
    let (seen, mut fences) = mpsc::channel(1);
    let task = Task::every("shop.tidy", PERIOD, move |run| {
        let seen = seen.clone();
        async move { seen.send(run.fence).await.map_err(|_| Error::internal("nobody looks")) }
    });
    let mut scene = Scene::with(task.on_one_node(), Some(Arc::clone(&claims) as _));
    scene.advance(PERIOD).await;
    scene.settle().await;
    assert_eq!((scene.status().runs, scene.status().elsewhere.as_deref()), (0, Some("b")));
    let by_hand = scene.tasks.run("shop.tidy").await.expect_err("it is b's");
    assert_eq!(by_hand.message(), "task shop.tidy runs on node b; run it there");
    claims.claim.send_replace(Told::held());
    scene.advance(PERIOD).await;
    assert_eq!(scene.ended().await, "done");
    assert_eq!(fences.recv().await.flatten().map(|fence| fence.token), Some(3));
    assert_eq!((scene.status().runs, scene.status().elsewhere), (1, None));
}

#[tokio::test]
async fn a_run_is_stopped_when_the_lease_is_lost() {
    let claims = Arc::new(Told { claim: watch::Sender::new(Told::held()) });
    let task = Task::every("shop.tidy", PERIOD, |_| std::future::pending()).on_one_node();
    let mut scene = Scene::with(task, Some(Arc::clone(&claims) as _));
    scene.advance(PERIOD).await;
    scene.settle().await;
    assert!(scene.status().running_since_ms.is_some());
    claims.claim.send_replace(Told::elsewhere());
    assert_eq!(scene.ended().await, "lease_lost");
    assert_eq!((scene.status().failures, scene.status().running_since_ms), (1, None));
}

#[test]
fn a_list_of_tasks_is_checked() {
    let refuse = |tasks: Vec<Task>| {
        let parts = Parts { clock: Clock::System, events: Events::default(), claims: None };
        Tasks::new(&parts, tasks).expect_err("refused").log_text()
    };
    let said = [
        refuse(vec![quiet("a"), quiet("a")]),
        refuse(vec![quiet("")]),
        refuse(vec![quiet("a").jitter(PERIOD * 2)]),
        refuse(vec![quiet("a").on_one_node()]),
        refuse(vec![Task::every("a", Duration::ZERO, |_| async { Ok(()) })]),
    ];
    assert_eq!(
        said,
        [
            "an internal error: task a is listed twice",
            "an internal error: task \"\": it has no name",
            "an internal error: task \"a\": its jitter is longer than its period",
            "an internal error: task \"a\": nobody gives leases",
            "an internal error: task \"a\": its period is under a millisecond",
        ]
    );
}
