//! Processor time of a request, of both servers in alternated rounds: what disturbs the machine disturbs both.

use std::time::Duration;

use anyhow::{Context, Result};

use super::load::{Done, Load};
use super::peer::{Question, Server};

/// Connections that ask: enough to keep two cores busy.
pub(super) const CONNECTIONS: usize = 16;
/// Requests before a server's first round.
const WARM_REQUESTS: usize = 500;

/// How much is asked.
#[derive(Clone, Copy)]
pub(super) struct Effort {
    /// Alternated rounds of which the median counts.
    pub(super) rounds: usize,
    /// Requests of one round.
    pub(super) requests: usize,
    /// Connections that ask at the same time.
    pub(super) connections: usize,
    /// Bound of one round. A slow server is sent fewer requests, and the figure is still one of requests that were
    /// answered.
    pub(super) time_max: Duration,
}

/// What one round said.
#[derive(Clone, Copy)]
pub(super) struct Round {
    /// Microseconds of processor time of one request.
    pub(super) cpu_us: f64,
    /// Requests answered in a second.
    pub(super) rate: f64,
    /// Latency of the middle request in milliseconds.
    pub(super) p50_ms: f64,
    /// Latency in milliseconds that 99 of 100 requests stayed within.
    pub(super) p99_ms: f64,
}

/// The middle of several rounds, by each figure.
pub(super) fn median(rounds: &[Round]) -> Round {
    let of = |figure: fn(&Round) -> f64| middle(rounds.iter().map(figure).collect());
    Round {
        cpu_us: of(|round| round.cpu_us),
        rate: of(|round| round.rate),
        p50_ms: of(|round| round.p50_ms),
        p99_ms: of(|round| round.p99_ms),
    }
}

/// The middle of several figures; nothing of none is not asked for.
pub(super) fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Asks each server in turn, round by round; one median for each.
pub(super) fn alternate(servers: &[(&Server, &Question)], effort: Effort) -> Result<Vec<Round>> {
    for (server, question) in servers {
        run(server, question, Effort { requests: WARM_REQUESTS.min(effort.requests), ..effort })?;
    }
    let mut taken = vec![Vec::new(); servers.len()];
    for _ in 0..effort.rounds {
        for ((server, question), taken) in servers.iter().zip(&mut taken) {
            taken.push(round(server, question, effort)?);
        }
    }
    Ok(taken.iter().map(|rounds| median(rounds)).collect())
}

fn round(server: &Server, question: &Question, effort: Effort) -> Result<Round> {
    let before = server.cpu()?;
    let done = run(server, question, effort)?;
    let cpu = server.cpu()?.saturating_sub(before);
    Ok(Round {
        cpu_us: cpu.as_secs_f64() * 1e6 / done.requests as f64,
        rate: done.requests as f64 / done.elapsed.as_secs_f64(),
        p50_ms: done.latency(0.5).as_secs_f64() * 1e3,
        p99_ms: done.latency(0.99).as_secs_f64() * 1e3,
    })
}

fn run(server: &Server, question: &Question, effort: Effort) -> Result<Done> {
    let Effort { connections, requests, time_max, .. } = effort;
    let address = server.plain;
    let load = Load { address, pool: &question.pool, connections, requests, time_max };
    load.run().with_context(|| format!("asking: {}", question.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_by_figure() {
        let round = |cpu_us, rate| Round { cpu_us, rate, p50_ms: cpu_us, p99_ms: rate };
        let middle = median(&[round(3.0, 10.0), round(1.0, 30.0), round(2.0, 20.0)]);
        assert_eq!((middle.cpu_us, middle.rate), (2.0, 20.0));
    }
}
