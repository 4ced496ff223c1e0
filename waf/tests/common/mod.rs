//! Requests as text, and what rules say of them.

#![allow(dead_code, reason = "each program of tests uses a part")]

use std::sync::Arc;

use yunzhan_waf::seclang::Sources;
use yunzhan_waf::seclang::ast::{Action, DirectiveKind, Problem};
use yunzhan_waf::starter::{BuiltIn, ROOT, WithBuiltIn};
use yunzhan_waf::transaction::{Limits, NoCollections};
use yunzhan_waf::{HostContext, RuleSet, Transaction, Verdict};

/// A request whose head has passed the rules and whose body is still to come.
pub(crate) fn begin<'h>(
    rules: &Arc<RuleSet>,
    path: &str,
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
) -> Transaction {
    let context = HostContext {
        now_ms: 1_700_000_000_000,
        offset_s: 0,
        unique_id: "1",
        mode: None,
        collections: Arc::new(NoCollections),
        limits: Limits::default(),
    };
    let mut transaction = Transaction::begin(Arc::clone(rules), context);
    transaction.connection(("10.0.0.1", 1234), ("10.0.0.2", 80));
    transaction.request_line(b"POST", path.as_bytes(), b"HTTP/1.1");
    for (name, value) in headers {
        transaction.request_header(name.as_bytes(), value);
    }
    assert_eq!(transaction.request_headers_end(), Verdict::Pass);
    transaction
}

/// A request as it arrives.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The route that the gateway found.
    pub(crate) route: &'static str,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// As a phone asks.
    pub(crate) fn get(target: &str) -> Self {
        let headers = [
            ("host", "api.example.com"),
            (
                "user-agent",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 MicroMessenger/8.0.50(0x1800323d) NetType/WIFI Language/zh_CN",
            ),
            ("referer", "https://servicewechat.com/wx1234567890abcdef/42/page-frame.html"),
            ("accept", "*/*"),
            ("accept-encoding", "gzip,compress,br,deflate"),
            ("connection", "keep-alive"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let headers = headers.to_vec();
        Self {
            route: "api",
            method: "GET".into(),
            target: target.into(),
            headers,
            body: Vec::new(),
        }
    }

    pub(crate) fn post(target: &str, content_type: &str, body: &[u8]) -> Self {
        let mut request = Self::get(target);
        request.method = "POST".into();
        request.headers.push(("content-type".into(), content_type.as_bytes().to_vec()));
        request.headers.push(("content-length".into(), body.len().to_string().into_bytes()));
        request.body = body.to_vec();
        request
    }

    pub(crate) fn json(target: &str, body: &str) -> Self {
        Self::post(target, "application/json", body.as_bytes())
    }
}

/// What rules said.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) rules: Vec<u64>,
    pub(crate) refused: bool,
    /// One line an event.
    pub(crate) told: Vec<String>,
}

/// The rules that are built in.
pub(crate) fn starter() -> Arc<RuleSet> {
    Arc::new(RuleSet::load(ROOT, &BuiltIn).map_err(|problems| print(&problems)).unwrap())
}

/// Rules as text that may include what is built in.
pub(crate) fn with_built_in(text: &'static str) -> Arc<RuleSet> {
    struct One(&'static str);
    impl Sources for One {
        fn list(&self, _: &str) -> Result<Vec<String>, String> {
            Ok(Vec::new())
        }
        fn read(&self, _: &str) -> Result<Vec<u8>, String> {
            Ok(self.0.as_bytes().to_vec())
        }
    }
    load("own.conf", &WithBuiltIn(&One(text)))
}

pub(crate) fn load(root: &str, sources: &dyn Sources) -> Arc<RuleSet> {
    Arc::new(RuleSet::load(root, sources).map_err(|problems| print(&problems)).unwrap())
}

fn print(problems: &[Problem]) -> String {
    let line =
        |problem: &Problem| format!("{}: {:?}: {}", problem.place, problem.rule, problem.message);
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The ids of the rules that add points, each of which needs a case.
pub(crate) fn scoring_rules() -> Vec<u64> {
    let directives = yunzhan_waf::seclang::load(ROOT, &BuiltIn).unwrap();
    let id = |actions: &[Action]| {
        let is_scoring = actions.iter().any(|action| matches!(action, Action::Severity(_)));
        let id = actions.iter().find_map(|action| match action {
            Action::Id(id) => Some(*id),
            _ => None,
        });
        id.filter(|id| is_scoring && *id < 109_000)
    };
    let ids = directives.iter().filter_map(|directive| match &directive.kind {
        DirectiveKind::Rule(rule) => id(&rule.actions),
        _ => None,
    });
    ids.collect()
}

/// Runs the rules over a request, and over an answer that nobody minds.
pub(crate) fn run(rules: &Arc<RuleSet>, request: &Request) -> Seen {
    let context = HostContext {
        now_ms: 1_700_000_000_000,
        offset_s: 0,
        unique_id: "1",
        mode: None,
        collections: Arc::new(NoCollections),
        limits: Limits::default(),
    };
    let mut transaction = Transaction::begin(Arc::clone(rules), context);
    transaction.set_fact("yunzhan_route", request.route.as_bytes());
    transaction.connection(("10.0.0.1", 1234), ("10.0.0.2", 80));
    transaction.request_line(request.method.as_bytes(), request.target.as_bytes(), b"HTTP/1.1");
    for (name, value) in &request.headers {
        transaction.request_header(name.as_bytes(), value);
    }
    let mut verdict = transaction.request_headers_end();
    if verdict == Verdict::Pass && transaction.wants_request_body() {
        verdict = transaction.request_body(&request.body.clone().into());
    }
    if verdict == Verdict::Pass {
        verdict = transaction.request_end();
    }
    let events = transaction.events();
    let told = events.iter().map(|event| {
        let value = String::from_utf8_lossy(&event.value).into_owned();
        format!("{} {} {value}", event.rule.unwrap_or_default(), event.variable)
    });
    Seen {
        rules: events.iter().filter_map(|event| event.rule).collect(),
        refused: verdict != Verdict::Pass,
        told: told.collect(),
    }
}

/// Text as a value of a query.
pub(crate) fn escape_query(text: &[u8]) -> String {
    let escape = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(*byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    };
    text.iter().map(escape).collect()
}

/// Text as a string of JSON.
pub(crate) fn json_string(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}
