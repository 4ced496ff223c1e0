//! `POST …/collections`: makes a collection. People may not, unless their token gives them the role `admin`.

use std::sync::Arc;

use yunzhan_base::{Answer, Call, Error, Kind};

use crate::dialect::gateway::caller;
use crate::dialect::members::Members;
use crate::dialect::reply::{Object, json};
use crate::documents::{Documents, Preset};

/// The role that may make collections.
const ADMIN: &str = "admin";

pub(crate) fn handle(documents: Arc<Documents>, call: Call) -> Answer {
    Box::pin(async move {
        let caller = caller(&call)?;
        let roles = caller.principal.user().map_or(&[][..], |user| &user.roles);
        if !roles.iter().any(|role| role == ADMIN) {
            let message = "only an administrator makes collections";
            return Err(Error::new(Kind::PermissionDenied, message));
        }
        let mut members = Members::read(&call.body, documents.now_ms())?;
        let name = members.required_text("collectionName")?;
        documents.create_collection(caller, &name, Preset::DEFAULT).await?;
        Ok(json(Object::new().close()))
    })
}
