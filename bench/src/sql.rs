//! The SQL engine: what it adds to a bare driver, in process, and what a thousand environments cost a server.
//!
//! `overhead.rs` runs an example of our own crate that measures rusqlite and mysql_async beside our backends, and reads its
//! lines. `envs.rs` asks a server with a thousand environments.

mod envs;
mod overhead;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::Effort;
use super::table;
use super::tools;

/// What can be asked for alone.
const PARTS: [&str; 2] = ["overhead", "envs"];

/// Measures what is asked for, or everything, and prints the tables.
pub(crate) fn sql(root: &Path, effort: Effort, only: &[String]) -> Result<()> {
    for part in only {
        ensure!(PARTS.contains(&part.as_str()), "{part} is not one of {}", PARTS.join(", "));
    }
    let begun = Instant::now();
    let wants = |part: &str| only.is_empty() || only.iter().any(|wanted| wanted == part);
    let mut aims = String::new();
    if wants("overhead") {
        for (peer, sections) in overhead::measure(root, effort)? {
            print!("{}", table::print(peer, &sections));
            aims.push_str(&table::print_aims(&sections));
        }
    }
    if wants("envs") {
        let program = tools::build(root)?;
        let folder = tempfile::tempdir().context("cannot make a folder for the bench")?;
        let sections = envs::measure(&program, folder.path(), effort)?;
        print!("{}", table::print("–", &sections));
        aims.push_str(&table::print_aims(&sections));
    }
    println!("\n{}\nmeasured in {:.0} s", tools::versions(&[]), begun.elapsed().as_secs_f64());
    print!("{aims}");
    Ok(())
}
