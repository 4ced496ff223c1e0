//! Collections and their documents from the command line.

use expect_test::expect;
use serde_json::{Value, json};

use crate::program::Place;

#[test]
fn collections_and_their_permissions() {
    let place = Place::new();
    place.good(&["env", "add", "shop"]);
    let _serving = place.serve(&[]);
    expect![[""]].assert_eq(&place.good(&["db", "add-collection", "shop", "todos"]));
    let added = place.good(&[
        "db",
        "add-collection",
        "shop",
        "news",
        "--permission",
        "adminwrite",
        "--json",
    ]);
    let added: Value = serde_json::from_str(&added).unwrap();
    assert_eq!((&added["name"], &added["permission"]), (&json!("news"), &json!("ADMINWRITE")));
    expect![[""]].assert_eq(&place.good(&["db", "permission", "shop", "todos", "READONLY"]));
    expect![[""]].assert_eq(&place.good(&["db", "collections", "shop"]));
    expect![[""]].assert_eq(&place.good(&["db", "collections", "shop", "--lang", "zh"]));
}

#[test]
fn what_is_not_there_is_named_with_the_next_step() {
    let place = Place::new();
    place.good(&["env", "add", "shop"]);
    let _serving = place.serve(&[]);
    expect![[""]].assert_eq(&place.bad(&["db", "collections", "nowhere"]));
    expect![[""]].assert_eq(&place.bad(&["db", "permission", "shop", "todos", "READONLY"]));
    expect![[""]].assert_eq(&place.bad(&["db", "add-collection", "shop", "a/b"]));
    expect![[""]].assert_eq(&place.bad(&[
        "db",
        "add-collection",
        "shop",
        "a",
        "--permission",
        "x",
    ]));
}

#[test]
fn what_cannot_be_read_is_refused_before_anybody_is_called() {
    let misused = |arguments: &[&str]| {
        let (code, _, complaint) = Place::bare().run(arguments);
        assert_eq!(code, 2, "{complaint}");
        complaint
    };
    expect![[""]].assert_eq(&misused(&["db", "find", "shop", "todos", "{done:false}"]));
    expect![[""]].assert_eq(&misused(&["db", "find", "shop", "todos", "--order", "[1]"]));
    expect![[""]].assert_eq(&misused(&["db", "add-index", "shop", "todos", "age:down"]));
    expect![[""]].assert_eq(&misused(&["db", "add-index", "shop", "todos"]));
}
