//! `yunzhan check`: every mistake at once, in both languages and for programs.

use expect_test::expect;
use serde_json::Value;

use crate::program::Place;

const MISTAKES: &str = include_str!("../fixtures/mistakes.toml");

fn check(arguments: &[&str]) -> String {
    let place = Place::bare();
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

#[test]
fn files_that_the_configuration_names_are_opened() {
    let place = Place::new();
    place.write("c.toml", "tls = { certificate = 'a.pem', key = 'b.pem' }\nserver.site = 'absent'");
    let (code, output, _) = place.run(&["check", "--config", "c.toml"]);
    assert_eq!(code, 1);
    expect![[r#"
        error: the certificate chain in a.pem cannot be used: I/O error: No such file or directory (os error 2)

        error: cannot open static folder absent

        2 mistakes
    "#]].assert_eq(&output);
}

#[test]
fn a_newer_data_folder_is_a_mistake() {
    let place = Place::new();
    place.write("yunzhan-data/FORMAT", "7\n");
    let (code, output, _) = place.run(&["check"]);
    assert_eq!(code, 1);
    expect![[r#"
        error: data folder [folder]/yunzhan-data has format 7, this program knows up to 1; run the newer program that wrote it

        1 mistake
    "#]].assert_eq(&output);
    expect![[r#"
        error: data folder [folder]/yunzhan-data has format 7, this program knows up to 1; run the newer program that wrote it
    "#]].assert_eq(&place.bad(&["serve"]));
}
