//! A rule, a query and a document, one line each: nothing panics, and what an admitted query matches satisfies the rule.

#![no_main]

use libfuzzer_sys::fuzz_target;
use yunzhan_query::ejson::{Mode, ReadOptions, read_document, write_document};
use yunzhan_query::filter::{Filter, Limits};
use yunzhan_query::rule::{
    Admission, Caller, Decision, Facts, Fetched, Operation, Rule, Rules, substitute,
};
use yunzhan_query::{Bson, Budget, Document};

/// What `get` finds is the document itself, so that the input decides about that too.
fn admits(rule: &Rule, query: &Document, facts: &Facts<'_>, found: &Document) -> bool {
    let mut fetched = Fetched::default();
    rule.explain_query(query, facts, &fetched);
    loop {
        match rule.admits(query, facts, &fetched) {
            Admission::Admitted => return true,
            Admission::Refused(_) => return false,
            Admission::Needs(get) => fetched.insert(get, Some(found.clone())).expect("few are needed"),
        }
    }
}

fn decide(rule: &Rule, facts: &Facts<'_>, document: &Document) -> Decision {
    let mut fetched = Fetched::default();
    loop {
        match rule.decide(facts, Some(document), &fetched) {
            Decision::Needs(get) => fetched.insert(get, Some(document.clone())).expect("few are needed"),
            decided => {
                rule.explain(facts, Some(document), &fetched);
                return decided;
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let options = ReadOptions::at(1_700_000_000_000);
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let (Some(source), Some(query), Some(document)) = (lines.next(), lines.next(), lines.next()) else { return };
    let Ok(source) = std::str::from_utf8(source) else { return };
    let set = Document::from_iter([("read".to_owned(), Bson::String(source.to_owned()))]);
    let Ok(rules) = Rules::parse(&write_document(&set, Mode::Relaxed)) else { return };
    let rule = rules.rule(Operation::Read);
    let (Ok(mut query), Ok(document)) = (read_document(query, &options), read_document(document, &options)) else { return };
    let caller = Caller {
        logged_in: true,
        openid: Some("o1".to_owned()),
        roles: vec!["admin".to_owned()],
        ..Caller::default()
    };
    if substitute(&mut query, &caller).is_err() {
        return;
    }
    let facts = Facts { caller: &caller, now_ms: 1_700_000_000_000, data: Some(&document) };
    let decided = decide(rule, &facts, &document);
    let admitted = admits(rule, &query, &facts, &document);
    let Ok(filter) = Filter::parse(&query, &Limits::default()) else { return };
    if admitted && filter.matches(&document, &Budget::default()).unwrap_or(false) {
        match decided {
            Decision::Allowed => {}
            // Of a long array in an argument of `get`, only the first items are tried.
            Decision::Denied(why) => assert!(why.to_string().ends_with("too long"), "{why}"),
            Decision::Needs(_) => unreachable!("all was fetched"),
        }
    }
});
