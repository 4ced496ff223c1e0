//! A client that means harm, through every dialect: forged owners, closed collections, and members of every wrong kind.

use std::time::{Duration, Instant};

use yunzhan_base::Principal;

use super::action::DialectName;
use super::gateway;
use super::testing::listed;
use crate::documents::testing::{Asked, World, on_every_engine, on_sqlite, server, user};
use crate::documents::{Config, Permission, Preset};

/// The longest that one call of these tests may take; none has work to do.
const CALL_MAX: Duration = Duration::from_secs(5);

const DATABASE: [(&str, &str); 2] = [("instance", "(default)"), ("database", "(default)")];

impl World {
    async fn web_of(&self, principal: &Principal, action: &str, members: &str) -> String {
        let body = format!(r#"{{"action":"database.{action}",{members}"env":"demo"}}"#);
        let headers = [("content-type", "application/json")];
        let (params, query, body) = (&[], "", body.as_str());
        let asked = Asked { route: "web.call", params, query, headers: &headers, body, principal };
        self.timed(asked).await
    }

    async fn admin_of(&self, action: &str, members: &str) -> String {
        let body = format!(r#"{{"action":"database.{action}",{members}"envName":"demo"}}"#);
        let headers = [("content-type", "application/json")];
        let (params, query, body, principal) = (&[], "", body.as_str(), &server());
        let asked =
            Asked { route: "admin.call", params, query, headers: &headers, body, principal };
        self.timed(asked).await
    }

    async fn gateway_of(
        &self,
        principal: &Principal,
        route: &str,
        query: &str,
        body: &str,
    ) -> String {
        // A path has four names at the most.
        let last = if route.contains("transaction") { "transaction" } else { "id" };
        let params = [DATABASE[0], DATABASE[1], ("collection", "open"), (last, "a")];
        let asked = Asked { route, params: &params, query, headers: &[], body, principal };
        self.timed(asked).await
    }

    async fn timed(&self, asked: Asked<'_>) -> String {
        let begun = Instant::now();
        let answer = self.ask_dialect(&self.documents, asked).await;
        let body: String = asked.body.chars().take(300).collect();
        assert!(begun.elapsed() < CALL_MAX, "{body} took {:?}", begun.elapsed());
        assert!(!answer.contains("SYS_ERR"), "{body} broke the server: {answer}");
        answer
    }

    /// Collections that everybody reads, one by a preset and one by rules, and one that is closed.
    async fn with_open_and_closed(self) -> Self {
        let world = self
            .with_collections(&[
                ("open", Preset::ReadOnly),
                ("ruled", Preset::Private),
                ("closed", Preset::AdminOnly),
            ])
            .await;
        let rules = r#"{"read":true,"create":true,"update":"doc._openid == auth.openid","delete":"doc._openid == auth.openid"}"#;
        let server = server();
        let caller = world.caller(&server);
        world.documents.set_permission(caller, "ruled", Permission::Rules(rules)).await.unwrap();
        for collection in ["open", "ruled", "closed"] {
            let both = r#"["{\"_id\":\"a\",\"_openid\":\"anna\",\"n\":\"bert\",\"k\":1}","{\"_id\":\"b\",\"_openid\":\"bert\",\"secret\":1}"]"#;
            let members = format!(r#""collectionName":"{collection}","data":{both},"#);
            world.admin_of("insertDocument", &members).await;
        }
        world
    }
}

/// The actions of a dialect's database, without the beginning that they share.
fn database(dialect: DialectName) -> impl Iterator<Item = &'static str> {
    listed(dialect).into_iter().filter_map(|action| action.spec.name.strip_prefix("database."))
}

/// Updates that would make a document somebody else's, or nobody's.
const FORGED_UPDATES: &[&str] = &[
    r#"{"$set":{"_openid":"bert"}}"#,
    r#"{"$set":{"\u005fopenid":"bert"}}"#,
    r#"{"$set":{"_openid.x":"bert"}}"#,
    r#"{"$set":{"_openid.0":"bert"}}"#,
    r#"{"$unset":{"_openid":""}}"#,
    r#"{"$rename":{"n":"_openid"}}"#,
    r#"{"$rename":{"n":"_openid.n"}}"#,
    r#"{"$rename":{"_openid":"n"}}"#,
    r#"{"$setOnInsert":{"_openid":"bert"}}"#,
    r#"{"$inc":{"_openid":1}}"#,
    r#"{"$mul":{"_openid":0}}"#,
    r#"{"$min":{"_openid":""}}"#,
    r#"{"$max":{"_openid":"zz"}}"#,
    r#"{"$bit":{"_openid":{"or":1}}}"#,
    r#"{"$currentDate":{"_openid":true}}"#,
    r#"{"$push":{"_openid":"bert"}}"#,
    r#"{"$push":{"_openid":{"$each":["bert"],"$position":0}}}"#,
    r#"{"$addToSet":{"_openid":"bert"}}"#,
    r#"{"$pull":{"_openid":"anna"}}"#,
    r#"{"$pullAll":{"_openid":["anna"]}}"#,
    r#"{"$pop":{"_openid":1}}"#,
    r#"{"$set":{"_openid.$":"bert"}}"#,
    r#"{"$set":{"_openid.$[]":"bert"}}"#,
    r#"{"$set":{"k":2},"$unset":{"_openid":""}}"#,
    r#"[{"$set":{"_openid":"bert"}}]"#,
    r#"{"$replaceWith":{"_openid":"bert"}}"#,
    r#"{"_openid":"bert"}"#,
    r#"{"_openid":null,"k":1}"#,
];

/// Documents that would be somebody else's, or nobody's.
const FORGED_DOCUMENTS: &[&str] = &[
    r#"{"_openid":"bert"}"#,
    r#"{"_openid":null}"#,
    r#"{"_openid":""}"#,
    r#"{"_openid":["anna","bert"]}"#,
    r#"{"_openid":{"x":1}}"#,
    r#"{"\u005fopenid":"bert"}"#,
    r#"[{"k":1},{"_openid":"bert"}]"#,
];

#[test]
fn nobody_writes_an_owner() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_open_and_closed().await;
        let anna = user("anna");
        for collection in ["open", "ruled"] {
            let named = format!(r#""collectionName":"{collection}","#);
            let quoted = |text: &str| serde_json::to_string(text).unwrap();
            let begun = world.web_of(&anna, "startTransaction", "").await;
            let id = begun.split('"').nth(7).unwrap().to_owned();
            let within = format!(r#"{named}"transactionId":"{id}","#);
            for update in FORGED_UPDATES {
                for how in
                    [r#""merge":true,"#, r#""merge":true,"upsert":true,"#, r#""upsert":true,"#]
                {
                    for query in [
                        r#"{"_id":"a"}"#,
                        r#"{"k":1}"#,
                        r#"{"_id":"new"}"#,
                        r#"{"_openid":"bert"}"#,
                        r#"{"_openid":"bert","k":9}"#,
                    ] {
                        let members = format!(r#"{named}"query":{query},"data":{update},{how}"#);
                        world.web_of(&anna, "updateDocument", &members).await;
                    }
                }
                let members =
                    format!(r#"{within}"query":{{"_id":"a"}},"data":{},"#, quoted(update));
                world.web_of(&anna, "updateDocInTransaction", &members).await;
                if collection == "open" {
                    for rest in [r#""multi":true"#, r#""upsert":true"#, r#""replaceMode":true"#] {
                        let body = format!(r#"{{"query":{{"_id":"a"}},"data":{update},{rest}}}"#);
                        world.gateway_of(&anna, "gateway.update", "", &body).await;
                    }
                }
            }
            for document in FORGED_DOCUMENTS {
                world.web_of(&anna, "addDocument", &format!(r#"{named}"data":{document},"#)).await;
                let members = format!(r#"{within}"data":{},"#, quoted(document));
                world.web_of(&anna, "insertDocInTransaction", &members).await;
                if collection == "open" {
                    let body = format!(r#"{{"data":{document}}}"#);
                    world.gateway_of(&anna, "gateway.insert", "", &body).await;
                }
            }
            world.web_of(&anna, "commitTransaction", &within).await;
            // Bert has what he had, and everything else is Anna's.
            let owned = async |query: &str| {
                let members = format!(r#"{named}"query":{},"#, quoted(query));
                world.admin_of("calculateDocument", &members).await
            };
            let total = |n: u64| format!(r#"200 {{"requestId":"<id>","data":{{"total":{n}}}}}"#);
            assert_eq!(owned(r#"{"_openid":"bert"}"#).await, total(1), "{collection}");
            assert_eq!(owned(r#"{"_openid":{"$ne":"anna"}}"#).await, total(1), "{collection}");
            assert_eq!(owned(r#"{"_openid":{"$type":"array"}}"#).await, total(0), "{collection}");
            assert_eq!(owned(r#"{"_id":"b","secret":1}"#).await, total(1), "{collection}");
        }
    });
}

/// Stages that would show a closed collection, or write one, or run somebody's code.
const HOSTILE_PIPELINES: &[&str] = &[
    r#"[{"$lookup":{"from":"closed","localField":"_id","foreignField":"_id","as":"s"}}]"#,
    r#"[{"$lookup":{"from":"closed","pipeline":[],"as":"s"}}]"#,
    r#"[{"$lookup":{"from":"open","pipeline":[{"$lookup":{"from":"closed","pipeline":[],"as":"t"}}],"as":"s"}}]"#,
    r#"[{"$facet":{"x":[{"$lookup":{"from":"closed","pipeline":[],"as":"s"}}]}}]"#,
    r#"[{"$graphLookup":{"from":"closed","startWith":"$_id","connectFromField":"_id","connectToField":"_id","as":"s"}}]"#,
    r#"[{"$unionWith":"closed"}]"#,
    r#"[{"$unionWith":{"coll":"closed","pipeline":[]}}]"#,
    r#"[{"$out":"open"}]"#,
    r#"[{"$merge":{"into":"open"}}]"#,
    r#"[{"$match":{"$where":"sleep(1000)"}}]"#,
    r#"[{"$match":{"$expr":{"$function":{"body":"f","args":[],"lang":"js"}}}}]"#,
    r#"[{"$group":{"_id":1,"x":{"$accumulator":{"init":"f","lang":"js"}}}}]"#,
    r#"[{"$currentOp":{}}]"#,
    r#"[{"$listSessions":{}}]"#,
    r#"[{"$collStats":{"storageStats":{}}}]"#,
    r#"[{"$indexStats":{}}]"#,
];

#[test]
fn nothing_of_a_closed_collection_is_shown() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_open_and_closed().await;
        let anna = user("anna");
        for pipeline in HOSTILE_PIPELINES {
            for collection in ["open", "ruled"] {
                let members = format!(r#""collectionName":"{collection}","stages":{pipeline},"#);
                let answer = world.web_of(&anna, "aggregate", &members).await;
                assert!(answer.contains(r#""code":"DATABASE_"#), "{pipeline}: {answer}");
            }
            let body = format!(r#"{{"pipeline":{pipeline}}}"#);
            let answer = world.gateway_of(&anna, "gateway.aggregate", "", &body).await;
            assert!(answer.contains(r#""code":"DATABASE_"#), "{pipeline}: {answer}");
        }
        for query in [
            r#"{"$where":"1"}"#,
            r#"{"a":{"$where":"1"}}"#,
            r#"{"$expr":{"$function":{}}}"#,
            r#"{"$and":[{"$where":"1"}]}"#,
        ] {
            for action in ["queryDocument", "countDocument", "deleteDocument"] {
                let members = format!(r#""collectionName":"open","query":{query},"#);
                let answer = world.web_of(&anna, action, &members).await;
                assert!(
                    answer.contains("DATABASE_INVALID_OPERRATOR"),
                    "{action} {query}: {answer}"
                );
            }
        }
    });
}

/// Values that no member takes, or that only some do.
fn wrong_values() -> Vec<String> {
    let deep = |open: &str, close: &str, depth| [open.repeat(depth), close.repeat(depth)].concat();
    let plain = [
        "7",
        "-1",
        "1e400",
        "-0",
        "0.5",
        "9223372036854775808",
        "true",
        "null",
        "\"\"",
        "\"x\"",
        "\"{\"",
        "\"\\u0000\"",
        "\"[1]\"",
        "[]",
        "{}",
        "[[]]",
        "[null]",
        "[7]",
        "[{}]",
        r#"{"$":1}"#,
        r#"{"":1}"#,
        r#"{"$oid":"x"}"#,
        r#"{"$date":"x"}"#,
        r#"{"$numberInt":"1e9"}"#,
        r#"{"a.b.c":1}"#,
        r#"{"a":{"$gt":{"$lt":1}}}"#,
        r#"{"$and":7}"#,
        r#"{"$set":7}"#,
        r#"{"$regex":"("}"#,
        r#"{"stageKey":7}"#,
        r#"[{"stageKey":"$match","stageValue":7}]"#,
        r#"[{"field":7,"direction":[]}]"#,
        r#"{"__proto__":{"x":1}}"#,
        r#""\ud800""#,
    ];
    let mut values: Vec<String> = plain.into_iter().map(str::to_owned).collect();
    values.push(deep("[", "]", 100_000));
    values.push(format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000)));
    values.push(format!("{}{{}}{}", r#"{"$and":["#.repeat(10_000), "]}".repeat(10_000)));
    values.push(serde_json::to_string(&deep("[", "]", 100_000)).unwrap());
    values
}

#[test]
fn no_member_of_a_wrong_kind_breaks_anything() {
    on_sqlite(&Config::default(), async |world| {
        let world = world.with_open_and_closed().await;
        let anna = user("anna");
        let values = wrong_values();
        let members = [
            "collectionName",
            "query",
            "data",
            "order",
            "projection",
            "limit",
            "offset",
            "multi",
            "merge",
            "upsert",
            "stages",
            "transactionId",
            "_id",
            "env",
            "envName",
        ];
        let good = r#""collectionName":"open","query":{"_id":"a"},"data":{"$set":{"k":1}},"stages":[{"$match":{}}],"#;
        for value in &values {
            for member in members {
                let members = format!(r#""{member}":{value},{good}"#);
                for action in database(DialectName::Web) {
                    let answer = world.web_of(&anna, action, &members).await;
                    assert!(answer.starts_with("200 {"), "{action} {member}: {answer}");
                }
                for action in database(DialectName::Admin) {
                    let answer = world.admin_of(action, &members).await;
                    assert!(answer.starts_with("200 {"), "{action} {member}: {answer}");
                }
                let body = format!("{{{}}}", members.trim_end_matches(','));
                for endpoint in gateway::ROUTES {
                    world.gateway_of(&anna, endpoint.spec.name, "", &body).await;
                }
            }
        }
    });
}
