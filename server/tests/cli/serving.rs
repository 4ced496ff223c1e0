//! A serving process and the commands that talk to it, or take its place.

use std::io::{Read, Write};
use std::net::TcpStream;

use expect_test::expect;
use serde_json::{Value, json};

use crate::program::Place;

#[test]
fn the_first_start_makes_a_demo_and_ends_in_order() {
    let place = Place::new();
    let serving = place.serve(&[]);
    assert_eq!(serving.ready["development_login"], json!(["demo"]));
    assert!(serving.ready["http"].as_str().unwrap().starts_with("http://127.0.0.1:"));
    let (code, notices) = serving.stop();
    assert_eq!(code, 0, "{notices}");
    assert!(notices.contains("\"notice\":\"stopped\""), "{notices}");
    assert!(!place.path("yunzhan-data/run/control.sock").exists());
}

#[test]
fn commands_do_the_same_beside_a_serving_process_and_without_one() {
    let place = Place::new();
    let added: Value =
        serde_json::from_str(&place.good(&["env", "add", "shop", "--json"])).unwrap();
    assert_eq!((&added["env"], &added["development_login"]), (&json!("shop"), &json!(true)));
    let alone = place.good(&["env", "list"]);
    let _serving = place.serve(&[]);
    assert_eq!(place.good(&["env", "list"]), alone);
    let again = place.bad(&["env", "add", "shop"]);
    assert!(again.contains("exists"), "{again}");
    let token = place.good(&["token", "--env", "shop", "--user", "ming"]);
    assert_eq!(token.trim_end().split('.').count(), 3, "a JWT and nothing else: {token}");
    assert!(place.bad(&["token", "--env", "nowhere"]).contains("nowhere"));
}

