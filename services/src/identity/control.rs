//! What an operator may do with people and keys.

use std::sync::Arc;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;
use yunzhan_base::{Act, Call, Endpoint, EnvId, Error, Kind, ResponseFuture, Result};

use super::Identity;
use super::logic::{self, OPENID_BYTES_MAX};
use super::sessions::Person;
use super::store::UserRow;
use crate::dialect::{control::endpoint, json};

/// People on one page at the most.
const USERS_PAGE_MAX: i64 = 1000;
/// People on one page when nothing is said.
const USERS_PAGE: i64 = 100;

/// Roles of one person: they travel in every token.
const ROLES_MAX: usize = 16;

/// The control routes of identity.
pub const CONTROL: &[Endpoint<Identity>] = &[
    endpoint("identity.control.issue", Method::POST, "/control/v1/envs/{env}/tokens", issue),
    endpoint("identity.control.users", Method::GET, "/control/v1/envs/{env}/users", users),
    endpoint(
        "identity.control.roles",
        Method::PUT,
        "/control/v1/envs/{env}/users/{uid}/roles",
        set_roles,
    ),
    endpoint(
        "identity.control.sign_out",
        Method::DELETE,
        "/control/v1/envs/{env}/users/{uid}/sessions",
        end_sessions,
    ),
    endpoint("identity.control.rotate_keys", Method::POST, "/control/v1/keys/rotate", rotate_keys),
];

#[derive(Deserialize)]
struct Issue {
    /// Name of a development login.
    name: Option<String>,
    /// A real person's openid.
    openid: Option<String>,
    /// Whether the operator means it although the environment has real people.
    #[serde(default)]
    insist: bool,
}

/// Logs somebody in without asking them: for `yunzhan token`. Always on record; outside development only on insistence.
fn issue(identity: Arc<Identity>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = identity.env(&env_id(&call)?)?;
        let request: Issue = json::read(&call)?;
        let openid = issued_openid(&request)?;
        if !env.development_login && !request.insist {
            let message = format!(
                "environment {} is not for development; say that you insist (insist: true)",
                env.id
            );
            return Err(Error::new(Kind::PermissionDenied, message));
        }
        let person = Person::known(&env.id, openid);
        let subject = format!("user:{}", person.uid);
        let act = Act::new(&call.context, "token.issue", subject).in_env(&env.id);
        let own = Arc::clone(&identity);
        let issue = async move { own.begin(&env.id, person, None).await };
        Ok(json::ok(&identity.acts.run(act, issue).await?))
    })
}

fn issued_openid(request: &Issue) -> Result<String> {
    match (&request.name, &request.openid) {
        (Some(name), None) => logic::development_openid(name),
        (None, Some(openid))
            if (1..=OPENID_BYTES_MAX).contains(&openid.len())
                && openid.bytes().all(|byte| byte.is_ascii_graphic()) =>
        {
            Ok(openid.clone())
        }
        _ => Err(Error::new(
            Kind::InvalidParameter,
            "give either a name for development or an openid",
        )),
    }
}

#[derive(Serialize)]
struct Users {
    users: Vec<UserRow>,
    /// Send it as `after` for the next page; none at the end.
    next: Option<String>,
}

fn users(identity: Arc<Identity>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = identity.env(&env_id(&call)?)?;
        let after = call.query("after")?.unwrap_or_default();
        let limit = match call.query("limit")? {
            None => USERS_PAGE,
            Some(text) => {
                text.parse().ok().filter(|limit| (1..=USERS_PAGE_MAX).contains(limit)).ok_or_else(
                    || {
                        Error::new(
                            Kind::InvalidParameter,
                            format!("limit is a number from 1 to {USERS_PAGE_MAX}"),
                        )
                    },
                )?
            }
        };
        let users = identity.store.users(&env.id, &after, limit).await?;
        let is_full = i64::try_from(users.len()).is_ok_and(|count| count == limit);
        let next = users.last().filter(|_| is_full).map(|user| user.uid.clone());
        Ok(json::ok(&Users { users, next }))
    })
}

#[derive(Deserialize)]
struct Roles {
    roles: Vec<String>,
}

/// Sets the roles of a person. Tokens that say otherwise are refused from now on, so that a role that is taken away is gone.
fn set_roles(identity: Arc<Identity>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = identity.env(&env_id(&call)?)?;
        let uid = call.params.get("uid")?;
        let Roles { roles } = json::read(&call)?;
        if roles.len() > ROLES_MAX {
            return Err(Error::new(
                Kind::InvalidParameter,
                format!("a person has at most {ROLES_MAX} roles"),
            ));
        }
        roles.iter().try_for_each(|role| logic::check_role(role))?;
        let subject = format!("user:{uid} {}", roles.join(","));
        let act = Act::new(&call.context, "user.roles", subject).in_env(&env.id);
        let (own, uid) = (Arc::clone(&identity), uid.to_owned());
        let set = async move {
            own.store.set_roles(&env.id, logic::slot(&uid), &uid, &roles).await?;
            own.outdate(&env.id, &uid).await?;
            Ok(json!({ "uid": uid, "roles": roles }))
        };
        Ok(json::ok(&identity.acts.run(act, set).await?))
    })
}

/// Ends every session of a person.
fn end_sessions(identity: Arc<Identity>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let env = identity.env(&env_id(&call)?)?;
        let uid = call.params.get("uid")?.to_owned();
        let act = Act::new(&call.context, "user.sign_out", format!("user:{uid}")).in_env(&env.id);
        let own = Arc::clone(&identity);
        let end = async move { own.end_all(&env.id, &uid).await };
        let ended = identity.acts.run(act, end).await?;
        Ok(json::ok(&json!({ "ended": ended })))
    })
}

#[derive(Deserialize)]
struct RotateKeys {
    /// Whether the old key leaked: every token that it signed is refused at once.
    #[serde(default)]
    drop_old: bool,
}

fn rotate_keys(identity: Arc<Identity>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let request: RotateKeys = json::read(&call)?;
        let subject = if request.drop_old { "dropped" } else { "announced" };
        let act = Act::new(&call.context, "keys.rotate", subject);
        let own = Arc::clone(&identity);
        identity.acts.run(act, async move { own.rotate(request.drop_old).await }).await?;
        Ok(json::prepared(identity.keys.peek().key_set()).into())
    })
}

fn env_id(call: &Call) -> Result<EnvId> {
    call.params.get("env")?.parse()
}
