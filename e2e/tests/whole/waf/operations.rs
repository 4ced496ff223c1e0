//! What operators do with rules: import, switch, explain, look who attacks; and that no request falls between two sets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::Method;
use serde_json::{Value, json};
use yunzhan_e2e::Http;
use yunzhan_e2e::http::encode;
use yunzhan_e2e::shell::Output;

use super::attempt;
use super::scene::{ATTACK, NOTES, RULES, SCRIPT, Scene};

/// What a verb printed.
fn value(output: &Output) -> Value {
    assert_eq!(output.code, 0, "{output:?}");
    serde_json::from_str(&output.stdout).unwrap()
}

/// A release that leads every probe to a place.
fn leading(to: &str) -> String {
    format!(
        "SecComponentSignature \"probe/{to}\"\nSecRule REQUEST_HEADERS:X-Probe \"@streq 1\" \"id:1,phase:1,redirect:/{to}\"\n"
    )
}

#[tokio::test]
async fn a_release_is_imported_shown_and_left_again() {
    let mut scene = Scene::set_without_rules().await;
    let folder =
        scene.release("good", &[("main.conf", "Include more/*.conf"), ("more/a.conf", RULES)]);
    let imported = value(&scene.server.run(&["waf", "import", &folder]).await);
    assert_eq!(
        (&imported["mode"], &imported["set"], &imported["version"], &imported["rules"]),
        (&json!("block"), &json!("imported"), &json!(["tests/1.0"]), &json!(4))
    );
    let hash = imported["hash"].as_str().unwrap().to_owned();
    assert_eq!(hash.len(), 64);
    let attacked = async |scene: &Scene| {
        let answer = scene.server.http().get(format!("/?q={}", encode(ATTACK))).send().await;
        answer.status.as_u16()
    };
    assert_eq!(attacked(&scene).await, 403, "the running server took it over");

    std::fs::remove_dir_all(&folder).unwrap();
    scene.server.terminate().await;
    scene.server.restart().await;
    assert_eq!(attacked(&scene).await, 403, "it is kept in the data folder");

    let left = value(&scene.server.run(&["waf", "use", "starter"]).await);
    assert_eq!((&left["set"], &left["sets"][0]["hash"]), (&json!("starter"), &json!(hash)));
    let back = value(&scene.server.run(&["waf", "use", &hash[..12]]).await);
    assert_eq!((&back["set"], &back["hash"]), (&json!("imported"), &json!(hash)));
    assert_eq!(value(&scene.server.run(&["waf", "show"]).await), back);
    let unknown = scene.server.run(&["waf", "use", "00000000"]).await;
    assert_eq!(unknown.code, 1, "{unknown:?}");
}

