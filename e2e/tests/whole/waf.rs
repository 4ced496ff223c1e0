//! Rules against attacks in front of everything: what is refused and how, what passes and is told, and what bounds do.
//!
//! The rules are the tests' own, few and plain: what rule sets find is not the matter here.

mod operations;
mod scene;
mod unconfigured;

use hyper::Method;
use serde_json::json;
use yunzhan_e2e::http::encode;
use yunzhan_e2e::people::{Find, documents_of};
use yunzhan_e2e::server::run;
use yunzhan_e2e::{Answer, Options, Person};

use self::scene::{ATTACK, ENV, LEAK, NOTES, RULES, Scene, WITHOUT_END};

/// Refused as the dialect of the route says it, and by the id of the request.
fn is_refused(what: &str, answer: &Answer, expected: &str) {
    assert_eq!(
        format!("{} {}", answer.status.as_u16(), answer.code()),
        expected,
        "{what}: {answer:?}"
    );
    let body = answer.json();
    let id = body["requestId"].as_str().or(body["request_id"].as_str()).unwrap();
    assert_eq!(id, answer.header("x-request-id"), "{what}");
    // An id may hold any digits.
    let told = answer.text().replace(id, "");
    assert!(!told.contains("100"), "{what} tells no rule: {answer:?}");
}

#[tokio::test]
async fn an_attack_is_refused_in_the_dialect_of_its_route() {
    let scene = Scene::set("block", RULES).await;
    let http = scene.server.http();
    let attack = json!({ "text": ATTACK });

    let answer = scene.alice.inserting(NOTES, std::slice::from_ref(&attack)).send().await;
    is_refused("gateway", &answer, "403 DATABASE_PERMISSION_DENIED");
    let body = json!({ "collectionName": NOTES, "data": [attack.to_string()] });
    let answer = scene.shop.key.admin(&http, ENV, "database.insertDocument", &body).await;
    is_refused("admin", &answer, "200 DATABASE_PERMISSION_DENIED");
    let body = json!({
        "action": "database.addDocument", "collectionName": NOTES, "data": attack,
        "access_token": scene.alice.access_token,
    });
    let answer = http.post(format!("/web?env={ENV}"), &body).send().await;
    is_refused("web", &answer, "200 DATABASE_PERMISSION_DENIED");
    let login = json!({ "provider_id": ATTACK, "provider_code": "x" });
    let answer = http.post(format!("/auth/v1/provider/token?client_id={ENV}"), &login).send().await;
    is_refused("sign-in", &answer, "403 permission_denied");
    let answer = http.get(format!("/?q={}", encode(ATTACK))).send().await;
    is_refused("plain", &answer, "403 DATABASE_PERMISSION_DENIED");

    assert_eq!(scene.alice.count(NOTES, &json!({})).await, 0, "nothing of it was stored");
    scene.alice.insert(NOTES, json!({ "text": "harmless" })).await;
}

#[tokio::test]
async fn observing_lets_an_attack_pass_and_tells() {
    let mut scene = Scene::set("observe", RULES).await;
    let answer = scene.alice.inserting(NOTES, &[json!({ "text": ATTACK })]).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(scene.alice.count(NOTES, &json!({})).await, 1);
    let metrics = scene.metrics().await;
    let counted = "yunzhan_attacks_total{kind=\"sql_injection\",refused=\"false\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    let lines = scene.attacks_logged().await;
    let [line] = lines.as_slice() else { panic!("one line was expected: {lines:?}") };
    assert_eq!(line["request_id"], answer.header("x-request-id"));
    assert_eq!((&line["attack"], &line["refused"]), (&json!("sql_injection"), &json!(false)));
}

#[tokio::test]
async fn the_log_tells_where_an_attack_was_and_masks_what_was_written() {
    let mut scene = Scene::set("block", RULES).await;
    let text = format!("Wangxiaoming's card 6222020200112233 {ATTACK}");
    let answer = scene.alice.inserting(NOTES, &[json!({ "text": text })]).send().await;
    assert_eq!(answer.status, 403, "{answer:?}");
    let metrics = scene.metrics().await;
    let counted = "yunzhan_attacks_total{kind=\"sql_injection\",refused=\"true\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
    let lines = scene.attacks_logged().await;
    let [line] = lines.as_slice() else { panic!("one line was expected: {lines:?}") };
    assert_eq!(line["route"], "gateway.insert");
    assert_eq!(line["refused"], true);
    let matched = &line["matches"][0];
    assert_eq!((&matched["rule"], &matched["message"]), (&json!(100), &json!("it unites selects")));
    assert!(matched["variable"].as_str().unwrap().ends_with(".text"), "{line}");
    let whole = line.to_string();
    for secret in ["Wangxiaoming", "6222020200112233"] {
        assert!(!whole.contains(secret), "{line}");
    }
    assert_ne!(matched["value"], "", "the form is told: {line}");
}

