//! Our documents beside npm's `mingo`, which nobody here wrote: generated documents, and the same answers to the same
//! questions about them.
//!
//! `group.rs` makes questions and asks ours, `answers.rs` reads theirs, `compare.rs` says whether two answers are the same,
//! `known` lists where mingo does other than MongoDB, with what MongoDB does, and `question.rs` shows a question.
//!
//! `YUNZHAN_ORACLE_CASES` asks more questions and `YUNZHAN_ORACLE_SEED` other ones.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod answers;
mod compare;
mod group;
mod known;
mod question;

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;

use yunzhan_e2e::node::Packages;
use yunzhan_e2e::report;
use yunzhan_query::generate::{Dialect, Generator};

use self::answers::Answers;
use self::compare::Tally;
use self::group::Group;

/// Questions in an everyday run: a few seconds.
const CASES_DEFAULT: usize = 4000;
/// The same questions each day, so that a failure is somebody's change.
const SEED_DEFAULT: usize = 20_261_124;

#[tokio::test]
async fn mingo_answers_as_we_do() {
    let Some(packages) = Packages::install().await else { return };
    let cases = setting("YUNZHAN_ORACLE_CASES", CASES_DEFAULT);
    let seed = setting("YUNZHAN_ORACLE_SEED", SEED_DEFAULT);
    let groups = cases.div_ceil(Group::QUESTIONS);
    let folder = tempfile::tempdir().unwrap();
    let (questions, answers) = (folder.path().join("questions"), folder.path().join("answers"));

    write(&questions, groups, generator(seed));
    let paths = [&questions, &answers].map(|path| path.to_str().unwrap());
    let output = packages.drive(&["oracle.js", paths[0], paths[1]], &[]).await;
    assert_eq!(output.code, 0, "{}", output.stderr);

    let tally = compare(&answers, groups, generator(seed));
    report::figure(&format!("oracle, seed {seed}: {tally}"));
    assert!(tally.is_same(), "seed {seed}: {}", tally.differences());
    assert!(tally.is_telling(), "too few questions were answered by both: {tally}");
}

fn setting(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// The same groups again for the comparison, which is cheaper than to keep them.
fn generator(seed: usize) -> Generator {
    Generator::new(u64::try_from(seed).unwrap(), Dialect::WithoutExpressions)
}

fn write(path: &Path, groups: usize, mut generator: Generator) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    for _ in 0..groups {
        writeln!(file, "{}", Group::make(&mut generator).line()).unwrap();
    }
    file.flush().unwrap();
}

fn compare(path: &Path, groups: usize, mut generator: Generator) -> Tally {
    let mut tally = Tally::default();
    let mut lines = BufReader::new(File::open(path).unwrap()).lines();
    for _ in 0..groups {
        let group = Group::make(&mut generator);
        let theirs = Answers::read(&lines.next().expect("a line for each group").unwrap());
        compare::group(&group, &theirs, &mut tally);
    }
    assert!(lines.next().is_none(), "a line for each group");
    tally
}
