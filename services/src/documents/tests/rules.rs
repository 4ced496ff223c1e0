//! Under custom rules callers see and change what the rules say, and learn nothing of the rest.

use std::fmt::Write;

use bson::doc;
use expect_test::expect;
use yunzhan_base::{Principal, Result};
use yunzhan_query::Order;

use super::{change, described, find};
use crate::dialect::documents::control::CONTROL;
use crate::documents::testing::{
    Asked, World, on_every_engine, on_every_engine_grown_from, server, user, user_with,
};
use crate::documents::{Change, Config, Find, Permission, Preset, Which};

impl World {
    pub(super) async fn rule(&self, collection: &str, rules: &str) -> Result<()> {
        let server = server();
        self.documents
            .set_permission(self.caller(&server), collection, Permission::Rules(rules))
            .await
    }

    /// A collection `notes` with these rules, a note of anna's, one of bert's and a public one of nobody's.
    async fn with_notes(self, rules: &str) -> Self {
        let world = self.with_collections(&[("notes", Preset::Private)]).await;
        world.restore().await;
        world.rule("notes", rules).await.unwrap();
        world
    }

    /// Puts the notes there as they were.
    async fn restore(&self) {
        let server = server();
        let caller = self.caller(&server);
        self.documents.remove(caller, "notes", Which::every(), true, None).await.unwrap();
        for document in [
            doc! { "_id": "a", "_openid": "anna", "n": 1, "public": false },
            doc! { "_id": "b", "_openid": "bert", "n": 2, "public": false },
            doc! { "_id": "p", "n": 3, "public": true },
        ] {
            self.add(&server, "notes", document).await.unwrap();
        }
    }
}

/// The first word of a result, so that a table stays narrow.
fn short<T: ToString>(result: Result<T>) -> String {
    match described(result).as_str() {
        "PermissionDenied" => "-".to_owned(),
        other => other.to_owned(),
    }
}

async fn row(world: &World, principal: &Principal) -> String {
    let (documents, caller) = (&world.documents, world.caller(principal));
    let mut cells = Vec::new();
    for query in [doc! {}, doc! { "_openid": "{openid}" }, doc! { "public": { "$eq": true } }] {
        let found = documents.find(caller, "notes", find(query)).await;
        cells.push(short(found.map(|found| found.documents.len())));
    }
    for id in ["a", "b", "none"] {
        let found = documents.get(caller, "notes", &id.into(), None).await;
        cells.push(short(found.map(|found| u8::from(found.is_some()))));
    }
    let bump_version = doc! { "$set": { "m": 1 } };
    for query in [doc! { "_id": "a" }, doc! { "_id": "b" }, doc! { "_openid": "{openid}" }] {
        let changed =
            documents.update(caller, "notes", change(query, bump_version.clone()), None).await;
        cells.push(short(changed.map(|changed| changed.matched)));
    }
    for query in [doc! { "_id": "b" }, doc! { "_id": "none" }, doc! { "n": 9 }] {
        let which = Which::parse(&query).unwrap();
        cells.push(short(documents.remove(caller, "notes", which, false, None).await));
    }
    let added = documents.insert(caller, "notes", vec![doc! { "n": 9 }], None).await;
    cells.push(short(added.map(|ids| ids.len())));
    cells.iter().map(|cell| format!("{cell:>4}")).collect()
}

