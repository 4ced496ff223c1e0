//! Our own server: loaded through its server dialect, asked as a mini-program's visitor asks.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::offer::{Loaded, Wanted};
use super::sample::{Order, Place, STATUSES, mixed};
use super::{CREATE, NEAREST, Plan, QUERY, READ, SUM, UPDATE};
use crate::load::Connection;
use crate::peer::{Server, ask, request};
use crate::tools::progress;
use crate::yunzhan::{ENV, launch, sign_in};
use xtask::process::pause;

/// Documents of one insert: as many as a call takes.
const BATCH: u64 = 1000;
/// Connections that load.
const LOADERS: usize = 2;
/// Different requests of each kind.
const POOL: u64 = 500;
/// How long an index may take to be built.
const INDEX_TIMEOUT: Duration = Duration::from_secs(1800);
pub(super) const COLLECTIONS: &str =
    "/v1/database/instances/(default)/databases/(default)/collections";
const BEARER: &str = "Authorization";

const ORDERS_INDEX: &str = r#"{"name":"owner_status","keys":[{"field":"owner","direction":"1"},{"field":"status","direction":"1"},{"field":"created","direction":"-1"}],"unique":false}"#;
const PLACES_INDEX: &str = r#"{"name":"loc","keys":[{"field":"loc","direction":"2dsphere"}]}"#;

// The aggregation reads every order, and the bound on what one call reads is below their number by default.
const CONFIGURATION: &str = r#"
[listen]
http = "127.0.0.1:0"
https = "127.0.0.1:0"
control = "127.0.0.1:0"

[server]
demo = true

[documents]
scan_documents_max = 1000000
"#;

/// Our server in a folder of its own.
pub(super) struct Ours {
    folder: PathBuf,
    program: PathBuf,
}

impl Ours {
    /// Writes its configuration.
    pub(super) fn prepare(folder: &Path, program: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("yunzhan.toml"), CONFIGURATION)?;
        Ok(Self { folder: folder.to_owned(), program: program.to_owned() })
    }

    /// Starts it, puts everything in and builds the indexes.
    pub(super) fn load(&self, plan: &Plan) -> Result<Loaded> {
        let (server, control) = launch(&self.program, &self.folder, &[])?;
        let token = fs::read_to_string(self.folder.join("data/run/control.token"))?;
        let operator = Caller { host: control, bearer: format!("Bearer {}", token.trim()) };
        for name in ["sales", "incoming", "places"] {
            let body = json!({ "name": name, "permission": "READONLY" }).to_string();
            operator.post(&format!("/control/v1/envs/{ENV}/collections"), &body)?;
        }
        let mut notes = vec![
            "yunzhan: every commit synced (SQLite, WAL, synchronous = FULL), access log on; asked with a visitor's \
             access token in collections of permission READONLY"
                .to_owned(),
        ];
        let filler = Filler::new(&server, &operator)?;
        let begun = Instant::now();
        let order = |number| Order::of(number, plan.orders).json();
        let ids = filler.fill("sales", plan.orders, &order)?;
        filler.fill("places", plan.places, &|number| Place::of(number).json())?;
        notes.push(format!(
            "yunzhan: {} documents loaded in {:.0} s, {BATCH} an insert with a server's key",
            plan.orders + plan.places,
            begun.elapsed().as_secs_f64()
        ));
        for (collection, index) in
            [("sales", ORDERS_INDEX), ("incoming", ORDERS_INDEX), ("places", PLACES_INDEX)]
        {
            notes.push(operator.index(collection, index)?);
        }
        let wanted = wanted(server.plain, plan, &ids)?;
        Loaded::new(server, wanted, notes)
    }

    /// Starts it on what is there.
    pub(super) fn start_again(&self) -> Result<Server> {
        Ok(launch(&self.program, &self.folder, &[])?.0)
    }

    /// Mebibytes of all database files.
    pub(super) fn files_mib(&self) -> Result<f64> {
        Ok(database_bytes(&self.folder.join("data"))? as f64 / f64::from(1 << 20))
    }
}

/// Bytes of the files below a folder whose names say that they belong to a database, `.db` and `.db-wal` among them.
fn database_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            bytes += database_bytes(&entry.path())?;
        } else if entry.file_name().to_string_lossy().contains(".db") {
            bytes += entry.metadata()?.len();
        }
    }
    Ok(bytes)
}

/// Who asks, and where.
pub(super) struct Caller {
    pub(super) host: SocketAddr,
    pub(super) bearer: String,
}

