//! Which values can an operator not match, judged by their signature alone?
//!
//! A gate is a list of clauses. Every value that matches satisfies every clause: it holds one of the clause's bytes, or
//! one of its pairs of neighbours. So a value that fails one clause needs no look. Clauses are derived from the syntax
//! tree of a pattern and from nothing else, which is what makes gates lossless: whatever is not understood gives no clause.

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod lossless;

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

use crate::bytes::ByteSet;
use crate::operator::{Kind, TextTest};
use crate::signature::{Pair, PairSet, Small, Union};

/// Clauses of one gate; the most telling ones are kept.
const CLAUSES_MAX: usize = 8;

/// Pairs of one clause before it is told as bytes.
const PAIRS_MAX: usize = 48;

/// What a value must hold one of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Clause {
    bytes: ByteSet,
    pairs: Vec<Pair>,
    /// How often values hold one of them, roughly; small is telling.
    cost: f32,
}

/// What every value that matches must be made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    clauses: Vec<Clause>,
    /// Too many pairs for a list: one of these must be there.
    many: Option<PairSet>,
}

impl Gate {
    /// Nothing is known: every value may match.
    pub(crate) fn open() -> Self {
        Self::default()
    }

    /// For a pattern as it is compiled: bytes, dots that match line ends.
    pub(crate) fn of_pattern(pattern: &str) -> Self {
        let mut builder = ParserBuilder::new();
        builder.unicode(false).utf8(false).dot_matches_new_line(true).nest_limit(500);
        builder
            .build()
            .parse(pattern)
            .map_or_else(|_| Self::open(), |hir| Self::of_clauses(known(&hir).clauses))
    }

    /// For a text that must be in the value, compared with or without case.
    pub(crate) fn of_text(text: &[u8], is_caseless: bool) -> Self {
        Self::of_clauses(of_literal(text, is_caseless).clauses)
    }

    /// For phrases of which one must be in the value, compared without case.
    pub(crate) fn of_phrases<'p>(phrases: impl Iterator<Item = &'p [u8]>) -> Self {
        let (mut set, mut is_whole) = (PairSet::default(), true);
        let mut bytes = ByteSet::NONE;
        for phrase in phrases {
            let best = best(&of_literal(phrase, true).clauses);
            let Some(best) = best else { return Self::open() };
            is_whole &= best.bytes.is_empty();
            bytes = bytes.or(best.bytes);
            best.pairs.iter().for_each(|&pair| set.add(pair));
        }
        if is_whole { Self { clauses: Vec::new(), many: Some(set) } } else { Self::open() }
    }

    /// For values that hold one of some bytes.
    fn of_bytes(bytes: ByteSet) -> Self {
        Self { clauses: vec![Clause { bytes, pairs: Vec::new(), cost: 0.0 }], many: None }
    }

    /// Whether every value passes.
    #[cfg(test)]
    fn is_open(&self) -> bool {
        self.clauses.is_empty() && self.many.is_none()
    }

    fn of_clauses(mut clauses: Vec<Clause>) -> Self {
        clauses.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        clauses.dedup();
        clauses.truncate(CLAUSES_MAX);
        Self { clauses, many: None }
    }

    /// Whether one of many values may match.
    #[inline]
    pub(crate) fn passes_union(&self, union: &Union) -> bool {
        self.clauses.iter().all(|clause| {
            clause.bytes.meets(&union.bytes)
                || clause.pairs.iter().any(|&pair| union.pairs.has(pair))
        }) && self.many.as_ref().is_none_or(|many| many.meets(&union.pairs))
    }

    /// Whether a value may match.
    #[inline]
    pub(crate) fn passes(&self, value: &Small) -> bool {
        self.clauses.iter().all(|clause| {
            clause.bytes.meets(&value.bytes) || clause.pairs.iter().any(|&pair| value.has(pair))
        })
    }

    #[cfg(test)]
    fn print(&self) -> String {
        let clause =
            |clause: &Clause| format!("{} bytes, {} pairs", clause.bytes.len(), clause.pairs.len());
        self.clauses.iter().map(clause).collect::<Vec<_>>().join("; ")
    }
}

/// What is known of every match of a part of a pattern.
#[derive(Clone, Debug)]
struct Known {
    /// A match may be of no bytes.
    may_be_empty: bool,
    /// What a match that is not empty begins and ends with.
    first: ByteSet,
    last: ByteSet,
    clauses: Vec<Clause>,
}

impl Known {
    fn empty() -> Self {
        Self { may_be_empty: true, first: ByteSet::NONE, last: ByteSet::NONE, clauses: Vec::new() }
    }
}

fn known(hir: &Hir) -> Known {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Known::empty(),
        HirKind::Literal(literal) => of_literal(&literal.0, false),
        HirKind::Class(class) => of_class(class),
        HirKind::Capture(capture) => known(&capture.sub),
        HirKind::Repetition(repetition) => of_repetition(repetition),
        HirKind::Concat(parts) => of_concat(parts.iter().map(known)),
        HirKind::Alternation(parts) => of_alternation(&parts.iter().map(known).collect::<Vec<_>>()),
    }
}