#[test]
fn every_operation_of_every_caller_has_the_answer_of_the_rule() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_notes("{}").await;
        let callers = [
            ("anna", user("anna")),
            ("bert", user("bert")),
            ("admin", user_with("carl", &["admin"])),
            ("server", server()),
            ("nobody", Principal::Nobody),
        ];
        let mut table = String::from(
            "find {} own public, get a b none, update a b own, remove b none n=9, insert\n",
        );
        for rules in [
            r#"{}"#,
            r#"{"read":true,"write":"auth.openid == doc._openid"}"#,
            r#"{"read":"doc._openid == auth.openid || doc.public == true","write":"'admin' in auth.roles"}"#,
            r#"{"read":"doc._openid == auth.openid","create":"doc.n < 5","update":"request.data.m == 2","delete":false}"#,
            r#"{"read":"get('database.notes.p').public == true","write":"get('database.none.' + doc._id).x == 1"}"#,
        ] {
            writeln!(table, "{rules}").unwrap();
            for (name, principal) in &callers {
                world.rule("notes", rules).await.unwrap();
                writeln!(table, "{name:<7}{}", row(&world, principal).await).unwrap();
                world.restore().await;
            }
        }
        expect![[r#"
            find {} own public, get a b none, update a b own, remove b none n=9, insert
            {}
            anna      -   -   -   -   -   -   -   -   -   -   -   -   -
            bert      -   -   -   -   -   -   -   -   -   -   -   -   -
            admin     -   -   -   -   -   -   -   -   -   -   -   -   -
            server    3   0   1   1   1   0   1   1   0   1   0   0   1
            nobody    -   -   -   -   -   -   -   -   -   -   -   -   -
            {"read":true,"write":"auth.openid == doc._openid"}
            anna      3   1   1   1   1   0   1   0   1   0   0   -   1
            bert      3   1   1   1   1   0   0   1   1   1   0   -   1
            admin     3   0   1   1   1   0   0   0   0   0   0   -   1
            server    3   0   1   1   1   0   1   1   0   1   0   0   1
            nobody    -   -   -   -   -   -   -   -   -   -   -   -   -
            {"read":"doc._openid == auth.openid || doc.public == true","write":"'admin' in auth.roles"}
            anna      -   1   1   1   0   0   -   -   -   -   -   -   -
            bert      -   1   1   0   1   0   -   -   -   -   -   -   -
            admin     -   0   1   0   0   0   1   1   0   1   0   0   1
            server    3   0   1   1   1   0   1   1   0   1   0   0   1
            nobody    -   -   -   -   -   -   -   -   -   -   -   -   -
            {"read":"doc._openid == auth.openid","create":"doc.n < 5","update":"request.data.m == 2","delete":false}
            anna      -   1   -   1   0   0   -   -   -   -   -   -   -
            bert      -   1   -   0   1   0   -   -   -   -   -   -   -
            admin     -   0   -   0   0   0   -   -   -   -   -   -   -
            server    3   0   1   1   1   0   1   1   0   1   0   0   1
            nobody    -   -   -   -   -   -   -   -   -   -   -   -   -
            {"read":"get('database.notes.p').public == true","write":"get('database.none.' + doc._id).x == 1"}
            anna      3   1   1   1   1   0   0   0   -   0   0   -   -
            bert      3   1   1   1   1   0   0   0   -   0   0   -   -
            admin     3   0   1   1   1   0   0   0   -   0   0   -   -
            server    3   0   1   1   1   0   1   1   0   1   0   0   1
            nobody    -   -   -   -   -   -   -   -   -   -   -   -   -
        "#]].assert_eq(&table);
    });
}

