//! No query is admitted that could show a document the rule denies: generated rules, callers, queries and documents, against
//! an evaluator that is written differently and knows nothing of the one it judges.

mod generate;
mod plain;

use std::cell::Cell;
use std::collections::BTreeMap;

use bson::Document;
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

use self::generate::{Generated, generated};
use self::plain::store;
use super::{Admission, Caller, Decision, Facts, Fetched, Get, Rule};
use crate::filter::{Filter, Limits};
use crate::testing::text;

/// Generated rules with their callers; each meets [`QUERIES`] queries and [`DOCUMENTS`] documents, which makes over
/// 100,000 cases. The environment variable `YUNZHAN_RULE_CASES` sets another number.
const RULES: u32 = 2500;
const QUERIES: usize = 4;
const DOCUMENTS: usize = 12;

const NOW_MS: i64 = 2;

fn cases() -> u32 {
    let asked = std::env::var("YUNZHAN_RULE_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(RULES)
}

/// The only caller of the filter here.
fn filter_matches(filter: &Filter, document: &Document) -> bool {
    filter.matches(document, &crate::Budget::default()).unwrap_or(false)
}

fn fetch(fetched: &mut Fetched, get: Get) {
    assert_eq!(get.collection, "k");
    let found = store(&get.id);
    fetched.insert(get, found).unwrap();
}

fn decide(rule: &Rule, facts: &Facts<'_>, document: &Document) -> Decision {
    let mut fetched = Fetched::default();
    loop {
        match rule.decide(facts, Some(document), &fetched) {
            Decision::Needs(get) => fetch(&mut fetched, get),
            decided => return decided,
        }
    }
}

fn admits(rule: &Rule, facts: &Facts<'_>, query: &Document) -> bool {
    let mut fetched = Fetched::default();
    loop {
        match rule.admits(query, facts, &fetched) {
            Admission::Needs(get) => fetch(&mut fetched, get),
            Admission::Admitted => return true,
            Admission::Refused(_) => return false,
        }
    }
}

/// Counts of what happened, by name.
type Counts = BTreeMap<&'static str, u32>;

fn check(generated: &Generated, counts: &mut Counts) -> Result<(), TestCaseError> {
    let mut count = |name| *counts.entry(name).or_default() += 1;
    let source = generated.rule.source();
    let rule = match Rule::expression("read", &source) {
        Ok(rule) => rule,
        // Several rules together may have too many of them.
        Err(error) if error.message.contains("over 3 get()") => return Ok(()),
        Err(error) => return Err(TestCaseError::fail(format!("{error} in {source}"))),
    };
    let caller = Caller {
        logged_in: true,
        openid: generated.openid.map(str::to_owned),
        uid: Some("u1".to_owned()),
        ..Caller::default()
    };
    let facts = Facts { caller: &caller, now_ms: NOW_MS, data: Some(&generated.data) };
    let allowed: Vec<bool> = generated
        .documents
        .iter()
        .map(|document| generated.rule.allows(generated.openid, document, &generated.data))
        .collect();
    for (document, allowed) in generated.documents.iter().zip(&allowed) {
        let decision = decide(&rule, &facts, document);
        let shown = text(document);
        prop_assert_eq!(
            decision == Decision::Allowed,
            *allowed,
            "{} with {}: {:?}",
            source,
            shown,
            decision
        );
        count(if *allowed { "allowed" } else { "denied" });
    }
    for (asked, chance) in &generated.queries {
        let query = generated.query(asked, chance);
        let Ok(filter) = Filter::parse(&query, &Limits::default()) else { continue };
        let admitted = admits(&rule, &facts, &query);
        let shown = text(&query);
        prop_assert!(
            admitted || !generated.is_complete(asked),
            "{source} does not admit its own filter {shown}"
        );
        count(if admitted { "admitted" } else { "refused" });
        if !admitted {
            continue;
        }
        for (document, allowed) in generated.documents.iter().zip(&allowed) {
            if filter_matches(&filter, document) {
                count("matched by an admitted query");
                prop_assert!(*allowed, "{source} admits {shown}, which matches {}", text(document));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn no_admitted_query_leaks(generated in generated()) {
        check(&generated, &mut Counts::new())?;
    }

    #[test]
    fn no_text_makes_the_parser_panic(source in "[a-c!&|=<>()\\[\\]'\"`$\\{\\}. +0-9\\\\苹]{0,40}") {
        let _ = Rule::expression("read", &source);
    }
}

/// The property would also hold if nothing were admitted, or nothing matched.
#[test]
fn enough_is_admitted_to_prove_something() {
    let counts = Cell::new(Counts::new());
    let mut runner = TestRunner::deterministic();
    let run = runner.run(&generated(), |generated| {
        let mut so_far = counts.take();
        let result = check(&generated, &mut so_far);
        counts.set(so_far);
        result
    });
    if let Err(TestError::Fail(reason, generated)) = run {
        panic!("{reason}: {generated:?}");
    }
    let counts = counts.into_inner();
    let share =
        |part: &str, rest: &str| f64::from(counts[part]) / f64::from(counts[part] + counts[rest]);
    assert!((0.2..0.8).contains(&share("allowed", "denied")), "{counts:?}");
    assert!((0.2..0.8).contains(&share("admitted", "refused")), "{counts:?}");
    assert!(counts["matched by an admitted query"] > 500, "{counts:?}");
}