fn of_literal(text: &[u8], is_caseless: bool) -> Known {
    let set = |byte: u8| {
        let set = ByteSet::of(&[byte]);
        if is_caseless {
            set.with(byte.to_ascii_lowercase()).with(byte.to_ascii_uppercase())
        } else {
            set
        }
    };
    of_concat(text.iter().map(|&byte| of_set(set(byte))))
}

fn of_set(set: ByteSet) -> Known {
    let clauses = Clause::bytes(set).into_iter().collect();
    Known { may_be_empty: false, first: set, last: set, clauses }
}

fn of_class(class: &Class) -> Known {
    let mut set = ByteSet::NONE;
    match class {
        Class::Bytes(class) => {
            for range in class.ranges() {
                set = set.or(ByteSet::range(range.start(), range.end()));
            }
        }
        // A code point of more than one byte begins and ends with any byte of 128 or more.
        Class::Unicode(class) => {
            for range in class.ranges() {
                let (from, to) = (u32::from(range.start()), u32::from(range.end()));
                if from < 0x80 {
                    set = set.or(ByteSet::range(from as u8, to.min(0x7f) as u8));
                }
                if to >= 0x80 {
                    set = set.or(ByteSet::range(0x80, 0xff));
                }
            }
        }
    }
    of_set(set)
}

fn of_repetition(repetition: &Repetition) -> Known {
    let inner = known(&repetition.sub);
    if repetition.min == 0 {
        return Known { may_be_empty: true, clauses: Vec::new(), ..inner };
    }
    inner
}

/// One part after the other. Where a part may be empty, its neighbours may meet.
fn of_concat(parts: impl Iterator<Item = Known>) -> Known {
    let mut whole = Known::empty();
    for part in parts {
        // The byte before `part` is one of `whole.last`, if there is any for certain.
        if !whole.may_be_empty && !part.may_be_empty {
            whole.clauses.extend(Clause::pairs(&whole.last, &part.first));
        }
        whole.clauses.extend(part.clauses);
        if whole.may_be_empty {
            whole.first = whole.first.or(part.first);
        }
        whole.last = if part.may_be_empty { whole.last.or(part.last) } else { part.last };
        whole.may_be_empty &= part.may_be_empty;
    }
    whole
}

fn of_alternation(parts: &[Known]) -> Known {
    let none = Known { may_be_empty: false, ..Known::empty() };
    let mut whole = parts.iter().fold(none, |whole, part| Known {
        may_be_empty: whole.may_be_empty | part.may_be_empty,
        first: whole.first.or(part.first),
        last: whole.last.or(part.last),
        clauses: Vec::new(),
    });
    // Each branch offers its most telling clause; one of them must hold.
    let offers: Option<Vec<Clause>> = parts.iter().map(|part| best(&part.clauses)).collect();
    whole.clauses.extend(offers.and_then(Clause::any));
    // What is told in bytes alone may be telling where there are too many pairs.
    let plain = |part: &Known| best_bytes(&part.clauses);
    let offers: Option<Vec<Clause>> = parts.iter().map(plain).collect();
    whole.clauses.extend(offers.and_then(Clause::any));
    whole
}

fn best(clauses: &[Clause]) -> Option<Clause> {
    clauses.iter().min_by(|a, b| a.cost.total_cmp(&b.cost)).cloned()
}

fn best_bytes(clauses: &[Clause]) -> Option<Clause> {
    let plain = clauses.iter().filter(|clause| clause.pairs.is_empty());
    plain.min_by(|a, b| a.cost.total_cmp(&b.cost)).cloned()
}

impl Clause {
    fn bytes(bytes: ByteSet) -> Option<Self> {
        let cost = (0..=255).filter(|&byte| bytes.has(byte)).map(cost_of_byte).sum();
        (bytes.len() < 200).then(|| Self { bytes, pairs: Vec::new(), cost })
    }

    fn pairs(first: &ByteSet, second: &ByteSet) -> Option<Self> {
        if first.len() > 64 || second.len() > 64 || first.len() * second.len() > 256 {
            return None;
        }
        let mut pairs = Vec::new();
        for a in (0..=255).filter(|&byte| first.has(byte)) {
            pairs.extend((0..=255).filter(|&byte| second.has(byte)).map(|b| Pair::of(a, b)));
        }
        Self::of_pairs(ByteSet::NONE, pairs)
    }

    /// One of these must hold.
    fn any(clauses: Vec<Self>) -> Option<Self> {
        let bytes = clauses.iter().fold(ByteSet::NONE, |bytes, clause| bytes.or(clause.bytes));
        let pairs = clauses.into_iter().flat_map(|clause| clause.pairs).collect();
        Self::of_pairs(bytes, pairs)
    }

