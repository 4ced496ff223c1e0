//! What one transaction may cost, whatever is sent.

use std::sync::Arc;

use bytes::Bytes;

use super::{HostContext, Limits, NoCollections, Transaction, Verdict};
use crate::rules::RuleSet;
use crate::seclang::Sources;
use crate::seclang::ast::EngineMode;

struct One(String);

impl Sources for One {
    fn list(&self, _folder: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }

    fn read(&self, _path: &str) -> Result<Vec<u8>, String> {
        Ok(self.0.clone().into_bytes())
    }
}

/// A transaction that has judged a form.
fn judged(rules: &str, limits: Limits, body: &[u8]) -> Transaction {
    judged_in(None, rules, limits, body)
}

fn judged_in(mode: Option<EngineMode>, rules: &str, limits: Limits, body: &[u8]) -> Transaction {
    let text = format!("SecRuleEngine On\nSecArgumentsLimit 5000\n{rules}");
    let context = HostContext {
        now_ms: 0,
        offset_s: 0,
        unique_id: "1",
        mode,
        collections: Arc::new(NoCollections),
        limits,
    };
    let rules = Arc::new(RuleSet::load("rules.conf", &One(text)).unwrap());
    let mut transaction = Transaction::begin(rules, context);
    transaction.connection(("10.0.0.1", 1), ("10.0.0.2", 2));
    transaction.request_line(b"POST", b"/", b"HTTP/1.1");
    transaction.request_header(b"content-type", b"application/x-www-form-urlencoded");
    transaction.request_headers_end();
    transaction.request_body(&body.to_vec().into());
    transaction.request_end();
    transaction
}

/// A form of so many fields `a0=1&a1=1…`.
fn fields(count: usize) -> String {
    (0..count).map(|at| format!("a{at}=1&")).collect()
}

#[test]
fn the_bound_on_work_bounds_transformed_forms_too() {
    let rules: String = (1..30)
        .map(|at| {
            let steps = "t:hexEncode,t:hexDecode,".repeat(at);
            format!("SecRule REQUEST_BODY \"@rx <\" \"id:{at},phase:2,pass,{steps}t:none,{steps}t:lowercase\"\n")
        })
        .collect();
    let body = vec![b'a'; 100_000];
    let limits = Limits { work_bytes_max: 1_000_000, refuses_beyond: false, ..Limits::default() };
    let transaction = judged(&rules, limits, &body);
    assert!(transaction.is_exhausted());
    assert!(transaction.store.len() < 3_000_000, "{}", transaction.store.len());
    let limits = Limits { kept_bytes_max: 500_000, ..Limits::default() };
    let transaction = judged(&rules, limits, &body);
    assert!(transaction.is_exhausted() && transaction.is_refused());
    assert!(transaction.store.len() < 800_000, "{}", transaction.store.len());
}

#[test]
fn what_was_found_before_the_bound_still_counts_behind_it() {
    let rules = "SecRule ARGS:a1 \"@eq 1\" \"id:1,phase:2,pass,setvar:tx.score=+5\"
SecRule REQUEST_BODY \"@rx <\" \"id:2,phase:2,pass,t:hexEncode\"
SecRule TX:score \"@ge 5\" \"id:3,phase:2,deny\"";
    let limits = Limits { work_bytes_max: 1000, refuses_beyond: false, ..Limits::default() };
    let transaction = judged(rules, limits, fields(300).as_bytes());
    assert!(transaction.is_exhausted() && transaction.is_refused());
}

#[test]
fn an_event_quotes_the_beginning_of_what_may_be_a_whole_body() {
    let rules = "SecRule REQUEST_BODY \"@rx .*\" \"id:1,phase:2,pass,capture,msg:'%{MATCHED_VAR}',logdata:'a %{TX.0} %{MATCHED_VAR} %{REQUEST_BODY}',tag:'%{REQUEST_BODY}'\"";
    let transaction = judged(rules, Limits::default(), &vec![b'a'; 100_000]);
    let event = &transaction.events()[0];
    assert_eq!((event.message.len(), event.data.len(), event.tags[0].len()), (4096, 4096, 4096));
    assert!(event.data.starts_with("a aaa"));
}

#[test]
fn variables_beyond_the_bound_are_forgotten_and_the_others_still_change() {
    let rules = "SecRule ARGS_NAMES \"@rx ^a\" \"id:1,phase:2,pass,nolog,setvar:'tx.%{MATCHED_VAR}=+1',setenv:'%{MATCHED_VAR}=%{tx.a0}'\"";
    let body = fields(1500) + "a0=1&a0=1";
    let transaction = judged(rules, Limits::default(), body.as_bytes());
    assert_eq!(transaction.tx("a0"), Some(b"3".as_slice()));
    assert_eq!(transaction.tx("a1499"), None);
    assert_eq!(transaction.environment.len(), 1000);
}

#[test]
fn a_target_is_removed_once_however_many_values_match() {
    let rules = "SecRule ARGS \"@eq 1\" \"id:1,phase:2,pass,nolog,ctl:ruleRemoveTargetById=2;ARGS:a1,ctl:ruleRemoveTargetById=2;ARGS:a2\"
SecRule ARGS \"@eq 1\" \"id:2,phase:2,pass,nolog,setvar:tx.seen=+1\"";
    let transaction = judged(rules, Limits::default(), fields(100).as_bytes());
    assert_eq!(transaction.removed_targets.len(), 2);
    assert_eq!(transaction.tx("seen"), Some(b"98".as_slice()));
}

#[test]
fn an_answer_beyond_the_bound_is_refused_where_a_directive_says_so() {
    let check = |mode, action: &str, is_refused: bool| {
        let rules = format!(
            "SecResponseBodyAccess On\nSecResponseBodyLimit 10\nSecResponseBodyLimitAction {action}\nSecRule RESPONSE_BODY \"@rx x\" \"id:1,phase:4,deny\""
        );
        let mut transaction = judged_in(Some(mode), &rules, Limits::default(), b"");
        transaction.response_header(b"content-type", b"text/html");
        transaction.response_headers_end(200, b"HTTP/1.1");
        let verdict = transaction.response_body(&Bytes::from_static(b"0123456789"));
        assert_eq!((verdict, transaction.looks_at_more_response_body()), (Verdict::Pass, true));
        let verdict = transaction.response_body(&Bytes::from_static(b"a"));
        assert_eq!(verdict != Verdict::Pass, is_refused, "{action}");
        assert!(!transaction.looks_at_more_response_body());
        assert_eq!(transaction.response_end() != Verdict::Pass, is_refused, "{action}");
    };
    check(EngineMode::On, "Reject", true);
    check(EngineMode::On, "ProcessPartial", false);
    check(EngineMode::DetectionOnly, "Reject", false);
}

#[test]
fn who_observes_refuses_nothing_whatever_rules_say() {
    let rules =
        "SecAction \"id:1,phase:1,pass,nolog,ctl:ruleEngine=On\"\nSecAction \"id:2,phase:2,deny\"";
    let check = |mode, is_refused: bool| {
        let transaction = judged_in(mode, rules, Limits::default(), b"");
        assert_eq!(transaction.is_refused(), is_refused, "{mode:?}");
    };
    check(Some(EngineMode::DetectionOnly), false);
    check(Some(EngineMode::On), true);
    check(None, true);
}
