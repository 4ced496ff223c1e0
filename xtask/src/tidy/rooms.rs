//! The rooms of the house: which crate may depend on which, and which room owns a driver or a protocol library.
//!
//! The tables below are the plan of `ARCHITECTURE.md` in a form that a machine can hold somebody to.

use toml::Table;

use super::Complaint;
use super::tree::Tree;

/// A crate of the workspace and the crates of the workspace that it may name.
struct Room {
    /// Package name without `yunzhan-`, which is its folder too.
    name: &'static str,
    may_name: &'static [&'static str],
    /// Said when it names another.
    why: &'static str,
}

const ROOMS: &[Room] = &[
    Room { name: "base", may_name: &[], why: "base is the words everyone uses: it knows nobody" },
    Room {
        name: "net",
        may_name: &["base"],
        why: "net knows no room and no vendor: pass what it needs as a value",
    },
    Room {
        name: "engine",
        may_name: &["base", "net"],
        why: "engines store what they are given: the meaning stays with the service",
    },
    Room {
        name: "ops",
        may_name: &["base", "net", "engine"],
        why: "ops observes: crates emit a base::event, and server/src/app.rs introduces the observers",
    },
    Room {
        name: "query",
        may_name: &["base"],
        why: "query is pure: it decides, and engine::sql stores",
    },
    Room {
        name: "waf",
        may_name: &["base"],
        why: "the WAF is pure: rules in, verdicts out; clock, collections and files are passed in",
    },
    Room {
        name: "gateway",
        may_name: &["base", "net", "engine", "waf"],
        why: "the gateway knows a service as base::route::Route only; server/src/app.rs introduces them",
    },
    Room {
        name: "services",
        may_name: &["base", "net", "engine", "query"],
        why: "services know no listener: they give routes, and server/src/app.rs introduces them",
    },
    Room {
        name: "server",
        may_name: &["base", "net", "engine", "ops", "query", "waf", "gateway", "services"],
        why: "server wires the rooms; nothing that it needs may need the tests or the tools",
    },
    Room {
        name: "e2e",
        may_name: &[
            "base", "net", "engine", "ops", "query", "waf", "gateway", "services", "server",
        ],
        why: "e2e sees the whole server, and none of the tools",
    },
    Room {
        name: "xtask",
        may_name: &[],
        why: "tools see the product from outside, as a user does",
    },
    Room {
        name: "bench",
        may_name: &[],
        why: "benches see the product from outside, as a user does",
    },
];

/// A library that belongs to some rooms.
struct Owned {
    library: &'static str,
    rooms: &'static [&'static str],
    /// What the others do instead.
    instead: &'static str,
}

const ASYNC_ROOMS: &[&str] = &["net", "engine", "ops", "gateway", "services", "server", "e2e"];
const HTTP_ROOMS: &[&str] = &["net", "gateway", "server", "e2e"];
const TLS_ROOMS: &[&str] = &["net", "gateway", "e2e", "bench"];
/// The engine's tests make certificates for the database servers that they start.
const CERTIFICATE_ROOMS: &[&str] = &["net", "engine", "gateway", "e2e", "bench"];
const SQL: &str = "go through engine::sql, the only room that names a driver";
const HTTP: &str = "outbound calls go through yunzhan_net::http, inbound ones through the gateway";
const TLS: &str = "the gateway ends TLS and yunzhan_net begins it";
const RUNTIME: &str = "base, query and waf are pure: return a value and let the caller wait";

