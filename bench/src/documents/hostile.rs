//! Point reads while others send what costs as much as one request may: how much longer they take then.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::offer::Loaded;
use super::ours::{COLLECTIONS, Caller};
use super::sample::mixed;
use super::{Plan, READ};
use crate::load::{Connection, Done, Load};
use crate::table::{Aim, Row, Section};
use crate::tools::progress;
use crate::yunzhan::sign_in;

/// Connections that read: few, so that the latency is not that of a queue of readers.
const READERS: usize = 2;
/// Readings of which the latency is taken.
const READINGS: usize = 20_000;
/// Conditions of one filter.
const BRANCHES: u64 = 10_000;
/// Bytes of a text to search: as large as a pipeline may be that brings its own.
const SUBJECT_BYTES: u64 = 200_000;
/// What we aim at while the attack goes on, in microseconds: what a person does not notice.
const ATTACKED_P99_US: f64 = 50_000.0;

/// Reads alone, and then while each of the hostile requests is sent again and again.
pub(super) fn measure(own: &Loaded, plan: &Plan) -> Result<Section> {
    progress("point reads while hostile pipelines run");
    let (server, question) = own.question(READ.name).context("documents can be read")?;
    let (connections, requests) = (READERS, READINGS.min(plan.requests));
    let (address, time_max) = (server.plain, plan.time_max);
    let load = Load { address, pool: &question.pool, connections, requests, time_max };
    let quiet = load.run()?;
    let attacks = attacks(address)?;
    let is_over = AtomicBool::new(false);
    let attacked = std::thread::scope(|scope| {
        let attack = |request: &[u8]| -> Result<usize> {
            let mut ended = 0;
            while !is_over.load(Ordering::Relaxed) {
                let answer = Connection::open(address)?.ask(request)?;
                ensure!(answer.status >= 400, "{}: {}", answer.status, answer.text());
                ended += 1;
            }
            Ok(ended)
        };
        let attacking: Vec<_> =
            attacks.iter().map(|request| scope.spawn(move || attack(request))).collect();
        let attacked = load.run();
        is_over.store(true, Ordering::Relaxed);
        for attacker in attacking {
            let ended = attacker.join().expect("an attacker does not panic")?;
            ensure!(ended > 0, "an attack never ended");
        }
        attacked
    })?;
    Ok(section(&quiet, &attacked))
}

fn section(quiet: &Done, attacked: &Done) -> Section {
    let us = |latency: Duration| latency.as_secs_f64() * 1e6;
    let row = |name, share, aim| {
        Row::beside(name, us(quiet.latency(share)), us(attacked.latency(share)), aim)
    };
    let rows = vec![row("p50", 0.5, None), row("p99", 0.99, Some(Aim::Most(ATTACKED_P99_US)))];
    Section { title: "point read while hostile pipelines run, µs", rows }
}

/// What a visitor may send who means harm: each is refused once it has cost what it may.
fn attacks(host: SocketAddr) -> Result<Vec<Vec<u8>>> {
    let visitor = Caller { host, bearer: format!("Bearer {}", sign_in(host)?) };
    let joined =
        json!({ "from": "sales", "localField": "status", "foreignField": "status", "as": "all" });
    let inner = json!({ "from": "sales", "pipeline": [{ "$lookup": joined }], "as": "all" });
    let everything = json!([
        { "$sort": { "remark": 1 } },
        { "$group": { "_id": "$remark", "all": { "$push": "$$ROOT" } } },
    ]);
    let facets: serde_json::Map<String, Value> =
        (0..50).map(|n| (format!("f{n}"), everything.clone())).collect();
    let range = json!({ "$range": [0, 10_000] });
    let one = json!({ "$map": { "input": range, "in": { "$add": ["$$this", 1] } } });
    let loops = json!({ "$map": { "input": range, "in": { "$size": one } } });
    // What the random bits are does not matter, but that no automaton gets through with few states.
    let digits: String =
        (0..SUBJECT_BYTES).map(|n| if mixed(n) & 1 == 0 { '0' } else { '1' }).collect();
    let searched = json!({ "$regexMatch": { "input": digits, "regex": "[01]*1[01]{4000}x" } });
    let pipelines = [
        json!([{ "$lookup": inner }]),
        json!([{ "$facet": facets }]),
        json!([{ "$project": { "a": loops } }]),
        json!([{ "$project": { "a": searched } }]),
    ];
    let aggregations = format!("{COLLECTIONS}/sales/documents/aggregations");
    let pipeline = |pipeline: Value| {
        visitor.request("POST", &aggregations, &json!({ "pipeline": pipeline }).to_string())
    };
    let branches: Vec<Value> = (0..BRANCHES).map(|n| json!({ "total": n })).collect();
    let branches = json!({ "query": { "$or": branches }, "multi": true }).to_string();
    let remove = format!("{COLLECTIONS}/incoming/documents/remove");
    let branched = visitor.request("POST", &remove, &branches);
    Ok(pipelines.into_iter().map(pipeline).chain([branched]).collect())
}
