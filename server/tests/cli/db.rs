//! Collections and their documents from the command line.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread::JoinHandle;

use expect_test::expect;
use serde_json::{Value, json};

use crate::program::Place;

/// Stands in for a serving process: gives these answers, one a call, and tells at the end what was asked.
fn stand_in(place: &Place, answers: &[Value]) -> JoinHandle<String> {
    let run = place.path("yunzhan-data/run");
    std::fs::create_dir_all(&run).unwrap();
    let socket = run.join("control.sock");
    // What an earlier one left behind.
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(socket).unwrap();
    let answers = answers.to_vec();
    std::thread::spawn(move || {
        let (last, first) = answers.split_last().unwrap();
        let accept = || listener.accept().unwrap().0;
        let mut asked: String =
            first.iter().map(|answer| answer_one(accept(), &answer.to_string())).collect();
        let stream = accept();
        // Before the last answer, so that whoever has it finds nobody here any more.
        drop(listener);
        asked += &answer_one(stream, &last.to_string());
        asked
    })
}

/// Answers the one call on this connection; what was asked, as `METHOD path body`.
fn answer_one(stream: UnixStream, answer: &str) -> String {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim_end().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_lowercase());
    }
    let length = lines.iter().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", answer.len());
    reader.get_mut().write_all((head + answer).as_bytes()).unwrap();
    let asked = lines[0].trim_end_matches(" http/1.1");
    let body = String::from_utf8(body).unwrap();
    format!("{}\n", format!("{asked} {body}").trim_end())
}

fn index(state: &str, done: u64) -> Value {
    let keys = json!([{ "field": "age", "direction": "-1" }]);
    json!({ "name": "by_age", "keys": keys, "unique": false, "state": state, "done": done, "total": 9, "failure": null })
}