/// What `get` found counts for the whole call, and a call fetches at most 24 documents.
#[test]
fn a_call_fetches_each_document_once_and_few_of_them() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_notes("{}").await;
        let world = world.with_collections(&[("shops", Preset::Private)]).await;
        for n in 0..30 {
            let shop = doc! { "_id": format!("s{n}"), "open": true, "city": "x" };
            world.add(&server(), "shops", shop).await.unwrap();
        }
        let (documents, watched) = world.over_watched_database(usize::MAX);
        let anna = user("anna");
        let mut described = String::new();
        for rules in [
            r#"{"create":true}"#,
            r#"{"create":"get('database.shops.s1').open == true && get('database.shops.s1').city == 'x'"}"#,
            r#"{"create":"get('database.shops.' + doc.shop).open == true"}"#,
            r#"{"create":"get('database.shops.none-' + doc.shop).open != true"}"#,
        ] {
            world.rule("notes", rules).await.unwrap();
            documents.indexes(&world.env, "notes").await.unwrap();
            writeln!(described, "{rules}").unwrap();
            for (notes, shops) in [(1, 1), (30, 1), (30, 24), (30, 25)] {
                let made = (0..notes).map(|n| doc! { "shop": format!("s{}", n % shops) });
                let caller = world.caller(&anna);
                let added = documents.insert(caller, "notes", made.collect(), None).await;
                let added = added.map_or_else(|error| format!("{error:?}"), |_| "added".to_owned());
                let reads = watched.document_reads();
                writeln!(described, "  {notes} of {shops} shops: {reads} fetched, {added}")
                    .unwrap();
            }
        }
        expect![[r#"
            {"create":true}
              1 of 1 shops: 0 fetched, added
              30 of 1 shops: 0 fetched, added
              30 of 24 shops: 0 fetched, added
              30 of 25 shops: 0 fetched, added
            {"create":"get('database.shops.s1').open == true && get('database.shops.s1').city == 'x'"}
              1 of 1 shops: 1 fetched, added
              30 of 1 shops: 1 fetched, added
              30 of 24 shops: 1 fetched, added
              30 of 25 shops: 1 fetched, added
            {"create":"get('database.shops.' + doc.shop).open == true"}
              1 of 1 shops: 1 fetched, added
              30 of 1 shops: 1 fetched, added
              30 of 24 shops: 24 fetched, added
              30 of 25 shops: 25 fetched, too_large: the rules would need over 24 other documents
            {"create":"get('database.shops.none-' + doc.shop).open != true"}
              1 of 1 shops: 1 fetched, added
              30 of 1 shops: 1 fetched, added
              30 of 24 shops: 24 fetched, added
              30 of 25 shops: 25 fetched, too_large: the rules would need over 24 other documents
        "#]].assert_eq(&described);
    });
}

