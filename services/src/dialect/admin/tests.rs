//! Requests as the server-side SDKs send them, and the answers they read.

use expect_test::{Expect, expect};

use crate::dialect::action::DialectName;
use crate::dialect::testing::listed;
use crate::documents::testing::{Asked, World, on_every_engine, server};
use crate::documents::{Config, Preset};

impl World {
    async fn admin(&self, body: &str) -> String {
        let principal = server();
        let headers = [("content-type", "application/json; charset=utf-8")];
        let query = "env=demo&seqId=1977420dc7b_1";
        let asked = Asked {
            route: "admin.call",
            params: &[],
            query,
            headers: &headers,
            body,
            principal: &principal,
        };
        self.ask_dialect(&self.documents, asked).await
    }
}

/// Members that the SDKs add to every call.
const ADDED: &str =
    r#""envName":"demo","wxCloudApiToken":"","tcb_sessionToken":"","crossAuthorizationToken":"""#;

#[test]
fn a_session_of_the_sdk() {
    on_every_engine(&Config::default(), async |world| {
        let check = async |action: &str, members: &str, expected: Expect| {
            let body = format!(
                r#"{{"action":"database.{action}","collectionName":"goods",{members}{ADDED}}}"#
            );
            expected.assert_eq(&world.admin(&body).await);
        };
        check("calculateDocument", "", expect![[r#"200 {"code":"DATABASE_COLLECTION_NOT_EXIST","message":"there is no collection goods; create it first","requestId":"<id>"}"#]]).await;
        check("addCollection", "", expect![[r#"200 {"requestId":"<id>","data":{}}"#]]).await;
        check("addCollection", "", expect![[r#"200 {"code":"DATABASE_REQUEST_FAILED","message":"collection goods exists already","requestId":"<id>"}"#]]).await;

        let tea = r#""data":["{\"_id\":\"tea\",\"n\":{\"$numberInt\":\"3\"},\"price\":{\"$numberDouble\":\"1.5\"},\"d\":{\"$date\":{\"$numberLong\":\"5\"}},\"at\":{\"$tcb_server_date\":{\"offset\":{\"$numberInt\":\"1000\"}}},\"text\":\"云 \\\"q\\\"\"}"],"#;
        check(
            "insertDocument",
            tea,
            expect![[r#"200 {"requestId":"<id>","data":{"insertedIds":["tea"]}}"#]],
        )
        .await;
        check("insertDocument", tea, expect![[r#"200 {"code":"DATABASE_REQUEST_FAILED","message":"a document with this _id exists already","requestId":"<id>"}"#]]).await;
        let two = r#""data":["{\"_id\":\"cup\",\"n\":{\"$numberInt\":\"5\"},\"_openid\":\"o1\"}","{\"_id\":{\"$numberInt\":\"7\"}}"],"#;
        check(
            "insertDocument",
            two,
            expect![[r#"200 {"requestId":"<id>","data":{"insertedIds":["cup",7]}}"#]],
        )
        .await;

        check("getDocument", r#""queryType":"DOC","query":"{\"_id\":\"tea\"}","multi":false,"#, expect![[r#"200 {"requestId":"<id>","total":1,"offset":0,"limit":100,"data":{"list":["{\"_id\":\"tea\",\"n\":{\"$numberInt\":\"3\"},\"price\":{\"$numberDouble\":\"1.5\"},\"d\":{\"$date\":{\"$numberLong\":\"5\"}},\"at\":{\"$date\":{\"$numberLong\":\"1767225601000\"}},\"text\":\"云 \\\"q\\\"\"}"]}}"#]]).await;
        check(
            "getDocument",
            r#""queryType":"DOC","query":"{\"_id\":\"none\"}","multi":false,"#,
            expect![[
                r#"200 {"requestId":"<id>","total":0,"offset":0,"limit":100,"data":{"list":[]}}"#
            ]],
        )
        .await;
        check(
            "getDocument",
            r#""queryType":"WHERE","query":"{\"n\":{\"$gt\":{\"$numberInt\":\"1\"}}}","order":"{\"n\":{\"$numberInt\":\"-1\"}}","offset":0,"limit":1,"projection":"{\"n\":{\"$numberInt\":\"1\"}}","#,
            expect![[r#"200 {"requestId":"<id>","total":2,"offset":0,"limit":1,"data":{"list":["{\"_id\":\"cup\",\"n\":{\"$numberInt\":\"5\"}}"]}}"#]],
        )
        .await;
        check(
            "calculateDocument",
            r#""query":"","#,
            expect![[r#"200 {"requestId":"<id>","data":{"total":3}}"#]],
        )
        .await;

        let update = r#""queryType":"WHERE","query":"{\"n\":{\"$exists\":true}}","data":"{\"$inc\":{\"n\":{\"$numberInt\":\"1\"}}}","multi":true,"merge":true,"upsert":false,"#;
        check(
            "modifyDocument",
            update,
            expect![[r#"200 {"requestId":"<id>","data":{"updated":2}}"#]],
        )
        .await;
        let set = |id: &str| {
            format!(
                r#""queryType":"DOC","query":"{{\"_id\":\"{id}\"}}","data":"{{\"a\":{{\"$numberInt\":\"1\"}}}}","multi":false,"merge":false,"upsert":true,"#
            )
        };
        check(
            "modifyDocument",
            &set("tea"),
            expect![[r#"200 {"requestId":"<id>","data":{"updated":1}}"#]],
        )
        .await;
        check(
            "modifyDocument",
            &set("new"),
            expect![[r#"200 {"requestId":"<id>","data":{"updated":0,"upsert_id":"new"}}"#]],
        )
        .await;
        let empty = r#""query":"{}","data":"{}","multi":true,"merge":true,"upsert":false,"#;
        check("modifyDocument", empty, expect![[r#"200 {"code":"INVALID_PARAM","message":"an update needs operators such as $set; to replace a document, set it","requestId":"<id>"}"#]]).await;
        let and_return = r#""query":"{\"_id\":\"cup\"}","data":"{\"$set\":{\"m\":true}}","#;
        check("modifyAndReturnDoc", and_return, expect![[r#"200 {"requestId":"<id>","data":{"updated":1,"doc":"{\"_id\":\"cup\",\"n\":{\"$numberInt\":\"6\"},\"_openid\":\"o1\",\"m\":true}"}}"#]]).await;
        check(
            "modifyAndReturnDoc",
            r#""query":"{\"_id\":\"none\"}","data":"{\"$set\":{\"m\":true}}","#,
            expect![[r#"200 {"requestId":"<id>","data":{"updated":0,"doc":null}}"#]],
        )
        .await;

        check(
            "removeDocument",
            r#""query":"{\"_id\":\"tea\"}","queryType":"DOC","multi":false,"#,
            expect![[r#"200 {"requestId":"<id>","data":{"deleted":1}}"#]],
        )
        .await;
        check(
            "removeDocument",
            r#""query":"","queryType":"WHERE","multi":true,"#,
            expect![[r#"200 {"requestId":"<id>","data":{"deleted":3}}"#]],
        )
        .await;
        check("calculateDocument", "", expect![[r#"200 {"requestId":"<id>","data":{"total":0}}"#]])
            .await;
    });
}

#[test]
fn a_refusal_is_an_answer_of_status_200() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("goods", Preset::AdminOnly)]).await;
        let check =
            async |body: &str, expected: Expect| expected.assert_eq(&world.admin(body).await);
        check(
            "",
            expect![[
                r#"200 {"code":"INVALID_PARAM","message":"action is missing","requestId":"<id>"}"#
            ]],
        )
        .await;
        check("{", expect![[r#"200 {"code":"INVALID_PARAM","message":"expected '\"', at byte 1","requestId":"<id>"}"#]]).await;
        check(
            "[]",
            expect![[
                r#"200 {"code":"INVALID_PARAM","message":"expected an object","requestId":"<id>"}"#
            ]],
        )
        .await;
        check(r#"{"action":"database.dropEverything"}"#, expect![[r#"200 {"code":"INVALID_PARAM","message":"action names nothing that this dialect knows","requestId":"<id>"}"#]]).await;
        check(
            r#"{"action":7}"#,
            expect![[
                r#"200 {"code":"INVALID_PARAM","message":"action must be text","requestId":"<id>"}"#
            ]],
        )
        .await;
        check(r#"{"action":"database.getDocument"}"#, expect![[r#"200 {"code":"INVALID_PARAM","message":"collectionName is missing","requestId":"<id>"}"#]]).await;
        check(r#"{"action":"database.getDocument","collectionName":"none"}"#, expect![[r#"200 {"code":"DATABASE_COLLECTION_NOT_EXIST","message":"there is no collection none; create it first","requestId":"<id>"}"#]]).await;
        check(r#"{"action":"database.getDocument","collectionName":"goods","envName":"other"}"#, expect![[r#"200 {"code":"INVALIID_ENV","message":"envName is not demo, which the key belongs to","requestId":"<id>"}"#]]).await;
        check(r#"{"action":"database.getDocument","collectionName":"goods","transactionId":"t"}"#, expect![[r#"200 {"code":"DATABASE_TRANSACTION_FAIL","message":"[ResourceUnavailable.TransactionNotExist] Transaction does not exist on the server, transaction must be commit or abort in 30 seconds. Please check your request, but if the problem persists, contact us.","requestId":"<id>"}"#]]).await;
        check(r#"{"action":"database.getDocument","collectionName":"goods","query":"{"}"#, expect![[r#"200 {"code":"INVALID_PARAM","message":"query: expected '\"', at byte 1","requestId":"<id>"}"#]]).await;
        check(r#"{"action":"database.getDocument","collectionName":"goods","query":"{\"$where\":\"1\"}"}"#, expect![[r#"200 {"code":"DATABASE_INVALID_OPERRATOR","message":"query: unknown operator, operator $where","requestId":"<id>"}"#]]).await;
        check(r#"{"action":"database.getDocument","collectionName":"goods","limit":"7"}"#, expect![[r#"200 {"code":"INVALID_PARAM","message":"limit must be a whole number","requestId":"<id>"}"#]]).await;
        check(r#"{"action":"database.insertDocument","collectionName":"goods","data":["{\"$a\":1}"]}"#, expect![[r#"200 {"code":"INVALID_PARAM","message":"a field name may not begin with $, at field $a","requestId":"<id>"}"#]]).await;
        check(r#"{"action":"database.aggregateDocuments","collectionName":"goods","stages":[{"stageKey":"$out","stageValue":"{}"}]}"#, expect![[r#"200 {"code":"DATABASE_INVALID_OPERRATOR","message":"stage is not offered, operator $out","requestId":"<id>"}"#]]).await;
        check(r#"{"action":"database.addCollection","collectionName":"a/b"}"#, expect![[r#"200 {"code":"INVALID_PARAM","message":"a collection's name has 1 to 64 of A-Z, a-z, 0-9, '_' and '-', and does not begin with '-'","requestId":"<id>"}"#]]).await;
    });
}

#[test]
fn every_action_answers() {
    on_every_engine(&Config::default(), async |world| {
        for action in listed(DialectName::Admin) {
            let answer = world.admin(&format!(r#"{{"action":"{}"}}"#, action.spec.name)).await;
            // Without a collection nothing can be done, but what is not offered says so first.
            let is_refused = answer.starts_with(r#"200 {"code":"NOT_IMPLEMENTED""#);
            assert_eq!(is_refused, !action.is_offered, "{}: {answer}", action.spec.name);
        }
    });
}
