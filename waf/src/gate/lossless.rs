//! No gate of a whole rule set ever stops a value that its operator matches.
//!
//! Values are made from the rules themselves: words that their patterns match, cut, joined and changed, so that many of them
//! are near a match. Each value is held against every operator of the set, with its gate and without.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

use super::Gate;
use crate::operator::{Kind, Operator};
use crate::rules::{RuleSet, Unserved};
use crate::seclang::Sources;
use crate::seclang::ast::EngineMode;
use crate::signature::Union;
use crate::starter::{ROOT, WithBuiltIn};
use crate::transaction::{HostContext, Limits, NoCollections, Transaction, Verdict};

/// How many values are made; the variable raises it.
const VALUES_DEFAULT: u64 = 1500;
const VALUES_VARIABLE: &str = "YUNZHAN_GATE_VALUES";
const SEED_VARIABLE: &str = "YUNZHAN_GATE_SEED";
/// Folders of published rule sets, `:` between them; each is tried too.
const FOLDERS_VARIABLE: &str = "YUNZHAN_TEST_CRS";

/// Bytes of a value: longer ones pass every gate.
const VALUE_BYTES_MAX: usize = 96;

/// Pieces of scripts, of which many are left when what gates ask for is cut out.
const SCRIPTS: &[&str] = &[
    "<script>",
    "onload",
    "onload=",
    " onerror = x",
    "\"",
    "'",
    "`",
    ">",
    "/",
    "<!--",
    "[if",
    "-->",
    "<?xml",
    "<!DOCTYPE",
    "javascript:",
    "href=javascript:x",
    "style=",
    "x",
    " ",
    "<svg",
    "xmlns",
    "%00",
    "\0",
    "IMPORT",
    "ENTITY",
    "data:",
    "src",
];

/// Pieces of statements.
const STATEMENTS: &[&str] = &[
    "1", "0x1f", "abc", "union", "select", "UNION", "sleep", "and", "or", "null", "_", "e", "1e5",
    "if", "exec", "char", " ", "'", "\"", "--", "/*", "*/", "#", ";", "(", ")", ",", "=", "+", "@",
    "`", "like", "having", "x1", "0b1", "user",
];

struct Disk;

impl Sources for Disk {
    fn list(&self, folder: &str) -> Result<Vec<String>, String> {
        let entries = std::fs::read_dir(folder).map_err(|error| format!("{folder}: {error}"))?;
        Ok(entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        match path.strip_prefix("set:") {
            Some(folder) => Ok(format!(
                "Include {folder}/crs-setup.conf.example\nInclude {folder}/rules/*.conf\n"
            )
            .into()),
            None => std::fs::read(path).map_err(|error| format!("{path}: {error}")),
        }
    }
}

#[test]
fn gates_of_rule_sets_stop_no_match() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let values = number(VALUES_VARIABLE).unwrap_or(VALUES_DEFAULT);
    let seed = number(SEED_VARIABLE).unwrap_or(20_261_125);
    for root in roots() {
        let rules = RuleSet::load_with(&root, &WithBuiltIn(&Disk), Unserved::LeaveOut).unwrap();
        let told = check(&rules, values, seed);
        // Written past the test harness, which hides what passing tests print.
        let _ = std::io::stderr().write_all(format!("{root}, seed {seed}: {told}\n").as_bytes());
    }
}

