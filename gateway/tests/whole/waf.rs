//! Rules in front of a service: on which thread they judge, and that a verdict is carried out once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use yunzhan_base::WafMode;
use yunzhan_gateway::{Waf, WafPolicy};
use yunzhan_waf::RuleSet;
use yunzhan_waf::seclang::Sources;
use yunzhan_waf::seclang::ast::Collection;
use yunzhan_waf::transaction::{Collections, Kept, Limits};

use crate::support::{BODY_BYTES_MAX, raw, serve_behind, summary};

/// A file of rules.
struct File(&'static str);

impl Sources for File {
    fn list(&self, _: &str) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }

    fn read(&self, _: &str) -> Result<Vec<u8>, String> {
        Ok(self.0.as_bytes().to_vec())
    }
}

/// Remembers on which threads rules asked it.
#[derive(Default)]
struct Threads(Mutex<Vec<ThreadId>>);

impl Collections for Threads {
    fn load(&self, _: Collection, _: &[u8], _: i64) -> HashMap<Box<[u8]>, Kept> {
        self.0.lock().unwrap().push(thread::current().id());
        HashMap::new()
    }

    fn store(&self, _: Collection, _: &[u8], _: HashMap<Box<[u8]>, Kept>, _: i64, _: i64) {}
}

fn policy(rules: &'static str, collections: Arc<dyn Collections>) -> Waf {
    let policy = WafPolicy {
        clock: yunzhan_base::Clock::System,
        rules: Some(Arc::new(RuleSet::load("rules.conf", &File(rules)).unwrap())),
        mode: WafMode::Block,
        limits: Limits::default(),
        log_is_plain: false,
        exclusions: Vec::new(),
    };
    Waf::with_collections(policy, collections)
}

fn post(body: &str) -> String {
    let length = body.len();
    format!("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// The runtime has one thread, which is the test's: what is judged there holds everybody up.
#[tokio::test]
async fn large_bodies_are_judged_off_the_threads_that_serve() {
    let threads = Arc::new(Threads::default());
    let rules = r#"SecAction "id:1,phase:2,pass,nolog,initcol:ip=%{REMOTE_ADDR}""#;
    let served = serve_behind(policy(rules, Arc::clone(&threads) as _)).await;
    let large = "x".repeat(BODY_BYTES_MAX);
    for body in ["small", &large] {
        let answer = raw(served.address, post(body).as_bytes()).await;
        assert_eq!(summary(&answer), format!("200 {body}"));
    }
    let here = thread::current().id();
    let is_here: Vec<bool> = threads.0.lock().unwrap().iter().map(|&id| id == here).collect();
    assert_eq!(is_here, [true, false]);
}

#[tokio::test]
async fn where_rules_lead_is_not_refused_again() {
    let rules = r#"SecRule REQUEST_METHOD "@streq GET" "id:1,phase:1,redirect:/elsewhere""#;
    let served = serve_behind(policy(rules, Arc::new(Threads::default()))).await;
    let answer = raw(served.address, b"GET /echo/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 302 "), "{answer}");
    assert!(answer.contains("location: /elsewhere\r\n"), "{answer}");
    assert_eq!(summary(&raw(served.address, post("a").as_bytes()).await), "200 a");
}

/// Scores of the answer's head are judged in phase 4, whether or not its body is looked at.
#[tokio::test]
async fn what_phase_3_counts_is_judged_where_no_body_is_held() {
    let rules = r#"
SecRule RESPONSE_STATUS "@eq 200" "id:1,phase:3,pass,nolog,setvar:tx.out=+4"
SecRule TX:out "@ge 4" "id:2,phase:4,deny"
"#;
    let served = serve_behind(policy(rules, Arc::new(Threads::default()))).await;
    let answer = raw(served.address, b"GET /echo/a HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}