impl Caller {
    pub(super) fn request(&self, method: &str, target: &str, body: &str) -> Vec<u8> {
        request(method, target, self.host, &[(BEARER, &self.bearer)], body)
    }

    fn post(&self, target: &str, body: &str) -> Result<Value> {
        ask(self.host, &self.request("POST", target, body))
            .with_context(|| format!("POST {target}"))
    }

    /// Makes an index and waits until it serves; says how long that took, or that there are none.
    fn index(&self, collection: &str, index: &str) -> Result<String> {
        let target = format!("/control/v1/envs/{ENV}/collections/{collection}/indexes");
        progress(&format!("index of {collection}"));
        let begun = Instant::now();
        let answer = Connection::open(self.host)?.ask(&self.request("POST", &target, index))?;
        match answer.status {
            200..300 => {}
            404 | 405 | 501 => {
                return Ok(format!("yunzhan: an index of {collection} is not offered"));
            }
            status => bail!("index of {collection}: status {status}: {}", answer.text()),
        }
        let look = self.request("GET", &target, "");
        loop {
            let all_ready = states(&ask(self.host, &look)?);
            if !all_ready.is_empty() && all_ready.iter().all(|state| state == "ready") {
                let seconds = begun.elapsed().as_secs_f64();
                return Ok(format!("yunzhan: index of {collection} built in {seconds:.1} s"));
            }
            ensure!(
                begun.elapsed() < INDEX_TIMEOUT && !all_ready.iter().any(|state| state == "failed"),
                "the index of {collection} is not ready: {all_ready:?}"
            );
            pause(Duration::from_millis(100));
        }
    }
}

/// The state of each index in a listing, which is a list or has one as its member `indexes`.
fn states(listing: &Value) -> Vec<String> {
    let list = listing.get("indexes").unwrap_or(listing).as_array();
    let states = list.into_iter().flatten().filter_map(|index| index.get("state")?.as_str());
    states.map(ToOwned::to_owned).collect()
}

/// Fills collections as a cloud function does, several inserts at a time.
struct Filler(Caller);

impl Filler {
    fn new(server: &Server, operator: &Caller) -> Result<Self> {
        let key = operator.post(&format!("/control/v1/envs/{ENV}/keys"), "{}")?;
        let key = key.get("access_key").and_then(Value::as_str).context("no access key")?;
        Ok(Self(Caller { host: server.plain, bearer: format!("Bearer {key}") }))
    }

    /// Inserts as many documents, and gives their ids in the order of their numbers.
    fn fill(
        &self,
        collection: &str,
        count: u64,
        document: &(dyn Fn(u64) -> String + Sync),
    ) -> Result<Vec<String>> {
        progress(&format!("loading {count} {collection}"));
        let next = AtomicU64::new(0);
        let batches = Mutex::new(Vec::new());
        let load = || -> Result<()> {
            let mut connection = Connection::open(self.0.host)?;
            loop {
                let from = next.fetch_add(BATCH, Ordering::Relaxed);
                if from >= count {
                    return Ok(());
                }
                let documents: Vec<String> =
                    (from..count.min(from + BATCH)).map(document).collect();
                let ids = self.insert(&mut connection, collection, &documents)?;
                batches.lock().expect("no loader panics").push((from, ids));
            }
        };
        std::thread::scope(|scope| {
            let loaders: Vec<_> = (0..LOADERS).map(|_| scope.spawn(load)).collect();
            let joined = loaders.into_iter().map(|loader| loader.join().expect("no panic"));
            joined.collect::<Result<()>>()
        })?;
        let mut batches = batches.into_inner().expect("no loader panics");
        batches.sort_unstable_by_key(|(from, _)| *from);
        Ok(batches.into_iter().flat_map(|(_, ids)| ids).collect())
    }

    fn insert(
        &self,
        connection: &mut Connection,
        collection: &str,
        documents: &[String],
    ) -> Result<Vec<String>> {
        let body = json!({
            "action": "database.insertDocument",
            "collectionName": collection,
            "data": documents,
        });
        let answer = connection.ask(&self.0.request("POST", "/admin", &body.to_string()))?;
        let value: Value = serde_json::from_slice(&answer.body)?;
        let ids = value.get("data").and_then(|data| data.get("insertedIds"));
        texts(ids).with_context(|| format!("loading {collection}: {}", answer.text()))
    }
}

fn texts(list: Option<&Value>) -> Option<Vec<String>> {
    list?.as_array()?.iter().map(|text| Some(text.as_str()?.to_owned())).collect()
}