    fn of_pairs(bytes: ByteSet, mut pairs: Vec<Pair>) -> Option<Self> {
        pairs.sort_unstable();
        pairs.dedup();
        if pairs.len() > PAIRS_MAX || bytes.len() > 200 {
            return None;
        }
        let of_bytes: f32 = (0..=255).filter(|&byte| bytes.has(byte)).map(cost_of_byte).sum();
        let cost = of_bytes + pairs.iter().map(|&pair| cost_of_pair(pair)).sum::<f32>();
        Some(Self { bytes, pairs, cost })
    }
}

/// How many of a hundred small values of ordinary requests hold a byte, roughly.
fn cost_of_byte(byte: u8) -> f32 {
    match byte {
        b'a' | b'e' | b'i' | b'o' | b'n' | b'r' | b's' | b't' => 60.0,
        b'a'..=b'z' => 35.0,
        b'0'..=b'9' => 25.0,
        b'A'..=b'Z' => 12.0,
        b' ' | b'.' | b'-' | b'_' | b'/' | b':' | 0x80..=0xff => 10.0,
        b',' | b'=' | b'"' | b'(' | b')' | b'+' | b'%' | b'?' | b'&' | b'\n' => 4.0,
        _ => 1.0,
    }
}

fn cost_of_pair(pair: Pair) -> f32 {
    let rare = |class: u16| match class {
        1..=26 => 1.0,
        27..=29 | 62 => 0.7,
        _ => 0.15,
    };
    3.0 * rare(pair.0 / 64) * rare(pair.0 % 64)
}

impl crate::operator::Operator {
    /// What every value that it matches must be made of.
    pub(crate) fn gate(&self) -> Gate {
        match &self.kind {
            Kind::Rx(Some(rx)) => Gate::of_pattern(&rx.pattern),
            Kind::Phrases(phrases) => Gate::of_phrases(phrases.phrases.iter().map(Vec::as_slice)),
            Kind::Text(
                TextTest::BeginsWith
                | TextTest::Contains
                | TextTest::ContainsWord
                | TextTest::EndsWith,
                Some(text),
            ) => Gate::of_text(text, false),
            Kind::ByteRange(set) => Gate::of_bytes(set.not()),
            Kind::UrlEncoding => Gate::of_bytes(ByteSet::of(b"%")),
            Kind::Utf8Encoding => Gate::of_bytes(ByteSet::range(0x80, 0xff)),
            _ => Gate::open(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use proptest::prelude::*;

    use super::{Gate, Union};

    fn passes(pattern: &str, value: &[u8]) -> bool {
        let (gate, mut union) = (Gate::of_pattern(pattern), Union::default());
        let small = union.add(value);
        gate.passes(&small) && gate.passes_union(&union)
    }

    #[test]
    fn what_a_pattern_needs() {
        let check = |pattern: &str, yes: &[&str], no: &[&str]| {
            for value in yes {
                assert!(
                    passes(pattern, value.as_bytes()),
                    "{pattern} on {value}: {}",
                    Gate::of_pattern(pattern).print()
                );
            }
            for value in no {
                assert!(
                    !passes(pattern, value.as_bytes()),
                    "{pattern} on {value}: {}",
                    Gate::of_pattern(pattern).print()
                );
            }
        };
        check(r"(?i)union\s+select", &["UNION  seleCT"], &["unions elect", "onion selects, he"]);
        check(r"<script[^>]*>", &["<script>"], &["script <b>"]);
        check(r"a(?:bc)?d", &["ad", "abcd"], &["a d", "a_d"]);
        check(r"(?:cat|dog)s?", &["hotdog"], &["bird"]);
        check(r"(?:cat|)s?", &[""], &[]);
        check(r"^\d+$", &["12"], &["ab"]);
        check(r".", &["x"], &[]);
    }

    /// A pattern of letters, classes, groups, repetitions and anchors.
    fn pattern() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            "[a-c]{1,3}".prop_map(|text| text),
            Just("[ab]".to_owned()),
            Just("[^a]".to_owned()),
            Just(".".to_owned()),
            Just("<".to_owned()),
            Just(r"\s".to_owned()),
            Just("^".to_owned()),
            Just("$".to_owned()),
            Just(r"\b".to_owned()),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
                prop::collection::vec(inner.clone(), 1..4)
                    .prop_map(|parts| format!("(?:{})", parts.join("|"))),
                (
                    inner.clone(),
                    prop_oneof![Just("?"), Just("*"), Just("+"), Just("{2}"), Just("{0,2}")]
                )
                    .prop_map(|(part, times)| format!("(?:{part}){times}")),
                inner.prop_map(|part| format!("(?i:{part})")),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn a_gate_never_stops_a_match(pattern in pattern(), values in prop::collection::vec("[a-cA-C< \n]{0,8}", 8)) {
            let regex = regex::bytes::RegexBuilder::new(&pattern).unicode(false).dot_matches_new_line(true).build();
            let regex = regex.unwrap();
            for value in values {
                prop_assert!(!regex.is_match(value.as_bytes()) || passes(&pattern, value.as_bytes()), "{pattern} on {value:?}");
            }
        }
    }
}
