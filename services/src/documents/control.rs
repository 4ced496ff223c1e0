//! The control routes of documents: which collections an environment has, and what people may do with them.

use std::sync::Arc;

use http::Method;
use serde::{Deserialize, Serialize};
use yunzhan_base::{Answer, Call, Endpoint, EnvId};

use super::{Caller, Collection, Documents, Preset};
use crate::dialect::control::endpoint;
use crate::dialect::json;

/// What an operator may do with collections.
pub const CONTROL: &[Endpoint<Documents>] = &[
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
];

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    permission: &'static str,
    created_ms: i64,
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
}

fn list(documents: Arc<Documents>, call: Call) -> Answer {
    Box::pin(async move {
        let env = documents.known_env(call.params.get("env")?)?;
        let collections = documents.collections(&env).await?;
        let shown: Vec<_> = collections.iter().map(show).collect();
        Ok(json::ok(&serde_json::json!({ "collections": shown })))
    })
}

fn create(documents: Arc<Documents>, call: Call) -> Answer {
    Box::pin(async move {
        let env = documents.known_env(call.params.get("env")?)?;
        let new: NewCollection = json::read(&call)?;
        let permission = new.permission.map_or(Ok(Preset::DEFAULT), |name| name.parse())?;
        let collection =
            documents.create_collection(caller(&env, &call), &new.name, permission).await?;
        Ok(json::ok(&show(&collection)))
    })
}

fn set_permission(documents: Arc<Documents>, call: Call) -> Answer {
    Box::pin(async move {
        let env = documents.known_env(call.params.get("env")?)?;
        let permission = json::read::<NewPermission>(&call)?.permission.parse()?;
        let name = call.params.get("collection")?;
        documents.set_permission(caller(&env, &call), name, permission).await?;
        Ok(json::ok(&serde_json::json!({ "name": name, "permission": permission.name() })))
    })
}

fn caller<'c>(env: &'c EnvId, call: &'c Call) -> Caller<'c> {
    Caller { env, principal: &call.principal }
}

fn show(collection: &Collection) -> Shown<'_> {
    Shown {
        name: &collection.name,
        permission: collection.permission.name(),
        created_ms: collection.created_ms,
    }
}
