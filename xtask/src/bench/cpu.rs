//! Processor time of a request, of both servers in alternated rounds: what disturbs the machine disturbs both.

use std::time::Duration;

use anyhow::{Context, Result};

use super::load::Load;
use super::peer::{Question, Server};

/// Connections that ask: enough to keep two cores busy.
const CONNECTIONS: usize = 16;
/// Bound of one run. A slow machine sends fewer requests, and the figure is still one of requests that were answered.
const TIME_MAX: Duration = Duration::from_secs(6);
/// Requests before a server's first round.
const WARM_REQUESTS: usize = 500;

/// What one round said.
#[derive(Clone, Copy)]
pub(super) struct Round {
    /// Microseconds of processor time of one request.
    pub(super) cpu_us: f64,
    /// Requests answered in a second.
    pub(super) rate: f64,
}

/// The middle of several rounds, by each figure.
pub(super) fn median(rounds: &[Round]) -> Round {
    let of = |figure: fn(&Round) -> f64| middle(rounds.iter().map(figure).collect());
    Round { cpu_us: of(|round| round.cpu_us), rate: of(|round| round.rate) }
}

/// The middle of several figures; nothing of none is not asked for.
pub(super) fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Asks each server in turn, round by round; one median for each.
pub(super) fn alternate(
    servers: &[(&Server, &Question)],
    rounds: usize,
    requests: usize,
) -> Result<Vec<Round>> {
    for (server, question) in servers {
        run(server, question, WARM_REQUESTS)?;
    }
    let mut taken = vec![Vec::new(); servers.len()];
    for _ in 0..rounds {
        for ((server, question), taken) in servers.iter().zip(&mut taken) {
            taken.push(round(server, question, requests)?);
        }
    }
    Ok(taken.iter().map(|rounds| median(rounds)).collect())
}

fn round(server: &Server, question: &Question, requests: usize) -> Result<Round> {
    let before = server.process.cpu()?;
    let (done, elapsed) = run(server, question, requests)?;
    let cpu = server.process.cpu()?.saturating_sub(before);
    Ok(Round {
        cpu_us: cpu.as_secs_f64() * 1e6 / done as f64,
        rate: done as f64 / elapsed.as_secs_f64(),
    })
}

fn run(server: &Server, question: &Question, requests: usize) -> Result<(usize, Duration)> {
    let load = Load {
        address: server.plain,
        request: &question.request,
        connections: CONNECTIONS,
        requests,
        time_max: TIME_MAX,
    };
    let done = load.run().with_context(|| format!("asking: {}", question.name))?;
    Ok((done.requests, done.elapsed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_by_figure() {
        let round = |cpu_us, rate| Round { cpu_us, rate };
        let middle = median(&[round(3.0, 10.0), round(1.0, 30.0), round(2.0, 20.0)]);
        assert_eq!((middle.cpu_us, middle.rate), (2.0, 20.0));
    }
}
