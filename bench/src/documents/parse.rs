//! The peer: parse-server on PostgreSQL, as its package starts it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::offer::{Loaded, Wanted};
use super::ours::encoded;
use super::postgres::Database;
use super::sample::{Order, Place, STATUSES, mixed};
use super::{CREATE, NEAREST, Plan, QUERY, READ, SUM, UPDATE};
use crate::nginx::free_address;
use crate::peer::{Server, ask, request};
use crate::tools::{self, progress};
use xtask::process::{Companions, Process};

/// The version that is measured.
const VERSION: &str = "9.10.0";
const START_TIMEOUT: Duration = Duration::from_secs(60);
const APPLICATION: (&str, &str) = ("X-Parse-Application-Id", "bench");
const MASTER: (&str, &str) = ("X-Parse-Master-Key", "master");
/// Different requests of each kind.
const POOL: u64 = 500;

const ORDER_COLUMNS: &str = r#""objectId","createdAt","updatedAt",owner,status,created,total,handled,items,address,remark,_rperm,_wperm"#;
const PLACE_COLUMNS: &str = r#""objectId","createdAt","updatedAt",name,loc,_rperm"#;
const NOW: &str = "2026-01-01 00:00:00+00";

/// A running parse-server with its database.
pub(super) struct Parse {
    pub(super) loaded: Loaded,
    database: Database,
}

impl Parse {
    /// Installs it below `packages`, starts it and puts everything in.
    ///
    /// # Errors
    /// Names what is missing.
    pub(super) fn load(packages: &Path, folder: &Path, plan: &Plan) -> Result<Self> {
        tools::require(tools::DOCUMENTS)?;
        let program = install(&packages.join(format!("parse-server-{VERSION}")))?;
        let database = Database::create()?;
        let mut notes = Vec::new();
        notes.extend(extend(&database)?);
        let server = start(folder, &program, &database)?;
        let client = Client::sign_up(server.plain)?;
        client.make_classes()?;
        notes.extend(fill(&database, &client, plan)?);
        let wanted = client.wanted(plan)?;
        let companions = Some(Companions::of_database(&database.name)?);
        let loaded = Loaded::new(Server { companions, ..server }, wanted, notes)?;
        Ok(Self { loaded, database })
    }

    /// Stops it and drops its database.
    pub(super) fn end(self) -> Result<()> {
        self.loaded.server.process.stop()?;
        drop(self.database);
        Ok(())
    }
}

/// Installs the package, and gives the script that starts it.
fn install(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("node_modules/parse-server/bin/parse-server");
    let whole = folder.join("whole");
    if whole.exists() {
        return Ok(program);
    }
    progress(&format!("installing parse-server {VERSION}"));
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let list = json!({ "private": true, "dependencies": { "parse-server": VERSION } });
    fs::write(folder.join("package.json"), list.to_string())?;
    let output = Command::new("npm")
        .args(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .context("cannot run npm")?;
    let why = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "npm cannot install parse-server {VERSION}: {}", why.trim());
    fs::write(whole, VERSION)?;
    Ok(program)
}

/// Gives the database what points need; says by name what is missing, without which the peer still runs.
fn extend(database: &Database) -> Result<Option<String>> {
    if database.query("CREATE EXTENSION postgis").is_ok() {
        return Ok(None);
    }
    let version: u32 = database.query("SHOW server_version_num")?.parse()?;
    let package = format!("postgresql-{}-postgis-3", version / 10_000);
    progress(&format!("installing {package}"));
    let install = Command::new("apt-get")
        .args(["install", "-y", "-q", "--no-install-recommends", &package])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let is_there = install.is_ok_and(|status| status.success())
        && database.query("CREATE EXTENSION postgis").is_ok();
    Ok((!is_there).then(|| format!("parse: no points without PostGIS (package {package})")))
}