#[tokio::test]
async fn a_body_beyond_the_bound_of_rules_is_too_large() {
    let bounded = format!("{RULES}\nSecRequestBodyLimit 10000\n");
    let scene = Scene::set("block", &bounded).await;
    scene.alice.insert(NOTES, json!({ "text": "x".repeat(9000) })).await;
    let answer =
        scene.alice.inserting(NOTES, &[json!({ "text": "x".repeat(10_001) })]).send().await;
    is_refused("a large body", &answer, "413 INVALID_PARAM");
    assert_eq!(scene.alice.count(NOTES, &json!({})).await, 1);
}

/// 128 KB in 200 fields, with this text in the last one.
fn large(last: &str) -> serde_json::Value {
    let field = |at: usize| (format!("field{at}"), json!("字".repeat(213)));
    let mut document: serde_json::Map<_, _> = (0..199).map(field).collect();
    document.insert("last".into(), last.into());
    document.into()
}

#[tokio::test]
async fn a_large_body_is_judged_to_its_end() {
    let scene = Scene::set("block", RULES).await;
    let answer = scene.alice.inserting(NOTES, &[large(ATTACK)]).send().await;
    is_refused("the last of 200 fields", &answer, "403 DATABASE_PERMISSION_DENIED");
    scene.alice.insert(NOTES, large("harmless")).await;
}

#[tokio::test]
async fn an_answer_that_tells_too_much_does_not_leave() {
    let scene = Scene::set("block", RULES).await;
    scene.alice.insert(NOTES, json!({ "text": "harmless" })).await;
    assert_eq!(scene.alice.find(NOTES, &Find::every()).await.len(), 1);
    scene.alice.insert(NOTES, json!({ "text": LEAK })).await;
    let answer = scene.alice.finding(NOTES, &Find::every()).send().await;
    is_refused("a leak", &answer, "403 DATABASE_PERMISSION_DENIED");
    assert!(!answer.text().contains(LEAK), "{answer:?}");
}

#[tokio::test]
async fn rules_that_reach_their_bound_refuse_or_pass_as_configured() {
    for (beyond, status) in [("refuse", 403), ("pass", 200)] {
        let options =
            Options::default().with("waf.work_bytes_max", "1MiB").with("waf.beyond_bounds", beyond);
        let mut scene = Scene::set_with(options, "block", WITHOUT_END).await;
        scene.alice.insert(NOTES, json!({ "text": "short" })).await;
        let answer = scene.alice.inserting(NOTES, &[large("harmless")]).send().await;
        assert_eq!(answer.status, status, "{beyond}: {answer:?}");
        let lines = scene.attacks_logged().await;
        let [line] = lines.as_slice() else { panic!("one line was expected: {lines:?}") };
        assert_eq!(line["exhausted"], true, "{line}");
        assert_eq!(line["refused"], status == 403, "{line}");
    }
}

#[tokio::test]
async fn rules_do_not_run_where_they_are_excluded() {
    let scene = Scene::set("block", RULES).await;
    let ask = async |path: &str| {
        let answer = scene.server.http().get(format!("{path}?q={}", encode(ATTACK))).send().await;
        answer.status.as_u16()
    };
    assert_eq!((ask("/quiet/a").await, ask("/quiet").await), (403, 403));
    let exclude = "[[waf.exclude]]\npath = \"/quiet/*\"\nrules = [\"99-100\"]\n";
    scene.reload(exclude, "config_reloaded").await;
    assert_eq!((ask("/quiet/a").await, ask("/quiet").await), (404, 403));
    let others = "[[waf.exclude]]\npath = \"/quiet\"\nrules = [\"101\"]\n";
    scene.reload(others, "config_reloaded").await;
    assert_eq!((ask("/quiet/a").await, ask("/quiet").await), (403, 403));
}

#[tokio::test]
async fn broken_rules_name_file_and_line_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules.conf");
    std::fs::write(&rules, "SecRequestBodyAccess On\nSecRul ARGS x\n").unwrap();
    let options =
        Options::default().with("waf.mode", "block").with("waf.rules", rules.display().to_string());
    let output = run(folder.path(), &options, &["serve"]).await;
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stderr.contains("rules.conf:2"), "it names file and line: {output:?}");
    let output = run(folder.path(), &options, &["check"]).await;
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stdout.contains("rules.conf:2"), "{output:?}");

    let scene = Scene::set("block", RULES).await;
    std::fs::write(scene.rules_file(), format!("{RULES}\nSecRule ARGS \"@rx (\" \"id:7\"\n"))
        .unwrap();
    let told = scene.reload("", "config_refused").await;
    assert!(told.contains("rules.conf:") && told.contains("rule 7"), "{told}");
    let attacked = documents_of(NOTES);
    let answer =
        scene.alice.request(Method::POST, attacked).json(&json!({ "data": [{ "a": ATTACK }] }));
    assert_eq!(answer.send().await.status, 403, "the rules before guard on");
}

/// A person who attempts something.
async fn attempt(person: &Person, text: &str) {
    let answer = person.inserting(NOTES, &[json!({ "text": text })]).send().await;
    assert_eq!(answer.status, 403, "{answer:?}");
}
