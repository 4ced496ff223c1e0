//! A thousand environments on one server, on SQLite as it is configured by default: what making one takes, what each holds in
//! memory, and how the first request of a closed one fares, in an equal trickle and beside ten that are busy.
//!
//! Requests are those of a cloud function with its server's key: a document read by its id, and every fourth time one inserted.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::Effort;
use crate::load::Connection;
use crate::peer::{Server, ask, request};
use crate::table::{Aim, Row, Section};
use crate::tools::progress;
use crate::yunzhan::launch;
use xtask::process::pause;

const CONFIGURATION: &str = r#"
[listen]
http = "127.0.0.1:0"
https = "127.0.0.1:0"
control = "127.0.0.1:0"

[server]
demo = false
"#;

/// What the acceptance asks for.
const MADE_MS: f64 = 50.0;
const FIRST_MS: f64 = 20.0;
const IDLE_KIB: f64 = 64.0;

/// Environments: as many as one server takes.
const ENVS: usize = 1000;
/// The same in a quick run: still many times as many as may be open.
const ENVS_QUICK: usize = 200;
/// Of these, how many are busy in the second part.
const BUSY: usize = 10;
/// Requests a second in the trickle, and connections that send them.
const TRICKLE_RATE: f64 = 200.0;
const TRICKLE_CONNECTIONS: usize = 4;
/// How often the trickle comes to each environment.
const ROUNDS: usize = 2;
/// How long a server rests before its memory is read.
const REST: Duration = Duration::from_secs(2);
const COLLECTION: &str = "orders";

/// An environment and what its server sends.
struct Tenant {
    read: Vec<u8>,
    insert: Vec<u8>,
}

/// What some requests came to.
#[derive(Default)]
struct Sent {
    reads: Vec<Duration>,
    inserts: Vec<Duration>,
    refused: usize,
}

/// What one request came to.
#[derive(Clone, Copy)]
enum One {
    Read(Duration),
    Insert(Duration),
    Refused,
}

/// Measures all of it on a server of its own.
pub(super) fn measure(program: &Path, folder: &Path, effort: Effort) -> Result<Vec<Section>> {
    let envs = if effort == Effort::Quick { ENVS_QUICK } else { ENVS };
    progress(&format!("{envs} environments"));
    fs::create_dir_all(folder)?;
    fs::write(folder.join("yunzhan.toml"), CONFIGURATION)?;
    let (server, control) = launch(program, folder, &[])?;
    let token = fs::read_to_string(folder.join("data/run/control.token"))?;
    let operator = Caller { host: control, bearer: format!("Bearer {}", token.trim()) };

    let rest = resident_kib(&server)?;
    let (mut made, keys) = make(&operator, envs)?;
    let unused = (resident_kib(&server)? - rest) / envs as f64;
    let (mut collected, tenants) = fill(&operator, server.plain, &keys)?;
    let order: Vec<usize> = (0..ROUNDS * envs).map(|number| number * 7 % envs).collect();
    let trickle = send_trickle(server.plain, &tenants, &order)?;
    let (beside, busy) = beside_busy(server.plain, &tenants)?;
    let used = (resident_kib(&server)? - rest) / envs as f64;
    server.process.stop()?;

    made.sort_unstable();
    collected.sort_unstable();
    let alone = |name: &str, figure, aim| Row::alone(name, figure, aim);
    let most = |figure| Some(Aim::Most(figure));
    let making = vec![
        alone("made, p50, ms", at(&made, 0.5), None),
        alone("made, p99, ms", at(&made, 0.99), most(MADE_MS)),
        alone("its database and a collection, p50, ms", at(&collected, 0.5), None),
        alone("its database and a collection, p99, ms", at(&collected, 0.99), most(MADE_MS)),
        alone("resident, made and unused, KiB each", unused, most(IDLE_KIB)),
        alone("resident, after all this, KiB each", used, most(IDLE_KIB)),
    ];
    let mut beside_rows = beside.rows("first of a closed one", most(FIRST_MS));
    beside_rows.extend(busy.rows("of a busy one", None));
    let trickle_rows = trickle.rows("first of a closed one", most(FIRST_MS));
    Ok(vec![
        Section { title: "a thousand environments", rows: making },
        Section { title: "an equal trickle to all of them", rows: trickle_rows },
        Section { title: "a trickle to the others beside ten that are busy", rows: beside_rows },
    ])
}

