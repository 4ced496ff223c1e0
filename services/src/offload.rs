//! CPU-heavy work runs off the async workers, so that cheap requests never wait behind it.
//!
//! A worker of the runtime that computes for half a second answers nobody meanwhile, and a small machine has two of them.
//! What may take long hands the worker's other tasks to another thread before it begins
//! ([`tokio::task::block_in_place`]), and as many as there are cores do so at once; the others stand in line, and get into
//! it again at each of their pauses. The operating system shares the cores between them and the workers.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

/// A body, a stored document or an answer of so many bytes takes about a millisecond to read or to write.
pub(crate) const LONG_BYTES: usize = 128 << 10;

/// Whoever computes for so long at once is expected to do so again: a small part of what a client notices, and far more
/// than a point read takes.
const LONG: Duration = Duration::from_millis(2);

/// Who compute at once; more would only take time from each other.
static CPU_PERMITS: LazyLock<Semaphore> = LazyLock::new(|| {
    Semaphore::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
});

thread_local! {
    /// This thread has handed its other tasks away already.
    static IS_OFFLOADED: Cell<bool> = const { Cell::new(false) };

    /// What this thread is at, unless it is aside.
    static AT: Cell<At> = const { Cell::new(At::Nothing) };
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    Nothing,
    Call,
    /// A call inside of which another one is known to take long.
    LongCall,
}

type PermitFuture =
    Pin<Box<dyn Future<Output = Result<SemaphorePermit<'static>, AcquireError>> + Send>>;

/// A call that is done aside from its first long piece on.
struct Offloaded<'w, T> {
    work: Pin<Box<dyn Future<Output = T> + Send + 'w>>,
    is_long: bool,
    permit: Option<PermitFuture>,
}

/// Does this work aside as soon as it takes long, and from the beginning when that is known.
pub(crate) async fn run<'w, T>(is_long: bool, work: impl Future<Output = T> + Send + 'w) -> T {
    Offloaded { work: Box::pin(work), is_long, permit: None }.await
}

/// Does a piece of work that has no pauses, aside if it is long. Nobody waits for a permit here, so that it has to be bounded
/// by something else: the bytes of bodies, or of documents.
pub(crate) fn run_now<T>(is_long: bool, work: impl FnOnce() -> T) -> T {
    if is_long && !IS_OFFLOADED.get() && can_hand_over() { hand_over(work) } else { work() }
}

fn hand_over<T>(work: impl FnOnce() -> T) -> T {
    /// Also when the work panics.
    struct Back;
    impl Drop for Back {
        fn drop(&mut self) {
            IS_OFFLOADED.set(false);
        }
    }
    tokio::task::block_in_place(|| {
        IS_OFFLOADED.set(true);
        let _back = Back;
        work()
    })
}

/// Polls a call; tells besides whether one inside it is known to take long.
fn poll_call<T>(poll: impl FnOnce() -> Poll<T>) -> (Poll<T>, bool) {
    /// Also when the call panics.
    struct Back;
    impl Drop for Back {
        fn drop(&mut self) {
            AT.set(At::Nothing);
        }
    }
    AT.set(At::Call);
    let _back = Back;
    let polled = poll();
    (polled, AT.get() == At::LongCall)
}

/// Only a runtime of several threads has another one.
fn can_hand_over() -> bool {
    Handle::try_current()
        .is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}

impl<T> Future for Offloaded<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        if IS_OFFLOADED.get() {
            this.permit = None;
            return this.work.as_mut().poll(context);
        }
        let is_inside = AT.get() != At::Nothing;
        match this.is_long && can_hand_over() {
            false if is_inside => return this.work.as_mut().poll(context),
            false => {
                let begun = Instant::now();
                let (polled, is_long) = poll_call(|| this.work.as_mut().poll(context));
                this.is_long = is_long || begun.elapsed() >= LONG;
                return polled;
            }
            // The permit is taken by the outermost call: were both in line, each could keep what the other one waits for.
            true if is_inside => {
                AT.set(At::LongCall);
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            true => {}
        }
        let permit = this.permit.get_or_insert_with(|| Box::pin(CPU_PERMITS.acquire()));
        let Poll::Ready(permit) = permit.as_mut().poll(context) else { return Poll::Pending };
        this.permit = None;
        let polled = hand_over(|| this.work.as_mut().poll(context));
        drop(permit);
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    fn on_one_worker<T>(test: impl Future<Output = T>) -> T {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.unwrap().block_on(test)
    }

    /// Keeps the thread until others have run; ends by itself after a while, so that a failure is one.
    fn compute_until(is_done: &AtomicBool) -> bool {
        let begun = Instant::now();
        while !is_done.load(Ordering::SeqCst) && begun.elapsed() < Duration::from_secs(10) {
            std::thread::yield_now();
        }
        is_done.load(Ordering::SeqCst)
    }

    #[test]
    fn others_run_while_one_computes_on_the_only_worker() {
        on_one_worker(async {
            for is_nested in [false, true] {
                let others_ran = Arc::new(AtomicBool::new(false));
                let seen = Arc::clone(&others_ran);
                let computing = async move {
                    let inner = run(true, async { run_now(true, || compute_until(&seen)) });
                    if is_nested { run(true, inner).await } else { inner.await }
                };
                let computed = tokio::spawn(computing);
                tokio::spawn(async move { others_ran.store(true, Ordering::SeqCst) });
                assert!(computed.await.unwrap(), "nobody else ran");
            }
        });
    }

    #[test]
    fn no_more_compute_at_once_than_there_are_turns() {
        on_one_worker(async {
            static AT_ONCE: AtomicUsize = AtomicUsize::new(0);
            let most = std::thread::available_parallelism().unwrap().get();
            let computing = |_| {
                tokio::spawn(run(true, async move {
                    for _ in 0..20 {
                        let now = AT_ONCE.fetch_add(1, Ordering::SeqCst) + 1;
                        std::thread::yield_now();
                        AT_ONCE.fetch_sub(1, Ordering::SeqCst);
                        assert!(now <= most, "{now} compute at once");
                        tokio::task::yield_now().await;
                    }
                }))
            };
            let all: Vec<_> = (0..4 * most).map(computing).collect();
            for one in all {
                one.await.unwrap();
            }
        });
    }

    #[test]
    fn calls_inside_calls_do_not_keep_each_other_s_turns() {
        on_one_worker(async {
            let most = std::thread::available_parallelism().unwrap().get();
            let all_turns = CPU_PERMITS.acquire_many(u32::try_from(most).unwrap()).await.unwrap();
            let call = || async {
                let inner = run(true, async { 7 });
                // The outer call becomes long in the moment in which the inner one begins to stand in line.
                let begun = Instant::now();
                while begun.elapsed() < 2 * LONG {
                    std::hint::spin_loop();
                }
                inner.await
            };
            let calls: Vec<_> = (0..most).map(|_| tokio::spawn(run(false, call()))).collect();
            // Until each of them stands there.
            tokio::time::sleep(LONG * 4 * u32::try_from(most).unwrap()).await;
            drop(all_turns);
            for call in calls {
                let called = tokio::time::timeout(Duration::from_secs(10), call).await;
                assert_eq!(called.expect("they wait for each other").unwrap(), 7);
            }
        });
    }

    #[test]
    fn a_runtime_of_one_thread_has_nobody_to_hand_anything_to() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(run(true, async { run_now(true, || 7) })), 7);
        assert_eq!(run_now(true, || 7), 7);
    }
}