const OWNED: &[Owned] = &[
    Owned { library: "tokio", rooms: ASYNC_ROOMS, instead: RUNTIME },
    Owned { library: "tokio-util", rooms: ASYNC_ROOMS, instead: RUNTIME },
    Owned { library: "hyper", rooms: HTTP_ROOMS, instead: HTTP },
    Owned { library: "hyper-util", rooms: HTTP_ROOMS, instead: HTTP },
    Owned { library: "h2", rooms: HTTP_ROOMS, instead: HTTP },
    Owned { library: "socket2", rooms: &["net", "gateway"], instead: HTTP },
    Owned { library: "rustls", rooms: TLS_ROOMS, instead: TLS },
    Owned { library: "tokio-rustls", rooms: TLS_ROOMS, instead: TLS },
    Owned { library: "rustls-pki-types", rooms: TLS_ROOMS, instead: TLS },
    Owned { library: "rustls-webpki", rooms: &["gateway"], instead: TLS },
    Owned { library: "webpki-roots", rooms: &["net"], instead: TLS },
    Owned { library: "rcgen", rooms: CERTIFICATE_ROOMS, instead: TLS },
    Owned {
        library: "matchit",
        rooms: &["gateway"],
        instead: "a route is a row of a service's ROUTES",
    },
    Owned { library: "rusqlite", rooms: &["engine"], instead: SQL },
    Owned { library: "libsqlite3-sys", rooms: &["engine"], instead: SQL },
    Owned { library: "mysql_async", rooms: &["engine"], instead: SQL },
    Owned { library: "redis", rooms: &["engine"], instead: "go through engine::cache" },
    Owned { library: "lapin", rooms: &["engine"], instead: "go through engine::queue" },
    Owned { library: "opendal", rooms: &["engine"], instead: "go through engine::blob" },
    Owned {
        library: "bson",
        rooms: &["query", "services", "e2e"],
        instead: "documents are values of query; other rooms see bytes",
    },
    Owned {
        library: "clap",
        rooms: &["server"],
        instead: "verbs of the command line are in server/src/cli",
    },
    Owned {
        library: "prometheus-client",
        rooms: &["ops"],
        instead: "emit a base::event; ops counts events",
    },
    Owned {
        library: "anyhow",
        rooms: &["server", "e2e", "xtask", "bench"],
        instead: "library rooms return yunzhan_base::Error, which has a kind",
    },
];

/// A room and a library that its tests and examples may use all the same.
const IN_TESTS: &[(&str, &str)] = &[
    // The example that measures how documents are stored makes documents.
    ("engine", "bson"),
];

/// Work that belongs to other rooms, by how it begins in Rust: the server introduces rooms, and decides nothing that one of
/// them could decide.
const NOT_WIRING: &[(&str, &str)] = &[
    ("impl Observe for", "observers stand in ops"),
    ("impl Ledger for", "the ledger stands in ops"),
    ("impl Sql for", "engines and their wrappers stand in engine"),
    ("impl Stage for", "stages stand in gateway/src/stages"),
];

const KINDS: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// Dependencies that cross a wall.
pub(super) fn check(tree: &Tree) -> Vec<Complaint> {
    members(tree).flat_map(|(path, manifest)| check_member(path, &manifest)).collect()
}

/// Members that do not inherit what the workspace says once.
pub(super) fn check_manifests(tree: &Tree) -> Vec<Complaint> {
    members(tree).flat_map(|(path, manifest)| check_inheritance(path, &manifest)).collect()
}

/// Work in the server that a room should do.
pub(super) fn check_wiring(tree: &Tree) -> Vec<Complaint> {
    let sources = tree.ending(".rs").filter(|(path, _)| path.starts_with("server/src/"));
    let lines = sources.flat_map(|(path, text)| {
        text.lines().enumerate().map(move |(index, line)| (path, index, line.trim_start()))
    });
    let complain = |(path, index, line): (&str, usize, &str)| {
        let (_, instead) = NOT_WIRING.iter().find(|(begin, _)| line.starts_with(begin))?;
        Some(Complaint::at_line(path, index, format!("the server only wires: {instead}")))
    };
    lines.filter_map(complain).collect()
}

/// Manifests of the members: those in a folder of the root. Packages deeper down, such as fuzz targets, have their own
/// workspace.
fn members(tree: &Tree) -> impl Iterator<Item = (&str, Table)> {
    let manifests = tree.ending("/Cargo.toml").filter(|(path, _)| path.matches('/').count() == 1);
    manifests.map(|(path, text)| (path, text.parse().unwrap_or_default()))
}

fn check_member(path: &str, manifest: &Table) -> Vec<Complaint> {
    let folder = path.trim_end_matches("/Cargo.toml");
    let Some(room) = ROOMS.iter().find(|room| room.name == folder) else {
        return vec![Complaint::at(path, "unknown room: give it a row in xtask/src/tidy/rooms.rs")];
    };
    let complain = |dependency: &Dependency| {
        let name = dependency.package.as_str();
        let in_tests = dependency.is_for_tests && IN_TESTS.contains(&(folder, name));
        let library = || library_refused(room, name).filter(|_| !in_tests);
        let instead = neighbour_refused(room, name).or_else(library)?;
        Some(Complaint::at(path, format!("{folder} may not depend on {name}: {instead}")))
    };
    dependencies(manifest).iter().filter_map(complain).collect()
}

/// A dependency of a manifest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Dependency {
    package: String,
    is_for_tests: bool,
}

/// What a manifest depends on, for any target.
fn dependencies(manifest: &Table) -> Vec<Dependency> {
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let tables = targets.into_iter().flatten().filter_map(|(_, target)| target.as_table());
    let mut found: Vec<Dependency> = tables.chain([manifest]).flat_map(dependencies_of).collect();
    found.sort();
    found.dedup_by(|a, b| a.package == b.package);
    found
}

