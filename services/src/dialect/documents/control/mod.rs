//! The control routes of documents: collections and what people may do with them, indexes, and looking at documents.

mod imports;
mod rules;

use std::sync::Arc;

use bson::{Bson, Document};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use yunzhan_base::{Call, Endpoint, EnvId, Error, Kind, ResponseFuture, Result};
use yunzhan_query::ejson::Mode;

use crate::dialect::control::{endpoint, streaming_endpoint};
use crate::dialect::documents::Detached;
use crate::dialect::json;
use crate::dialect::members::{Members, refused};
use crate::dialect::reply::{self, Object};
use crate::documents::{
    Caller, Collection, Documents, Find, GEO_DIRECTION, Index, Keys, NewIndex, Permission, Preset,
};

/// What an operator may do with collections.
pub(crate) const CONTROL: &[Endpoint<Documents>] = &[
    endpoint(
        "documents.control.list_collections",
        Method::GET,
        "/control/v1/envs/{env}/collections",
        list,
    ),
    endpoint(
        "documents.control.create_collection",
        Method::POST,
        "/control/v1/envs/{env}/collections",
        create,
    ),
    endpoint(
        "documents.control.set_permission",
        Method::PUT,
        "/control/v1/envs/{env}/collections/{collection}/permission",
        set_permission,
    ),
    endpoint("documents.control.list_indexes", Method::GET, INDEXES, list_indexes),
    endpoint("documents.control.create_index", Method::POST, INDEXES, create_index),
    endpoint(
        "documents.control.drop_index",
        Method::DELETE,
        "/control/v1/envs/{env}/collections/{collection}/indexes/{index}",
        drop_index,
    ),
    endpoint(
        "documents.control.find",
        Method::POST,
        "/control/v1/envs/{env}/collections/{collection}/find",
        find,
    ),
    endpoint(
        "documents.control.count",
        Method::POST,
        "/control/v1/envs/{env}/collections/{collection}/count",
        count,
    ),
    endpoint(
        "documents.control.explain",
        Method::POST,
        "/control/v1/envs/{env}/collections/{collection}/explain",
        explain,
    ),
    streaming_endpoint(
        "documents.control.import",
        Method::POST,
        "/control/v1/envs/{env}/collections/{collection}/imports/{import}",
        imports::add,
    ),
    endpoint(
        "documents.control.show_import",
        Method::GET,
        "/control/v1/envs/{env}/collections/{collection}/imports/{import}",
        imports::show,
    ),
    endpoint(
        "documents.control.test_rules",
        Method::POST,
        "/control/v1/envs/{env}/collections/{collection}/rules/test",
        rules::test,
    ),
];

const INDEXES: &str = "/control/v1/envs/{env}/collections/{collection}/indexes";

/// Documents in an answer when the operator names no limit.
const LIMIT_DEFAULT: usize = 20;

#[derive(Serialize)]
struct ShownIndex<'a> {
    name: &'a str,
    keys: Vec<Key>,
    unique: bool,
    state: &'static str,
    done: u64,
    total: u64,
    failure: Option<&'a str>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Key {
    field: String,
    /// `1`, `-1` or `2dsphere`, as text: that is how CloudBase's own API spells it.
    direction: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedIndex {
    name: Option<String>,
    keys: Vec<Key>,
    #[serde(default)]
    unique: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    permission: &'static str,
    created_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewCollection {
    name: String,
    permission: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPermission {
    permission: String,
    /// An object, or its text.
    rules: Option<Value>,
}

fn list(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = documents.known_env(call.params.get("env")?)?;
        let collections = documents.collections(&env).await?;
        let shown: Vec<_> = collections.iter().map(show).collect();
        Ok(json::ok(&serde_json::json!({ "collections": shown })))
    })
}

fn create(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = documents.known_env(call.params.get("env")?)?;
        let new: NewCollection = json::read(&call)?;
        let permission = new.permission.map_or(Ok(Preset::DEFAULT), |name| name.parse())?;
        let detached = Detached { documents, env, context: call.context };
        Ok(json::ok(&show(&detached.create_collection(new.name, permission).await?)))
    })
}

fn set_permission(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = documents.known_env(call.params.get("env")?)?;
        let new: NewPermission = json::read(&call)?;
        let preset: Preset = new.permission.parse()?;
        let text = new.rules.map(rules::text).transpose()?;
        if text.is_some() && preset != Preset::Custom {
            let message = "rules go with the permission CUSTOM only";
            return Err(Error::new(Kind::InvalidParameter, message));
        }
        let name = call.params.get("collection")?.to_owned();
        let acts = documents.acts().clone();
        let detached = Detached { documents, env, context: call.context };
        let act = detached.act("collection.permission", format!("{name} {preset}"));
        let (collection, rules) = (name.clone(), text.clone());
        let set = async move {
            let permission = match rules.as_deref() {
                Some(text) => Permission::Rules(text),
                None => Permission::Preset(preset),
            };
            detached.documents.set_permission(detached.caller(), &collection, permission).await
        };
        acts.run(act, set).await?;
        let mut set = serde_json::json!({ "name": name, "permission": preset.name() });
        if let Some(text) = text {
            set["rules"] = rules::shown(&text);
        }
        Ok(json::ok(&set))
    })
}

