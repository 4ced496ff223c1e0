//! `yunzhan env`: the environments of this server.

use std::path::PathBuf;

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};
use yunzhan_base::config::Lang;
use yunzhan_base::{EnvId, Error, Kind};

use super::context::{Context, Failure};
use super::output::{facts, finish, table};

/// What to do with environments.
#[derive(Subcommand)]
pub(super) enum EnvVerb {
    /// List the environments
    List,
    /// Add an environment
    Add {
        /// Environment id: lower-case letters, digits and '-', beginning with a letter
        id: EnvId,
        /// The mini-program's appid; without one only the development login works
        #[arg(long, value_name = "APPID", requires = "app_secret_file")]
        appid: Option<String>,
        /// A file that holds the mini-program's secret
        #[arg(long, value_name = "FILE", requires = "appid")]
        app_secret_file: Option<PathBuf>,
        /// A host name that means this environment; may be repeated
        #[arg(long = "host", value_name = "HOST")]
        hosts: Vec<String>,
        /// An origin whose pages may call it from a browser, such as https://h5.example.com; may be repeated
        #[arg(long = "origin", value_name = "ORIGIN")]
        origins: Vec<String>,
    },
    /// Say whose pages may call an environment from a browser; none when no origin is given
    Origins {
        /// Environment id
        env: EnvId,
        /// Origins such as https://h5.example.com
        origins: Vec<String>,
    },
    /// Show one environment
    Show {
        /// Environment id
        env: EnvId,
    },
    /// Add a key for a server of your own; it is shown once
    AddKey {
        /// Environment id
        env: EnvId,
    },
}

/// Does it through the control API.
pub(super) fn run(context: &Context, verb: &EnvVerb) -> u8 {
    match verb {
        EnvVerb::List => {
            let answer = context.control_call(Method::GET, "/control/v1/envs", &Value::Null);
            finish(context, answer, list_text)
        }
        EnvVerb::Add { id, appid, app_secret_file, hosts, origins } => {
            let answer = read_secret(app_secret_file.as_ref()).and_then(|app_secret| {
                let body = json!({
                    "env": id.as_str(),
                    "appid": appid,
                    "app_secret": app_secret,
                    "hosts": hosts,
                    "origins": origins,
                    "development_login": appid.is_none(),
                });
                context.control_call(Method::POST, "/control/v1/envs", &body)
            });
            finish(context, answer, show_text)
        }
        EnvVerb::Origins { env, origins } => {
            let path = format!("/control/v1/envs/{env}/origins");
            let body = json!({ "origins": origins });
            finish(context, context.control_call(Method::PUT, &path, &body), show_text)
        }
        EnvVerb::Show { env } => {
            let answer =
                context.control_call(Method::GET, &format!("/control/v1/envs/{env}"), &Value::Null);
            finish(context, answer, show_text)
        }
        EnvVerb::AddKey { env } => {
            let path = format!("/control/v1/envs/{env}/keys");
            let answer = context.control_call(Method::POST, &path, &Value::Null);
            finish(context, answer, show_text)
        }
    }
}

/// Secrets come in files, for a command line is seen by everyone on the machine.
fn read_secret(file: Option<&PathBuf>) -> Result<Option<String>, Failure> {
    let Some(file) = file else { return Ok(None) };
    let text = std::fs::read_to_string(file).map_err(|error| {
        let message = format!("cannot read the secret in {}: {error}", file.display());
        Error::new(Kind::InvalidParameter, message)
    })?;
    Ok(Some(text.trim_end().to_owned()))
}

fn list_text(answer: &Value, lang: Lang) -> String {
    let envs = answer["envs"].as_array().map_or(&[][..], Vec::as_slice);
    let headings =
        [lang.pick("env", "环境"), "appid", lang.pick("login", "登录"), lang.pick("hosts", "域名")];
    table(&headings, &envs.iter().map(|env| row(env, lang)).collect::<Vec<_>>())
}

fn row(env: &Value, lang: Lang) -> Vec<String> {
    let text = |key: &str| env[key].as_str().unwrap_or("-").to_owned();
    let is_development = env["development_login"].as_bool().unwrap_or(false);
    let login = if is_development {
        lang.pick("development", "开发登录")
    } else {
        lang.pick("WeChat", "微信")
    };
    let hosts = env["hosts"].as_array().map_or(&[][..], Vec::as_slice);
    let hosts: Vec<&str> = hosts.iter().filter_map(Value::as_str).collect();
    let hosts = if hosts.is_empty() { "-".to_owned() } else { hosts.join(" ") };
    vec![text("env"), text("appid"), login.to_owned(), hosts]
}

/// One fact a line. Objects inside, such as a new key, give a line for each of theirs.
fn show_text(answer: &Value, _lang: Lang) -> String {
    let mut found = Vec::new();
    collect_facts(answer, &mut found);
    facts(&found)
}

fn collect_facts<'a>(object: &'a Value, facts: &mut Vec<(&'a str, String)>) {
    for (name, value) in object.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) => collect_facts(value, facts),
            Value::Null => facts.push((name, "-".into())),
            Value::String(text) => facts.push((name, text.clone())),
            Value::Array(items) => {
                let items: Vec<_> = items.iter().filter_map(Value::as_str).collect();
                facts.push((name, if items.is_empty() { "-".into() } else { items.join(" ") }));
            }
            Value::Bool(_) | Value::Number(_) => facts.push((name, value.to_string())),
        }
    }
}
