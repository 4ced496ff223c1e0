//! Writes `tests/samples/documents-format-N.db`: what this version of the documents service leaves in an environment's folder.
//!
//! Run once per format, `cargo run -p yunzhan-services --example documents_sample -- FILE`, and keep the result: the test
//! `tests/samples.rs` opens it with every later version.

use std::path::PathBuf;

use bson::{Document, doc};
use tempfile::TempDir;
use yunzhan_base::env::{Env, Envs};
use yunzhan_base::principal::ServerKey;
use yunzhan_base::{Clock, EnvId, Live, Principal};
use yunzhan_engine::config;
use yunzhan_engine::sql::sqlite::path_of;
use yunzhan_engine::sql::testing::rusqlite::Connection;
use yunzhan_engine::sql::{Database, Migrations, Sqlite};
use yunzhan_query::{Direction, Order};
use yunzhan_services::documents::{
    Caller, Change, Config, Documents, Keys, MIGRATIONS, NewIndex, Preset, Which,
};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let to = std::env::args().nth(1).map(PathBuf::from).ok_or("name the file to write")?;
    let root = TempDir::new()?;
    let env: EnvId = "demo".parse()?;
    let migrations = Migrations::new(vec![("documents", MIGRATIONS)])?;
    let clock = Clock::manual(1_767_225_600_000);
    let sqlite =
        Sqlite::new(root.path().to_owned(), config::Sql::default(), migrations, clock.clone())?;
    let envs = Live::new(Envs::new([Env {
        id: env.clone(),
        appid: None,
        app_secret: None,
        hosts: vec![],
        origins: vec![],
        development_login: false,
    }])?);
    let documents = Documents::new(std::sync::Arc::new(sqlite), envs, clock, Config::default());
    fill(&documents, &env).await?;
    drop(documents);
    let written = path_of(root.path(), &Database::Env(env));
    // The log is moved into the file, so that the sample is one file.
    Connection::open(&written)?.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    std::fs::copy(written, to)?;
    Ok(())
}

/// Two collections; one has a unique index, and documents with ids of all kinds, one of which was changed and one removed.
async fn fill(documents: &Documents, env: &EnvId) -> Outcome {
    let key = ServerKey { env: env.clone(), key_id: "sample".into() };
    let principal = Principal::Server(std::sync::Arc::new(key));
    let caller = Caller { env, principal: &principal };
    documents.create_collection(caller, "goods", Preset::ReadOnly).await?;
    documents.create_collection(caller, "empty", Preset::AdminOnly).await?;
    let keys = Keys::Fields(Order::from_fields([("sku", Direction::Ascending)])?);
    let index = NewIndex { name: Some("by_sku".into()), keys, unique: true };
    documents.create_index(caller, "goods", index).await?;
    while documents.indexes(env, "goods").await?.iter().any(|index| !index.is_ready()) {
        documents.work_on_indexes().await?;
    }
    let goods = |n: i32| doc! { "_id": format!("g{n}"), "sku": format!("tea-{n}"), "n": n };
    let mut added: Vec<Document> = (0..40).map(goods).collect();
    added.extend([doc! { "_id": 7, "sku": "number" }, doc! { "sku": "made" }]);
    documents.insert(caller, "goods", added, None).await?;
    let change = Change {
        which: Which::parse(&doc! { "_id": "g1" })?,
        update: doc! { "$set": { "n": 100 } },
        replace: false,
        multi: false,
        upsert: false,
    };
    documents.update(caller, "goods", change, None).await?;
    documents.remove(caller, "goods", Which::parse(&doc! { "_id": "g2" })?, false, None).await?;
    Ok(())
}
