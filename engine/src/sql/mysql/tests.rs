//! What only the database server needs: broken connections, a second start, and errors that keep the password.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use yunzhan_base::{Clock, Kind, Secret};

use super::Mysql;
use crate::config;
use crate::sql::suite::{MIGRATIONS, sample_unit};
use crate::sql::testing::Fresh;
use crate::sql::{
    Consistency, Database, Key, Logical, Migrations, ShardLocation, SharedSql, Statement, Value,
};

fn migrations() -> Migrations {
    Migrations::new(vec![("suite", MIGRATIONS)]).expect("good numbers")
}

fn place() -> ShardLocation {
    ShardLocation { database: Database::Env("demo".parse().expect("a name")), key: Key::Slot(0) }
}

async fn count(sql: &SharedSql) -> Value {
    let tables: &[Logical] = &[Logical("items")];
    let statement = Statement { sql: "SELECT COUNT(*) FROM {items}", tables, params: vec![] };
    let rows = sql.read(Consistency::Primary, &place(), statement).await.expect("a read");
    rows.0[0].0[0].clone()
}

async fn admin(fresh: &mut Fresh) -> Conn {
    let url = fresh.config().mysql_url.clone().expect("an address");
    Conn::from_url(url.expose_str().expect("text")).await.expect("a connection")
}

/// Ends every connection to the schema but its own, as a server does that starts again.
async fn break_connections(admin: &mut Conn) {
    const OTHERS: &str = "SELECT id FROM information_schema.processlist
        WHERE db = DATABASE() AND id <> CONNECTION_ID()";
    let others: Vec<u64> = admin.query(OTHERS).await.expect("a list");
    assert!(!others.is_empty());
    for id in others {
        // One that has just said farewell may be gone already.
        let _ = admin.query_drop(format!("KILL CONNECTION {id}")).await;
    }
}

#[tokio::test]
async fn broken_connections_are_replaced() {
    let Some(mut fresh) = Fresh::mysql().await else { return };
    let sql = fresh.open(migrations(), Clock::System).await;
    sql.write(&place(), sample_unit()).await.expect("a write");
    let mut admin = admin(&mut fresh).await;
    break_connections(&mut admin).await;
    for _ in 0..20 {
        assert_eq!(count(&sql).await, Value::Integer(2));
        break_connections(&mut admin).await;
        assert!(sql.write(&place(), sample_unit()).await.expect("its answer").repeated);
        break_connections(&mut admin).await;
    }
}

#[tokio::test]
async fn a_second_start_finds_the_tables_and_a_half_done_step_is_repeated() {
    let Some(mut fresh) = Fresh::mysql().await else { return };
    let sql = fresh.open(migrations(), Clock::System).await;
    sql.write(&place(), sample_unit()).await.expect("a write");
    let again = fresh.open(migrations(), Clock::System).await;
    assert_eq!(count(&again).await, Value::Integer(2));
    // As if the process had died between the step's statements and its record.
    let forget = "DELETE FROM yz_env_migrations WHERE service = 'suite'";
    admin(&mut fresh).await.query_drop(forget).await.expect("a change");
    let third = fresh.open(migrations(), Clock::System).await;
    assert_eq!(count(&third).await, Value::Integer(2));
}

#[tokio::test]
async fn tables_of_a_newer_program_are_refused() {
    let Some(mut fresh) = Fresh::mysql().await else { return };
    drop(fresh.open(migrations(), Clock::System).await);
    let newer = "UPDATE yz_env_migrations SET version = 9 WHERE service = 'suite'";
    admin(&mut fresh).await.query_drop(newer).await.expect("a change");
    let error = fresh.try_open(migrations(), Clock::System).await.err().expect("a refusal");
    assert!(error.to_string().contains("suite have format 9, this program knows 1"), "{error}");
}

#[tokio::test]
async fn an_address_that_cannot_be_used_is_told_without_its_password() {
    for (url, kind) in [
        ("mysql://me:hunter2@127.0.0.1:1/shop", Kind::Unavailable),
        ("mysql://me:hunter2@127.0.0.1:1", Kind::InvalidParameter),
        ("postgres://me:hunter2@127.0.0.1/shop", Kind::InvalidParameter),
        ("me:hunter2", Kind::InvalidParameter),
    ] {
        let config = config::Sql { mysql_url: Some(Secret::from(url)), ..config::Sql::default() };
        let migrations = Migrations::new(vec![]).expect("good numbers");
        let error = Mysql::connect(config, migrations, Clock::System).await.err();
        let error = error.expect("a refusal");
        assert_eq!(error.kind(), kind, "{url}");
        assert!(!error.log_text().contains("hunter2"), "{error:?}");
    }
}

#[tokio::test]
async fn looking_at_a_server_refuses_what_a_start_refuses_and_makes_nothing() {
    let Some(mut fresh) = Fresh::mysql().await else { return };
    let config = fresh.config().clone();
    super::inspect(&config, &migrations()).await.expect("an empty schema");
    let mut admin = admin(&mut fresh).await;
    let tables: Vec<String> = admin.query("SHOW TABLES").await.expect("a list");
    assert!(tables.is_empty(), "{tables:?}");
    drop(fresh.open(migrations(), Clock::System).await);
    super::inspect(&config, &migrations()).await.expect("our own schema");
    admin.query_drop("UPDATE yz_env_migrations SET version = 9").await.expect("a change");
    let looked = super::inspect(&config, &migrations()).await.expect_err("a refusal");
    let started = fresh.try_open(migrations(), Clock::System).await.map(drop);
    assert_eq!(looked.to_string(), started.expect_err("a refusal").to_string());
    assert!(looked.to_string().contains("have format 9"), "{looked}");
}

#[tokio::test]
async fn a_server_that_refuses_us_is_named_with_what_to_look_at() {
    let Some(mut fresh) = Fresh::mysql().await else { return };
    let mut config = fresh.config().clone();
    let url = config.mysql_url.as_ref().and_then(Secret::expose_str).expect("an address");
    let (server, _) = url.rsplit_once('/').expect("a schema");
    config.mysql_url = Some(Secret::from(format!("{server}/no_such_schema_of_ours").as_str()));
    let refused = super::inspect(&config, &migrations()).await.expect_err("a refusal").to_string();
    assert!(refused.contains("refuses us; check its address and rights"), "{refused}");
}
