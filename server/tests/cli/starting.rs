//! Starts that are disturbed: by signals, and by being killed at any step.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;

use crate::program::{Place, Starting};

/// A place whose start waits for somebody who writes the master key into this pipe; so does each reload.
fn slow_place() -> (Place, std::path::PathBuf) {
    let place = Place::new().with("YUNZHAN_SERVER__MASTER_KEY_FILE", "pipe");
    let pipe = place.path("yunzhan-data/pipe");
    fs::create_dir(pipe.parent().unwrap()).unwrap();
    // A first start would take it for somebody else's file.
    fs::write(place.path("yunzhan-data/FORMAT"), "1\n").unwrap();
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    (place, pipe)
}

/// Opens once somebody reads.
fn write_key(pipe: &std::path::Path) {
    File::options().write(true).open(pipe).unwrap().write_all("0f".repeat(32).as_bytes()).unwrap();
}

fn caught(place: &Place) -> Starting {
    let mut starting = place.start(&[]);
    assert!(starting.wait_until_it_catches_signals());
    starting
}

#[test]
fn a_hangup_during_a_slow_start_reloads_once_the_server_is_ready() {
    let (place, pipe) = slow_place();
    let starting = caught(&place);
    starting.0.signal("HUP");
    write_key(&pipe);
    let mut serving = starting.ready();
    // The reload reads the key again.
    write_key(&pipe);
    let told = serving.notices_until("config_reloaded");
    assert_eq!(told.last().unwrap()["text"], "configuration read again; changed: nothing");
    assert_eq!(serving.stop().0, 0);
}

#[test]
fn a_wish_to_stop_during_a_slow_start_ends_it_in_order() {
    for signal in ["TERM", "INT"] {
        let (place, _pipe) = slow_place();
        let starting = caught(&place);
        starting.0.signal(signal);
        let (code, told) = starting.0.stop();
        assert_eq!(code, 0, "{told}");
        assert!(told.contains("\"notice\":\"stopped\""), "{told}");
    }
}

#[test]
fn hangups_in_the_first_milliseconds_of_ten_starts_end_none() {
    let place = Place::new();
    for _ in 0..10 {
        let mut starting = caught(&place);
        // The first slow step is still to come.
        while !place.path("yunzhan-data/run/control.sock").exists() {
            starting.0.signal("HUP");
            assert!(starting.0.is_alive());
        }
        assert_eq!(starting.ready().stop().0, 0);
    }
}

/// What a first start makes, in this order.
const STEPS: [&str; 12] = [
    "LOCK",
    "master.key",
    "FORMAT",
    "backup",
    "log/access.log",
    "ledger/audit.jsonl",
    "system.db",
    "system.db-wal",
    "env/demo/sql/data.db-wal",
    "tls/development.pem",
    "tls/development.key",
    "run/control.token",
];

/// Kills a first start as soon as it has made `step`, and starts again.
fn killed_at(step: &str) {
    let place = Place::new();
    let made = place.path("yunzhan-data").join(step);
    let mut starting = place.start(&[]);
    while !made.exists() {
        assert!(starting.0.is_alive(), "it never made {step}");
    }
    starting.0.kill();
    let (code, found, complaint) = place.run(&["check"]);
    assert_eq!(code, 0, "checked behind {step}: {found}{complaint}");
    let serving = place.serve(&[]);
    assert_eq!(serving.ready["development_login"], serde_json::json!(["demo"]), "behind {step}");
    // The goods of the shop are all there, and none is there twice.
    let count = place.good(&["db", "count", "demo", "goods", "--json"]);
    assert_eq!(count.trim(), r#"{"total":12}"#, "behind {step}");
    assert_eq!(serving.stop().0, 0);
}

#[test]
fn a_first_start_that_is_killed_at_any_step_goes_on_at_the_next() {
    STEPS.into_iter().for_each(killed_at);
}

#[test]
fn half_of_a_development_certificate_is_made_whole() {
    let place = Place::new();
    place.serve(&[]).stop();
    for half in ["development.key", "development.pem"] {
        fs::remove_file(place.path("yunzhan-data/tls").join(half)).unwrap();
        assert_eq!(place.serve(&[]).stop().0, 0, "without {half}");
    }
}
