//! Rules against attacks: the request's head and body before business code parses anything, the answer before a byte of it
//! leaves.
//!
//! The rules are ModSecurity's language, compiled by `yunzhan_waf`; this stage feeds them and turns their verdict into the
//! gateway's words. Small requests are judged at once, large bodies on the threads for work that blocks.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{HOST, HeaderValue, LOCATION};
use http::{Response, StatusCode, Version, request, response};
use yunzhan_base::body::Watch;
use yunzhan_base::event::{
    AttackKind, AttackSuspected, Event as Emitted, Events, Outcome, SuspectedMatch,
};
use yunzhan_base::{Accepts, Body, Clock, Error, Kind, Live, Result, WafMode, mask};
use yunzhan_waf::seclang::ast::EngineMode;
use yunzhan_waf::transaction::{BodyIntake, Collections, Event, Limits, Refusal};
use yunzhan_waf::{HostContext, RuleSet, Transaction, Verdict};

use crate::budget::{Budget, Share};
use crate::exchange::{Exchange, RuleState};
use crate::stage::{BodyPlan, Stage, Step};
use crate::stages::memory_collections::MemoryCollections;

/// Bodies up to this size are judged where the request is: a few hundred microseconds.
const BODY_BYTES_AT_ONCE: usize = 16 << 10;

/// Bodies of streaming routes that rules keep whole, such as JSON and forms, are held up to this length, and judged before a
/// byte of them travels. Longer ones, and those that do not say their length, are judged while they stream.
const HELD_BYTES_MAX: u64 = 1 << 20;

/// The same for bodies that rules read as they pass, such as multipart.
const READ_AHEAD_BYTES_MAX: u64 = 64 << 10;

/// Characters of a value that an event quotes, masked.
const VALUE_CHARS_MAX: usize = 64;

/// The TX variables in which rule sets count how suspicious a request is, the first that is there counts.
const SCORES: [&str; 2] = ["blocking_inbound_anomaly_score", "anomaly_score"];

/// The TX variable that tells rules which route answers. Paths do not: the same one may mean another thing on another host.
pub const ROUTE_FACT: &str = "yunzhan_route";

/// The rules that requests pass. Clones see the same rules; replacing them drops no request.
#[derive(Clone)]
pub struct Waf {
    live: Live<WafPolicy>,
    /// What rules remember between requests, whichever rules they are.
    collections: Arc<dyn Collections>,
}

/// What guards.
pub struct WafPolicy {
    /// What time it is.
    pub clock: Clock,
    /// The rules; none guards nothing.
    pub rules: Option<Arc<RuleSet>>,
    /// What they may do where a route does not say otherwise.
    pub mode: WafMode,
    /// What one request may cost.
    pub limits: Limits,
    /// Whether events quote requests as they are, and not masked. They then hold what people wrote.
    pub log_is_plain: bool,
    /// Rules that do not run at some paths.
    pub exclusions: Vec<Exclusion>,
}

/// Rules that do not run at a path.
#[derive(Clone, Debug)]
pub struct Exclusion {
    /// The path as requests spell it. A `*` at the end stands for anything; a request that spells the path in another way
    /// passes all rules.
    pub path: String,
    /// The rules, as `RuleSet::places` gives them.
    pub places: Box<[u32]>,
}

impl Waf {
    /// Guards with these.
    pub fn new(policy: WafPolicy) -> Self {
        Self::with_collections(policy, Arc::new(MemoryCollections::default()))
    }

    /// The same, with what rules remember kept elsewhere.
    pub fn with_collections(policy: WafPolicy, collections: Arc<dyn Collections>) -> Self {
        Self { live: Live::new(policy), collections }
    }

    /// Guards nothing.
    pub fn off() -> Self {
        Self::new(WafPolicy {
            clock: Clock::System,
            rules: None,
            mode: WafMode::Off,
            limits: Limits::default(),
            log_is_plain: false,
            exclusions: Vec::new(),
        })
    }

    /// Guards with others from the next request on.
    pub fn replace(&self, policy: WafPolicy) {
        self.live.store(policy);
    }

    /// What guards now.
    pub fn policy(&self) -> Arc<WafPolicy> {
        self.live.load()
    }
}

impl WafPolicy {
    /// Leaves out the rules that do not run at a path.
    pub fn leave_out(&self, transaction: &mut Transaction, path: &str) {
        for exclusion in self.exclusions.iter().filter(|exclusion| exclusion.holds(path)) {
            transaction.leave_out(&exclusion.places);
        }
    }
}