/// Who asks, and where.
struct Caller {
    host: SocketAddr,
    bearer: String,
}

impl Caller {
    fn post(&self, target: &str, body: &Value) -> Vec<u8> {
        let headers = [("Authorization", self.bearer.as_str())];
        request("POST", target, self.host, &headers, &body.to_string())
    }
}

/// Makes environments; says how long each took, and its server's key.
fn make(operator: &Caller, envs: usize) -> Result<(Vec<Duration>, Vec<String>)> {
    let (mut made, mut keys) = (Vec::new(), Vec::new());
    for number in 0..envs {
        let asked = operator.post("/control/v1/envs", &json!({ "env": name(number) }));
        let begun = Instant::now();
        let answer = ask(operator.host, &asked)?;
        made.push(begun.elapsed());
        let key = answer["key"]["access_key"].as_str().context("no access key")?;
        keys.push(key.to_owned());
    }
    Ok((made, keys))
}

/// Makes a collection in each, with a document; says how long the former took.
fn fill(
    operator: &Caller,
    host: SocketAddr,
    keys: &[String],
) -> Result<(Vec<Duration>, Vec<Tenant>)> {
    let (mut collected, mut tenants) = (Vec::new(), Vec::new());
    for (number, key) in keys.iter().enumerate() {
        let target = format!("/control/v1/envs/{}/collections", name(number));
        let asked =
            operator.post(&target, &json!({ "name": COLLECTION, "permission": "READONLY" }));
        let begun = Instant::now();
        ask(operator.host, &asked)?;
        collected.push(begun.elapsed());
        let own = Caller { host, bearer: format!("Bearer {key}") };
        let document = json!({ "name": "Longjing 2026", "note": "x".repeat(800) }).to_string();
        let insert = own.post(
            "/admin",
            &json!({
                "action": "database.insertDocument", "collectionName": COLLECTION, "data": [document],
            }),
        );
        let answer = ask(host, &insert)?;
        let id = answer["data"]["insertedIds"][0].as_str();
        let id = id.with_context(|| format!("no id in {answer}"))?;
        let read = own.post(
            "/admin",
            &json!({
                "action": "database.getDocument", "collectionName": COLLECTION, "queryType": "DOC",
                "query": json!({ "_id": id }).to_string(),
            }),
        );
        tenants.push(Tenant { read, insert });
    }
    Ok((collected, tenants))
}

/// Sends requests to these environments in this order, at a fixed rate.
fn send_trickle(host: SocketAddr, tenants: &[Tenant], order: &[usize]) -> Result<Sent> {
    let next = AtomicUsize::new(0);
    let sent = Mutex::new(Sent::default());
    let begun = Instant::now();
    let work = || -> Result<()> {
        let mut connection = Connection::open(host)?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(tenant) = order.get(number).and_then(|tenant| tenants.get(*tenant)) else {
                return Ok(());
            };
            let due = Duration::from_secs_f64(number as f64 / TRICKLE_RATE);
            pause(due.saturating_sub(begun.elapsed()));
            let one = tenant.ask(&mut connection, number)?;
            sent.lock().expect("no worker panics").add(one);
        }
    };
    in_threads(TRICKLE_CONNECTIONS, |_| work())?;
    Ok(sent.into_inner().expect("no worker panics"))
}

