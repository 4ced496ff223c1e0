//! `database.addCollection`: makes a collection. People may not, unless their token gives them the role `admin`.

use yunzhan_base::{Error, Kind};

use crate::dialect::web::request::Request;
use crate::dialect::web::{Reply, Web};
use crate::documents::Preset;

/// The role that may make collections.
const ADMIN: &str = "admin";

pub(crate) fn handle<'c>(web: &'c Web, mut request: Request<'c>) -> Reply<'c> {
    Box::pin(async move {
        let caller = request.caller();
        let roles = caller.principal.user().map_or(&[][..], |user| &user.roles);
        if !roles.iter().any(|role| role == ADMIN) {
            let message = "only an administrator makes collections";
            return Err(Error::new(Kind::PermissionDenied, message));
        }
        let name = request.collection()?;
        web.documents.create_collection(caller, &name, Preset::DEFAULT).await?;
        let mut answer = request.answer();
        answer.begin("data");
        answer.end();
        Ok(answer)
    })
}