impl Exclusion {
    fn holds(&self, path: &str) -> bool {
        match self.path.strip_suffix('*') {
            Some(beginning) => path.starts_with(beginning),
            None => path == self.path,
        }
    }
}

/// The stage.
pub(crate) struct WafStage {
    waf: Waf,
    budget: Budget,
    events: Events,
}

impl WafStage {
    pub(crate) fn new(waf: Waf, budget: Budget, events: Events) -> Self {
        Self { waf, budget, events }
    }

    /// A transaction that has seen the head, unless nothing guards here.
    fn begin(&self, exchange: &Exchange, mode: Option<WafMode>) -> Option<Box<Transaction>> {
        let policy = self.waf.live.peek();
        let rules = Arc::clone(policy.rules.as_ref()?);
        let mode = match mode.unwrap_or(policy.mode) {
            WafMode::Off => return None,
            WafMode::Block => EngineMode::On,
            WafMode::Observe => EngineMode::DetectionOnly,
        };
        let id = exchange.request_id.hex();
        let context = HostContext {
            now_ms: policy.clock.now_ms(),
            offset_s: 0,
            unique_id: std::str::from_utf8(&id).unwrap_or_default(),
            mode: Some(mode),
            collections: Arc::clone(&self.waf.collections),
            limits: policy.limits,
        };
        let mut transaction = Box::new(Transaction::begin(rules, context));
        policy.leave_out(&mut transaction, exchange.head.uri.path());
        transaction.set_fact(ROUTE_FACT, exchange.route_name().as_bytes());
        feed_head(&mut transaction, exchange);
        Some(transaction)
    }

    async fn judge_body<'x>(&'x self, exchange: &'x mut Exchange, bytes_max: usize) -> Step<'x> {
        let body = match exchange.body.hold(bytes_max, &self.budget).await {
            Ok(body) => body,
            Err(error) => return Step::Refuse(error),
        };
        let Some(RuleState::Own(mut transaction)) = exchange.rules.take() else {
            return Step::Next;
        };
        let verdict = if body.len() <= BODY_BYTES_AT_ONCE {
            feed_body(&mut transaction, &body)
        } else {
            let judged = tokio::task::spawn_blocking(move || {
                let verdict = feed_body(&mut transaction, &body);
                (transaction, verdict)
            });
            match judged.await {
                Ok((judged, verdict)) => {
                    transaction = judged;
                    verdict
                }
                Err(error) => {
                    return Step::Refuse(Error::internal("rules ended early").because(error));
                }
            }
        };
        exchange.rules = Some(RuleState::Own(transaction));
        decide(verdict)
    }

    /// Has the rules see the body while it streams to whoever answers.
    fn watch_body(&self, exchange: &mut Exchange) {
        let Some(rules) = exchange.rules.take() else { return };
        let (rules, transaction) = rules.share();
        exchange.rules = Some(rules);
        let budget = self.budget.clone();
        exchange.body.watch(Box::new(JudgedBody { transaction, budget, share: Share::default() }));
    }

    /// The rules' last word: what they count, and the event.
    fn conclude(&self, exchange: &mut Exchange) {
        let Some(mut rules) = exchange.rules.take() else { return };
        rules.with(|transaction| {
            transaction.log();
            if !transaction.events().is_empty() || transaction.is_exhausted() {
                self.emit(exchange, transaction);
            }
        });
    }

    fn emit(&self, exchange: &Exchange, transaction: &Transaction) {
        let is_plain = self.waf.live.peek().log_is_plain;
        let matches: Vec<SuspectedMatch<'_>> =
            transaction.events().iter().map(|event| suspected(event, is_plain)).collect();
        let number = |name: &&str| std::str::from_utf8(transaction.tx(name)?).ok()?.parse().ok();
        self.events.emit(&Emitted::AttackSuspected(AttackSuspected {
            facts: exchange.facts(),
            matches: &matches,
            score: SCORES.iter().find_map(number),
            is_refused: transaction.is_refused(),
            is_exhausted: transaction.is_exhausted(),
        }));
    }
}

/// A body that rules see while it streams. What they keep of it is paid from the budget of held bodies.
struct JudgedBody {
    transaction: Arc<Mutex<Box<Transaction>>>,
    budget: Budget,
    share: Share,
}

