//! `yunzhan db`: the collections of an environment, their indexes, and a look at their documents.

mod import;
mod place;
pub(super) mod rules;
mod terms;
mod text;
mod wait;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use yunzhan_base::EnvId;

use super::context::{Context, Failure};
use super::output::finish;
pub(super) use place::segment;
use place::{Place, advise};
use terms::{Json, Key, body};

/// What to do with collections.
#[derive(Subcommand)]
pub(super) enum DbVerb {
    /// List the collections of an environment
    Collections {
        /// Environment id
        env: EnvId,
    },
    /// Add a collection
    AddCollection {
        #[command(flatten)]
        place: Place,
        /// READONLY, PRIVATE, ADMINWRITE or ADMINONLY [default: PRIVATE]
        #[arg(long, value_name = "PRESET")]
        permission: Option<String>,
    },
    /// Set what people may do with a collection
    Permission {
        #[command(flatten)]
        place: Place,
        /// READONLY, PRIVATE, ADMINWRITE or ADMINONLY
        #[arg(value_name = "PRESET")]
        preset: String,
    },
    /// Show the security rules of a collection, or set them
    Rules {
        #[command(flatten)]
        place: Place,
        /// A JSON file with read, write, create, update and delete; without one, the rules are shown
        #[arg(id = "rules_file", value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// List the indexes of a collection
    Indexes(Place),
    /// Add an index; it is built while the collection stays in use
    AddIndex(NewIndex),
    /// Drop an index
    DropIndex {
        #[command(flatten)]
        place: Place,
        /// The index's name, as `db indexes` shows it
        index: String,
    },
    /// Count documents
    Count {
        #[command(flatten)]
        place: Place,
        /// Which documents, as Extended JSON; all of them without
        query: Option<Json>,
    },
    /// Show documents, one a line
    Find(Find),
    /// Add the documents of a file; the same command goes on after an interruption
    Import(import::Import),
    /// Show how a query finds its documents, and what that costs
    Explain {
        #[command(flatten)]
        place: Place,
        /// Which documents, as Extended JSON; all of them without
        query: Option<Json>,
        /// Order, as in '{"age":-1}'
        #[arg(long, value_name = "JSON")]
        order: Option<Json>,
        /// The most documents to find
        #[arg(long, value_name = "N")]
        limit: Option<u64>,
    },
}

/// Which index to add.
#[derive(Args)]
pub(super) struct NewIndex {
    #[command(flatten)]
    place: Place,
    /// Fields, the most significant first; FIELD:-1 counts downwards, FIELD:2dsphere holds places
    #[arg(value_name = "FIELD[:1|:-1]", required = true)]
    keys: Vec<Key>,
    /// No two documents may have the same values
    #[arg(long)]
    unique: bool,
    /// The index's name [default: made from its fields]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Wait until the index is built; Ctrl-C ends the waiting, not the building
    #[arg(long)]
    wait: bool,
}

/// Which documents to show, and how much of them.
#[derive(Args)]
pub(super) struct Find {
    #[command(flatten)]
    place: Place,
    /// Which documents, as Extended JSON; all of them without
    query: Option<Json>,
    /// Order, as in '{"age":-1}'
    #[arg(long, value_name = "JSON")]
    order: Option<Json>,
    /// Fields to show, as in '{"name":1}'
    #[arg(long, value_name = "JSON")]
    fields: Option<Json>,
    /// Documents to pass over first
    #[arg(long, value_name = "N")]
    skip: Option<u64>,
    /// The most documents to find
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

/// Does it through the control API.
pub(super) fn run(context: &Context, verb: &DbVerb) -> u8 {
    match verb {
        DbVerb::Collections { env } => {
            let path = format!("/control/v1/envs/{env}/collections");
            let answer = context.control_call(Method::GET, &path, &Value::Null);
            finish(context, answer.map_err(|failure| advise(failure, env)), text::collections)
        }
        DbVerb::AddCollection { place, permission } => {
            let answer = add_collection(context, place, permission.as_deref());
            finish(context, answer, text::collection)
        }
        DbVerb::Permission { place, preset } => {
            let body = json!({ "permission": preset.to_ascii_uppercase() });
            let answer = place.call(context, Method::PUT, "/permission", &body);
            finish(
                context,
                answer.map_err(|failure| rules::advise(failure, place, preset)),
                text::collection,
            )
        }
        DbVerb::Rules { place, file } => {
            let answer = rules::show_or_set(context, place, file.as_deref());
            finish(context, answer, text::rules)
        }
        DbVerb::Indexes(place) => {
            let answer = place.call(context, Method::GET, "/indexes", &Value::Null);
            finish(context, answer, text::indexes)
        }
        DbVerb::AddIndex(new) => finish(context, add_index(context, new), |index, lang| {
            text::added(index, &new.place, lang)
        }),
        DbVerb::DropIndex { place, index } => {
            let answer = place.drop_index(context, index);
            finish(context, answer, text::dropped)
        }
        DbVerb::Count { place, query } => {
            let body = body([("query", query.as_ref().map(Json::value))]);
            let answer = place.call(context, Method::POST, "/count", &body);
            finish(context, answer, text::total)
        }
        DbVerb::Find(find) => {
            let answer = find.place.call(context, Method::POST, "/find", &find.body());
            finish(context, answer, |answer, lang| {
                text::documents(answer, find.skip.unwrap_or(0), lang)
            })
        }
        DbVerb::Import(import) => finish(context, import::run(context, import), import::text),
        DbVerb::Explain { place, query, order, limit } => {
            let body = body([
                ("query", query.as_ref().map(Json::value)),
                ("order", order.as_ref().map(Json::value)),
                ("limit", limit.map(Value::from)),
            ]);
            let answer = place.call(context, Method::POST, "/explain", &body);
            finish(context, answer, |answer, lang| text::explained(answer, place, lang))
        }
    }
}

fn add_collection(
    context: &Context,
    place: &Place,
    permission: Option<&str>,
) -> Result<Value, Failure> {
    let body = body([
        ("name", Some(place.collection.as_str().into())),
        ("permission", permission.map(|preset| preset.to_ascii_uppercase().into())),
    ]);
    let path = format!("/control/v1/envs/{}/collections", place.env);
    let answer = context.control_call(Method::POST, &path, &body);
    answer.map_err(|failure| advise(failure, &place.env))
}

fn add_index(context: &Context, new: &NewIndex) -> Result<Value, Failure> {
    let keys: Vec<Value> = new.keys.iter().map(Key::value).collect();
    let body = body([
        ("name", new.name.as_deref().map(Value::from)),
        ("keys", Some(keys.into())),
        ("unique", Some(new.unique.into())),
    ]);
    let added = new.place.call(context, Method::POST, "/indexes", &body)?;
    if new.wait { wait::until_ready(context, &new.place, added) } else { Ok(added) }
}

// === impl Find ===

impl Find {
    fn body(&self) -> Value {
        body([
            ("query", self.query.as_ref().map(Json::value)),
            ("order", self.order.as_ref().map(Json::value)),
            ("projection", self.fields.as_ref().map(Json::value)),
            ("skip", self.skip.map(Value::from)),
            ("limit", self.limit.map(Value::from)),
        ])
    }
}