/// What it is asked. The ids are those of the orders.
fn wanted(host: SocketAddr, plan: &Plan, ids: &[String]) -> Result<Vec<Wanted>> {
    let visitor = Caller { host, bearer: format!("Bearer {}", sign_in(host)?) };
    let own = own_documents(&visitor, plan)?;
    let pick = |number: u64| mixed(number) % plan.orders;
    let pool = |make: &dyn Fn(u64) -> Vec<u8>| (0..POOL).map(make).collect::<Vec<_>>();
    let get = |collection: &str, rest: &str| {
        visitor.request("GET", &format!("{COLLECTIONS}/{collection}/documents{rest}"), "")
    };
    let incoming = format!("{COLLECTIONS}/incoming/documents");
    let read = pool(&|number| {
        let id = ids.get(pick(number) as usize).map(String::as_str).unwrap_or_default();
        get("sales", &format!("/{id}"))
    });
    let query = pool(&|number| get("sales", &newest(Order::of(pick(number), plan.orders))));
    let nearest = pool(&|number| get("places", &near(Place::of(plan.places + number))));
    let update = own.iter().map(|id| {
        let body = format!(
            r#"{{"query":{{"_id":"{id}"}},"data":{{"$inc":{{"total":1}},"$set":{{"handled":17}}}},"multi":false,"upsert":false}}"#
        );
        visitor.request("PATCH", &incoming, &body)
    });
    let create = pool(&|number| {
        let order = Order::of(number, plan.orders).json();
        visitor.request("POST", &incoming, &format!(r#"{{"data":[{order}]}}"#))
    });
    let sum = visitor.request(
        "POST",
        &format!("{COLLECTIONS}/sales/documents/aggregations"),
        r#"{"pipeline":[{"$group":{"_id":"$status","sum":{"$sum":"$total"},"count":{"$sum":1}}}]}"#,
    );
    let plain = |operation, pool| Wanted { operation, pool, list: "", by: "", items: 0 };
    let listed = |operation, pool, by, items| Wanted { operation, pool, list: "list", by, items };
    Ok(vec![
        plain(READ, read),
        listed(QUERY, query, "remark", 20),
        listed(NEAREST, nearest, "name", 20),
        listed(SUM, vec![sum], "_id", STATUSES.len()),
        plain(UPDATE, update.collect()),
        plain(CREATE, create),
    ])
}

/// Documents that the visitor made, and so may change.
fn own_documents(visitor: &Caller, plan: &Plan) -> Result<Vec<String>> {
    let orders = (0..POOL).map(|number| Order::of(number, plan.orders).json());
    let body = format!(r#"{{"data":[{}]}}"#, orders.collect::<Vec<_>>().join(","));
    let answer = visitor.post(&format!("{COLLECTIONS}/incoming/documents"), &body)?;
    texts(answer.get("insertedIds")).context("the insert names no ids")
}

/// The newest 20 of an order's owner with its status, as the client package asks.
fn newest(order: Order) -> String {
    let query = format!(r#"{{"owner":"{}","status":"{}"}}"#, order.owner(), order.status());
    let sort = r#"[{"field":"created","direction":"desc"}]"#;
    format!(
        "?projection={}&limit=20&order={}&query={}&",
        encoded("{}"),
        encoded(sort),
        encoded(&query)
    )
}

/// The 20 places nearest to one.
fn near(place: Place) -> String {
    let (longitude, latitude) = place.point();
    let query = format!(
        r#"{{"loc":{{"$nearSphere":{{"$geometry":{{"type":"Point","coordinates":[{{"$numberDouble":"{longitude}"}},{{"$numberDouble":"{latitude}"}}]}}}}}}}}"#
    );
    format!("?projection={}&limit=20&query={}&", encoded("{}"), encoded(&query))
}

/// Text as it stands in a query string.
pub(super) fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_string_is_plain() {
        assert_eq!(encoded(r#"{"a":1}"#), "%7B%22a%22%3A1%7D");
        assert!(newest(Order::of(1, 1000)).is_ascii());
    }

    #[test]
    fn states_are_found_in_either_listing() {
        let states = |text: &str| states(&serde_json::from_str(text).unwrap()).join(" ");
        assert_eq!(
            states(r#"{"indexes":[{"state":"ready"},{"state":"building"}]}"#),
            "ready building"
        );
        assert_eq!(states(r#"[{"name":"a","state":"ready"}]"#), "ready");
        assert_eq!(states("{}"), "");
    }
}
