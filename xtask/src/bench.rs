//! Measurements beside a peer, in one run: ratios of one table hold on a busy machine, absolute values do not.
//!
//! Read [`gateway`] first: it lists what is measured. `nginx.rs` and `yunzhan.rs` start the servers and say what they can
//! be asked; `callgrind.rs`, `cpu.rs` and `idle.rs` each take one kind of figure; `table.rs` prints. [`documents()`] does the
//! same with documents, [`waf()`] with the rules of the web application firewall.

mod callgrind;
mod cpu;
mod documents;
mod idle;
mod load;
mod nginx;
mod peer;
pub(crate) mod process;
mod table;
pub(crate) mod tools;
mod waf;
mod yunzhan;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use callgrind::Counted;
pub(crate) use documents::documents;
use idle::Transport;
use nginx::Nginx;
use peer::{Peer, Running};
use table::{Aim, Row, Section};
use tools::progress;
pub(crate) use waf::waf;
use yunzhan::Yunzhan;

/// How long the bench may take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// What counts: minutes on two busy cores, once everything is built.
    Full,
    /// About a minute: whether it runs, and roughly what it says.
    Quick,
}

/// What an effort means in numbers.
struct Plan {
    /// Alternated rounds of which the median counts.
    rounds: usize,
    /// Requests of one round.
    requests: usize,
    /// Requests that callgrind counts; it is exact, so that few suffice.
    counted: usize,
    /// Idle connections held at once: below the usual 1,024 files of a process.
    idle: usize,
    /// Starts of which the median counts.
    starts: usize,
}

/// Bound of one round of the gateway's bench.
const ROUND_TIME_MAX: Duration = Duration::from_secs(6);

const FULL: Plan = Plan { rounds: 5, requests: 20_000, counted: 2_000, idle: 950, starts: 5 };
const QUICK: Plan = Plan { rounds: 1, requests: 4_000, counted: 400, idle: 200, starts: 3 };

/// What the acceptance of the gateway asks for.
const PROXIED_TIMES: f64 = 2.2;
const BUILT_IN_TIMES: f64 = 1.6;
const IDLE_KIB: f64 = 16.0;
const REST_MIB: f64 = 64.0;
const READY_MS: f64 = 300.0;

