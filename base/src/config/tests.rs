//! The configuration as an operator meets it: a file and variables in, values or a page of mistakes out.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::net::SocketAddr;
use std::time::Duration;

use expect_test::{Expect, expect};

use super::*;
use crate::secret::Secret;

/// What a room would read.
#[derive(Debug)]
#[allow(dead_code, reason = "read through Debug")]
struct Shop {
    listen: SocketAddr,
    idle: Duration,
    body_bytes_max: ByteSize,
    hosts: Vec<String>,
    secret: Option<Secret>,
    envs: Vec<(String, Option<String>)>,
    routes: Vec<Option<String>>,
}

fn read(reader: &mut Reader<'_>) -> Shop {
    let mut gateway = reader.table("gateway");
    let envs = reader.tables("envs").into_iter();
    Shop {
        listen: gateway.value(
            "http_listen",
            SocketAddr::from(([0, 0, 0, 0], 8080)),
            "where HTTP is served",
        ),
        idle: gateway.live(
            "idle_timeout",
            Duration::from_secs(75),
            "when a silent connection is closed",
        ),
        body_bytes_max: gateway.value_in(
            "body_bytes_max",
            ByteSize::mib(1),
            ByteSize::kib(1)..=ByteSize::mib(64),
            "the largest body",
        ),
        hosts: gateway.value("hosts", Vec::new(), "names of this server"),
        secret: gateway.secret("shared_secret", "opens the door"),
        envs: envs.map(|(name, mut env)| (name, env.optional("appid", "of WeChat"))).collect(),
        routes: reader
            .list("routes")
            .iter_mut()
            .map(|route| route.required("path", "what it matches"))
            .collect(),
    }
}

