//! The rules of the web application firewall in process: our engine beside Debian's libmodsecurity, which load the same
//! rules and inspect the same requests, in one run on the same cores.
//!
//! `requests.rs` is what both inspect, `program.rs` builds, starts and tells them; this file measures and prints.

mod program;
mod requests;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Effort;
use super::callgrind::{self, Counted, Dumps};
use super::cpu::middle;
use super::table::{self, Aim, Row, Section};
use super::tools::{self, progress};
use program::{Outcome, Program};
use requests::Request;

/// What an effort means in numbers.
struct Plan {
    /// Alternated rounds of which the median counts.
    rounds: usize,
    /// How long a program inspects in one round, more or less.
    round: Duration,
    /// Starts of which the median counts.
    starts: usize,
    /// Requests of ours that callgrind counts; it is exact, so that few suffice.
    counted_ours: usize,
    /// Requests of the peer that callgrind counts: it takes a second for some.
    counted_peer: usize,
}

const FULL: Plan = Plan {
    rounds: 5,
    round: Duration::from_millis(1000),
    starts: 5,
    counted_ours: 50,
    counted_peer: 3,
};
const QUICK: Plan = Plan {
    rounds: 1,
    round: Duration::from_millis(300),
    starts: 1,
    counted_ours: 10,
    counted_peer: 1,
};

/// Requests before any that is counted or timed: caches and memos are filled.
const WARM_REQUESTS: usize = 20;
/// The peer has no memo, and each takes long under callgrind.
const WARM_REQUESTS_PEER: usize = 1;

/// What the acceptance asks for, in times of the peer or by itself.
const CLEAN_TIMES: f64 = 0.1;
const ATTACK_TIMES: f64 = 0.125;
const LARGE_US: f64 = 20_000.0;
const LOAD_MS: f64 = 1000.0;
const LOADED_MIB: f64 = 40.0;

/// What both load before the rules' own settings: bodies are read, also JSON and XML, and what matches is refused.
const SETTINGS: &str = r#"
SecRuleEngine On
SecRequestBodyAccess On
SecRequestBodyLimit 13107200
SecResponseBodyAccess On
SecResponseBodyMimeType text/plain text/html text/xml application/json
SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\+|/)|text/)xml" "id:1,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "^application/(?:[a-z0-9.-]+\+)?json" "id:2,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
"#;

/// How suspicious the rules are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Paranoia {
    /// 1, as installed.
    Usual,
    /// 4.
    Highest,
}

/// What is there to run.
struct Bench<'a> {
    folder: &'a Path,
    ours: PathBuf,
    peer: PathBuf,
    /// The release of the rules.
    rules: PathBuf,
    /// The requests, each with its file.
    requests: Vec<(Request, PathBuf)>,
    plan: &'a Plan,
}

/// What was measured at one level of paranoia.
struct Measured {
    sections: Vec<Section>,
    shares: Vec<Counted>,
    outcomes: Vec<String>,
    peer_name: String,
}

/// Measures our engine beside libmodsecurity with the rules of this folder, and prints the table.
pub(crate) fn waf(root: &Path, effort: Effort, rules: &Path) -> Result<()> {
    tools::require(tools::WAF)?;
    let folder = tempfile::tempdir().context("cannot make a folder for the bench")?;
    let rules = rules.canonicalize().context("there is no such folder of rules")?;
    let bench = Bench {
        folder: folder.path(),
        ours: program::build_ours(root)?,
        peer: program::build_peer(folder.path())?,
        rules,
        requests: write_requests(folder.path())?,
        plan: if effort == Effort::Full { &FULL } else { &QUICK },
    };
    let begun = Instant::now();
    let usual = bench.measure(Paranoia::Usual)?;
    let highest = bench.measure(Paranoia::Highest)?;
    let sections: Vec<Section> = usual.sections.into_iter().chain(highest.sections).collect();
    print!("{}{}", table::print("libmodsec.", &sections), table::print_shares(&usual.shares));
    println!("\nwhat the rules said, at paranoia 1 and 4");
    for line in usual.outcomes.iter().chain(&highest.outcomes) {
        println!("  {line}");
    }
    println!(
        "\n{} · {}\nmeasured in {:.0} s",
        usual.peer_name,
        tools::versions(tools::WAF),
        begun.elapsed().as_secs_f64()
    );
    print!("{}", table::print_aims(&sections));
    Ok(())
}

fn write_requests(folder: &Path) -> Result<Vec<(Request, PathBuf)>> {
    let requests = requests::all().into_iter().enumerate();
    let write = |(at, request): (usize, Request)| {
        let file = folder.join(format!("request-{at}"));
        fs::write(&file, &request.bytes).context("cannot write a request")?;
        Ok((request, file))
    };
    requests.map(write).collect()
}