fn dependencies_of(table: &Table) -> impl Iterator<Item = Dependency> {
    KINDS.iter().flat_map(|kind| {
        let list = table.get(*kind).and_then(toml::Value::as_table);
        list.into_iter().flatten().map(|(name, detail)| Dependency {
            package: package(name, detail),
            is_for_tests: *kind == "dev-dependencies",
        })
    })
}

/// The package's own name where the manifest gives it another.
fn package(name: &str, detail: &toml::Value) -> String {
    let renamed = detail.get("package").and_then(toml::Value::as_str);
    renamed.unwrap_or(name).to_owned()
}

fn neighbour_refused(room: &Room, name: &str) -> Option<&'static str> {
    let neighbour = name.strip_prefix("yunzhan-")?;
    let allowed = neighbour == room.name || room.may_name.contains(&neighbour);
    (!allowed).then_some(room.why)
}

fn library_refused(room: &Room, name: &str) -> Option<&'static str> {
    let owned = OWNED.iter().find(|owned| owned.library == name)?;
    (!owned.rooms.contains(&room.name)).then_some(owned.instead)
}

fn check_inheritance(path: &str, manifest: &Table) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    if !inherits(manifest.get("lints")) {
        complaints.push(Complaint::at(path, "write `[lints] workspace = true`"));
    }
    for key in ["version", "edition", "rust-version", "license", "publish"] {
        if !inherits(manifest.get("package").and_then(|package| package.get(key))) {
            complaints.push(Complaint::at(path, format!("write `{key}.workspace = true`")));
        }
    }
    complaints
}

fn inherits(value: Option<&toml::Value>) -> bool {
    value.and_then(|value| value.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::spell;
    use super::*;

    #[test]
    fn a_wall_names_the_door() {
        let tree = Tree::of(&[
            ("base/Cargo.toml", "[dependencies]\nserde.workspace = true\ntokio.workspace = true\n"),
            ("gateway/Cargo.toml", "[dev-dependencies]\nyunzhan-services.workspace = true\n"),
            (
                "services/Cargo.toml",
                "[dependencies]\ndb = { package = \"rusqlite\", version = \"1\" }\n",
            ),
            ("query/Cargo.toml", "[target.'cfg(unix)'.dependencies]\nhyper = \"1\"\n"),
            ("net/Cargo.toml", "[dependencies]\nhyper = \"1\"\nyunzhan-base.workspace = true\n"),
            ("engine/Cargo.toml", "[dev-dependencies]\nbson.workspace = true\n"),
            ("attic/Cargo.toml", "[dependencies]\n"),
            ("query/fuzz/Cargo.toml", "[dependencies]\nyunzhan-query = { path = \"..\" }\n"),
        ]);
        expect![[r#"
            base/Cargo.toml: base may not depend on tokio: base, query and waf are pure: return a value and let the caller wait
            gateway/Cargo.toml: gateway may not depend on yunzhan-services: the gateway knows a service as base::route::Route only; server/src/app.rs introduces them
            services/Cargo.toml: services may not depend on rusqlite: go through engine::sql, the only room that names a driver
            query/Cargo.toml: query may not depend on hyper: outbound calls go through yunzhan_net::http, inbound ones through the gateway
            attic/Cargo.toml: unknown room: give it a row in xtask/src/tidy/rooms.rs
        "#]]
        .assert_eq(&spell(&check(&tree)));
    }

    #[test]
    fn the_server_only_wires() {
        let observer = "struct A;\n    impl Observe for A {}\n";
        let tree = Tree::of(&[("server/src/a.rs", observer), ("ops/src/a.rs", observer)]);
        expect![[r#"
            server/src/a.rs:2: the server only wires: observers stand in ops
        "#]]
        .assert_eq(&spell(&check_wiring(&tree)));
    }

    #[test]
    fn a_member_inherits_what_the_workspace_says() {
        let good = "[package]\nversion.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
                    license.workspace = true\npublish.workspace = true\n[lints]\nworkspace = true\n";
        let bad = good.replace("edition.workspace = true", "edition = \"2021\"");
        let tree = Tree::of(&[
            ("base/Cargo.toml", good),
            ("net/Cargo.toml", &bad),
            ("query/Cargo.toml", good.split("[lints]").next().unwrap()),
        ]);
        expect![[r#"
            net/Cargo.toml: write `edition.workspace = true`
            query/Cargo.toml: write `[lints] workspace = true`
        "#]]
        .assert_eq(&spell(&check_manifests(&tree)));
    }
}
