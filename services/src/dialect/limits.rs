//! What the dialects answer where a limit is reached or the database fails: the codes that the SDKs know.

use std::fmt::Write;
use std::sync::Arc;

use bson::doc;
use expect_test::expect;
use yunzhan_base::{Kind, Principal};

use crate::documents::testing::{
    Asked, World, on_every_engine, on_sqlite, server, user, user_with,
};
use crate::documents::{Config, Documents, Preset};

const DATABASE: [(&str, &str); 2] = [("instance", "(default)"), ("database", "(default)")];

impl World {
    /// What each dialect answers to the same wish: an action in `web`, one in `admin` and a route of `gateway`.
    async fn all_answers(
        &self,
        documents: &Arc<Documents>,
        person: &Principal,
        [in_web, in_admin, route]: [&str; 3],
    ) -> String {
        let web = self.action_of(documents, "web", person, in_web).await;
        let admin = self.action_of(documents, "admin", &server(), in_admin).await;
        let params = [DATABASE[0], DATABASE[1], ("collection", "notes")];
        let (body, principal) = (r#"{"collectionName":"one-more"}"#, person);
        let asked = Asked { route, params: &params, query: "", headers: &[], body, principal };
        let gateway = self.ask_dialect(documents, asked).await;
        format!("{web}\n{admin}\n{gateway}\n")
    }

    /// An action with its members.
    async fn action_of(
        &self,
        documents: &Arc<Documents>,
        dialect: &str,
        principal: &Principal,
        action: &str,
    ) -> String {
        let body = format!(r#"{{"action":"database.{action}}}"#);
        let route = if dialect == "web" { "web.call" } else { "admin.call" };
        let (params, query, headers, body) = (&[], "", &[], body.as_str());
        let asked = Asked { route, params, query, headers, body, principal };
        self.ask_dialect(documents, asked).await
    }

    /// How many documents a page has when that many are asked for.
    async fn page(&self, dialect: &str, limit: Option<usize>) -> usize {
        let limit = limit.map(|limit| format!(r#","limit":{limit}"#)).unwrap_or_default();
        let name = if dialect == "web" { "queryDocument" } else { "getDocument" };
        let action = format!(r#"{name}","collectionName":"notes"{limit}"#);
        let principal = if dialect == "web" { user("anna") } else { server() };
        self.action_of(&self.documents, dialect, &principal, &action).await.matches("_id").count()
    }
}

const BEGIN: [&str; 3] =
    [r#"startTransaction""#, r#"startTransaction""#, "gateway.start_transaction"];
const COUNT: [&str; 3] = [
    r#"countDocument","collectionName":"notes""#,
    r#"calculateDocument","collectionName":"notes""#,
    "gateway.query",
];
const ADD_COLLECTION: [&str; 3] = [
    r#"addCollection","collectionName":"one-more""#,
    r#"addCollection","collectionName":"one-more""#,
    "gateway.create_collection",
];

#[test]
fn a_database_that_fails_is_told_by_the_codes_of_the_sdks() {
    on_sqlite(&Config::default(), async |world| {
        let mut told = String::new();
        for kind in [Kind::Timeout, Kind::Unavailable, Kind::Internal] {
            let documents = world.over_broken_database(kind);
            told += &world.all_answers(&documents, &user("anna"), COUNT).await;
        }
        expect![[r#"
            200 {"code":"SERVER_TIMEOUT","message":"the time bound was reached","requestId":"<id>"}
            200 {"code":"SERVER_TIMEOUT","message":"the time bound was reached","requestId":"<id>"}
            504 {"code":"SERVER_TIMEOUT","message":"the time bound was reached","requestId":"<id>"}
            200 {"code":"SYS_ERR","message":"the service is unavailable","requestId":"<id>"}
            200 {"code":"SYS_ERR","message":"the service is unavailable","requestId":"<id>"}
            503 {"code":"SYS_ERR","message":"the service is unavailable","requestId":"<id>"}
            200 {"code":"SYS_ERR","message":"an internal error","requestId":"<id>"}
            200 {"code":"SYS_ERR","message":"an internal error","requestId":"<id>"}
            500 {"code":"SYS_ERR","message":"an internal error","requestId":"<id>"}
        "#]]
        .assert_eq(&told);
    });
}

#[test]
fn more_transactions_than_may_be_open_at_once() {
    on_every_engine(&Config::default(), async |world| {
        let anna = user("anna");
        for (who, many) in [(&anna, 10), (&server(), 500)] {
            for _ in 0..many {
                world.documents.start_transaction(world.caller(who)).unwrap();
            }
        }
        let told = world.all_answers(&world.documents, &anna, BEGIN).await;
        expect![[r#"
            200 {"code":"EXCEED_CONCURRENT_REQUEST_LIMIT","message":"too many transactions are open; commit or roll back some, or wait","requestId":"<id>"}
            200 {"code":"EXCEED_CONCURRENT_REQUEST_LIMIT","message":"too many transactions are open; commit or roll back some, or wait","requestId":"<id>"}
            429 {"code":"EXCEED_CONCURRENT_REQUEST_LIMIT","message":"too many transactions are open; commit or roll back some, or wait","requestId":"<id>"}
        "#]].assert_eq(&told);
    });
}

/// The memory of all open transactions of a person.
#[test]
fn more_than_a_person_may_hold() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("notes", Preset::Private)]).await;
        let anna = user("anna");
        let begin = || world.documents.start_transaction(world.caller(&anna)).unwrap();
        let add = async |transaction: &str| {
            let text = "x".repeat(3 << 20);
            let action = format!(
                r#"insertDocInTransaction","collectionName":"notes","transactionId":"{transaction}","data":"{{\"t\":\"{text}\"}}""#
            );
            world.action_of(&world.documents, "web", &anna, &action).await
        };
        let transactions = [begin(), begin()];
        let mut last = String::new();
        for turn in 0..6 {
            assert!(!last.contains("code"), "{last}");
            last = add(&transactions[turn % 2]).await;
        }
        expect![[r#"200 {"code":"EXCEED_REQUEST_LIMIT","message":"the open transactions hold too much; commit or roll back some, or wait","requestId":"<id>"}"#]].assert_eq(&last);
    });
}

#[test]
fn a_collection_too_many() {
    on_every_engine(&Config::default(), async |world| {
        let world = Arc::new(world);
        let adding = (1..=1000).map(|n| {
            let world = Arc::clone(&world);
            tokio::spawn(async move {
                let (name, id) = (format!("c{n}"), n.to_string());
                let row = ["demo", &name, &id, "PRIVATE", "mixed", "0"];
                world.put("collections", &row).await;
            })
        });
        for added in adding.collect::<Vec<_>>() {
            added.await.unwrap();
        }
        let root = user_with("root", &["admin"]);
        let told = world.all_answers(&world.documents, &root, ADD_COLLECTION).await;
        expect![[r#"
            200 {"code":"DATABASE_COLLECTION_EXCEED_LIMIT","message":"an environment has at most 1000 collections","requestId":"<id>"}
            200 {"code":"DATABASE_COLLECTION_EXCEED_LIMIT","message":"an environment has at most 1000 collections","requestId":"<id>"}
            403 {"code":"DATABASE_COLLECTION_EXCEED_LIMIT","message":"an environment has at most 1000 collections","requestId":"<id>"}
        "#]].assert_eq(&told);
    });
}

#[test]
fn pages_are_as_long_as_the_clients_expect_or_as_the_operator_says() {
    for (default, max, expected) in [
        (20, 1000, [("20", "100"), ("1000", "1000")]),
        (150, 2000, [("150", "150"), ("2000", "2000")]),
        (5, 10, [("5", "10"), ("10", "10")]),
    ] {
        let config = Config {
            query_documents_default: default,
            query_documents_max: max,
            ..Config::default()
        };
        on_every_engine(&config, async |world| {
            let world = world.with_collections(&[("notes", Preset::ReadOnly)]).await;
            let server = server();
            let all = (0..2100).map(|n| doc! { "_id": n }).collect();
            world.documents.insert(world.caller(&server), "notes", all, None).await.unwrap();
            for (limit, (web, admin)) in [None, Some(5000)].into_iter().zip(expected) {
                let mut told = String::new();
                for dialect in ["web", "admin"] {
                    write!(told, "{} ", world.page(dialect, limit).await).unwrap();
                }
                assert_eq!(told, format!("{web} {admin} "), "{default} {max} {limit:?}");
            }
        });
    }
}
