//! Rules as text, documents and queries beside them, and what is decided.

use expect_test::{Expect, expect};

use super::{Admission, Caller, Decision, Facts, Fetched, Get, Operation, Rule, Rules, substitute};
use crate::testing::{NOW_MS, doc, text};
use bson::Document;

/// What `get` finds, by collection and id.
const STORE: [(&str, &str); 4] = [
    ("shops.s1", r#"{"_id":"s1","owner":"o1","staff":["o1","o3"],"open":true,"boss":"b1"}"#),
    ("shops.s2", r#"{"_id":"s2","owner":"o2","staff":[null],"rank":{"o1":3}}"#),
    ("bosses.b1", r#"{"_id":"b1","level":9}"#),
    ("numbers.7", r#"{"_id":7,"v":"seven"}"#),
];

fn caller() -> Caller {
    Caller {
        logged_in: true,
        openid: Some("o1".to_owned()),
        uid: Some("u1".to_owned()),
        login_type: None,
        roles: vec!["editor".to_owned()],
    }
}

fn facts<'a>(caller: &'a Caller, data: Option<&'a Document>) -> Facts<'a> {
    Facts { caller, now_ms: NOW_MS, data }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

fn rule(expression: &str) -> Rule {
    Rule::expression("read", expression).unwrap_or_else(|error| panic!("{error} in {expression}"))
}

fn fetch(fetched: &mut Fetched, get: Get) {
    let name = format!("{}.{}", get.collection, get.id.to_string().trim_matches('"'));
    let found = STORE.iter().find(|(known, _)| *known == name).map(|(_, text)| doc(text));
    fetched.insert(get, found).unwrap();
}

/// Each line is a rule, a document, and maybe what is written, separated by ` | `.
fn check_decisions(table: &str, caller: &Caller, expected: &Expect) {
    let decided = lines(table).map(|line| {
        let mut parts = line.split(" | ");
        let rule = rule(parts.next().unwrap());
        let document = parts.next().filter(|text| *text != "-").map(doc);
        let data = parts.next().map(doc);
        let mut fetched = Fetched::default();
        let decision = loop {
            match rule.decide(&facts(caller, data.as_ref()), document.as_ref(), &fetched) {
                Decision::Needs(get) => fetch(&mut fetched, get),
                Decision::Allowed => break "allowed".to_owned(),
                Decision::Denied(why) => break why.for_tester(),
            }
        };
        format!("{line} -> {}\n", decision.trim_start_matches("rule read: "))
    });
    expected.assert_eq(&decided.collect::<String>());
}

/// Each line is a rule and a query, separated by ` | `.
fn check_admissions(table: &str, expected: &Expect) {
    let caller = caller();
    let decided = lines(table).map(|line| {
        let (source, query) = line.split_once(" | ").unwrap();
        let rule = rule(source);
        let mut query = doc(query);
        substitute(&mut query, &caller).unwrap();
        let mut fetched = Fetched::default();
        let admission = loop {
            match rule.admits(&query, &facts(&caller, None), &fetched) {
                Admission::Needs(get) => fetch(&mut fetched, get),
                Admission::Admitted => break "admitted".to_owned(),
                Admission::Refused(why) => break format!("not implied: {}", why.clause()),
            }
        };
        format!("{line} -> {admission}\n")
    });
    expected.assert_eq(&decided.collect::<String>());
}

#[test]
fn a_set_has_a_rule_for_every_operation() {
    let show = |json: &str| match Rules::parse(json) {
        Ok(rules) => {
            let show = |operation: Operation| {
                let rule = rules.rule(operation);
                format!("{}: {} {}", operation.name(), rule.name(), rule.source())
            };
            [Operation::Read, Operation::Create, Operation::Update, Operation::Delete]
                .map(show)
                .join(", ")
        }
        Err(error) => error.to_string(),
    };
    let sets = r#"
        {}
        {"read":true,"write":"doc._openid == auth.openid"}
        {"write":true,"delete":false,"create":"auth != null"}
        {"reed":true}
        {"read":1}
        {"read":"doc.a ="}
        {"read":true,"read":false}
        []
    "#;
    let shown: String = lines(sets).map(|json| format!("{json} -> {}\n", show(json))).collect();
    expect![[r#"
        {} -> read: read false, create: write false, update: write false, delete: write false
        {"read":true,"write":"doc._openid == auth.openid"} -> read: read true, create: write doc._openid == auth.openid, update: write doc._openid == auth.openid, delete: write doc._openid == auth.openid
        {"write":true,"delete":false,"create":"auth != null"} -> read: read false, create: create auth != null, update: write true, delete: delete false
        {"reed":true} -> unknown rule, expected read, write, create, update or delete, at field reed
        {"read":1} -> rule read: expected true, false or a string
        {"read":"doc.a ="} -> rule read, column 7: expected ==, a single = does not compare
        {"read":true,"read":false} -> a key occurs twice in one object, at byte 25
        [] -> expected an object
    "#]].assert_eq(&shown);
}

#[test]
fn what_is_no_expression_is_refused_with_its_column() {
    let refused = lines(
        r#"
        doc.a
        doc
        doc.
        doc.a..b
        doc.a == 'x
        doc.a == 'x' &&
        doc.a == 'x' & doc.b
        (doc.a == 1
        doc.a == 1)
        doc.a === 1
        doc.a = 1
        1 < doc.a < 3
        !doc.a == 1
        (doc.a == 1) == true
        auth
        auth.openid
        auth.name == 1
        auth == doc.a
        auth.roles == 'admin'
        auth.roles in doc.a
        'admin' in auth.roles
        doc.a in 'abc'
        doc.a == [1]
        doc.a < null
        doc.a < true
        doc.a < [1]
        doc[0].b == 1
        doc['a']['b'] == 1
        doc['a.b'] == 1
        doc[auth.openid] == 1
        request.a == 1
        request.data == null
        doc.a == 1e999
        doc.a == 12abc
        doc.a == 'a\q'
        'a'
        nowish > 1
        get('x') == null
        get('database.a') == null
        get('database.a.') == null
        get('database.$a.b') == null
        get(`database.${doc.c}.b`) == null
        get('database.a.b' == null
        get('database.a.b').c
        get(get(get('database.a.b').c).d).e
        get('database.a.' + get('database.a.' + get('database.a.b').c).d).e
        get('database.a.1').a || get('database.a.2').a || get('database.a.3').a || get('database.a.4').a
        苹果 == 1
        doc.苹果 == 1 &&& 2
        "#,
    )
    .map(|source| {
        let parsed = Rule::expression("read", source);
        format!("{source} -> {}\n", parsed.map_or_else(|error| error.to_string(), |_| "rule".to_owned()))
    });
    expect![[r#"
        doc.a -> rule
        doc -> rule read, column 4: expected a field after doc, as doc.name
        doc. -> rule read, column 5: expected a field's name after the dot
        doc.a..b -> rule read, column 7: expected a field's name after the dot
        doc.a == 'x -> rule read, column 12: expected the end of the text
        doc.a == 'x' && -> rule read, column 16: expected a value: auth, doc.<field>, request.data.<field>, now, get(…), text, number, true, false, null or a list
        doc.a == 'x' & doc.b -> rule read, column 14: expected && or ||, which are written twice
        (doc.a == 1 -> rule read, column 12: expected ) for the ( before
        doc.a == 1) -> rule read, column 11: expected &&, || or the end
        doc.a === 1 -> rule read, column 9: expected a value: auth, doc.<field>, request.data.<field>, now, get(…), text, number, true, false, null or a list
        doc.a = 1 -> rule read, column 7: expected ==, a single = does not compare
        1 < doc.a < 3 -> rule read, column 12: expected && or || before this, comparisons do not chain
        !doc.a == 1 -> rule read, column 1: expected a value, a comparison in parentheses cannot be compared
        (doc.a == 1) == true -> rule read, column 1: expected a value, a comparison in parentheses cannot be compared
        auth -> rule read, column 1: expected a comparison, this value is no condition
        auth.openid -> rule read, column 1: expected a comparison, this value is no condition
        auth.name == 1 -> rule read, column 6: expected openid, uid, loginType or roles after auth
        auth == doc.a -> rule read, column 1: expected auth.openid or another field, auth itself is compared with null only
        auth.roles == 'admin' -> rule read, column 1: expected auth.roles after in, it is a list
        auth.roles in doc.a -> rule read, column 1: expected auth.roles after in, it is a list
        'admin' in auth.roles -> rule
        doc.a in 'abc' -> rule read, column 10: expected a list after in
        doc.a == [1] -> rule read, column 10: expected in before a list
        doc.a < null -> rule read, column 9: expected a value that has an order
        doc.a < true -> rule read, column 9: expected a value that has an order
        doc.a < [1] -> rule read, column 9: expected a value that has an order
        doc[0].b == 1 -> rule
        doc['a']['b'] == 1 -> rule
        doc['a.b'] == 1 -> rule read, column 4: expected no dot in a field's name
        doc[auth.openid] == 1 -> rule read, column 4: expected a text or a number in brackets after a field
        request.a == 1 -> rule read, column 9: expected request.data.<field>
        request.data == null -> rule read, column 13: expected a field after request.data
        doc.a == 1e999 -> rule read, column 10: expected a number
        doc.a == 12abc -> rule read, column 10: expected a number
        doc.a == 'a\q' -> rule read, column 12: expected \n, \t or an escaped quote
        'a' -> rule read, column 1: expected a comparison, this value is no condition
        nowish > 1 -> rule read, column 1: expected a value: auth, doc.<field>, request.data.<field>, now, get(…), text, number, true, false, null or a list
        get('x') == null -> rule read, column 4: expected get('database.<collection>.<id>') with the collection written out
        get('database.a') == null -> rule read, column 4: expected get('database.<collection>.<id>') with the collection written out
        get('database.a.') == null -> rule read, column 4: expected get('database.<collection>.<id>') with the collection written out
        get('database.$a.b') == null -> rule read, column 4: expected get('database.<collection>.<id>') with the collection written out
        get(`database.${doc.c}.b`) == null -> rule read, column 4: expected get('database.<collection>.<id>') with the collection written out
        get('database.a.b' == null -> rule read, column 20: expected ) for the ( before
        get('database.a.b').c -> rule
        get(get(get('database.a.b').c).d).e -> rule read, column 12: get() nests deeper than 2
        get('database.a.' + get('database.a.' + get('database.a.b').c).d).e -> rule read, column 44: get() nests deeper than 2
        get('database.a.1').a || get('database.a.2').a || get('database.a.3').a || get('database.a.4').a -> rule read, column 79: over 3 get() in one expression
        苹果 == 1 -> rule read, column 1: expected a value: auth, doc.<field>, request.data.<field>, now, get(…), text, number, true, false, null or a list
        doc.苹果 == 1 &&& 2 -> rule read, column 15: expected a value: auth, doc.<field>, request.data.<field>, now, get(…), text, number, true, false, null or a list
    "#]].assert_eq(&refused.collect::<String>());
}

#[test]
fn bounds_are_kept() {
    let error = |source: &str| Rule::expression("write", source).unwrap_err().to_string();
    let shown = [
        error(&format!("doc.a == '{}'", "x".repeat(5000))),
        error(&format!("{}true{}", "(".repeat(40), ")".repeat(40))),
        error(&format!("{}true", "!".repeat(40))),
        error(&format!("doc.a in {}{}", "[".repeat(40), "]".repeat(40))),
        error(&vec!["true"; 300].join("&&")),
        error(&format!("doc{}", ".a".repeat(120))),
    ];
    expect![[r#"
        rule write, column 1: expression is over 4096 bytes long
        rule write, column 34: expression nests deeper than 32
        rule write, column 34: expression nests deeper than 32
        rule write, column 43: expression nests deeper than 32
        rule write, column 769: over 256 clauses and values
        rule write, column 4: expected a field path: field path has over 100 parts"#]]
    .assert_eq(&shown.join("\n"));
    let mut fetched = Fetched::default();
    let get = |id: i32| Get { collection: "a".to_owned(), id: id.into() };
    (0..24).for_each(|id| fetched.insert(get(id), None).unwrap());
    assert_eq!(
        fetched.insert(get(24), None).unwrap_err().to_string(),
        "the rules would need over 24 other documents"
    );
}

#[test]
fn decisions_about_one_document() {
    check_decisions(
        r#"
        true | {}
        false | {}
        doc._openid == auth.openid | {"_openid":"o1"}
        doc._openid == auth.openid | {"_openid":"o2"}
        doc._openid == auth.openid | -
        doc.open == true && doc._openid == auth.openid | {"open":true,"_openid":"o2"}
        doc.open || auth.openid == doc._openid | {"open":1,"_openid":"o2"}
        !doc.deleted | {"deleted":true}
        !doc.deleted | {}
        !(doc.a == 1 || doc.b == 1) | {"a":2,"b":1}
        doc.tags == 'x' | {"tags":["y","x"]}
        doc.tags != 'x' | {"tags":["y","x"]}
        'x' in doc.tags | {"tags":["y","x"]}
        'x' in doc.tags | {"tags":"x"}
        doc.a.b in [1, 'two', null] | {"a":[{"b":3},{"b":"two"}]}
        doc.a in [1, null] | {}
        doc.a == null | {"a":null}
        doc.a != null | {"a":[]}
        doc.age >= 18 && doc.age < 65 | {"age":{"$numberDouble":"18.0"}}
        doc.age >= 18 | {"age":"18"}
        18 <= doc.age | {"age":17}
        doc.until > now | {"until":1800000000000}
        doc.list[1] == 'b' | {"list":["a","b"]}
        'editor' in auth.roles | {}
        'admin' in auth.roles || doc.a == -1.5 | {"a":2}
        auth != null && auth.loginType == null | {}
        auth.loginType == doc.a | {}
        doc.a == doc.b | {"a":1,"b":{"$numberLong":"1"}}
        doc.a == doc.b | {}
        request.data.a == doc.a | {"a":1} | {"a":1}
        request.data.a == 'x' | {} | {"a":["x"]}
        request.data.a == null | {} | {}
        request.data.a == doc.b | {} | {}
        request.data.a.b > 1 | - | {"a":{"b":2}}
        get('database.shops.s1').owner == auth.openid | {}
        get('database.shops.s3') == null && get('database.shops.s1') != null | {}
        get('database.shops.s3').owner == doc.owner | {}
        get(`database.shops.${doc.shop}`).owner == auth.openid | {"shop":"s1"}
        get(`database.shops.${doc.shop}`).owner == auth.openid | {"shop":"s2"}
        get(`database.shops.${doc.shop}`).owner == auth.openid | {"shop":["s2","s1"]}
        get(`database.shops.${doc.shop}`).owner == auth.openid | {"shop":null}
        !(get(`database.shops.${doc.shop}`).open == true) | {"shop":"s1"}
        get('database.shops.' + doc.shop)['rank'][auth.openid] == 3 | {"shop":"s2"}
        auth.openid in get(`database.shops.${doc.shop}`).staff | {"shop":"s1"}
        doc.who in get('database.shops.s2').staff | {}
        get('database.numbers.' + doc.n).v == 'seven' | {"n":7}
        get(`database.shops.s${doc.n}`).open | {"n":1}
        get(`database.bosses.${get('database.shops.s1').boss}`).level > 8 | {}
        get('database.shops.' + request.data.shop).owner == auth.openid | {} | {"shop":["s1"]}
        get(`database.shops.${doc.shop}`).x == 1 | {"shop":["1","2","3","4","5","6","7","8","9"]}
        "#,
        &caller(),
        &expect![[r#"
            true | {} -> allowed
            false | {} -> `false` is false
            doc._openid == auth.openid | {"_openid":"o1"} -> allowed
            doc._openid == auth.openid | {"_openid":"o2"} -> `doc._openid == auth.openid` is false: doc._openid is "o2", auth.openid is "o1"
            doc._openid == auth.openid | - -> `doc._openid == auth.openid` is false: doc._openid is missing, auth.openid is "o1"
            doc.open == true && doc._openid == auth.openid | {"open":true,"_openid":"o2"} -> `doc._openid == auth.openid` is false: doc._openid is "o2", auth.openid is "o1"
            doc.open || auth.openid == doc._openid | {"open":1,"_openid":"o2"} -> `doc.open || auth.openid == doc._openid` is false: doc.open is 1, auth.openid is "o1", doc._openid is "o2"
            !doc.deleted | {"deleted":true} -> `!doc.deleted` is false: doc.deleted is true
            !doc.deleted | {} -> allowed
            !(doc.a == 1 || doc.b == 1) | {"a":2,"b":1} -> `!(doc.a == 1 || doc.b == 1)` is false: doc.a is 2, doc.b is 1
            doc.tags == 'x' | {"tags":["y","x"]} -> allowed
            doc.tags != 'x' | {"tags":["y","x"]} -> `doc.tags != 'x'` is false: doc.tags is ["y", "x"]
            'x' in doc.tags | {"tags":["y","x"]} -> allowed
            'x' in doc.tags | {"tags":"x"} -> allowed
            doc.a.b in [1, 'two', null] | {"a":[{"b":3},{"b":"two"}]} -> allowed
            doc.a in [1, null] | {} -> allowed
            doc.a == null | {"a":null} -> allowed
            doc.a != null | {"a":[]} -> allowed
            doc.age >= 18 && doc.age < 65 | {"age":{"$numberDouble":"18.0"}} -> allowed
            doc.age >= 18 | {"age":"18"} -> `doc.age >= 18` is false: doc.age is "18"
            18 <= doc.age | {"age":17} -> `18 <= doc.age` is false: doc.age is 17
            doc.until > now | {"until":1800000000000} -> allowed
            doc.list[1] == 'b' | {"list":["a","b"]} -> allowed
            'editor' in auth.roles | {} -> allowed
            'admin' in auth.roles || doc.a == -1.5 | {"a":2} -> `'admin' in auth.roles || doc.a == -1.5` is false: auth.roles is ["editor"], doc.a is 2
            auth != null && auth.loginType == null | {} -> allowed
            auth.loginType == doc.a | {} -> `auth.loginType == doc.a` is false: auth.loginType is missing, doc.a is missing
            doc.a == doc.b | {"a":1,"b":{"$numberLong":"1"}} -> allowed
            doc.a == doc.b | {} -> `doc.a == doc.b` is false: doc.a is missing, doc.b is missing
            request.data.a == doc.a | {"a":1} | {"a":1} -> allowed
            request.data.a == 'x' | {} | {"a":["x"]} -> `request.data.a == 'x'` is false: request.data.a is ["x"]
            request.data.a == null | {} | {} -> allowed
            request.data.a == doc.b | {} | {} -> `request.data.a == doc.b` is false: request.data.a is missing, doc.b is missing
            request.data.a.b > 1 | - | {"a":{"b":2}} -> allowed
            get('database.shops.s1').owner == auth.openid | {} -> allowed
            get('database.shops.s3') == null && get('database.shops.s1') != null | {} -> allowed
            get('database.shops.s3').owner == doc.owner | {} -> `get('database.shops.s3').owner == doc.owner` is false: get('database.shops.s3').owner is missing, doc.owner is missing
            get(`database.shops.${doc.shop}`).owner == auth.openid | {"shop":"s1"} -> allowed
            get(`database.shops.${doc.shop}`).owner == auth.openid | {"shop":"s2"} -> `get(`database.shops.${doc.shop}`).owner == auth.openid` is false: get(`database.shops.${doc.shop}`).owner is "o2", auth.openid is "o1"
            get(`database.shops.${doc.shop}`).owner == auth.openid | {"shop":["s2","s1"]} -> allowed
            get(`database.shops.${doc.shop}`).owner == auth.openid | {"shop":null} -> `get(`database.shops.${doc.shop}`).owner == auth.openid` is false: get(`database.shops.${doc.shop}`).owner is missing, auth.openid is "o1"
            !(get(`database.shops.${doc.shop}`).open == true) | {"shop":"s1"} -> `!(get(`database.shops.${doc.shop}`).open == true)` is false: get(`database.shops.${doc.shop}`).open is true
            get('database.shops.' + doc.shop)['rank'][auth.openid] == 3 | {"shop":"s2"} -> allowed
            auth.openid in get(`database.shops.${doc.shop}`).staff | {"shop":"s1"} -> allowed
            doc.who in get('database.shops.s2').staff | {} -> `doc.who in get('database.shops.s2').staff` is false: doc.who is missing, get('database.shops.s2').staff is [null]
            get('database.numbers.' + doc.n).v == 'seven' | {"n":7} -> allowed
            get(`database.shops.s${doc.n}`).open | {"n":1} -> allowed
            get(`database.bosses.${get('database.shops.s1').boss}`).level > 8 | {} -> allowed
            get('database.shops.' + request.data.shop).owner == auth.openid | {} | {"shop":["s1"]} -> `get('database.shops.' + request.data.shop).owner == auth.openid` is false: get('database.shops.' + request.data.shop).owner is missing, auth.openid is "o1"
            get(`database.shops.${doc.shop}`).x == 1 | {"shop":["1","2","3","4","5","6","7","8","9"]} -> deciding `get(`database.shops.${doc.shop}`).x == 1` would take too long: get(`database.shops.${doc.shop}`).x is missing
        "#]],
    );
}

#[test]
fn a_caller_without_identity_owns_nothing() {
    check_decisions(
        r#"
        auth == null | {}
        auth != null | {}
        auth.openid == null | {}
        doc._openid == auth.openid | {}
        doc._openid == auth.openid | {"_openid":null}
        doc._openid in [auth.openid, auth.uid] | {}
        auth.openid in doc.editors | {"editors":[null]}
        auth.openid == auth.uid | {}
        request.data._openid == auth.openid | {} | {}
        doc._openid != auth.openid | {}
        "#,
        &Caller::default(),
        &expect![[r#"
            auth == null | {} -> allowed
            auth != null | {} -> `auth != null` is false
            auth.openid == null | {} -> allowed
            doc._openid == auth.openid | {} -> `doc._openid == auth.openid` is false: doc._openid is missing, auth.openid is missing
            doc._openid == auth.openid | {"_openid":null} -> `doc._openid == auth.openid` is false: doc._openid is null, auth.openid is missing
            doc._openid in [auth.openid, auth.uid] | {} -> `doc._openid in [auth.openid, auth.uid]` is false: doc._openid is missing, auth.openid is missing, auth.uid is missing
            auth.openid in doc.editors | {"editors":[null]} -> `auth.openid in doc.editors` is false: auth.openid is missing, doc.editors is [null]
            auth.openid == auth.uid | {} -> `auth.openid == auth.uid` is false: auth.openid is missing, auth.uid is missing
            request.data._openid == auth.openid | {} | {} -> `request.data._openid == auth.openid` is false: request.data._openid is missing, auth.openid is missing
            doc._openid != auth.openid | {} -> allowed
        "#]],
    );
}

#[test]
fn queries_that_are_a_subset_of_the_rule() {
    check_admissions(
        r#"
        true | {}
        auth != null | {}
        doc._openid == auth.openid | {}
        doc._openid == auth.openid | {"_openid":"{openid}"}
        doc._openid == auth.openid | {"_openid":{"$eq":"{openid}"},"a":1}
        doc._openid == auth.openid | {"_openid":"o2"}
        doc._openid == auth.openid | {"_openid":{"$in":["{openid}","o2"]}}
        doc._openid == auth.openid | {"$and":[{"a":1},{"$and":[{"_openid":"{openid}"}]}]}
        doc._openid == auth.openid | {"$or":[{"_openid":"{openid}"},{"a":1}]}
        doc._openid == auth.openid | {"$or":[{"_openid":"{openid}","a":1},{"_openid":"{openid}"}]}
        doc._openid == auth.openid | {"_openid":{"$regex":"^o1$"}}
        doc._openid == auth.openid | {"_openid":{"$ne":"o2"}}
        doc.published == true || doc.author == auth.openid | {"published":true}
        doc.published == true || doc.author == auth.openid | {"author":"{openid}"}
        doc.published == true || doc.author == auth.openid | {"$or":[{"published":true},{"author":"{openid}"}]}
        doc.published == true || doc.author == auth.openid | {"$or":[{"published":true},{"author":"o2"}]}
        doc.published || auth.uid == 'u1' | {}
        doc.a == 1 || doc.a == 2 | {"a":{"$in":[1,2]}}
        doc.a == 1 || doc.a == 2 | {"a":{"$in":[1,2,3]}}
        doc.a in [1, 2, 3] | {"a":{"$in":[3,1]}}
        doc.a in [1, 2, 3] && doc.b == 1 | {"a":{"$in":[3,1]}}
        doc.a in [1, 2] | {"a":{"$numberDouble":"2.0"}}
        doc.age >= 18 | {"age":{"$gte":18,"$lt":30}}
        doc.age >= 18 | {"age":{"$gt":17}}
        doc.age >= 18 | {"age":18}
        doc.age > 18 | {"age":{"$gte":18}}
        doc.age < 18 | {"age":{"$gt":1}}
        doc.age >= 18 | {"age":{"$gte":"18"}}
        !(doc.age < 18) | {"age":{"$gte":18}}
        !(doc.age < 18) | {"age":{"$not":{"$lt":20}}}
        doc.status != 'deleted' | {"status":"open"}
        doc.status != 'deleted' | {"status":{"$eq":"open","$ne":"deleted"}}
        doc.status != 'deleted' | {"status":{"$nin":["deleted","hidden"]}}
        doc.status != 'deleted' | {"$nor":[{"status":"deleted"}]}
        doc.status != 'deleted' | {"$nor":[{"status":"deleted","a":1}]}
        !doc.deleted | {"deleted":{"$ne":true}}
        !doc.deleted | {"deleted":{"$exists":false}}
        doc.deleted == null | {"deleted":null}
        doc.deleted == null | {"deleted":{"$exists":false}}
        doc.a.deleted == null | {"a.deleted":{"$exists":false}}
        doc.deleted != null | {"deleted":{"$exists":true}}
        doc.deleted != null | {"deleted":{"$ne":null}}
        auth.openid in doc.members | {"members":"{openid}"}
        auth.openid in doc.members | {"members":{"$all":["o7","{openid}"]}}
        auth.openid in doc.members | {"members":{"$elemMatch":{"$eq":"{openid}","$ne":"x"}}}
        auth.openid in doc.members | {"members":{"$elemMatch":{"id":"{openid}"}}}
        doc.a.b == 1 | {"a.b":1}
        doc.a.b == 1 | {"a":{"b":1,"c":2}}
        doc.a.b == 1 | {"a":{"b":2}}
        doc.a.b != 1 | {"a":{"b":2}}
        doc.a == doc.b | {"a":1,"b":1}
        get('database.shops.s1').owner == auth.openid | {}
        get('database.shops.s2').owner == auth.openid | {}
        doc.who in get('database.shops.s1').staff | {"who":"o3"}
        get(`database.shops.${doc.shop}`).owner == auth.openid | {}
        get(`database.shops.${doc.shop}`).owner == auth.openid | {"shop":"s1"}
        get(`database.shops.${doc.shop}`).owner == auth.openid | {"shop":{"$in":["s1"]}}
        get(`database.shops.${doc.shop}`).owner == auth.openid | {"shop":"s2"}
        get(`database.shops.${doc.shop}`).owner == auth.openid | {"shop":{"$in":["s1","s2"]}}
        get(`database.shops.${doc.shop}`).owner != auth.openid | {"shop":"s2"}
        get(`database.shops.${doc.shop}`).owner != auth.openid | {"shop":["s1"]}
        doc._openid == auth.openid | {"a":{"$in":[]}}
        get(`database.shops.${doc.shop}`).owner == doc.owner | {"shop":"s2","owner":"o2"}
        get(`database.shops.${doc.shop}`).owner == auth.openid || doc.open | {"open":true}
        "#,
        &expect![[r#"
            true | {} -> admitted
            auth != null | {} -> admitted
            doc._openid == auth.openid | {} -> not implied: doc._openid == auth.openid
            doc._openid == auth.openid | {"_openid":"{openid}"} -> admitted
            doc._openid == auth.openid | {"_openid":{"$eq":"{openid}"},"a":1} -> admitted
            doc._openid == auth.openid | {"_openid":"o2"} -> not implied: doc._openid == auth.openid
            doc._openid == auth.openid | {"_openid":{"$in":["{openid}","o2"]}} -> not implied: doc._openid == auth.openid
            doc._openid == auth.openid | {"$and":[{"a":1},{"$and":[{"_openid":"{openid}"}]}]} -> admitted
            doc._openid == auth.openid | {"$or":[{"_openid":"{openid}"},{"a":1}]} -> not implied: doc._openid == auth.openid
            doc._openid == auth.openid | {"$or":[{"_openid":"{openid}","a":1},{"_openid":"{openid}"}]} -> admitted
            doc._openid == auth.openid | {"_openid":{"$regex":"^o1$"}} -> not implied: doc._openid == auth.openid
            doc._openid == auth.openid | {"_openid":{"$ne":"o2"}} -> not implied: doc._openid == auth.openid
            doc.published == true || doc.author == auth.openid | {"published":true} -> admitted
            doc.published == true || doc.author == auth.openid | {"author":"{openid}"} -> admitted
            doc.published == true || doc.author == auth.openid | {"$or":[{"published":true},{"author":"{openid}"}]} -> admitted
            doc.published == true || doc.author == auth.openid | {"$or":[{"published":true},{"author":"o2"}]} -> not implied: doc.published == true || doc.author == auth.openid
            doc.published || auth.uid == 'u1' | {} -> admitted
            doc.a == 1 || doc.a == 2 | {"a":{"$in":[1,2]}} -> admitted
            doc.a == 1 || doc.a == 2 | {"a":{"$in":[1,2,3]}} -> not implied: doc.a == 1 || doc.a == 2
            doc.a in [1, 2, 3] | {"a":{"$in":[3,1]}} -> admitted
            doc.a in [1, 2, 3] && doc.b == 1 | {"a":{"$in":[3,1]}} -> not implied: doc.b == 1
            doc.a in [1, 2] | {"a":{"$numberDouble":"2.0"}} -> admitted
            doc.age >= 18 | {"age":{"$gte":18,"$lt":30}} -> admitted
            doc.age >= 18 | {"age":{"$gt":17}} -> not implied: doc.age >= 18
            doc.age >= 18 | {"age":18} -> admitted
            doc.age > 18 | {"age":{"$gte":18}} -> not implied: doc.age > 18
            doc.age < 18 | {"age":{"$gt":1}} -> not implied: doc.age < 18
            doc.age >= 18 | {"age":{"$gte":"18"}} -> not implied: doc.age >= 18
            !(doc.age < 18) | {"age":{"$gte":18}} -> not implied: !(doc.age < 18)
            !(doc.age < 18) | {"age":{"$not":{"$lt":20}}} -> admitted
            doc.status != 'deleted' | {"status":"open"} -> not implied: doc.status != 'deleted'
            doc.status != 'deleted' | {"status":{"$eq":"open","$ne":"deleted"}} -> admitted
            doc.status != 'deleted' | {"status":{"$nin":["deleted","hidden"]}} -> admitted
            doc.status != 'deleted' | {"$nor":[{"status":"deleted"}]} -> admitted
            doc.status != 'deleted' | {"$nor":[{"status":"deleted","a":1}]} -> not implied: doc.status != 'deleted'
            !doc.deleted | {"deleted":{"$ne":true}} -> admitted
            !doc.deleted | {"deleted":{"$exists":false}} -> admitted
            doc.deleted == null | {"deleted":null} -> admitted
            doc.deleted == null | {"deleted":{"$exists":false}} -> admitted
            doc.a.deleted == null | {"a.deleted":{"$exists":false}} -> not implied: doc.a.deleted == null
            doc.deleted != null | {"deleted":{"$exists":true}} -> not implied: doc.deleted != null
            doc.deleted != null | {"deleted":{"$ne":null}} -> admitted
            auth.openid in doc.members | {"members":"{openid}"} -> admitted
            auth.openid in doc.members | {"members":{"$all":["o7","{openid}"]}} -> admitted
            auth.openid in doc.members | {"members":{"$elemMatch":{"$eq":"{openid}","$ne":"x"}}} -> admitted
            auth.openid in doc.members | {"members":{"$elemMatch":{"id":"{openid}"}}} -> not implied: auth.openid in doc.members
            doc.a.b == 1 | {"a.b":1} -> admitted
            doc.a.b == 1 | {"a":{"b":1,"c":2}} -> admitted
            doc.a.b == 1 | {"a":{"b":2}} -> not implied: doc.a.b == 1
            doc.a.b != 1 | {"a":{"b":2}} -> not implied: doc.a.b != 1
            doc.a == doc.b | {"a":1,"b":1} -> not implied: doc.a == doc.b
            get('database.shops.s1').owner == auth.openid | {} -> admitted
            get('database.shops.s2').owner == auth.openid | {} -> not implied: get('database.shops.s2').owner == auth.openid
            doc.who in get('database.shops.s1').staff | {"who":"o3"} -> admitted
            get(`database.shops.${doc.shop}`).owner == auth.openid | {} -> not implied: get(`database.shops.${doc.shop}`).owner == auth.openid
            get(`database.shops.${doc.shop}`).owner == auth.openid | {"shop":"s1"} -> admitted
            get(`database.shops.${doc.shop}`).owner == auth.openid | {"shop":{"$in":["s1"]}} -> admitted
            get(`database.shops.${doc.shop}`).owner == auth.openid | {"shop":"s2"} -> not implied: get(`database.shops.${doc.shop}`).owner == auth.openid
            get(`database.shops.${doc.shop}`).owner == auth.openid | {"shop":{"$in":["s1","s2"]}} -> not implied: get(`database.shops.${doc.shop}`).owner == auth.openid
            get(`database.shops.${doc.shop}`).owner != auth.openid | {"shop":"s2"} -> admitted
            get(`database.shops.${doc.shop}`).owner != auth.openid | {"shop":["s1"]} -> not implied: get(`database.shops.${doc.shop}`).owner != auth.openid
            doc._openid == auth.openid | {"a":{"$in":[]}} -> admitted
            get(`database.shops.${doc.shop}`).owner == doc.owner | {"shop":"s2","owner":"o2"} -> admitted
            get(`database.shops.${doc.shop}`).owner == auth.openid || doc.open | {"open":true} -> admitted
        "#]],
    );
}

#[test]
fn a_proof_ends() {
    let branch = |n: usize| format!(r#"{{"$or":[{{"a{n}":1}},{{"b{n}":1}},{{"c{n}":1}}]}}"#);
    let branches: Vec<_> = (0..60).map(branch).collect();
    let query = doc(&format!(r#"{{"$and":[{}]}}"#, branches.join(",")));
    let caller = caller();
    let rule = rule("doc.x == 1 || (doc.y == 2 && (doc.z == 3 || doc.w == 4))");
    match rule.admits(&query, &facts(&caller, None), &Fetched::default()) {
        Admission::Refused(why) => {
            expect!["rule read: deciding `doc.x == 1 || (doc.y == 2 && (doc.z == 3 || doc.w == 4))` would take too long"].assert_eq(&why.to_string());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_caller_takes_its_place_in_values_only() {
    let shown = |caller: &Caller| {
        let mut query =
            doc(r#"{"_openid":"{openid}","{openid}":{"$in":["{uid}","a{openid}",["{openid}"]]}}"#);
        substitute(&mut query, caller).unwrap();
        text(&query)
    };
    assert_eq!(
        shown(&caller()),
        r#"{"_openid":"o1","{openid}":{"$in":["u1","a{openid}",["o1"]]}}"#
    );
    let page = Caller { openid: None, ..caller() };
    assert_eq!(shown(&page), r#"{"_openid":"u1","{openid}":{"$in":["u1","a{openid}",["u1"]]}}"#);
    assert_eq!(
        shown(&Caller::default()),
        r#"{"_openid":"{openid}","{openid}":{"$in":["{uid}","a{openid}",["{openid}"]]}}"#
    );
    let many = vec![r#""{uid}""#; 1001].join(",");
    let error = substitute(&mut doc(&format!(r#"{{"a":[{many}]}}"#)), &caller()).unwrap_err();
    assert_eq!(error.to_string(), "query names the caller in over 1000 places");
}

#[test]
fn what_a_client_is_told_holds_no_value() {
    let caller = caller();
    let rule = rule("auth != null && doc._openid == auth.openid");
    let document = doc(r#"{"_openid":"o2"}"#);
    let Decision::Denied(why) =
        rule.decide(&facts(&caller, None), Some(&document), &Fetched::default())
    else {
        panic!("allowed");
    };
    assert_eq!(why.to_string(), "rule read: `doc._openid == auth.openid` is false");
    assert_eq!(
        why.for_tester(),
        r#"rule read: `doc._openid == auth.openid` is false: doc._openid is "o2", auth.openid is "o1""#
    );
    assert_eq!((why.rule(), why.clause()), ("read", "doc._openid == auth.openid"));
}

#[test]
fn explanations_show_each_clause() {
    let caller = caller();
    let facts = facts(&caller, None);
    let rule = rule(
        "auth != null && (doc.open || get(`database.shops.${doc.shop}`).owner == auth.openid) && !(doc.tags == 'x')",
    );
    let document = doc(r#"{"shop":"s2","tags":["x",1,2,3,4,5],"open":{"a":1}}"#);
    let mut fetched = Fetched::default();
    let mut shown = rule.explain(&facts, Some(&document), &fetched).to_string();
    fetch(&mut fetched, Get { collection: "shops".to_owned(), id: "s2".into() });
    shown += &rule.explain(&facts, Some(&document), &fetched).to_string();
    shown += &rule.explain_query(&doc("{}"), &facts, &fetched).to_string();
    let query = doc(r#"{"open":true,"tags":"x"}"#);
    shown += &rule.explain_query(&query, &facts, &fetched).to_string();
    expect![[r#"
        undecided, a document of collection shops is needed
          true     auth != null
          false    doc.open  (doc.open is {…})
          unknown  get(`database.shops.${doc.shop}`).owner == auth.openid  (get(`database.shops.${doc.shop}`).owner is not fetched, auth.openid is "o1")
          true     (doc.tags == 'x')  (doc.tags is ["x", 1, 2, 3, …])
        denied, rule read: `(doc.open || get(`database.shops.${doc.shop}`).owner == auth.openid)` is false: doc.open is {…}, get(`database.shops.${doc.shop}`).owner is "o2", auth.openid is "o1"
          true     auth != null
          false    doc.open  (doc.open is {…})
          false    get(`database.shops.${doc.shop}`).owner == auth.openid  (get(`database.shops.${doc.shop}`).owner is "o2", auth.openid is "o1")
          true     (doc.tags == 'x')  (doc.tags is ["x", 1, 2, 3, …])
        refused, rule read: the conditions of the query do not imply `(doc.open || get(`database.shops.${doc.shop}`).owner == auth.openid)`: get(`database.shops.${doc.shop}`).owner is open, as the query gives its argument not one value, auth.openid is "o1"
          implied  auth != null
          open     doc.open
          open     get(`database.shops.${doc.shop}`).owner == auth.openid  (get(`database.shops.${doc.shop}`).owner is open, as the query gives its argument not one value, auth.openid is "o1")
          open     (doc.tags == 'x')
        refused, rule read: the conditions of the query do not imply `!(doc.tags == 'x')`
          implied  auth != null
          implied  doc.open
          open     get(`database.shops.${doc.shop}`).owner == auth.openid  (get(`database.shops.${doc.shop}`).owner is open, as the query gives its argument not one value, auth.openid is "o1")
          implied  (doc.tags == 'x')
    "#]].assert_eq(&shown);
}

#[test]
fn rules_say_what_they_use() {
    let uses = |source: &str| {
        let rule = rule(source);
        [rule.uses_doc(), rule.uses_data(), rule.uses_get()]
    };
    assert_eq!(uses("auth != null"), [false, false, false]);
    assert_eq!(uses("doc.a == request.data.b"), [true, true, false]);
    assert_eq!(uses("get(`database.a.${doc.b}`).c"), [true, false, true]);
}
