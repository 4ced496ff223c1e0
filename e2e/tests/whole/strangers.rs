//! What a stranger is answered, on every route and every action: one row each, in [`table`].
//!
//! The routes come from the server's own lists, so that a new one without a row fails, and a row without a route too.

mod scene;
mod table;
mod web;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use yunzhan_base::{Access, Clock};
use yunzhan_e2e::people::Find;
use yunzhan_e2e::{Answer, Http};
use yunzhan_services::dialect::action::spec::DialectName;

use self::scene::{ENV, NOTES, Scene};
use self::table::{ACTIONS, Action, ROUTES, Row, Strangers};

#[test]
fn every_route_and_every_action_has_one_row() {
    let offered = yunzhan_server::routes().map(|spec| spec.name);
    each_has_one("route", offered, ROUTES.iter().map(|row| row.route));
    let offered = listed(DialectName::Admin);
    each_has_one("action", offered, ACTIONS.iter().map(|row| row.name));
    let offered = listed(DialectName::Web);
    each_has_one("web action", offered, web::ACTIONS.iter().map(|row| row.name));
}

fn listed(dialect: DialectName) -> impl Iterator<Item = &'static str> {
    yunzhan_server::actions(dialect).into_iter().map(|action| action.spec.name)
}

fn each_has_one<'n>(
    what: &str,
    offered: impl Iterator<Item = &'n str>,
    rows: impl Iterator<Item = &'n str>,
) {
    let offered: BTreeSet<&str> = offered.collect();
    let mut named = BTreeSet::new();
    for row in rows {
        assert!(offered.contains(row), "there is no {what} {row}; remove its row from the table");
        assert!(named.insert(row), "the {what} {row} has two rows");
    }
    let without: Vec<_> = offered.difference(&named).collect();
    assert!(
        without.is_empty(),
        "say in the table what strangers of these are answered: {without:?}"
    );
}

#[test]
fn every_row_asks_its_own_route() {
    for row in ROUTES {
        // What is not offered has one name for several paths and methods.
        let fits_row = |spec: &&yunzhan_base::RouteSpec| {
            spec.method.as_str() == row.method && fits(spec.path, row.target)
        };
        let own = yunzhan_server::routes().filter(|spec| spec.name == row.route);
        assert!(own.into_iter().any(|spec| fits_row(&spec)), "{}: {}", row.route, row.target);
    }
}

/// Whether a target is of this pattern of segments.
fn fits(pattern: &str, target: &str) -> bool {
    let path = target.split('?').next().unwrap();
    let (pattern, path): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), path.split('/').collect());
    let fits = |(pattern, segment): (&&str, &&str)| pattern.starts_with('{') || pattern == segment;
    let takes_rest = pattern.last().is_some_and(|last| last.starts_with("{*"));
    let is_as_long = pattern.len() == path.len() || takes_rest && pattern.len() < path.len();
    is_as_long && pattern.iter().zip(&path).all(fits)
}

