//! `yunzhan check`: every mistake at once, in both languages and for programs.

use expect_test::expect;
use serde_json::Value;

use crate::program::Place;

const MISTAKES: &str = include_str!("../fixtures/mistakes.toml");

fn check(arguments: &[&str]) -> String {
    // What has no mistake is looked at too, and others may listen on the default address.
    let place = Place::bare().with("YUNZHAN_LISTEN__CONTROL", "off");
    place.write("mistakes.toml", MISTAKES);
    let (code, output, _) =
        place.run(&[&["check", "--config", "mistakes.toml"], arguments].concat());
    assert_eq!(code, 1);
    output
}

#[test]
fn mistakes_in_english() {
    expect![[r#"
        error: unknown key "http_listen"
         --> mistakes.toml:2:1 (http_listen)
          |
        2 | http_listen = ***
          | ^^^^^^^^^^^

        error: expected an address with a port such as "0.0.0.0:8080", or "off", got "8080"
         --> mistakes.toml:5:8 (listen.http)
          |
        5 | http = "8080"
          |        ^^^^^^
          = default: "0.0.0.0:8080"; variable: YUNZHAN_LISTEN__HTTP

        error: expected an address with a port such as "0.0.0.0:8080", or "off", got "of"
         --> mistakes.toml:6:9 (listen.https)
          |
        6 | https = "of"
          |         ^^^^
          = default: "0.0.0.0:8443"; variable: YUNZHAN_LISTEN__HTTPS

        error: tls.key is missing beside it
         --> mistakes.toml:9:15 (tls.certificate)
          |
        9 | certificate = "chain.pem"
          |               ^^^^^^^^^^^

        error: unknown key "gatway"
          --> mistakes.toml:11:2 (gatway)
           |
        11 | [gatway]
           |  ^^^^^^
           = did you mean "gateway"?

        error: expected a duration such as "500ms", "30s", "5m", "2h" or "30d", got 300
          --> mistakes.toml:15:16 (gateway.idle_timeout)
           |
        15 | idle_timeout = 300
           |                ^^^
           = a duration needs its unit
           = default: "75s"; variable: YUNZHAN_GATEWAY__IDLE_TIMEOUT

        error: expected between "8KiB" and "1MiB"
          --> mistakes.toml:16:18 (gateway.head_bytes_max)
           |
        16 | head_bytes_max = "1KiB"
           |                  ^^^^^^

        error: a path begins with /
          --> mistakes.toml:19:8 (gateway.route.0.path)
           |
        19 | path = "api"
           |        ^^^^^

        error: expected an address such as "http://127.0.0.1:3000", got "localhost:3000"
          --> mistakes.toml:20:12 (gateway.route.0.upstream)
           |
        20 | upstream = "localhost:3000"
           |            ^^^^^^^^^^^^^^^^
           = "localhost:3000" is not the address of a server: it begins with neither http:// nor https://
           = no default; variable: YUNZHAN_GATEWAY__ROUTE__0__UPSTREAM

        error: expected 64 hexadecimal digits
          --> mistakes.toml:23:14 (server.master_key)
           |
        23 | master_key = ***
           |              ^^^

        error: expected between "0s" and "1h", got "2h"
          --> mistakes.toml:24:17 (server.drain_timeout)
           |
        24 | drain_timeout = "2h"
           |                 ^^^^

        error: expected true or false, got "yes"
          --> mistakes.toml:27:10 (log.access)
           |
        27 | access = "yes"
           |          ^^^^^
           = default: true; variable: YUNZHAN_LOG__ACCESS

        12 mistakes
    "#]].assert_eq(&check(&[]));
}

#[test]
fn mistakes_in_chinese() {
    expect![[r#"
        错误: 未知的键 "http_listen"
         --> mistakes.toml:2:1 (http_listen)
          |
        2 | http_listen = ***
          | ^^^^^^^^^^^

        错误: 应为带端口的地址, 例如 "0.0.0.0:8080", 或 "off", 得到 "8080"
         --> mistakes.toml:5:8 (listen.http)
          |
        5 | http = "8080"
          |        ^^^^^^
          = 默认值: "0.0.0.0:8080"; 环境变量: YUNZHAN_LISTEN__HTTP

        错误: 应为带端口的地址, 例如 "0.0.0.0:8080", 或 "off", 得到 "of"
         --> mistakes.toml:6:9 (listen.https)
          |
        6 | https = "of"
          |         ^^^^
          = 默认值: "0.0.0.0:8443"; 环境变量: YUNZHAN_LISTEN__HTTPS

        错误: 缺少与之配对的 tls.key
         --> mistakes.toml:9:15 (tls.certificate)
          |
        9 | certificate = "chain.pem"
          |               ^^^^^^^^^^^

        错误: 未知的键 "gatway"
          --> mistakes.toml:11:2 (gatway)
           |
        11 | [gatway]
           |  ^^^^^^
           = 是否想写 "gateway"?

        错误: 应为时长, 例如 "500ms", "30s", "5m", "2h" 或 "30d", 得到 300
          --> mistakes.toml:15:16 (gateway.idle_timeout)
           |
        15 | idle_timeout = 300
           |                ^^^
           = 时长需要带单位
           = 默认值: "75s"; 环境变量: YUNZHAN_GATEWAY__IDLE_TIMEOUT

        错误: 应在 "8KiB" 与 "1MiB" 之间
          --> mistakes.toml:16:18 (gateway.head_bytes_max)
           |
        16 | head_bytes_max = "1KiB"
           |                  ^^^^^^

        错误: 路径以 / 开头
          --> mistakes.toml:19:8 (gateway.route.0.path)
           |
        19 | path = "api"
           |        ^^^^^

        错误: 应为形如 "http://127.0.0.1:3000" 的地址, 得到 "localhost:3000"
          --> mistakes.toml:20:12 (gateway.route.0.upstream)
           |
        20 | upstream = "localhost:3000"
           |            ^^^^^^^^^^^^^^^^
           = "localhost:3000" is not the address of a server: it begins with neither http:// nor https://
           = 无默认值; 环境变量: YUNZHAN_GATEWAY__ROUTE__0__UPSTREAM

        错误: 应为 64 位十六进制数字
          --> mistakes.toml:23:14 (server.master_key)
           |
        23 | master_key = ***
           |              ^^^

        错误: 应在 "0s" 与 "1h" 之间, 得到 "2h"
          --> mistakes.toml:24:17 (server.drain_timeout)
           |
        24 | drain_timeout = "2h"
           |                 ^^^^

        错误: 应为true 或 false, 得到 "yes"
          --> mistakes.toml:27:10 (log.access)
           |
        27 | access = "yes"
           |          ^^^^^
           = 默认值: true; 环境变量: YUNZHAN_LOG__ACCESS

        12 处错误
    "#]].assert_eq(&check(&["--lang", "zh"]));
}

#[test]
fn mistakes_for_programs() {
    let found: Value = serde_json::from_str(&check(&["--json"])).unwrap();
    assert_eq!(found["ok"], false);
    let mistakes = found["configuration"].as_array().unwrap();
    let lines: Vec<_> = mistakes.iter().map(|mistake| mistake["line"].as_u64().unwrap()).collect();
    assert!(lines.is_sorted() && lines.len() > 10, "{lines:?}");
    let first = serde_json::json!({
        "message": "unknown key \"http_listen\"",
        "notes": [],
        "key": "http_listen",
        "file": "mistakes.toml",
        "line": 2,
        "column": 1,
    });
    assert_eq!(mistakes[0], first);
}

#[test]
fn a_good_place_has_no_mistake() {
    let place = Place::new();
    assert_eq!(place.good(&["check"]), "no mistake found\n");
    assert_eq!(place.good(&["check", "--lang", "zh"]), "没有发现错误\n");
    assert!(!place.path("yunzhan-data").exists(), "checking changes nothing");
}

/// What `check` and `serve` say of the same place: the same, but for the sum of the mistakes.
fn told_by_both(place: &Place) -> String {
    let with = |verb: &str| match place.path("c.toml").exists() {
        true => place.run(&["--config", "c.toml", verb]),
        false => place.run(&[verb]),
    };
    let ((code, found, _), (served, _, complaint)) = (with("check"), with("serve"));
    assert_eq!((code, served), (1, 1), "{found}{complaint}");
    let (mistakes, _sum) = found.trim_end().rsplit_once("\n\n").unwrap();
    assert_eq!(mistakes, complaint.trim_end());
    found
}

#[test]
fn files_that_the_configuration_names_are_opened() {
    let place = Place::new();
    place.write("c.toml", "tls = { certificate = 'a.pem', key = 'b.pem' }\nserver.site = 'absent'\nwaf.rules = 'rules.conf'");
    expect![[r#"
        error: the certificate chain in a.pem cannot be used: I/O error: No such file or directory (os error 2)
         --> c.toml:1:23 (tls.certificate)
          |
        1 | tls = ***
          |          ^

        error: the folder of pages absent does not exist
         --> c.toml:2:15 (server.site)
          |
        2 | server.site = 'absent'
          |               ^^^^^^^^

        error: the rules against attacks have a mistake
          rules.conf:1: cannot read rules.conf: No such file or directory (os error 2)
         --> c.toml:3:13 (waf.rules)
          |
        3 | waf.rules = 'rules.conf'
          |             ^^^^^^^^^^^^

        3 mistakes
    "#]].assert_eq(&told_by_both(&place));
}

#[test]
fn mistakes_of_the_file_and_of_what_it_names_are_told_at_once() {
    let place = Place::new();
    place.write("c.toml", "gateway.idle_timeout = 'soon'\n[server]\nsite = 'c.toml'");
    expect![[r#"
        error: expected a duration such as "500ms", "30s", "5m", "2h" or "30d", got "soon"
         --> c.toml:1:24 (gateway.idle_timeout)
          |
        1 | gateway.idle_timeout = 'soon'
          |                        ^^^^^^
          = default: "75s"; variable: YUNZHAN_GATEWAY__IDLE_TIMEOUT

        error: the folder of pages c.toml is not a folder
         --> c.toml:3:8 (server.site)
          |
        3 | site = 'c.toml'
          |        ^^^^^^^^

        2 mistakes
    "#]]
    .assert_eq(&told_by_both(&place));
}

#[test]
fn a_key_of_another_certificate_is_told_at_the_key() {
    let place = Place::new();
    // Two data folders make two development certificates.
    for data in ["one", "two"] {
        place.serve(&["--data", data]).stop();
    }
    place.write(
        "c.toml",
        "[tls]\ncertificate = 'one/tls/development.pem'\nkey = 'two/tls/development.key'",
    );
    expect![[r#"
        error: the key in two/tls/development.key cannot be used: keys may not be consistent: KeyMismatch
         --> c.toml:3:7 (tls.key)
          |
        3 | key = 'two/tls/development.key'
          |       ^^^^^^^^^^^^^^^^^^^^^^^^^

        1 mistake
    "#]].assert_eq(&told_by_both(&place));
}

#[test]
fn routes_that_this_server_answers_itself_are_told_where_they_stand() {
    let place = Place::new();
    place.write(
        "c.toml",
        "server.site = '.'\n\n[[gateway.route]]\npath = 'wrong'\nupstream = 'http://127.0.0.1:1'\n\n[[gateway.route]]\npath = '/auth/v1/token'\nupstream = 'http://127.0.0.1:1'\n\n[[gateway.route]]\npath = '/{*rest}'\nupstream = 'http://127.0.0.1:1'\n",
    );
    expect![[r#"
        error: a path begins with /
         --> c.toml:4:8 (gateway.route.0.path)
          |
        4 | path = 'wrong'
          |        ^^^^^^^

        error: this server answers /auth/v1/token itself; choose another path
         --> c.toml:8:8 (gateway.route.1.path)
          |
        8 | path = '/auth/v1/token'
          |        ^^^^^^^^^^^^^^^^

        error: this route takes every path from server.site; remove one of the two
          --> c.toml:12:8 (gateway.route.2.path)
           |
        12 | path = '/{*rest}'
           |        ^^^^^^^^^^

        3 mistakes
    "#]]
    .assert_eq(&told_by_both(&place));
}

#[test]
fn a_route_for_everything_wins_over_the_shop_page() {
    let place = Place::new();
    place.serve(&[]).stop();
    place.write("c.toml", "[[gateway.route]]\npath = '/{*rest}'\nupstream = 'http://127.0.0.1:1'");
    assert_eq!(place.good(&["--config", "c.toml", "check"]), "no mistake found\n");
    let _serving = place.serve(&["--config", "c.toml"]);
}

#[test]
fn two_listeners_on_one_address_are_told_at_the_key_that_was_set() {
    let place = Place::bare();
    place.write("c.toml", "[listen]\nhttp = '0.0.0.0:8079'\nhttps = '[::]:8079'");
    let found = told_by_both(&place);
    for expected in [
        "listen.control has this address already; choose another port\n --> c.toml:2:8 (listen.http)",
        "listen.http has this address already; choose another port\n --> c.toml:3:9 (listen.https)",
    ] {
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn an_address_that_is_taken_is_told_before_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let place = Place::new();
    place.write("c.toml", "");
    let place = place.with("YUNZHAN_LISTEN__HTTP", &address);
    expect![[r#"
        error: cannot listen on [address] (listen.http): Address already in use (os error 98); another program listens there: stop it, or choose another address
         --> variable YUNZHAN_LISTEN__HTTP (listen.http)

        1 mistake
    "#]].assert_eq(&told_by_both(&place).replace(&address, "[address]"));
    let (_, found, _) = place.run(&["check", "--lang", "zh"]);
    assert!(found.contains("无法监听"), "{found}");
}

#[test]
fn a_server_that_runs_is_no_mistake() {
    let place = Place::new();
    let serving = place.serve(&[]);
    let address = serving.ready["http"].as_str().unwrap().strip_prefix("http://").unwrap();
    let place = place.with("YUNZHAN_LISTEN__HTTP", address);
    assert_eq!(place.good(&["check"]), "no mistake found\n");
}

#[test]
fn a_newer_data_folder_is_a_mistake() {
    let place = Place::new();
    place.write("yunzhan-data/FORMAT", "7\n");
    // Nothing else is wrong with it.
    place.write("yunzhan-data/master.key", &"0f".repeat(32));
    expect![[r#"
        error: data folder [folder]/yunzhan-data has format 7, this program knows up to 1; run the newer program that wrote it

        1 mistake
    "#]].assert_eq(&told_by_both(&place));
}

#[test]
fn a_wrong_master_key_is_a_mistake() {
    let place = Place::new();
    place.serve(&[]).stop();
    place.write("yunzhan-data/master.key", &"0f".repeat(32));
    expect![[r#"
        error: the master key of [folder]/yunzhan-data/master.key is not the one that sealed the secrets of [folder]/yunzhan-data: put that one back, or restore the folder from a backup (the key's check value is in [folder]/yunzhan-data/master.key.check)

        1 mistake
    "#]].assert_eq(&told_by_both(&place));
    place.write("yunzhan-data/master.key", "0f");
    expect![[r#"
        error: [folder]/yunzhan-data/master.key: the master key must be 64 hexadecimal digits, for example from: openssl rand -hex 32

        1 mistake
    "#]].assert_eq(&told_by_both(&place));
}

#[test]
fn a_database_of_somebody_else_is_a_mistake() {
    let place = Place::new();
    place.serve(&[]).stop();
    let before = std::fs::read_dir(place.path("yunzhan-data")).unwrap().count();
    assert_eq!(place.good(&["check"]), "no mistake found\n");
    assert_eq!(std::fs::read_dir(place.path("yunzhan-data")).unwrap().count(), before);
    place.write("yunzhan-data/system.db", &"no database ".repeat(1000));
    // Absent where the end of the server emptied it.
    let _ = std::fs::remove_file(place.path("yunzhan-data/system.db-wal"));
    expect![[r#"
        error: the database file is damaged; restore it from a backup: cannot open [folder]/yunzhan-data/system.db

        1 mistake
    "#]]
    .assert_eq(&told_by_both(&place));
}

#[test]
fn a_database_that_was_lost_is_a_mistake_and_not_made_anew() {
    let place = Place::new();
    place.serve(&[]).stop();
    // As a copy leaves it that stopped at once.
    place.write("yunzhan-data/system.db", "");
    expect![[r#"
        error: the database [folder]/yunzhan-data/system.db is gone or empty: put it back from a backup; to begin anew, name another data folder with --data

        1 mistake
    "#]].assert_eq(&told_by_both(&place));
    std::fs::remove_file(place.path("yunzhan-data/system.db")).unwrap();
    expect![[r#"
        error: the database [folder]/yunzhan-data/system.db is gone or empty: put it back from a backup; to begin anew, name another data folder with --data

        1 mistake
    "#]].assert_eq(&told_by_both(&place));
}
