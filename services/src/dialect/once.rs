//! Writes of every dialect under an `Idempotency-Key`: a repetition answers as the first call did.

use std::fmt::Write;
use std::time::Duration;

use bson::doc;
use expect_test::expect;
use yunzhan_base::Principal;

use crate::documents::testing::{Asked, World, on_every_engine, server, user};
use crate::documents::{Config, Preset, Which};

const PARAMS: [(&str, &str); 3] =
    [("instance", "(default)"), ("database", "(default)"), ("collection", "notes")];

/// What is written, a route and a body each, whose `SEQ` differs each time.
const WRITES: [(&str, &str); 11] = [
    ("gateway.insert", r#"{"data":[{"at":{"$date":{"offset":0}}}]}"#),
    (
        "gateway.update",
        r#"{"query":{"_id":"a"},"data":{"$inc":{"n":1},"$set":{"at":{"$date":{"offset":0}}}}}"#,
    ),
    ("gateway.update", r#"{"query":{"_id":"g"},"data":{"n":1},"upsert":true}"#),
    ("gateway.remove", r#"{"query":{"_id":"b"}}"#),
    ("web.call", r#"{"action":"database.addDocument","data":{"at":{"$date":{"offset":0}}},SEQ}"#),
    (
        "web.call",
        r#"{"action":"database.updateDocument","query":{"_id":"a"},"data":{"$inc":{"n":1},"$set":{"at":{"$date":{"offset":0}}}},"merge":true,SEQ}"#,
    ),
    ("web.call", r#"{"action":"database.deleteDocument","query":{"_id":"c"},SEQ}"#),
    (
        "admin.call",
        r#"{"action":"database.insertDocument","data":["{\"at\":{\"$tcb_server_date\":{\"offset\":0}}}"],SEQ}"#,
    ),
    (
        "admin.call",
        r#"{"action":"database.modifyDocument","query":"{\"_id\":\"a\"}","data":"{\"$inc\":{\"n\":1}}","merge":true,SEQ}"#,
    ),
    (
        "admin.call",
        r#"{"action":"database.modifyAndReturnDoc","query":"{\"_id\":\"a\"}","data":"{\"$inc\":{\"n\":1}}",SEQ}"#,
    ),
    ("admin.call", r#"{"action":"database.removeDocument","query":"{\"_id\":\"d\"}",SEQ}"#),
];

impl World {
    async fn once(&self, route: &str, key: &str, body: &str, turn: usize) -> String {
        let volatile =
            format!(r#""collectionName":"notes","seqId":"{turn}","access_token":"t{turn}""#);
        let body = body.replace("SEQ", &volatile);
        let headers = [("idempotency-key", key), ("content-type", "application/json")];
        let principal: Principal = if route == "admin.call" { server() } else { user("anna") };
        let (params, body, principal) = (&PARAMS, body.as_str(), &principal);
        let asked = Asked { route, params, query: "", headers: &headers, body, principal };
        self.ask_dialect(&self.documents, asked).await
    }
}

#[test]
fn every_single_write_happens_once() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("notes", Preset::Private)]).await;
        let (anna, server) = (user("anna"), server());
        for id in ["a", "b", "c", "d"] {
            let note = vec![doc! { "_id": id, "n": 1 }];
            world.documents.insert(world.caller(&anna), "notes", note, None).await.unwrap();
        }
        let mut told = String::new();
        for (turn, (route, body)) in WRITES.into_iter().enumerate() {
            let key = format!("key-{turn}");
            let first = world.once(route, &key, body, 1).await;
            // Dates that are left to the server are later now, and what was written is no longer what it was.
            world.wait(Duration::from_secs(1));
            assert_eq!(world.once(route, &key, body, 2).await, first, "{body}");
            let other = body.replace("\"n\"", "\"m\"").replace(r#"\"n\""#, r#"\"m\""#);
            let other =
                other.replace("offset\":0", "offset\":1").replace("offset\\\":0", "offset\\\":1");
            let other = ["b", "c", "d"].iter().fold(other, |other, id| {
                other
                    .replace(&format!("\"{id}\""), "\"x\"")
                    .replace(&format!(r#"\"{id}\""#), r#"\"x\""#)
            });
            assert_ne!(other, body);
            let refused = world.once(route, &key, &other, 3).await;
            assert!(refused.contains("this Idempotency-Key came before"), "{other} {refused}");
            writeln!(told, "{route} {first}").unwrap();
        }
        expect![[r#"
            gateway.insert 200 {"insertedIds":["9bd960d4d94b723882257be82d072b21"]}
            gateway.update 200 {"matched":1,"updated":1}
            gateway.update 200 {"matched":0,"updated":0,"upsert_id":"g","upserted_id":"g"}
            gateway.remove 200 {"deleted":1}
            web.call 200 {"requestId":"<id>","data":{"_id":"c18afbcf814372388277f1a525c4d0bc","insertedIds":["c18afbcf814372388277f1a525c4d0bc"]}}
            web.call 200 {"requestId":"<id>","data":{"updated":1}}
            web.call 200 {"requestId":"<id>","data":{"deleted":1}}
            admin.call 200 {"requestId":"<id>","data":{"insertedIds":["6289fc92d82773868617d7b282aae030"]}}
            admin.call 200 {"requestId":"<id>","data":{"updated":1}}
            admin.call 200 {"requestId":"<id>","data":{"updated":1,"doc":"{\"_id\":\"a\",\"_openid\":\"anna\",\"n\":{\"$numberInt\":\"5\"},\"at\":{\"$date\":{\"$numberLong\":\"1767225605000\"}}}"}}
            admin.call 200 {"requestId":"<id>","data":{"deleted":1}}
        "#]].assert_eq(&told);
        let all = world.documents.count(world.caller(&server), "notes", Which::every()).await;
        assert_eq!(all.unwrap(), 5);
    });
}

#[test]
fn what_may_write_several_documents_takes_no_key() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("notes", Preset::Private)]).await;
        for (route, body) in [
            ("gateway.insert", r#"{"data":[{},{}]}"#),
            ("gateway.update", r#"{"query":{},"data":{"$inc":{"n":1}},"multi":true}"#),
            ("gateway.remove", r#"{"query":{},"multi":true}"#),
            ("web.call", r#"{"action":"database.deleteDocument","multi":true,SEQ}"#),
        ] {
            let refused = world.once(route, "key", body, 1).await;
            assert!(
                refused.contains("an idempotency key goes with a single document"),
                "{refused}"
            );
        }
    });
}
