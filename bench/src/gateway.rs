//! The gateway beside nginx: what a request costs without rules and with those that ship, what idling costs, and what
//! sockets and uploads do.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use xtask::process;

use super::callgrind::{self, Counted};
use super::idle::{self, Transport};
use super::nginx::{self, Nginx};
use super::peer::{Peer, Running};
use super::streams::Streams;
use super::table::{self, Aim, Row, Section};
use super::tools::{self, progress};
use super::yunzhan::{Rules, Yunzhan};
use super::{Effort, REST_MIB, cpu, sockets, uploads};

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

/// Bound of one round.
const ROUND_TIME_MAX: Duration = Duration::from_secs(6);

const FULL: Plan = Plan { rounds: 5, requests: 20_000, counted: 2_000, idle: 950, starts: 5 };
const QUICK: Plan = Plan { rounds: 1, requests: 4_000, counted: 400, idle: 200, starts: 3 };

/// Connections that ask at the same time: one client, a busy hour, a crowd.
const CROWDS: [usize; 3] = [1, 32, 256];

/// What the acceptance of the gateway asks for.
const PROXIED_TIMES: f64 = 2.2;
const BUILT_IN_TIMES: f64 = 1.6;
const IDLE_KIB: f64 = 16.0;
const READY_MS: f64 = 300.0;

/// The servers. Ours is there twice: nginx has no rules, so the aims are beside ours without them.
struct Bench<'a> {
    nginx: Nginx,
    plain: Yunzhan,
    guarded: Yunzhan,
    folder: &'a Path,
    plan: &'a Plan,
}

/// What can be asked for alone, in the order of the table.
const PARTS: [&str; 6] = ["instructions", "load", "idle", "sockets", "uploads", "starts"];

/// Measures the server beside Debian's nginx and prints the table: these parts of it, or all where none is named.
pub(super) fn gateway(root: &Path, effort: Effort, only: &[String]) -> Result<()> {
    for part in only {
        ensure!(PARTS.contains(&part.as_str()), "{part} is none of {}", PARTS.join(", "));
    }
    let wants = |part: &str| only.is_empty() || only.iter().any(|wanted| wanted == part);
    tools::require(tools::GATEWAY)?;
    let program = tools::build(root)?;
    let begun = Instant::now();
    let folder = tempfile::tempdir().context("cannot make a folder for the bench")?;
    let folder = folder.path();
    let backend = nginx::backend(&folder.join("backend"))?;
    let nginx = Nginx::prepare(&folder.join("nginx"), backend.address)?;
    let prepare = |rules: Rules| {
        Yunzhan::prepare(&folder.join(rules.name()), &program, backend.address, &nginx, rules)
    };
    let (plain, guarded) = (prepare(Rules::Off)?, prepare(Rules::Shipped)?);
    let plan = if effort == Effort::Full { &FULL } else { &QUICK };
    let bench = Bench { nginx, plain, guarded, folder, plan };

    let starts = wants("starts").then(|| bench.starts()).transpose()?;
    let alive = wants("load").then(|| bench.alive()).transpose()?;
    let idle = wants("idle").then(|| bench.idle()).transpose()?;
    let streams = (wants("sockets") || wants("uploads"))
        .then(|| Streams::prepare(root, &folder.join("streams"), &program))
        .transpose()?;
    let measured = |part: &str| streams.as_ref().filter(|_| wants(part));
    let uploads = measured("uploads").map(|on| uploads::measure(on, effort)).transpose()?;
    let sockets = measured("sockets").map(|on| sockets::measure(on, effort)).transpose()?;
    let counted = wants("instructions").then(|| bench.instructions()).transpose()?;
    let (instructions, shares) = counted.unzip();
    let mut sections: Vec<Section> = instructions.into_iter().collect();
    sections.extend(alive.into_iter().flatten().chain(idle));
    sections.extend(sockets.into_iter().flatten().chain(uploads.into_iter().flatten()));
    sections.extend(starts);
    let shares = shares.unwrap_or_default();
    print!("{}{}", table::print("nginx", &sections), table::print_shares(&shares));
    println!(
        "\n{}\nmeasured in {:.0} s",
        tools::versions(tools::GATEWAY),
        begun.elapsed().as_secs_f64()
    );
    print!("{}", table::print_aims(&sections));
    Ok(())
}