impl Bench<'_> {
    fn measure(&self, paranoia: Paranoia) -> Result<Measured> {
        let main = self.main_file(paranoia)?;
        let loads = match paranoia {
            Paranoia::Usual => Some(self.loads(&main)?),
            Paranoia::Highest => None,
        };
        let mut peer = Program::start(&[], &self.peer, &main)?;
        let mut ours = Program::start(&[], &self.ours, &main)?;
        let outcomes = self.outcomes(paranoia, &mut peer, &mut ours)?;
        let loaded = (peer.resident_mib()?, ours.resident_mib()?);
        let cpu = self.processor(paranoia, &mut peer, &mut ours)?;
        let after = (peer.resident_mib()?, ours.resident_mib()?);
        let peer_name = peer.name.clone();
        drop((peer, ours));
        let (instructions, shares) = self.instructions(paranoia, &main)?;
        let mut sections = vec![cpu, instructions];
        if let Some(mut section) = loads {
            let row = |name, (peer, ours)| Row::beside(name, peer, ours, None);
            section.rows.push(row("MiB after one request of each kind", loaded));
            section.rows.push(row("MiB after all of them", after));
            sections.push(section);
        }
        Ok(Measured { sections, shares, outcomes, peer_name })
    }

    /// Writes the file that both load.
    fn main_file(&self, paranoia: Paranoia) -> Result<PathBuf> {
        let level = match paranoia {
            Paranoia::Usual => 1,
            Paranoia::Highest => 4,
        };
        let rules = self.rules.display();
        let text = format!(
            "{SETTINGS}Include {rules}/crs-setup.conf.example\n\
             SecAction \"id:3,phase:1,pass,t:none,nolog,setvar:tx.blocking_paranoia_level={level}\"\n\
             Include {rules}/rules/*.conf\n"
        );
        let path = self.folder.join(format!("paranoia-{level}.conf"));
        fs::write(&path, text).context("cannot write the rules")?;
        Ok(path)
    }

    /// Time to load and memory once loaded, in alternated starts.
    fn loads(&self, main: &Path) -> Result<Section> {
        progress("loading");
        let mut taken = [(); 2].map(|()| (Vec::new(), Vec::new()));
        for _ in 0..self.plan.starts {
            for (program, (ms, mib)) in [&self.peer, &self.ours].into_iter().zip(&mut taken) {
                let begun = Instant::now();
                let started = Program::start(&[], program, main)?;
                ms.push(begun.elapsed().as_secs_f64() * 1e3);
                mib.push(started.resident_mib()?);
            }
        }
        let [peer, ours] = taken.map(|(ms, mib)| (middle(ms), middle(mib)));
        let rows = vec![
            Row::beside("ms to load", peer.0, ours.0, Some(Aim::Most(LOAD_MS))),
            Row::beside("MiB after loading", peer.1, ours.1, Some(Aim::Most(LOADED_MIB))),
        ];
        Ok(Section { title: "load and memory, paranoia 1", rows })
    }

    fn requests(&self, paranoia: Paranoia) -> impl Iterator<Item = (&'static str, &Path)> {
        let meant = self
            .requests
            .iter()
            .filter(move |(request, _)| paranoia == Paranoia::Usual || request.is_for_paranoia);
        meant.map(|(request, file)| (request.name, file.as_path()))
    }

    /// What each request came to, and where the engines differ.
    fn outcomes(
        &self,
        paranoia: Paranoia,
        peer: &mut Program,
        ours: &mut Program,
    ) -> Result<Vec<String>> {
        let outcome =
            |(name, file)| Ok(compare(name, &peer.inspect(file, 1)?, &ours.inspect(file, 1)?));
        self.requests(paranoia).map(outcome).collect()
    }

    /// Processor time of each request in alternated rounds.
    fn processor(
        &self,
        paranoia: Paranoia,
        peer: &mut Program,
        ours: &mut Program,
    ) -> Result<Section> {
        let mut rows = Vec::new();
        for (name, file) in self.requests(paranoia) {
            progress(&format!("CPU: {name}"));
            let counts = [self.fitting(peer, file)?, self.fitting(ours, file)?];
            let mut taken = [Vec::new(), Vec::new()];
            for _ in 0..self.plan.rounds {
                for ((program, count), taken) in
                    [&mut *peer, &mut *ours].into_iter().zip(counts).zip(&mut taken)
                {
                    taken.push(cpu_us(program, file, count)?);
                }
            }
            let [peer, ours] = taken.map(middle);
            rows.push(Row::beside(name, peer, ours, aim(paranoia, name)));
        }
        let title = match paranoia {
            Paranoia::Usual => "CPU of a request, µs, paranoia 1",
            Paranoia::Highest => "CPU of a request, µs, paranoia 4",
        };
        Ok(Section { title, rows })
    }

    /// How many requests fit into a round.
    fn fitting(&self, program: &mut Program, file: &Path) -> Result<usize> {
        cpu_us(program, file, 1)?;
        let us = cpu_us(program, file, 3)?;
        Ok(((self.plan.round.as_secs_f64() * 1e6 / us) as usize).max(1))
    }

    /// User instructions of each request, and where ours go.
    fn instructions(&self, paranoia: Paranoia, main: &Path) -> Result<(Section, Vec<Counted>)> {
        progress("instructions of libmodsecurity");
        let plan = self.plan;
        let peer = self.count(paranoia, main, &self.peer, WARM_REQUESTS_PEER, plan.counted_peer)?;
        progress("instructions of yunzhan");
        let ours = self.count(paranoia, main, &self.ours, WARM_REQUESTS, plan.counted_ours)?;
        let row = |(peer, ours): (&Counted, &Counted)| {
            let aim = aim(paranoia, ours.name).filter(|aim| matches!(aim, Aim::Times(_)));
            Row::beside(ours.name, peer.instructions / 1e3, ours.instructions / 1e3, aim)
        };
        let rows = peer.iter().zip(&ours).map(row).collect();
        let title = match paranoia {
            Paranoia::Usual => "user instructions of a request, thousands, paranoia 1",
            Paranoia::Highest => "user instructions of a request, thousands, paranoia 4",
        };
        Ok((Section { title, rows }, ours))
    }

    fn count(
        &self,
        paranoia: Paranoia,
        main: &Path,
        program: &Path,
        warm: usize,
        counted: usize,
    ) -> Result<Vec<Counted>> {
        let out = program.file_name().context("a program has a name")?;
        let out = self.folder.join(out).with_extension(match paranoia {
            Paranoia::Usual => "callgrind-1",
            Paranoia::Highest => "callgrind-4",
        });
        let mut program = Program::start(&callgrind::wrapper(&out), program, main)?;
        let mut dumps = Dumps::of(out, program.id());
        let count = |(name, file)| {
            program.inspect(file, warm)?;
            dumps.count(name, || program.inspect(file, counted).map(|_| counted))
        };
        self.requests(paranoia).map(count).collect()
    }
}

