//! `yunzhan env`: the environments of this server.

use serde_json::{Map, Value};
use yunzhan_base::config::Lang;

use crate::verbs::{ENV, Family, Parameter, Verb, env, facts, table, word, words};

/// What operators do with environments.
pub(super) const VERBS: &[Family] = &[Family {
    name: "env",
    about: ("Environments: the mini-programs on this server", "环境: 本服务器上的小程序"),
    verbs: &[
        Verb::new("list", ("List the environments", "列出环境"), "envs.control.list", list),
        Verb {
            parameters: &[NEW_ENV, APPID, APP_SECRET, HOSTS, ORIGINS],
            complete: login,
            ..Verb::new("add", ("Add an environment", "添加环境"), "envs.control.add", show)
        },
        Verb {
            parameters: &[
                ENV,
                Parameter::arguments(
                    "origins",
                    "ORIGINS",
                    (
                        "Origins such as https://h5.example.com",
                        "可从浏览器调用此环境的页面来源 (安全域名), 形如 https://h5.example.com; 可重复",
                    ),
                ),
            ],
            ..Verb::new(
                "origins",
                (
                    "Say whose pages may call an environment from a browser; none when no origin is given",
                    "设置可从浏览器调用该环境的页面来源 (安全域名); 不给来源则一个也不允许",
                ),
                "envs.control.set_origins",
                show,
            )
        },
        Verb {
            parameters: &[ENV],
            ..Verb::new("show", ("Show one environment", "显示一个环境"), "envs.control.show", show)
        },
        Verb {
            parameters: &[ENV],
            ..Verb::new(
                "add-key",
                (
                    "Add a key for a server of your own; it is shown once",
                    "为环境添加服务端密钥; 密钥只显示一次",
                ),
                "envs.control.add_key",
                show,
            )
        },
    ],
}];

const NEW_ENV: Parameter = Parameter {
    value: "ID",
    ..env((
        "Environment id: lower-case letters, digits and '-', beginning with a letter",
        "环境 id: 小写字母, 数字与 '-', 以字母开头",
    ))
};

const APPID: Parameter = Parameter::option(
    "appid",
    "appid",
    "APPID",
    (
        "The mini-program's appid; without one only the development login works",
        "小程序的 appid; 没有时只能使用开发登录",
    ),
)
.needs("app_secret");

const APP_SECRET: Parameter = Parameter::secret_file(
    "app_secret",
    "app-secret-file",
    ("A file that holds the mini-program's secret", "存放小程序密钥的文件"),
)
.needs("appid");

const HOSTS: Parameter = Parameter::options(
    "hosts",
    "host",
    "HOST",
    ("A host name that means this environment; may be repeated", "指向此环境的域名; 可重复"),
);

const ORIGINS: Parameter = Parameter::options(
    "origins",
    "origin",
    "ORIGIN",
    (
        "An origin whose pages may call it from a browser, such as https://h5.example.com; may be repeated",
        "可从浏览器调用此环境的页面来源 (安全域名), 形如 https://h5.example.com; 可重复",
    ),
);

/// Without WeChat there is only the development login.
fn login(body: &mut Map<String, Value>) {
    body.insert("development_login".into(), (!body.contains_key("appid")).into());
}

fn list(answer: &Value, lang: Lang) -> String {
    let envs = answer["envs"].as_array().map_or(&[][..], Vec::as_slice);
    let headings =
        [lang.pick("env", "环境"), "appid", lang.pick("login", "登录"), lang.pick("hosts", "域名")];
    table(&headings, &envs.iter().map(|env| row(env, lang)).collect::<Vec<_>>())
}

fn row(env: &Value, lang: Lang) -> Vec<String> {
    let is_development = env["development_login"].as_bool().unwrap_or(false);
    let login = if is_development {
        lang.pick("development", "开发登录")
    } else {
        lang.pick("WeChat", "微信")
    };
    vec![word(env, "env"), word(env, "appid"), login.to_owned(), words(env, "hosts")]
}

/// One fact a line. Objects inside, such as a new key, give a line for each of theirs.
fn show(answer: &Value, _lang: Lang) -> String {
    let mut found = Vec::new();
    collect_facts(answer, &mut found);
    facts(&found)
}

fn collect_facts<'a>(object: &'a Value, facts: &mut Vec<(&'a str, String)>) {
    for (name, value) in object.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) => collect_facts(value, facts),
            Value::Array(_) => facts.push((name, words(object, name))),
            Value::Null => facts.push((name, "-".into())),
            Value::String(text) => facts.push((name, text.clone())),
            Value::Bool(_) | Value::Number(_) => facts.push((name, value.to_string())),
        }
    }
}
