//! Measures how documents may be stored in SQLite, and what the engine adds to it.
//!
//! `cargo run --release -p yunzhan-engine --example document_storage [DOCUMENTS]` prints the tables of
//! `docs/decisions/0006-document-storage.md` and the figures of `0007-sql-engine.md`; at least 20,000 documents, 20 for
//! each of 1,000 owners. Figures are processor time of the whole process per operation, which is steadier than elapsed
//! time on a shared machine; only figures of one run compare.
#![allow(clippy::print_stdout, reason = "a measurement prints")]

mod engine;
mod layouts;
mod sample;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;

use self::layouts::{LAYOUTS, Layout};
use self::sample::Sample;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// Documents in the collection when nothing else is said.
const DOCUMENTS: u64 = 100_000;
/// Documents in one transaction of the filling, as a busy group commit has them.
const BATCH: u64 = 500;
/// Operations of each kind that are measured.
const OPERATIONS: u64 = 20_000;

fn main() -> Outcome {
    let documents = std::env::args().nth(1).map_or(Ok(DOCUMENTS), |count| count.parse())?;
    println!("{documents} documents of {} bytes of BSON, 1,000 owners", Sample::of(0).bson().len());
    println!(
        "\n| layout | insert | fetch | fetch + parse | owner's top 20 | update | file MiB |\n\
         |---|---|---|---|---|---|---|"
    );
    let bson = per_operation(OPERATIONS, |number| {
        drop(black_box(Sample::of(number).bson()));
        Ok(())
    })?;
    let json = per_operation(OPERATIONS, |number| {
        drop(black_box(Sample::of(number).json()));
        Ok(())
    })?;
    println!("| (making the document: BSON, JSON) | {bson:.1}, {json:.1} | | | | | |");
    for layout in LAYOUTS {
        measure(layout, documents)?;
    }
    engine::measure()
}

fn measure(layout: &Layout, documents: u64) -> Outcome {
    let folder = TempDir::new()?;
    let path = folder.path().join("data.db");
    let connection = open(&path)?;
    connection.execute_batch(layout.pragmas)?;
    connection.execute_batch(layout.tables)?;
    let insert = per_operation(documents, |number| {
        if number % BATCH == 0 {
            connection.execute_batch(if number == 0 { "BEGIN" } else { "COMMIT; BEGIN" })?;
        }
        (layout.insert)(&connection, &Sample::of(number))
    })?;
    connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")?;
    let mib = fs::metadata(&path)?.len() as f64 / f64::from(1 << 20);
    let pick = |number| Sample::of(scatter(number) % documents);
    let fetch =
        per_operation(OPERATIONS, |number| (layout.fetch)(&connection, &pick(number)).map(drop))?;
    let parse = per_operation(OPERATIONS, |number| {
        (layout.parse)(&(layout.fetch)(&connection, &pick(number))?)
    })?;
    let top = per_operation(OPERATIONS, |number| (layout.top)(&connection, &pick(number)))?;
    let update = per_operation(OPERATIONS, |number| {
        if number % BATCH == 0 {
            connection.execute_batch(if number == 0 { "BEGIN" } else { "COMMIT; BEGIN" })?;
        }
        (layout.update)(&connection, &pick(number))
    })?;
    connection.execute_batch("COMMIT")?;
    println!(
        "| {} | {insert:.1} | {fetch:.1} | {parse:.1} | {top:.1} | {update:.1} | {mib:.0} |",
        layout.name
    );
    Ok(())
}

/// As the engine opens it.
fn open(path: &Path) -> Outcome<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -1024;",
    )?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Microseconds of processor time that one of `count` operations takes.
fn per_operation(count: u64, mut operation: impl FnMut(u64) -> Outcome) -> Outcome<f64> {
    let before = processor_time()?;
    for number in 0..count {
        operation(number)?;
    }
    Ok((processor_time()? - before).as_secs_f64() * 1e6 / count as f64)
}

/// Processor time of all living threads of this process.
fn processor_time() -> Outcome<Duration> {
    let mut nanos = 0;
    for thread in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += text.split(' ').next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// Elapsed and processor time of `work` in microseconds per operation.
fn both_times(count: u64, work: impl FnOnce() -> Outcome) -> Outcome<(f64, f64)> {
    let (before, started) = (processor_time()?, Instant::now());
    work()?;
    let per = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    Ok((per(started.elapsed()), per(processor_time()? - before)))
}

/// A bijection that takes neighbours apart (the multiplier is odd).
fn scatter(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}
