//! Logins that the SDKs know and this server does not offer.

use std::sync::Arc;

use yunzhan_base::{Call, Error, Kind, ResponseFuture};

use crate::identity::Identity;

pub(super) fn handle(_: Arc<Identity>, call: Call) -> ResponseFuture {
    Box::pin(async move {
        let message = match call.params.get("below") {
            Ok(_) => format!("{} is not offered by this server", call.uri.path()),
            Err(_) => {
                "this way of logging in is not offered; use signInWithOpenId or signInAnonymously"
                    .into()
            }
        };
        Err(Error::new(Kind::NotImplemented, message))
    })
}
