//! Generated rules, callers, documents and queries through the whole service: nobody reaches a document that the rule
//! denies by itself, and whoever is admitted reaches all that match.

use std::collections::BTreeMap;

use bson::{Bson, Document, doc};
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestError, TestRunner};
use yunzhan_base::{Kind, Principal};
use yunzhan_query::Update;
use yunzhan_query::rule::{self, Decision, Facts, Fetched, Operation, Rules};

use super::{change, find, server};
use crate::documents::testing::{NOW_MS, World, on_sqlite, user_with};
use crate::documents::{Body, Change, Config, Preset, Which};

/// Generated cases; each goes through every operation. The environment variable `YUNZHAN_RULE_CALLS` sets another
/// number.
const CASES: u32 = 150;

/// Documents of the collection that `get` reads.
const ROLES: [(&str, &str); 2] = [("o1", "boss"), ("o2", "guest")];

#[derive(Clone, Debug)]
struct Case {
    rule: String,
    openid: &'static str,
    roles: Vec<&'static str>,
    documents: Vec<Document>,
    query: Document,
    update: Document,
}

impl Case {
    fn rules(&self) -> String {
        serde_json::json!({ "read": self.rule, "write": self.rule }).to_string()
    }
}

fn field() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "_openid"])
}

fn value() -> impl Strategy<Value = Bson> {
    prop::sample::select(vec![
        Bson::Int32(1),
        Bson::Int32(2),
        Bson::String("o1".into()),
        Bson::String("o2".into()),
        Bson::Null,
        Bson::Array(vec![Bson::Int32(1), Bson::String("o1".into())]),
    ])
}

fn clause() -> impl Strategy<Value = String> {
    prop_oneof![
        (field(), prop::sample::select(vec!["==", "!=", ">", "<="]), 1..3)
            .prop_map(|(field, operator, n)| format!("doc.{field} {operator} {n}")),
        Just("doc._openid == auth.openid".to_owned()),
        Just("auth.openid in doc.a".to_owned()),
        Just("doc.b in ['o1', 2, null]".to_owned()),
        Just("'admin' in auth.roles".to_owned()),
        Just("get('database.roles.' + auth.openid).role == 'boss'".to_owned()),
        Just("get('database.roles.' + doc.b).role == 'boss'".to_owned()),
        Just("request.data.a == 1".to_owned()),
        Just("request.data.a != 2".to_owned()),
        Just("true".to_owned()),
    ]
}

fn rule() -> impl Strategy<Value = String> {
    let joined = (clause(), prop::sample::select(vec!["&&", "||"]), clause());
    prop_oneof![
        clause(),
        joined.prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
        (clause(), clause(), clause()).prop_map(|(a, b, c)| format!("{a} && ({b} || {c})")),
        clause().prop_map(|inner| format!("!({inner})")),
    ]
}

fn document() -> impl Strategy<Value = Document> {
    (prop::option::of(value()), prop::option::of(value()), prop::option::of(value())).prop_map(
        |(a, b, owner)| {
            let fields = [("a", a), ("b", b), ("_openid", owner)];
            fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
        },
    )
}

fn query() -> impl Strategy<Value = Document> {
    let equal = (field(), value()).prop_map(|(field, value)| doc! { field: { "$eq": value } });
    let in_order = (field(), prop::sample::select(vec!["$gt", "$lte", "$ne"]), 1..3)
        .prop_map(|(field, operator, n)| doc! { field: { operator: n } });
    let one = prop_oneof![
        3 => equal,
        2 => in_order,
        2 => Just(doc! { "_openid": "{openid}" }),
        1 => Just(doc! { "a": { "$in": ["o1", 1] } }),
        1 => Just(doc! {}),
    ]
    .boxed();
    prop_oneof![
        4 => one.clone(),
        3 => (one.clone(), one.clone()).prop_map(|(a, b)| doc! { "$and": [a, b] }),
        1 => (one.clone(), one).prop_map(|(a, b)| doc! { "$or": [a, b] }),
    ]
}

fn update() -> impl Strategy<Value = Document> {
    prop::sample::select(vec![
        doc! { "$set": { "a": 1 } },
        doc! { "$set": { "a": 2, "z": 1 } },
        doc! { "$set": { "z": 1 } },
        doc! { "$unset": { "a": "" } },
        doc! { "$rename": { "b": "a" } },
    ])
}

fn case() -> impl Strategy<Value = Case> {
    let openid = prop::sample::select(vec!["o1", "o2"]);
    let roles = prop::sample::select(vec![vec![], vec!["admin"]]);
    let documents = prop::collection::vec(document(), 5);
    (rule(), openid, roles, documents, query(), update()).prop_map(
        |(rule, openid, roles, documents, query, update)| Case {
            rule,
            openid,
            roles,
            documents,
            query,
            update,
        },
    )
}

/// What happened, over all cases: a test in which nothing is ever admitted proves nothing.
#[derive(Debug, Default)]
struct Counts {
    refused: u64,
    admitted: u64,
    by_id: u64,
    hidden: u64,
}

