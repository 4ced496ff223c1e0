//! Takes the time of three sides in turn, and prints what came of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Handle;

use super::{OPEN_READS, OPEN_ROUNDS, OPEN_SHARE, Outcome, ROUNDS};

/// What a round is told and asked: how many callers, and how many operations in all.
#[derive(Clone, Copy)]
pub(super) struct Effort {
    pub(super) callers: usize,
    pub(super) count: u64,
}

/// Microseconds of one operation: of the whole process's processor time, and of the clock on the wall.
#[derive(Clone, Copy)]
pub(super) struct Round {
    cpu_us: f64,
    us: f64,
}

/// The rounds of the three sides.
#[derive(Default)]
pub(super) struct Sides {
    bare: Vec<Round>,
    backend: Vec<Round>,
    served: Vec<Round>,
}

/// Callers that each do one operation after the other, always the next one that nobody took. `work` gets the operation's
/// number, from `first` on.
pub(super) async fn closed<F>(
    effort: Effort,
    first: u64,
    work: impl Fn(u64) -> F + Clone + Send + 'static,
) -> Outcome<Round>
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let Effort { callers, count } = effort;
    let next = Arc::new(AtomicU64::new(first));
    let (cpu, started) = (processor_time(), Instant::now());
    let call = |_| {
        let (next, work) = (Arc::clone(&next), work.clone());
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= first + count {
                    return Ok::<_, Box<dyn std::error::Error + Send + Sync>>(());
                }
                work(number).await?;
            }
        })
    };
    for caller in (0..callers).map(call).collect::<Vec<_>>() {
        caller.await??;
    }
    let per = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    Ok(Round { cpu_us: per(processor_time().saturating_sub(cpu)), us: per(started.elapsed()) })
}

/// Measures one operation of three sides.
pub(super) async fn compare<A, B, C>(
    line: (&str, &str),
    effort: Effort,
    first: &AtomicU64,
    (bare, backend, served): (
        impl Fn(u64) -> A + Clone + Send + 'static,
        impl Fn(u64) -> B + Clone + Send + 'static,
        impl Fn(u64) -> C + Clone + Send + 'static,
    ),
) -> Outcome
where
    A: Future<Output = Outcome> + Send + 'static,
    B: Future<Output = Outcome> + Send + 'static,
    C: Future<Output = Outcome> + Send + 'static,
{
    let mut sides = Sides::default();
    // One round before those that count: statements are prepared, connections opened, pages read.
    for round in 0..=ROUNDS {
        let numbers = || first.fetch_add(effort.count, Ordering::Relaxed);
        let taken = [
            closed(effort, numbers(), bare.clone()).await?,
            closed(effort, numbers(), backend.clone()).await?,
            closed(effort, numbers(), served.clone()).await?,
        ];
        if round > 0 {
            let [bare, backend, served] = taken;
            sides.bare.push(bare);
            sides.backend.push(backend);
            sides.served.push(served);
        }
    }
    sides.print(line, effort.callers);
    Ok(())
}

/// What an open loop came to.
struct Open {
    limit: f64,
    rate: f64,
    reached: f64,
    /// The shortest first.
    latencies: Vec<Duration>,
}

/// Asks at a fixed rate, whether or not earlier operations are done, and prints how late the answers came: of several loops
/// the one with the middle latency.
pub(super) async fn open_loop<F>(
    line: (&str, &str),
    side: &str,
    divisor: u64,
    work: impl Fn(u64) -> F + Clone + Send + 'static,
) -> Outcome
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let mut loops = Vec::with_capacity(OPEN_ROUNDS);
    for _ in 0..OPEN_ROUNDS {
        loops.push(one_open_loop(OPEN_READS / divisor, work.clone()).await?);
    }
    loops.sort_by_key(|open| open.latency_at(0.99));
    let open = loops.swap_remove(OPEN_ROUNDS / 2);
    let at = |share| open.latency_at(share).as_secs_f64() * 1e3;
    let line = serde_json::json!({
        "engine": line.0, "operation": line.1, "open": side, "limit": open.limit, "rate": open.rate,
        "reached": open.reached, "count": open.latencies.len(),
        "p50_ms": at(0.5), "p99_ms": at(0.99), "most_ms": at(1.0),
    });
    println!("{line}");
    Ok(())
}

/// Finds the rate that callers who wait for their answers reach, and asks at a share of it.
async fn one_open_loop<F>(
    count: u64,
    work: impl Fn(u64) -> F + Clone + Send + 'static,
) -> Outcome<Open>
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let crowd = Effort { callers: CROWD, count };
    let limit = 1e6 / closed(crowd, 0, work.clone()).await?.us;
    let rate = limit * OPEN_SHARE;
    let due = move |number: u64| Duration::from_secs_f64(number as f64 / rate);
    let handle = Handle::current();
    let started = Instant::now();
    let pace = move || {
        let mut asked = Vec::with_capacity(count as usize);
        while (asked.len() as u64) < count {
            let number = asked.len() as u64;
            if due(number) > started.elapsed() {
                std::thread::park_timeout(PACE);
                continue;
            }
            let work = work.clone();
            asked.push(handle.spawn(async move {
                work(number).await?;
                // From the moment at which it was due, not from that at which it began.
                let late = started.elapsed().saturating_sub(due(number));
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(late)
            }));
        }
        asked
    };
    let mut latencies = Vec::with_capacity(count as usize);
    for asked in tokio::task::spawn_blocking(pace).await? {
        latencies.push(asked.await??);
    }
    let reached = count as f64 / started.elapsed().as_secs_f64();
    latencies.sort_unstable();
    Ok(Open { limit, rate, reached, latencies })
}

/// How long the one who asks at a fixed rate sleeps when nothing is due: some tens of requests then come together, as they do
/// from a network.
const PACE: Duration = Duration::from_micros(100);

/// Callers that find out how much the machine does.
const CROWD: usize = 256;

// === impl Open ===

impl Open {
    /// The latency that this share of the operations, from 0 to 1, stayed within.
    fn latency_at(&self, share: f64) -> Duration {
        let index = (self.latencies.len().saturating_sub(1) as f64 * share).round() as usize;
        self.latencies.get(index).copied().unwrap_or_default()
    }
}

// === impl Sides ===

impl Sides {
    fn print(&self, (engine, operation): (&str, &str), callers: usize) {
        let middle = |rounds: &[Round], figure: fn(&Round) -> f64| {
            let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
            figures.sort_by(f64::total_cmp);
            figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
        };
        let (cpu, us) = (|round: &Round| round.cpu_us, |round: &Round| round.us);
        let worst = |figure: fn(&Round) -> f64| {
            let pairs = self.bare.iter().zip(&self.served);
            let ratios = pairs.map(|(bare, served)| (figure(bare), figure(served)));
            ratios.max_by(|one, other| (one.1 / one.0).total_cmp(&(other.1 / other.0)))
        };
        let line = serde_json::json!({
            "engine": engine, "operation": operation, "callers": callers,
            "bare_cpu_us": middle(&self.bare, cpu), "bare_us": middle(&self.bare, us),
            "backend_cpu_us": middle(&self.backend, cpu), "backend_us": middle(&self.backend, us),
            "served_cpu_us": middle(&self.served, cpu), "served_us": middle(&self.served, us),
            "worst_cpu_us": worst(cpu), "worst_us": worst(us),
        });
        println!("{line}");
    }
}

/// Processor time of this process, also of threads that ended.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