#[test]
fn collections_and_their_permissions() {
    let place = Place::new();
    place.good(&["env", "add", "shop"]);
    let _serving = place.serve(&[]);
    expect![[r#"
        collection  todos
        permission  PRIVATE
    "#]]
    .assert_eq(&place.good(&["db", "add-collection", "shop", "todos"]));
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
    expect![[r#"
        collection  todos
        permission  READONLY
    "#]]
    .assert_eq(&place.good(&["db", "permission", "shop", "todos", "READONLY"]));
    expect![[r#"
        collection  permission
        news        ADMINWRITE
        todos       READONLY
    "#]]
    .assert_eq(&place.good(&["db", "collections", "shop"]));
    expect![[r#"
        集合   权限
        news   ADMINWRITE
        todos  READONLY
    "#]]
    .assert_eq(&place.good(&["db", "collections", "shop", "--lang", "zh"]));
}

#[test]
fn what_is_not_there_is_named_with_the_next_step() {
    let place = Place::new();
    place.good(&["env", "add", "shop"]);
    let _serving = place.serve(&[]);
    expect![[r#"
        error: there is no environment nowhere; `yunzhan env list` shows what is there
    "#]]
    .assert_eq(&place.bad(&["db", "collections", "nowhere"]));
    expect![[r#"
        error: there is no collection todos; create it first; `yunzhan db collections shop` shows what is there
    "#]].assert_eq(&place.bad(&["db", "permission", "shop", "todos", "READONLY"]));
    expect![[r#"
        error: a collection's name has 1 to 64 of A-Z, a-z, 0-9, '_' and '-', and does not begin with '-'
    "#]].assert_eq(&place.bad(&["db", "add-collection", "shop", "a/b"]));
    expect![[r#"
        error: a permission is READONLY, PRIVATE, ADMINWRITE or ADMINONLY
    "#]]
    .assert_eq(&place.bad(&["db", "add-collection", "shop", "a", "--permission", "x"]));
}

#[test]
fn what_cannot_be_read_is_refused_before_anybody_is_called() {
    let misused = |arguments: &[&str]| {
        let (code, _, complaint) = Place::bare().run(arguments);
        assert_eq!(code, 2, "{complaint}");
        complaint
    };
    expect![[r#"
        error: invalid value '{done:false}' for '[QUERY]': not JSON: key must be a string at line 1 column 2; write an object between single quotes, such as '{"done":false}'

        For more information, try '--help'.
    "#]].assert_eq(&misused(&["db", "find", "shop", "todos", "{done:false}"]));
    expect![[r#"
        error: invalid value '[1]' for '--order <JSON>': JSON, but no object; write an object between single quotes, such as '{"done":false}'

        For more information, try '--help'.
    "#]].assert_eq(&misused(&["db", "find", "shop", "todos", "--order", "[1]"]));
    expect![[r#"
        error: invalid value 'age:down' for '<FIELD[:1|:-1]>...': "down" is no direction; write age:1 for upwards, age:-1 for downwards or age:2dsphere for places

        For more information, try '--help'.
    "#]].assert_eq(&misused(&["db", "add-index", "shop", "todos", "age:down"]));
    expect![[r#"
        error: the following required arguments were not provided:
          <FIELD[:1|:-1]>...

        Usage: yunzhan db add-index <ENV> <NAME> <FIELD[:1|:-1]>...

        For more information, try '--help'.
    "#]]
    .assert_eq(&misused(&["db", "add-index", "shop", "todos"]));
}

#[test]
fn an_index_is_added_looked_at_and_dropped() {
    let place = Place::bare();
    let listed = json!({ "indexes": [index("ready", 9)] });
    let asked = stand_in(&place, &[index("building", 0), listed, json!({ "name": "by age" })]);
    let added = ["db", "add-index", "shop", "todos", "age:-1", "name", "--unique"];
    expect![[r#"
        index   by_age
        fields  age:-1
        unique  no
        state   building 0/9
        `yunzhan db indexes shop todos` shows how far it is
    "#]]
    .assert_eq(&place.good(&added));
    expect![[r#"
        index   fields  unique  state
        by_age  age:-1  no      ready
    "#]]
    .assert_eq(&place.good(&["db", "indexes", "shop", "todos"]));
    expect![[r#"
        dropped  by age
    "#]]
    .assert_eq(&place.good(&["db", "drop-index", "shop", "todos", "by age"]));
    expect![[r#"
        post /control/v1/envs/shop/collections/todos/indexes {"keys":[{"direction":"-1","field":"age"},{"direction":"1","field":"name"}],"unique":true}
        get /control/v1/envs/shop/collections/todos/indexes
        delete /control/v1/envs/shop/collections/todos/indexes/by%20age
    "#]].assert_eq(&asked.join().unwrap());
}

#[test]
fn waiting_for_an_index_tells_how_far_it_is() {
    let list = |index: Value| json!({ "indexes": [index] });
    let wait = ["db", "add-index", "shop", "todos", "age:-1", "--name", "by_age", "--wait"];

    let place = Place::bare();
    let built = [index("building", 0), list(index("building", 5)), list(index("ready", 9))];
    let asked = stand_in(&place, &built);
    let (code, output, told) = place.run(&wait);
    assert_eq!(code, 0, "{told}");
    expect![[r#"
        Ctrl-C ends the waiting, not the building
        building 0/9
        building 5/9
    "#]]
    .assert_eq(&told);
    expect![[r#"
        index   by_age
        fields  age:-1
        unique  no
        state   ready
    "#]]
    .assert_eq(&output);
    expect![[r#"
        post /control/v1/envs/shop/collections/todos/indexes {"keys":[{"direction":"-1","field":"age"}],"name":"by_age","unique":false}
        get /control/v1/envs/shop/collections/todos/indexes
        get /control/v1/envs/shop/collections/todos/indexes
    "#]].assert_eq(&asked.join().unwrap());

    let mut failed = index("failed", 5);
    failed["failure"] = "a document has an age that is too long".into();
    let _asked = stand_in(&place, &[index("building", 0), list(failed)]);
    expect![[r#"
        {"error":{"code":"invalid_parameter","message":"index by_age cannot be built: a document has an age that is too long; change those documents, then drop it with `yunzhan db drop-index shop todos by_age` and add it again"}}
    "#]].assert_eq(&place.bad(&[&wait[..], &["--json"]].concat()));

    let _asked = stand_in(&place, &[index("building", 0), list(json!({ "name": "other" }))]);
    expect![[r#"
        Ctrl-C ends the waiting, not the building
        building 0/9
        error: index by_age was dropped while it was being built; add it again if it is still wanted
    "#]]
    .assert_eq(&place.bad(&wait));
}

#[test]
fn nobody_waits_for_a_process_that_is_not_there() {
    let place = Place::bare();
    let _asked = stand_in(&place, &[index("building", 0)]);
    // The stand-in goes away after its one answer.
    expect![[r#"
        Ctrl-C ends the waiting, not the building
        building 0/9
        error: index by_age is not built yet, and no process serves this data folder; `yunzhan serve` goes on building it
    "#]].assert_eq(&place.bad(&["db", "add-index", "shop", "todos", "age:-1", "--wait"]));
}

#[test]
fn documents_are_counted_found_and_explained() {
    let place = Place::bare();
    let plan = json!({ "access": "index", "index": "by_age", "ranges": 1, "ordered": true, "exact": true,
        "documents_examined": 2, "documents_matched": 2 });
    let found =
        json!({ "documents": [{ "_id": "a", "age": 9 }, { "_id": "b", "age": 8 }], "total": 7 });
    let answers = [json!({ "total": 7 }), json!({ "total": 8 }), found.clone(), found, plan];
    let asked = stand_in(&place, &answers);
    let query = r#"{"b":1,"age":{"$gt":{"$numberLong":"5"}}}"#;
    assert_eq!(place.good(&["db", "count", "shop", "todos", query]), "7\n");
    assert_eq!(place.good(&["db", "count", "shop", "todos", "--json"]), "{\"total\":8}\n");
    let find = ["db", "find", "shop", "todos", query, "--order", r#"{"b":1,"age":-1}"#];
    let more = ["--fields", r#"{"age":1}"#, "--skip", "2", "--limit", "2"];
    expect![[r#"
        {"_id":"a","age":9}
        {"_id":"b","age":8}
        4 of 7; go on with --skip 4
    "#]]
    .assert_eq(&place.good(&[&find[..], &more[..]].concat()));
    expect![[r#"
        {"documents":[{"_id":"a","age":9},{"_id":"b","age":8}],"total":7}
    "#]]
    .assert_eq(&place.good(&["db", "find", "shop", "todos", "--json"]));
    expect![[r#"
        access              index by_age
        ranges              1
        in order            yes
        exact               yes
        documents examined  2
        documents matched   2
    "#]]
    .assert_eq(&place.good(&["db", "explain", "shop", "todos", query, "--limit", "2"]));
    expect![[r#"
        post /control/v1/envs/shop/collections/todos/count {"query":"{\"b\":1,\"age\":{\"$gt\":{\"$numberLong\":\"5\"}}}"}
        post /control/v1/envs/shop/collections/todos/count {}
        post /control/v1/envs/shop/collections/todos/find {"limit":2,"order":"{\"b\":1,\"age\":-1}","projection":"{\"age\":1}","query":"{\"b\":1,\"age\":{\"$gt\":{\"$numberLong\":\"5\"}}}","skip":2}
        post /control/v1/envs/shop/collections/todos/find {}
        post /control/v1/envs/shop/collections/todos/explain {"limit":2,"query":"{\"b\":1,\"age\":{\"$gt\":{\"$numberLong\":\"5\"}}}"}
    "#]].assert_eq(&asked.join().unwrap());
}