#[test]
fn a_denied_document_shows_through_nothing() {
    const OWN: &str =
        r#"{"read":"doc._openid == auth.openid","write":"doc._openid == auth.openid"}"#;
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_notes(OWN).await;
        let anna = user("anna");
        let caller = world.caller(&anna);
        let mut text = String::new();
        for query in [
            doc! { "n": 2 },
            doc! { "_openid": { "$ne": "anna" } },
            doc! { "$or": [{ "_openid": "{openid}" }, { "n": 2 }] },
            doc! { "_openid": { "$in": ["anna", "bert"] } },
            doc! { "_id": { "$in": ["b"] } },
            doc! { "_id": "b" },
            doc! { "_id": "none" },
        ] {
            let by_n =
                Find { order: Order::parse(&doc! { "n": -1 }).unwrap(), ..find(query.clone()) };
            let which = Which::parse(&query).unwrap();
            let counted = world.documents.count(caller, "notes", which.clone()).await;
            let removed = world.documents.remove(caller, "notes", which, true, None).await;
            let set = change(query.clone(), doc! { "$set": { "n": 7 } });
            let changed = world.update(&anna, "notes", set).await;
            let listed = world.list(&anna, "notes", by_n).await;
            let (counted, removed) = (short(counted), short(removed));
            writeln!(text, "{query}\n  {counted} {removed} {changed}\n  {listed}").unwrap();
        }
        let set = |id: &str| Change {
            replace: true,
            multi: false,
            upsert: true,
            ..change(doc! { "_id": id }, doc! { "mine": true })
        };
        for id in ["a", "b", "c"] {
            writeln!(text, "set {id}: {}", world.update(&anna, "notes", set(id)).await).unwrap();
        }
        world
            .rule("notes", r#"{"read":true,"update":"doc._openid == auth.openid"}"#)
            .await
            .unwrap();
        for id in ["b", "none"] {
            writeln!(text, "set {id}: {}", world.update(&anna, "notes", set(id)).await).unwrap();
        }
        let forged = doc! { "$set": { "_openid": "anna" } };
        for update in [forged, doc! { "_openid": "bert" }] {
            let replace = update.contains_key("_openid");
            let change = Change { replace, multi: false, ..change(doc! { "_id": "a" }, update) };
            writeln!(text, "forge: {}", world.update(&anna, "notes", change).await).unwrap();
        }
        text += &world.list(&server(), "notes", find(doc! {})).await;
        expect![[r#"
            { "n": 2 }
              - - PermissionDenied: the permission of this collection does not let you change it
              PermissionDenied: the permission of this collection does not let you read it

            { "_openid": { "$ne": "anna" } }
              - - PermissionDenied: the permission of this collection does not let you change it
              PermissionDenied: the permission of this collection does not let you read it

            { "$or": [{ "_openid": "{openid}" }, { "n": 2 }] }
              - - PermissionDenied: the permission of this collection does not let you change it
              PermissionDenied: the permission of this collection does not let you read it

            { "_openid": { "$in": ["anna", "bert"] } }
              - - PermissionDenied: the permission of this collection does not let you change it
              PermissionDenied: the permission of this collection does not let you read it

            { "_id": { "$in": ["b"] } }
              - - PermissionDenied: the permission of this collection does not let you change it
              PermissionDenied: the permission of this collection does not let you read it

            { "_id": "b" }
              0 0 matched 0 updated 0 upserted None
              0 of 0

            { "_id": "none" }
              0 0 matched 0 updated 0 upserted None
              0 of 0

            set a: matched 1 updated 1 upserted None
            set b: PermissionDenied: a document with this _id exists already, and it is not yours to change
            set c: matched 0 updated 0 upserted Some(String("c"))
            set b: PermissionDenied: the permission of this collection does not let you add to it
            set none: PermissionDenied: the permission of this collection does not let you add to it
            forge: InvalidParameter: _openid is written by the server; leave it out
            forge: InvalidParameter: _openid is written by the server; leave it out
            {"_id":"a","_openid":"anna","mine":true}
            {"_id":"b","_openid":"bert","n":2,"public":false}
            {"_id":"c","_openid":"anna","mine":true}
            {"_id":"p","n":3,"public":true}
            4 of 4
        "#]].assert_eq(&text);
    });
}

#[test]
fn a_replaced_document_keeps_its_owner() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_notes(r#"{"read":true,"write":"'admin' in auth.roles"}"#).await;
        let admin = user_with("carl", &["admin"]);
        let replace = |id: &str| Change {
            replace: true,
            multi: false,
            ..change(doc! { "_id": id }, doc! { "new": true })
        };
        world.update(&admin, "notes", replace("b")).await;
        world.update(&admin, "notes", replace("p")).await;
        expect![[r#"
            {"_id":"a","_openid":"anna","n":1,"public":false}
            {"_id":"b","_openid":"bert","new":true}
            {"_id":"p","new":true}
            3 of 3
        "#]]
        .assert_eq(&world.list(&admin, "notes", find(doc! {})).await);
    });
}

#[test]
fn what_is_written_is_asked_for_each_document() {
    on_every_engine(&Config::default(), async |world| {
        let world =
            world.with_notes(r#"{"read":true,"update":"doc.n > 0 && request.data.n <= 2"}"#).await;
        let anna = user("anna");
        let bump_version = doc! { "$inc": { "n": 1 } };
        let described =
            world.update(&anna, "notes", change(doc! { "n": { "$gt": 0 } }, bump_version)).await;
        expect!["matched 1 updated 1 upserted None"].assert_eq(&described);
        let set = |n: i32| change(doc! { "_id": "p" }, doc! { "$set": { "n": n } });
        let described = world.update(&anna, "notes", set(3)).await;
        expect!["matched 0 updated 0 upserted None"].assert_eq(&described);
        let described = world.update(&anna, "notes", set(2)).await;
        expect!["matched 1 updated 1 upserted None"].assert_eq(&described);
    });
}

#[test]
fn a_transaction_asks_the_rules_too() {
    const RULES: &str = r#"{"read":"doc._openid == auth.openid || doc.public == true","write":"doc._openid == auth.openid"}"#;
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_notes(RULES).await;
        let anna = user("anna");
        let (caller, documents) = (world.caller(&anna), &world.documents);
        let id = &documents.start_transaction(caller).unwrap();
        let mut text = String::new();
        for query in
            [doc! { "_id": "a" }, doc! { "_id": "b" }, doc! { "_id": "p" }, doc! { "n": 2 }]
        {
            let found = documents.find_in(caller, id, "notes", find(query.clone())).await;
            let bump_version = change(query.clone(), doc! { "$inc": { "n": 1 } });
            let changed = documents.update_in(caller, id, "notes", bump_version).await;
            let which = Which::parse(&query).unwrap();
            let removed = documents.remove_in(caller, id, "notes", which, false).await;
            writeln!(
                text,
                "{query}: {} {} {}",
                short(found.map(|found| found.documents.len())),
                short(changed.map(|changed| changed.updated)),
                short(removed),
            )
            .unwrap();
        }
        let added = documents.insert_in(caller, id, "notes", vec![doc! { "_id": "new" }]).await;
        writeln!(text, "insert: {}", short(added.map(|ids| ids.len()))).unwrap();
        documents.commit_transaction(caller, id).await.unwrap();
        text += &world.list(&server(), "notes", find(doc! {})).await;
        expect![[r#"
            { "_id": "a" }: 1 1 1
            { "_id": "b" }: 0 0 0
            { "_id": "p" }: 1 0 0
            { "n": 2 }: - - -
            insert: 1
            {"_id":"b","_openid":"bert","n":2,"public":false}
            {"_id":"new","_openid":"anna"}
            {"_id":"p","n":3,"public":true}
            3 of 3
        "#]]
        .assert_eq(&text);
    });
}

#[test]
fn an_aggregation_opens_what_its_query_may_see() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_notes("{}").await;
        let world = world.with_collections(&[("private", Preset::Private)]).await;
        let (anna, every) = (user("anna"), r#"{"read":true}"#);
        let mut text = String::new();
        for (collection, rules, query) in [
            ("notes", every, doc! {}),
            ("notes", r#"{"read":"doc.public == true"}"#, doc! {}),
            ("notes", r#"{"read":"doc.public == true"}"#, doc! { "public": true }),
            ("notes", r#"{"read":"doc.public == true"}"#, doc! { "_id": "p" }),
            ("private", "", doc! {}),
        ] {
            if !rules.is_empty() {
                world.rule(collection, rules).await.unwrap();
            }
            let which = Which::parse(&query).unwrap();
            let opened = world.documents.open_query(world.caller(&anna), collection, which).await;
            let equal = |filter: &yunzhan_query::Filter| {
                filter.equalities().map(|(path, value)| format!("{path} {value}")).collect()
            };
            let opened: Result<Vec<String>> = opened.map(|(_, filter)| equal(&filter));
            writeln!(text, "{collection} {rules} {query}: {}", short(opened.map(|e| e.join(", "))))
                .unwrap();
        }
        expect![[r#"
            notes {"read":true} {}: 
            notes {"read":"doc.public == true"} {}: -
            notes {"read":"doc.public == true"} { "public": true }: public true
            notes {"read":"doc.public == true"} { "_id": "p" }: -
            private  {}: _openid "anna"
        "#]]
        .assert_eq(&text);
    });
}

#[test]
fn a_pipeline_shows_what_its_first_match_may_see() {
    const PUBLIC: &str = r#"{"read":"doc._openid == auth.openid || doc.public == true"}"#;
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_notes(PUBLIC).await;
        let anna = user("anna");
        let sum = doc! { "$group": { "_id": 1, "n": { "$sum": "$n" } } };
        let lookup = doc! { "from": "notes", "localField": "n", "foreignField": "n", "as": "of" };
        let own = doc! { "$match": { "_openid": "{openid}" } };
        let mut text = String::new();
        for stages in [
            vec![sum.clone()],
            vec![own.clone(), sum.clone()],
            vec![doc! { "$match": { "_id": "b" } }],
            vec![doc! { "$sort": { "n": 1 } }, own.clone()],
            vec![own.clone(), doc! { "$lookup": lookup.clone() }],
            vec![doc! { "$facet": { "all": [sum.clone()] } }],
        ] {
            let found = world.documents.aggregate(world.caller(&anna), "notes", &stages).await;
            let found = found.map(|found| format!("{found:?}"));
            writeln!(text, "{stages:?}\n  {}", short(found)).unwrap();
        }
        expect![[r#"
            [Document({"$group": Document({"_id": Int32(1), "n": Document({"$sum": String("$n")})})})]
              -
            [Document({"$match": Document({"_openid": String("{openid}")})}), Document({"$group": Document({"_id": Int32(1), "n": Document({"$sum": String("$n")})})})]
              Aggregated { documents: [Document({"_id": Int32(1), "n": Int32(1)})], held: Budget { steps_max: 20000000, bytes_max: 67108864, steps_left: 19999992, bytes_left: 67108668, pool: Some(Part { memory: Memory { env_bytes_max: 201326592, process_bytes_max: 536870912, held: Mutex { data: Held { process: 0, by_env: {} }, poisoned: false, .. } }, env: demo }), borrowed: 0 } }
            [Document({"$match": Document({"_id": String("b")})})]
              -
            [Document({"$sort": Document({"n": Int32(1)})}), Document({"$match": Document({"_openid": String("{openid}")})})]
              -
            [Document({"$match": Document({"_openid": String("{openid}")})}), Document({"$lookup": Document({"from": String("notes"), "localField": String("n"), "foreignField": String("n"), "as": String("of")})})]
              -
            [Document({"$facet": Document({"all": Array([Document({"$group": Document({"_id": Int32(1), "n": Document({"$sum": String("$n")})})})])})})]
              -
        "#]].assert_eq(&text);
    });
}

#[test]
fn rules_that_cannot_be_read_open_nothing() {
    let row = ["demo", "notes", "1", "CUSTOM", "mixed", "2", "1767225600000"];
    on_every_engine_grown_from(1, &[("collections", &row)], async |world| {
        let anna = user("anna");
        let text = world.list(&anna, "notes", find(doc! {})).await;
        expect![[r#"
            PermissionDenied: the permission of this collection does not let you read it
        "#]]
        .assert_eq(&text);
        let described =
            world.update(&anna, "notes", change(doc! { "_id": "a" }, doc! { "$set": { "n": 1 } }));
        expect!["PermissionDenied: the permission of this collection does not let you change it"]
            .assert_eq(&described.await);
        assert_eq!(world.list(&server(), "notes", find(doc! {})).await, "0 of 0\n");
    });
}

#[test]
fn operators_set_and_try_rules() {
    on_every_engine(&Config::default(), async |world| {
        let world = world.with_notes("{}").await;
        let mut described = String::new();
        for (route, body) in [
            (
                "set_permission",
                r#"{"permission":"CUSTOM","rules":{"read":"doc.x =","write":false}}"#,
            ),
            ("set_permission", r#"{"permission":"CUSTOM","rules":{"look":true}}"#),
            ("set_permission", r#"{"permission":"CUSTOM"}"#),
            ("set_permission", r#"{"permission":"PRIVATE","rules":{"read":true}}"#),
            (
                "set_permission",
                r#"{"permission":"CUSTOM","rules":{"read":"doc._openid == auth.openid"}}"#,
            ),
            ("list_collections", ""),
            ("test_rules", r#"{"operation":"read","openid":"anna","query":{}}"#),
            (
                "test_rules",
                r#"{"operation":"read","openid":"anna","query":{"_openid":"{openid}"}}"#,
            ),
            ("test_rules", r#"{"operation":"read","openid":"anna","id":"b"}"#),
            ("test_rules", r#"{"operation":"read","openid":"anna","id":"none"}"#),
            (
                "test_rules",
                r#"{"operation":"update","query":{},"rules":{"update":"request.data.n == 1"},"data":{"$set":{"n":1}}}"#,
            ),
            (
                "test_rules",
                r#"{"operation":"create","roles":["admin"],"document":{"n":1},"rules":"{\"write\":\"'admin' in auth.roles && doc.n > 1\"}"}"#,
            ),
            ("test_rules", r#"{"operation":"create","id":"b"}"#),
            ("test_rules", r#"{"operation":"look","query":{}}"#),
            ("test_rules", r#"{"operation":"read"}"#),
            ("set_permission", r#"{"permission":"READONLY"}"#),
            ("test_rules", r#"{"operation":"read","query":{}}"#),
            ("list_collections", ""),
        ] {
            let asked = Asked {
                route: &format!("documents.control.{route}"),
                params: &[("env", "demo"), ("collection", "notes")],
                query: "",
                headers: &[],
                body,
                principal: &Principal::Operator,
            };
            let answer = world.ask(&world.documents, CONTROL, asked).await;
            writeln!(described, "{route} {body}\n  {answer}").unwrap();
        }
        expect![[r#"
            set_permission {"permission":"CUSTOM","rules":{"read":"doc.x =","write":false}}
              400 {"code":"malformed","message":"rule read, column 7: expected ==, a single = does not compare","request_id":"<id>"}
            set_permission {"permission":"CUSTOM","rules":{"look":true}}
              400 {"code":"malformed","message":"unknown rule, expected read, write, create, update or delete, at field look","request_id":"<id>"}
            set_permission {"permission":"CUSTOM"}
              400 {"code":"invalid_parameter","message":"CUSTOM comes with its rules","request_id":"<id>"}
            set_permission {"permission":"PRIVATE","rules":{"read":true}}
              400 {"code":"invalid_parameter","message":"rules go with the permission CUSTOM only","request_id":"<id>"}
            set_permission {"permission":"CUSTOM","rules":{"read":"doc._openid == auth.openid"}}
              200 {"name":"notes","permission":"CUSTOM","rules":{"read":"doc._openid == auth.openid"}}
            list_collections 
              200 {"collections":[{"created_ms":1767225600000,"name":"notes","permission":"CUSTOM","rules":{"read":"doc._openid == auth.openid"}}]}
            test_rules {"operation":"read","openid":"anna","query":{}}
              200 {"allowed":false,"explanation":["refused, rule read: the conditions of the query do not imply `doc._openid == auth.openid`: auth.openid is \"anna\"","  open     doc._openid == auth.openid  (auth.openid is \"anna\")"]}
            test_rules {"operation":"read","openid":"anna","query":{"_openid":"{openid}"}}
              200 {"allowed":true,"explanation":["admitted by rule read","  implied  doc._openid == auth.openid  (auth.openid is \"anna\")"]}
            test_rules {"operation":"read","openid":"anna","id":"b"}
              200 {"allowed":false,"explanation":["denied, rule read: `doc._openid == auth.openid` is false: doc._openid is \"bert\", auth.openid is \"anna\"","  false    doc._openid == auth.openid  (doc._openid is \"bert\", auth.openid is \"anna\")"]}
            test_rules {"operation":"read","openid":"anna","id":"none"}
              200 {"allowed":false,"explanation":["denied, rule read: `doc._openid == auth.openid` is false: doc._openid is missing, auth.openid is \"anna\"","  false    doc._openid == auth.openid  (doc._openid is missing, auth.openid is \"anna\")","there is no document with this id"]}
            test_rules {"operation":"update","query":{},"rules":{"update":"request.data.n == 1"},"data":{"$set":{"n":1}}}
              200 {"allowed":true,"explanation":["admitted by rule update","  implied  request.data.n == 1  (request.data.n is 1)"]}
            test_rules {"operation":"create","roles":["admin"],"document":{"n":1},"rules":"{\"write\":\"'admin' in auth.roles && doc.n > 1\"}"}
              200 {"allowed":false,"explanation":["denied, rule write: `doc.n > 1` is false: doc.n is 1","  true     'admin' in auth.roles  (auth.roles is [\"admin\"])","  false    doc.n > 1  (doc.n is 1)"]}
            test_rules {"operation":"create","id":"b"}
              400 {"code":"invalid_parameter","message":"create is about a new document; name it as document","request_id":"<id>"}
            test_rules {"operation":"look","query":{}}
              400 {"code":"invalid_parameter","message":"operation must be read, create, update or delete","request_id":"<id>"}
            test_rules {"operation":"read"}
              400 {"code":"invalid_parameter","message":"name one of query, id and document","request_id":"<id>"}
            set_permission {"permission":"READONLY"}
              200 {"name":"notes","permission":"READONLY"}
            test_rules {"operation":"read","query":{}}
              400 {"code":"invalid_parameter","message":"collection notes has the permission READONLY and no rules that can be read; name a draft of rules to test","request_id":"<id>"}
            list_collections 
              200 {"collections":[{"created_ms":1767225600000,"name":"notes","permission":"READONLY"}]}
        "#]].assert_eq(&described);
    });
}
