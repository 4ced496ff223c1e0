//! Faults on purpose: set by an operator, felt by clients, ended by themselves.

use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use yunzhan_e2e::{Options, Server, WeChat};

/// What a verb printed.
async fn told(server: &Server, arguments: &[&str]) -> Value {
    let output = server.run(arguments).await;
    assert_eq!(output.code, 0, "{output:?}");
    serde_json::from_str(&output.stdout).unwrap()
}

#[tokio::test]
async fn writes_fail_while_a_plan_is_in_force_and_work_after_its_end() {
    let server = Server::start(Options::default()).await;
    let alice = server.http().login_development("demo", "alice").await;
    let order = async || {
        let answer = alice.inserting("orders", &[json!({ "note": "a drill" })]).send().await;
        answer.status.as_u16()
    };
    assert_eq!(order().await, 200);

    let begun = Instant::now();
    let set = told(&server, &["fault", "set", "sql_write=fail", "--for", "5s"]).await;
    assert_eq!(
        set["rules"][0],
        json!({ "point": "sql_write", "effect": "fail", "per_mille": 1000 })
    );
    let during = order().await;
    // On a machine so busy that the plan is over by now, there is nothing to see.
    assert!(during == 503 || begun.elapsed() >= Duration::from_secs(5), "{during}");
    assert_eq!(alice.me().await.status, 200, "reads go on");
    // Nobody ends it: it ends by itself.
    while order().await != 200 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the plan does not end");
    }
    let shown = told(&server, &["fault", "show"]).await;
    assert_eq!((&shown["rules"], &shown["until"]), (&json!([]), &Value::Null));
}

#[tokio::test]
async fn an_upstream_fails_on_purpose_until_an_operator_ends_it() {
    let elsewhere = WeChat::start().await.unwrap();
    let route =
        format!("[[gateway.route]]\npath = \"/up\"\nupstream = \"{}\"\n", elsewhere.base_url());
    let server = Server::start(Options::default().configured(&route)).await;
    let up = async || server.http().get("/up").send().await.status.as_u16();
    let well = up().await;
    assert_ne!(well, 503);

    let seen = server.lines_said();
    let plan = json!({ "rules": [{ "point": "upstream", "effect": "fail" }], "duration_s": 600 });
    let _ = server.control(Method::PUT, "/control/v1/faults", &plan).await.value();
    let line = server.said(seen, "\"faults_set\"").await;
    assert!(line.contains("upstream fails in 1000 of 1000 cases"), "{line}");
    assert_eq!((up().await, up().await), (503, 503));
    let cleared = told(&server, &["fault", "clear"]).await;
    assert_eq!(cleared["rules"], json!([]));
    assert_eq!(up().await, well);
}

#[tokio::test]
async fn a_plan_that_nobody_can_understand_is_refused() {
    let server = Server::start(Options::default()).await;
    for (plan, named) in [
        (
            json!({ "rules": [{ "point": "sql_write", "effect": "fail" }], "duration_s": 86400 }),
            "1800",
        ),
        (json!({ "rules": [{ "point": "disk", "effect": "fail" }], "duration_s": 1 }), "sql_read"),
    ] {
        let refused = server.control(Method::PUT, "/control/v1/faults", &plan).await;
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert!(refused.text().contains(named), "{}", refused.text());
    }
    let shown = server.control(Method::GET, "/control/v1/faults", &Value::Null).await.value();
    assert_eq!(shown["rules"], json!([]));
}
