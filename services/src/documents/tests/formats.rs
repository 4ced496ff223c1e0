//! What earlier versions stored is read, changed and followed by this one.

use std::sync::Arc;

use bson::{Bson, doc};
use expect_test::expect;
use yunzhan_base::principal::ServerKey;
use yunzhan_base::{EnvId, Principal};
use yunzhan_engine::sql::sqlite::path_of;
use yunzhan_engine::sql::testing::Fresh;
use yunzhan_engine::sql::{Database, Logical};

use super::{change, find};
use crate::documents::testing::{World, on_every_engine, on_every_engine_grown_from, server, user};
use crate::documents::{Caller, Config, MIGRATIONS, Preset};

/// Rows as the first format has them: table, then columns, bytes in hexadecimal digits.
const FORMAT_1: &[(&str, &[&str])] = &[
    ("collections", &["demo", "notes", "1", "PRIVATE", "mixed", "2", "1767225600000"]),
    (
        "documents",
        &[
            "demo",
            "1",
            "0x0120610000",
            "5",
            "1",
            "0x29000000025f696400020000006100025f6f70656e69640005000000616e6e6100106e000100000000",
        ],
    ),
    (
        "documents",
        &[
            "demo",
            "1",
            "0x0118c01c000000000000",
            "9",
            "2",
            "0x15000000105f69640007000000106e000200000000",
        ],
    ),
    ("index_entries", &["demo", "1", "1", "0x0120616e6e610000", "0x0120610000"]),
    ("index_entries", &["demo", "1", "1", "0x0110", "0x0118c01c000000000000"]),
];

#[test]
fn rows_of_the_first_format_are_still_read_and_changed() {
    on_every_engine_grown_from(1, FORMAT_1, async |world| {
        let (anna, server) = (user("anna"), server());
        expect![[r#"
            {"_id":7,"n":2}
            {"_id":"a","_openid":"anna","n":1}
            2 of 2
        "#]]
        .assert_eq(&world.list(&server, "notes", find(doc! {})).await);
        expect![[r#"
            {"_id":7,"n":2}
            1 of 1
        "#]]
        .assert_eq(&world.list(&server, "notes", find(doc! { "_id": 7 })).await);
        expect![[r#"
            {"_id":"a","_openid":"anna","n":1}
            1 of 1
        "#]]
        .assert_eq(&world.list(&anna, "notes", find(doc! {})).await);
        expect![[r#"
            {"_id":7,"n":2}
            1 of 1
        "#]]
        .assert_eq(&world.list(&server, "notes", find(doc! { "_openid": Bson::Null })).await);
        let give = change(doc! {}, doc! { "$set": { "_openid": "bert" } });
        expect!["matched 2 updated 2 upserted None"]
            .assert_eq(&world.update(&server, "notes", give).await);
        assert_eq!(world.list(&anna, "notes", find(doc! {})).await, "0 of 0\n");
        assert_eq!(world.count("notes").await, 2);
    });
}

/// A folder as the third format left it (`examples/documents_sample.rs`): its documents, its unique index, and its versions,
/// above which the counters of the change log begin.
#[tokio::test]
async fn a_folder_of_the_third_format_is_still_served() {
    let fresh = Fresh::sqlite();
    let file = path_of(fresh.root(), &Database::Env("demo".parse().unwrap()));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/documents-format-3.db");
    std::fs::copy(sample, &file).unwrap();
    let world = World::new(fresh, Config::default()).await;
    let server = server();
    assert_eq!((world.count("goods").await, world.count("empty").await), (41, 0));
    let begin = world.documents.position(&world.env).await.unwrap();
    for (id, text) in [("g1", "n\":100"), ("g39", "n\":39")] {
        assert!(world.list(&server, "goods", find(doc! { "_id": id })).await.contains(text));
    }
    let taken = world.add(&server, "goods", doc! { "sku": "tea-39" }).await;
    assert!(taken.unwrap_err().message().contains("by_sku"));
    for id in ["g1", "g39"] {
        let done =
            world.update(&server, "goods", change(doc! { "_id": id }, doc! { "$inc": { "n": 1 } }));
        assert_eq!(done.await, "matched 1 updated 1 upserted None");
    }
    let changes = world.documents.changes(&world.env, &begin, 10).await.unwrap().changes;
    let versions: Vec<_> = changes.iter().map(|change| (change.previous, change.place.1)).collect();
    expect![[r#"[(3, 6), (4, 6)]"#]].assert_eq(&format!("{versions:?}"));
}

/// MySQL commits each statement of a migration by itself, so that a server may die after any of them.
#[test]
fn a_migration_that_was_cut_off_is_done_again() {
    const TABLES: &[Logical] =
        &[Logical("collections"), Logical("sequences"), Logical("changes"), Logical("env")];
    let statements: Vec<&'static str> =
        MIGRATIONS[3..].iter().flat_map(|migration| migration.statements.iter().copied()).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for done in 1..=4 {
            let Some(fresh) = Fresh::mysql().await else { return };
            let old = World::over(fresh, &MIGRATIONS[..3], Config::default()).await;
            old.put("collections", FORMAT_1[0].1).await;
            for statement in &statements[..done] {
                old.run(statement, TABLES).await;
            }
            let world = World::new(old.into_fresh(), Config::default()).await;
            world.add(&server(), "notes", doc! { "_id": "x" }).await.unwrap();
            assert_eq!(world.count("notes").await, 1);
        }
    });
}

#[test]
fn environments_of_one_schema_have_their_own_counters() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("notes", Preset::Private)]).await;
        let begin = world.documents.position(&world.env).await.unwrap();
        let other: EnvId = "other".parse().unwrap();
        let key = ServerKey { env: other.clone(), key_id: "k1".into() };
        let principal = Principal::Server(Arc::new(key));
        let caller = Caller { env: &other, principal: &principal };
        world.documents.create_collection(caller, "notes", Preset::Private).await.unwrap();
        world.documents.insert(caller, "notes", vec![doc! { "_id": "x" }], None).await.unwrap();
        assert_eq!(world.documents.position(&world.env).await.unwrap(), begin);
        assert!(world.documents.changes(&world.env, &begin, 9).await.unwrap().changes.is_empty());
        let of_other = world.documents.changes(&other, &begin, 9).await.unwrap().changes;
        assert_eq!(of_other.len(), 1);
    });
}