/// Microseconds of processor time of one of so many requests.
fn cpu_us(program: &mut Program, file: &Path, count: usize) -> Result<f64> {
    let before = program.cpu()?;
    program.inspect(file, count)?;
    let cpu = program.cpu()?.saturating_sub(before);
    Ok(cpu.as_secs_f64() * 1e6 / count as f64)
}

/// What we aim at. At the highest paranoia the ratio is told, no more.
fn aim(paranoia: Paranoia, request: &str) -> Option<Aim> {
    match request {
        _ if paranoia == Paranoia::Highest => None,
        requests::GET | requests::JSON => Some(Aim::Times(CLEAN_TIMES)),
        requests::ATTACK => Some(Aim::Times(ATTACK_TIMES)),
        requests::LARGE => Some(Aim::Most(LARGE_US)),
        _ => None,
    }
}

/// What both said of a request: the status, and the rules that matched.
fn compare(name: &str, peer: &Outcome, ours: &Outcome) -> String {
    let statuses = if peer.status == ours.status {
        format!("{} by both", ours.status)
    } else {
        format!("{} by libmodsecurity, {} by us", peer.status, ours.status)
    };
    let (both, own): (Vec<u64>, _) = ours.rules.iter().partition(|rule| peer.rules.contains(rule));
    let theirs = peer.rules.iter().copied().filter(|rule| !ours.rules.contains(rule)).collect();
    let parts = [("both", both), ("libmodsecurity only", theirs), ("us only", own)];
    let parts = parts.iter().filter(|(_, rules)| !rules.is_empty()).map(|(whose, rules)| {
        let rules: Vec<String> = rules.iter().map(u64::to_string).collect();
        format!("; by {whose}: {}", rules.join(" "))
    });
    format!("{name}: {statuses}{}", parts.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_compared() {
        let outcome = |status, rules: &[u64]| Outcome { status, rules: rules.to_vec() };
        for (peer, ours, expected) in [
            (outcome(200, &[]), outcome(200, &[]), "a: 200 by both"),
            (
                outcome(403, &[1, 2, 3]),
                outcome(200, &[2, 4]),
                "a: 403 by libmodsecurity, 200 by us; by both: 2; by libmodsecurity only: 1 3; by us only: 4",
            ),
        ] {
            assert_eq!(compare("a", &peer, &ours), expected);
        }
    }
}
