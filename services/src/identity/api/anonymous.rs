//! `POST /auth/v1/signin/anonymously`: a session for somebody whom nobody knows.

use std::sync::Arc;

use serde::Deserialize;
use yunzhan_base::{Call, Error, Kind, ResponseFuture};

use crate::dialect::json;
use crate::identity::Identity;
use crate::identity::sessions::Person;

#[derive(Deserialize)]
struct Request {
    client_id: Option<String>,
}

pub(super) fn handle(identity: Arc<Identity>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let request: Request = json::read(&call)?;
        let env = identity.env_of(&call, request.client_id.as_deref())?;
        if !identity.config.anonymous_login {
            let message = "anonymous login is off on this server; log in with signInWithOpenId";
            return Err(Error::new(Kind::PermissionDenied, message));
        }
        Ok(json::ok(&identity.begin(&env.id, Person::anonymous()?, None).await?))
    })
}