fn check(rules: &RuleSet, values: u64, seed: u64) -> String {
    let links = rules.chains.iter().flat_map(|chain| &chain.links);
    let gated: Vec<(&Operator, &Gate)> = links
        .filter(|link| !link.gate.is_open())
        .map(|link| (&link.operator, &link.gate))
        .collect();
    let sources: Vec<Source> = gated.iter().map(|(operator, _)| Source::of(operator)).collect();
    let mut random = Random(seed | 1);
    let (mut stopped, mut matched) = (0_u64, 0_u64);
    for _ in 0..values {
        let value = random.value(&sources);
        let mut union = Union::default();
        let small = union.add(&value);
        for (operator, gate) in &gated {
            if gate.passes(&small) && gate.passes_union(&union) {
                continue;
            }
            stopped += 1;
            let is_match = operator.matches(&value, None, &mut Default::default());
            assert!(
                !is_match,
                "seed {seed}: a gate stops {:?} of {operator:?}",
                String::from_utf8_lossy(&value)
            );
        }
        let matches = |(operator, _): &&(&Operator, &Gate)| {
            operator.matches(&value, None, &mut Default::default())
        };
        matched += if stopped % 64 == 0 { gated.iter().filter(matches).count() as u64 } else { 0 };
    }
    format!(
        "{values} values, {} gates, {stopped} times stopped, {matched} matches in a sample",
        gated.len()
    )
}

/// Requests of this many arguments are made of the values.
const ARGUMENTS: u64 = 10;

#[test]
fn requests_come_to_the_same_without_gates() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    // A request without gates costs what a hundred values do.
    let requests = (number(VALUES_VARIABLE).unwrap_or(VALUES_DEFAULT) / 100).max(100);
    let seed = number(SEED_VARIABLE).unwrap_or(20_261_125);
    for root in roots() {
        let load = || RuleSet::load_with(&root, &WithBuiltIn(&Disk), Unserved::LeaveOut).unwrap();
        let (gated, mut open) = (load(), load());
        open.chains
            .iter_mut()
            .flat_map(|chain| &mut chain.links)
            .for_each(|link| link.gate = Gate::open());
        let links = gated.chains.iter().flat_map(|chain| &chain.links);
        let sources: Vec<Source> = links.map(|link| Source::of(&link.operator)).collect();
        let (gated, open, mut random) = (Arc::new(gated), Arc::new(open), Random(seed | 1));
        let mut told = 0;
        for _ in 0..requests {
            let values: Vec<Vec<u8>> = (0..ARGUMENTS).map(|_| random.value(&sources)).collect();
            let (with, without) = (run(&gated, &values), run(&open, &values));
            assert_eq!(with, without, "seed {seed}: {values:?}");
            told += with.1.len();
        }
        let report = format!(
            "{root}, seed {seed}: {requests} requests, {told} rules matched, with gates and without\n"
        );
        let _ = std::io::stderr().write_all(report.as_bytes());
    }
}

/// What a request with these arguments, the last of them a cookie and a header too, comes to.
fn run(rules: &Arc<RuleSet>, values: &[Vec<u8>]) -> (Verdict, Vec<u64>) {
    let context = HostContext {
        now_ms: 0,
        offset_s: 0,
        unique_id: "1",
        mode: Some(EngineMode::DetectionOnly),
        collections: Arc::new(NoCollections),
        limits: Limits { work_bytes_max: u64::MAX, ..Limits::default() },
    };
    let mut transaction = Transaction::begin(Arc::clone(rules), context);
    transaction.connection(("10.0.0.1", 1234), ("10.0.0.2", 80));
    transaction.request_line(b"POST", b"/api?page=1", b"HTTP/1.1");
    transaction.request_header(b"Host", b"a.example");
    transaction.request_header(b"Content-Type", b"application/x-www-form-urlencoded");
    if let Some(last) = values.last() {
        transaction.request_header(b"Cookie", &[b"a=", last.as_slice()].concat());
        transaction.request_header(b"User-Agent", last);
    }
    transaction.request_headers_end();
    let escaped =
        |value: &Vec<u8>| value.iter().map(|byte| format!("%{byte:02x}")).collect::<String>();
    let pairs = values.iter().enumerate().map(|(at, value)| format!("a{at}={}", escaped(value)));
    transaction.request_body(&pairs.collect::<Vec<_>>().join("&").into_bytes().into());
    let verdict = transaction.request_end();
    (verdict, transaction.events().iter().filter_map(|event| event.rule).collect())
}