impl Watch for JudgedBody {
    fn chunk(&mut self, bytes: &Bytes) -> Result<()> {
        let mut transaction = self.transaction.lock().unwrap_or_else(PoisonError::into_inner);
        if !transaction.looks_at_more_request_body() {
            return Ok(());
        }
        let verdict = transaction.request_body(bytes);
        let held_bytes = transaction.held_bytes();
        drop(transaction);
        self.budget.cover(&mut self.share, held_bytes)?;
        permitted(&verdict)
    }

    fn end(&mut self) -> Result<()> {
        let mut transaction = self.transaction.lock().unwrap_or_else(PoisonError::into_inner);
        let is_long = transaction.held_bytes() > BODY_BYTES_AT_ONCE;
        permitted(&run_now(is_long, || transaction.request_end()))
    }
}

/// Whether a body is judged while it streams. What is small is judged before a byte of it travels, and can be sent again;
/// what the rules would keep whole in any case is held a little longer than what they read as it passes.
fn streams(exchange: &Exchange, accepts: &Accepts, intake: BodyIntake) -> bool {
    let bytes_max = match intake {
        BodyIntake::Held => HELD_BYTES_MAX,
        BodyIntake::Parsed | BodyIntake::Ignored => READ_AHEAD_BYTES_MAX,
    };
    let is_small = exchange.body.declared_bytes().is_some_and(|bytes| bytes <= bytes_max);
    matches!(accepts, Accepts::Streaming { .. }) && !is_small && !exchange.body.is_held()
}

/// Computes at once, after handing the worker's other tasks over when it may take long and there is another worker.
fn run_now<T>(is_long: bool, work: impl FnOnce() -> T) -> T {
    let flavor = tokio::runtime::Handle::try_current().map(|handle| handle.runtime_flavor());
    match flavor {
        Ok(tokio::runtime::RuntimeFlavor::MultiThread) if is_long => {
            tokio::task::block_in_place(work)
        }
        _ => work(),
    }
}

fn permitted(verdict: &Verdict) -> Result<()> {
    match verdict {
        Verdict::Pass => Ok(()),
        Verdict::Refuse(refusal) => Err(refused(refusal)),
    }
}

impl Stage for WafStage {
    fn request<'x>(&'x self, exchange: &'x mut Exchange) -> Step<'x> {
        let Some(policy) = exchange.policy().copied() else { return Step::Next };
        let Some(mut transaction) = self.begin(exchange, policy.waf) else { return Step::Next };
        let verdict = transaction.request_headers_end();
        let intake = transaction.request_body_intake();
        let wants_body = !exchange.body.is_empty() && intake != BodyIntake::Ignored;
        if verdict != Verdict::Pass || !wants_body {
            let verdict = match verdict {
                Verdict::Pass => transaction.request_end(),
                refused => refused,
            };
            exchange.rules = Some(RuleState::Own(transaction));
            return decide(verdict);
        }
        exchange.rules = Some(RuleState::Own(transaction));
        if streams(exchange, &policy.accepts, intake) {
            self.watch_body(exchange);
            return Step::Next;
        }
        let bytes_max = usize::try_from(policy.accepts.bytes_max()).unwrap_or(usize::MAX);
        Step::Wait(Box::pin(self.judge_body(exchange, bytes_max)))
    }

    /// Who looks for what is not there, or writes what cannot be read, is looked at all the same: attacks begin so. Nothing
    /// can be decided any more, and bodies are not waited for.
    fn refused(&self, exchange: &mut Exchange, kind: Kind) {
        if !matches!(kind, Kind::Malformed | Kind::NotFound | Kind::MethodNotAllowed) {
            return;
        }
        if let Some(mut transaction) = self.begin(exchange, None) {
            transaction.request_headers_end();
            transaction.request_end();
            exchange.rules = Some(RuleState::Own(transaction));
        }
    }

    fn response(&self, exchange: &mut Exchange, head: &mut response::Parts) -> BodyPlan {
        let version = exchange.head.version;
        let Some(rules) = &mut exchange.rules else { return BodyPlan::Pass };
        rules.with(|transaction| response_plan(transaction, version, head))
    }

    fn response_body(&self, exchange: &mut Exchange, body: &Bytes) -> Result<()> {
        let Some(rules) = &mut exchange.rules else { return Ok(()) };
        rules.with(|transaction| {
            transaction.response_body(body);
            permitted(&transaction.response_end())
        })
    }

