//! The control routes of documents: which collections an environment has, and what people may do with them.

use std::sync::Arc;

use http::Method;
use serde::{Deserialize, Serialize};
use yunzhan_base::{Access, Answer, Call, Endpoint, EnvId, RouteSpec, Tier};

use super::{Caller, Collection, Documents, Preset};
use crate::dialect::control::render_error;
use crate::dialect::json;

/// Largest body of a control request: a name and a permission.
const BODY_BYTES_MAX: usize = 4 << 10;

/// What an operator may do with collections.
pub const CONTROL: &[Endpoint<Documents>] = &[
    Endpoint {
        spec: RouteSpec {
            name: "documents.control.list_collections",
            method: Method::GET,
            path: "/control/v1/envs/{env}/collections",
            access: Access::Operator,
            tier: Tier::Ordinary,
            body_bytes_max: 0,
            render_error,
        },
        handle: list,
    },
    Endpoint {
        spec: RouteSpec {
            name: "documents.control.create_collection",
            method: Method::POST,
            path: "/control/v1/envs/{env}/collections",
            access: Access::Operator,
            tier: Tier::Ordinary,
            body_bytes_max: BODY_BYTES_MAX,
            render_error,
        },
        handle: create,
    },
    Endpoint {
        spec: RouteSpec {
            name: "documents.control.set_permission",
            method: Method::PUT,
            path: "/control/v1/envs/{env}/collections/{collection}/permission",
            access: Access::Operator,
            tier: Tier::Ordinary,
            body_bytes_max: BODY_BYTES_MAX,
            render_error,
        },
        handle: set_permission,
    },
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