#[tokio::test]
async fn a_release_with_mistakes_changes_nothing() {
    let scene = Scene::set_without_rules().await;
    let good = scene.release("good", &[("main.conf", RULES)]);
    let before = value(&scene.server.run(&["waf", "import", &good]).await);
    let files = [("main.conf", "Include a.conf\nSecRul x\n"), ("a.conf", "\nSecMarkr y\n")];
    let bad = scene.release("bad", &files);
    let refused = scene.server.run(&["waf", "import", &bad]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    for mistake in ["bad/main.conf:2", "bad/a.conf:2"] {
        assert!(refused.stderr.contains(mistake), "{mistake} is told: {refused:?}");
    }
    let nothing = scene.release("nothing", &[("README.md", "no rules")]);
    assert_eq!(scene.server.run(&["waf", "import", &nothing]).await.code, 1);
    assert_eq!(value(&scene.server.run(&["waf", "show"]).await), before);
}

#[tokio::test]
async fn a_core_rule_set_gets_its_base_and_the_operators_settings() {
    let scene = Scene::set_without_rules().await;
    let rule = |id: u32, level: u8| {
        format!(
            "SecRule TX:blocking_paranoia_level \"@lt {level}\" \"id:{id},phase:2,pass,nolog,skipAfter:END-{id}\"\nSecRule ARGS \"@contains x{level}\" \"id:{},phase:2,deny,t:none\"\nSecMarker \"END-{id}\"\n",
            id + 1
        )
    };
    let rules = [rule(10, 1), rule(20, 2)].concat();
    let set_up = "SecAction \"id:5,phase:1,pass,nolog,setvar:tx.blocking_paranoia_level=1\"\n";
    let folder =
        scene.release("crs", &[("crs-setup.conf.example", set_up), ("rules/a.conf", &rules)]);
    let imported = value(&scene.server.run(&["waf", "import", &folder]).await);
    assert_eq!(imported["paranoia"], 1);
    let note = async |text: &str| {
        let answer = scene.alice.inserting(NOTES, &[json!({ "text": text })]).send().await;
        answer.status.as_u16()
    };
    assert_eq!((note("x1").await, note("x2").await), (403, 200), "JSON is read, level 2 sleeps");
    scene.reload("[waf]\nparanoia = 2\n", "config_reloaded").await;
    assert_eq!((note("x1").await, note("x2").await), (403, 403));
    let settings = "SecAction \"id:6,phase:1,pass,nolog,setvar:tx.blocking_paranoia_level=1\"\n";
    std::fs::write(scene.server.data().waf_settings(), settings).unwrap();
    scene.reload("", "config_reloaded").await;
    assert_eq!((note("x1").await, note("x2").await), (403, 200), "the operator's file is read");
    std::fs::write(scene.server.data().waf_settings(), "SecRul\n").unwrap();
    let told = scene.reload("", "config_refused").await;
    assert!(told.contains("settings.conf:1"), "{told}");
}

#[tokio::test]
async fn a_test_explains_what_rules_do_with_a_request() {
    let scene = Scene::set("observe", RULES).await;
    let body =
        scene.release("body", &[("a.json", &json!({ "note": { "text": ATTACK } }).to_string())]);
    let body = format!("@{body}/a.json");
    let arguments = [
        "waf",
        "test",
        "--method",
        "POST",
        "--target",
        "/any",
        "--header",
        "Content-Type: application/json",
        "--body",
        &body,
    ];
    let refused = scene.server.run(&arguments).await;
    assert_eq!(refused.code, 1, "it would be refused: {refused:?}");
    let told: Value = serde_json::from_str(&refused.stdout).unwrap();
    assert_eq!(
        (&told["verdict"], &told["rule"], &told["mode"]),
        (&json!("refuse"), &json!(100), &json!("observe"))
    );
    let matched = told["matched"].as_array().unwrap().iter().find(|it| it["rule"] == 100).unwrap();
    assert_eq!(matched["matches"][0]["captured"]["0"], "UNION  SELECT");
    assert!(matched["place"].as_str().unwrap().ends_with("rules.conf:7"), "{told}");
    let passes = scene.server.run(&["waf", "test", "--target", "/a?q=harmless"]).await;
    assert_eq!(value(&passes)["verdict"], "pass");
}

#[tokio::test]
async fn who_attacks_is_counted_by_address_and_user() {
    let scene = Scene::set("block", RULES).await;
    attempt(&scene.alice, ATTACK).await;
    attempt(&scene.alice, ATTACK).await;
    attempt(&scene.alice, SCRIPT).await;
    let _ = scene.server.http().get(format!("/?q={}", encode(ATTACK))).send().await;
    let told = value(&scene.server.run(&["waf", "attempts", "--limit", "5"]).await);
    let [address] = told["addresses"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!(address["address"], "127.0.0.1");
    assert_eq!(address["kinds"]["sql_injection"], json!({ "hour": 3, "day": 3 }));
    assert_eq!(address["kinds"]["cross_site_scripting"], json!({ "hour": 1, "day": 1 }));
    let [user] = told["users"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!((&user["env"], &user["refused"]["day"]), (&json!("shop"), &json!(3)));
    assert_eq!(user["kinds"]["sql_injection"]["day"], 2);
    let shown = user["user"].as_str().unwrap();
    assert!(shown.ends_with("***"), "{shown}");
}

#[tokio::test]
async fn no_request_falls_between_two_sets() {
    let scene = Scene::set_without_rules().await;
    let mut hashes = Vec::new();
    for to in ["first", "second"] {
        let folder = scene.release(to, &[("main.conf", &leading(to))]);
        hashes.push(value(&scene.server.run(&["waf", "import", &folder]).await)["hash"].clone());
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let traffic: Vec<_> =
        (0..4).map(|_| tokio::spawn(steady(scene.server.http(), Arc::clone(&is_over)))).collect();
    for round in 0..20 {
        let body = json!({ "set": hashes[round % 2] });
        let _ = scene.server.control(Method::PUT, "/control/v1/waf/active", &body).await.value();
        let _ =
            scene.server.control(Method::POST, "/control/v1/reload", &Value::Null).await.value();
    }
    is_over.store(true, Ordering::SeqCst);
    let mut answers = BTreeMap::<String, usize>::new();
    for worker in traffic {
        for (answer, count) in worker.await.unwrap() {
            *answers.entry(answer).or_default() += count;
        }
    }
    let seen: Vec<&str> = answers.keys().map(String::as_str).collect();
    assert_eq!(seen, ["302 /first", "302 /second"], "{answers:?}");
    assert!(answers.values().sum::<usize>() >= 40, "{answers:?}");
}

/// Asks until it is over, and counts the answers.
async fn steady(http: Http, is_over: Arc<AtomicBool>) -> BTreeMap<String, usize> {
    let mut answers = BTreeMap::new();
    while !is_over.load(Ordering::SeqCst) {
        let answer = http.get("/").header("x-probe", "1").send().await;
        let told = format!("{} {}", answer.status.as_u16(), answer.header("location"));
        *answers.entry(told).or_default() += 1;
    }
    answers
}