    fn upgraded(&self, exchange: &mut Exchange) {
        self.conclude(exchange);
    }

    fn finish(&self, exchange: &mut Exchange, _outcome: Outcome) {
        self.conclude(exchange);
    }
}

fn response_plan(
    transaction: &mut Transaction,
    version: Version,
    head: &response::Parts,
) -> BodyPlan {
    // The answer is what the refusal of the request says, such as a redirect.
    if transaction.is_refused() {
        return BodyPlan::Pass;
    }
    for (name, value) in &head.headers {
        transaction.response_header(name.as_str().as_bytes(), value.as_bytes());
    }
    let verdict = transaction.response_headers_end(head.status.as_u16(), protocol(version));
    if let Verdict::Refuse(refusal) = verdict {
        return BodyPlan::Refuse(refused(&refusal));
    }
    if !transaction.wants_response_body() {
        // What the rules of phase 4 count and judge is not the body alone.
        return match transaction.response_end() {
            Verdict::Pass => BodyPlan::Pass,
            Verdict::Refuse(refusal) => BodyPlan::Refuse(refused(&refusal)),
        };
    }
    // One byte more says that there is more.
    BodyPlan::Hold { bytes_max: transaction.response_body_bytes_max().saturating_add(1) }
}

fn feed_head(transaction: &mut Transaction, exchange: &Exchange) {
    let remote = exchange.client;
    let address = remote.ip().to_string();
    transaction.connection((&address, remote.port()), ("", 0));
    let head = &exchange.head;
    let target = target(head);
    transaction.request_line(
        head.method.as_str().as_bytes(),
        target.as_bytes(),
        protocol(head.version),
    );
    // HTTP/2 names the host in the target; rules look for the header.
    if let (Some(authority), None) = (head.uri.authority(), head.headers.get(HOST)) {
        transaction.request_header(b"host", authority.as_str().as_bytes());
    }
    for (name, value) in &head.headers {
        transaction.request_header(name.as_str().as_bytes(), value.as_bytes());
    }
}

fn feed_body(transaction: &mut Transaction, body: &Bytes) -> Verdict {
    match transaction.request_body(body) {
        Verdict::Pass => transaction.request_end(),
        refused => refused,
    }
}

/// The target as it was sent, but for scheme and host in HTTP/2.
fn target(head: &request::Parts) -> String {
    match head.version {
        Version::HTTP_2 => {
            head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned()
        }
        _ => head.uri.to_string(),
    }
}

const fn protocol(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_09 => b"HTTP/0.9",
        Version::HTTP_10 => b"HTTP/1.0",
        Version::HTTP_2 => b"HTTP/2.0",
        Version::HTTP_3 => b"HTTP/3.0",
        _ => b"HTTP/1.1",
    }
}

fn decide<'x>(verdict: Verdict) -> Step<'x> {
    let Verdict::Refuse(refusal) = verdict else { return Step::Next };
    let location = refusal.location.as_deref().map(HeaderValue::from_str);
    let Some(Ok(location)) = location else { return Step::Refuse(refused(&refusal)) };
    let mut answer = Response::new(Body::Empty);
    *answer.status_mut() = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::FOUND);
    answer.headers_mut().insert(LOCATION, location);
    Step::Reply(Box::new(answer))
}

fn refused(refusal: &Refusal) -> Error {
    if refusal.status == StatusCode::PAYLOAD_TOO_LARGE.as_u16() {
        return Error::new(Kind::TooLarge, "the body is larger than rules may look at");
    }
    let error = Error::new(
        Kind::PermissionDenied,
        "the request was refused because it looks like an attack; quote this request id to the operator",
    );
    match refusal.rule {
        Some(rule) => error.with_detail(format!("rule {rule}")),
        None => error.with_detail("rules reached the bound of their work"),
    }
}

fn suspected(event: &Event, is_plain: bool) -> SuspectedMatch<'_> {
    let shown = |value: &[u8]| match is_plain {
        true => String::from_utf8_lossy(value).into_owned(),
        false => mask::form(value, VALUE_CHARS_MAX),
    };
    SuspectedMatch {
        rule: event.rule,
        message: &event.message,
        attack: attack(&event.tags),
        variable: &event.variable,
        value: shown(&event.value),
        data: shown(event.data.as_bytes()),
    }
}