fn variables(pairs: &[(&str, &str)]) -> Variables {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn check_with(text: &str, pairs: &[(&str, &str)], lang: Lang, expected: &Expect) {
    let document = Document::parse("yunzhan.toml", text, variables(pairs)).with_files(|path| {
        if path.ends_with("good") {
            Ok(b"from file\n".to_vec())
        } else {
            Err("no such file".into())
        }
    });
    let shop = read(&mut document.root());
    let answer = match document.finish() {
        Ok(()) => format!("{shop:#?}\n"),
        Err(problems) => problems.render(lang),
    };
    expected.assert_eq(&answer);
}

fn check(text: &str, pairs: &[(&str, &str)], expected: &Expect) {
    check_with(text, pairs, Lang::En, expected);
}

#[test]
fn variables_beat_the_file_and_the_file_beats_defaults() {
    let text = r#"
        [gateway]
        idle_timeout = "5m"
        body_bytes_max = "2MiB"
        [envs.shop-1]
        appid = "wx1"
        [[routes]]
        path = "/api"
    "#;
    let pairs = [
        ("YUNZHAN_GATEWAY__BODY_BYTES_MAX", "4MiB"),
        ("YUNZHAN_GATEWAY__HOSTS", "a.example, b.example"),
        ("YUNZHAN_GATEWAY__SHARED_SECRET_FILE", "good"),
        ("YUNZHAN_ENVS__SHOP_1__APPID", "wx2"),
        ("YUNZHAN_ENVS__DEMO__APPID", "wx3"),
        ("YUNZHAN_ROUTES__1__PATH", "/more"),
        ("YUNZHAN_TEST_MYSQL", "ignored"),
        ("YUNZHAN_SERVICE_HOST", "of Kubernetes"),
        ("YUNZHAN_PORT_8080_TCP_ADDR", "of Kubernetes"),
        ("PATH", "ignored"),
    ];
    check(
        text,
        &pairs,
        &expect![[r#"
        Shop {
            listen: 0.0.0.0:8080,
            idle: 300s,
            body_bytes_max: ByteSize(
                4194304,
            ),
            hosts: [
                "a.example",
                "b.example",
            ],
            secret: Some(
                ***,
            ),
            envs: [
                (
                    "shop-1",
                    Some(
                        "wx2",
                    ),
                ),
                (
                    "demo",
                    Some(
                        "wx3",
                    ),
                ),
            ],
            routes: [
                Some(
                    "/api",
                ),
                Some(
                    "/more",
                ),
            ],
        }
    "#]],
    );
}

const MISTAKES: &str = r#"# every kind of mistake
body_bytes_max = 1
[gateway]
http_listen = "80 80"
idle_timout = "secret in a misspelt key"
idle_timeout = 30
body_bytes_max = "1GiB"
hosts = ["云栈", 7]
shared_secret = ""
shared_secret_file = "absent"

[envs]
demo = true

[[routes]]
"#;

const WRONG_VARIABLES: &[(&str, &str)] =
    &[("YUNZHAN_GATEWAY__HTTP_LISTN", "0.0.0.0:1"), ("YUNZHAN_ENVS__DEMO__APPID", "x")];

#[test]
fn every_mistake_is_reported_at_once() {
    check(
        MISTAKES,
        WRONG_VARIABLES,
        &expect![[r#"
            error: unknown key "body_bytes_max"
             --> yunzhan.toml:2:1 (body_bytes_max)
              |
            2 | body_bytes_max = ***
              | ^^^^^^^^^^^^^^
              = a key of this name belongs to [gateway]

            error: expected an address with a port such as "0.0.0.0:8080", got "80 80"
             --> yunzhan.toml:4:15 (gateway.http_listen)
              |
            4 | http_listen = "80 80"
              |               ^^^^^^^
              = default: "0.0.0.0:8080"; variable: YUNZHAN_GATEWAY__HTTP_LISTEN

            error: unknown key "idle_timout"
             --> yunzhan.toml:5:1 (gateway.idle_timout)
              |
            5 | idle_timout = ***
              | ^^^^^^^^^^^
              = did you mean "idle_timeout"?

            error: expected a duration such as "500ms", "30s", "5m", "2h" or "30d", got 30
             --> yunzhan.toml:6:16 (gateway.idle_timeout)
              |
            6 | idle_timeout = 30
              |                ^^
              = a duration needs its unit
              = default: "75s"; variable: YUNZHAN_GATEWAY__IDLE_TIMEOUT

            error: expected between "1KiB" and "64MiB", got "1GiB"
             --> yunzhan.toml:7:18 (gateway.body_bytes_max)
              |
            7 | body_bytes_max = "1GiB"
              |                  ^^^^^^

            error: expected a list, each of them text in quotes, got ["云栈", 7]
             --> yunzhan.toml:8:9 (gateway.hosts)
              |
            8 | hosts = ["云栈", 7]
              |         ^^^^^^^^^^^
              = default: []; variable: YUNZHAN_GATEWAY__HOSTS

            error: both shared_secret and shared_secret_file are set; keep one
              --> yunzhan.toml:10:22 (gateway.shared_secret_file)
               |
            10 | shared_secret_file = ***
               |                      ^^^

            error: expected a table [envs.demo]
              --> yunzhan.toml:13:8 (envs.demo)
               |
            13 | demo = true
               |        ^^^^

            error: path is missing
              --> yunzhan.toml:15:1 (routes.0.path)
               |
            15 | [[routes]]
               | ^^^^^^^^^^

            error: unknown variable YUNZHAN_GATEWAY__HTTP_LISTN
             --> variable YUNZHAN_GATEWAY__HTTP_LISTN
              = did you mean YUNZHAN_GATEWAY__HTTP_LISTEN?
        "#]],
    );
}

#[test]
fn mistakes_are_told_in_chinese() {
    check_with(
        MISTAKES,
        WRONG_VARIABLES,
        Lang::Zh,
        &expect![[r#"
            错误: 未知的键 "body_bytes_max"
             --> yunzhan.toml:2:1 (body_bytes_max)
              |
            2 | body_bytes_max = ***
              | ^^^^^^^^^^^^^^
              = 此键属于 [gateway]

            错误: 应为带端口的地址, 例如 "0.0.0.0:8080", 得到 "80 80"
             --> yunzhan.toml:4:15 (gateway.http_listen)
              |
            4 | http_listen = "80 80"
              |               ^^^^^^^
              = 默认值: "0.0.0.0:8080"; 环境变量: YUNZHAN_GATEWAY__HTTP_LISTEN

            错误: 未知的键 "idle_timout"
             --> yunzhan.toml:5:1 (gateway.idle_timout)
              |
            5 | idle_timout = ***
              | ^^^^^^^^^^^
              = 是否想写 "idle_timeout"?

            错误: 应为时长, 例如 "500ms", "30s", "5m", "2h" 或 "30d", 得到 30
             --> yunzhan.toml:6:16 (gateway.idle_timeout)
              |
            6 | idle_timeout = 30
              |                ^^
              = 时长需要带单位
              = 默认值: "75s"; 环境变量: YUNZHAN_GATEWAY__IDLE_TIMEOUT

            错误: 应在 "1KiB" 与 "64MiB" 之间, 得到 "1GiB"
             --> yunzhan.toml:7:18 (gateway.body_bytes_max)
              |
            7 | body_bytes_max = "1GiB"
              |                  ^^^^^^

            错误: 应为列表, 每一项为带引号的文本, 得到 ["云栈", 7]
             --> yunzhan.toml:8:9 (gateway.hosts)
              |
            8 | hosts = ["云栈", 7]
              |         ^^^^^^^^^^^
              = 默认值: []; 环境变量: YUNZHAN_GATEWAY__HOSTS

            错误: shared_secret 与 shared_secret_file 只能设置一个
              --> yunzhan.toml:10:22 (gateway.shared_secret_file)
               |
            10 | shared_secret_file = ***
               |                      ^^^

            错误: 应为表 [envs.demo]
              --> yunzhan.toml:13:8 (envs.demo)
               |
            13 | demo = true
               |        ^^^^

            错误: 缺少 path
              --> yunzhan.toml:15:1 (routes.0.path)
               |
            15 | [[routes]]
               | ^^^^^^^^^^

            错误: 未知的环境变量 YUNZHAN_GATEWAY__HTTP_LISTN
             --> 环境变量 YUNZHAN_GATEWAY__HTTP_LISTN
              = 是否想写 YUNZHAN_GATEWAY__HTTP_LISTEN?
        "#]],
    );
}

#[test]
fn broken_syntax_shows_the_line_and_hides_secrets() {
    check(
        "[gateway]\nhttp_listen = 0.0.0.0\nshared_secret = hunter2\n",
        &[],
        &expect![[r#"
            error: not TOML: invalid float, expected nothing
             --> yunzhan.toml:2:18
              |
            2 | http_listen = 0.0.0.0
              |                  ^^^^

            error: not TOML: string values must be quoted, expected literal string
             --> yunzhan.toml:3:17
              |
            3 | shared_secret = ***
              |                 ^^^
        "#]],
    );
}

/// Found by fuzzing: the parser goes on with a value of its own, as if it stood at the file's first byte.
#[test]
fn a_missing_value_is_one_mistake_at_its_place() {
    check(
        "secret = 'hunter2'\ngateway = { hosts = }",
        &[],
        &expect![[r#"
        error: unknown key "secret"
         --> yunzhan.toml:1:1 (secret)
          |
        1 | secret = ***
          | ^^^^^^

        error: not TOML: invalid literal string, expected `'`
         --> yunzhan.toml:2:21
          |
        2 | gateway = { hosts = }
          |                     ^

        error: not TOML: invalid literal string, expected `'`
         --> yunzhan.toml:2:21
          |
        2 | gateway = { hosts = }
          |                     ^
    "#]],
    );
}

#[test]
fn the_caret_stands_under_wide_and_far_characters() {
    check(
        "[gateway]\nhosts = [\"云\", \"栈\"]\t#\n云 = 1\n",
        &[],
        &expect![[r#"
        error: not TOML: invalid unquoted key, expected letters, numbers, `-`, `_`
         --> yunzhan.toml:3:1
          |
        3 | 云 = 1
          | ^^

        error: unknown key "云"
         --> yunzhan.toml:3:1 (gateway.云)
          |
        3 | 云 = ***
          | ^^
    "#]],
    );
    let far = format!("gateway.hosts = [{}7]", "\"host\", ".repeat(40));
    check(
        &far,
        &[],
        &expect![[r#"
        error: expected a list, each of them text in quotes, got ["host", "host", "host", …]
         --> yunzhan.toml:1:17 (gateway.hosts)
          |
        1 | gateway.hosts = ["host", "host", "host", "host", "host", "host", "host", "host", "host", "host", "host", "host", "host",
          |                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          = default: []; variable: YUNZHAN_GATEWAY__HOSTS
    "#]],
    );
    check(
        "gateway = { hosts = '云', idle_timeout = 1, shared_secret = 'x' }",
        &[],
        &expect![[r#"
        error: expected a list, each of them text in quotes, got "云"
         --> yunzhan.toml:1:21 (gateway.hosts)
          |
        1 | gateway = ***
          |              ^
          = default: []; variable: YUNZHAN_GATEWAY__HOSTS

        error: expected a duration such as "500ms", "30s", "5m", "2h" or "30d", got 1
         --> yunzhan.toml:1:41 (gateway.idle_timeout)
          |
        1 | gateway = ***
          |              ^
          = a duration needs its unit
          = default: "75s"; variable: YUNZHAN_GATEWAY__IDLE_TIMEOUT
    "#]],
    );
}

#[test]
fn a_secret_comes_from_one_place() {
    let secret = |text: &str, pairs: &[(&str, &str)]| {
        let document =
            Document::parse("f", text, variables(pairs)).with_files(|_| Ok(b"file\n".to_vec()));
        let shop = read(&mut document.root());
        document
            .finish()
            .map(|()| shop.secret.map(|secret| secret.expose_str().unwrap().to_owned()))
            .map_err(|p| p.to_string())
    };
    let variable = [("YUNZHAN_GATEWAY__SHARED_SECRET", "variable")];
    assert_eq!(secret("", &[]), Ok(None));
    assert_eq!(secret("gateway.shared_secret = 'text'", &[]), Ok(Some("text".into())));
    assert_eq!(secret("gateway.shared_secret_file = 'x'", &[]), Ok(Some("file".into())));
    assert_eq!(secret("gateway.shared_secret_file = 'x'", &variable), Ok(Some("variable".into())));
    let both =
        secret("gateway = { shared_secret = 'text', shared_secret_file = 'x' }", &[]).unwrap_err();
    assert!(both.contains("keep one") && !both.contains("text"), "{both}");
}

fn settings(text: &str) -> Settings {
    let document = Document::parse("f", text, Variables::default());
    read(&mut document.root());
    document.settings()
}

#[test]
fn changes_name_the_keys_that_differ() {
    let before =
        settings("gateway = { idle_timeout = '1s', shared_secret = 'a', hosts = ['zebra'] }");
    let after =
        settings("\n\ngateway = { idle_timeout = '2s', shared_secret = 'b', hosts = ['zebra'] }");
    let changed = Settings::changed(&before, &after);
    assert_eq!(changed, ["gateway.idle_timeout", "gateway.shared_secret"]);
    let same =
        settings("[gateway]\nhosts = [\n'zebra',\n]\nidle_timeout = '1000ms'\nshared_secret='a'");
    assert_eq!(Settings::changed(&before, &same), Vec::<String>::new());
    assert!(!format!("{before:?}").contains("zebra"));
}

#[test]
fn a_mistake_that_shows_later_stands_where_its_key_was_set() {
    let later = settings("[gateway]\nshared_secret = 'hunter2'\nhosts = ['shop.example']");
    let problems = later.problems(vec![
        later.problem("gateway.hosts", ("no such host", "没有此主机")),
        later.problem("gateway.shared_secret", ("a wrong secret", "密钥错误")),
        later.problem("gateway.idle_timeout", ("too short", "过短")),
    ]);
    expect![[r#"
        error: a wrong secret
         --> f:2:17 (gateway.shared_secret)
          |
        2 | shared_secret = ***
          |                 ^^^

        error: no such host
         --> f:3:9 (gateway.hosts)
          |
        3 | hosts = ['shop.example']
          |         ^^^^^^^^^^^^^^^^

        error: too short
         --> f (gateway.idle_timeout)
    "#]]
    .assert_eq(&problems.to_string());
}

#[test]
fn the_reference_lists_every_key_that_rooms_ask_for() {
    let page = markdown(&Document::reference(|reader| drop(read(reader))));
    expect![[r#"

        ## `[gateway]`

        | key | holds | default | takes effect | what it is for |
        |---|---|---|---|---|
        | `http_listen` | an address with a port such as "0.0.0.0:8080" | `"0.0.0.0:8080"` | restart | where HTTP is served |
        | `idle_timeout` | a duration such as "500ms", "30s", "5m", "2h" or "30d" | `"75s"` | reload | when a silent connection is closed |
        | `body_bytes_max` | a size such as "64KiB", "1MiB" or a number of bytes, from "1KiB" to "64MiB" | `"1MiB"` | restart | the largest body |
        | `hosts` | a list, each of them text in quotes | `[]` | restart | names of this server |
        | `shared_secret` | a secret; or its file in `<key>_file` | — | restart | opens the door |

        ## `[envs.<name>]`

        | key | holds | default | takes effect | what it is for |
        |---|---|---|---|---|
        | `appid` | text in quotes | — | restart | of WeChat |

        ## `[[routes]]`

        | key | holds | default | takes effect | what it is for |
        |---|---|---|---|---|
        | `path` | text in quotes | — | restart | what it matches |
    "#]].assert_eq(&page);
}

#[test]
fn too_large_and_too_deep_files_are_refused() {
    let document = Document::parse("f", &" ".repeat(DOCUMENT_BYTES_MAX + 1), Variables::default());
    assert!(document.finish().unwrap_err().to_string().contains("larger than"));
    let deep = format!("a = {}", "[".repeat(100_000));
    assert!(Document::parse("f", &deep, Variables::default()).finish().is_err());
}