#[test]
fn nobody_reaches_what_the_rule_denies() {
    let asked = std::env::var("YUNZHAN_RULE_CALLS").ok();
    let cases = asked.and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let config = Cases { failure_persistence: None, ..Cases::with_cases(cases) };
    let counts = std::sync::Mutex::new(Counts::default());
    on_sqlite(&Config::default(), async |world| {
        let world =
            world.with_collections(&[("notes", Preset::Private), ("roles", Preset::Private)]).await;
        for (id, role) in ROLES {
            world.add(&server(), "roles", doc! { "_id": id, "role": role }).await.unwrap();
        }
        let check = |case: Case| {
            let runtime = tokio::runtime::Handle::current();
            let mut counts = counts.lock().unwrap();
            tokio::task::block_in_place(|| {
                runtime.block_on(Checked::new(&world, &case).check(&mut counts))
            })
        };
        match TestRunner::new(config.clone()).run(&case(), check) {
            Ok(()) => {}
            Err(TestError::Fail(why, case)) => panic!("{why}\n{case:#?}"),
            Err(error) => panic!("{error}"),
        }
    });
    let counts = counts.into_inner().unwrap();
    let Counts { refused, admitted, by_id, hidden } = counts;
    assert!(refused.min(admitted).min(by_id).min(hidden) > u64::from(cases / 10), "{counts:?}");
}

/// One case in the world, beside the plain evaluator.
struct Checked<'c> {
    world: &'c World,
    case: &'c Case,
    principal: Principal,
    caller: rule::Caller,
    rules: Rules,
}

impl<'c> Checked<'c> {
    fn new(world: &'c World, case: &'c Case) -> Self {
        let caller = rule::Caller {
            logged_in: true,
            openid: Some(case.openid.to_owned()),
            uid: Some(format!("uid-of-{}", case.openid)),
            login_type: None,
            roles: case.roles.iter().map(ToString::to_string).collect(),
        };
        let principal = user_with(case.openid, &case.roles);
        let rules = Rules::parse(&case.rules()).unwrap();
        Self { world, case, principal, caller, rules }
    }

    async fn check(&self, counts: &mut Counts) -> Result<(), TestCaseError> {
        let before = self.restore().await;
        self.reads(&before, counts).await?;
        self.reads_by_id(&before, counts).await?;
        self.updates(&before).await?;
        self.removes(&before).await?;
        self.creates().await
    }

    /// The decision about one document, and nothing else.
    fn allows(&self, operation: Operation, document: &Document, data: Option<&Document>) -> bool {
        let facts = Facts { caller: &self.caller, now_ms: NOW_MS, data };
        let mut fetched = Fetched::default();
        loop {
            match self.rules.rule(operation).decide(&facts, Some(document), &fetched) {
                Decision::Allowed => return true,
                Decision::Denied(_) => return false,
                Decision::Needs(get) => {
                    let id = get.id.as_str().unwrap_or_default();
                    let found = ROLES.iter().find(|(known, _)| *known == id);
                    let found = found.map(|(id, role)| doc! { "_id": *id, "role": *role });
                    fetched.insert(get, found).unwrap();
                }
            }
        }
    }

    /// Puts the documents there, under the rules.
    async fn restore(&self) -> BTreeMap<String, Document> {
        let server = server();
        let caller = self.world.caller(&server);
        let documents = &self.world.documents;
        documents.remove(caller, "notes", Which::every(), true, None).await.unwrap();
        let numbered = self.case.documents.iter().enumerate().map(|(place, document)| {
            let mut numbered = doc! { "_id": format!("d{place}") };
            numbered.extend(document.clone());
            numbered
        });
        documents.insert(caller, "notes", numbered.collect(), None).await.unwrap();
        self.world.rule("notes", &self.case.rules()).await.unwrap();
        self.all(&server, doc! {}).await.unwrap()
    }

    /// What a caller finds, by ids; nothing when refused.
    async fn all(&self, who: &Principal, query: Document) -> Option<BTreeMap<String, Document>> {
        let caller = self.world.caller(who);
        match self.world.documents.find(caller, "notes", find(query)).await {
            Ok(found) => Some(found.documents.iter().map(named).collect()),
            Err(error) => {
                assert_eq!(error.kind(), Kind::PermissionDenied, "{error}");
                None
            }
        }
    }

    /// The documents that match for a server, with the caller in the query.
    async fn matching(&self) -> BTreeMap<String, Document> {
        let mut query = self.case.query.clone();
        rule::substitute(&mut query, &self.caller).unwrap();
        self.all(&server(), query).await.unwrap()
    }