/// What we aim at where both servers answer.
fn aim(question: &str) -> Option<Aim> {
    match question {
        "proxied" => Some(Aim::Times(PROXIED_TIMES)),
        "built-in answer" => Some(Aim::Times(BUILT_IN_TIMES)),
        _ => None,
    }
}

/// Whether a question has a row with rules: the same answer with other headers of the peer says nothing new of ours.
fn has_rules_row(question: &str) -> bool {
    !question.contains("same headers")
}

/// The row of the server with rules, beside the peer's that has none.
fn with_rules(name: &str, peer: Option<f64>, ours: f64) -> Row {
    Row { name: format!("{name}, rules on"), peer, ours, aim: None }
}

impl Bench<'_> {
    /// User instructions of each question, and where ours go.
    fn instructions(&self) -> Result<(Section, Vec<Counted>)> {
        let count = |peer: &dyn Peer| {
            progress(&format!("instructions of {}", peer.name()));
            callgrind::count(peer, self.folder, self.plan.counted)
        };
        let (theirs, ours) = (count(&self.nginx)?, count(&self.plain)?);
        let guarded = count(&self.guarded)?;
        let mut rows = Vec::new();
        for (own, guarded) in ours.iter().zip(&guarded) {
            let peer = theirs.iter().find(|their| their.name == own.name);
            let peer = peer.map(|their| their.instructions / 1e3);
            let (name, instructions) = (own.name.to_owned(), own.instructions / 1e3);
            rows.push(Row { name, peer, ours: instructions, aim: aim(own.name) });
            if has_rules_row(own.name) {
                rows.push(with_rules(own.name, peer, guarded.instructions / 1e3));
            }
        }
        Ok((Section { title: "user instructions of a request, thousands", rows }, ours))
    }

    /// What is measured while all servers run: processor time, rates, latencies.
    fn alive(&self) -> Result<Vec<Section>> {
        let start = |peer: &dyn Peer| Running::start(peer);
        let (peer, ours) = (start(&self.nginx)?, start(&self.plain)?);
        let guarded = start(&self.guarded)?;
        let processor = self.processor(&peer, &ours, &guarded)?;
        let crowds = self.crowds(&peer, &guarded)?;
        for running in [peer, ours, guarded] {
            running.server.process.stop()?;
        }
        Ok(processor.into_iter().chain(crowds).collect())
    }

    fn effort(&self, connections: usize) -> cpu::Effort {
        let Plan { rounds, requests, .. } = *self.plan;
        cpu::Effort { rounds, requests, connections, time_max: ROUND_TIME_MAX }
    }

    /// Processor time of each question in alternated rounds, and how many were answered in a second.
    fn processor(&self, peer: &Running, ours: &Running, guarded: &Running) -> Result<[Section; 2]> {
        let mut cpu = Section { title: "CPU of a request, µs", rows: Vec::new() };
        let mut rate = Section { title: "requests a second, 16 connections", rows: Vec::new() };
        for question in &ours.questions {
            let name = question.name;
            progress(&format!("CPU: {name}"));
            let servers: Vec<_> = [ours, guarded, peer]
                .into_iter()
                .filter_map(|running| Some((&running.server, running.question(name)?)))
                .collect();
            let medians = cpu::alternate(&servers, self.effort(cpu::CONNECTIONS))?;
            let [own, guarded, theirs @ ..] = medians.as_slice() else {
                anyhow::bail!("both of our servers are asked: {name}");
            };
            let theirs = theirs.first();
            let row = |ours, peer| Row { name: name.to_owned(), peer, ours, aim: None };
            let (us, each) = (theirs.map(|it| it.cpu_us), theirs.map(|it| it.rate));
            cpu.rows.push(row(own.cpu_us, us));
            rate.rows.push(row(own.rate, each));
            if has_rules_row(name) {
                cpu.rows.push(with_rules(name, us, guarded.cpu_us));
                rate.rows.push(with_rules(name, each, guarded.rate));
            }
        }
        Ok([cpu, rate])
    }

    /// What a proxied request costs in crowds of different sizes, with rules on.
    fn crowds(&self, peer: &Running, guarded: &Running) -> Result<[Section; 3]> {
        let section = |title| Section { title, rows: Vec::new() };
        let mut cpu = section("CPU of a proxied request by connections, µs, rules on");
        let mut rate = section("proxied requests a second by connections, rules on");
        let mut p99 = section("p99 of a proxied request by connections, ms, rules on");
        for connections in CROWDS {
            progress(&format!("proxied, {connections} at once"));
            let servers: Vec<_> = [guarded, peer]
                .into_iter()
                .filter_map(|running| Some((&running.server, running.question("proxied")?)))
                .collect();
            let medians = cpu::alternate(&servers, self.effort(connections))?;
            let [own, theirs] = medians.as_slice() else {
                anyhow::bail!("both servers proxy");
            };
            let name = format!("{connections} at once");
            cpu.rows.push(Row::beside(&name, theirs.cpu_us, own.cpu_us, None));
            rate.rows.push(Row::beside(&name, theirs.rate, own.rate, None));
            p99.rows.push(Row::beside(&name, theirs.p99_ms, own.p99_ms, None));
        }
        Ok([cpu, rate, p99])
    }

    /// Memory of an idle connection. Each figure has a server of its own: what one kind of connection left behind in the
    /// allocator would be used by the next.
    fn idle(&self) -> Result<Section> {
        progress("idle connections");
        let kib = |peer: &dyn Peer, transport: &Transport<'_>| {
            let running = Running::start(peer)?;
            let question =
                running.question("built-in answer").context("nothing answers by itself")?;
            let bytes = idle::bytes_each(&running.server, question, transport, self.plan.idle)?;
            running.server.process.stop()?;
            anyhow::Ok(bytes / 1024.0)
        };
        let mut rows = Vec::new();
        for (name, transport) in
            [("plain", Transport::Plain), ("TLS", Transport::Tls(&self.nginx.certificate))]
        {
            let theirs = kib(&self.nginx, &transport)?;
            let own = kib(&self.plain, &transport)?;
            rows.push(Row::beside(name, theirs, own, Some(Aim::Most(IDLE_KIB))));
            rows.push(with_rules(name, Some(theirs), kib(&self.guarded, &transport)?));
        }
        Ok(Section { title: "memory of an idle connection, KiB", rows })
    }

    /// Time to ready and memory at rest: of a first start, and of later ones.
    fn starts(&self) -> Result<Section> {
        progress("starts");
        let again = |yunzhan: &Yunzhan| {
            let starts = (0..self.plan.starts).map(|_| start_ms(yunzhan));
            let starts: Vec<(f64, f64)> = starts.collect::<Result<_>>()?;
            let ready_ms = cpu::middle(starts.iter().map(|(ms, _)| *ms).collect());
            let rest_mib = cpu::middle(starts.iter().map(|(_, mib)| *mib).collect());
            anyhow::Ok((ready_ms, rest_mib))
        };
        let first = start_ms(&self.plain)?.0;
        let (ready, rest) = again(&self.plain)?;
        let first_guarded = start_ms(&self.guarded)?.0;
        let (ready_guarded, rest_guarded) = again(&self.guarded)?;
        let rows = vec![
            Row::alone(FIRST, first, None),
            with_rules(FIRST, None, first_guarded),
            Row::alone(LATER, ready, Some(Aim::Most(READY_MS))),
            with_rules(LATER, None, ready_guarded),
            Row::alone(RESIDENT, rest, Some(Aim::Most(REST_MIB))),
            with_rules(RESIDENT, None, rest_guarded),
        ];
        Ok(Section { title: "start and rest", rows })
    }
}

const FIRST: &str = "first start, ms to ready";
const LATER: &str = "later start, ms to ready";
const RESIDENT: &str = "resident memory at rest, MiB";

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
