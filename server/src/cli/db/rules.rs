//! Security rules: a collection's own, and what they would answer.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};
use yunzhan_base::{Error, Kind};

use super::place::{self, Place};
use super::terms::{Json, body};
use super::text;
use crate::cli::EXIT_FAILED;
use crate::cli::context::{Context, Failure};
use crate::cli::output::finish;

/// Longest file of rules in bytes: more than the server takes, so that the server says what is too long.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// What to do with rules.
#[derive(Subcommand)]
pub(in crate::cli) enum RulesVerb {
    /// Say what rules answer, and which clause fails; the exit code is 0 for allowed and 1 for denied
    Test(Test),
}

/// What to ask.
#[derive(Args)]
pub(in crate::cli) struct Test {
    #[command(flatten)]
    place: Place,
    /// What the call does: read, create, update or delete
    #[arg(long, value_name = "OPERATION", hide_possible_values = true)]
    operation: Operation,
    /// The caller's openid; a caller without openid, uid and roles is nobody
    #[arg(long, value_name = "OPENID")]
    openid: Option<String>,
    /// The caller's uid
    #[arg(long, value_name = "UID")]
    uid: Option<String>,
    /// A role of the caller; may be repeated
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    #[command(flatten)]
    subject: Subject,
    /// What is written, as Extended JSON
    #[arg(long, value_name = "JSON")]
    written: Option<Json>,
    /// A draft of rules to test in the place of the collection's own
    #[arg(long = "rules", id = "draft", value_name = "FILE")]
    draft: Option<PathBuf>,
}

/// What the call is about.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct Subject {
    /// All documents of this query, as Extended JSON
    #[arg(long = "query", id = "asked_query", value_name = "JSON")]
    query: Option<Json>,
    /// The document with this id
    #[arg(long = "id", id = "document_id", value_name = "ID")]
    id: Option<String>,
    /// This document, as Extended JSON
    #[arg(long, value_name = "JSON")]
    document: Option<Json>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Operation {
    Read,
    Create,
    Update,
    Delete,
}

/// Does it through the control API.
pub(in crate::cli) fn run(context: &Context, verb: &RulesVerb) -> u8 {
    let RulesVerb::Test(test) = verb;
    let answer =
        test.body().and_then(|body| test.place.call(context, Method::POST, "/rules/test", &body));
    let is_denied = answer.as_ref().is_ok_and(|answer: &Value| answer["allowed"] == false);
    let code = finish(context, answer, text::tested);
    if is_denied { EXIT_FAILED } else { code }
}

/// Shows the rules of a collection, or sets those of a file.
pub(super) fn show_or_set(
    context: &Context,
    place: &Place,
    file: Option<&Path>,
) -> Result<Value, Failure> {
    if let Some(file) = file {
        let body = json!({ "permission": "CUSTOM", "rules": read(file)? });
        return place.call(context, Method::PUT, "/permission", &body);
    }
    let path = format!("/control/v1/envs/{}/collections", place.env);
    let answer: Result<Value, _> = context.control_call(Method::GET, &path, &Value::Null);
    let answer = answer.map_err(|failure| place::advise(failure, &place.env))?;
    let mut all = answer["collections"].as_array().into_iter().flatten();
    let found = all.find(|collection| collection["name"] == place.collection.as_str());
    found.cloned().ok_or_else(|| {
        let message = format!("there is no collection {}", place.collection);
        place::advise(Error::new(Kind::CollectionNotFound, message).into(), &place.env)
    })
}

/// Whoever wants the permission CUSTOM hears which verb sets it.
pub(super) fn advise(failure: Failure, place: &Place, preset: &str) -> Failure {
    match failure {
        Failure::Error(error) if preset.eq_ignore_ascii_case("custom") => {
            let Place { env, collection } = place;
            let message = format!(
                "{}; `yunzhan db rules {env} {collection} FILE` sets both",
                error.message()
            );
            Error::new(error.kind(), message).into()
        }
        other => other,
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read =
        File::open(file).and_then(|opened| opened.take(FILE_BYTES_MAX).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(error) => {
            let message = format!("cannot read {}: {error}", file.display());
            Err(Error::new(Kind::InvalidParameter, message).into())
        }
    }
}

// === impl Test ===

impl Test {
    fn body(&self) -> Result<Value, Failure> {
        let Subject { query, id, document } = &self.subject;
        let text = |text: &Option<String>| text.as_deref().map(Value::from);
        let roles = Some(&self.roles).filter(|roles| !roles.is_empty());
        let draft = self.draft.as_deref().map(read).transpose()?;
        Ok(body([
            ("operation", Some(self.operation.name().into())),
            ("openid", text(&self.openid)),
            ("uid", text(&self.uid)),
            ("roles", roles.map(|roles| json!(roles))),
            ("query", query.as_ref().map(Json::value)),
            ("id", text(id)),
            ("document", document.as_ref().map(Json::value)),
            ("data", self.written.as_ref().map(Json::value)),
            ("rules", draft.map(Value::from)),
        ]))
    }
}

// === impl Operation ===

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}