fn list_indexes(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = documents.known_env(call.params.get("env")?)?;
        let indexes = documents.indexes(&env, call.params.get("collection")?).await?;
        let shown: Vec<_> = indexes.iter().map(|index| show_index(index)).collect();
        Ok(json::ok(&serde_json::json!({ "indexes": shown })))
    })
}

fn create_index(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = documents.known_env(call.params.get("env")?)?;
        let wanted: WantedIndex = json::read(&call)?;
        let new = NewIndex {
            name: wanted.name,
            keys: Keys::parse(&definition(&wanted.keys)?)?,
            unique: wanted.unique,
        };
        let collection = call.params.get("collection")?.to_owned();
        let name = new.name.clone().unwrap_or_else(|| new.keys.default_name());
        let acts = documents.acts().clone();
        let detached = Detached { documents, env, context: call.context };
        let act = detached.act("index.add", format!("{collection} {name}"));
        let make = async move {
            detached.documents.create_index(detached.caller(), &collection, new).await
        };
        let made = acts.run(act, make).await?;
        Ok(json::ok(&show_index(&made)))
    })
}

fn drop_index(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = documents.known_env(call.params.get("env")?)?;
        let collection = call.params.get("collection")?.to_owned();
        let name = call.params.get("index")?.to_owned();
        let acts = documents.acts().clone();
        let detached = Detached { documents, env, context: call.context };
        let act = detached.act("index.drop", format!("{collection} {name}"));
        let drop_it = async move {
            detached.documents.drop_index(detached.caller(), &collection, &name).await?;
            Ok(serde_json::json!({ "name": name }))
        };
        Ok(json::ok(&acts.run(act, drop_it).await?))
    })
}

fn find(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = documents.known_env(call.params.get("env")?)?;
        let collection = call.params.get("collection")?.to_owned();
        let mut members = Members::read(call.bytes(), documents.now_ms())?;
        let find = Find {
            which: members.which()?,
            order: members.order()?,
            skip: members.count("skip")?.unwrap_or(0),
            limit: members.count("limit")?.unwrap_or(LIMIT_DEFAULT),
            projection: members.projection()?,
        };
        let acts = documents.acts().clone();
        let detached = Detached { documents, env, context: call.context };
        let act = detached.act("documents.find", collection.as_str());
        let look = async move {
            let found = detached.documents.find(detached.caller(), &collection, find);
            Box::pin(found).await
        };
        let found = acts.run(act, look).await?;
        let mut answer = Object::with_bytes(found.bytes());
        reply::list(answer.raw("documents"), &found.documents, |out, body| {
            body.append(out, Mode::Relaxed)
        })?;
        if let Some(total) = found.total {
            answer.number("total", total);
        }
        Ok(reply::json(answer.close()))
    })
}

fn count(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = documents.known_env(call.params.get("env")?)?;
        let which = Members::read(call.bytes(), documents.now_ms())?.which()?;
        let collection = call.params.get("collection")?;
        let total = documents.count(caller(&env, &call), collection, which).await?;
        Ok(json::ok(&serde_json::json!({ "total": total })))
    })
}

fn explain(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = documents.known_env(call.params.get("env")?)?;
        let (caller, collection) = (caller(&env, &call), call.params.get("collection")?);
        let mut members = Members::read(call.bytes(), documents.now_ms())?;
        let (which, order) = (members.which()?, members.order()?);
        let limit = members.count("limit")?.unwrap_or(LIMIT_DEFAULT);
        let told = documents.explain(caller, collection, which, &order, limit).await?;
        Ok(json::ok(&told))
    })
}

/// The keys as a document, in their order.
fn definition(keys: &[Key]) -> Result<Document> {
    let mut definition = Document::new();
    for key in keys {
        let direction = match key.direction.as_str() {
            "1" => Bson::Int32(1),
            "-1" => Bson::Int32(-1),
            GEO_DIRECTION => Bson::from(GEO_DIRECTION),
            _ => return Err(refused("direction", "\"1\", \"-1\" or \"2dsphere\"")),
        };
        if definition.insert(key.field.as_str(), direction).is_some() {
            let message = format!("field {} is named twice", key.field);
            return Err(Error::new(Kind::InvalidParameter, message));
        }
    }
    Ok(definition)
}

fn show_index(index: &Index) -> ShownIndex<'_> {
    let definition = index.keys.definition();
    let keys = definition.into_iter().map(|(field, direction)| Key {
        field,
        direction: match direction {
            Bson::String(kind) => kind,
            direction => direction.as_i32().unwrap_or(1).to_string(),
        },
    });
    ShownIndex {
        name: &index.name,
        keys: keys.collect(),
        unique: index.unique,
        state: index.state.name(),
        done: index.progress.done,
        total: index.progress.total,
        failure: index.failure.as_deref(),
    }
}

fn caller<'c>(env: &'c EnvId, call: &'c Call) -> Caller<'c> {
    Caller { env, principal: &call.context.principal }
}

fn show(collection: &Collection) -> Shown<'_> {
    Shown {
        name: &collection.name,
        permission: collection.permission.name(),
        created_ms: collection.created_ms,
        rules: collection.rules.as_ref().map(|custom| rules::shown(custom.text())),
    }
}