#[test]
fn a_second_server_on_one_folder_is_refused() {
    let place = Place::new();
    let serving = place.serve(&[]);
    let complaint =
        place.bad(&["serve"]).replace(&serving.ready["process"].to_string(), "[process]");
    expect![[r#"
        error: data folder [folder]/yunzhan-data is in use by process [process]; stop that process first, or name another folder with --data
    "#]].assert_eq(&complaint);
}

#[test]
fn a_new_configuration_is_taken_over_and_a_bad_one_changes_nothing() {
    let place = Place::new();
    let with = ["--config", "c.toml"];
    let reload = |arguments: &[&str]| place.run(&[&with[..], &["reload"], arguments].concat());
    assert!(reload(&[]).2.contains("nothing to reload"));

    place.write("c.toml", "gateway.idle_timeout = '30s'");
    let mut serving = place.serve(&with);
    place.write("c.toml", "gateway.idle_timeout = '40s'\nserver.drain_timeout = '1s'");
    let (code, output, _) = reload(&["--json"]);
    let answer: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(code, 0);
    assert_eq!(
        answer,
        json!({ "changed": ["gateway.idle_timeout"], "needs_restart": ["server.drain_timeout"] })
    );
    assert_eq!(reload(&[]).1, "nothing changed\nwaiting for a restart: server.drain_timeout\n");

    place.write("c.toml", "gateway.idle_timeout = 'soon'");
    let (code, _, complaint) = reload(&[]);
    assert_eq!(code, 1);
    assert!(complaint.contains("c.toml:1:24") && complaint.contains("soon"), "{complaint}");
    serving.notices_until("config_refused");
    place.write("c.toml", "gateway.idle_timeout = '50s'");
    serving.signal("HUP");
    let told = serving.notices_until("config_reloaded");
    assert_eq!(told[0]["text"], "configuration read again; changed: gateway.idle_timeout");
}

#[test]
fn a_certificate_that_was_renewed_under_its_name_counts_as_changed() {
    let place = Place::new();
    for data in ["one", "two"] {
        place.serve(&["--data", data]).stop();
    }
    let renew = |from: &str| {
        for (name, as_name) in [("development.pem", "c.pem"), ("development.key", "c.key")] {
            std::fs::copy(place.path(from).join("tls").join(name), place.path(as_name)).unwrap();
        }
    };
    let reload = || place.good(&["--config", "c.toml", "reload"]);
    renew("one");
    place.write("c.toml", "tls = { certificate = 'c.pem', key = 'c.key' }");
    let _serving = place.serve(&["--config", "c.toml"]);
    assert_eq!(reload(), "nothing changed\n");
    renew("two");
    assert_eq!(reload(), "changed: tls.certificate, tls.key\n");
    assert_eq!(reload(), "nothing changed\n");
    // Without the keys it is the development certificate's turn again.
    place.write("c.toml", "");
    assert_eq!(reload(), "changed: tls.certificate, tls.key\n");
}

#[test]
fn a_key_that_nobody_follows_waits_for_a_restart() {
    let place = Place::new().with("YUNZHAN_LISTEN__HTTPS", "off");
    place.write("c.toml", "");
    let _serving = place.serve(&["--config", "c.toml"]);
    // Nobody serves a certificate here, so nobody can take one over.
    place.write("c.toml", "waf.mode = 'observe'\ntls = { certificate = 'a.pem', key = 'b.pem' }");
    let told = "changed: waf.mode\nwaiting for a restart: tls.certificate, tls.key\n";
    assert_eq!(place.good(&["--config", "c.toml", "reload"]), told);
}

#[test]
fn a_reload_that_is_refused_in_one_place_changes_nothing_in_another() {
    let place = Place::new();
    place.write("c.toml", "");
    let _serving = place.serve(&["--config", "c.toml"]);
    let reload = || place.run(&["--config", "c.toml", "reload"]);
    place.write(
        "c.toml",
        "waf = { mode = 'off', rules = 'absent.conf' }\ngateway.idle_timeout = '9s'",
    );
    let (code, _, complaint) = reload();
    assert_eq!(code, 1);
    assert!(complaint.contains("absent.conf"), "{complaint}");
    place.write("c.toml", "waf.mode = 'off'\ngateway.idle_timeout = '9s'");
    assert_eq!(reload().1, "changed: gateway.idle_timeout, waf.mode\n");
}

#[test]
fn an_address_that_is_taken_is_named_with_its_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let place = Place::new().with("YUNZHAN_LISTEN__HTTP", &address.to_string());
    let complaint = place.bad(&["serve"]);
    let expected = format!("cannot listen on {address} (listen.http)");
    assert!(complaint.contains(&expected), "{complaint}");
}

#[test]
fn the_control_listener_asks_for_the_token_of_this_start() {
    let place = Place::new();
    let serving = place.serve(&[]);
    let address =
        serving.ready["control"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    let get = |path: &str, header: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{header}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let token = std::fs::read_to_string(place.path("yunzhan-data/run/control.token")).unwrap();
    let status = |header: &str| get("/control/v1/status", header)[9..12].to_owned();
    assert_eq!(status(""), "401");
    assert_eq!(status("authorization: Bearer wrong\r\n"), "401");
    assert_eq!(status(&format!("authorization: Bearer {token}\r\n")), "200");
    assert!(get("/healthz", "").ends_with("\r\n\r\nok\n"));
    assert!(get("/readyz", "").ends_with("\r\n\r\nready\n"));
    assert!(get("/metrics", "").contains("yunzhan_build_info{version="));
}

#[test]
fn background_tasks_are_shown_and_run_by_hand() {
    let place = Place::new();
    // Also where nobody serves: the task runs in the one process of the command.
    let alone = place.json(&["task", "run", "envs.refresh"]);
    assert_eq!((&alone["outcome"], &alone["error"]), (&"done".into(), &Value::Null));
    assert_eq!(place.json(&["task", "run", "nodes.tidy"])["outcome"], "done");
    assert_eq!(place.json(&["node", "list"])["nodes"], json!([]));
    let _serving = place.serve(&[]);
    let names = |list: &Value| {
        let tasks = list["tasks"].as_array().unwrap();
        tasks.iter().map(|task| task["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let list = place.json(&["task", "list"]);
    let listed = names(&list);
    for name in ["envs.refresh", "identity.refresh", "documents.indexes", "identity.tidy"] {
        assert!(listed.iter().any(|listed| listed == name), "{name} is not among {listed:?}");
    }
    assert_eq!(place.json(&["task", "run", "identity.tidy"])["outcome"], "done");
    let nodes = place.json(&["node", "list"]);
    assert_eq!((&nodes["nodes"][0]["session"], &nodes["nodes"][1]), (&nodes["this"], &Value::Null));
    assert_eq!(nodes["leases"][0]["lease"], "task/identity.tidy");
    let list = place.json(&["task", "list"]);
    let tasks = list["tasks"].as_array().unwrap();
    let tidy = tasks.iter().find(|task| task["name"] == "identity.tidy").unwrap();
    assert_eq!((&tidy["runs"], &tidy["failures"]), (&1.into(), &0.into()));
    assert!(tidy["next_ms"].as_i64().unwrap() > list["now_ms"].as_i64().unwrap());
    let complaint = place.bad(&["task", "run", "shop.paint"]);
    assert!(
        complaint.contains("there is no task shop.paint; see `yunzhan task list`"),
        "{complaint}"
    );
}