    async fn reads(
        &self,
        before: &BTreeMap<String, Document>,
        counts: &mut Counts,
    ) -> Result<(), TestCaseError> {
        let which = Which::parse(&self.case.query).unwrap();
        let caller = self.world.caller(&self.principal);
        let counted = self.world.documents.count(caller, "notes", which).await;
        let stages = [doc! { "$match": self.case.query.clone() }];
        let piped = self.world.documents.aggregate(caller, "notes", &stages).await;
        let Some(found) = self.all(&self.principal, self.case.query.clone()).await else {
            prop_assert!(counted.is_err() && piped.is_err(), "count or pipeline is admitted");
            counts.refused += 1;
            return Ok(());
        };
        counts.admitted += 1;
        prop_assert_eq!(&found, &self.matching().await);
        prop_assert_eq!(counted.unwrap(), found.len() as u64);
        prop_assert_eq!(piped.unwrap().len(), found.len());
        for document in found.values() {
            prop_assert!(self.allows(Operation::Read, document, None), "{document} is shown");
        }
        prop_assert!(before.len() >= found.len());
        Ok(())
    }

    async fn reads_by_id(
        &self,
        before: &BTreeMap<String, Document>,
        counts: &mut Counts,
    ) -> Result<(), TestCaseError> {
        let caller = self.world.caller(&self.principal);
        let missing = self.world.documents.get(caller, "notes", &"none".into(), None).await;
        for (id, document) in before {
            let id = Bson::String(id.clone());
            let got = self.world.documents.get(caller, "notes", &id, None).await;
            let allowed = self.allows(Operation::Read, document, None);
            match got {
                Ok(got) => prop_assert_eq!(got.is_some(), allowed, "{}", document),
                // Then it says the same of a document that is not there.
                Err(_) => prop_assert!(!allowed && missing.is_err(), "{document}"),
            }
            counts.by_id += u64::from(allowed);
            counts.hidden += u64::from(!allowed);
        }
        Ok(())
    }

    async fn updates(&self, before: &BTreeMap<String, Document>) -> Result<(), TestCaseError> {
        let matching = self.matching().await;
        let wanted = change(self.case.query.clone(), self.case.update.clone());
        let caller = self.world.caller(&self.principal);
        let changed = self.world.documents.update(caller, "notes", wanted, None).await;
        let after = self.all(&server(), doc! {}).await.unwrap();
        let update = Update::parse(self.case.update.clone()).unwrap();
        for (id, old) in before {
            let mut new = old.clone();
            update.apply(&mut new, None).unwrap();
            let fields: Vec<&str> = update.fields().collect();
            let written =
                new.clone().into_iter().filter(|(name, _)| fields.contains(&name.as_str()));
            let allowed = self.allows(Operation::Update, old, Some(&written.collect()));
            let is_changed = changed.is_ok() && matching.contains_key(id) && allowed;
            let expected = if is_changed { &new } else { old };
            prop_assert_eq!(&after[id], expected);
        }
        Ok(())
    }

    async fn removes(&self, before: &BTreeMap<String, Document>) -> Result<(), TestCaseError> {
        let caller = self.world.caller(&self.principal);
        self.restore().await;
        let matching = self.matching().await;
        let which = Which::parse(&self.case.query).unwrap();
        let removed = self.world.documents.remove(caller, "notes", which, true, None).await;
        let left = self.all(&server(), doc! {}).await.unwrap();
        for (id, document) in before {
            let is_gone = removed.is_ok() && matching.contains_key(id);
            prop_assert_eq!(!left.contains_key(id), is_gone);
            let allowed = self.allows(Operation::Delete, document, None);
            prop_assert!(!is_gone || allowed, "{document} is removed");
        }
        Ok(())
    }

    /// An insert, and an upsert onto each id that may be taken.
    async fn creates(&self) -> Result<(), TestCaseError> {
        let before = self.restore().await;
        let caller = self.world.caller(&self.principal);
        let new = doc! { "_id": "new", "_openid": self.case.openid, "a": 1 };
        let allowed = self.allows(Operation::Create, &new, Some(&new));
        let added = vec![doc! { "_id": "new", "a": 1 }];
        let added = self.world.documents.insert(caller, "notes", added, None).await;
        prop_assert_eq!(added.is_ok(), allowed);
        for (id, old) in &before {
            let replace = doc! { "a": 1 };
            let change = Change {
                replace: true,
                multi: false,
                upsert: true,
                ..change(doc! { "_id": id }, replace.clone())
            };
            let _ = self.world.documents.update(caller, "notes", change, None).await;
            let is_as_before = self.all(&server(), doc! { "_id": id }).await.unwrap()[id] == *old;
            let mut written = doc! { "_id": id };
            written.extend(replace);
            let allowed = self.allows(Operation::Update, old, Some(&written));
            prop_assert!(allowed || is_as_before, "{old} is replaced");
        }
        Ok(())
    }
}

fn named(body: &Body) -> (String, Document) {
    let document = match body {
        Body::Stored(bson) => Document::from_reader(bson.as_slice()).unwrap(),
        Body::Shaped(document) => document.clone(),
    };
    (document.get_str("_id").unwrap().to_owned(), document)
}
