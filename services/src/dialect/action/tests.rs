//! The table of actions: who may call what from inside, and what a signature may say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use yunzhan_base::env::Env;
use yunzhan_base::{Context, Kind, Principal, RequestId};

use super::spec::{ActionNames, ActionSpec, COMMON};
use super::{Actions, DialectName};
use crate::dialect::documents;
use crate::dialect::testing::{actions, listed};
use crate::documents::testing::{World, on_every_engine, server, user};
use crate::documents::{Config, Preset};
use crate::identity::canonical_name;

fn context(env: &str, principal: Principal) -> Context {
    let env = Env { development_login: true, ..Env::new(env.parse().unwrap()) };
    let timeout = Duration::from_secs(5);
    Context { principal, ..Context::internal(RequestId::NONE, Some(Arc::new(env)), timeout) }
}

/// What an action from inside came to.
async fn called(actions: &Actions, context: &Context, action: &str, members: &str) -> String {
    match actions.call(context, action, members.as_bytes()).await {
        Ok(answer) => answer.replace(&"0".repeat(32), "<id>"),
        Err(error) => format!("{:?}: {error}", error.kind()),
    }
}

async fn notes(world: World) -> (World, Arc<Actions>) {
    let world = world.with_collections(&[("notes", Preset::Private)]).await;
    let actions = actions(&world.documents);
    (world, actions)
}

#[test]
fn an_action_is_called_from_inside_under_the_checks_of_its_caller() {
    on_every_engine(&Config::default(), async |world| {
        let (_world, actions) = notes(world).await;
        let [team, anna, bert] =
            [server(), user("anna"), user("bert")].map(|principal| context("demo", principal));
        let check = async |context: &Context, action: &str, members: &str, expected: &str| {
            let came = called(&actions, context, action, members).await;
            assert_eq!(came, expected, "{action}");
        };
        let add = r#"{"collectionName":"notes","data":{"_id":"a","n":1}}"#;
        let find = r#"{"collectionName":"notes","query":{"_id":"a"}}"#;
        check(
            &anna,
            "database.addDocument",
            add,
            r#"{"requestId":"<id>","data":{"_id":"a","insertedIds":["a"]}}"#,
        )
        .await;
        let count = |total: u8| format!(r#"{{"requestId":"<id>","data":{{"total":{total}}}}}"#);
        check(&anna, "database.countDocument", find, &count(1)).await;
        // Another's document is none of his, and a server sees all.
        check(&bert, "database.countDocument", find, &count(0)).await;
        check(&team, "database.calculateDocument", find, &count(1)).await;
        let unknown = "InvalidParameter: action names nothing that this dialect knows";
        check(&bert, "database.calculateDocument", find, unknown).await;
        let not_offered = "NotImplemented: functions.invokeFunction is not offered by this server";
        check(&team, "functions.invokeFunction", "{}", not_offered).await;
        let nobody = context("demo", Principal::Nobody);
        let unnamed =
            "Unauthenticated: database.countDocument is called on nobody's behalf; name a caller";
        check(&nobody, "database.countDocument", find, unnamed).await;
        let astray = context("other", user("anna"));
        let elsewhere = "EnvNotFound: the caller is not of environment other";
        check(&astray, "database.countDocument", find, elsewhere).await;
        let late = Context { deadline: Instant::now(), ..anna };
        let came = actions.call(&late, "database.countDocument", find.as_bytes()).await;
        assert!(came.is_ok() || came.is_err_and(|error| error.kind() == Kind::Timeout));
    });
}

/// Every spelling of a member but its own is refused by the signature's reader, whichever action it is of.
#[test]
fn the_names_of_a_signature_are_those_of_the_table() {
    let names = ActionNames::of(&[&documents::SERVICE]);
    let mut spelt: BTreeMap<String, &str> = BTreeMap::new();
    let all = listed(DialectName::Admin);
    for member in all.iter().flat_map(|action| action.spec.members).chain(COMMON) {
        let signed = canonical_name(member);
        assert_eq!(names.spelling(&signed), Some(*member), "{member}");
        let known = *spelt.entry(signed).or_insert(member);
        assert_eq!(known, *member, "two members that a signature cannot tell apart");
    }
    assert_eq!(names.spelling("nobody-reads-this"), None);
}

#[test]
fn a_service_takes_the_place_of_what_was_not_offered() {
    for dialect in DialectName::ALL {
        let known = ActionSpec::all(&[], dialect);
        assert!(known.iter().all(|action| !action.is_offered));
        let mut names: Vec<_> = listed(dialect).iter().map(|action| action.spec.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count, "an action is listed twice");
    }
    let is_offered = |dialect, name| {
        listed(dialect).iter().any(|action| action.spec.name == name && action.is_offered)
    };
    assert!(is_offered(DialectName::Web, "database.getInTransaction"));
    assert!(!is_offered(DialectName::Admin, "database.getInTransaction"));
}
