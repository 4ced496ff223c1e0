//! What rules do with one request: which ran, what matched and why, and what would come of it.

use std::sync::Arc;

use http::{Method, Uri};
use serde_json::{Value, json};
use yunzhan_base::WafMode;
use yunzhan_base::{Clock, Error, Kind, Result};
use yunzhan_gateway::{Gateway, ROUTE_FACT, WafPolicy};
use yunzhan_waf::seclang::ast::EngineMode;
use yunzhan_waf::transaction::{Asked, NoCollections, TracedMatch};
use yunzhan_waf::{HostContext, RuleSet, Transaction, Verdict};

use super::release;
use super::rule_sets::mode_name;

/// The request that is explained: what somebody might have sent.
pub(super) struct Request {
    method: Method,
    target: Uri,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// An address that nobody has, for rules that look at addresses.
const REMOTE: &str = "192.0.2.1";

/// The end of names of variables in which rules count; there are hundreds of others.
const SCORE: &str = "_score";

impl Request {
    /// From the body of a control request: `method`, `target`, `headers` as a list of pairs, and `body` as text or `body_hex`.
    ///
    /// # Errors
    /// What is missing or is nothing that a request could have.
    pub(super) fn read(body: &[u8]) -> Result<Self> {
        let wrong = |what: &str| Error::new(Kind::InvalidParameter, what.to_owned());
        let asked: Value = serde_json::from_slice(body).map_err(|error| {
            Error::new(Kind::Malformed, format!("the body is no JSON: {error}"))
        })?;
        let text = |name: &str| asked.get(name).and_then(Value::as_str);
        let method = text("method").unwrap_or("GET").parse();
        let method = method.map_err(|_| wrong("`method` is no method of HTTP"))?;
        let target = text("target").and_then(|target| target.parse::<Uri>().ok());
        let target = target.filter(|target| target.path().starts_with('/'));
        let target =
            target.ok_or_else(|| wrong("`target` is a path that begins with /, and a query"))?;
        let headers = asked.get("headers").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let headers = headers
            .iter()
            .map(|pair| header(pair).ok_or_else(|| wrong("`headers` are pairs of name and value")));
        let body = match (text("body"), text("body_hex")) {
            (_, Some(digits)) => unhex(digits).ok_or_else(|| wrong("`body_hex` is hexadecimal"))?,
            (body, None) => body.unwrap_or_default().as_bytes().to_vec(),
        };
        Ok(Self { method, target, headers: headers.collect::<Result<_>>()?, body })
    }
}

impl Request {
    /// The name of the route that would answer it, and what rules may do there if that is special.
    pub(super) fn route(&self, gateway: &Gateway) -> (&'static str, Option<WafMode>) {
        gateway.route_of(&self.method, self.target.path())
    }
}

fn header(pair: &Value) -> Option<(String, String)> {
    match pair.as_array()?.as_slice() {
        [name, value] => Some((name.as_str()?.to_owned(), value.as_str()?.to_owned())),
        _ => None,
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    let value = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(value(*high)? << 4 | value(*low)?).ok(),
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}

/// Explains a request to a route.
///
/// # Errors
/// No rules guard.
pub(super) fn explain(
    policy: &WafPolicy,
    request: &Request,
    route: &str,
    mode: Option<WafMode>,
) -> Result<Value> {
    let Some(rules) = &policy.rules else {
        let text = "no rules are there to explain; import some with `yunzhan waf import`, or name them in waf.rules";
        return Err(Error::new(Kind::NotFound, text));
    };
    let mut transaction = begin(rules, policy);
    transaction.keep_trace();
    policy.leave_out(&mut transaction, request.target.path());
    transaction.set_fact(ROUTE_FACT, route.as_bytes());
    let verdict = feed(&mut transaction, request);
    transaction.log();
    let mut told = told(&transaction, &verdict, mode.unwrap_or(policy.mode));
    told["route"] = route.into();
    Ok(told)
}

/// As in traffic, but that rules may refuse whatever the mode, and that nothing is remembered.
fn begin(rules: &Arc<RuleSet>, policy: &WafPolicy) -> Transaction {
    let context = HostContext {
        now_ms: Clock::System.now_ms(),
        offset_s: 0,
        unique_id: "test",
        mode: Some(EngineMode::On),
        collections: Arc::new(NoCollections),
        limits: policy.limits,
    };
    Transaction::begin(Arc::clone(rules), context)
}

fn feed(transaction: &mut Transaction, request: &Request) -> Verdict {
    transaction.connection((REMOTE, 1), ("", 0));
    let target = request.target.to_string();
    transaction.request_line(request.method.as_str().as_bytes(), target.as_bytes(), b"HTTP/1.1");
    for (name, value) in &request.headers {
        transaction.request_header(name.as_bytes(), value.as_bytes());
    }
    let verdict = transaction.request_headers_end();
    if verdict != Verdict::Pass {
        return verdict;
    }
    match transaction.request_body(&request.body.clone().into()) {
        Verdict::Pass => transaction.request_end(),
        refused => refused,
    }
}

fn told(transaction: &Transaction, verdict: &Verdict, mode: WafMode) -> Value {
    let trace = transaction.trace().cloned().unwrap_or_default();
    let matched: Vec<Value> = trace.asked.iter().map(told_rule).collect();
    let scores: serde_json::Map<String, Value> = transaction
        .tx_variables()
        .into_iter()
        .filter(|(name, value)| name.ends_with(SCORE) && value != b"0")
        .map(|(name, value)| (name, String::from_utf8_lossy(&value).into()))
        .collect();
    let (status, by) = match verdict {
        Verdict::Pass => (None, None),
        Verdict::Refuse(refusal) => (Some(refusal.status), refusal.rule),
    };
    json!({
        "verdict": if status.is_some() { "refuse" } else { "pass" },
        "status": status,
        "rule": by,
        "mode": mode_name(mode),
        "exhausted": transaction.is_exhausted(),
        "scores": scores,
        "ran": trace.ran,
        "matched": matched,
        "matches_dropped": trace.dropped,
    })
}

fn told_rule(asked: &Asked) -> Value {
    let place = asked.place.to_string();
    let place = place.strip_prefix(release::FOLDER).unwrap_or(&place);
    json!({
        "rule": asked.rule,
        "place": place,
        "phase": asked.phase,
        "whole": asked.is_match,
        "logged": asked.is_logged,
        "message": asked.message,
        "matches": asked.matches.iter().map(told_match).collect::<Vec<_>>(),
    })
}

fn told_match(matched: &TracedMatch) -> Value {
    let captured: serde_json::Map<String, Value> = matched
        .captured
        .iter()
        .map(|(place, bytes)| (place.to_string(), String::from_utf8_lossy(bytes).into()))
        .collect();
    json!({
        "variable": matched.variable,
        "transformations": matched.transformations,
        "value": String::from_utf8_lossy(&matched.value),
        "operator": matched.operator,
        "captured": captured,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use expect_test::expect;
    use yunzhan_waf::seclang::Sources;
    use yunzhan_waf::transaction::Limits;

    use super::*;

    struct One(&'static str);

    impl Sources for One {
        fn list(&self, _: &str) -> Result<Vec<String>, String> {
            Ok(Vec::new())
        }

        fn read(&self, _: &str) -> Result<Vec<u8>, String> {
            Ok(self.0.as_bytes().to_vec())
        }
    }

    const RULES: &str = r#"
SecRule REQUEST_URI "@beginsWith /quiet" "id:1,phase:1,pass,nolog"
SecRule ARGS "@rx union\s+(select)" "id:2,phase:2,deny,capture,t:none,t:lowercase,t:urlDecodeUni,msg:'it unites %{TX.1}',setvar:tx.sql_score=+5,chain"
    SecRule ARGS:page "!@eq 3" "t:none"
"#;

    fn explained(request: &str) -> Value {
        let policy = WafPolicy {
            clock: yunzhan_base::Clock::System,
            rules: Some(Arc::new(RuleSet::load("rules.conf", &One(RULES)).unwrap())),
            mode: WafMode::Observe,
            limits: Limits::default(),
            log_is_plain: false,
            exclusions: Vec::new(),
        };
        let request = Request::read(request.as_bytes()).unwrap();
        explain(&policy, &request, "files", None).unwrap()
    }

    #[test]
    fn a_refusal_says_which_rule_saw_what_and_why() {
        let told = explained(r#"{"target":"/a?id=1+UNION+SELECT&page=2"}"#);
        expect![[r#"
            {
              "exhausted": false,
              "matched": [
                {
                  "logged": true,
                  "matches": [
                    {
                      "captured": {
                        "0": "union select",
                        "1": "select"
                      },
                      "operator": "@rx union\\s+(select)",
                      "transformations": [
                        "lowercase",
                        "urlDecodeUni"
                      ],
                      "value": "1 union select",
                      "variable": "ARGS:id"
                    },
                    {
                      "captured": {},
                      "operator": "!@eq 3",
                      "transformations": [],
                      "value": "2",
                      "variable": "ARGS:page"
                    }
                  ],
                  "message": "it unites select",
                  "phase": 2,
                  "place": "rules.conf:3",
                  "rule": 2,
                  "whole": true
                }
              ],
              "matches_dropped": 0,
              "mode": "observe",
              "ran": [
                [
                  1
                ],
                [
                  2
                ],
                [],
                [],
                []
              ],
              "route": "files",
              "rule": 2,
              "scores": {
                "sql_score": "5"
              },
              "status": 403,
              "verdict": "refuse"
            }"#]]
        .assert_eq(&serde_json::to_string_pretty(&told).unwrap());
    }

    #[test]
    fn a_chain_that_breaks_shows_how_far_it_came() {
        let told = explained(r#"{"target":"/a?id=1+UNION+SELECT&page=3"}"#);
        assert_eq!(
            (&told["verdict"], &told["matched"][0]["whole"]),
            (&json!("pass"), &json!(false))
        );
        let body = r#"{"method":"POST","target":"/","headers":[["content-type","application/x-www-form-urlencoded"]],"body_hex":"69643d756e696f6e2b73656c656374"}"#;
        let told = explained(body);
        assert_eq!(
            told["matched"][0]["matches"][0]["captured"],
            json!({"0":"union select","1":"select"}),
            "{told}"
        );
    }

    #[test]
    fn what_is_no_request_is_told() {
        let check =
            |body: &str| Request::read(body.as_bytes()).map(drop).unwrap_err().message().to_owned();
        assert_eq!(
            check(r#"{"target":"a"}"#),
            "`target` is a path that begins with /, and a query"
        );
        assert_eq!(check(r#"{"target":"/","body_hex":"0"}"#), "`body_hex` is hexadecimal");
        assert_eq!(
            check(r#"{"target":"/","headers":["a: b"]}"#),
            "`headers` are pairs of name and value"
        );
    }
}
