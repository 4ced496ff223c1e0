//! What one request costs: loads rules from a folder and runs requests against them, with the figures that
//! `cargo xtask bench waf` prints beside those of libmodsecurity.

#![allow(clippy::print_stdout, reason = "an example prints")]

use std::sync::Arc;
use std::time::Instant;

use yunzhan_waf::seclang::Sources;
use yunzhan_waf::transaction::NoCollections;
use yunzhan_waf::{Context, RuleSet, Transaction, Verdict};

/// The file system, as it is.
struct Disk;

impl Sources for Disk {
    fn list(&self, folder: &str) -> Result<Vec<String>, String> {
        let entries = std::fs::read_dir(folder).map_err(|error| format!("{folder}: {error}"))?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        std::fs::read(path).map_err(|error| format!("{path}: {error}"))
    }
}

struct Request {
    name: &'static str,
    method: &'static str,
    target: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn requests() -> Vec<Request> {
    let headers = |extra: &[(&'static str, &str)]| {
        let common = [
            ("Host", "api.example.com"),
            (
                "User-Agent",
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 MicroMessenger/8.0.44",
            ),
            ("Accept", "*/*"),
            ("Accept-Language", "zh-CN,zh-Hans;q=0.9"),
            ("Accept-Encoding", "gzip, deflate, br"),
        ];
        common.iter().chain(extra).map(|(name, value)| (*name, (*value).to_owned())).collect()
    };
    let fields: Vec<String> =
        (0..80).map(|at| format!("\"field{at}\":\"value {at} of a form\"")).collect();
    let json = format!("{{{}}}", fields.join(","));
    let form: Vec<String> = (0..200).map(|at| format!("field{at}=some+text+that+people+write+in+a+form+{at}+and+more+of+it+{at}+until+it+is+long+enough+for+a+test")).collect();
    let form = form.join("&");
    vec![
        Request { name: "GET, 3 arguments", method: "GET", target: "/api/goods?page=2&size=20&sort=price".into(), headers: headers(&[]), body: Vec::new() },
        Request { name: "POST, JSON of 80 fields", method: "POST", target: "/api/orders".into(), headers: headers(&[("Content-Type", "application/json")]), body: json.into_bytes() },
        Request { name: "POST, form of 20 KB", method: "POST", target: "/api/form".into(), headers: headers(&[("Content-Type", "application/x-www-form-urlencoded")]), body: form.into_bytes() },
        Request { name: "attack", method: "GET", target: "/api/goods?id=1%27%20UNION%20SELECT%20name,password%20FROM%20users--%20&q=%3Cscript%3Ealert(1)%3C/script%3E".into(), headers: headers(&[]), body: Vec::new() },
    ]
}

#[inline(never)]
fn run(rules: &Arc<RuleSet>, request: &Request) -> (Verdict, Vec<u64>) {
    let context = Context {
        now_ms: 0,
        offset_s: 0,
        unique_id: "1",
        mode: None,
        collections: Arc::new(NoCollections),
        limits: yunzhan_waf::transaction::Limits::default(),
    };
    let mut transaction = Transaction::begin(Arc::clone(rules), context);
    transaction.connection(("10.0.0.1", 1234), ("10.0.0.2", 80));
    transaction.request_line(request.method.as_bytes(), request.target.as_bytes(), b"HTTP/1.1");
    for (name, value) in &request.headers {
        transaction.request_header(name.as_bytes(), value.as_bytes());
    }
    if !request.body.is_empty() {
        transaction.request_header(b"Content-Length", request.body.len().to_string().as_bytes());
    }
    transaction.request_headers_end();
    transaction.request_body(&request.body);
    let verdict = transaction.request_end();
    transaction.response_header(b"content-type", b"application/json");
    transaction.response_headers_end(200, b"HTTP/1.1");
    transaction.response_end();
    transaction.log();
    (verdict, transaction.events().iter().filter_map(|event| event.rule).collect())
}

fn main() {
    let root = std::env::args().nth(1).expect("the first argument names a file of rules");
    let rounds: u32 = std::env::args().nth(2).and_then(|text| text.parse().ok()).unwrap_or(2000);
    let begun = Instant::now();
    let rules = match RuleSet::load_with(&root, &Disk, yunzhan_waf::rules::Unserved::LeaveOut) {
        Ok(rules) => Arc::new(rules),
        Err(problems) => {
            for problem in problems {
                println!("{}: {:?}: {}", problem.place, problem.rule, problem.message);
            }
            std::process::exit(1);
        }
    };
    println!(
        "{} rules in {:.0} ms, {} MiB",
        rules.len(),
        begun.elapsed().as_secs_f64() * 1e3,
        resident_mib()
    );
    for problem in rules.left_out() {
        println!("left out: {}: {:?}: {}", problem.place, problem.rule, problem.message);
    }
    for request in requests() {
        let (verdict, events) = run(&rules, &request);
        let begun = Instant::now();
        for _ in 0..rounds {
            std::hint::black_box(run(&rules, &request));
        }
        let us = begun.elapsed().as_secs_f64() * 1e6 / f64::from(rounds);
        println!("{}: {us:.1} us, {verdict:?}, {events:?}", request.name);
    }
    println!("{} MiB", resident_mib());
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
        .map_or(0, |kib| kib >> 10)
}