#[tokio::test]
async fn every_stranger_is_answered_as_documented() {
    let scene = Scene::set().await;
    let mut wrong = Vec::new();
    for row in ROUTES {
        let answers = strangers(&scene, row).await;
        if answers != row.strangers {
            wrong.push(format!(
                "{}\n  answered {answers:?}\n  expected {:?}",
                row.route, row.strangers
            ));
        }
        let other = ask(&scene, row, Some(&scene.another_person().await)).await;
        if text(&other) != row.another {
            wrong.push(format!("{}\n  another person was answered {:?}", row.route, text(&other)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    scene.is_untouched().await;
}

/// What nobody, an expired, a forged and another environment's token are answered.
async fn strangers(scene: &Scene, row: &Row) -> Strangers<String> {
    let is_control = row.target.starts_with("/control/");
    let tokens = if is_control { &scene.operators } else { &scene.people };
    let verdict = async |token: Option<&str>| verdict(&ask(scene, row, token).await);
    Strangers {
        nobody: verdict(None).await,
        expired: verdict(Some(&tokens.expired)).await,
        forged: verdict(Some(&tokens.forged)).await,
        elsewhere: verdict(Some(&tokens.elsewhere)).await,
    }
}

async fn ask(scene: &Scene, row: &Row, token: Option<&str>) -> Answer {
    let http: Http = scene.door(row.target);
    let mut request = http.request(row.method.parse().unwrap(), row.target);
    let spec = yunzhan_server::routes().find(|spec| spec.name == row.route).unwrap();
    if spec.access == Access::UserInBody {
        return request.json(&web::carrying(row.body, token)).send().await;
    }
    if let Some(token) = token {
        request = request.bearer(token);
    }
    if !row.body.is_empty() {
        request = request.body("application/json", row.body);
    }
    request.send().await
}

/// The status, and the code of a refusal.
fn verdict(answer: &Answer) -> String {
    let is_json = answer.header("content-type").starts_with("application/json");
    let code = if is_json { answer.code() } else { String::new() };
    format!("{} {code}", answer.status.as_u16()).trim_end().to_owned()
}

/// The verdict; of what was not refused, the whole body, since it shows what the stranger gets to see.
fn text(answer: &Answer) -> String {
    let verdict = verdict(answer);
    if verdict != "200" {
        return verdict;
    }
    let secret = ["_token\"", "\"transactionId\"", "\"keys\"", "\"sub\"", "# EOF"];
    let mut body = answer.text();
    if let Some(id) = serde_json::from_str(&body).ok().and_then(|json| request_id(&json)) {
        body = body.replace(&id, "<id>");
    }
    let is_own = secret.iter().any(|name| body.contains(name));
    if is_own { verdict } else { format!("200 {body}") }
}

/// The name of the request, which is another every time.
fn request_id(answer: &Value) -> Option<String> {
    Some(answer.get("requestId")?.as_str()?.to_owned())
}

#[tokio::test]
async fn every_action_is_for_keys_of_its_environment() {
    let scene = Scene::set().await;
    let mut wrong = Vec::new();
    for action in ACTIONS {
        let answered = callers(&scene, action).await;
        if answered != expected(action) {
            let expected = expected(action);
            wrong
                .push(format!("{}\n  answered {answered:?}\n  expected {expected:?}", action.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    scene.is_untouched().await;
}

/// By whom an action was called, and what came of it: strangers by token, strangers by signature, and whom it is for.
async fn callers(scene: &Scene, action: &Action) -> Vec<(&'static str, String)> {
    let (http, now_s) = (scene.server.http(), Clock::System.now_s());
    let mut body: Value = serde_json::from_str(action.body).unwrap();
    let (own, other) = (&scene.shop.key, &scene.elsewhere.key);
    let forged = yunzhan_e2e::Key { secret: other.secret.clone(), ..own.clone() };
    let mut verdicts = Vec::new();
    for (who, key, env, at_s) in [
        ("old signature", own, ENV, now_s - 3600),
        ("future signature", own, ENV, now_s + 3600),
        ("forged signature", &forged, ENV, now_s),
        ("another's key", other, ENV, now_s),
        ("own key elsewhere", own, scene.elsewhere.id.as_str(), now_s),
    ] {
        verdicts.push((who, verdict(&key.admin_at(&http, env, action.name, &body, at_s).await)));
    }
    body["action"] = action.name.into();
    let person = scene.another_person().await;
    for (who, token) in [
        ("nobody", None),
        ("a person", Some(person.as_str())),
        ("forged access key", Some(scene.forged_access_key.as_str())),
        ("another's access key", Some(scene.elsewhere.access_key.as_str())),
    ] {
        let request = http.post(format!("/admin?env={ENV}"), &body);
        let request = if let Some(token) = token { request.bearer(token) } else { request };
        verdicts.push((who, verdict(&request.send().await)));
    }
    let offered = own
        .admin(&http, ENV, "database.calculateDocument", &json!({ "collectionName": NOTES }))
        .await;
    assert_eq!(offered.value()["data"]["total"], 1, "the key itself is good");
    verdicts
}

fn expected(_: &Action) -> Vec<(&'static str, String)> {
    table::OF_ACTIONS.iter().map(|(who, verdict)| (*who, (*verdict).to_owned())).collect()
}

#[tokio::test]
async fn an_action_that_is_not_offered_says_so() {
    let scene = Scene::set().await;
    let http = scene.server.http();
    let offered = yunzhan_server::actions(DialectName::Admin);
    for action in ACTIONS {
        let body = serde_json::from_str(action.body).unwrap();
        let answer = scene.shop.key.admin(&http, ENV, action.name, &body).await;
        let offered = offered.iter().find(|offered| offered.spec.name == action.name).unwrap();
        // What is offered answers, if only that there is no such transaction.
        let is_refused = verdict(&answer) == "200 NOT_IMPLEMENTED";
        assert_eq!(is_refused, !offered.is_offered, "{}: {answer:?}", action.name);
    }
    let unknown = scene.shop.key.admin(&http, ENV, "database.dropEverything", &json!({})).await;
    assert_eq!(verdict(&unknown), "200 INVALID_PARAM");
}

#[tokio::test]
async fn the_first_refusal_says_nothing_of_what_is_there() {
    let scene = Scene::set().await;
    let http = scene.server.http();
    let ask = async |target: &str| {
        let answer = http.get(target.to_owned()).send().await;
        (answer.status, answer.json()["message"].take())
    };
    let there = ask(&yunzhan_e2e::people::documents_of(NOTES)).await;
    let absent = ask(&yunzhan_e2e::people::documents_of("absent")).await;
    assert_eq!(there, absent);
    let person = http.login_development(ENV, "carol").await;
    assert_eq!(person.find(NOTES, &Find::every()).await, [] as [Value; 0]);
}