fn start(folder: &Path, program: &Path, database: &Database) -> Result<Server> {
    let address = free_address()?;
    fs::create_dir_all(folder)?;
    let configuration = folder.join("parse.json");
    let options = json!({
        "appId": APPLICATION.1,
        "masterKey": MASTER.1,
        "databaseURI": database.url(),
        "host": "127.0.0.1",
        "port": address.port(),
        "serverURL": format!("http://{address}/parse"),
        "silent": true,
        "logLevel": "error",
    });
    fs::write(&configuration, options.to_string())?;
    let path = |path: &Path| path.display().to_string();
    // Its logger begins before it has read its configuration, and would write where this was started.
    let logs = format!("PARSE_SERVER_LOGS_FOLDER={}", path(&folder.join("logs")));
    let words = ["env", "NODE_ENV=production", &logs, "node"].map(str::to_owned);
    let words = [words.to_vec(), vec![path(program), path(&configuration)]].concat();
    let mut process = Process::start(&words, &folder.join("output.log"))?;
    process.wait_for(START_TIMEOUT, |output| {
        output.contains("parse-server running on").then_some(())
    })?;
    Ok(Server { process, plain: address, tls: address, companions: None })
}

/// Puts everything in and builds the indexes; says how long that took and how it is stored.
fn fill(database: &Database, client: &Client, plan: &Plan) -> Result<Vec<String>> {
    progress("loading parse-server's tables");
    let begun = Instant::now();
    let order = |number| order_line(Order::of(number, plan.orders), number, &client.user);
    database.copy("sales", ORDER_COLUMNS, (0..plan.orders).map(order))?;
    let place = |number| place_line(Place::of(number), number);
    database.copy("places", PLACE_COLUMNS, (0..plan.places).map(place))?;
    for class in ["sales", "incoming"] {
        database.query(&format!(
            r#"CREATE INDEX {class}_owner_status ON "{class}" (owner, status, created DESC)"#
        ))?;
    }
    for class in ["sales", "incoming", "places"] {
        database.query(&format!(r#"VACUUM (ANALYZE) "{class}""#))?;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let (fsync, commit) =
        (database.query("SHOW fsync")?, database.query("SHOW synchronous_commit")?);
    Ok(vec![
        format!(
            "parse: parse-server {VERSION}, one node process, NODE_ENV=production, logs errors only; PostgreSQL {} with \
             fsync {fsync}, synchronous_commit {commit}; its backends, parallel workers and autovacuum are counted, its \
             log writer and checkpointer are not",
            database.query("SHOW server_version")?
        ),
        format!(
            "parse: everything loaded by COPY and indexed in {seconds:.0} s, {:.0} MiB on the disk",
            database.files_mib()?
        ),
        "parse: asked with a visitor's session token, each object with an ACL (all read, its maker writes); sums are asked \
         with the master key, because nobody else may"
            .to_owned(),
        "parse: the nearest 20 have no index, because it sorts by ST_DistanceSphere of each row, which none serves"
            .to_owned(),
    ])
}

fn order_line(order: Order, number: u64, user: &str) -> String {
    format!(
        "{}\t{NOW}\t{NOW}\t{}\t{}\t{}\t{}\t0\t{}\t{}\t{}\t{{*,{user}}}\t{{{user}}}\n",
        object_id(number),
        order.owner(),
        order.status(),
        order.created(),
        order.total(),
        order.items(),
        order.address(),
        order.remark()
    )
}

fn place_line(place: Place, number: u64) -> String {
    let (longitude, latitude) = place.point();
    let (id, name) = (object_id(number), place.name());
    format!("{id}\t{NOW}\t{NOW}\t{name}\t({longitude},{latitude})\t{{*}}\n")
}

/// Ten characters without an order, as its own ids are.
fn object_id(number: u64) -> String {
    // The low bits hold the number, so that no two are the same; the high ones scatter it.
    let high = mixed(number) & 0xffff;
    format!("{:010x}", (high << 24) | (number & 0x00ff_ffff))
}

/// A visitor.
struct Client {
    host: SocketAddr,
    user: String,
    session: String,
}

impl Client {
    fn sign_up(host: SocketAddr) -> Result<Self> {
        let body = r#"{"authData":{"anonymous":{"id":"00000000-0000-4000-8000-000000000001"}}}"#;
        let made = ask(host, &request("POST", "/parse/users", host, &[APPLICATION], body))
            .context("signing up at parse-server")?;
        let text = |name: &str| {
            let text = made.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
            text.with_context(|| format!("parse-server's answer has no {name}"))
        };
        Ok(Self { host, user: text("objectId")?, session: text("sessionToken")? })
    }

    fn make_classes(&self) -> Result<()> {
        let of = |kind: &str| json!({ "type": kind });
        let order = json!({
            "owner": of("String"), "status": of("String"), "created": of("Number"), "total": of("Number"),
            "handled": of("Number"), "items": of("Array"), "address": of("Object"), "remark": of("String"),
        });
        let place = json!({ "name": of("String"), "loc": of("GeoPoint") });
        for (name, fields) in [("sales", &order), ("incoming", &order), ("places", &place)] {
            let body = json!({ "className": name, "fields": fields }).to_string();
            let target = format!("/parse/schemas/{name}");
            let make = request("POST", &target, self.host, &[APPLICATION, MASTER], &body);
            ask(self.host, &make).with_context(|| format!("making the class {name}"))?;
        }
        Ok(())
    }

    fn request(&self, method: &str, target: &str, body: &str) -> Vec<u8> {
        let session = ("X-Parse-Session-Token", self.session.as_str());
        request(
            method,
            &format!("/parse/classes/{target}"),
            self.host,
            &[APPLICATION, session],
            body,
        )
    }

    fn create(&self, order: Order) -> Vec<u8> {
        let (members, user) = (order.members(), &self.user);
        let body = format!(
            r#"{{{members},"ACL":{{"*":{{"read":true}},"{user}":{{"read":true,"write":true}}}}}}"#
        );
        self.request("POST", "incoming", &body)
    }

    /// Objects that the visitor made, and so may change.
    fn own_objects(&self, plan: &Plan) -> Result<Vec<String>> {
        let make = |number| {
            let made = ask(self.host, &self.create(Order::of(number, plan.orders)))?;
            let id =
                made.get("objectId").and_then(Value::as_str).context("an object without id")?;
            Ok(id.to_owned())
        };
        (0..POOL).map(make).collect()
    }

    /// What it is asked: the same as ours.
    fn wanted(&self, plan: &Plan) -> Result<Vec<Wanted>> {
        let own = self.own_objects(plan)?;
        let pick = |number: u64| mixed(number) % plan.orders;
        let pool = |make: &dyn Fn(u64) -> Vec<u8>| (0..POOL).map(make).collect::<Vec<_>>();
        let get = |target: String| self.request("GET", &target, "");
        let read = pool(&|number| get(format!("sales/{}", object_id(pick(number)))));
        let query = pool(&|number| get(newest(Order::of(pick(number), plan.orders))));
        let nearest = pool(&|number| get(near(Place::of(plan.places + number))));
        let update = own.iter().map(|id| {
            let body = r#"{"total":{"__op":"Increment","amount":1},"handled":17}"#;
            self.request("PUT", &format!("incoming/{id}"), body)
        });
        let create = pool(&|number| self.create(Order::of(number, plan.orders)));
        let pipeline =
            r#"[{"$group":{"_id":"$status","sum":{"$sum":"$total"},"count":{"$sum":1}}}]"#;
        let target = format!("/parse/aggregate/sales?pipeline={}", encoded(pipeline));
        let sum = request("GET", &target, self.host, &[APPLICATION, MASTER], "");
        let plain = |operation, pool| Wanted { operation, pool, list: "", by: "", items: 0 };
        let listed =
            |operation, pool, by, items| Wanted { operation, pool, list: "results", by, items };
        Ok(vec![
            plain(READ, read),
            listed(QUERY, query, "remark", 20),
            listed(NEAREST, nearest, "name", 20),
            listed(SUM, vec![sum], "objectId", STATUSES.len()),
            plain(UPDATE, update.collect()),
            plain(CREATE, create),
        ])
    }
}

/// The newest 20 of an order's owner with its status.
fn newest(order: Order) -> String {
    let filter = format!(r#"{{"owner":"{}","status":"{}"}}"#, order.owner(), order.status());
    format!("sales?where={}&order=-created&limit=20", encoded(&filter))
}

/// The 20 places nearest to one.
fn near(place: Place) -> String {
    let (longitude, latitude) = place.point();
    let filter = format!(
        r#"{{"loc":{{"$nearSphere":{{"__type":"GeoPoint","latitude":{latitude},"longitude":{longitude}}}}}}}"#
    );
    format!("places?where={}&limit=20", encoded(&filter))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn object_ids_are_different() {
        let ids: HashSet<String> = (0..10_000).map(object_id).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 10));
    }

    #[test]
    fn a_line_has_every_column() {
        let columns = |line: &str| line.trim_end().split('\t').count();
        let order = order_line(Order::of(3, 1000), 3, "u1");
        assert_eq!(columns(&order), ORDER_COLUMNS.split(',').count());
        assert_eq!(columns(&place_line(Place::of(3), 3)), PLACE_COLUMNS.split(',').count());
    }
}