/// Measures the server beside Debian's nginx and prints the table.
pub(crate) fn gateway(root: &Path, effort: Effort) -> Result<()> {
    let plan = if effort == Effort::Full { &FULL } else { &QUICK };
    tools::require(tools::GATEWAY)?;
    let program = tools::build(root)?;
    let begun = Instant::now();
    let folder = tempfile::tempdir().context("cannot make a folder for the bench")?;
    let backend = nginx::backend(&folder.path().join("backend"))?;
    let nginx = Nginx::prepare(&folder.path().join("nginx"), backend.address)?;
    let yunzhan =
        Yunzhan::prepare(&folder.path().join("yunzhan"), &program, backend.address, &nginx)?;

    let starts = starts(&yunzhan, plan)?;
    let alive = alive(&nginx, &yunzhan, plan)?;
    let (instructions, shares) = instructions(&nginx, &yunzhan, folder.path(), plan)?;
    let sections: Vec<Section> = [instructions].into_iter().chain(alive).chain([starts]).collect();
    print!("{}{}", table::print("nginx", &sections), table::print_shares(&shares));
    println!(
        "\n{}\nmeasured in {:.0} s",
        tools::versions(tools::GATEWAY),
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}

/// User instructions of each question, and where ours go.
fn instructions(
    nginx: &Nginx,
    yunzhan: &Yunzhan,
    folder: &Path,
    plan: &Plan,
) -> Result<(Section, Vec<Counted>)> {
    progress("instructions of nginx");
    let theirs = callgrind::count(nginx, folder, plan.counted)?;
    progress("instructions of yunzhan");
    let ours = callgrind::count(yunzhan, folder, plan.counted)?;
    let row = |counted: &Counted| {
        let peer = theirs.iter().find(|their| their.name == counted.name);
        let peer = peer.map(|their| their.instructions / 1e3);
        Row {
            name: counted.name.to_owned(),
            peer,
            ours: counted.instructions / 1e3,
            aim: aim(counted.name),
        }
    };
    let rows = ours.iter().map(row).collect();
    Ok((Section { title: "user instructions of a request, thousands", rows }, ours))
}

/// What we aim at where both servers answer.
fn aim(question: &str) -> Option<Aim> {
    match question {
        "proxied" => Some(Aim::Times(PROXIED_TIMES)),
        "built-in answer" => Some(Aim::Times(BUILT_IN_TIMES)),
        _ => None,
    }
}

/// What is measured while both servers run: processor time, rates, memory.
fn alive(nginx: &Nginx, yunzhan: &Yunzhan, plan: &Plan) -> Result<Vec<Section>> {
    let (peer, ours) = (Running::start(nginx)?, Running::start(yunzhan)?);
    let [cpu, rate] = processor(&peer, &ours, plan)?;
    peer.server.process.stop()?;
    ours.server.process.stop()?;
    Ok(vec![cpu, rate, idle(nginx, yunzhan, plan)?])
}

/// Processor time of each question in alternated rounds, and how many were answered in a second.
fn processor(peer: &Running, ours: &Running, plan: &Plan) -> Result<[Section; 2]> {
    let mut cpu = Section { title: "CPU of a request, µs", rows: Vec::new() };
    let mut rate = Section { title: "requests a second, 16 connections", rows: Vec::new() };
    let effort = cpu::Effort {
        rounds: plan.rounds,
        requests: plan.requests,
        connections: cpu::CONNECTIONS,
        time_max: ROUND_TIME_MAX,
    };
    for question in &ours.questions {
        progress(&format!("CPU: {}", question.name));
        let theirs = peer.question(question.name).map(|theirs| (&peer.server, theirs));
        let servers: Vec<_> = [(&ours.server, question)].into_iter().chain(theirs).collect();
        let medians = cpu::alternate(&servers, effort)?;
        let own = medians.first().context("our server was asked")?;
        let theirs = medians.get(1);
        let row = |ours, peer| Row { name: question.name.to_owned(), peer, ours, aim: None };
        cpu.rows.push(row(own.cpu_us, theirs.map(|round| round.cpu_us)));
        rate.rows.push(row(own.rate, theirs.map(|round| round.rate)));
    }
    Ok([cpu, rate])
}

/// Memory of an idle connection. Each figure has a server of its own: what one kind of connection left behind in the
/// allocator would be used by the next.
fn idle(nginx: &Nginx, yunzhan: &Yunzhan, plan: &Plan) -> Result<Section> {
    progress("idle connections");
    let kib = |peer: &dyn Peer, transport: &Transport<'_>| {
        let running = Running::start(peer)?;
        let question = running.question("built-in answer").context("nothing answers by itself")?;
        let bytes = idle::bytes_each(&running.server, question, transport, plan.idle)?;
        running.server.process.stop()?;
        anyhow::Ok(bytes / 1024.0)
    };
    let mut rows = Vec::new();
    for (name, transport) in
        [("plain", Transport::Plain), ("TLS", Transport::Tls(&nginx.certificate))]
    {
        let (theirs, own) = (kib(nginx, &transport)?, kib(yunzhan, &transport)?);
        rows.push(Row::beside(name, theirs, own, Some(Aim::Most(IDLE_KIB))));
    }
    Ok(Section { title: "memory of an idle connection, KiB", rows })
}

/// Time to ready and memory at rest: of a first start, and of later ones.
fn starts(yunzhan: &Yunzhan, plan: &Plan) -> Result<Section> {
    progress("starts");
    let first = start_ms(yunzhan)?.0;
    let again: Vec<(f64, f64)> =
        (0..plan.starts).map(|_| start_ms(yunzhan)).collect::<Result<_>>()?;
    let ready = cpu::middle(again.iter().map(|(ms, _)| *ms).collect());
    let rest = cpu::middle(again.iter().map(|(_, mib)| *mib).collect());
    let rows = vec![
        Row::alone("first start, ms to ready", first, None),
        Row::alone("later start, ms to ready", ready, Some(Aim::Most(READY_MS))),
        Row::alone("resident memory at rest, MiB", rest, Some(Aim::Most(REST_MIB))),
    ];
    Ok(Section { title: "start and rest", rows })
}

/// How long a server rests before its memory is read.
const REST: Duration = Duration::from_millis(500);

/// Milliseconds until ready, and mebibytes once it rests.
fn start_ms(peer: &dyn Peer) -> Result<(f64, f64)> {
    let begun = Instant::now();
    let server = peer.start(&[])?;
    let ready_ms = begun.elapsed().as_secs_f64() * 1e3;
    process::pause(REST);
    let rest_mib = server.process.resident_bytes()? as f64 / f64::from(1 << 20);
    server.process.stop()?;
    Ok((ready_ms, rest_mib))
}