/// The set that is built in, and those in folders.
fn roots() -> Vec<String> {
    let folders = std::env::var(FOLDERS_VARIABLE).unwrap_or_default();
    let folders = folders.split(':').filter(|folder| !folder.is_empty());
    [ROOT.to_owned()].into_iter().chain(folders.map(|folder| format!("set:{folder}"))).collect()
}

/// What values near an operator's matches are made of.
enum Source {
    Pattern(Hir),
    Words(Vec<Vec<u8>>),
}

impl Source {
    fn of(operator: &Operator) -> Self {
        match &operator.kind {
            Kind::Rx(Some(rx)) => {
                let mut builder = ParserBuilder::new();
                builder.unicode(false).utf8(false).dot_matches_new_line(true).nest_limit(500);
                Self::Pattern(builder.build().parse(&rx.pattern).unwrap())
            }
            Kind::Phrases(phrases) => Self::Words(phrases.phrases.clone()),
            Kind::Text(_, Some(text)) => Self::Words(vec![text.clone()]),
            Kind::ScriptInjection => {
                Self::Words(SCRIPTS.iter().map(|word| word.as_bytes().to_vec()).collect())
            }
            Kind::SqlInjection => {
                Self::Words(STATEMENTS.iter().map(|word| word.as_bytes().to_vec()).collect())
            }
            _ => Self::Words(vec![b"%".to_vec(), vec![0xe4, 0xba, 0x91], vec![0]]),
        }
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// One word that an operator matches, or pieces of several, with some bytes changed.
    fn value(&mut self, sources: &[Source]) -> Vec<u8> {
        let mut value = Vec::new();
        for _ in 0..1 + self.below(3) {
            let mut word = Vec::new();
            match &sources[self.below(sources.len())] {
                Source::Pattern(hir) => self.word(hir, &mut word, 0),
                Source::Words(words) => word.extend_from_slice(&words[self.below(words.len())]),
            }
            if self.below(3) == 0 {
                word.truncate(self.below(word.len() + 1));
            }
            value.extend_from_slice(&word);
        }
        for _ in 0..self.below(3) {
            let at = self.below(value.len());
            match (value.get_mut(at), self.below(3)) {
                (Some(byte), 0) => *byte = self.next() as u8,
                (Some(byte), 1) => *byte ^= 0x20,
                (Some(_), _) => drop(value.remove(at)),
                (None, _) => {}
            }
        }
        value.truncate(VALUE_BYTES_MAX);
        value
    }

    fn word(&mut self, hir: &Hir, word: &mut Vec<u8>, depth: usize) {
        if word.len() > VALUE_BYTES_MAX || depth > 60 {
            return;
        }
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => word.extend_from_slice(&literal.0),
            HirKind::Class(class) => word.push(self.member(class)),
            HirKind::Capture(capture) => self.word(&capture.sub, word, depth + 1),
            HirKind::Repetition(repetition) => {
                let more = repetition.max.map_or(3, |max| (max - repetition.min).min(3)) as usize;
                for _ in 0..repetition.min as usize + self.below(more + 1) {
                    self.word(&repetition.sub, word, depth + 1);
                }
            }
            HirKind::Concat(parts) => {
                parts.iter().for_each(|part| self.word(part, word, depth + 1));
            }
            HirKind::Alternation(parts) => {
                let at = self.below(parts.len());
                self.word(&parts[at], word, depth + 1);
            }
        }
    }

    fn member(&mut self, class: &Class) -> u8 {
        let ranges: BTreeSet<(u8, u8)> = match class {
            Class::Bytes(class) => {
                class.ranges().iter().map(|range| (range.start(), range.end())).collect()
            }
            Class::Unicode(class) => {
                let byte = |c: char| u8::try_from(u32::from(c)).unwrap_or(0x7f);
                class
                    .ranges()
                    .iter()
                    .map(|range| (byte(range.start()), byte(range.end())))
                    .collect()
            }
        };
        let at = self.below(ranges.len());
        let (from, to) = ranges.iter().nth(at).copied().unwrap_or((b'?', b'?'));
        from + self.below(usize::from(to - from) + 1) as u8
    }
}
