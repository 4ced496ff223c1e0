//! Requests as the mini-program's SDK sends them without the gateway dialect, and the answers it reads.

use std::fmt::Write;

use expect_test::expect;
use yunzhan_base::Principal;

use crate::dialect::action::DialectName;
use crate::dialect::testing::listed;
use crate::documents::testing::{Asked, World, on_every_engine, user, user_with};
use crate::documents::{Config, Preset};

/// Members that the SDK adds to every call.
const ADDED: &str = r#""dataVersion":"2020-01-10","env":"demo","access_token":"checked before","seqId":"1977420dc7b_1""#;

impl World {
    async fn web(&self, principal: &Principal, body: &str) -> String {
        let headers = [("content-type", "application/json;charset=UTF-8")];
        let (params, query) = (&[], "env=demo");
        let asked = Asked { route: "web.call", params, query, headers: &headers, body, principal };
        self.ask_dialect(&self.documents, asked).await
    }

    /// An action on the collection `notes`; `members` end in a comma.
    async fn action(&self, principal: &Principal, action: &str, members: &str) -> String {
        let body = format!(
            r#"{{"action":"database.{action}","collectionName":"notes",{members}{ADDED}}}"#
        );
        self.web(principal, &body).await
    }

    /// A transaction that is open.
    async fn begun(&self, principal: &Principal) -> String {
        let answer = self.action(principal, "startTransaction", "").await;
        let (_, id) = answer.split_once(r#""transactionId":""#).unwrap();
        id.trim_end_matches("\"}").to_owned()
    }
}

#[test]
fn a_session_of_the_sdk() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("notes", Preset::Private)]).await;
        let (anna, bert) = (user("anna"), user("bert"));
        let mut told = String::new();
        for (who, action, members) in [
            (
                &anna,
                "addDocument",
                r#""data":{"_id":"n1","n":1,"half":0.5,"d":{"$date":5},"s":{"$date":{"offset":1000}},"t":"云 \"q\""},"#,
            ),
            (&anna, "addDocument", r#""data":{"_id":"n1"},"#),
            (&anna, "addDocument", r#""data":[{"_id":"n2","n":2},{"_id":7,"n":3}],"#),
            (
                &anna,
                "queryDocument",
                r#""queryType":"DOC","query":{"_id":"n1"},"limit":100,"multi":false,"#,
            ),
            (
                &anna,
                "queryDocument",
                r#""queryType":"WHERE","query":{"n":{"$gt":0}},"order":[{"field":"n","direction":"desc"}],"offset":1,"limit":5,"projection":{"n":1},"#,
            ),
            (
                &anna,
                "queryDocument",
                r#""queryType":"WHERE","query":{"d":{"$lte":{"$date":5}},"t":{"$regex":"^云","$options":"i"}},"projection":{"n":true},"limit":100,"#,
            ),
            (&bert, "queryDocument", r#""queryType":"WHERE","limit":100,"#),
            (&anna, "countDocument", r#""queryType":"WHERE","#),
            (&anna, "countDocument", r#""queryType":"WHERE","query":{"n":{"$in":[2,3]}},"#),
            (&bert, "countDocument", r#""queryType":"WHERE","#),
            (
                &anna,
                "aggregate",
                r#""stages":[{"stageKey":"$match","stageValue":"{\"n\":{\"$gt\":{\"$numberInt\":\"1\"}}}"},{"stageKey":"$sort","stageValue":"{\"n\":-1}"},{"stageKey":"$project","stageValue":"{\"n\":1}"}],"#,
            ),
            (&bert, "aggregate", r#""stages":[{"stageKey":"$count","stageValue":"\"all\""}],"#),
            (
                &anna,
                "updateDocument",
                r#""queryType":"WHERE","query":{"n":{"$gt":1}},"data":{"$set":{"big":true}},"multi":true,"merge":true,"upsert":false,"#,
            ),
            (
                &anna,
                "updateDocument",
                r#""queryType":"DOC","query":{"_id":"n1"},"data":{"$inc":{"n":5},"$set":{"e.f":{"$date":9}}},"multi":false,"merge":true,"upsert":false,"#,
            ),
            (
                &bert,
                "updateDocument",
                r#""queryType":"DOC","query":{"_id":"n1"},"data":{"$inc":{"n":5}},"multi":false,"merge":true,"upsert":false,"#,
            ),
            (
                &anna,
                "updateDocument",
                r#""queryType":"DOC","query":{"_id":"n1"},"data":{"a":1},"multi":false,"merge":false,"upsert":true,"#,
            ),
            (
                &anna,
                "updateDocument",
                r#""queryType":"DOC","query":{"_id":"n1"},"data":{"a":1},"multi":false,"merge":false,"upsert":true,"#,
            ),
            (
                &anna,
                "updateDocument",
                r#""queryType":"DOC","query":{"_id":"n4"},"data":{"a":1},"multi":false,"merge":false,"upsert":true,"#,
            ),
            (
                &bert,
                "updateDocument",
                r#""queryType":"DOC","query":{"_id":"n4"},"data":{"a":1},"multi":false,"merge":false,"upsert":true,"#,
            ),
            (
                &anna,
                "queryDocument",
                r#""queryType":"DOC","query":{"_id":"n1"},"limit":100,"multi":false,"#,
            ),
            (&bert, "deleteDocument", r#""queryType":"WHERE","query":{},"multi":true,"#),
            (&anna, "deleteDocument", r#""queryType":"DOC","query":{"_id":"n1"},"multi":false,"#),
            (&anna, "deleteDocument", r#""queryType":"WHERE","query":{"big":true},"multi":true,"#),
            (&anna, "countDocument", ""),
        ] {
            let answer = world.action(who, action, members).await;
            writeln!(told, "{action} {answer}").unwrap();
        }
        expect![[r#"
            addDocument 200 {"requestId":"<id>","data":{"_id":"n1","insertedIds":["n1"]}}
            addDocument 200 {"code":"DATABASE_REQUEST_FAILED","message":"a document with this _id exists already","requestId":"<id>"}
            addDocument 200 {"requestId":"<id>","data":{"ids":["n2",7],"insertedIds":["n2",7]}}
            queryDocument 200 {"requestId":"<id>","total":1,"offset":0,"limit":100,"data":{"list":[{"_id":"n1","_openid":"anna","n":1,"half":0.5,"d":{"$date":5},"s":{"$date":1767225601000},"t":"云 \"q\""}]}}
            queryDocument 200 {"requestId":"<id>","total":3,"offset":1,"limit":5,"data":{"list":[{"_id":"n2","n":2},{"_id":"n1","n":1}]}}
            queryDocument 200 {"requestId":"<id>","total":1,"offset":0,"limit":100,"data":{"list":[{"_id":"n1","n":1}]}}
            queryDocument 200 {"requestId":"<id>","total":0,"offset":0,"limit":100,"data":{"list":[]}}
            countDocument 200 {"requestId":"<id>","data":{"total":3}}
            countDocument 200 {"requestId":"<id>","data":{"total":2}}
            countDocument 200 {"requestId":"<id>","data":{"total":0}}
            aggregate 200 {"requestId":"<id>","data":{"list":"[\"{\\\"_id\\\":{\\\"$numberInt\\\":\\\"7\\\"},\\\"n\\\":{\\\"$numberInt\\\":\\\"3\\\"}}\",\"{\\\"_id\\\":\\\"n2\\\",\\\"n\\\":{\\\"$numberInt\\\":\\\"2\\\"}}\"]"}}
            aggregate 200 {"requestId":"<id>","data":{"list":"[]"}}
            updateDocument 200 {"requestId":"<id>","data":{"updated":2}}
            updateDocument 200 {"requestId":"<id>","data":{"updated":1}}
            updateDocument 200 {"requestId":"<id>","data":{"updated":0}}
            updateDocument 200 {"requestId":"<id>","data":{"updated":1}}
            updateDocument 200 {"requestId":"<id>","data":{"updated":1}}
            updateDocument 200 {"requestId":"<id>","data":{"updated":0,"upsert_id":"n4","upserted_id":"n4"}}
            updateDocument 200 {"code":"DATABASE_PERMISSION_DENIED","message":"a document with this _id exists already, and it is not yours to change","requestId":"<id>"}
            queryDocument 200 {"requestId":"<id>","total":1,"offset":0,"limit":100,"data":{"list":[{"_id":"n1","_openid":"anna","a":1}]}}
            deleteDocument 200 {"requestId":"<id>","data":{"deleted":0}}
            deleteDocument 200 {"requestId":"<id>","data":{"deleted":1}}
            deleteDocument 200 {"requestId":"<id>","data":{"deleted":2}}
            countDocument 200 {"requestId":"<id>","data":{"total":1}}
        "#]].assert_eq(&told);
    });
}

#[test]
fn a_transaction_of_the_sdk() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("notes", Preset::Private)]).await;
        let (anna, bert) = (user("anna"), user("bert"));
        let begun = world.begun(&anna).await;
        let mut told = String::new();
        for (who, action, members) in [
            (
                &anna,
                "insertDocInTransaction",
                r#""_id":"n1","data":"{\"n\":{\"$numberInt\":\"1\"},\"d\":{\"$date\":{\"$numberLong\":\"5\"}}}","#,
            ),
            (
                &anna,
                "insertDocInTransaction",
                r#""data":"{\"_id\":\"n2\",\"n\":{\"$numberInt\":\"2\"}}","#,
            ),
            (&anna, "insertDocInTransaction", r#""_id":"n3","data":"{\"_id\":\"n2\"}","#),
            (&anna, "insertDocInTransaction", r#""_id":"n3","#),
            (&anna, "getInTransaction", r#""query":{"_id":{"$eq":"n1"}},"#),
            (&anna, "getInTransaction", r#""query":{"_id":{"$eq":"none"}},"#),
            (
                &anna,
                "getInTransaction",
                r#""query":{"_id":{"$eq":"n1"}},"limit":100,"projection":{"n":1},"#,
            ),
            (
                &anna,
                "getInTransaction",
                r#""query":{"n":{"$gt":0}},"order":[{"field":"n","direction":"desc"}],"limit":1,"offset":0,"projection":{"n":1},"#,
            ),
            (&anna, "getInTransaction", r#""query":{"n":{"$gt":1}},"#),
            (&anna, "getInTransaction", ""),
            (&anna, "queryDocument", ""),
            (
                &anna,
                "updateDocInTransaction",
                r#""query":{"_id":{"$eq":"n1"}},"data":"{\"$inc\":{\"n\":{\"$numberInt\":\"5\"}}}","#,
            ),
            (
                &anna,
                "updateDocInTransaction",
                r#""query":{"n":{"$gt":0}},"data":"{\"$set\":{\"big\":true}}","#,
            ),
            (
                &anna,
                "updateDocInTransaction",
                r#""query":{"_id":{"$eq":"n2"}},"data":"{\"a\":{\"$numberInt\":\"1\"}}","upsert":true,"#,
            ),
            (
                &anna,
                "updateDocInTransaction",
                r#""query":{"_id":{"$eq":"n3"}},"data":"{\"a\":{\"$numberInt\":\"1\"}}","upsert":true,"#,
            ),
            (
                &anna,
                "updateDocInTransaction",
                r#""query":{"_id":{"$eq":"n3"}},"data":"{\"a\":{\"$numberInt\":\"1\"}}","#,
            ),
            (&anna, "deleteDocInTransaction", r#""query":{"_id":{"$eq":"n1"}},"#),
            (&anna, "deleteDocInTransaction", r#""query":{"_id":{"$eq":"n1"}},"#),
            (&bert, "getInTransaction", r#""query":{"_id":{"$eq":"n2"}},"#),
            (&bert, "commitTransaction", ""),
            (&bert, "abortTransaction", ""),
            (&anna, "commitTransaction", ""),
            (&anna, "commitTransaction", ""),
            (&anna, "queryDocument", ""),
        ] {
            let members = format!(r#"{members}"transactionId":"{begun}","#);
            let answer = world.action(who, action, &members).await;
            writeln!(told, "{action} {answer}").unwrap();
        }
        expect![[r#"
            insertDocInTransaction 200 {"requestId":"<id>","inserted":1,"ok":1,"_id":"n1","id":"n1"}
            insertDocInTransaction 200 {"requestId":"<id>","inserted":1,"ok":1,"_id":"n2","id":"n2"}
            insertDocInTransaction 200 {"code":"INVALID_PARAM","message":"_id beside data is not the one inside it","requestId":"<id>"}
            insertDocInTransaction 200 {"code":"INVALID_PARAM","message":"data is missing","requestId":"<id>"}
            getInTransaction 200 {"requestId":"<id>","data":"{\"_id\":\"n1\",\"_openid\":\"anna\",\"n\":{\"$numberInt\":\"1\"},\"d\":{\"$date\":{\"$numberLong\":\"5\"}}}","total":1,"offset":0,"limit":20}
            getInTransaction 200 {"requestId":"<id>","data":"null","total":0,"offset":0,"limit":20}
            getInTransaction 200 {"requestId":"<id>","data":"[{\"_id\":\"n1\",\"n\":{\"$numberInt\":\"1\"}}]","offset":0,"limit":100}
            getInTransaction 200 {"requestId":"<id>","data":"[{\"_id\":\"n2\",\"n\":{\"$numberInt\":\"2\"}}]","offset":0,"limit":1}
            getInTransaction 200 {"requestId":"<id>","data":"[{\"_id\":\"n2\",\"_openid\":\"anna\",\"n\":{\"$numberInt\":\"2\"}}]","total":1,"offset":0,"limit":20}
            getInTransaction 200 {"requestId":"<id>","data":"[{\"_id\":\"n1\",\"_openid\":\"anna\",\"n\":{\"$numberInt\":\"1\"},\"d\":{\"$date\":{\"$numberLong\":\"5\"}}},{\"_id\":\"n2\",\"_openid\":\"anna\",\"n\":{\"$numberInt\":\"2\"}}]","total":2,"offset":0,"limit":20}
            queryDocument 200 {"requestId":"<id>","total":0,"offset":0,"limit":20,"data":{"list":[]}}
            updateDocInTransaction 200 {"requestId":"<id>","updated":1}
            updateDocInTransaction 200 {"requestId":"<id>","updated":2}
            updateDocInTransaction 200 {"requestId":"<id>","updated":1}
            updateDocInTransaction 200 {"requestId":"<id>","updated":0,"upserted":"[{\"_id\":\"n3\"}]"}
            updateDocInTransaction 200 {"code":"INVALID_PARAM","message":"an update needs operators such as $set; to replace a document, set it","requestId":"<id>"}
            deleteDocInTransaction 200 {"requestId":"<id>","deleted":1}
            deleteDocInTransaction 200 {"requestId":"<id>","deleted":0}
            getInTransaction 200 {"code":"DATABASE_TRANSACTION_FAIL","message":"[ResourceUnavailable.TransactionNotExist] Transaction does not exist on the server, transaction must be commit or abort in 30 seconds. Please check your request, but if the problem persists, contact us.","requestId":"<id>"}
            commitTransaction 200 {"code":"DATABASE_TRANSACTION_FAIL","message":"[ResourceUnavailable.TransactionNotExist] Transaction does not exist on the server, transaction must be commit or abort in 30 seconds. Please check your request, but if the problem persists, contact us.","requestId":"<id>"}
            abortTransaction 200 {"code":"DATABASE_TRANSACTION_FAIL","message":"[ResourceUnavailable.TransactionNotExist] Transaction does not exist on the server, transaction must be commit or abort in 30 seconds. Please check your request, but if the problem persists, contact us.","requestId":"<id>"}
            commitTransaction 200 {"requestId":"<id>"}
            commitTransaction 200 {"code":"DATABASE_TRANSACTION_FAIL","message":"[ResourceUnavailable.TransactionNotExist] Transaction does not exist on the server, transaction must be commit or abort in 30 seconds. Please check your request, but if the problem persists, contact us.","requestId":"<id>"}
            queryDocument 200 {"requestId":"<id>","total":2,"offset":0,"limit":20,"data":{"list":[{"_id":"n2","_openid":"anna","a":1},{"_id":"n3","_openid":"anna","a":1}]}}
        "#]].assert_eq(&told);
    });
}

#[test]
fn a_conflict_is_told_by_the_code_on_which_the_sdk_begins_anew() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("notes", Preset::Private)]).await;
        let anna = user("anna");
        world.action(&anna, "addDocument", r#""data":{"_id":"n1","n":1},"#).await;
        let (first, second) = (world.begun(&anna).await, world.begun(&anna).await);
        let mut is_conflict = false;
        // Who is refused, and at which of these calls, is for the service to say; that one of them is, is what counts.
        for (action, id) in [
            ("updateDocInTransaction", &first),
            ("updateDocInTransaction", &second),
            ("commitTransaction", &first),
            ("commitTransaction", &second),
        ] {
            let members = format!(
                r#""query":{{"_id":{{"$eq":"n1"}}}},"data":"{{\"$inc\":{{\"n\":1}}}}","transactionId":"{id}","#
            );
            let answer = world.action(&anna, action, &members).await;
            is_conflict |= answer.contains(r#""code":"DATABASE_TRANSACTION_CONFLICT""#);
        }
        assert!(is_conflict);
        let told = world.action(&anna, "queryDocument", r#""projection":{"n":1},"#).await;
        expect![[r#"200 {"requestId":"<id>","total":1,"offset":0,"limit":20,"data":{"list":[{"_id":"n1","n":2}]}}"#]].assert_eq(&told);
        // What is given up leaves nothing.
        let third = format!(r#""transactionId":"{}","#, world.begun(&anna).await);
        let removal = format!(r#"{third}"query":{{"_id":{{"$eq":"n1"}}}},"#);
        world.action(&anna, "deleteDocInTransaction", &removal).await;
        world.action(&anna, "abortTransaction", &third).await;
        let told = world.action(&anna, "countDocument", "").await;
        assert_eq!(told, r#"200 {"requestId":"<id>","data":{"total":1}}"#);
    });
}

#[test]
fn a_refusal_is_an_answer_of_status_200() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_collections(&[("notes", Preset::AdminWrite)]).await;
        let anna = user("anna");
        let mut told = String::new();
        for body in [
            "",
            "{",
            "[]",
            r#"{"action":7}"#,
            r#"{"action":"database.dropEverything"}"#,
            r#"{"action":"database.getDocument","collectionName":"notes"}"#,
            r#"{"action":"database.queryDocument"}"#,
            r#"{"action":"database.queryDocument","collectionName":"none"}"#,
            r#"{"action":"database.queryDocument","collectionName":"notes","env":"other"}"#,
            r#"{"action":"database.queryDocument","collectionName":"notes","env":7}"#,
            r#"{"action":"database.queryDocument","collectionName":"notes","query":{"a":{"$where":"1"}}}"#,
            r#"{"action":"database.queryDocument","collectionName":"notes","limit":"7"}"#,
            r#"{"action":"database.queryDocument","collectionName":"notes","order":[{"field":"a"}]}"#,
            r#"{"action":"database.addDocument","collectionName":"notes","data":{"a":1}}"#,
            r#"{"action":"database.addDocument","collectionName":"notes"}"#,
            r#"{"action":"database.updateDocument","collectionName":"notes","query":{},"data":{"$set":{"a":1}},"multi":true,"merge":true}"#,
            r#"{"action":"database.deleteDocument","collectionName":"notes","query":{},"multi":true}"#,
            r#"{"action":"database.addCollection","collectionName":"theirs"}"#,
            r#"{"action":"database.aggregate","collectionName":"none","stages":[]}"#,
            r#"{"action":"database.aggregate","collectionName":"notes"}"#,
            r#"{"action":"database.getInTransaction","collectionName":"notes"}"#,
            r#"{"action":"database.getInTransaction","collectionName":"notes","transactionId":"made up"}"#,
            r#"{"action":"database.commitTransaction"}"#,
            r#"{"action":"functions.invokeFunction","function_name":"f"}"#,
        ] {
            writeln!(told, "{body} {}", world.web(&anna, body).await).unwrap();
        }
        expect![[r#"
             200 {"code":"INVALID_PARAM","message":"action is missing","requestId":"<id>"}
            { 200 {"code":"INVALID_PARAM","message":"expected '\"', at byte 1","requestId":"<id>"}
            [] 200 {"code":"INVALID_PARAM","message":"expected an object","requestId":"<id>"}
            {"action":7} 200 {"code":"INVALID_PARAM","message":"action must be text","requestId":"<id>"}
            {"action":"database.dropEverything"} 200 {"code":"INVALID_PARAM","message":"action names nothing that this dialect knows","requestId":"<id>"}
            {"action":"database.getDocument","collectionName":"notes"} 200 {"code":"INVALID_PARAM","message":"action names nothing that this dialect knows","requestId":"<id>"}
            {"action":"database.queryDocument"} 200 {"code":"INVALID_PARAM","message":"collectionName is missing","requestId":"<id>"}
            {"action":"database.queryDocument","collectionName":"none"} 200 {"code":"DATABASE_COLLECTION_NOT_EXIST","message":"there is no collection none; create it first","requestId":"<id>"}
            {"action":"database.queryDocument","collectionName":"notes","env":"other"} 200 {"code":"INVALIID_ENV","message":"env is not demo, which the token belongs to","requestId":"<id>"}
            {"action":"database.queryDocument","collectionName":"notes","env":7} 200 {"code":"INVALID_PARAM","message":"env must be text","requestId":"<id>"}
            {"action":"database.queryDocument","collectionName":"notes","query":{"a":{"$where":"1"}}} 200 {"code":"DATABASE_INVALID_OPERRATOR","message":"query: unknown operator, operator $where, at field a","requestId":"<id>"}
            {"action":"database.queryDocument","collectionName":"notes","limit":"7"} 200 {"code":"INVALID_PARAM","message":"limit must be a whole number","requestId":"<id>"}
            {"action":"database.queryDocument","collectionName":"notes","order":[{"field":"a"}]} 200 {"code":"INVALID_PARAM","message":"order.direction is missing","requestId":"<id>"}
            {"action":"database.addDocument","collectionName":"notes","data":{"a":1}} 200 {"code":"DATABASE_PERMISSION_DENIED","message":"the permission of this collection does not let you add to it","requestId":"<id>"}
            {"action":"database.addDocument","collectionName":"notes"} 200 {"code":"INVALID_PARAM","message":"data is missing","requestId":"<id>"}
            {"action":"database.updateDocument","collectionName":"notes","query":{},"data":{"$set":{"a":1}},"multi":true,"merge":true} 200 {"code":"DATABASE_PERMISSION_DENIED","message":"the permission of this collection does not let you change it","requestId":"<id>"}
            {"action":"database.deleteDocument","collectionName":"notes","query":{},"multi":true} 200 {"code":"DATABASE_PERMISSION_DENIED","message":"the permission of this collection does not let you remove from it","requestId":"<id>"}
            {"action":"database.addCollection","collectionName":"theirs"} 200 {"code":"DATABASE_PERMISSION_DENIED","message":"only an administrator makes collections","requestId":"<id>"}
            {"action":"database.aggregate","collectionName":"none","stages":[]} 200 {"code":"DATABASE_COLLECTION_NOT_EXIST","message":"there is no collection none; create it first","requestId":"<id>"}
            {"action":"database.aggregate","collectionName":"notes"} 200 {"code":"INVALID_PARAM","message":"stages is missing","requestId":"<id>"}
            {"action":"database.getInTransaction","collectionName":"notes"} 200 {"code":"INVALID_PARAM","message":"transactionId is missing","requestId":"<id>"}
            {"action":"database.getInTransaction","collectionName":"notes","transactionId":"made up"} 200 {"code":"DATABASE_TRANSACTION_FAIL","message":"[ResourceUnavailable.TransactionNotExist] Transaction does not exist on the server, transaction must be commit or abort in 30 seconds. Please check your request, but if the problem persists, contact us.","requestId":"<id>"}
            {"action":"database.commitTransaction"} 200 {"code":"INVALID_PARAM","message":"transactionId is missing","requestId":"<id>"}
            {"action":"functions.invokeFunction","function_name":"f"} 200 {"code":"NOT_IMPLEMENTED","message":"functions.invokeFunction is not offered by this server","requestId":"<id>"}
        "#]].assert_eq(&told);
    });
}

#[test]
fn only_an_administrator_makes_a_collection() {
    on_every_engine(&Config::default(), async |world| {
        let administrator = user_with("root", &["admin"]);
        let answer = world.action(&administrator, "addCollection", "").await;
        assert_eq!(answer, r#"200 {"requestId":"<id>","data":{}}"#);
        let answer = world.action(&user_with("anna", &["editor"]), "addCollection", "").await;
        assert!(answer.contains("DATABASE_PERMISSION_DENIED"), "{answer}");
    });
}

#[test]
fn every_action_answers() {
    on_every_engine(&Config::default(), async |world| {
        for action in listed(DialectName::Web) {
            let body = format!(r#"{{"action":"{}"}}"#, action.spec.name);
            let answer = world.web(&user("anna"), &body).await;
            let is_refused = answer.starts_with(r#"200 {"code":"NOT_IMPLEMENTED""#);
            assert_eq!(is_refused, !action.is_offered, "{}: {answer}", action.spec.name);
        }
    });
}