/// Keeps the first ones busy, each on a connection of its own, while the others get a trickle.
fn beside_busy(host: SocketAddr, tenants: &[Tenant]) -> Result<(Sent, Sent)> {
    let (busy, idle) = tenants.split_at(BUSY.min(tenants.len()));
    let is_over = AtomicBool::new(false);
    let sent = Mutex::new(Sent::default());
    let keep_busy = |number: usize| -> Result<()> {
        let mut connection = Connection::open(host)?;
        let Some(tenant) = busy.get(number) else { return Ok(()) };
        let mut own = Sent::default();
        for number in 0.. {
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            own.add(tenant.ask(&mut connection, number)?);
        }
        let mut sent = sent.lock().expect("no worker panics");
        sent.reads.extend(own.reads);
        sent.inserts.extend(own.inserts);
        sent.refused += own.refused;
        Ok(())
    };
    let order: Vec<usize> = (0..idle.len()).map(|number| number * 7 % idle.len()).collect();
    let trickle = std::thread::scope(|scope| {
        let busy = scope.spawn(|| in_threads(BUSY, keep_busy));
        let trickle = send_trickle(host, idle, &order);
        is_over.store(true, Ordering::Relaxed);
        busy.join().expect("no panic")?;
        trickle
    })?;
    Ok((trickle, sent.into_inner().expect("no worker panics")))
}

fn in_threads(threads: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..threads).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })
}

// === impl Tenant ===

impl Tenant {
    /// Sends one request; says how long it took, if it was served.
    fn ask(&self, connection: &mut Connection, number: usize) -> Result<One> {
        let is_insert = number % 4 == 3;
        let asked = if is_insert { &self.insert } else { &self.read };
        let begun = Instant::now();
        let answer = connection.ask(asked)?;
        let took = begun.elapsed();
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        // This dialect says in the body what it refuses.
        let is_served = answer.status == 200 && value.get("code").is_none();
        if !is_served {
            progress(&format!("refused: status {}: {}", answer.status, answer.text()));
        }
        Ok(match (is_served, is_insert) {
            (false, _) => One::Refused,
            (true, false) => One::Read(took),
            (true, true) => One::Insert(took),
        })
    }
}

// === impl Sent ===

impl Sent {
    fn add(&mut self, one: One) {
        match one {
            One::Read(took) => self.reads.push(took),
            One::Insert(took) => self.inserts.push(took),
            One::Refused => self.refused += 1,
        }
    }

    /// Reads and inserts apart, because the latter wait for the disk.
    fn rows(mut self, what: &str, aim: Option<Aim>) -> Vec<Row> {
        let mut rows = Vec::new();
        for (kind, latencies) in [("read", &mut self.reads), ("insert", &mut self.inserts)] {
            latencies.sort_unstable();
            let name = |figure: &str| format!("{kind}, {what}, {figure}");
            rows.push(Row::alone(&name("p50, ms"), at(latencies, 0.5), None));
            rows.push(Row::alone(&name("p99, ms"), at(latencies, 0.99), aim));
            rows.push(Row::alone(&name("the slowest, ms"), at(latencies, 1.0), None));
            rows.push(Row::alone(&name("requests"), latencies.len() as f64, None));
        }
        let nobody = Some(Aim::Most(0.0));
        rows.push(Row::alone(&format!("{what}, refused"), self.refused as f64, nobody));
        rows
    }
}

/// The latency in milliseconds that this share of them, from 0 to 1, stayed within.
fn at(sorted: &[Duration], share: f64) -> f64 {
    let index = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted.get(index).copied().unwrap_or_default().as_secs_f64() * 1e3
}

fn resident_kib(server: &Server) -> Result<f64> {
    pause(REST);
    Ok(server.process.resident_bytes()? as f64 / 1024.0)
}

fn name(number: usize) -> String {
    format!("tenant-{number:04}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_comes_to_each_and_never_twice_in_a_row() {
        for envs in [ENVS, ENVS_QUICK, ENVS - BUSY, ENVS_QUICK - BUSY] {
            let mut order: Vec<usize> = (0..envs).map(|number| number * 7 % envs).collect();
            order.sort_unstable();
            order.dedup();
            assert_eq!(order.len(), envs);
        }
    }

    #[test]
    fn a_latency_is_that_of_a_share() {
        let latencies: Vec<Duration> = (0..=100).map(Duration::from_millis).collect();
        assert_eq!((at(&latencies, 0.5), at(&latencies, 1.0)), (50.0, 100.0));
        assert_eq!(at(&[], 0.5), 0.0);
    }
}
