//! Requests as the mini-program's SDK sends them, and the answers it reads.

use std::fmt::Write;

use expect_test::{Expect, expect};
use yunzhan_base::Principal;

use super::ROUTES;
use crate::documents::testing::{Asked, World, on_every_engine, user, user_with};
use crate::documents::{Config, Preset};

const DEFAULT: [(&str, &str); 2] = [("instance", "(default)"), ("database", "(default)")];

impl World {
    /// Asks a route about the collection `notes`.
    async fn gateway(&self, principal: &Principal, route: &str, query: &str, body: &str) -> String {
        let params = [DEFAULT[0], DEFAULT[1], ("collection", "notes"), ("id", "n1")];
        let asked = Asked { route, params: &params, query, headers: &[], body, principal };
        self.ask(&self.documents, ROUTES, asked).await
    }
}

/// What `encodeURIComponent` does.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[test]
fn a_session_of_the_sdk() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("notes", Preset::Private)]).await;
        let anna = user("anna");
        let check = async |route: &str, query: &str, body: &str, expected: Expect| {
            expected.assert_eq(&world.gateway(&anna, route, query, body).await);
        };
        let add = r#"{"data":[{"_id":"n1","n":1,"half":0.5,"d":{"$date":5},"s":{"$date":{"offset":1000}},"t":"云 \"q\""}]}"#;
        check("gateway.insert", "", add, expect![[r#"200 {"insertedIds":["n1"]}"#]]).await;
        check("gateway.insert", "", add, expect![[r#"409 {"code":"DATABASE_REQUEST_FAILED","message":"a document with this _id exists already","requestId":"<id>"}"#]]).await;
        check(
            "gateway.insert",
            "",
            r#"{"data":[{"_id":"n2","n":2},{"_id":7,"n":3}]}"#,
            expect![[r#"200 {"insertedIds":["n2",7]}"#]],
        )
        .await;

        // doc(id).get(): a query by the id, every field, a trailing `&`.
        let query =
            format!("projection=%7B%7D&offset=0&limit=100&query={}&", encoded(r#"{"_id":"n1"}"#));
        check("gateway.query", &query, "", expect![[r#"200 {"list":[{"_id":"n1","_openid":"anna","n":1,"half":0.5,"d":{"$date":5},"s":{"$date":1767225601000},"t":"云 \"q\""}],"offset":0,"limit":100,"total":1}"#]]).await;
        let query = format!(
            "projection={}&offset=1&limit=5&order={}&query={}&",
            encoded(r#"{"n":1}"#),
            encoded(r#"[{"field":"n","direction":"desc"},{"field":"_id","direction":"asc"}]"#),
            encoded(r#"{"n":{"$gt":{"$numberInt":"0"}}}"#),
        );
        check("gateway.query", &query, "", expect![[r#"200 {"list":[{"_id":"n2","n":2},{"_id":"n1","n":1}],"offset":1,"limit":5,"total":3}"#]]).await;
        let day = encoded(
            r#"{"d":{"$lte":{"$date":{"$numberInt":"5"}}},"t":{"$regex":"^云","$options":"i"}}"#,
        );
        check(
            "gateway.query",
            &format!("count=true&query={day}&"),
            "",
            expect![[r#"200 {"total":1}"#]],
        )
        .await;
        check("gateway.query", "count=true&", "", expect![[r#"200 {"total":3}"#]]).await;
        check("gateway.query", "", "", expect![[r#"200 {"list":[{"_id":7,"_openid":"anna","n":3},{"_id":"n1","_openid":"anna","n":1,"half":0.5,"d":{"$date":5},"s":{"$date":1767225601000},"t":"云 \"q\""},{"_id":"n2","_openid":"anna","n":2}],"offset":0,"limit":20,"total":3}"#]]).await;
        check("gateway.get", "&", "", expect![[r#"200 {"_id":"n1","_openid":"anna","n":1,"half":0.5,"d":{"$date":5},"s":{"$date":1767225601000},"t":"云 \"q\""}"#]]).await;
        check(
            "gateway.get",
            &format!("projection={}&", encoded(r#"{"n":1}"#)),
            "",
            expect![[r#"200 {"_id":"n1","n":1}"#]],
        )
        .await;

        let update = r#"{"query":{"_id":"n1"},"data":{"$inc":{"n":5},"$set":{"e.f":{"$date":9}}},"multi":false,"upsert":false,"replaceMode":false}"#;
        check("gateway.update", "", update, expect![[r#"200 {"matched":1,"updated":1}"#]]).await;
        let absent = r#"{"query":{"_id":"none"},"data":{"$set":{"n":1}},"multi":false,"upsert":false,"replaceMode":false}"#;
        check("gateway.update", "", absent, expect![[r#"200 {"matched":0,"updated":0}"#]]).await;
        let all = r#"{"query":{"n":{"$gt":1}},"data":{"$set":{"big":true}},"multi":true,"upsert":false,"replaceMode":false}"#;
        check("gateway.update", "", all, expect![[r#"200 {"matched":3,"updated":3}"#]]).await;

        // doc(id).set(): no operators, upsert without replaceMode, and yet a replacement.
        let set = |id: &str| {
            format!(
                r#"{{"query":{{"_id":"{id}"}},"data":{{"a":1}},"multi":false,"upsert":true,"replaceMode":false}}"#
            )
        };
        check("gateway.update", "", &set("n1"), expect![[r#"200 {"matched":1,"updated":1}"#]])
            .await;
        check(
            "gateway.update",
            "",
            &set("n4"),
            expect![[r#"200 {"matched":0,"updated":0,"upsert_id":"n4","upserted_id":"n4"}"#]],
        )
        .await;
        check("gateway.get", "", "", expect![[r#"200 {"_id":"n1","_openid":"anna","a":1}"#]]).await;

        check(
            "gateway.remove",
            "",
            r#"{"query":{"_id":"n1"},"multi":false}"#,
            expect![[r#"200 {"deleted":1}"#]],
        )
        .await;
        check(
            "gateway.remove",
            "",
            r#"{"query":{"_id":"n1"},"multi":false}"#,
            expect![[r#"200 {"deleted":0}"#]],
        )
        .await;
        check(
            "gateway.remove",
            "",
            r#"{"query":{"big":true},"multi":true}"#,
            expect![[r#"200 {"deleted":2}"#]],
        )
        .await;
        check("gateway.query", "", "", expect![[r#"200 {"list":[{"_id":"n4","_openid":"anna","a":1}],"offset":0,"limit":20,"total":1}"#]]).await;
    });
}

#[test]
fn what_is_refused_is_refused_by_code() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("notes", Preset::AdminWrite)]).await;
        let anna = user("anna");
        let long_projection = format!("projection={}", encoded(r#"{"a":1,"b":0}"#));
        let order = format!("order={}", encoded(r#"[{"field":"a"}]"#));
        let operator = format!("query={}", encoded(r#"{"a":{"$where":"1"}}"#));
        let deep = format!(
            "query={}",
            encoded(&format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200)))
        );
        let mut table = String::new();
        for (route, query, body) in [
            ("gateway.insert", "", r#"{"data":[{"a":1}]}"#),
            ("gateway.insert", "", r#"{"data":[1]}"#),
            ("gateway.insert", "", r#"{"data":"#),
            ("gateway.insert", "", r#"{"data":[{"a":1,"a":2}]}"#),
            ("gateway.insert", "", "{}"),
            ("gateway.insert", "", r#"{"data":[]}"#),
            ("gateway.insert", "", r#"{"data":[{}],"transactionId":"t1"}"#),
            ("gateway.update", "", r#"{"query":{},"data":{"$set":{"a":1}}}"#),
            ("gateway.update", "", r#"{"query":{},"multi":1,"data":{"$set":{"a":1}}}"#),
            ("gateway.update", "", r#"{"query":{}}"#),
            ("gateway.remove", "", r#"{"query":{}}"#),
            ("gateway.get", "", ""),
            ("gateway.query", "transactionId=t1", ""),
            ("gateway.query", "limit=-1", ""),
            ("gateway.query", "query=%7B", ""),
            ("gateway.query", "query=%zz", ""),
            ("gateway.query", &long_projection, ""),
            ("gateway.query", &order, ""),
            ("gateway.query", &operator, ""),
            ("gateway.query", &deep, ""),
            ("gateway.create_collection", "", r#"{"collectionName":"mine"}"#),
            ("gateway.aggregate", "", "{}"),
        ] {
            let answer = world.gateway(&anna, route, query, body).await;
            writeln!(
                table,
                "{} {}\n  {answer}",
                route,
                if query.len() > 60 { &query[..60] } else { query }
            )
            .unwrap();
        }
        expect![[r#"
            gateway.insert 
              403 {"code":"DATABASE_PERMISSION_DENIED","message":"the permission of this collection does not let you add to it","requestId":"<id>"}
            gateway.insert 
              400 {"code":"INVALID_PARAM","message":"data must be an object","requestId":"<id>"}
            gateway.insert 
              400 {"code":"INVALID_PARAM","message":"unexpected end of text, at byte 8","requestId":"<id>"}
            gateway.insert 
              400 {"code":"INVALID_PARAM","message":"a key occurs twice in one object, at byte 21","requestId":"<id>"}
            gateway.insert 
              400 {"code":"INVALID_PARAM","message":"data is missing","requestId":"<id>"}
            gateway.insert 
              400 {"code":"INVALID_PARAM","message":"data names no document","requestId":"<id>"}
            gateway.insert 
              409 {"code":"DATABASE_TRANSACTION_FAIL","message":"[ResourceUnavailable.TransactionNotExist] Transaction does not exist on the server, transaction must be commit or abort in 30 seconds. Please check your request, but if the problem persists, contact us.","requestId":"<id>"}
            gateway.update 
              403 {"code":"DATABASE_PERMISSION_DENIED","message":"the permission of this collection does not let you change it","requestId":"<id>"}
            gateway.update 
              400 {"code":"INVALID_PARAM","message":"multi must be true or false","requestId":"<id>"}
            gateway.update 
              400 {"code":"INVALID_PARAM","message":"data is missing","requestId":"<id>"}
            gateway.remove 
              403 {"code":"DATABASE_PERMISSION_DENIED","message":"the permission of this collection does not let you remove from it","requestId":"<id>"}
            gateway.get 
              404 {"code":"NOT_FOUND","message":"there is no such document, or you may not see it","requestId":"<id>"}
            gateway.query transactionId=t1
              409 {"code":"DATABASE_TRANSACTION_FAIL","message":"[ResourceUnavailable.TransactionNotExist] Transaction does not exist on the server, transaction must be commit or abort in 30 seconds. Please check your request, but if the problem persists, contact us.","requestId":"<id>"}
            gateway.query limit=-1
              400 {"code":"INVALID_PARAM","message":"limit must be a whole number from 0 on","requestId":"<id>"}
            gateway.query query=%7B
              400 {"code":"INVALID_PARAM","message":"query: expected '\"', at byte 1","requestId":"<id>"}
            gateway.query query=%zz
              400 {"code":"INVALID_PARAM","message":"a percent escape in the address is malformed","requestId":"<id>"}
            gateway.query projection=%7B%22a%22%3A1%2C%22b%22%3A0%7D
              400 {"code":"INVALID_PARAM","message":"projection: projection mixes inclusion and exclusion, at field b","requestId":"<id>"}
            gateway.query order=%5B%7B%22field%22%3A%22a%22%7D%5D
              400 {"code":"INVALID_PARAM","message":"order.direction is missing","requestId":"<id>"}
            gateway.query query=%7B%22a%22%3A%7B%22%24where%22%3A%221%22%7D%7D
              400 {"code":"DATABASE_INVALID_OPERRATOR","message":"query: unknown operator, operator $where, at field a","requestId":"<id>"}
            gateway.query query=%7B%22a%22%3A%7B%22a%22%3A%7B%22a%22%3A%7B%22a%22%3A%7
              400 {"code":"INVALID_PARAM","message":"query: text nests too deep, at byte 500","requestId":"<id>"}
            gateway.create_collection 
              403 {"code":"DATABASE_PERMISSION_DENIED","message":"only an administrator makes collections","requestId":"<id>"}
            gateway.aggregate 
              400 {"code":"INVALID_PARAM","message":"pipeline is missing","requestId":"<id>"}
        "#]].assert_eq(&table);
    });
}

#[test]
fn values_that_cannot_be_stored_are_refused_and_odd_ones_kept() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("notes", Preset::Private)]).await;
        let anna = user("anna");
        let nested = format!(r#"{{"data":[{}1{}]}}"#, r#"{"a":"#.repeat(97), "}".repeat(97));
        let deep = format!(r#"{{"data":[{}1{}]}}"#, r#"{"a":"#.repeat(200), "}".repeat(200));
        let mut told = String::new();
        for body in [
            r#"{"data":[{"a\u0000b":1}]}"#,
            r#"{"data":[{"$a":1}]}"#,
            r#"{"data":[{"_id":{"a":1}}]}"#,
            r#"{"data":[{"_id":""}]}"#,
            r#"{"data":[{"_openid":"anna"}]}"#,
            r#"{"data":[{"a":1e999}]}"#,
            r#"{"data":[{"_id":"nul\u0000","half":"\ud83d","big":9007199254740993,"":{}}]}"#,
            r#"{"data":[{"_id":{"$oid":"00112233445566778899aabb"}}]}"#,
            &deep,
        ] {
            let answer = world.gateway(&anna, "gateway.insert", "", body).await;
            writeln!(told, "{}\n  {answer}", &body[..body.len().min(60)]).unwrap();
        }
        expect![[r#"
            {"data":[{"a\u0000b":1}]}
              400 {"code":"INVALID_PARAM","message":"a key contains NUL, at byte 20","requestId":"<id>"}
            {"data":[{"$a":1}]}
              400 {"code":"INVALID_PARAM","message":"a field name may not begin with $, at field $a","requestId":"<id>"}
            {"data":[{"_id":{"a":1}}]}
              400 {"code":"INVALID_PARAM","message":"an _id is a string, a number or an ObjectId","requestId":"<id>"}
            {"data":[{"_id":""}]}
              400 {"code":"INVALID_PARAM","message":"an _id may not be empty","requestId":"<id>"}
            {"data":[{"_openid":"anna"}]}
              400 {"code":"INVALID_PARAM","message":"_openid is written by the server; leave it out","requestId":"<id>"}
            {"data":[{"a":1e999}]}
              400 {"code":"INVALID_PARAM","message":"number out of range, at byte 19","requestId":"<id>"}
            {"data":[{"_id":"nul\u0000","half":"\ud83d","big":9007199254
              200 {"insertedIds":["nul\u0000"]}
            {"data":[{"_id":{"$oid":"00112233445566778899aabb"}}]}
              200 {"insertedIds":[{"$oid":"00112233445566778899aabb"}]}
            {"data":[{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{
              400 {"code":"INVALID_PARAM","message":"text nests too deep, at byte 499","requestId":"<id>"}
        "#]].assert_eq(&told);
        assert!(world.gateway(&anna, "gateway.insert", "", &nested).await.starts_with("200 "));
        let ids = encoded(r#"{"_id":{"$in":["nul\u0000",{"$oid":"00112233445566778899aabb"}]}}"#);
        expect![[r#"200 {"list":[{"_id":"nul\u0000","_openid":"anna","half":"�","big":9007199254740993,"":{}},{"_id":{"$oid":"00112233445566778899aabb"},"_openid":"anna"}],"offset":0,"limit":20,"total":2}"#]]
            .assert_eq(&world.gateway(&anna, "gateway.query", &format!("query={ids}"), "").await);
    });
}

#[test]
fn only_the_one_database_and_known_collections_are_there() {
    on_every_engine(&Config::default(), async |world| {
        let anna = user("anna");
        let ask = async |params: &[(&'static str, &str)]| {
            let asked = Asked {
                route: "gateway.query",
                params,
                query: "",
                headers: &[],
                body: "",
                principal: &anna,
            };
            world.ask(&world.documents, ROUTES, asked).await
        };
        expect![[r#"404 {"code":"DATABASE_COLLECTION_NOT_EXIST","message":"there is no collection none; create it first","requestId":"<id>"}"#]].assert_eq(&ask(&[DEFAULT[0], DEFAULT[1], ("collection", "none")]).await);
        expect![[r#"404 {"code":"DATABASE_COLLECTION_NOT_EXIST","message":"there is no such collection","requestId":"<id>"}"#]].assert_eq(&ask(&[DEFAULT[0], DEFAULT[1], ("collection", "../<b>")]).await);
        expect![[r#"404 {"code":"NOT_FOUND","message":"an environment has one instance and one database, both named (default)","requestId":"<id>"}"#]].assert_eq(&ask(&[DEFAULT[0], ("database", "other"), ("collection", "none")]).await);
    });
}

#[test]
fn an_administrator_makes_collections() {
    on_every_engine(&Config::default(), async |world| {
        let admin = user_with("anna", &["admin"]);
        let create = async |principal: &Principal, body: &str| {
            world.gateway(principal, "gateway.create_collection", "", body).await
        };
        expect!["200 {}"].assert_eq(&create(&admin, r#"{"collectionName":"mine"}"#).await);
        expect![[r#"409 {"code":"DATABASE_REQUEST_FAILED","message":"collection mine exists already","requestId":"<id>"}"#]].assert_eq(&create(&admin, r#"{"collectionName":"mine"}"#).await);
        expect![[r#"400 {"code":"INVALID_PARAM","message":"a collection's name has 1 to 64 of A-Z, a-z, 0-9, '_' and '-', and does not begin with '-'","requestId":"<id>"}"#]].assert_eq(&create(&admin, r#"{"collectionName":"no/such"}"#).await);
        expect![[r#"400 {"code":"INVALID_PARAM","message":"collectionName is missing","requestId":"<id>"}"#]].assert_eq(&create(&admin, "{}").await);
        expect![[r#"403 {"code":"DATABASE_PERMISSION_DENIED","message":"only an administrator makes collections","requestId":"<id>"}"#]].assert_eq(&create(&user("bert"), r#"{"collectionName":"theirs"}"#).await);
    });
}

#[test]
fn an_idempotency_key_makes_a_repetition_harmless() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("notes", Preset::Private)]).await;
        let anna = user("anna");
        let insert_as = async |key: &str, body: &str| {
            let params = [DEFAULT[0], DEFAULT[1], ("collection", "notes")];
            let headers = [("idempotency-key", key)];
            let asked = Asked {
                route: "gateway.insert",
                params: &params,
                query: "",
                headers: &headers,
                body,
                principal: &anna,
            };
            world.ask(&world.documents, ROUTES, asked).await
        };
        let insert = async |key: &str| insert_as(key, r#"{"data":[{"n":1}]}"#).await;
        let first = insert("\"order-1\"").await;
        assert!(first.starts_with("200 "), "{first}");
        assert_eq!(insert("order-1").await, first);
        assert_ne!(insert("order-2").await, first);
        expect![[r#"400 {"code":"INVALID_PARAM","message":"this Idempotency-Key came before with another request; a new request needs a new key","requestId":"<id>"}"#]].assert_eq(&insert_as("order-1", r#"{"data":[{"_id":"own"}]}"#).await);
        expect![[r#"400 {"code":"INVALID_PARAM","message":"an idempotency key has 1 to 128 visible ASCII characters","requestId":"<id>"}"#]].assert_eq(&insert("").await);
        expect![[r#"200 {"total":2}"#]]
            .assert_eq(&world.gateway(&anna, "gateway.query", "count=true&", "").await);
    });
}
