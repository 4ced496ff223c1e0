//! Documents through HTTP: our server beside parse-server on PostgreSQL, in one run on the same cores.
//!
//! `sample.rs` is what both store; `ours.rs` and `parse.rs` load it and say what each is asked; `postgres.rs` is the
//! peer's database; `offer.rs` finds out what a server offers at all; `overhead.rs` asks our own service in process
//! beside bare SQLite; `hostile.rs` asks while others attack; `report.rs` prints.

mod hostile;
mod offer;
mod ours;
mod overhead;
mod parse;
mod postgres;
mod report;
mod sample;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::table::{self, Aim, Row, Section};
use super::tools::{self, progress};
use super::{Effort, REST_MIB, cpu};
use offer::Loaded;
use ours::Ours;
use parse::Parse;
use report::{Figures, Line};

/// What an effort means in numbers.
pub(super) struct Plan {
    /// Documents of a kilobyte, which are read, queried and summed up.
    orders: u64,
    /// Small documents with a point each.
    places: u64,
    /// Alternated rounds of which the median counts.
    rounds: usize,
    /// Requests of one round.
    requests: usize,
    /// Bound of one round.
    time_max: Duration,
}

const FULL: Plan = Plan {
    orders: 100_000,
    places: 1_000_000,
    rounds: 3,
    requests: 40_000,
    time_max: Duration::from_secs(6),
};
const QUICK: Plan = Plan {
    orders: 10_000,
    places: 20_000,
    rounds: 1,
    requests: 10_000,
    time_max: Duration::from_secs(3),
};

/// Something that both servers are asked.
pub(super) struct Operation {
    name: &'static str,
    /// Connections that ask at the same time. Few where one answer keeps a core busy for long: the latency would be that
    /// of the queue.
    connections: usize,
}

const CREATE: Operation = Operation { name: "create, 1 KB", connections: cpu::CONNECTIONS };
const READ: Operation = Operation { name: "read by id", connections: cpu::CONNECTIONS };
const QUERY: Operation =
    Operation { name: "owner + status, newest 20", connections: cpu::CONNECTIONS };
const UPDATE: Operation = Operation { name: "update by id", connections: cpu::CONNECTIONS };
const NEAREST: Operation = Operation { name: "nearest 20", connections: 2 };
const SUM: Operation = Operation { name: "sum and count by status", connections: 2 };

/// In the order in which they are measured; what makes documents comes last, so that the others see what was loaded.
const OPERATIONS: &[Operation] = &[READ, QUERY, NEAREST, SUM, UPDATE, CREATE];

/// How many times less processor time than the peer we aim at.
const PARSE_TIMES: f64 = 5.0;
/// What we aim at for the nearest 20, in microseconds of processor time.
const NEAREST_US: f64 = 1000.0;

/// Measures documents beside parse-server and prints the tables.
pub(crate) fn documents(root: &Path, effort: Effort) -> Result<()> {
    let plan = if effort == Effort::Full { &FULL } else { &QUICK };
    let program = tools::build(root)?;
    let overhead = overhead::measure(root)?;
    let begun = Instant::now();
    let folder = tempfile::tempdir().context("cannot make a folder for the bench")?;
    let target = program.ancestors().nth(2).context("the program lies in a target folder")?;

    let ours = Ours::prepare(&folder.path().join("yunzhan"), &program)?;
    let own = ours.load(plan)?;
    let (loaded_mib, files_mib) = (rested_mib(&own)?, ours.files_mib()?);
    // The peer is optional: without it, our figures stand alone and the report says why.
    let peer = Parse::load(&target.join("bench"), &folder.path().join("parse"), plan);
    let (peer, absent) = match peer {
        Ok(peer) => (Some(peer), None),
        Err(error) => (None, Some(format!("parse-server is left out: {error:#}"))),
    };
    let theirs = peer.as_ref().map(|peer| &peer.loaded);
    let lines = OPERATIONS.iter().map(|operation| line(operation, theirs, &own, plan));
    let lines: Vec<Line> = lines.collect::<Result<_>>()?;
    let hostile = hostile::measure(&own, plan)?;
    let worked_mib = rested_mib(&own)?;

    print!("\n{} orders of 1 KB, {} places with a point\n", plan.orders, plan.places);
    print!("{}", report::print(&lines));
    let notes = [&own].into_iter().chain(theirs).flat_map(|loaded| &loaded.notes).chain(&absent);
    print!("{}", report::print_notes(&lines, notes));
    if let Some(peer) = peer {
        peer.end()?;
    }
    own.server.process.stop()?;
    let rows = vec![
        Row::alone("resident memory after loading, MiB", loaded_mib, None),
        Row::alone("resident memory after all this, MiB", worked_mib, None),
        Row::alone("the same, started again, MiB", started_mib(&ours)?, Some(Aim::Most(REST_MIB))),
        Row::alone("database files after loading, MiB", files_mib, None),
    ];
    let rest = Section { title: "with everything loaded, at rest", rows };
    let (hostile, rest) = ([hostile], [rest]);
    print!("{}", table::print("quiet", &hostile));
    print!("{}", table::print("–", &rest));
    print!("{}", table::print("rusqlite", &overhead));
    let versions = tools::versions(tools::DOCUMENTS);
    println!("\n{versions}\nmeasured in {:.0} s", begun.elapsed().as_secs_f64());
    print!(
        "{}{}",
        report::print_aims(&lines),
        table::print_aims(hostile.iter().chain(&rest).chain(&overhead))
    );
    Ok(())
}

/// Measures one operation on each side that offers it.
fn line(operation: &Operation, theirs: Option<&Loaded>, own: &Loaded, plan: &Plan) -> Result<Line> {
    progress(operation.name);
    let both = [theirs, Some(own)];
    let offers = both.map(|loaded| loaded.and_then(|loaded| loaded.offer(operation.name)));
    let running = both.into_iter().flatten();
    let servers: Vec<_> = running.filter_map(|loaded| loaded.question(operation.name)).collect();
    let effort = cpu::Effort {
        rounds: plan.rounds,
        requests: plan.requests,
        connections: operation.connections,
        time_max: plan.time_max,
    };
    let mut medians = cpu::alternate(&servers, effort)?.into_iter();
    let mut figures = offers.map(|offer| match offer {
        None => Figures::Absent,
        Some(offer) => match offer.question() {
            Some(_) => medians.next().map_or(Figures::Absent, Figures::Measured),
            None => Figures::NotOffered(offer.refusal().to_owned()),
        },
    });
    let [theirs, own] = &mut figures;
    Ok(Line {
        name: operation.name,
        aim_us: (operation.name == NEAREST.name).then_some(NEAREST_US),
        differs: offer::differ(&offers),
        peer: std::mem::replace(theirs, Figures::Absent),
        ours: std::mem::replace(own, Figures::Absent),
    })
}

/// How long a server rests before its memory is read.
const REST: Duration = Duration::from_secs(2);

fn rested_mib(loaded: &Loaded) -> Result<f64> {
    xtask::process::pause(REST);
    Ok(loaded.server.process.resident_bytes()? as f64 / f64::from(1 << 20))
}

/// Our memory after a start on everything that is there.
fn started_mib(ours: &Ours) -> Result<f64> {
    let started = ours.start_again()?;
    xtask::process::pause(REST);
    let bytes = started.process.resident_bytes()?;
    started.process.stop()?;
    Ok(bytes as f64 / f64::from(1 << 20))
}
