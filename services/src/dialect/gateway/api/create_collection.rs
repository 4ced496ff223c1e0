//! `POST …/collections`: makes a collection. People may not, unless their token gives them the role `admin`.

use std::sync::Arc;

use yunzhan_base::{Call, ResponseFuture};

use crate::dialect::documents::Detached;
use crate::dialect::gateway::caller;
use crate::dialect::may_make_collections;
use crate::dialect::members::Members;
use crate::dialect::reply::{Object, json};
use crate::documents::{Documents, Preset};

pub(crate) fn handle(documents: Arc<Documents>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let caller = caller(&call)?;
        may_make_collections(caller.principal)?;
        let mut members = Members::read(call.bytes(), documents.now_ms())?;
        let name = members.required_text("collectionName")?;
        let (env, context) = (caller.env.clone(), call.context.clone());
        Detached { documents, env, context }.create_collection(name, Preset::DEFAULT).await?;
        Ok(json(Object::new().close()))
    })
}