/// The kind of attack by the tags that rule sets in ModSecurity's language agree on.
fn attack(tags: &[String]) -> AttackKind {
    let kind = |tag: &String| {
        Some(match tag.as_str() {
            "attack-sqli" => AttackKind::SqlInjection,
            "attack-xss" => AttackKind::Scripting,
            "attack-lfi" | "attack-rfi" => AttackKind::FileInclusion,
            "attack-rce"
            | "attack-injection-php"
            | "attack-injection-java"
            | "attack-injection-generic" => AttackKind::CodeExecution,
            "attack-reputation-scanner" => AttackKind::Scanner,
            "attack-protocol" | "attack-multipart-header" => AttackKind::Protocol,
            "attack-disclosure" => AttackKind::Leak,
            _ => return None,
        })
    };
    tags.iter().find_map(kind).unwrap_or(AttackKind::Other)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may")]
mod tests {
    use yunzhan_base::{Access, RoutePolicy};
    use yunzhan_waf::seclang::Sources;

    use super::*;
    use crate::budget::HeldBodies;
    use crate::testing::{decide, exchange_of, matched};

    struct File(&'static str);

    impl Sources for File {
        fn list(&self, _: &str) -> Result<Vec<String>, String> {
            Ok(Vec::new())
        }

        fn read(&self, _: &str) -> Result<Vec<u8>, String> {
            Ok(self.0.as_bytes().to_vec())
        }
    }

    const RULES: &str = r#"
SecRequestBodyAccess On
SecRule REQUEST_URI "@contains evil" "id:1,phase:1,deny"
SecRule ARGS:a "@streq evil" "id:2,phase:2,deny"
SecRule REQUEST_URI "@contains moved" "id:3,phase:1,redirect:/there"
SecRule RESPONSE_STATUS "@eq 418" "id:4,phase:3,deny"
"#;

    fn stage(mode: WafMode) -> WafStage {
        let rules = RuleSet::load("rules.conf", &File(RULES)).unwrap();
        let waf = Waf::new(WafPolicy {
            clock: Clock::manual(0),
            rules: Some(Arc::new(rules)),
            mode,
            limits: Limits::default(),
            log_is_plain: false,
            exclusions: Vec::new(),
        });
        WafStage::new(waf, Budget::new(1 << 20, HeldBodies::default()), Events::default())
    }

    fn asked(uri: &str, body: &'static str, policy: RoutePolicy) -> Exchange {
        let head = http::Request::post(uri)
            .header("host", "a")
            .header("content-type", "application/x-www-form-urlencoded");
        let mut exchange = exchange_of(head, body.into());
        matched(&mut exchange, Access::Public, policy);
        exchange
    }

    async fn check(mode: WafMode, uri: &str, body: &'static str) -> String {
        let mut exchange = asked(uri, body, RoutePolicy::CORE.buffered(64));
        decide(&stage(mode), &mut exchange).await.chars().take(24).collect()
    }

    #[tokio::test]
    async fn heads_and_bodies_are_judged_before_anybody_parses_them() {
        assert_eq!(check(WafMode::Block, "/", "a=good").await, "next");
        assert_eq!(check(WafMode::Block, "/evil", "").await, "refuse permission_denied");
        assert_eq!(check(WafMode::Block, "/", "a=evil").await, "refuse permission_denied");
        assert_eq!(check(WafMode::Block, "/moved", "").await, "reply 302");
        assert_eq!(check(WafMode::Observe, "/evil", "a=evil").await, "next");
        assert_eq!(check(WafMode::Off, "/evil", "a=evil").await, "next");
    }

    #[tokio::test]
    async fn a_route_may_be_judged_in_another_mode() {
        let off = RoutePolicy { waf: Some(WafMode::Off), ..RoutePolicy::CORE };
        assert_eq!(decide(&stage(WafMode::Block), &mut asked("/evil", "", off)).await, "next");
    }

    #[tokio::test]
    async fn an_answer_is_judged_before_it_leaves() {
        let stage = stage(WafMode::Block);
        let mut exchange = asked("/", "", RoutePolicy::CORE);
        decide(&stage, &mut exchange).await;
        let (mut head, ()) = Response::builder().status(418).body(()).unwrap().into_parts();
        assert!(matches!(stage.response(&mut exchange, &mut head), BodyPlan::Refuse(_)));
    }
}
